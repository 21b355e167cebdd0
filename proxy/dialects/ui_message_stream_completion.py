"""A whole answer as the UIMessage that a client of the AI SDK would have put together from the stream."""

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.open_calls import arguments_json
from proxy.dialects.ui_message_stream_encoder import (
    NOT_JSON,
    Json,
    file_part,
    finish_word,
    message_id,
    result_output,
    source_part,
    usage_object,
)
from proxy.dialects.ui_metadata import redacted_metadata, signature_metadata
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
    whole = _Whole()
    for done in completion.blocks:
        whole.add(done)
    has_refused = any(isinstance(done.block, RefusalBlock) for done in completion.blocks)
    metadata: Json = {"model": completion.model or context.model}
    if completion.end is not None:
        metadata["finishReason"] = finish_word(completion.end.reason, has_refused=has_refused)
    if completion.usage is not None:
        metadata["usage"] = usage_object(completion.usage)
    parts = [{"type": "step-start"}, *whole.parts]
    return msgspec.json.encode({"id": message_id(context), "role": "assistant", "metadata": metadata, "parts": parts})


class _Whole:
    """The parts of the message so far."""

    def __init__(self) -> None:
        self.parts: list[Json] = []
        self._calls: dict[str, Json] = {}
        self._sources = 0

    def add(self, done: CompletedBlock) -> None:
        match done.block:
            case TextBlock() | RefusalBlock():
                self.parts.append({"type": "text", "text": done.text, "state": "done"})
                self._add_sources(done)
            case ReasoningBlock(id):
                part: Json = {"type": "reasoning", "id": str(len(self.parts)), "text": done.text, "state": "done"}
                if done.signature is not None:
                    part["providerMetadata"] = signature_metadata(done.signature, id)
                self.parts.append(part)
            case RedactedReasoningBlock() as block:
                part = {"type": "reasoning", "id": str(len(self.parts)), "text": "", "state": "done"}
                self.parts.append({**part, "providerMetadata": redacted_metadata(block)})
            case ToolCallBlock() as block:
                self._add_call(block, done)
            case ToolResultBlock() as block:
                self._add_result(block)
            case MediaBlock() as block:
                self.parts.append(file_part(block))

    def _add_sources(self, done: CompletedBlock) -> None:
        for citation in done.citations:
            self._sources += 1
            source = source_part(citation, f"source-{self._sources}")
            if source is not None:
                self.parts.append(source)

    def _add_call(self, block: ToolCallBlock, done: CompletedBlock) -> None:
        json = arguments_json(block, done.text)
        part: Json = {"type": f"tool-{block.name}", "toolCallId": block.id}
        if block.kind is ToolKind.SERVER:
            part["providerExecuted"] = True
        if done.signature is not None:
            part["callProviderMetadata"] = signature_metadata(done.signature)
        if json is None:
            part.update(state="output-error", rawInput=done.text, errorText=NOT_JSON)
        else:
            part.update(state="input-available", input=msgspec.Raw(json))
        self._calls[block.id] = part
        self.parts.append(part)

    def _add_result(self, block: ToolResultBlock) -> None:
        call = self._calls.get(block.call_id)
        if call is None:
            data = {"toolCallId": block.call_id, "type": block.type, "output": result_output(block)}
            self.parts.append({"type": "data-tool-result", "data": data})
        elif block.is_error:
            call.update(state="output-error", errorText=block.content)
        else:
            call.update(state="output-available", output=result_output(block))
