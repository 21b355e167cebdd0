import pytest

from proxy.providers.anthropic.models import UNKNOWN, Thinking, model_of


@pytest.mark.parametrize(
    ("name", "thinking", "has_structured_output"),
    [
        ("claude-2.1", Thinking.NONE, False),
        ("claude-instant-1.2", Thinking.NONE, False),
        ("claude-3-opus-20240229", Thinking.NONE, False),
        ("claude-3-5-sonnet-latest", Thinking.NONE, False),
        ("claude-3-7-sonnet-20250219", Thinking.BUDGET, False),
        ("claude-sonnet-4-20250514", Thinking.BUDGET, False),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", Thinking.BUDGET, False),
        ("claude-opus-4-1@20250805", Thinking.BUDGET, False),
        ("claude-haiku-4-5", Thinking.BUDGET, True),
        ("anthropic/claude-sonnet-4.5", Thinking.BUDGET, True),
        ("anthropic.claude-opus-4-6-v1", Thinking.BOTH, True),
        ("claude-opus-4-7", Thinking.ADAPTIVE, True),
        ("Claude-Opus-4-8", Thinking.ADAPTIVE, True),
        ("anthropic/claude-4.7-opus", Thinking.ADAPTIVE, True),
        ("claude-sonnet-5", Thinking.ADAPTIVE, True),
        ("claude-fable-5-20261101", Thinking.ADAPTIVE, True),
        ("claude-opus-10-2", Thinking.ADAPTIVE, True),
    ],
)
def test_a_name_tells_the_generation(name: str, thinking: Thinking, has_structured_output: bool) -> None:
    model = model_of(name)

    assert (model.thinking, model.has_structured_output) == (thinking, has_structured_output)


@pytest.mark.parametrize("name", ["kimi-k2", "deepseek-chat", "my-deployment", "claude", ""])
def test_other_models_are_unknown(name: str) -> None:
    assert model_of(name) is UNKNOWN


@pytest.mark.parametrize(
    ("version", "same_as"), [("4.7", "claude-opus-4-7"), ("4", "claude-opus-4"), ("3-5", "claude-3-5")]
)
def test_a_version_given_wins_over_the_name(version: str, same_as: str) -> None:
    assert model_of("claude-2", version) is model_of(same_as)
