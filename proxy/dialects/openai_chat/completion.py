"""Write a whole Chat Completions answer."""

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.openai_chat.parts import annotation, finish_reason, image, service_tier, usage_object
from proxy.dialects.openai_chat.reasoning import call_detail, redacted_detail, signature_detail
from proxy.dialects.openai_chat.request import FUNCTIONS
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    FinishReason,
    MediaBlock,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
)
from proxy.hub.reasoning_details import ReasoningDetail

Json = dict[str, object]


def encode_completion(completion: Completion, context: StreamContext) -> bytes:
    """The answer as JSON. Usage that was not reported is absent."""
    is_deprecated = context.variant == FUNCTIONS
    message = _Message()
    for done in completion.blocks:
        message.add(done)
    reason = completion.end.reason if completion.end is not None else FinishReason.OTHER
    choice: Json = {
        "index": 0,
        "message": message.written(is_deprecated=is_deprecated),
        "logprobs": None,
        "finish_reason": finish_reason(reason, is_deprecated=is_deprecated),
    }
    written: Json = {
        "id": f"chatcmpl-{context.id}",
        "object": "chat.completion",
        "created": context.created,
        "model": completion.model or context.model,
        "choices": [choice],
    }
    if completion.usage is not None:
        written["usage"] = usage_object(completion.usage)
    tier = service_tier(completion.usage)
    if tier is not None:
        written["service_tier"] = tier
    return msgspec.json.encode(written)


class _Message:
    """The one message, collected block by block."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refusals: list[str] = []
        self._details: list[ReasoningDetail] = []
        self._annotations: list[Json] = []
        self._calls: list[Json] = []
        self._images: list[Json] = []
        self._text_chars = 0
        self._reasoning_chars = 0

    def add(self, done: CompletedBlock) -> None:
        match done.block:
            case TextBlock():
                self._add_text(done)
            case ReasoningBlock():
                self._add_reasoning(done)
            case RedactedReasoningBlock():
                self._details.append(redacted_detail(done.block, len(self._details)))
            case RefusalBlock():
                self._refusals.append(done.text)
            case ToolCallBlock() if done.block.kind is not ToolKind.SERVER:
                self._add_call(done, done.block)
            case MediaBlock():
                if (written := image(done.block, len(self._images))) is not None:
                    self._images.append(written)
            case _:
                # What a provider runs itself has no place here.
                pass

    def written(self, *, is_deprecated: bool) -> Json:
        """`message`: the standard fields always, extensions only if there is something in them."""
        text = "".join(self._texts)
        has_other = bool(self._calls or self._refusals)
        message: Json = {
            "role": "assistant",
            "content": None if not text and has_other else text,
            "refusal": "".join(self._refusals) or None,
        }
        if self._calls and is_deprecated:
            message["function_call"] = self._calls[0]["function"]
        elif self._calls:
            message["tool_calls"] = self._calls
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        for name, entries in (
            ("reasoning_details", self._details),
            ("annotations", self._annotations),
            ("images", self._images),
        ):
            if entries:
                message[name] = entries
        return message

    def _add_text(self, done: CompletedBlock) -> None:
        start = self._text_chars
        self._texts.append(done.text)
        self._text_chars += len(done.text)
        for citation in done.citations:
            if (written := annotation(citation, start, self._text_chars)) is not None:
                self._annotations.append(written)

    def _add_reasoning(self, done: CompletedBlock) -> None:
        start = self._reasoning_chars
        self._reasoning.append(done.text)
        self._reasoning_chars += len(done.text)
        if done.signature is not None:
            span = (start, self._reasoning_chars)
            self._details.append(signature_detail(done.signature, span, len(self._details)))

    def _add_call(self, done: CompletedBlock, block: ToolCallBlock) -> None:
        call: Json = {"id": block.id, "type": block.kind.value}
        if block.kind is ToolKind.CUSTOM:
            call["custom"] = {"name": block.name, "input": done.text}
        else:
            call["function"] = {"name": block.name, "arguments": done.text or "{}"}
        signature = done.signature
        if signature is not None and signature.origin is Origin.GEMINI:
            call["extra_content"] = {"google": {"thought_signature": signature.signature}}
        elif signature is not None:
            self._details.append(call_detail(signature, block.id, len(self._details)))
        self._calls.append(call)
