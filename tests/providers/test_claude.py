"""What a Claude takes, asked through the door that other kinds use."""

import json

import pytest

from proxy.hub.request import Effort, ReasoningRequest
from proxy.providers.claude import claude_rules, closed_schema

SONNET_4_5 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def test_without_a_limit_the_models_own_is_sent() -> None:
    assert claude_rules(SONNET_4_5, None, None, None).max_tokens == 32_000
    assert claude_rules(SONNET_4_5, None, None, 5).max_tokens == 5


def test_thinking_by_budget_raises_the_limit() -> None:
    rules = claude_rules(SONNET_4_5, None, ReasoningRequest(budget_tokens=2000), 1000)

    assert (rules.thinking, rules.max_tokens) == ({"type": "enabled", "budget_tokens": 2000}, 3000)
    assert (rules.is_thinking, rules.effort) == (True, None)


def test_a_newer_model_thinks_by_effort_and_has_no_sampling() -> None:
    rules = claude_rules("m", "4.7", ReasoningRequest(Effort.XHIGH), 1000)

    assert (rules.thinking, rules.effort, rules.has_sampling) == ({"type": "adaptive"}, "xhigh", False)


@pytest.mark.parametrize(("model", "has"), [(SONNET_4_5, True), ("anthropic.claude-3-7-sonnet-20250219-v1:0", False)])
def test_structured_output_is_newer_than_some_models(model: str, has: bool) -> None:
    assert claude_rules(model, None, None, 5).has_structured_output is has


def test_an_old_model_refuses_to_think() -> None:
    rules = claude_rules("anthropic.claude-3-5-sonnet-20240620-v1:0", None, ReasoningRequest(Effort.LOW), 5)

    assert (rules.is_refused, rules.is_thinking) == (True, False)


def test_a_schema_is_closed() -> None:
    schema, lost = closed_schema(b'{"type":"object","properties":{"a":{"type":"integer","minimum":1}}}')

    assert json.loads(schema)["additionalProperties"] is False
    assert lost == ("properties.a.minimum",)
