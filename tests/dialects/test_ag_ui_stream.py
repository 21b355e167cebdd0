import json
from typing import Any

import pytest
from hypothesis import given

from proxy.dialects import ag_ui_stream
from proxy.dialects.ag_ui_stream import AgUiEncoder
from proxy.dialects.base import StreamContext
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
from tests.dialects.test_ui_message_stream_encoder import around, unique
from tests.support.dialect_grammar import breaches
from tests.support.eventsource import interpret
from tests.support.strategies import event_lists

CONTEXT = StreamContext(id="abc", model="m", created=1, variant='{"threadId":"t","runId":"r"}')
START = MessageStart("p", "m-1")
STOP = MessageEnd(FinishReason.STOP)


def encode(*events: Event) -> str:
    return AgUiEncoder(CONTEXT).encode(list(events)).decode()


def seen(*events: Event) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in interpret(encode(*events).encode()).events]


def test_text_is_a_message_of_a_run() -> None:
    text = [BlockStart(0, TextBlock()), TextDelta(0, 'Hel "\n'), BlockEnd(0)]

    assert encode(START, *text, Usage(12, 30, cached_input=3), STOP) == (
        'data: {"type":"RUN_STARTED","threadId":"t","runId":"r"}\n\n'
        'data: {"type":"TEXT_MESSAGE_START","messageId":"msg_abc","role":"assistant"}\n\n'
        'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"msg_abc","delta":"Hel \\"\\n"}\n\n'
        'data: {"type":"TEXT_MESSAGE_END","messageId":"msg_abc"}\n\n'
        'data: {"type":"RUN_FINISHED","threadId":"t","runId":"r","result":{"finishReason":"stop"},'
        '"usage":[{"model":"m-1","inputTokens":12,"outputTokens":30,"totalTokens":42,"cachedInputTokens":3}]}\n\n'
    )


def test_run_without_ids_gets_some() -> None:
    written = AgUiEncoder(StreamContext("abc", "m", 1)).encode([START])

    assert written == b'data: {"type":"RUN_STARTED","threadId":"thread_abc","runId":"run_abc"}\n\n'


def test_reasoning_keeps_its_id_and_its_proof() -> None:
    events = seen(
        START,
        BlockStart(0, ReasoningBlock("rs_1")),
        ReasoningDelta(0, "Hm."),
        SignatureAdded(0, "e", Origin.OPENAI),
        BlockEnd(0),
        *around(1, RedactedReasoningBlock("x", Origin.ANTHROPIC)),
        STOP,
    )

    proof = {"type": "REASONING_ENCRYPTED_VALUE", "subtype": "message"}
    assert [event["type"] for event in events[1:7]] == [
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_ENCRYPTED_VALUE",
        "REASONING_MESSAGE_END",
        "REASONING_END",
    ]
    assert {event["messageId"] for event in events[1:4]} == {"rs_1"}
    assert events[4] == {**proof, "entityId": "rs_1", "encryptedValue": pack(Carried(Origin.OPENAI, "e"))}
    assert events[9]["encryptedValue"] == pack(Carried(Origin.ANTHROPIC, "x", is_redacted=True))


def test_parallel_calls_belong_to_the_text_before_them() -> None:
    events = seen(
        START,
        *around(0, TextBlock()),
        BlockStart(1, ToolCallBlock("a", "f")),
        BlockStart(2, ToolCallBlock("b", "g")),
        ArgumentsDelta(1, "{}"),
        SignatureAdded(2, "s", Origin.GEMINI),
        BlockEnd(2),
        BlockEnd(1),
        MessageEnd(FinishReason.TOOL_CALLS),
    )[3:]

    start = {"type": "TOOL_CALL_START", "parentMessageId": "msg_abc"}
    assert events == [
        {**start, "toolCallId": "a", "toolCallName": "f"},
        {**start, "toolCallId": "b", "toolCallName": "g"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "a", "delta": "{}"},
        {
            "type": "REASONING_ENCRYPTED_VALUE",
            "subtype": "tool-call",
            "entityId": "b",
            "encryptedValue": pack(Carried(Origin.GEMINI, "s", "b")),
        },
        {"type": "TOOL_CALL_ARGS", "toolCallId": "b", "delta": "{}"},
        {"type": "TOOL_CALL_END", "toolCallId": "b"},
        {"type": "TOOL_CALL_END", "toolCallId": "a"},
        {"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "result": {"finishReason": "tool_calls"}},
    ]


def test_tools_of_the_provider_are_shown_with_their_results_or_not_at_all() -> None:
    calls = [event for index, id in enumerate("st") for event in around(index, ToolCallBlock(id, "w", ToolKind.SERVER))]
    results = [
        *around(2, ToolResultBlock("s", "[1]", Origin.ANTHROPIC, "t")),
        *around(3, ToolResultBlock("unknown", "2", Origin.ANTHROPIC, "t")),
    ]

    events = seen(START, *calls, *results, STOP)[1:-1]

    assert [event["type"] for event in events] == [
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
    ]
    assert {event["toolCallId"] for event in events} == {"s"}
    assert events[-1]["content"] == "[1]"


def test_what_waits_for_results_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ag_ui_stream, "MAX_HELD_BYTES", 2000)
    called: list[Event] = [START]
    for index, (id, size) in enumerate({"a": 100, "b": 3000, "c": 100}.items()):
        block = ToolCallBlock(id, "w", ToolKind.SERVER)
        called += [BlockStart(index, block), ArgumentsDelta(index, "1" * size), BlockEnd(index)]
    results = [
        event
        for index, id in enumerate("abc")
        for event in around(3 + index, ToolResultBlock(id, "[]", Origin.ANTHROPIC, "t"))
    ]

    events = seen(*called, *results, STOP)

    assert [event["toolCallId"] for event in events if event["type"] == "TOOL_CALL_RESULT"] == ["a", "c"]
    assert {event["toolCallId"] for event in events if event["type"] == "TOOL_CALL_START"} == {"a", "c"}
    assert breaches("ag_ui", encode(*called, *results, STOP).encode()) == []


def test_what_the_protocol_has_no_event_for_is_custom() -> None:
    events = seen(
        START,
        BlockStart(0, TextBlock()),
        CitationAdded(0, url="u", cited_text="c"),
        BlockEnd(0),
        *around(1, MediaBlock("image/png", data="aGk=")),
        STOP,
    )

    assert [(event["name"], event["value"]) for event in events if event["type"] == "CUSTOM"] == [
        ("citation", {"url": "u", "citedText": "c"}),
        ("file", {"mimeType": "image/png", "data": "aGk="}),
    ]


def test_refusal_is_text_and_the_result() -> None:
    events = seen(START, BlockStart(0, RefusalBlock()), RefusalDelta(0, "No."), BlockEnd(0), STOP)

    assert (events[2]["delta"], events[-1]["result"]) == ("No.", {"finishReason": "refusal"})


def test_error_is_the_last_event() -> None:
    error = {"type": "RUN_ERROR", "message": "Cut.", "code": "cut"}

    assert seen(StreamError(ErrorKind.CUT, "Cut.")) == [error]
    assert seen(START, BlockStart(0, TextBlock()), TextDelta(0, "P"), StreamError(ErrorKind.CUT, "Cut."))[-1] == error


def test_heartbeat_is_a_comment() -> None:
    assert AgUiEncoder(CONTEXT).heartbeat() == b": keep-alive\n\n"


@given(event_lists())
def test_every_stream_is_what_the_client_accepts(events: list[Event]) -> None:
    assert breaches("ag_ui", AgUiEncoder(CONTEXT).encode(unique(events))) == []
