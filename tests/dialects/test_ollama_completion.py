import json
from typing import Any

import pytest

from proxy.dialects.base import StreamContext
from proxy.dialects.ollama_completion import encode_completion
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import (
    FinishReason,
    MediaBlock,
    MessageEnd,
    ReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    Usage,
)

BLOCKS = [
    CompletedBlock(ReasoningBlock(), "Hm."),
    CompletedBlock(TextBlock(), "A"),
    CompletedBlock(ToolCallBlock("c", "f"), '{"x":1}'),
    CompletedBlock(ToolCallBlock("s", "w", ToolKind.SERVER), ""),
    CompletedBlock(MediaBlock("image/png", data="aGk=")),
]
END: dict[str, Any] = {
    "model": "asked",
    "created_at": "1970-01-01T00:00:01Z",
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 1,
}
CALLS = [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}]


def encode(blocks: list[CompletedBlock], variant: str = "", reason: FinishReason = FinishReason.STOP) -> Any:
    whole = Completion("p", "", blocks, Usage(input=1), MessageEnd(reason))
    return json.loads(encode_completion(whole, StreamContext("abc", "asked", 1, variant=variant)))


def test_chat_answer_is_one_message() -> None:
    message = {"role": "assistant", "content": "A", "thinking": "Hm.", "tool_calls": CALLS, "images": ["aGk="]}

    assert encode(BLOCKS) == {**END, "message": message}


def test_generate_answer_is_one_response() -> None:
    fields = {"response": "A", "thinking": "Hm.", "tool_calls": CALLS, "image": "aGk="}

    assert encode(BLOCKS, "generate") == {**END, **fields}


def test_refusal_is_text_of_a_filtered_answer() -> None:
    answer = encode([CompletedBlock(RefusalBlock(), "No.")])

    assert (answer["message"]["content"], answer["done_reason"]) == ("No.", "content_filter")


def test_call_that_cannot_be_said_is_the_providers_fault_unless_it_was_cut_off() -> None:
    broken = [CompletedBlock(ToolCallBlock("c", "f"), '{"x":')]

    assert encode(broken, reason=FinishReason.LENGTH)["done_reason"] == "length"
    with pytest.raises(UpstreamProtocolError):
        encode(broken)
