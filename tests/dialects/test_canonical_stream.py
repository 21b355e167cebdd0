import json
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams, StreamContext
from proxy.dialects.canonical_snapshots import FREE_SNAPSHOT_CHARS
from proxy.dialects.canonical_stream import MAX_ARGUMENTS_CHARS, CanonicalEncoder
from proxy.hub.errors import RETRYABLE, ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.hub.grammar import check
from proxy.hub.request import FormatKind, ResponseFormat
from tests.support.eventsource import ServerSentEvent, interpret
from tests.support.strategies import event_lists

CONTEXT = StreamContext(id="abc", model="m", created=1)
JSON_CONTEXT = StreamContext(id="abc", model="m", created=1, response_format=ResponseFormat(FormatKind.JSON_SCHEMA))
PARTIAL_CONTEXT = StreamContext(id="abc", model="m", created=1, variant='{"partial_json":true}')
RESUME_CONTEXT = StreamContext(id="abc", model="m", created=1, resume_id="s7f")

START = MessageStart("msg", "m-1")
STOP = MessageEnd(FinishReason.STOP)


def encode(events: list[Event], context: StreamContext = CONTEXT) -> str:
    return CanonicalEncoder(context).encode(events).decode()


def frames(stream: str) -> list[dict[str, Any]]:
    """The JSON frames of a whole stream, whose last message must be `[DONE]`."""
    seen = interpret(stream.encode())
    assert seen.rest == ""
    assert {event.type for event in seen.events} == {"message"}
    data = [event.data for event in seen.events]
    assert data.index("[DONE]") == len(data) - 1
    return [json.loads(frame) for frame in data[:-1]]


GOLDENS: dict[str, tuple[list[Event], str]] = {
    "text": (
        [START, BlockStart(0, TextBlock()), TextDelta(0, "Hel"), TextDelta(0, 'lo "\n\u2028🌍'), BlockEnd(0), STOP],
        'data: {"text":"Hel"}\n\n'
        'data: {"text":"lo \\"\\n\u2028🌍"}\n\n'
        'data: {"text":"","type":"finish","reason":"stop"}\n\n'
        "data: [DONE]\n\n",
    ),
    "reasoning before text": (
        [
            START,
            BlockStart(0, ReasoningBlock()),
            ReasoningDelta(0, "Hm."),
            SignatureAdded(0, "c2ln", Origin.ANTHROPIC),
            BlockEnd(0),
            BlockStart(1, RedactedReasoningBlock("b3BhcXVl", Origin.ANTHROPIC)),
            BlockEnd(1),
            BlockStart(2, TextBlock()),
            TextDelta(2, "Yes"),
            BlockEnd(2),
            STOP,
        ],
        'data: {"text":"","type":"reasoning_delta","reasoning":"Hm."}\n\n'
        'data: {"text":"Yes"}\n\n'
        'data: {"text":"","type":"finish","reason":"stop"}\n\n'
        "data: [DONE]\n\n",
    ),
    "interleaved calls": (
        [
            START,
            BlockStart(0, ToolCallBlock("call_1", "get_weather")),
            ArgumentsDelta(0, '{"city":'),
            BlockStart(1, ToolCallBlock("call_2", "get_time")),
            ArgumentsDelta(1, "{}"),
            ArgumentsDelta(0, '"Oslo"}'),
            BlockEnd(1),
            BlockEnd(0),
            MessageEnd(FinishReason.TOOL_CALLS, "tool_calls"),
        ],
        'data: {"text":"","type":"tool_call_start","id":"call_1","name":"get_weather"}\n\n'
        'data: {"text":"","type":"tool_call_delta","id":"call_1","arguments":"{\\"city\\":"}\n\n'
        'data: {"text":"","type":"tool_call_start","id":"call_2","name":"get_time"}\n\n'
        'data: {"text":"","type":"tool_call_delta","id":"call_2","arguments":"{}"}\n\n'
        'data: {"text":"","type":"tool_call_delta","id":"call_1","arguments":"\\"Oslo\\"}"}\n\n'
        'data: {"text":"","type":"tool_call_end","id":"call_2","name":"get_time","arguments":"{}"}\n\n'
        'data: {"text":"","type":"tool_call_end","id":"call_1","name":"get_weather",'
        '"arguments":"{\\"city\\":\\"Oslo\\"}"}\n\n'
        'data: {"text":"","type":"finish","reason":"tool_calls"}\n\n'
        "data: [DONE]\n\n",
    ),
    "call without arguments": (
        [
            START,
            BlockStart(0, ToolCallBlock("call_1", "now")),
            BlockEnd(0),
            BlockStart(1, ToolCallBlock("call_2", "shell", ToolKind.CUSTOM)),
            BlockEnd(1),
            MessageEnd(FinishReason.TOOL_CALLS),
        ],
        'data: {"text":"","type":"tool_call_start","id":"call_1","name":"now"}\n\n'
        'data: {"text":"","type":"tool_call_end","id":"call_1","name":"now","arguments":"{}"}\n\n'
        'data: {"text":"","type":"tool_call_start","id":"call_2","name":"shell","kind":"custom"}\n\n'
        'data: {"text":"","type":"tool_call_end","id":"call_2","name":"shell","kind":"custom","arguments":""}\n\n'
        'data: {"text":"","type":"finish","reason":"tool_calls"}\n\n'
        "data: [DONE]\n\n",
    ),
    "server tool": (
        [
            START,
            BlockStart(0, ToolCallBlock("srv_1", "web_search", ToolKind.SERVER)),
            ArgumentsDelta(0, '{"query":"x"}'),
            BlockEnd(0),
            BlockStart(1, ToolResultBlock("srv_1", '[\n {"url": "u"}\n]', Origin.ANTHROPIC, "web_search_tool_result")),
            BlockEnd(1),
            BlockStart(2, ToolResultBlock("srv_1", "not json", Origin.ANTHROPIC, "t", is_error=True)),
            BlockEnd(2),
            BlockStart(3, TextBlock()),
            TextDelta(3, "Found."),
            CitationAdded(3, url="https://example.com", title="T", cited_text="c", start=0, end=6, raw="{}"),
            BlockEnd(3),
            STOP,
        ],
        'data: {"text":"","type":"tool_call_start","id":"srv_1","name":"web_search","kind":"server"}\n\n'
        'data: {"text":"","type":"tool_call_delta","id":"srv_1","arguments":"{\\"query\\":\\"x\\"}"}\n\n'
        'data: {"text":"","type":"tool_call_end","id":"srv_1","name":"web_search","kind":"server",'
        '"arguments":"{\\"query\\":\\"x\\"}"}\n\n'
        'data: {"text":"","type":"tool_call_result","id":"srv_1","result_type":"web_search_tool_result",'
        '"result":[{"url":"u"}]}\n\n'
        'data: {"text":"","type":"tool_call_result","id":"srv_1","result_type":"t","result":"not json",'
        '"is_error":true}\n\n'
        'data: {"text":"Found."}\n\n'
        'data: {"text":"","type":"citation","citation":{"url":"https://example.com","title":"T","cited_text":"c",'
        '"start":0,"end":6}}\n\n'
        'data: {"text":"","type":"finish","reason":"stop"}\n\n'
        "data: [DONE]\n\n",
    ),
    "refusal and stop sequence": (
        [
            START,
            BlockStart(0, RefusalBlock()),
            RefusalDelta(0, "I will not."),
            BlockEnd(0),
            MessageEnd(FinishReason.STOP_SEQUENCE, "stop_sequence", "###"),
        ],
        'data: {"text":"","type":"refusal","refusal":"I will not."}\n\n'
        'data: {"text":"","type":"finish","reason":"stop_sequence","stop_sequence":"###"}\n\n'
        "data: [DONE]\n\n",
    ),
    "usage comes once, before the end": (
        [
            START,
            Usage(input=3),
            BlockStart(0, TextBlock()),
            TextDelta(0, "a"),
            Usage(input=3, output=5, cached_input=2, cache_write=0, reasoning=4, service_tier="flex"),
            BlockEnd(0),
            STOP,
        ],
        'data: {"text":"a"}\n\n'
        'data: {"text":"","type":"usage","usage":{"input_tokens":3,"output_tokens":5,"cached_input_tokens":2,'
        '"cache_write_tokens":0,"reasoning_tokens":4,"service_tier":"flex"}}\n\n'
        'data: {"text":"","type":"finish","reason":"stop"}\n\n'
        "data: [DONE]\n\n",
    ),
    "usage that reports nothing": (
        [START, Usage(), STOP],
        'data: {"text":"","type":"finish","reason":"stop"}\n\ndata: [DONE]\n\n',
    ),
    "file": (
        [START, BlockStart(0, MediaBlock("image/png", data="aGk=")), BlockEnd(0), STOP],
        'data: {"text":"","type":"file","media_type":"image/png","data":"aGk="}\n\n'
        'data: {"text":"","type":"finish","reason":"stop"}\n\n'
        "data: [DONE]\n\n",
    ),
    "error in the middle of a call": (
        [
            START,
            BlockStart(0, ToolCallBlock("call_1", "f")),
            ArgumentsDelta(0, '{"a'),
            Usage(input=3),
            StreamError(ErrorKind.CUT, "It broke."),
        ],
        'data: {"text":"","type":"tool_call_start","id":"call_1","name":"f"}\n\n'
        'data: {"text":"","type":"tool_call_delta","id":"call_1","arguments":"{\\"a"}\n\n'
        'data: {"text":"","type":"usage","usage":{"input_tokens":3}}\n\n'
        'data: {"text":"","type":"error","error":{"type":"cut","message":"It broke.","retryable":true}}\n\n'
        "data: [DONE]\n\n",
    ),
    "error before anything": (
        [StreamError(ErrorKind.CONTENT_REJECTED, "No.", "filter")],
        'data: {"text":"","type":"error","error":{"type":"content_rejected","message":"No.","retryable":false}}\n\n'
        "data: [DONE]\n\n",
    ),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_events_become_these_frames(name: str) -> None:
    events, golden = GOLDENS[name]
    assert check(events) == []

    assert encode(events) == golden


@pytest.mark.parametrize("name", GOLDENS)
def test_frames_do_not_depend_on_how_events_are_grouped(name: str) -> None:
    events, golden = GOLDENS[name]
    encoder = CanonicalEncoder(CONTEXT)

    assert b"".join(encoder.encode([event]) for event in events).decode() == golden


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_says_whether_to_retry(kind: ErrorKind) -> None:
    error = frames(encode([StreamError(kind, "m")]))[-1]

    assert error["error"] == {"type": kind.value, "message": "m", "retryable": kind in RETRYABLE}


@pytest.mark.parametrize("reason", FinishReason)
def test_every_finish_reason_keeps_its_name(reason: FinishReason) -> None:
    assert frames(encode([START, MessageEnd(reason)])) == [{"text": "", "type": "finish", "reason": reason.value}]


def test_heartbeat_is_nothing_to_an_event_source() -> None:
    encoder = CanonicalEncoder(RESUME_CONTEXT)
    stream = encoder.encode([START, BlockStart(0, TextBlock()), TextDelta(0, "a")]) + encoder.heartbeat()

    assert interpret(stream).events == (ServerSentEvent("message", '{"text":"a"}', "s7f:1"),)


EVENT_SOURCE = DIALECTS["canonical"].envelope(
    b"", CallParams(query={"model": "m", "prompt": "hi"}, headers={"accept": "text/event-stream"})
)


def test_the_first_bytes_to_an_event_source_give_it_an_id_to_ask_again_with() -> None:
    context = StreamContext(id="abc", model="m", created=1, variant=EVENT_SOURCE.variant)
    encoder = CanonicalEncoder(context)

    silent = encoder.heartbeat()
    out = encoder.encode([START, BlockStart(0, TextBlock()), TextDelta(0, "a")])
    later = encoder.encode([TextDelta(0, "b")]) + encoder.heartbeat()

    assert interpret(silent).last_event_id == interpret(out).last_event_id == "abc"
    assert out == b'id: abc\n\ndata: {"text":"a"}\n\n'
    assert later == b'data: {"text":"b"}\n\n: keep-alive\n\n'


def test_frames_of_a_resumable_stream_are_numbered() -> None:
    deltas: list[Event] = [TextDelta(0, "a"), TextDelta(0, "b")]

    stream = encode([START, BlockStart(0, TextBlock()), *deltas, BlockEnd(0), STOP], RESUME_CONTEXT)

    assert stream.startswith('id: s7f:1\ndata: {"text":"a"}\n\nid: s7f:2\ndata: {"text":"b"}\n\n')
    events = interpret(stream.encode()).events
    assert [event.last_event_id for event in events] == ["s7f:1", "s7f:2", "s7f:3", "s7f:4"]
    assert events[-1].data == "[DONE]"


def json_answer(text_pieces: list[str]) -> list[Event]:
    deltas = [TextDelta(0, piece) for piece in text_pieces]
    return [START, BlockStart(0, TextBlock()), *deltas, BlockEnd(0), STOP]


def test_json_answer_shows_its_value_as_it_grows() -> None:
    stream = encode(json_answer(['{"city":', ' "Os', "lo\\n", '",\n', '"deg": 1', "2}", "\n"]), JSON_CONTEXT)

    assert [frame["json"] for frame in frames(stream) if frame.get("type") == "json"] == [
        {},
        {"city": "Os"},
        {"city": "Oslo\n"},
        {"city": "Oslo\n", "deg": 12},
    ]


def test_number_alone_is_shown_when_the_text_ends() -> None:
    stream = encode(json_answer(["4", "2"]), JSON_CONTEXT)

    assert [frame["json"] for frame in frames(stream) if frame.get("type") == "json"] == [42]


def test_text_before_the_json_block_does_not_hide_its_value() -> None:
    events: list[Event] = [START, BlockStart(0, TextBlock()), TextDelta(0, "Let me see."), BlockEnd(0)]
    events += [BlockStart(1, TextBlock()), TextDelta(1, "[1]"), BlockEnd(1), STOP]

    stream = encode(events, JSON_CONTEXT)

    assert [frame["json"] for frame in frames(stream) if frame.get("type") == "json"] == [[1]]


@pytest.mark.parametrize("context", [CONTEXT, PARTIAL_CONTEXT])
def test_text_answer_has_no_json_frames(context: StreamContext) -> None:
    assert '"json"' not in encode(json_answer(["[1]"]), context)


def test_arguments_bear_their_value_on_request() -> None:
    events: list[Event] = [START, BlockStart(0, ToolCallBlock("c", "f"))]
    events += [ArgumentsDelta(0, piece) for piece in ("", '{"city"', ': "Os', 'lo"}')]
    events += [BlockEnd(0), MessageEnd(FinishReason.TOOL_CALLS)]

    deltas = [f for f in frames(encode(events, PARTIAL_CONTEXT)) if f["type"] == "tool_call_delta"]

    assert [frame.get("json", "none") for frame in deltas] == ["none", {}, {"city": "Os"}, {"city": "Oslo"}]
    assert [frame["arguments"] for frame in deltas] == ["", '{"city"', ': "Os', 'lo"}']


def test_arguments_that_break_their_schema_are_flagged_at_once_on_request() -> None:
    schema = {"properties": {"city": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    body = json.dumps({"prompt": "hi", "tools": tools, "check_arguments": True}).encode()
    variant = DIALECTS["canonical"].envelope(body, CallParams()).variant
    events: list[Event] = [START, BlockStart(0, ToolCallBlock("c", "f"))]
    events += [ArgumentsDelta(0, piece) for piece in ('{"city":', " 1", "2}")]
    events += [BlockEnd(0), MessageEnd(FinishReason.TOOL_CALLS)]

    flagged = frames(encode(events, StreamContext(id="abc", model="m", created=1, variant=variant)))

    assert [frame["type"] for frame in flagged] == [
        *("tool_call_start", "tool_call_delta", "tool_call_delta", "tool_call_invalid", "tool_call_delta"),
        *("tool_call_end", "finish"),
    ]
    invalid = {
        "text": "",
        "type": "tool_call_invalid",
        "id": "c",
        "path": "city",
        "expected": "string",
        "got": "number",
    }
    assert flagged[3] == invalid
    assert encode(events).count("tool_call_invalid") == 0


def test_custom_tool_input_is_never_read_as_json() -> None:
    events: list[Event] = [START, BlockStart(0, ToolCallBlock("c", "f", ToolKind.CUSTOM)), ArgumentsDelta(0, "[1]")]

    assert '"json"' not in encode(events, PARTIAL_CONTEXT)


def test_arguments_too_long_to_keep_are_not_repeated() -> None:
    piece = "x" * (MAX_ARGUMENTS_CHARS // 2)
    events: list[Event] = [START, BlockStart(0, ToolCallBlock("long", "f")), BlockStart(1, ToolCallBlock("short", "g"))]
    events += [ArgumentsDelta(0, piece), ArgumentsDelta(0, piece), ArgumentsDelta(0, "x"), ArgumentsDelta(1, "{}")]
    events += [BlockEnd(0), BlockEnd(1), MessageEnd(FinishReason.TOOL_CALLS)]

    ends = [f for f in frames(encode(events)) if f["type"] == "tool_call_end"]

    assert ends == [
        {"text": "", "type": "tool_call_end", "id": "long", "name": "f"},
        {"text": "", "type": "tool_call_end", "id": "short", "name": "g", "arguments": "{}"},
    ]


def long_json(chars: int, deltas: int) -> list[Event]:
    text = json.dumps([{"name": f"item {number}", "text": 'lorem "ipsum" ' * 5} for number in range(chars // 120)])
    size = -(-len(text) // deltas)
    return json_answer([text[start : start + size] for start in range(0, len(text), size)])


def cost(events: list[Event]) -> tuple[float, int]:
    """CPU seconds (the best of three) and bytes of the stream, one event at a time."""
    best, written = 1e9, 0
    for _ in range(3):
        encoder = CanonicalEncoder(JSON_CONTEXT)
        started = process_time()
        written = sum(len(encoder.encode([event])) for event in events)
        best = min(best, process_time() - started)
    return best, written


def test_snapshots_cost_linear_time_and_bytes() -> None:
    seconds, written = cost(long_json(100_000, 2_000))
    ten_seconds, ten_written = cost(long_json(1_000_000, 20_000))

    assert ten_seconds < 2 * 10 * seconds
    assert ten_written < 2 * 10 * written


@pytest.mark.parametrize("deltas", [1, 100, 20_000])
def test_snapshots_stay_within_their_budget(deltas: int) -> None:
    events = long_json(200_000, deltas)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))

    stream = encode(events, JSON_CONTEXT)

    snapshots = [frame for frame in frames(stream) if frame.get("type") == "json"]
    assert snapshots[-1]["json"] == json.loads(text)
    assert sum(len(json.dumps(frame["json"])) for frame in snapshots) <= FREE_SNAPSHOT_CHARS + 10 * len(text)
    assert len(snapshots) >= min(deltas, 30)


@given(event_lists(), st.sampled_from([CONTEXT, JSON_CONTEXT, PARTIAL_CONTEXT, RESUME_CONTEXT]))
@settings(max_examples=200)
def test_any_stream_keeps_its_content_and_ends_once(events: list[Event], context: StreamContext) -> None:
    assert check(events) == []

    found = frames(encode(events, context))

    assert "".join(str(frame["text"]) for frame in found) == "".join(
        event.text for event in events if isinstance(event, TextDelta)
    )
    assert [frame["reasoning"] for frame in found if frame.get("type") == "reasoning_delta"] == [
        event.text for event in events if isinstance(event, ReasoningDelta)
    ]
    assert [frame["arguments"] for frame in found if frame.get("type") == "tool_call_delta"] == [
        event.json for event in events if isinstance(event, ArgumentsDelta)
    ]
    assert all(list(frame)[:2] == ["text", "type"] and frame["text"] == "" for frame in found if len(frame) > 1)
    assert [frame.get("type") for frame in found].count("finish") == isinstance(events[-1], MessageEnd)
    assert [frame.get("type") for frame in found].count("error") == isinstance(events[-1], StreamError)
    assert found[-1].get("type") in ("finish", "error")
