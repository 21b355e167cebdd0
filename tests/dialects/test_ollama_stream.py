import json
from typing import Any

import pytest
from hypothesis import given

from proxy.dialects.base import StreamContext
from proxy.dialects.ollama_stream import DONE_REASON, OllamaEncoder
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
from tests.dialects.test_ui_message_stream_encoder import around
from tests.support.dialect_grammar import breaches
from tests.support.strategies import event_lists

CHAT = StreamContext(id="abc", model="m", created=1_790_000_000)
GENERATE = StreamContext(id="abc", model="m", created=1_790_000_000, variant="generate")
START = MessageStart("p", "m-1")
STOP = MessageEnd(FinishReason.STOP)
HEAD = '{"model":"m-1","created_at":"2026-09-21T14:13:20Z",'


def encode(*events: Event, context: StreamContext = CHAT) -> str:
    return OllamaEncoder(context).encode(list(events)).decode()


def lines(*events: Event, context: StreamContext = CHAT) -> list[dict[str, Any]]:
    return [json.loads(line) for line in encode(*events, context=context).splitlines()]


ANSWER: list[Event] = [
    START,
    BlockStart(0, ReasoningBlock()),
    ReasoningDelta(0, "Hm."),
    SignatureAdded(0, "s", Origin.ANTHROPIC),
    BlockEnd(0),
    *around(1, RedactedReasoningBlock("r", Origin.ANTHROPIC)),
    BlockStart(2, TextBlock()),
    TextDelta(2, 'Yes "\n'),
    CitationAdded(2, url="u"),
    BlockEnd(2),
    Usage(input=12, output=7, cached_input=3),
    STOP,
]


def test_chat_has_messages() -> None:
    assert encode(*ANSWER) == (
        HEAD + '"message":{"role":"assistant","content":"","thinking":"Hm."},"done":false}\n'
        + HEAD + '"message":{"role":"assistant","content":"Yes \\"\\n"},"done":false}\n'
        + HEAD + '"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
        '"prompt_eval_count":12,"eval_count":7}\n'
    )  # fmt: skip


def test_generate_has_responses() -> None:
    assert encode(*ANSWER, context=GENERATE) == (
        HEAD + '"response":"","thinking":"Hm.","done":false}\n'
        + HEAD + '"response":"Yes \\"\\n","done":false}\n'
        + HEAD + '"response":"","done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":7}\n'
    )  # fmt: skip


def test_characters_at_which_the_client_splits_are_escaped() -> None:
    seen = encode(START, BlockStart(0, TextBlock()), TextDelta(0, "a\u2028b\u2029c\x85d"), BlockEnd(0), STOP)

    assert len(seen.splitlines()) == 2
    assert json.loads(seen.splitlines()[0])["message"]["content"] == "a\u2028b\u2029c\x85d"


def test_calls_come_whole_with_objects() -> None:
    seen = lines(
        START,
        BlockStart(0, ToolCallBlock("a", "f")),
        BlockStart(1, ToolCallBlock("b", "g", ToolKind.CUSTOM)),
        ArgumentsDelta(0, '{"x":'),
        ArgumentsDelta(1, "ls"),
        ArgumentsDelta(0, "1}"),
        BlockEnd(0),
        BlockEnd(1),
        *around(2, ToolCallBlock("s", "search", ToolKind.SERVER)),
        *around(3, ToolResultBlock("s", "[]", Origin.ANTHROPIC, "t")),
        MessageEnd(FinishReason.TOOL_CALLS),
    )

    assert [line["message"].get("tool_calls") for line in seen] == [
        [{"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}],
        [{"id": "b", "function": {"index": 1, "name": "g", "arguments": {"input": "ls"}}}],
        None,
    ]
    assert seen[-1]["done_reason"] == "stop"


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        (FinishReason.TOOL_CALLS, {"error": "The model called 'f' with arguments that are not valid JSON."}),
        (FinishReason.LENGTH, {"done": True, "done_reason": "length"}),
    ],
)
def test_call_that_cannot_be_said_is_an_error_unless_the_model_was_cut_off(
    reason: FinishReason, ending: dict[str, object]
) -> None:
    call = [BlockStart(0, ToolCallBlock("a", "f")), ArgumentsDelta(0, '{"x":'), BlockEnd(0)]

    (last,) = lines(START, *call, MessageEnd(reason))

    assert ending.items() <= last.items()


def test_images_stand_in_messages() -> None:
    blocks = [*around(0, MediaBlock("image/png", data="aGk=")), *around(1, MediaBlock("image/png", url="u"))]

    assert lines(START, *blocks, STOP)[0]["message"]["images"] == ["aGk="]
    assert lines(START, *blocks, STOP, context=GENERATE)[0]["image"] == "aGk="


def test_refusal_is_text_of_a_filtered_answer() -> None:
    seen = lines(START, BlockStart(0, RefusalBlock()), RefusalDelta(0, "No."), BlockEnd(0), STOP)

    assert (seen[0]["message"]["content"], seen[-1]["done_reason"]) == ("No.", "content_filter")


def test_error_is_the_last_line() -> None:
    assert encode(StreamError(ErrorKind.CUT, 'C"ut')) == '{"error":"C\\"ut"}\n'
    assert encode(StreamError(ErrorKind.CUT, "")) == '{"error":"The stream failed."}\n'


def test_every_reason_has_a_word() -> None:
    assert set(DONE_REASON) == set(FinishReason)


@pytest.mark.parametrize("context", [CHAT, GENERATE])
def test_heartbeat_is_a_line_without_text(context: StreamContext) -> None:
    beat = json.loads(OllamaEncoder(context).heartbeat())

    assert beat["done"] is False and (beat.get("response") or beat.get("message", {}).get("content")) in ("", None)


@given(event_lists())
def test_every_stream_is_what_the_client_accepts(events: list[Event]) -> None:
    assert breaches("ollama", OllamaEncoder(CHAT).encode(events)) == []
    assert breaches("ollama", OllamaEncoder(GENERATE).encode(events)) == []
