"""Messages: sorted by place, shortened, free of keys, with a suggestion where something is close."""

import pytest

from proxy.config.problems import Origin, Problems, did_you_mean, has_password, listed, shown
from proxy.hub.errors import ConfigError

KEY = "sk-abcdefghijklmnopqrstuvwxyz"


def test_problems_come_in_the_order_of_the_file() -> None:
    problems = Problems()
    for line, column in ((10, 1), (2, 9), (2, 1)):
        problems.add(Origin("f.yaml", line, column), "a", "wrong")
    problems.add(Origin("$VARIABLE"), "", "wrong")

    assert problems.lines() == [
        "$VARIABLE: wrong",
        "f.yaml:2:1: a: wrong",
        "f.yaml:2:9: a: wrong",
        "f.yaml:10:1: a: wrong",
    ]


def test_a_problem_is_said_once() -> None:
    problems = Problems()
    for _ in range(2):
        problems.add(Origin("f.yaml", 1, 1), "a", "wrong")

    assert problems.lines() == ["f.yaml:1:1: a: wrong"]


def test_all_problems_are_raised_together() -> None:
    problems = Problems()
    problems.raise_if_any()
    problems.add(Origin("f.yaml", 1, 1), "a", "wrong")

    with pytest.raises(ConfigError) as caught:
        problems.raise_if_any()

    assert caught.value.problems == ["f.yaml:1:1: a: wrong"]


def test_a_key_in_a_message_is_masked() -> None:
    problems = Problems()
    problems.add(Origin("f.yaml", 1, 1), KEY, f"got {KEY}")

    assert KEY not in problems.lines()[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (3, "3"),
        ("a'b", '"a\'b"'),
        ("a\nb", "'a\\nb'"),
        (KEY, "'***'"),
        ("x" * 100, "'" + "x" * 60 + "…'"),
    ],
)
def test_values_are_shown_short_and_in_one_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("idel_s", "; did you mean 'idle_s'?"), ("IDLE_S", "; did you mean 'idle_s'?"), ("colour", "; none")],
)
def test_only_what_is_close_is_suggested(wrong: str, hint: str) -> None:
    assert did_you_mean(wrong, ["idle_s", "cors"], otherwise="; none") == hint


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed([]) == ""


@pytest.mark.parametrize(
    ("url", "has"),
    [("http://a:b@c", True), ("http://a@c", True), ("redis://:p@c", True), ("http://c:80", False), ("http://[", True)],
)
def test_passwords_in_urls_are_noticed(url: str, has: bool) -> None:
    assert has_password(url) is has
