"""A whole answer as the message that a version 4 client of the AI SDK keeps."""

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.data_stream_encoder import Json, call_proof_word, finish_object, proof_word, result_value
from proxy.dialects.open_calls import arguments_json
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
    finish: Json = {}
    if completion.end is not None:
        finish = finish_object(completion.end.reason, completion.usage, has_refused=has_refused)
    message = {"id": f"msg_{context.id}", "role": "assistant", "content": "".join(whole.texts), "parts": whole.parts}
    return msgspec.json.encode({**message, **finish})


class _Whole:
    """The parts of the message so far."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parts: list[Json] = [{"type": "step-start"}]
        self._server_calls: dict[str, CompletedBlock] = {}
        """Calls of the provider's own tools that have no result yet: they are shown together with it."""
        self._sources = 0

    def add(self, done: CompletedBlock) -> None:
        match done.block:
            case TextBlock() | RefusalBlock():
                self.texts.append(done.text)
                self.parts.append({"type": "text", "text": done.text})
                self._add_sources(done)
            case ReasoningBlock():
                detail: Json = {"type": "text", "text": done.text}
                if done.signature is not None:
                    detail["signature"] = proof_word(done.signature.origin, done.signature.signature)
                self.parts.append({"type": "reasoning", "reasoning": done.text, "details": [detail]})
            case RedactedReasoningBlock(data, origin):
                detail = {"type": "redacted", "data": proof_word(origin, data, is_redacted=True)}
                self.parts.append({"type": "reasoning", "reasoning": "", "details": [detail]})
            case ToolCallBlock(id, kind=ToolKind.SERVER):
                self._server_calls[id] = done
            case ToolCallBlock() as block:
                self._add_call(block, done.text)
                if done.signature is not None:
                    detail = {"type": "redacted", "data": call_proof_word(done.signature, block.id)}
                    self.parts.append({"type": "reasoning", "reasoning": "", "details": [detail]})
            case ToolResultBlock() as block:
                call = self._server_calls.pop(block.call_id, None)
                if call is not None and isinstance(call.block, ToolCallBlock):
                    self._add_call(call.block, call.text).update(state="result", result=result_value(block))
            case MediaBlock(media_type, data, url):
                if data is not None:
                    self.parts.append({"type": "file", "mimeType": media_type, "data": data})
                else:
                    self._add_source(url or "", None)

    def _add_call(self, block: ToolCallBlock, text: str) -> Json:
        json = arguments_json(block, text)
        invocation: Json = {"state": "partial-call", "toolCallId": block.id, "toolName": block.name}
        if json is not None:
            args = json if json[:1] == b"{" else b'{"input":%b}' % json
            invocation.update(state="call", args=msgspec.Raw(args))
        self.parts.append({"type": "tool-invocation", "toolInvocation": invocation})
        return invocation

    def _add_sources(self, done: CompletedBlock) -> None:
        for citation in done.citations:
            if citation.url is not None:
                self._add_source(citation.url, citation.title)

    def _add_source(self, url: str, title: str | None) -> None:
        self._sources += 1
        source: Json = {"sourceType": "url", "id": f"source-{self._sources}", "url": url}
        if title is not None:
            source["title"] = title
        self.parts.append({"type": "source", "source": source})
