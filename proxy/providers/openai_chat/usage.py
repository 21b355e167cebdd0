"""Token counts of a Chat Completions answer, in the hub's convention."""

import msgspec

from proxy.hub.events import Usage
from proxy.providers.openai_chat.wire import JsonObject, WireUsage

_DECODER = msgspec.json.Decoder(WireUsage)


def read_usage(report: JsonObject, before: Usage | None, service_tier: str | None) -> Usage | None:
    """The totals after `report`: what it leaves out stays as it was `before`.

    A report of a wrong shape changes nothing: counts are no reason to end a good answer. Nor does one without counts
    (MiniMax gives totals of zero while it streams).
    """
    try:
        wire = _DECODER.decode(msgspec.json.encode(report))
    except (ValueError, RecursionError):
        return before
    prompt = wire.prompt_tokens_details
    reasoning = wire.reasoning_tokens
    if wire.completion_tokens_details is not None and wire.completion_tokens_details.reasoning_tokens is not None:
        reasoning = wire.completion_tokens_details.reasoning_tokens
    now = Usage(
        input=wire.prompt_tokens,
        output=_output(wire, reasoning),
        cached_input=_first(
            prompt.cached_tokens if prompt else None,
            wire.prompt_cache_hit_tokens,
            wire.cached_tokens,
            wire.cache_read_input_tokens,
        ),
        cache_write=_first(prompt.cache_write_tokens if prompt else None, wire.cache_creation_input_tokens),
        reasoning=reasoning,
        service_tier=service_tier or wire.service_tier,
    )
    if now.input is None and now.output is None and now.cached_input is None and now.reasoning is None:
        return before
    return now if before is None else _merged(before, now)


def _output(wire: WireUsage, reasoning: int | None) -> int | None:
    """Output with reasoning. xAI leaves reasoning out of `completion_tokens`, and only the total gives it away."""
    completion = wire.completion_tokens
    if completion is None or not reasoning or wire.prompt_tokens is None:
        return completion
    is_left_out = wire.total_tokens == wire.prompt_tokens + completion + reasoning
    return completion + reasoning if is_left_out else completion


def _merged(before: Usage, now: Usage) -> Usage:
    return Usage(
        input=_first(now.input, before.input),
        output=_first(now.output, before.output),
        cached_input=_first(now.cached_input, before.cached_input),
        cache_write=_first(now.cache_write, before.cache_write),
        reasoning=_first(now.reasoning, before.reasoning),
        service_tier=now.service_tier or before.service_tier,
    )


def _first(*counts: int | None) -> int | None:
    """The first count that was reported."""
    return next((count for count in counts if count is not None), None)
