"""Patterns of model names, and lists of what a key may ask for."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.globs import AllowList, compile_glob, globs_meet, is_glob


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("gpt-*", "gpt-5", True),
        ("gpt-*", "gpt-", True),
        ("gpt-*", "xgpt-5", False),
        ("o?", "o3", True),
        ("o?", "o33", False),
        ("*", "", True),
        ("*", "meta-llama/Llama-3", True),
        ("a.c", "abc", False),
        ("claude[1m]*", "claude[1m]-x", True),
        ("claude[1m]*", "claude1-x", False),
        ("a*", "a\nb", True),
    ],
)
def test_only_stars_and_question_marks_are_special(glob: str, name: str, matches: bool) -> None:
    assert (compile_glob(glob).fullmatch(name) is not None) is matches


def test_a_name_with_brackets_is_no_glob() -> None:
    assert not is_glob("claude-opus-4[1m]")
    assert is_glob("gpt-?")


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        ("gpt-*", "*-mini", True),
        ("gpt-*", "claude-*", False),
        ("a*b", "ab", True),
        ("a*b", "ba*", False),
        ("?", "*", True),
        ("?", "", False),
        ("", "*", True),
        ("a?c", "a*", True),
        ("openai/*", "gpt-*", False),
        ("abc", "abc", True),
        ("abc", "abd", False),
    ],
)
def test_globs_meet_when_one_name_matches_both(first: str, second: str, meet: bool) -> None:
    assert globs_meet(first, second) is meet
    assert globs_meet(second, first) is meet


@given(st.text("ab*?", max_size=5), st.text("ab*?", max_size=5))
def test_globs_meet_exactly_when_a_short_name_shows_it(first: str, second: str) -> None:
    patterns: list[re.Pattern[str]] = [compile_glob(first), compile_glob(second)]
    # Without stars beyond their literals, a common name needs at most the characters of both.
    names = ("".join(name) for size in range(11) for name in product("ab", repeat=size))

    found = any(all(pattern.fullmatch(name) for pattern in patterns) for name in names)

    assert globs_meet(first, second) is found


@pytest.mark.parametrize(
    ("globs", "asked", "sent", "allowed"),
    [
        (("gpt-*",), "gpt-5", "gpt-5", True),
        (("gpt-*",), "claude-3", "claude-3", False),
        (("gpt-*",), "openai/gpt-5", "gpt-5", False),
        (("fast",), "fast", "fast", True),
        (("fast",), "FAST", "FAST", False),
        (("fast",), "fast ", "fast ", False),
        (("openai/*",), "openai/gpt-5", "gpt-5", True),
        (("openai/*",), "gpt-5", "gpt-5", False),
        (("openai/gpt-5",), "openai/gpt-5", "gpt-5", True),
        (("open*",), "openai/gpt-5", "gpt-5", False),
        (("*-mini",), "openai/gpt-5-mini", "gpt-5-mini", True),
        (("*",), "openai/gpt-5", "gpt-5", True),
        ((), "gpt-5", "gpt-5", False),
    ],
)
def test_an_allow_list_decides_on_what_is_asked_and_what_is_sent(
    globs: tuple[str, ...], asked: str, sent: str, allowed: bool
) -> None:
    assert AllowList(globs).allows(asked, sent) is allowed
