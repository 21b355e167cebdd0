"""What an answer holds, as JSON of the API: parts, usage, citations and the finish. Used by streams and whole answers.

Everything here is a bytes of compact JSON without line ends, so that it may stand in a `data:` line.
"""

from typing import Final

import msgspec

from proxy.dialects.gemini.signatures import NO_SIGNATURE, Proof, write
from proxy.hub.events import (
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    RedactedReasoningBlock,
    SignatureAdded,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.hub.json_text import mended

FINISH_REASON: Final[dict[FinishReason, str]] = {
    FinishReason.STOP: "STOP",
    FinishReason.STOP_SEQUENCE: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTEXT_FULL: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
    FinishReason.PAUSE: "STOP",
    FinishReason.MALFORMED_CALL: "MALFORMED_FUNCTION_CALL",
    FinishReason.OTHER: "OTHER",
}

OWN_FINISH_REASONS: Final = frozenset(
    {
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_OTHER",
        "NO_IMAGE",
        "IMAGE_RECITATION",
        "ESCALATION",
        "MODEL_ARMOR",
        "PUP_LIMITED_DISABLED",
    }
)
"""Words that an answer of this API's own family keeps. CONTINUATION needs a token that only the provider has."""

FAILED_CALL: Final = "MALFORMED_FUNCTION_CALL"

encode: Final = msgspec.json.Encoder().encode
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

_BREAKS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def unbroken(json: bytes) -> bytes:
    """`json` with the characters escaped at which older google-genai (1.x) splits a line, though no standard says so."""
    if not json.isascii():
        for character, escape in _BREAKS:
            json = json.replace(character, escape)
    return json


def text_part(text: str, *, thought: bool = False, signature: str | None = None) -> bytes:
    shown = unbroken(encode(text))
    if thought:
        shown += b',"thought":true'
    if signature is not None:
        shown += b',"thoughtSignature":%b' % encode(signature)
    return b'{"text":%b}' % shown


def signature_of(added: SignatureAdded, call_id: str | None = None) -> str:
    """The `thoughtSignature` for a signature of any family."""
    return write(Proof(added.signature, added.origin), call_id)


def redacted_part(block: RedactedReasoningBlock) -> bytes:
    return text_part("", thought=True, signature=write(Proof(block.data, block.origin, is_redacted=True)))


def media_part(block: MediaBlock, signature: str | None) -> bytes:
    media_type = encode(block.media_type)
    if block.data is not None:
        part = b'{"inlineData":{"mimeType":%b,"data":%b}' % (media_type, encode(block.data))
    else:
        part = b'{"fileData":{"mimeType":%b,"fileUri":%b}' % (media_type, encode(block.url or ""))
    return part + (b',"thoughtSignature":%b}' % encode(signature) if signature is not None else b"}")


def result_part(block: ToolResultBlock) -> bytes | None:
    """The result of a tool that the provider ran: only this API's own have a part."""
    return own_object(block.raw) if block.origin is Origin.GEMINI else None


def server_call_part(block: ToolCallBlock) -> bytes | None:
    """A call that the provider ran: only this API's own have a part."""
    return own_object(block.raw) if block.origin is Origin.GEMINI else None


class CallWriter:
    """Writes the function calls of one answer."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        """Names of calls that could not be given."""
        self._is_signed = False
        """Whether the answer is Gemini's, or its first call already has a signature."""

    def see(self, signature: SignatureAdded) -> None:
        """A signature of the answer, wherever it stands."""
        self._is_signed = self._is_signed or signature.origin is Origin.GEMINI

    def part(self, block: ToolCallBlock, arguments: str, signature: SignatureAdded | None) -> bytes | None:
        """A call, whole; `None` when its arguments are no JSON, as when a token limit cut them off.

        Arguments that are JSON but no object, and the free text of a CUSTOM tool, stand under `input`.
        """
        is_text = block.kind is ToolKind.CUSTOM
        args = b'{"input":%b}' % unbroken(encode(arguments)) if is_text else arguments_object(arguments)
        if args is None:
            self.failed.append(block.name)
            return None
        part = b'{"functionCall":{"id":%b,"name":%b,"args":%b}' % (encode(block.id), encode(block.name), args)
        if signature is None and self._is_signed:
            return part + b"}"
        self._is_signed = True
        written = NO_SIGNATURE if signature is None else signature_of(signature, block.id)
        return part + b',"thoughtSignature":%b}' % encode(written)


def arguments_object(arguments: str) -> bytes | None:
    """A call's arguments as one compact object; `None` when they are no JSON, as when a token limit cut them off."""
    if not arguments.strip():
        return b"{}"
    text = mended(arguments.encode("utf-8", "replace"))
    try:
        compact = msgspec.json.format(text, indent=-1)
        if compact[:1] == b"{":
            _OBJECT.decode(compact)
            return unbroken(compact)
        return b'{"input":%b}' % unbroken(msgspec.json.encode(msgspec.json.decode(compact)))
    except (ValueError, RecursionError):
        return None


def own_object(raw: str | None) -> bytes | None:
    """The API's own JSON of a part or a field, compact; `None` when there is none."""
    if raw is None:
        return None
    try:
        compact = msgspec.json.format(mended(raw.encode("utf-8", "replace")), indent=-1)
        _OBJECT.decode(compact)
    except (ValueError, RecursionError):
        return None
    return unbroken(compact)


# --- usage

SERVICE_TIER: Final = {"default": "standard"}
"""The hub's words, which are OpenAI's, in this API's. Others stay as they are."""


class _UsageMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    totalTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    serviceTier: str | None = None


def usage_metadata(usage: Usage) -> bytes:
    """Counts as this API gives them: output without thoughts. What was not reported is left out."""
    candidates = None if usage.output is None else max(usage.output - (usage.reasoning or 0), 0)
    known = [count for count in (usage.input, usage.output) if count is not None]
    tier = usage.service_tier
    return unbroken(
        encode(
            _UsageMetadata(
                promptTokenCount=usage.input,
                candidatesTokenCount=candidates,
                totalTokenCount=sum(known) if known else None,
                cachedContentTokenCount=usage.cached_input,
                thoughtsTokenCount=usage.reasoning,
                serviceTier=None if tier is None else SERVICE_TIER.get(tier, tier),
            )
        )
    )


# --- the finish


def finish_word(end: MessageEnd, *, has_refused: bool, has_failed_calls: bool) -> str:
    """`finishReason`. Calls whose arguments are no JSON are not given; what ended the answer early is reason enough."""
    word = FINISH_REASON[end.reason]
    if end.raw_reason is not None and end.raw_reason in OWN_FINISH_REASONS:
        word = end.raw_reason
    if word != "STOP":
        return word
    if has_failed_calls:
        return FAILED_CALL
    return "SAFETY" if has_refused else word


def finish_fields(word: str, failed_calls: list[str]) -> bytes:
    """`finishReason`, and beside it which calls could not be given."""
    fields = b'"finishReason":%b' % encode(word)
    if not failed_calls:
        return fields
    message = f"The arguments of these calls are no JSON: {', '.join(failed_calls)}"[:500]
    return fields + b',"finishMessage":%b' % unbroken(encode(message))
