"""How much the model shall think, in Anthropic's words: a budget, or `adaptive` with an effort.

Rules of the API (docs.anthropic.com "extended thinking", "feature compatibility"): a budget is at least 1,024 tokens and
smaller than `max_tokens`, which includes it; thinking excludes a forced tool choice, `temperature`, `top_k`, a `top_p`
below 0.95 and a prefilled answer.
"""

import msgspec

from proxy.hub.request import Effort, ReasoningRequest
from proxy.providers.anthropic.models import Model, Thinking

MIN_BUDGET = 1024

BUDGET: dict[Effort, int] = {
    Effort.NONE: 0,
    Effort.MINIMAL: 1024,
    Effort.LOW: 2048,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 16_384,
    Effort.XHIGH: 32_000,
    Effort.MAX: 0,
}
"""NONE turns thinking off, MAX is all but 1,024 of `max_tokens`."""

EFFORT: dict[Effort, str] = {
    Effort.NONE: "low",
    Effort.MINIMAL: "low",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "xhigh",
    Effort.MAX: "max",
}

EFFORT_OF_BUDGET: tuple[tuple[int, str], ...] = ((4096, "low"), (12_288, "medium"), (24_576, "high"))
"""Budgets below the number; larger ones are `xhigh`."""


class ThinkingPlan(msgspec.Struct, frozen=True):
    """What is sent."""

    max_tokens: int
    thinking: dict[str, object] | None = None
    effort: str | None = None
    is_on: bool = False
    is_refused: bool = False
    """The caller wants thinking and the model has none."""

    @property
    def has_budget(self) -> bool:
        return self.is_on and self.thinking is not None and "budget_tokens" in self.thinking


def plan_thinking(reasoning: ReasoningRequest | None, model: Model, max_tokens: int) -> ThinkingPlan:
    """How to ask `model` for the reasoning that the caller wants, within or above `max_tokens`."""
    if reasoning is None:
        return ThinkingPlan(max_tokens)
    is_off = reasoning.effort is Effort.NONE or reasoning.budget_tokens == 0
    if model.thinking is Thinking.NONE:
        return ThinkingPlan(max_tokens, is_refused=not is_off)
    if is_off:
        return ThinkingPlan(max_tokens, {"type": "disabled"})
    wants_budget = reasoning.budget_tokens is not None
    if model.thinking is Thinking.ADAPTIVE or (model.thinking is Thinking.BOTH and not wants_budget):
        thinking: dict[str, object] = {"type": "adaptive", **_display(reasoning)}
        return ThinkingPlan(max_tokens, thinking, _effort(reasoning, model), is_on=True)
    max_tokens, budget = _fit(_budget(reasoning, max_tokens), max_tokens, model)
    display = _display(reasoning) if model.thinking is Thinking.BOTH else {}
    return ThinkingPlan(max_tokens, {"type": "enabled", "budget_tokens": budget, **display}, is_on=True)


def _budget(reasoning: ReasoningRequest, max_tokens: int) -> int:
    if reasoning.budget_tokens is not None:
        return max(reasoning.budget_tokens, MIN_BUDGET)
    if reasoning.effort is Effort.MAX:
        return max(max_tokens - MIN_BUDGET, MIN_BUDGET)
    return BUDGET[reasoning.effort or Effort.MEDIUM]


def _fit(budget: int, max_tokens: int, model: Model) -> tuple[int, int]:
    """`max_tokens` and a budget below it: the limit is raised as far as the model goes, then the budget is cut."""
    if budget < max_tokens:
        return max_tokens, budget
    room = model.max_output - max_tokens
    if room < MIN_BUDGET:
        return max_tokens, max_tokens // 2
    budget = min(budget, room)
    return max_tokens + budget, budget


def _effort(reasoning: ReasoningRequest, model: Model) -> str | None:
    if reasoning.effort is not None:
        effort = EFFORT[reasoning.effort]
    elif reasoning.budget_tokens is not None:
        effort = next((word for limit, word in EFFORT_OF_BUDGET if reasoning.budget_tokens < limit), "xhigh")
    else:
        return None
    return "high" if effort == "xhigh" and not model.has_xhigh else effort


def _display(reasoning: ReasoningRequest) -> dict[str, object]:
    if reasoning.visible is None:
        return {}
    return {"display": "summarized" if reasoning.visible else "omitted"}
