import json
from typing import Any

import openai
import pytest
from hypothesis import given

from proxy.dialects.base import StreamContext
from proxy.dialects.openai_responses.stream import AFTER_OTHERS, HEARTBEAT, ResponsesEncoder
from proxy.hub.carried import Carried, unpack
from proxy.hub.completion import fold
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
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
from proxy.providers import PROVIDERS
from tests.support.corpus import Recording, params, recordings
from tests.support.openai_responses_api import (
    TARGET,
    Case,
    Grammar,
    Reading,
    decode,
    decoded,
    fixture_streams,
    frames,
    read_by_helper,
    read_by_hub,
    read_by_sdk,
)
from tests.support.strategies import event_lists

ID = "k3v9x0a1b2c3d4e5f6g7h8i9"
CONTEXT = StreamContext(ID, "asked-model", 1790000000)
FIXTURES = fixture_streams()
STREAMS = params(recordings(stream=True, ok=True, where=lambda found: found.kind in PROVIDERS))
OWN_STREAMS = params(recordings(kind="openai_responses", stream=True, ok=True))


def encode(*events: Event, context: StreamContext = CONTEXT) -> bytes:
    return ResponsesEncoder(context).encode(list(events))


def answer(*events: Event, reason: FinishReason = FinishReason.STOP) -> bytes:
    """A whole stream around `events`, checked."""
    body = encode(MessageStart("up-1", "m1"), *events, MessageEnd(reason))
    Grammar().check(body)
    return body


def block(index: int, block: Block, *deltas: Event) -> list[Event]:
    return [BlockStart(index, block), *deltas, BlockEnd(index)]


def items(body: bytes) -> list[dict[str, Any]]:
    return frames(body)[-1]["response"]["output"]


def events_of(recording: Recording) -> list[Event]:
    assert recording.kind is not None
    return decoded(PROVIDERS[recording.kind].decoder(TARGET), recording.response)


# --- every recording of every provider


@pytest.mark.parametrize("recording", STREAMS)
def test_every_recording_becomes_a_stream_by_the_rules(recording: Recording) -> None:
    Grammar().check(encode(*events_of(recording)))


@pytest.mark.parametrize("recording", STREAMS)
def test_every_recording_is_read_by_the_sdk_as_it_was_meant(recording: Recording) -> None:
    events = events_of(recording)
    body = encode(*events)

    expected = _expected(events)
    assert _comparable(read_by_sdk(body)) == expected
    if expected.ending == "completed":
        assert _comparable(read_by_helper(body)) == expected


def _comparable(reading: Reading) -> Reading:
    """What any provider's answer has in common: not proofs and hosted items, whose form is another's.

    Of an answer that failed only text and ending: what was open then is no item, and the SDK raises before it shows usage.
    """
    if reading.ending.startswith("failed"):
        return Reading(text=["".join(reading.text)], ending=reading.ending)
    return Reading(
        text=["".join(reading.text)],
        refusals=["".join(reading.refusals)],
        reasoning=[(text, None) for text, _ in reading.reasoning if text],
        calls=[(kind, id, name, arguments or "{}") for kind, id, name, arguments in reading.calls],
        usage=reading.usage,
        ending=reading.ending,
    )


def _expected(events: list[Event]) -> Reading:
    reading = read_by_hub(events)
    completion = fold(events)
    if completion.end is not None:
        reading.ending = {
            FinishReason.LENGTH: "incomplete: max_output_tokens",
            FinishReason.CONTEXT_FULL: "incomplete: max_output_tokens",
            FinishReason.CONTENT_FILTER: "incomplete: content_filter",
            FinishReason.MALFORMED_CALL: "failed: The model produced a tool call that cannot be read.",
        }.get(completion.end.reason, "completed")
    return _comparable(reading)


@pytest.mark.parametrize("recording", OWN_STREAMS)
def test_own_recordings_come_out_as_they_went_in(recording: Recording) -> None:
    assert read_by_sdk(encode(*events_of(recording))) == read_by_sdk(recording.response)


@pytest.mark.parametrize("case", FIXTURES, ids=str)
def test_own_fixtures_come_out_as_they_went_in(case: Case) -> None:
    body = encode(*decode(case.body))

    Grammar().check(body)
    assert read_by_sdk(body) == read_by_sdk(case.body)


@pytest.mark.parametrize("case", FIXTURES, ids=str)
def test_events_that_come_one_by_one_make_the_same_bytes(case: Case) -> None:
    events = decode(case.body)
    encoder = ResponsesEncoder(CONTEXT)

    assert b"".join(encoder.encode([event]) for event in events) == encode(*events)


@given(event_lists())
def test_any_grammatical_stream_is_written_by_the_rules(events: list[Event]) -> None:
    Grammar().check(encode(*events))


@given(event_lists())
def test_any_cut_stream_is_written_by_the_rules(events: list[Event]) -> None:
    cut = [*events[: len(events) // 2], StreamError(ErrorKind.CUT, "cut")]

    Grammar().check(encode(*cut))


# --- the response


def test_ids_are_of_the_apis_style_and_unique() -> None:
    body = answer(
        *block(0, ReasoningBlock(), ReasoningDelta(0, "hm")),
        *block(1, TextBlock(), TextDelta(1, "hi")),
        *block(2, ToolCallBlock("call_1", "f"), ArgumentsDelta(2, "{}")),
        *block(3, ToolCallBlock("call_2", "g", ToolKind.CUSTOM), ArgumentsDelta(3, "x")),
    )

    assert frames(body)[0]["response"]["id"] == f"resp_{ID}"
    assert [item["id"] for item in items(body)] == [f"rs_{ID}_0", f"msg_{ID}_1", f"fc_{ID}_2", f"ctc_{ID}_3"]


@pytest.mark.parametrize(("told", "shown"), [("real-model", "real-model"), ("", "asked-model")])
def test_the_model_is_the_one_that_answered(told: str, shown: str) -> None:
    body = encode(MessageStart("up-1", told), MessageEnd(FinishReason.STOP))

    assert {frame["response"]["model"] for frame in frames(body)} == {shown}


def test_usage_has_both_details() -> None:
    usage = frames(answer(Usage(input=10, output=5, cached_input=4, reasoning=2)))[-1]["response"]["usage"]

    assert usage == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_usage_that_was_not_reported_is_null() -> None:
    assert frames(answer())[-1]["response"]["usage"] is None


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.STOP_SEQUENCE, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.REFUSAL, "completed", None),
        (FinishReason.PAUSE, "completed", None),
        (FinishReason.OTHER, "completed", None),
        (FinishReason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTEXT_FULL, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_finish_reason_is_a_status(reason: FinishReason, status: str, why: object) -> None:
    last = frames(answer(*block(0, TextBlock(), TextDelta(0, "hi")), reason=reason))[-1]

    assert last["type"] == f"response.{status}"
    assert (last["response"]["status"], last["response"]["incomplete_details"]) == (status, why)
    assert last["response"]["output"][0]["status"] == status


# --- items


def test_neighbouring_texts_and_refusals_are_parts_of_one_message() -> None:
    body = answer(
        *block(0, TextBlock(), TextDelta(0, "a")),
        *block(1, TextBlock(), TextDelta(1, "b")),
        *block(2, RefusalBlock(), RefusalDelta(2, "no")),
    )

    (message,) = items(body)
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["a", "b", "no"]
    assert read_by_helper(body).text == ["a", "b"]


def test_blocks_may_interleave() -> None:
    body = answer(
        BlockStart(0, ReasoningBlock()),
        BlockStart(1, TextBlock()),
        ReasoningDelta(0, "one "),
        TextDelta(1, "A"),
        BlockStart(2, ToolCallBlock("call_1", "f")),
        TextDelta(1, "B"),
        ReasoningDelta(0, "two"),
        BlockStart(3, TextBlock()),
        ArgumentsDelta(2, "{}"),
        TextDelta(3, "C"),
        BlockEnd(2),
        BlockEnd(0),
        BlockEnd(3),
        BlockEnd(1),
    )

    reading = read_by_helper(body)
    assert (reading.reasoning, reading.text) == ([("one two", None)], ["AB", "C"])
    assert [item["type"] for item in items(body)] == ["reasoning", "message", "function_call", "message"]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    body = answer(*block(0, ToolCallBlock("call_1", "f")))

    assert read_by_sdk(body).calls == [("function_call", "call_1", "f", "{}")]


def test_a_custom_call_keeps_its_text() -> None:
    body = answer(*block(0, ToolCallBlock("call_1", "patch", ToolKind.CUSTOM), ArgumentsDelta(0, "*** Begin\n")))

    assert read_by_sdk(body).calls == [("custom_tool_call", "call_1", "patch", "*** Begin\n")]
    assert "response.custom_tool_call_input.delta" in [frame["type"] for frame in frames(body)]


def test_a_call_of_the_same_family_keeps_its_id_and_namespace() -> None:
    raw = '{"type":"function_call","id":"fc_up","call_id":"call_1","name":"f","namespace":"mcp__x","arguments":""}'

    (item,) = items(answer(*block(0, ToolCallBlock("call_1", "f", raw=raw, origin=Origin.OPENAI))))

    assert (item["id"], item["namespace"]) == ("fc_up", "mcp__x")


def test_a_call_of_a_namespaced_tool_has_both_names() -> None:
    body = answer(*block(0, ToolCallBlock("call_1", "mcp__wiki-__-ask"), ArgumentsDelta(0, "{}")))

    (item,) = items(body)
    assert (item["namespace"], item["name"]) == ("mcp__wiki", "ask")


@pytest.mark.parametrize("name", ["mcp__wiki__ask", "-__-", "a-__-", "-__-b"])
def test_other_names_are_no_namespaces(name: str) -> None:
    (item,) = items(answer(*block(0, ToolCallBlock("call_1", name), ArgumentsDelta(0, "{}"))))

    assert (item.get("namespace"), item["name"]) == (None, name)


def test_reasoning_without_text_has_no_summary() -> None:
    signature = SignatureAdded(0, "gAAA", Origin.OPENAI)

    (item,) = items(answer(*block(0, ReasoningBlock("rs_up"), signature)))

    assert (item["id"], item["summary"], item["encrypted_content"]) == ("rs_up", [], "gAAA")


def test_encrypted_reasoning_is_an_item_of_its_own() -> None:
    (item,) = items(answer(*block(0, RedactedReasoningBlock("gAAA", Origin.OPENAI, "rs_up"))))

    assert item == {"id": "rs_up", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}


@pytest.mark.parametrize(
    ("blocks", "carried"),
    [
        (
            block(0, ReasoningBlock(), ReasoningDelta(0, "hm"), SignatureAdded(0, "EqQB", Origin.ANTHROPIC)),
            Carried(Origin.ANTHROPIC, "EqQB"),
        ),
        (
            block(0, RedactedReasoningBlock("EmwK", Origin.ANTHROPIC)),
            Carried(Origin.ANTHROPIC, "EmwK", is_redacted=True),
        ),
        (
            block(0, ToolCallBlock("call_1", "f"), SignatureAdded(0, "CsED", Origin.GEMINI)),
            Carried(Origin.GEMINI, "CsED", call_id="call_1"),
        ),
    ],
)
def test_a_foreign_proof_is_carried_in_the_encrypted_content(blocks: list[Event], carried: Carried) -> None:
    (proof,) = [item["encrypted_content"] for item in items(answer(*blocks)) if item["type"] == "reasoning"]

    assert unpack(proof) == carried


@pytest.mark.parametrize(
    ("citation", "annotation"),
    [
        (
            CitationAdded(0, url="https://a.example", title="A", start=0, end=2),
            {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://a.example", "title": "A"},
        ),
        (
            CitationAdded(0, url="https://a.example"),
            {"type": "url_citation", "start_index": 2, "end_index": 2, "url": "https://a.example", "title": ""},
        ),
        (
            CitationAdded(0, title="report.pdf", cited_text="as said"),
            {"type": "file_citation", "file_id": "", "filename": "report.pdf", "index": 2},
        ),
        (
            CitationAdded(0, raw='{"type":"file_path",\n"file_id":"f","index":1}', origin=Origin.OPENAI),
            {"type": "file_path", "file_id": "f", "index": 1},
        ),
    ],
)
def test_a_citation_is_an_annotation(citation: CitationAdded, annotation: dict[str, object]) -> None:
    body = answer(*block(0, TextBlock(), TextDelta(0, "hi"), citation))

    assert read_by_sdk(body).annotations == [annotation]


def test_an_image_is_an_item_and_a_linked_one_is_text() -> None:
    body = answer(
        *block(0, MediaBlock("image/webp", data="aGk=")),
        *block(1, MediaBlock("image/png", url="https://a.example/i.png")),
        *block(2, MediaBlock("audio/wav", data="aGk=")),
    )

    reading = read_by_helper(body)
    assert (reading.images, reading.text) == (["aGk="], ["![image](https://a.example/i.png)"])


def test_text_that_breaks_naive_framing_arrives() -> None:
    text = 'line\nbreak\r\n\u2028\u2029 "quoted" \\ \0 😀\n\ndata: x'

    assert read_by_helper(answer(*block(0, TextBlock(), TextDelta(0, text)))).text == [text]


# --- tools that a provider ran


def server_call(name: str, arguments: str, result: ToolResultBlock | None, **fields: Any) -> dict[str, Any]:
    events = block(0, ToolCallBlock("srv_1", name, ToolKind.SERVER, **fields), ArgumentsDelta(0, arguments))
    if result is not None:
        events += block(1, result)
    (item,) = items(answer(*events))
    return item


def test_a_search_by_another_vendor_is_a_web_search() -> None:
    content = '[{"type":"web_search_result","url":"https://a.example","title":"A"}]'
    result = ToolResultBlock("srv_1", content, Origin.ANTHROPIC, "web_search_tool_result")

    item = server_call("web_search", '{"query":"oslo"}', result)

    assert item["type"] == "web_search_call"
    assert item["status"] == "completed"
    assert item["action"]["query"] == "oslo"
    assert item["action"]["sources"] == [{"type": "url", "url": "https://a.example"}]


def test_code_run_by_another_vendor_is_a_code_interpreter_call() -> None:
    result = ToolResultBlock("srv_1", '{"stdout":"2\\n","stderr":""}', Origin.ANTHROPIC, "code_execution_tool_result")

    item = server_call("code_execution", '{"code":"print(1+1)"}', result)

    assert (item["type"], item["code"], item["outputs"]) == (
        "code_interpreter_call",
        "print(1+1)",
        [{"type": "logs", "logs": "2\n"}],
    )


def test_any_other_tool_of_another_vendor_is_an_mcp_call() -> None:
    result = ToolResultBlock("srv_1", '{"page":1}', Origin.ANTHROPIC, "web_fetch_tool_result")

    item = server_call("web_fetch", '{"url":"u"}', result)

    assert (item["type"], item["name"], item["arguments"], item["output"]) == (
        "mcp_call",
        "web_fetch",
        '{"url":"u"}',
        '{"page":1}',
    )


def test_a_tool_that_failed_says_so() -> None:
    item = server_call("lookup", "{}", ToolResultBlock("srv_1", '"gone"', Origin.ANTHROPIC, "x", is_error=True))

    assert (item["status"], item["output"]) == ("failed", None)
    assert item["error"] == {"type": "mcp_tool_execution_error", "content": "gone"}


@pytest.mark.parametrize("name", ["web_search", "file_search", "code_execution", "lookup"])
def test_a_tool_without_a_result_is_incomplete(name: str) -> None:
    assert server_call(name, "{}", None)["status"] == "incomplete"


def test_a_result_without_a_call_is_an_item() -> None:
    (item,) = items(answer(*block(0, ToolResultBlock("srv_1", "[]", Origin.GEMINI, "grounding"))))

    assert (item["type"], item["name"], item["output"]) == ("mcp_call", "grounding", "[]")


def test_an_item_of_the_same_family_keeps_every_field_but_a_changing_id() -> None:
    added = '{"id":"x1","type":"shell_call","status":"in_progress","action":{"commands":["ls"]},"call_id":"c"}'
    done = '{"id":"x2","type":"shell_call","status":"completed",\n"action":{"commands":["ls"]},"call_id":"c","new":1}'
    result = ToolResultBlock("srv_1", done, Origin.OPENAI, "shell_call", raw=done)

    item = server_call("shell", "", result, raw=added, origin=Origin.OPENAI)

    assert item == {**json.loads(done), "id": "srv_1"}


def test_an_item_that_was_never_announced_is_announced_in_progress() -> None:
    raw = '{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"x"}}'
    call = ToolCallBlock("ws_1", "web_search", ToolKind.SERVER, raw, Origin.OPENAI)
    result = ToolResultBlock("ws_1", raw, Origin.OPENAI, "web_search_call", raw=raw)

    body = answer(*block(0, call), *block(1, result))

    added = next(frame["item"] for frame in frames(body) if frame["type"] == "response.output_item.added")
    assert added["status"] == "in_progress"
    assert items(body) == [json.loads(raw)]


# --- failures

FAILURE = StreamError(ErrorKind.OVERLOADED, "try later", "engine_busy")
START = MessageStart("up-1", "m1")
OPEN_TEXT: list[Event] = [START, BlockStart(0, TextBlock()), TextDelta(0, "Par")]


@pytest.mark.parametrize(
    "before", [[], [START], OPEN_TEXT, [*OPEN_TEXT, BlockEnd(0)]], ids=["fresh", "started", "open", "ended"]
)
def test_a_failure_reaches_every_reader(before: list[Event]) -> None:
    body = encode(*before, FAILURE)

    Grammar().check(body)
    for read in (read_by_sdk, read_by_helper):
        with pytest.raises(openai.APIError, match="try later"):
            _raising(read, body)
    error, failed = frames(body)[-2:]
    assert (error["code"], error["message"], error["error"]["type"]) == (
        "engine_busy",
        "try later",
        "service_unavailable_error",
    )
    assert failed["response"]["error"] == {"code": "engine_busy", "message": "try later"}
    assert not any(frame["type"] in ("response.completed", "response.incomplete") for frame in frames(body))


def _raising(read: Any, body: bytes) -> None:
    reading = read(body)
    if reading.ending.startswith("failed: "):
        raise openai.APIError(reading.ending, None, body=None)  # type: ignore[arg-type]


def test_a_call_that_cannot_be_read_is_a_failure() -> None:
    body = encode(START, MessageEnd(FinishReason.MALFORMED_CALL))

    Grammar().check(body)
    assert frames(body)[-1]["response"]["error"]["code"] == "server_error"


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_of_failure_has_words(kind: ErrorKind) -> None:
    body = encode(*OPEN_TEXT, StreamError(kind, "no"))

    Grammar().check(body)
    assert frames(body)[-1]["response"]["error"]["code"]


@pytest.mark.parametrize(
    "case", [case for case in FIXTURES if case.name in ("text", "tool-call", "reasoning")], ids=str
)
def test_a_failure_after_relayed_frames_is_understood(case: Case) -> None:
    relayed = b"".join(part + b"\n\n" for part in case.body.split(b"\n\n")[:5])
    encoder = ResponsesEncoder(StreamContext(ID, "m", 1, is_relayed=True))

    ending = encoder.encode([StreamError(ErrorKind.CUT, "cut off")])

    Grammar(AFTER_OTHERS, is_relayed=True).check(ending)
    with pytest.raises(openai.APIError, match="cut off"):
        read_by_helper(relayed + ending)
    assert read_by_sdk(relayed + ending).ending == "failed: cut off"


# --- taking over, and staying alive


def test_an_adopted_stream_goes_on_where_it_stood() -> None:
    first = decode(next(case.body for case in FIXTURES if case.name == "parallel-tools"))[:4]
    rest: list[Event] = [ArgumentsDelta(0, " "), BlockEnd(0), MessageEnd(FinishReason.TOOL_CALLS)]
    written = encode(*first)
    successor = ResponsesEncoder(CONTEXT)

    successor.adopt(first)
    body = written + successor.encode(rest)

    numbers = [frame["sequence_number"] for frame in frames(body)]
    assert numbers == sorted(set(numbers))
    assert read_by_helper(body).calls == read_by_sdk(encode(*first, *rest)).calls


def test_an_adopted_foreign_stream_keeps_its_response_id() -> None:
    encoder = ResponsesEncoder(StreamContext(ID, "m", 1, is_relayed=True))

    encoder.adopt([MessageStart("resp_theirs", "m1"), BlockStart(0, TextBlock()), TextDelta(0, "Par")])
    failed = frames(encoder.encode([FAILURE]))[-1]

    assert failed["response"]["id"] == "resp_theirs"
    assert failed["sequence_number"] > AFTER_OTHERS


def test_heartbeats_are_ignored_by_the_sdk() -> None:
    body = answer(*block(0, TextBlock(), TextDelta(0, "hi")))
    beating = HEARTBEAT + body.replace(b"\n\n", b"\n\n" + HEARTBEAT)

    assert read_by_helper(beating) == read_by_helper(body)
