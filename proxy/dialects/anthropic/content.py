"""What the stream and the whole answer have in common: blocks, usage and stop reasons in Anthropic's words.

Proofs that Anthropic did not make travel packed (`hub.carried`) in the two opaque fields that callers give back:

    a thinking block's `signature`      the proof of that reasoning; `MARK` alone where it has none
    a `redacted_thinking` block's data  closed reasoning, and the proof of a tool call, which has no field of its own
"""

import msgspec

from proxy.hub.carried import MARK, Carried, pack
from proxy.hub.events import (
    CitationAdded,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    RedactedReasoningBlock,
    SignatureAdded,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.hub.identifiers import write_out

Json = dict[str, object]

STOP_REASON: dict[FinishReason, str | None] = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "stop_sequence",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.CONTEXT_FULL: "model_context_window_exceeded",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.PAUSE: "pause_turn",
    FinishReason.MALFORMED_CALL: "end_turn",
    FinishReason.OTHER: None,
}
"""OTHER: the provider's own word, or null: clients take both, and no reason is invented."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

SERVICE_TIERS = frozenset({"standard", "priority", "batch"})
"""Tiers that Anthropic names; another vendor's words are left out."""

UNPROVED = MARK
"""The signature of reasoning that no one can prove. Not empty: whoever relays it to Anthropic must find it."""


def stop_reason(end: MessageEnd) -> str | None:
    """Why the message ended."""
    if end.reason is FinishReason.OTHER:
        return end.raw_reason
    if end.reason is FinishReason.PAUSE and end.raw_reason == "compaction":
        return end.raw_reason
    return STOP_REASON[end.reason]


def message_id(start_id: str, context_id: str) -> str:
    """The provider's id where it is of Anthropic's style."""
    return start_id if start_id.startswith("msg_") else f"msg_{context_id}"


def message_head(start: MessageStart, context_id: str, context_model: str, usage: Json) -> Json:
    """A message without content."""
    return {
        "id": message_id(start.id, context_id),
        "type": "message",
        "role": "assistant",
        "model": start.model or context_model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def usage_counts(usage: Usage | None) -> Json:
    """The counts of `usage`. `output_tokens`, without which the SDKs fail, is 0 when it is unknown."""
    if usage is None:
        return {"output_tokens": 0}
    counts: Json = {}
    if usage.input is not None:
        counts["input_tokens"] = max(usage.input - (usage.cached_input or 0) - (usage.cache_write or 0), 0)
    if usage.cache_write is not None:
        counts["cache_creation_input_tokens"] = usage.cache_write
    if usage.cached_input is not None:
        counts["cache_read_input_tokens"] = usage.cached_input
    counts["output_tokens"] = usage.output or 0
    if usage.reasoning is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts


def message_usage(usage: Usage | None) -> Json:
    """The usage of a message, where `input_tokens` is required too."""
    counts: Json = {"input_tokens": 0, **usage_counts(usage)}
    if usage is not None and usage.service_tier in SERVICE_TIERS:
        counts["service_tier"] = usage.service_tier
    return counts


def tool_call(block: ToolCallBlock, input: msgspec.Raw) -> Json | None:
    """The block of a call; `None` for one that another vendor ran, which these callers could not give back."""
    if block.origin is Origin.ANTHROPIC and block.raw is not None:
        return {**_FIELDS.decode(block.raw), "input": input}
    if block.kind is ToolKind.SERVER:
        return None
    return {"type": "tool_use", "id": write_out(block.id), "name": block.name, "input": input}


def tool_result(block: ToolResultBlock) -> msgspec.Raw | None:
    """The block of a result that Anthropic made; `None` for any other."""
    if block.origin is not Origin.ANTHROPIC or block.raw is None:
        return None
    return msgspec.Raw(block.raw.encode())


def redacted(block: RedactedReasoningBlock) -> Json:
    """Closed reasoning; that of another family is packed."""
    data = block.data
    if block.origin is not Origin.ANTHROPIC:
        data = pack(Carried(block.origin, data, is_redacted=True))
    return {"type": "redacted_thinking", "data": data}


def call_proof(block: ToolCallBlock, signature: SignatureAdded) -> Json:
    """The block that carries the proof of a call."""
    return {"type": "redacted_thinking", "data": pack(Carried(signature.origin, signature.signature, block.id))}


def reasoning_proof(signature: SignatureAdded | None) -> str:
    """The signature of a thinking block."""
    if signature is None:
        return UNPROVED
    if signature.origin is Origin.ANTHROPIC:
        return signature.signature
    return pack(Carried(signature.origin, signature.signature))


def citation(event: CitationAdded) -> msgspec.Raw | Json:
    """A citation: Anthropic's own as it came, any other as a web search result."""
    if event.origin is Origin.ANTHROPIC and event.raw is not None:
        return msgspec.Raw(event.raw.encode())
    return {
        "type": "web_search_result_location",
        "url": event.url or "",
        "title": event.title or event.url or "",
        "cited_text": event.cited_text or "",
        "encrypted_index": UNPROVED,
    }
