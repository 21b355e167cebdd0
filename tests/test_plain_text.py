"""Whatever a caller typed, a terminal shows it in the columns that it was given, and does nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.plain_text import cells, fit, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpt-5-mini", "gpt-5-mini"),
        ("\x1b[2J\x1b]0;owned\x07", "?[2J?]0;owned?"),
        ("a\nb\tc\x00\x7f", "a?b?c??"),
        ("\x9b31m", "?31m"),
        ("a\u202eb\u200bc\ufeff", "a?b?c?"),
        ("caf\u0065\u0301", "café"),
        ("\u0301x", "x"),
        ("z" + "\u0321" * 50, "z\u0321\u0321"),
        ("模型", "模型"),
        ("a\u3000b", "a b"),
        ("\ud800", "?"),
    ],
)
def test_only_characters_that_are_simply_seen_are_kept(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_no_text_drives_a_terminal(text: str) -> None:
    assert {unicodedata.category(character) for character in plain(text)}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@given(st.text(), st.integers(0, 30))
def test_a_text_takes_exactly_its_columns(text: str, width: int) -> None:
    assert cells(fit(plain(text), width)) == width


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 4, "abc…"),
        ("模型型", 4, "模… "),
        ("模型", 4, "模型"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_what_does_not_fit_ends_in_an_ellipsis(text: str, width: int, shown: str) -> None:
    assert fit(text, width) == shown
