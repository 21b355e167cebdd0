"""A whole answer as the messages that an AG-UI client would have put together from the stream."""

import msgspec

from proxy.dialects.ag_ui_stream import (
    Json,
    MessageIds,
    citation_value,
    file_value,
    finish_word,
    run_of,
    usage_fields,
)
from proxy.dialects.base import StreamContext
from proxy.hub.carried import Carried, pack
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    MediaBlock,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)


def encode_completion(completion: Completion, context: StreamContext) -> bytes:
    """See `Dialect.encode_completion`."""
    whole = _Whole(context)
    for done in completion.blocks:
        whole.add(done)
    run = run_of(context)
    answer: Json = {"threadId": run.threadId, "runId": run.runId, "messages": whole.messages, **whole.rare}
    if completion.end is not None:
        has_refused = any(isinstance(done.block, RefusalBlock) for done in completion.blocks)
        answer["result"] = {"finishReason": finish_word(completion.end.reason, has_refused=has_refused)}
    return msgspec.json.encode({**answer, **usage_fields(completion.usage, completion.model or context.model)})


class _Whole:
    """The messages so far."""

    def __init__(self, context: StreamContext) -> None:
        self.messages: list[Json] = []
        self.rare: dict[str, list[Json]] = {}
        """What a stream says in CUSTOM events: `citations` and `files`."""
        self._ids = MessageIds(context)
        self._calls: dict[str, list[Json]] = {}
        """The calls of each assistant's message."""
        self._server_calls: dict[str, CompletedBlock] = {}
        """Calls of the provider's own tools that have no result yet: they are shown together with it."""

    def add(self, done: CompletedBlock) -> None:
        match done.block:
            case TextBlock() | RefusalBlock():
                self.messages.append({"id": self._ids.next_text(), "role": "assistant", "content": done.text})
                for citation in done.citations:
                    self.rare.setdefault("citations", []).append(citation_value(citation))
            case ReasoningBlock(id):
                message: Json = {"id": self._ids.next_reasoning(id), "role": "reasoning", "content": done.text}
                if done.signature is not None:
                    message["encryptedValue"] = pack(Carried(done.signature.origin, done.signature.signature))
                self.messages.append(message)
            case RedactedReasoningBlock(data, origin, id):
                message = {"id": self._ids.next_reasoning(id), "role": "reasoning", "content": ""}
                message["encryptedValue"] = pack(Carried(origin, data, is_redacted=True))
                self.messages.append(message)
            case ToolCallBlock(id, kind=ToolKind.SERVER):
                self._server_calls[id] = done
            case ToolCallBlock() as block:
                self._add_call(block, done)
            case ToolResultBlock(call_id, content):
                call = self._server_calls.pop(call_id, None)
                if call is not None and isinstance(call.block, ToolCallBlock):
                    self._add_call(call.block, call)
                    result = {"id": self._ids.next_result(), "role": "tool", "toolCallId": call_id}
                    self.messages.append({**result, "content": content})
            case MediaBlock() as block:
                self.rare.setdefault("files", []).append(file_value(block))

    def _add_call(self, block: ToolCallBlock, done: CompletedBlock) -> None:
        arguments = done.text or ("" if block.kind is ToolKind.CUSTOM else "{}")
        call: Json = {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": arguments},
        }
        if done.signature is not None:
            call["encryptedValue"] = pack(Carried(done.signature.origin, done.signature.signature, block.id))
        parent = self._ids.parent
        calls = self._calls.get(parent)
        if calls is not None:
            calls.append(call)
            return
        self._calls[parent] = calls = [call]
        for message in self.messages:
            if message["id"] == parent:
                message["toolCalls"] = calls
                return
        self.messages.append({"id": parent, "role": "assistant", "toolCalls": calls})
