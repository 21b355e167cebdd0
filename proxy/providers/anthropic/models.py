"""What the generations of Claude take, by the version in a model's name.

Sources: docs.anthropic.com, "extended thinking", "adaptive thinking", "structured outputs" and the migration guides to
4.6, 4.7 and 5 (read 2026-11). Model names of Anthropic, Bedrock, Vertex and gateways are understood:
`claude-3-5-haiku-20241022`, `us.anthropic.claude-sonnet-4-20250514-v1:0`, `claude-opus-4-1@20250805`,
`anthropic/claude-sonnet-4.5`, `claude-fable-5`.
"""

import re
from enum import Enum, auto

import msgspec


class Thinking(Enum):
    """Which `thinking` a model takes."""

    NONE = auto()
    BUDGET = auto()
    """`{"type": "enabled", "budget_tokens": n}`"""
    BOTH = auto()
    ADAPTIVE = auto()
    """`{"type": "adaptive"}` and `output_config.effort`"""


class Model(msgspec.Struct, frozen=True):
    thinking: Thinking
    default_max_tokens: int
    """Sent when neither the caller nor the configuration gives a limit: the API requires one."""
    max_output: int
    """How far a limit may be raised to make room for thinking."""
    has_structured_output: bool = False
    """`output_config.format` and strict tools."""
    has_sampling: bool = True
    """`temperature`, `top_p` and `top_k` are taken."""
    has_both_samplings: bool = False
    """`temperature` and `top_p` are taken together."""
    has_xhigh: bool = False
    """The effort `xhigh` is taken."""


UNKNOWN = Model(Thinking.BUDGET, 8192, 32_000, has_both_samplings=True)
"""Other vendors' models behind this API (DeepSeek, Moonshot, Z.ai, Ollama …): thinking by budget is what they take."""

GENERATIONS: tuple[tuple[tuple[int, int], Model], ...] = (
    ((4, 7), Model(Thinking.ADAPTIVE, 32_000, 64_000, has_structured_output=True, has_sampling=False, has_xhigh=True)),
    ((4, 6), Model(Thinking.BOTH, 32_000, 64_000, has_structured_output=True)),
    ((4, 5), Model(Thinking.BUDGET, 32_000, 64_000, has_structured_output=True)),
    ((4, 1), Model(Thinking.BUDGET, 32_000, 32_000)),
    ((4, 0), Model(Thinking.BUDGET, 32_000, 32_000, has_both_samplings=True)),
    ((3, 7), Model(Thinking.BUDGET, 32_000, 64_000, has_both_samplings=True)),
    ((3, 5), Model(Thinking.NONE, 8192, 8192, has_both_samplings=True)),
    ((0, 0), Model(Thinking.NONE, 4096, 4096, has_both_samplings=True)),
)
"""Newest first: the first version that is not newer than the model's is its generation."""

_VERSION = re.compile(r"(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_NAME = re.compile(rf"claude-(?:[a-z]+-)?{_VERSION.pattern}")


def model_of(name: str, version: str | None = None) -> Model:
    """What the model `name` takes; `version` (`4.5`) says it where the name does not tell."""
    found = _VERSION.fullmatch(version) if version is not None else _NAME.search(name.lower())
    if found is None:
        return UNKNOWN
    given = (int(found.group(1)), int(found.group(2) or 0))
    return next(model for first, model in GENERATIONS if given >= first)
