"""Joining a second answer to a cut one: whatever was delivered, the caller ends with the whole answer or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.completion import fold
from proxy.hub.continuation import DIFFERS, Delivered, Prefill, Restart, add_usage
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    Usage,
)
from proxy.hub.grammar import check

END = MessageEnd(FinishReason.STOP)


def answer(*texts: str, reasoning: str = "", call: str = "") -> list[Event]:
    """A whole answer: reasoning, text in the given pieces, a tool call with these arguments."""
    events: list[Event] = [MessageStart("m", "model")]
    index = 0
    if reasoning:
        events += [BlockStart(0, ReasoningBlock()), ReasoningDelta(0, reasoning), BlockEnd(0)]
        index = 1
    events += [BlockStart(index, TextBlock()), *(TextDelta(index, text) for text in texts), BlockEnd(index)]
    if call:
        events += [BlockStart(index + 1, ToolCallBlock("c1", "look")), ArgumentsDelta(index + 1, call)]
        events += [BlockEnd(index + 1)]
    return [*events, END]


def delivered(events: list[Event]) -> Delivered:
    so_far = Delivered(1_000_000)
    so_far.observe(events)
    return so_far


def content(events: list[Event]) -> list[tuple[str, str]]:
    return [(type(block.block).__name__, block.text) for block in fold(events).blocks]


FULL = answer("Hello", " wor", "ld, 世界!", reasoning="thinking", call='{"a": 1}')


@pytest.mark.parametrize("cut", range(len(FULL)))
def test_a_restart_after_any_event_completes_the_answer(cut: int) -> None:
    first = FULL[:cut]

    joined = first + Restart(delivered(first)).take(FULL if cut else FULL[1:])

    whole = joined if cut else [FULL[0], *joined]
    assert check(whole) == []
    blocks = [block for block in content(whole) if block[0] != "ReasoningBlock"]
    assert blocks == [("TextBlock", "Hello world, 世界!"), ("ToolCallBlock", '{"a": 1}')]


def test_an_empty_text_block_demands_no_text_of_the_second_answer() -> None:
    first: list[Event] = [MessageStart("m", "model"), BlockStart(0, TextBlock())]
    call: list[Event] = [BlockStart(0, ToolCallBlock("c1", "look")), ArgumentsDelta(0, "{}"), BlockEnd(0), END]

    joined = first + Restart(delivered(first)).take([MessageStart("m2", "other"), *call])

    assert check(joined) == []
    assert content(joined) == [("TextBlock", ""), ("ToolCallBlock", "{}")]


@given(st.text(min_size=1), st.data())
def test_a_restart_finds_its_place_whatever_the_pieces(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    split = data.draw(st.integers(0, len(text)))
    first = answer(text[:cut])[:-2]

    joined = first + Restart(delivered(first)).take(answer(text[:split], text[split:]))

    assert check(joined) == []
    assert content(joined) == [("TextBlock", text)]


@pytest.mark.parametrize(
    "second",
    [answer("Help"), answer("Hel"), [*answer("")[:1], BlockStart(0, ToolCallBlock("c", "x")), BlockEnd(0), END]],
    ids=["another text", "a shorter text", "another block"],
)
def test_a_second_answer_that_differs_is_refused(second: list[Event]) -> None:
    first = answer("Hello")[:-2]

    assert Restart(delivered(first)).take(second)[-1] is DIFFERS


def test_a_text_that_the_caller_saw_ended_cannot_grow() -> None:
    first = answer("Hello")[:-1]

    assert Restart(delivered(first)).take(answer("Hello there"))[-1] is DIFFERS


@pytest.mark.parametrize("cut", [-1, -2], ids=["ended", "open"])
def test_behind_a_finish_reason_that_the_caller_has_comes_the_end_alone(cut: int) -> None:
    so_far = delivered(answer("Hello")[:cut])
    so_far.has_finish_reason = True
    second = answer("Hel", "lo", reasoning="anew")
    cited = [*second[:-2], CitationAdded(1, "https://a.example"), Usage(1, 2), *second[-2:]]

    joined = Restart(so_far).take(cited)

    assert [event for event in joined if not isinstance(event, BlockEnd)] == [Usage(1, 2), END]


@pytest.mark.parametrize(
    "second",
    [answer("Hello there"), answer("Hello", " there"), answer("Hello", call="{}"), answer("Hell")],
    ids=["more text", "more pieces", "a call", "less text"],
)
def test_a_second_answer_that_goes_on_behind_a_finish_reason_is_refused(second: list[Event]) -> None:
    so_far = delivered(answer("Hello")[:-2])
    so_far.has_finish_reason = True

    joined = Restart(so_far).take(second)

    assert joined[-1] is DIFFERS
    assert not any(isinstance(event, TextDelta | BlockStart) for event in joined)
    assert not so_far.is_text_only


def test_reasoning_is_not_repeated_while_text_is() -> None:
    first = answer("Hel", reasoning="one")[:-2]

    joined = first + Restart(delivered(first)).take(answer("Hello", reasoning="another"))

    assert content(joined) == [("ReasoningBlock", "one"), ("TextBlock", "Hello")]


def test_a_cut_within_reasoning_begins_reasoning_anew() -> None:
    first = answer("x", reasoning="one")[:3]

    joined = first + Restart(delivered(first)).take(answer("Hello", reasoning="another"))

    assert check(joined) == []
    assert content(joined) == [("ReasoningBlock", "one"), ("ReasoningBlock", "another"), ("TextBlock", "Hello")]


@pytest.mark.parametrize(
    ("sent", "rest", "whole"),
    [("Hello", " world", "Hello world"), ("Hello ", "world", "Hello world"), ("Hello ", " world", "Hello world")],
    ids=["plain", "space kept", "space repeated"],
)
def test_a_prefilled_answer_goes_on_in_the_same_block(sent: str, rest: str, whole: str) -> None:
    first = answer(sent)[:-2]

    joined = first + Prefill(delivered(first)).take(answer(rest, call="{}"))

    assert check(joined) == []
    assert content(joined) == [("TextBlock", whole), ("ToolCallBlock", "{}")]


def test_usage_adds_up() -> None:
    first = [*answer("Hel")[:-2], Usage(input=10)]

    joined = Restart(delivered(first)).take([*answer("Hello")[:-1], Usage(input=10, output=3), END])

    assert Usage(input=20, output=3) in joined


def test_a_failing_second_answer_keeps_its_own_error() -> None:
    first = answer("Hel")[:-2]
    error = StreamError(DIFFERS.kind, "again")

    assert Restart(delivered(first)).take([MessageStart("", ""), error]) == [error]


def test_what_was_not_remembered_whole_is_known() -> None:
    so_far = Delivered(4)
    so_far.observe(answer("Hello"))

    assert not so_far.is_complete


def test_replayed_events_fold_to_what_was_delivered() -> None:
    first = FULL[:-3]

    assert content(delivered(first).events()) == content(first)


def test_counts_reported_once_stand_alone() -> None:
    assert add_usage(Usage(cached_input=5), Usage(output=1)) == Usage(cached_input=5, output=1)


@pytest.mark.parametrize("text", ["Xello wor", "Hello_wor", "Hello woX", "Hello worX"])
def test_a_second_answer_that_differs_in_one_letter_is_refused_at_that_letter(text: str) -> None:
    """Also where it comes in pieces no longer than what was delivered."""
    first = answer("Hello wor")[:-2]
    pieces = Restart(delivered(first)).take(answer(*text, "ld"))

    assert (pieces[-1] is DIFFERS) == (not text.startswith("Hello wor"))


# --- citations and proofs

CITED: list[Event] = [
    MessageStart("m", "model"),
    BlockStart(0, TextBlock()),
    TextDelta(0, "one "),
    CitationAdded(0, "https://a.example", start=0, end=3),
    TextDelta(0, "two "),
    CitationAdded(0, "https://b.example", start=4, end=7),
    BlockEnd(0),
    BlockStart(1, ToolCallBlock("c1", "look")),
    ArgumentsDelta(1, "{}"),
    SignatureAdded(1, "proof", Origin.GEMINI),
    BlockEnd(1),
    END,
]


@pytest.mark.parametrize("cut", range(1, len(CITED)))
def test_a_restart_tells_each_citation_once_and_adds_nothing_to_what_has_ended(cut: int) -> None:
    first = CITED[:cut]

    joined = first + Restart(delivered(first)).take(CITED)

    assert check(joined) == []
    assert fold(joined).blocks[0].citations == [CITED[3], CITED[5]]
    assert fold(joined).blocks[1].signature == CITED[9]


def test_citations_and_proofs_are_of_the_state_in_which_a_stream_stands() -> None:
    so_far = delivered(CITED[:-1])

    again = so_far.events()

    assert check([*again, END]) == []
    assert fold([*again, END]) == fold(CITED)


@pytest.mark.parametrize("text", ["three", " three"], ids=["goes on", "repeats the space"])
def test_a_citation_behind_a_prefill_is_placed_in_the_whole_text(text: str) -> None:
    so_far = delivered([MessageStart("m", "model"), BlockStart(0, TextBlock()), TextDelta(0, "one two ")])
    start = text.index("three")
    second = [BlockStart(0, TextBlock()), TextDelta(0, text), CitationAdded(0, "u", start=start, end=start + 5)]

    joined = Prefill(so_far).take([MessageStart("m2", "model"), *second, BlockEnd(0), END])

    (cited,) = [event for event in joined if isinstance(event, CitationAdded)]
    assert "one two three"[cited.start : cited.end] == "three"


def test_citations_count_for_what_can_be_remembered() -> None:
    so_far = Delivered(20)
    so_far.observe([MessageStart("m", "model"), BlockStart(0, TextBlock()), CitationAdded(0, "https://long.example/")])

    assert not so_far.is_complete
