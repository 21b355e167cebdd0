import json

from proxy.dialects.base import StreamContext
from proxy.dialects.data_stream_completion import encode_completion
from proxy.hub.carried import Carried, pack
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    CitationAdded,
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    SignatureAdded,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)

CONTEXT = StreamContext(id="abc", model="m", created=1)


def test_answer_is_the_message_that_the_client_keeps() -> None:
    blocks = [
        CompletedBlock(ReasoningBlock(), "Hm.", SignatureAdded(0, "s", Origin.ANTHROPIC)),
        CompletedBlock(RedactedReasoningBlock("r", Origin.ANTHROPIC)),
        CompletedBlock(TextBlock(), "A", citations=[CitationAdded(2, url="u", title="T")]),
        CompletedBlock(ToolCallBlock("c1", "f"), '{"a":1}', SignatureAdded(3, "t", Origin.GEMINI)),
        CompletedBlock(ToolCallBlock("c2", "f"), '{"a":'),
        CompletedBlock(ToolCallBlock("s1", "w", ToolKind.SERVER), ""),
        CompletedBlock(ToolCallBlock("s2", "w", ToolKind.SERVER), ""),
        CompletedBlock(ToolResultBlock("s1", "[1]", Origin.ANTHROPIC, "t")),
        CompletedBlock(MediaBlock("image/png", data="aGk=")),
        CompletedBlock(MediaBlock("image/png", url="v")),
        CompletedBlock(TextBlock(), "B"),
    ]
    whole = Completion("p", "m", blocks, Usage(1, 2), MessageEnd(FinishReason.TOOL_CALLS))

    assert json.loads(encode_completion(whole, CONTEXT)) == {
        "id": "msg_abc",
        "role": "assistant",
        "content": "AB",
        "finishReason": "tool-calls",
        "usage": {"promptTokens": 1, "completionTokens": 2},
        "parts": [
            {"type": "step-start"},
            {
                "type": "reasoning",
                "reasoning": "Hm.",
                "details": [{"type": "text", "text": "Hm.", "signature": "s"}],
            },
            {"type": "reasoning", "reasoning": "", "details": [{"type": "redacted", "data": "r"}]},
            {"type": "text", "text": "A"},
            {"type": "source", "source": {"sourceType": "url", "id": "source-1", "url": "u", "title": "T"}},
            invocation(state="call", toolCallId="c1", toolName="f", args={"a": 1}),
            {
                "type": "reasoning",
                "reasoning": "",
                "details": [{"type": "redacted", "data": pack(Carried(Origin.GEMINI, "t", "c1"))}],
            },
            invocation(state="partial-call", toolCallId="c2", toolName="f"),
            invocation(state="result", toolCallId="s1", toolName="w", args={}, result=[1]),
            {"type": "file", "mimeType": "image/png", "data": "aGk="},
            {"type": "source", "source": {"sourceType": "url", "id": "source-2", "url": "v"}},
            {"type": "text", "text": "B"},
        ],
    }


def invocation(**fields: object) -> dict[str, object]:
    return {"type": "tool-invocation", "toolInvocation": fields}
