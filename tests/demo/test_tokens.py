import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.demo.tokens import count_tokens, tokens_of


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text
    assert count_tokens(text) == len(tokens_of(text))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world.", ["Hello", ",", " world", "."]),
        ("the extraordinarily long", ["the", " extraordin", "arily", " long"]),
        ("12345 a1", ["123", "45", " a", "1"]),
        ("日本語です", ["日", "本", "語", "で", "す"]),
        ("👍🏽\n\n", ["👍", "🏽", "\n\n"]),
        ('{"city":"Oslo"}', ["{", '"', "city", '"', ":", '"', "Oslo", '"', "}"]),
    ],
)
def test_tokens_look_like_those_of_real_tokenisers(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


def test_english_text_has_about_one_token_for_four_characters() -> None:
    text = "Streams arrive in pieces, and every piece is shown as soon as it is there. " * 20

    assert 3.5 < len(text) / count_tokens(text) < 5.5
