import json
from typing import Any

import pytest
from hypothesis import given

from proxy.dialects.base import StreamContext
from proxy.dialects.ui_message_stream_encoder import FINISH_REASON, NOT_JSON, UiMessageStreamEncoder
from proxy.hub.carried import Carried, pack
from proxy.hub.errors import ErrorKind
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
from tests.support.dialect_grammar import breaches
from tests.support.eventsource import interpret
from tests.support.strategies import event_lists

CONTEXT = StreamContext(id="abc", model="m", created=1)
START = MessageStart("provider-id", "m-1")
STOP = MessageEnd(FinishReason.STOP)


def encode(events: list[Event], context: StreamContext = CONTEXT) -> str:
    return UiMessageStreamEncoder(context).encode(events).decode()


def chunks(events: list[Event], context: StreamContext = CONTEXT) -> list[dict[str, Any]]:
    data = [event.data for event in interpret(encode(events, context).encode()).events]
    return [json.loads(chunk) for chunk in data if chunk != "[DONE]"]


def test_text_is_written_as_the_client_reads_it() -> None:
    events = [START, BlockStart(0, TextBlock()), TextDelta(0, 'Hel "\n\u2028🌍'), BlockEnd(0), Usage(12, 30), STOP]

    assert encode(events) == (
        'data: {"type":"start","messageId":"msg_abc","messageMetadata":{"model":"m-1"}}\n\n'
        'data: {"type":"start-step"}\n\n'
        'data: {"type":"text-start","id":"0"}\n\n'
        'data: {"type":"text-delta","id":"0","delta":"Hel \\"\\n\u2028🌍"}\n\n'
        'data: {"type":"text-end","id":"0"}\n\n'
        'data: {"type":"finish-step"}\n\n'
        'data: {"type":"finish","finishReason":"stop",'
        '"messageMetadata":{"usage":{"inputTokens":12,"outputTokens":30,"totalTokens":42}}}\n\n'
        "data: [DONE]\n\n"
    )


PROOFS = [
    (Origin.ANTHROPIC, None, {"anthropic": {"signature": "s"}}, {"anthropic": {"redactedData": "s"}}),
    (
        Origin.OPENAI,
        "rs_1",
        {"openai": {"itemId": "rs_1", "reasoningEncryptedContent": "s"}},
        {"openai": {"itemId": "rs_1", "reasoningEncryptedContent": "s"}},
    ),
    (
        Origin.COHERE,
        None,
        {"llmStreamProxy": {"proof": pack(Carried(Origin.COHERE, "s"))}},
        {"llmStreamProxy": {"proof": pack(Carried(Origin.COHERE, "s", is_redacted=True))}},
    ),
]


@pytest.mark.parametrize(("origin", "id", "signed", "redacted"), PROOFS)
def test_proofs_of_reasoning_travel_as_provider_metadata(
    origin: Origin, id: str | None, signed: object, redacted: object
) -> None:
    seen = chunks(
        [
            START,
            BlockStart(0, ReasoningBlock(id)),
            ReasoningDelta(0, "Hm."),
            SignatureAdded(0, "s", origin),
            BlockEnd(0),
            BlockStart(1, RedactedReasoningBlock("s", origin, id)),
            BlockEnd(1),
            STOP,
        ]
    )

    assert seen[2:5] == [
        {"type": "reasoning-start", "id": "0"},
        {"type": "reasoning-delta", "id": "0", "delta": "Hm."},
        {"type": "reasoning-end", "id": "0", "providerMetadata": signed},
    ]
    assert [chunk["providerMetadata"] for chunk in seen[5:7]] == [redacted, redacted]


def test_interleaved_calls_arrive_as_they_come_and_end_whole() -> None:
    seen = chunks(
        [
            START,
            BlockStart(0, ToolCallBlock("a", "get_weather")),
            BlockStart(1, ToolCallBlock("b", "now")),
            ArgumentsDelta(0, '{"city":'),
            SignatureAdded(1, "g", Origin.GEMINI),
            ArgumentsDelta(0, '"Oslo"}'),
            BlockEnd(1),
            BlockEnd(0),
            MessageEnd(FinishReason.TOOL_CALLS),
        ]
    )

    assert seen[2:] == [
        {"type": "tool-input-start", "toolCallId": "a", "toolName": "get_weather"},
        {"type": "tool-input-start", "toolCallId": "b", "toolName": "now"},
        {"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": '{"city":'},
        {"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": '"Oslo"}'},
        {
            "type": "tool-input-available",
            "toolCallId": "b",
            "toolName": "now",
            "providerMetadata": {"google": {"thoughtSignature": "g"}},
            "input": {},
        },
        {"type": "tool-input-available", "toolCallId": "a", "toolName": "get_weather", "input": {"city": "Oslo"}},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "tool-calls"},
    ]


@pytest.mark.parametrize(
    ("kind", "text", "end"),
    [
        (ToolKind.FUNCTION, '{"a":', {"type": "tool-input-error", "input": '{"a":', "errorText": NOT_JSON}),
        (ToolKind.FUNCTION, "[1,\n2]", {"type": "tool-input-available", "input": [1, 2]}),
        (ToolKind.CUSTOM, "ls -l", {"type": "tool-input-available", "input": "ls -l"}),
    ],
)
def test_input_is_json_or_said_to_be_none(kind: ToolKind, text: str, end: dict[str, Any]) -> None:
    call = ToolCallBlock("a", "f", kind)

    seen = chunks([START, BlockStart(0, call), ArgumentsDelta(0, text), BlockEnd(0), STOP])

    assert seen[-3] == {"toolCallId": "a", "toolName": "f", **end}


def test_tools_of_the_provider_are_shown_with_their_results() -> None:
    result = ToolResultBlock("s1", '[\n{"u": 1}]', Origin.ANTHROPIC, "web_search_tool_result")
    failed = ToolResultBlock("s1", "quota", Origin.ANTHROPIC, "t", is_error=True)
    stray = ToolResultBlock("s2", "plain", Origin.ANTHROPIC, "t")

    seen = chunks(
        [START, BlockStart(0, ToolCallBlock("s1", "web_search", ToolKind.SERVER)), BlockEnd(0)]
        + [event for index, block in enumerate((result, failed, stray), 1) for event in around(index, block)]
        + [STOP]
    )

    assert seen[2]["providerExecuted"] and seen[3]["providerExecuted"]
    assert seen[4:7] == [
        {"type": "tool-output-available", "toolCallId": "s1", "output": [{"u": 1}], "providerExecuted": True},
        {"type": "tool-output-error", "toolCallId": "s1", "errorText": "quota", "providerExecuted": True},
        {"type": "data-tool-result", "data": {"toolCallId": "s2", "type": "t", "output": "plain"}},
    ]


def around(index: int, block: Any) -> list[Event]:
    return [BlockStart(index, block), BlockEnd(index)]


def test_sources_and_files_are_parts() -> None:
    seen = chunks(
        [
            START,
            BlockStart(0, TextBlock()),
            CitationAdded(0, url="https://e.com", title="T", cited_text="c", start=0, end=3),
            CitationAdded(0, title="Doc"),
            CitationAdded(0),
            BlockEnd(0),
            *around(1, MediaBlock("image/png", data="aGk=")),
            *around(2, MediaBlock("image/png", url="https://e.com/a.png")),
            STOP,
        ]
    )

    details = {"llmStreamProxy": {"citedText": "c", "start": 0, "end": 3}}
    assert seen[3:5] == [
        {
            "type": "source-url",
            "sourceId": "source-1",
            "url": "https://e.com",
            "title": "T",
            "providerMetadata": details,
        },
        {"type": "source-document", "sourceId": "source-2", "mediaType": "text/plain", "title": "Doc"},
    ]
    assert [chunk["url"] for chunk in seen[6:8]] == ["data:image/png;base64,aGk=", "https://e.com/a.png"]


def test_refusal_is_text_of_a_filtered_answer() -> None:
    seen = chunks([START, BlockStart(0, RefusalBlock()), RefusalDelta(0, "No."), BlockEnd(0), STOP])

    assert seen[3] == {"type": "text-delta", "id": "0", "delta": "No."}
    assert seen[-1] == {"type": "finish", "finishReason": "content-filter"}


def test_error_midway_ends_texts_and_never_says_finish() -> None:
    events = [START, Usage(input=5), BlockStart(0, TextBlock()), TextDelta(0, "Pa"), StreamError(ErrorKind.CUT, "Cut.")]

    seen = chunks(events)

    assert seen[-3:] == [
        {"type": "text-end", "id": "0"},
        {"type": "message-metadata", "messageMetadata": {"usage": {"inputTokens": 5}}},
        {"type": "error", "errorText": "Cut."},
    ]
    assert encode(events).endswith("data: [DONE]\n\n")


def test_error_may_come_first() -> None:
    assert chunks([StreamError(ErrorKind.CUT, "Cut.")]) == [{"type": "error", "errorText": "Cut."}]


def test_answer_that_goes_on_with_a_message_bears_its_id() -> None:
    context = StreamContext(id="abc", model="m", created=1, variant="msg_before")

    assert chunks([START, STOP], context)[0]["messageId"] == "msg_before"


def test_every_reason_is_one_that_all_versions_know() -> None:
    assert set(FINISH_REASON) == set(FinishReason)
    assert set(FINISH_REASON.values()) <= {"stop", "length", "content-filter", "tool-calls", "error", "other"}


def test_heartbeat_is_a_comment() -> None:
    assert UiMessageStreamEncoder(CONTEXT).heartbeat() == b": keep-alive\n\n"


@given(event_lists())
def test_every_stream_is_what_clients_accept(events: list[Event]) -> None:
    assert breaches("ui_message_stream", UiMessageStreamEncoder(CONTEXT).encode(unique(events))) == []


def unique(events: list[Event]) -> list[Event]:
    """The same stream with an id of its own for each call."""
    return [
        BlockStart(event.index, ToolCallBlock(f"call_{event.index}", event.block.name, event.block.kind))
        if isinstance(event, BlockStart) and isinstance(event.block, ToolCallBlock)
        else event
        for event in events
    ]
