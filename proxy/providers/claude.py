"""What a Claude takes, for kinds that serve it beside other models: the one door from them to Anthropic's rules."""

import msgspec

from proxy.hub.request import ReasoningRequest
from proxy.providers.anthropic.models import model_of
from proxy.providers.anthropic.schema import adapt
from proxy.providers.anthropic.thinking import ThinkingPlan, plan_thinking


class ClaudeRules(msgspec.Struct, frozen=True):
    """The rules for one request to one model."""

    max_tokens: int
    """To be sent: the API requires a limit."""
    thinking: dict[str, object] | None
    effort: str | None
    is_thinking: bool
    is_refused: bool
    """The caller wants thinking and the model has none."""
    has_sampling: bool
    has_both_samplings: bool
    has_structured_output: bool


def claude_rules(
    model: str, version: str | None, reasoning: ReasoningRequest | None, max_tokens: int | None
) -> ClaudeRules:
    """The rules for `model`; `version` says which Claude it is where the name does not tell."""
    known = model_of(model, version)
    limit = max_tokens if max_tokens is not None else known.default_max_tokens
    plan: ThinkingPlan = plan_thinking(reasoning, known, limit)
    return ClaudeRules(
        plan.max_tokens,
        plan.thinking,
        plan.effort,
        plan.is_on,
        plan.is_refused,
        known.has_sampling,
        known.has_both_samplings,
        known.has_structured_output,
    )


def closed_schema(schema: bytes) -> tuple[bytes, tuple[str, ...]]:
    """`schema` as Claude's structured outputs take it, and what it lost. Raises ValueError or RecursionError."""
    return adapt(schema)
