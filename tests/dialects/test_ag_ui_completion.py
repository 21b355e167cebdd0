import json

from proxy.dialects.ag_ui_completion import encode_completion
from proxy.dialects.base import StreamContext
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

CONTEXT = StreamContext(id="abc", model="asked", created=1, variant='{"threadId":"t","runId":"r"}')


def call(id: str, name: str, arguments: str, **more: object) -> dict[str, object]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def test_answer_is_the_messages_that_the_client_keeps() -> None:
    blocks = [
        CompletedBlock(ReasoningBlock("rs_1"), "Hm.", SignatureAdded(0, "s", Origin.OPENAI)),
        CompletedBlock(RedactedReasoningBlock("x", Origin.ANTHROPIC)),
        CompletedBlock(TextBlock(), "A", citations=[CitationAdded(2, url="u")]),
        CompletedBlock(ToolCallBlock("c1", "f"), "", SignatureAdded(3, "g", Origin.GEMINI)),
        CompletedBlock(ToolCallBlock("c2", "f"), '{"a":1}'),
        CompletedBlock(ToolCallBlock("s1", "w", ToolKind.SERVER), ""),
        CompletedBlock(ToolCallBlock("s2", "w", ToolKind.SERVER), ""),
        CompletedBlock(ToolResultBlock("s1", "[1]", Origin.ANTHROPIC, "t")),
        CompletedBlock(MediaBlock("image/png", data="aGk=")),
    ]
    whole = Completion("p", "", blocks, Usage(1, 2), MessageEnd(FinishReason.TOOL_CALLS))

    answer = json.loads(encode_completion(whole, CONTEXT))

    ids = [message.pop("id") for message in answer["messages"]]
    assert ids[0] == "rs_1" and len(set(ids)) == len(ids)
    assert answer == {
        "threadId": "t",
        "runId": "r",
        "messages": [
            {"role": "reasoning", "content": "Hm.", "encryptedValue": pack(Carried(Origin.OPENAI, "s"))},
            {
                "role": "reasoning",
                "content": "",
                "encryptedValue": pack(Carried(Origin.ANTHROPIC, "x", is_redacted=True)),
            },
            {
                "role": "assistant",
                "content": "A",
                "toolCalls": [
                    call("c1", "f", "{}", encryptedValue=pack(Carried(Origin.GEMINI, "g", "c1"))),
                    call("c2", "f", '{"a":1}'),
                    call("s1", "w", "{}"),
                ],
            },
            {"role": "tool", "toolCallId": "s1", "content": "[1]"},
        ],
        "citations": [{"url": "u"}],
        "files": [{"mimeType": "image/png", "data": "aGk="}],
        "result": {"finishReason": "tool_calls"},
        "usage": [{"model": "asked", "inputTokens": 1, "outputTokens": 2, "totalTokens": 3}],
    }


def test_calls_without_text_have_a_message_of_their_own() -> None:
    whole = Completion("p", "m", [CompletedBlock(ToolCallBlock("c", "f"), "{}")], None, None)

    assert json.loads(encode_completion(whole, CONTEXT))["messages"] == [
        {"id": "msg_abc", "role": "assistant", "toolCalls": [call("c", "f", "{}")]}
    ]
