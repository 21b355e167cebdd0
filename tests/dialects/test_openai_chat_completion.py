"""Whole Chat Completions answers."""

import json
from typing import Any

import pytest

from proxy.dialects.base import StreamContext
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    CitationAdded,
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RefusalBlock,
    SignatureAdded,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    Usage,
)
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.corpus import Recording, params
from tests.support.openai_chat_api import TARGET, read_whole_by_sdk, reading_of, recorded_answers
from tests.support.readings import as_told_by

DIALECT = OpenAIChatDialect()
CONTEXT = StreamContext("x" * 24, "alias", 1790000000)


def encode(
    *blocks: CompletedBlock, reason: FinishReason = FinishReason.STOP, usage: Usage | None = None
) -> dict[str, Any]:
    completion = Completion("id", "real", list(blocks), usage, MessageEnd(reason))
    return json.loads(DIALECT.encode_completion(completion, CONTEXT))


def message(*blocks: CompletedBlock) -> dict[str, Any]:
    found: dict[str, Any] = encode(*blocks)["choices"][0]["message"]
    return found


def test_an_answer_is_this_object() -> None:
    assert encode(CompletedBlock(TextBlock(), "Hi"), usage=Usage(3, 2)) == {
        "id": "chatcmpl-" + "x" * 24,
        "object": "chat.completion",
        "created": 1790000000,
        "model": "real",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def test_usage_that_was_not_reported_is_absent() -> None:
    assert "usage" not in encode(CompletedBlock(TextBlock(), "Hi"))


def test_content_is_null_only_beside_something_else() -> None:
    call = CompletedBlock(ToolCallBlock("a", "f"), "")

    assert message() == {"role": "assistant", "content": "", "refusal": None}
    assert message(CompletedBlock(RefusalBlock(), "no")) == {"role": "assistant", "content": None, "refusal": "no"}
    assert message(call) == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def test_everything_has_its_place() -> None:
    found = message(
        CompletedBlock(ReasoningBlock(), "why", SignatureAdded(0, "s", Origin.ANTHROPIC)),
        CompletedBlock(TextBlock(), "ab", citations=[CitationAdded(1, "https://a", "A")]),
        CompletedBlock(ToolCallBlock("s", "search", ToolKind.SERVER), "{}"),
        CompletedBlock(ToolCallBlock("p", "patch", ToolKind.CUSTOM), "free"),
        CompletedBlock(ToolCallBlock("g", "f"), "{}", SignatureAdded(4, "sig", Origin.GEMINI)),
        CompletedBlock(MediaBlock("image/png", data="AAAA")),
    )

    assert found["reasoning_content"] == "why"
    assert [detail["span"] for detail in found["reasoning_details"]] == [[0, 3]]
    assert found["annotations"][0]["url_citation"]["end_index"] == 2
    assert found["tool_calls"] == [
        {"id": "p", "type": "custom", "custom": {"name": "patch", "input": "free"}},
        {
            "id": "g",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "sig"}},
        },
    ]
    assert found["images"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"


@pytest.mark.parametrize("recording", params(recorded_answers(ok=True)))
def test_a_recorded_answer_reads_the_same_after_conversion(recording: Recording) -> None:
    completion = OpenAIChat().decode_completion(recording.response, TARGET)

    found = read_whole_by_sdk(DIALECT.encode_completion(completion, CONTEXT))

    told = as_told_by("openai_chat", reading_of(completion))
    assert (found.text, found.reasoning, found.tool_calls, found.tokens) == (
        told.text,
        told.reasoning,
        told.tool_calls,
        told.tokens,
    )
