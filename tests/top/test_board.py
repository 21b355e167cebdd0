"""A person at the board: keys in, lines and wishes out."""

import pytest

from proxy.live import LiveSnapshot, StreamView
from proxy.plain_text import cells
from proxy.top.board import HELP, Board, Key, Kill, Quit, Style
from proxy.top.table import Snapshot

WIDTH, HEIGHT = 120, 12


def board(*names: str, order: str = "age") -> Board:
    made = Board("http://proxy", order)
    show(made, *names)
    return made


def show(made: Board, *names: str) -> None:
    """Calls by name, the first one the oldest."""
    calls = [StreamView(name, age_s=100.0 - place, state="streaming") for place, name in enumerate(names)]
    made.show(Snapshot(LiveSnapshot(streams=calls), 0.0))


def press(made: Board, *keys: Key) -> list[object]:
    return [wish for key in keys if (wish := made.press(key)) is not None]


def selected(made: Board) -> str:
    (line,) = [line.text for line in made.lines(WIDTH, HEIGHT) if line.style is Style.SELECTED]
    return line.split()[-1]


def foot(made: Board) -> str:
    return made.lines(WIDTH, HEIGHT)[-1].text.rstrip()


def test_a_call_is_killed_after_a_yes_only() -> None:
    made = board("a", "b", "c")

    assert press(made, Key.DOWN, Key.KILL) == []
    assert foot(made).startswith("kill b ")
    assert press(made, Key.YES) == [Kill("b")]
    made.say("b: outcome killed")
    assert foot(made) == "b: outcome killed"


@pytest.mark.parametrize("key", [key for key in Key if key is not Key.YES])
def test_anything_but_a_yes_is_a_no(key: Key) -> None:
    made = board("a")

    assert press(made, Key.KILL, key) == []
    assert foot(made) == "not killed"
    assert press(made, Key.YES) == []
    assert foot(made) == HELP


def test_the_order_is_for_the_call_that_was_shown_whatever_comes_meanwhile() -> None:
    made = board("a", "b")

    press(made, Key.KILL)
    show(made, "x", "b")

    assert foot(made).startswith("kill a ")
    assert press(made, Key.YES) == [Kill("a")]


def test_there_is_nothing_to_kill_on_an_empty_board() -> None:
    made = board()

    assert press(made, Key.KILL, Key.YES, Key.DOWN, Key.END) == []


def test_the_selection_follows_the_call() -> None:
    made = board("a", "b", "c")

    press(made, Key.DOWN)
    show(made, "x", "a", "y", "b", "c")

    assert selected(made) == "b"


def test_the_neighbour_is_selected_when_the_call_has_ended() -> None:
    made = board("a", "b", "c")

    press(made, Key.END)
    show(made, "a", "b")

    assert selected(made) == "b"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ([Key.UP], "0"),
        ([Key.END], "29"),
        ([Key.END, Key.HOME], "0"),
        ([Key.PAGE_DOWN], "8"),
        ([Key.PAGE_DOWN] * 9, "29"),
        ([Key.END, Key.PAGE_UP], "21"),
    ],
)
def test_what_is_selected_is_seen(keys: list[Key], name: str) -> None:
    made = board(*(str(number) for number in range(30)))
    made.lines(WIDTH, HEIGHT)

    press(made, *keys)

    assert selected(made) == name


def test_orders_take_turns_both_ways() -> None:
    made = board("a", "b", order="gap")

    press(made, Key.NEXT_ORDER)
    assert "*AGE" in made.lines(WIDTH, HEIGHT)[2].text
    press(made, Key.PREVIOUS_ORDER)
    assert "*GAP" in made.lines(WIDTH, HEIGHT)[2].text
    press(made, Key.PREVIOUS_ORDER)
    assert "*DIALECT" in made.lines(WIDTH, HEIGHT)[2].text


def test_the_order_can_be_reversed() -> None:
    made = board("old", "young")

    press(made, Key.REVERSE)

    assert [line.text.split()[-1] for line in made.lines(WIDTH, HEIGHT)[3:5]] == ["young", "old"]


def test_a_proxy_that_does_not_answer_is_said_beside_what_it_said_last() -> None:
    made = board("a")

    made.fail("http://proxy does not answer: Connection refused")
    lines = made.lines(WIDTH, HEIGHT)

    assert lines[1].text.rstrip() == "http://proxy does not answer: Connection refused; trying again"
    assert lines[1].style is Style.TROUBLE
    assert lines[3].text.split()[-1] == "a"
    show(made, "a")
    assert made.lines(WIDTH, HEIGHT)[1].style is Style.PLAIN


def test_before_the_first_answer_the_board_says_that_it_asks() -> None:
    assert Board("http://proxy", "gap").lines(WIDTH, HEIGHT)[1].text.startswith("asking")


def test_quit_is_a_wish() -> None:
    assert press(board("a"), Key.QUIT) == [Quit()]


@pytest.mark.parametrize("width", [1, 7, 20, 80, 250])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 50])
def test_every_size_is_filled_and_not_exceeded(width: int, height: int) -> None:
    made = board("a", "b", "c")

    lines = made.lines(width, height)

    assert len(lines) == height
    assert {cells(line.text) for line in lines} == {width}
