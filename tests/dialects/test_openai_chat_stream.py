"""Chat Completions streams as callers read them: byte for byte, and through the official SDK."""

import json
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given

from proxy.dialects.base import CallParams, StreamContext
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.dialects.openai_chat.parts import FINISH_REASON
from proxy.dialects.openai_errors import ERROR_WORDS
from proxy.hub.codec import EndsOnce
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
from proxy.hub.grammar import check
from proxy.hub.request import Part, ReasoningPart, ToolCallPart
from tests.support.openai_chat_api import (
    Case,
    client,
    decode,
    read_by_helper,
    read_by_sdk,
    reading,
    sdk_chunks,
    streams,
)
from tests.support.readings import as_told_by
from tests.support.strategies import event_lists

DIALECT = OpenAIChatDialect()
CONTEXT = StreamContext("x" * 24, "alias", 1790000000)
START = MessageStart("upstream-id", "real-model")
END = MessageEnd(FinishReason.STOP, "stop")


def encode(events: list[Event], *, one_by_one: bool = False, **context: Any) -> bytes:
    encoder = DIALECT.encoder(msgspec.structs.replace(CONTEXT, **context))
    if one_by_one:
        return b"".join(encoder.encode([event]) for event in events)
    return encoder.encode(events)


def whole(*blocks: tuple[Block, list[Event]], end: Event = END, usage: Usage | None = None) -> list[Event]:
    """A grammatical stream of `blocks`, one after the other."""
    events: list[Event] = [START]
    for index, (block, deltas) in enumerate(blocks):
        events += [BlockStart(index, block), *deltas, BlockEnd(index)]
    events += [usage] if usage else []
    events.append(end)
    assert check(events) == []
    return events


def deltas_of(body: bytes) -> list[dict[str, Any]]:
    """The deltas of the first choice, as JSON."""
    frames = [frame.removeprefix(b"data: ") for frame in body.split(b"\n\n") if frame]
    chunks = [json.loads(frame) for frame in frames if frame != b"[DONE]"]
    return [choice["delta"] for chunk in chunks for choice in chunk.get("choices", [])]


# --- byte for byte


def test_a_stream_is_these_bytes() -> None:
    head = (
        b'data: {"id":"chatcmpl-xxxxxxxxxxxxxxxxxxxxxxxx","object":"chat.completion.chunk","created":1790000000,'
        b'"model":"real-model","choices":['
    )
    events = whole((TextBlock(), [TextDelta(0, 'H"i\n\u2028')]), usage=Usage(3, 2, 1, None, 0))

    assert encode(events) == (
        head + b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
        + head + b'{"index":0,"delta":{"content":"H\\"i\\n\xe2\x80\xa8"},"finish_reason":null}]}\n\n'
        + head + b'{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        + head + b'],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,'
        b'"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":0}}}\n\n'
        + b"data: [DONE]\n\n"
    )  # fmt: skip


def test_usage_is_shown_only_to_those_who_asked() -> None:
    events = whole((TextBlock(), [TextDelta(0, "x")]), usage=Usage(3, 2))

    assert b"usage" not in encode(events, include_usage=False)
    assert b"usage" not in encode(whole((TextBlock(), [])))


@pytest.mark.parametrize(("tier", "told"), [("flex", "flex"), ("standard", None), (None, None)])
def test_the_tier_is_told_in_openais_words(tier: str | None, told: str | None) -> None:
    body = encode(whole((TextBlock(), [TextDelta(0, "x")]), usage=Usage(3, 2, service_tier=tier)))

    finish = [frame for frame in body.split(b"\n\n") if b'"finish_reason":"stop"' in frame]
    assert [json.loads(frame[6:]).get("service_tier") for frame in finish] == [told]


def test_the_callers_name_stands_where_the_provider_gave_none() -> None:
    assert b'"model":"alias"' in encode([MessageStart("", ""), END])


def test_unreported_counts_are_null_not_zero() -> None:
    body = encode(whole(usage=Usage(None, 4)))

    assert b'"prompt_tokens":null,"completion_tokens":4,"total_tokens":null}' in body


def test_a_heartbeat_is_a_comment() -> None:
    heartbeat = DIALECT.encoder(CONTEXT).heartbeat()
    body = encode(whole((TextBlock(), [TextDelta(0, "x")])))
    frames = body.split(b"\n\n")

    assert heartbeat.startswith(b": ")
    assert read_by_sdk(heartbeat + (b"\n\n" + heartbeat).join(frames)).text == "x"


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_an_error_is_the_last_frame_and_makes_the_sdk_raise(kind: ErrorKind) -> None:
    events: list[Event] = [
        START,
        BlockStart(0, TextBlock()),
        TextDelta(0, "x"),
        StreamError(kind, "it broke", "code_1"),
    ]

    body = encode(events)

    assert b"[DONE]" not in body
    with pytest.raises(openai.APIError, match="it broke") as fault:
        sdk_chunks(body)
    assert fault.value.type == ERROR_WORDS[kind].type
    assert fault.value.code == "code_1"


def test_an_error_may_come_before_anything() -> None:
    assert encode([StreamError(ErrorKind.TIMEOUT, "late")]) == (
        b'data: {"error":{"message":"late","type":"server_error","param":null,"code":"timeout"}}\n\n'
    )


def test_nothing_follows_an_ending() -> None:
    encoder = DIALECT.encoder(CONTEXT)
    encoder.encode([START, END])

    assert encoder.encode([StreamError(ErrorKind.CUT, "x")]) == b""


def test_every_finish_reason_has_one_of_openais_words() -> None:
    assert set(FINISH_REASON) == set(FinishReason)
    assert set(FINISH_REASON.values()) <= {"stop", "length", "tool_calls", "content_filter"}


# --- blocks

CALL = (ToolCallBlock("call_1", "f"), [ArgumentsDelta(0, '{"a"'), ArgumentsDelta(0, ":1}")])


def test_a_calls_name_stands_in_its_first_fragment_only() -> None:
    deltas = deltas_of(encode(whole(CALL, end=MessageEnd(FinishReason.TOOL_CALLS))))

    assert deltas[1:4] == [
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]


def test_tool_indexes_are_dense_whatever_stands_between() -> None:
    events = whole(
        (TextBlock(), [TextDelta(0, "t")]),
        (ToolCallBlock("s", "search", ToolKind.SERVER), [ArgumentsDelta(1, "{}")]),
        (ToolResultBlock("s", "{}", Origin.ANTHROPIC, "web_search_tool_result"), []),
        (ToolCallBlock("a", "f"), [ArgumentsDelta(3, "{}")]),
        (ToolCallBlock("c", "g"), []),
        end=MessageEnd(FinishReason.TOOL_CALLS),
    )

    body = encode(events)

    calls = read_by_helper(body)["tool_calls"]
    assert [(one["index"], one["id"], one["function"]) for one in calls] == [
        (0, "a", {"name": "f", "arguments": "{}", "parsed_arguments": None}),
        (1, "c", {"name": "g", "arguments": "{}", "parsed_arguments": None}),
    ]
    assert b"search" not in body


def test_free_text_calls_are_custom_calls() -> None:
    custom = (ToolCallBlock("b", "p", ToolKind.CUSTOM), [ArgumentsDelta(0, "free")])
    silent = (ToolCallBlock("c", "p", ToolKind.CUSTOM), [])

    deltas = deltas_of(encode(whole(custom, silent, end=MessageEnd(FinishReason.TOOL_CALLS))))

    assert [delta["tool_calls"][0] for delta in deltas[1:-1]] == [
        {"index": 0, "id": "b", "type": "custom", "custom": {"name": "p", "input": ""}},
        {"index": 0, "custom": {"input": "free"}},
        {"index": 1, "id": "c", "type": "custom", "custom": {"name": "p", "input": ""}},
    ]


def test_interleaved_calls_keep_apart() -> None:
    events: list[Event] = [
        START,
        BlockStart(0, ToolCallBlock("a", "f")),
        BlockStart(1, ToolCallBlock("b", "g")),
        ArgumentsDelta(1, '{"y"'),
        ArgumentsDelta(0, '{"x"'),
        ArgumentsDelta(1, ":2}"),
        ArgumentsDelta(0, ":1}"),
        BlockEnd(1),
        BlockEnd(0),
        MessageEnd(FinishReason.TOOL_CALLS),
    ]

    calls = read_by_helper(encode(events))["tool_calls"]

    assert [one["function"]["arguments"] for one in calls] == ['{"x":1}', '{"y":2}']


def test_a_text_waits_for_the_text_before_it() -> None:
    encoder = DIALECT.encoder(CONTEXT)
    first = encoder.encode(
        [START, BlockStart(0, TextBlock()), TextDelta(0, "a"), BlockStart(1, TextBlock()), TextDelta(1, "c")]
    )
    call = encoder.encode([BlockStart(2, ToolCallBlock("x", "f")), ArgumentsDelta(2, "{}")])
    second = encoder.encode([TextDelta(0, "b"), BlockEnd(0), TextDelta(1, "d")])

    assert [delta.get("content") for delta in deltas_of(first)] == ["", "a"]
    assert len(deltas_of(call)) == 2
    assert [delta["content"] for delta in deltas_of(second)] == ["b", "c", "d"]


def test_reasoning_refusal_and_media() -> None:
    deltas = deltas_of(
        encode(
            whole(
                (ReasoningBlock(), [ReasoningDelta(0, "why")]),
                (RefusalBlock(), [RefusalDelta(1, "no")]),
                (MediaBlock("image/png", data="AAAA"), []),
                (MediaBlock("audio/wav", data="AAAA"), []),
                (MediaBlock("image/*", url="https://a"), []),
            )
        )
    )

    assert deltas[1:-1] == [
        {"reasoning_content": "why"},
        {"refusal": "no"},
        {"images": [{"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"images": [{"type": "image_url", "index": 1, "image_url": {"url": "https://a"}}]},
    ]


def test_citations_are_annotations_of_the_whole_text() -> None:
    native = '{"type":"url_citation","url_citation":{"url":"https://n","title":"N","start_index":0,"end_index":1}}'
    events = whole(
        (TextBlock(), [TextDelta(0, "abc")]),
        (ReasoningBlock(), [ReasoningDelta(1, "x")]),
        (
            TextBlock(),
            [
                TextDelta(2, "def"),
                CitationAdded(2, "https://a", "A", "said", 1, 2),
                CitationAdded(2, "https://b"),
                CitationAdded(2, title="a document without address"),
                CitationAdded(2, "https://n", raw=native, origin=Origin.OPENAI),
                CitationAdded(2, raw='{"type":"file_citation","file_id":"f","index":1}', origin=Origin.OPENAI),
                CitationAdded(2, "https://r", raw='{"type":"url_citation","url":"https://r"}', origin=Origin.OPENAI),
            ],
        ),
    )

    found = read_by_helper(encode(events))["annotations"]

    assert [one["url_citation"] for one in found] == [
        {"start_index": 4, "end_index": 5, "title": "A", "url": "https://a", "content": "said"},
        {"start_index": 6, "end_index": 6, "title": "", "url": "https://b"},
        {"url": "https://n", "title": "N", "start_index": 0, "end_index": 1},
        {"start_index": 6, "end_index": 6, "title": "", "url": "https://r"},
    ]


def test_proofs_of_reasoning_go_out_and_come_back() -> None:
    own = '{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1"}'
    events = whole(
        (ReasoningBlock(), [ReasoningDelta(0, "one"), SignatureAdded(0, "sig-1", Origin.ANTHROPIC)]),
        (RedactedReasoningBlock("closed", Origin.ANTHROPIC), []),
        (ReasoningBlock(), [ReasoningDelta(2, "two")]),
        (ReasoningBlock(), [ReasoningDelta(3, "three"), SignatureAdded(3, own, Origin.OPENROUTER)]),
        (ToolCallBlock("a", "f"), [ArgumentsDelta(4, "{}"), SignatureAdded(4, "sig-2", Origin.ANTHROPIC)]),
        (ToolCallBlock("b", "g"), [ArgumentsDelta(5, "{}"), SignatureAdded(5, "sig-3", Origin.GEMINI)]),
        end=MessageEnd(FinishReason.TOOL_CALLS),
    )
    for message in (
        read_by_helper(encode(events)),
        json.loads(DIALECT.encode_completion(fold(events), CONTEXT))["choices"][0]["message"],
    ):
        for name in ("parsed", "finish_reason", "whole"):
            message.pop(name, None)
        body = json.dumps({"model": "m", "messages": [message]}).encode()
        parts = DIALECT.decode_request(body, CallParams()).messages[0].parts

        assert [proof_of(part) for part in parts] == [
            ("one", "sig-1", Origin.ANTHROPIC),
            ("", "closed", Origin.ANTHROPIC),
            ("two", None, None),
            ("three", own[:-1] + ',"index":2}', Origin.OPENROUTER),
            ("a", "sig-2", Origin.ANTHROPIC),
            ("b", "sig-3", Origin.GEMINI),
        ]


def proof_of(part: Part) -> tuple[str, str | None, Origin | None]:
    """Text or id, the opaque word, and whose it is."""
    if isinstance(part, ReasoningPart):
        return part.text, part.signature or part.redacted, part.origin
    assert isinstance(part, ToolCallPart)
    return part.id, part.signature, part.origin


def test_callers_of_deprecated_functions_read_a_function_call() -> None:
    body = encode(whole(CALL, end=MessageEnd(FinishReason.TOOL_CALLS)), variant="functions")

    message = read_by_helper(body)
    assert message["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert message["finish_reason"] == "function_call"
    assert b"tool_calls" not in body


# --- through the SDK


@pytest.mark.parametrize("case", streams(), ids=str)
def test_a_converted_recording_reads_as_the_events_say(case: Case) -> None:
    events = decode(case.body)

    body = encode(events)

    told = as_told_by("openai_chat", reading(events))
    found = read_by_sdk(body)
    if told.error is not None:
        assert found.error == "APIError"
        assert told.error_message in found.error_message
        return
    assert (found.text, found.reasoning, found.refusal) == (told.text, told.reasoning, told.refusal)
    assert (found.tool_calls, found.tokens) == (told.tool_calls, told.tokens)
    message = read_by_helper(body)
    assert (message.get("content") or "") == told.text
    assert [one["id"] for one in message.get("tool_calls") or []] == [one.id for one in told.tool_calls]
    assert message["role"] == "assistant"


@given(event_lists())
def test_any_stream_is_read_by_the_sdk_without_loss(events: list[Event]) -> None:
    body = encode(events)

    assert body == encode(events, one_by_one=True)
    expected = reading(events)
    found = read_by_sdk(body)
    if expected.error is not None:
        assert found.error == "APIError"
        return
    assert (found.text, found.reasoning, found.refusal) == (expected.text, expected.reasoning, expected.refusal)
    assert [one.id for one in found.tool_calls] == [one.id for one in expected.tool_calls]
    if not any(isinstance(one, BlockStart) and is_custom(one.block) for one in events):
        read_by_helper(body)


def is_custom(block: Block) -> bool:
    """The Python SDK's helper fails on custom calls, OpenAI's own included."""
    return isinstance(block, ToolCallBlock) and block.kind is ToolKind.CUSTOM


@given(event_lists())
def test_what_is_written_is_read_back_by_the_provider_side(events: list[Event]) -> None:
    back = decode(encode(events))

    assert check(back) == []
    one, other = reading(events), reading(back)
    assert other.ending == one.ending
    if one.error is not None:
        return
    assert (other.text, other.reasoning, other.refusal) == (one.text, one.reasoning, one.refusal)


@given(event_lists())
def test_a_whole_answer_says_what_the_stream_says(events: list[Event]) -> None:
    completion = fold(events)
    if completion.error is not None:
        return

    body = DIALECT.encode_completion(completion, CONTEXT)
    answer = client(body, content_type="application/json").chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}]
    )

    expected = reading(events)
    message = answer.choices[0].message
    assert (message.content or "", message.refusal or "") == (expected.text, expected.refusal)
    assert [one.id for one in message.tool_calls or []] == [one.id for one in expected.tool_calls]
    assert answer.choices[0].finish_reason in {"stop", "length", "tool_calls", "content_filter"}
    assert (answer.usage is None) == (completion.usage is None)


def test_a_finish_reason_that_the_caller_has_is_not_written_again() -> None:
    encoder = DIALECT.encoder(CONTEXT)
    assert isinstance(encoder, EndsOnce)
    encoder.encode([START, BlockStart(0, TextBlock()), TextDelta(0, "Hi")])
    encoder.note_finish_reason()

    ending = encoder.encode([BlockEnd(0), Usage(1, 2), END])

    assert b"finish_reason" not in ending
    assert b'"completion_tokens":2' in ending
    assert ending.endswith(b"data: [DONE]\n\n")
