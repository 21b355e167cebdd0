"""What a span says of prompt and answer: all of it while it is small, the newest of it when it is large."""

import json

from proxy.hub.continuation import Delivered
from proxy.hub.events import (
    ArgumentsDelta,
    BlockStart,
    ReasoningBlock,
    ReasoningDelta,
    TextBlock,
    TextDelta,
    ToolCallBlock,
)
from proxy.hub.request import (
    ChatRequest,
    DataSource,
    ImagePart,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from proxy.tracing_content import CUT_MARK, answer_json, request_json


def request(*messages: Message) -> ChatRequest:
    return ChatRequest(model="m", messages=messages)


def test_a_conversation_is_told_in_messages_and_parts() -> None:
    asked = request(
        Message(Role.SYSTEM, (TextPart("Be kind."),)),
        Message(Role.USER, (TextPart("What is it?"), ImagePart(DataSource("image/png", "aGk=")))),
        Message(Role.ASSISTANT, (ToolCallPart("c1", "look", '{"at":1}'),)),
        Message(Role.TOOL, (ToolResultPart("c1", (TextPart("a cat"),)),)),
    )

    assert json.loads(request_json(asked, 10_000)) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "What is it?"}, {"type": "image"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": '{"at":1}'}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "content": "a cat", "id": "c1"}]},
    ]


def test_of_a_long_conversation_the_end_is_kept() -> None:
    asked = request(*(Message(Role.USER, (TextPart(f"{number} " + "ü" * 500),)) for number in range(100)))

    text = request_json(asked, 3000)

    messages = json.loads(text)
    assert len(text.encode()) < 3000 * 2
    assert 2 <= len(messages) <= 4
    assert messages[-1]["parts"][0]["content"].startswith("99 ")
    assert messages[0]["parts"][0]["content"].endswith(CUT_MARK)


def test_many_empty_parts_end_as_well() -> None:
    asked = request(Message(Role.USER, ()), *(Message(Role.USER, (TextPart(""),)) for _ in range(100_000)))

    assert len(request_json(asked, 1000)) < 5000


def test_a_stream_is_told_as_far_as_it_was_remembered() -> None:
    delivered = Delivered(20)
    delivered.observe(
        [
            BlockStart(0, ReasoningBlock()),
            ReasoningDelta(0, "hm"),
            BlockStart(1, TextBlock()),
            TextDelta(1, "yes"),
            BlockStart(2, ToolCallBlock("c1", "look")),
            ArgumentsDelta(2, "{}"),
        ]
    )

    assert json.loads(answer_json(delivered, 1000)) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "yes"},
                {"type": "tool_call", "id": "c1", "name": "look", "arguments": "{}"},
            ],
        }
    ]
