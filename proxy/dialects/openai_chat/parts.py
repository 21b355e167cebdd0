"""What chunks and whole answers of Chat Completions have in common: finish reasons, usage, citations, images."""

from typing import Final

import msgspec

from proxy.hub.events import CitationAdded, FinishReason, MediaBlock, Usage

Json = dict[str, object]

FINISH_REASON: Final[dict[FinishReason, str]] = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "stop",
    FinishReason.PAUSE: "stop",
    FinishReason.MALFORMED_CALL: "stop",
    FinishReason.OTHER: "stop",
}
"""Total. Typed clients know OpenAI's words only, so every other reason becomes one of them."""

SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""OpenAI's words; the names of other vendors' tiers are not told."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def finish_reason(reason: FinishReason, *, is_deprecated: bool) -> str:
    """The word for `reason`; callers of the deprecated `functions` read another one for tool calls."""
    if is_deprecated and reason is FinishReason.TOOL_CALLS:
        return "function_call"
    return FINISH_REASON[reason]


def usage_object(usage: Usage) -> Json:
    """OpenAI's `usage`. A count that was not reported is null, a detail that was not is absent."""
    is_known = usage.input is not None and usage.output is not None
    written: Json = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": (usage.input or 0) + (usage.output or 0) if is_known else None,
    }
    prompt = {
        name: count
        for name, count in (("cached_tokens", usage.cached_input), ("cache_write_tokens", usage.cache_write))
        if count is not None
    }
    if prompt:
        written["prompt_tokens_details"] = prompt
    if usage.reasoning is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return written


def service_tier(usage: Usage | None) -> str | None:
    """The tier that answered, where it has one of OpenAI's names."""
    return usage.service_tier if usage is not None and usage.service_tier in SERVICE_TIERS else None


def annotation(citation: CitationAdded, block_start: int, text_length: int) -> Json | None:
    """An entry of `annotations`; `None` for a source without an address, which the API cannot say.

    `block_start`: where the citation's block begins in the whole text, `text_length`: how long that is so far. A
    citation without a place is put at the end.
    """
    if citation.raw is not None and (own := _own(citation.raw)) is not None:
        return own
    if citation.url is None:
        return None
    start = text_length if citation.start is None else block_start + citation.start
    end = text_length if citation.end is None else block_start + citation.end
    cited: Json = {
        "start_index": start,
        "end_index": max(start, end),
        "title": citation.title or "",
        "url": citation.url,
    }
    if citation.cited_text:
        cited["content"] = citation.cited_text
    return {"type": "url_citation", "url_citation": cited}


def _own(raw: str) -> Json | None:
    """The provider's own annotation, if it is one of this API: Responses has others, and words this one flat."""
    if '"url_citation":' not in raw:
        return None
    try:
        return {**_OBJECT.decode(raw)}
    except (ValueError, RecursionError):
        return None


def image(media: MediaBlock, index: int) -> Json | None:
    """An entry of `images`, OpenRouter's extension; `None` for media of another kind."""
    if not media.media_type.startswith("image/"):
        return None
    url = media.url if media.data is None else f"data:{media.media_type};base64,{media.data}"
    return {"type": "image_url", "index": index, "image_url": {"url": url}}
