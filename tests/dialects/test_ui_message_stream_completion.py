import json
from typing import Any

from proxy.dialects.base import StreamContext
from proxy.dialects.ui_message_stream_completion import encode_completion
from proxy.dialects.ui_message_stream_encoder import NOT_JSON
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    CitationAdded,
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    SignatureAdded,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)

CONTEXT = StreamContext(id="abc", model="asked", created=1)


def encode(*blocks: CompletedBlock, usage: Usage | None = None) -> dict[str, Any]:
    whole = Completion("p", "", list(blocks), usage, MessageEnd(FinishReason.STOP))
    return json.loads(encode_completion(whole, CONTEXT))


def test_answer_is_a_message() -> None:
    assert encode(CompletedBlock(TextBlock(), "Hi"), usage=Usage(1, 2)) == {
        "id": "msg_abc",
        "role": "assistant",
        "metadata": {
            "model": "asked",
            "finishReason": "stop",
            "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        },
        "parts": [{"type": "step-start"}, {"type": "text", "text": "Hi", "state": "done"}],
    }


def test_every_block_is_a_part() -> None:
    signature = SignatureAdded(0, "s", Origin.ANTHROPIC)
    message = encode(
        CompletedBlock(ReasoningBlock(), "Hm.", signature),
        CompletedBlock(RedactedReasoningBlock("r", Origin.ANTHROPIC)),
        CompletedBlock(TextBlock(), "A", citations=[CitationAdded(2, url="u"), CitationAdded(2)]),
        CompletedBlock(RefusalBlock(), "No."),
        CompletedBlock(ToolCallBlock("c1", "f"), '{"a":1}', SignatureAdded(4, "g", Origin.GEMINI)),
        CompletedBlock(ToolCallBlock("c2", "f"), '{"a":'),
        CompletedBlock(ToolCallBlock("s1", "search", ToolKind.SERVER), ""),
        CompletedBlock(ToolResultBlock("s1", "[1]", Origin.ANTHROPIC, "t")),
        CompletedBlock(ToolResultBlock("s2", "[2]", Origin.ANTHROPIC, "t")),
        CompletedBlock(MediaBlock("image/png", data="aGk=")),
    )

    assert message["metadata"]["finishReason"] == "content-filter"
    assert message["parts"][1:] == [
        {
            "type": "reasoning",
            "id": "0",
            "text": "Hm.",
            "state": "done",
            "providerMetadata": {"anthropic": {"signature": "s"}},
        },
        {
            "type": "reasoning",
            "id": "1",
            "text": "",
            "state": "done",
            "providerMetadata": {"anthropic": {"redactedData": "r"}},
        },
        {"type": "text", "text": "A", "state": "done"},
        {"type": "source-url", "sourceId": "source-1", "url": "u"},
        {"type": "text", "text": "No.", "state": "done"},
        {
            "type": "tool-f",
            "toolCallId": "c1",
            "callProviderMetadata": {"google": {"thoughtSignature": "g"}},
            "state": "input-available",
            "input": {"a": 1},
        },
        {"type": "tool-f", "toolCallId": "c2", "state": "output-error", "rawInput": '{"a":', "errorText": NOT_JSON},
        {
            "type": "tool-search",
            "toolCallId": "s1",
            "providerExecuted": True,
            "state": "output-available",
            "input": {},
            "output": [1],
        },
        {"type": "data-tool-result", "data": {"toolCallId": "s2", "type": "t", "output": [2]}},
        {"type": "file", "url": "data:image/png;base64,aGk=", "mediaType": "image/png"},
    ]
