"""A whole answer as Anthropic's message. Spec: anthropic SDK 2.12 `types/message.py`."""

import msgspec

from proxy.dialects.anthropic.content import (
    Json,
    call_proof,
    citation,
    message_head,
    message_usage,
    reasoning_proof,
    redacted,
    stop_reason,
    tool_call,
    tool_result,
)
from proxy.dialects.base import StreamContext
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    MediaBlock,
    MessageStart,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)
from proxy.hub.partial_json import PartialJson

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode_completion(completion: Completion, context: StreamContext) -> bytes:
    """The message as JSON."""
    start = MessageStart(completion.id, completion.model)
    message = message_head(start, context.id, context.model, message_usage(completion.usage))
    message["content"] = [block for done in completion.blocks for block in _content(done)]
    if completion.end is not None:
        message["stop_reason"] = stop_reason(completion.end)
        message["stop_sequence"] = completion.end.stop_sequence
    return msgspec.json.encode(message)


def _content(done: CompletedBlock) -> list[Json | msgspec.Raw]:
    """The blocks that one block becomes: none where this dialect has no word for it, two where a proof goes along."""
    match done.block:
        case TextBlock() | RefusalBlock():
            block: Json = {"type": "text", "text": done.text}
            if done.citations:
                block["citations"] = [citation(each) for each in done.citations]
            return [block]
        case ReasoningBlock():
            return [{"type": "thinking", "thinking": done.text, "signature": reasoning_proof(done.signature)}]
        case RedactedReasoningBlock():
            return [redacted(done.block)]
        case ToolCallBlock():
            return _call(done.block, done)
        case ToolResultBlock():
            result = tool_result(done.block)
            return [result] if result is not None else []
        case MediaBlock():
            return []


def _call(block: ToolCallBlock, done: CompletedBlock) -> list[Json | msgspec.Raw]:
    call = tool_call(block, msgspec.Raw(_input(block.kind, done.text)))
    if call is None:
        return []
    return [call] if done.signature is None else [call_proof(block, done.signature), call]


def _input(kind: ToolKind, arguments: str) -> bytes:
    """The arguments as an object: what of them is whole, when they were cut by a limit."""
    if kind is ToolKind.CUSTOM:
        return msgspec.json.encode({"input": arguments})
    try:
        _OBJECT.decode(arguments)
    except (ValueError, RecursionError):
        partial = PartialJson()
        partial.feed(arguments)
        value = partial.value() or ""
        return value.encode() if value.startswith("{") else b"{}"
    return arguments.encode()
