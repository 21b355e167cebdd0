"""The checker must accept what the grammar allows and name each kind of breach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolResultBlock,
    Usage,
)
from proxy.hub.grammar import check
from tests.support.strategies import event_lists

START = MessageStart("i", "m")
END = MessageEnd(FinishReason.STOP)
ERROR = StreamError(ErrorKind.CUT, "")
TEXT = BlockStart(0, TextBlock())

BREACHES: dict[str, tuple[list[Event], str]] = {
    "empty": ([], "no terminator"),
    "no end": ([START, TEXT, BlockEnd(0)], "no terminator"),
    "end only": ([END], "before MessageStart"),
    "delta first": ([TextDelta(0, "a"), ERROR], "before MessageStart"),
    "usage first": ([Usage(), ERROR], "before MessageStart"),
    "second start": ([START, START, END], "a second MessageStart"),
    "block left open": ([START, TEXT, END], "blocks [0] are open"),
    "index skipped": ([START, BlockStart(1, TextBlock()), ERROR], "expected 0"),
    "index repeated": ([START, TEXT, TEXT, ERROR], "expected 1"),
    "index negative": ([START, TEXT, TextDelta(-1, "a"), ERROR], "not open"),
    "delta after block": ([START, TEXT, BlockEnd(0), TextDelta(0, "a"), END], "not open"),
    "delta without block": ([START, TextDelta(0, "a"), END], "not open"),
    "ended twice": ([START, TEXT, BlockEnd(0), BlockEnd(0), END], "not open"),
    "end without block": ([START, BlockEnd(0), END], "not open"),
    "after the end": ([START, END, Usage()], "after the end"),
    "two ends": ([START, END, END], "after the end"),
    "error after end": ([START, END, ERROR], "after the end"),
    "end after error": ([START, ERROR, END], "after the end"),
}

DELTAS: list[Event] = [
    TextDelta(0, "a"),
    ReasoningDelta(0, "a"),
    RefusalDelta(0, "a"),
    ArgumentsDelta(0, "{}"),
    SignatureAdded(0, "s", Origin.GEMINI),
    CitationAdded(0),
]

BLOCKS = {
    TextBlock(): {TextDelta, CitationAdded},
    ReasoningBlock(): {ReasoningDelta, SignatureAdded},
    RefusalBlock(): {RefusalDelta},
    ToolCallBlock("i", "n"): {ArgumentsDelta, SignatureAdded},
    RedactedReasoningBlock("d", Origin.OPENAI): set[type[Event]](),
    ToolResultBlock("i", "[]", Origin.ANTHROPIC, "t"): set[type[Event]](),
    MediaBlock("image/png", url="u"): set[type[Event]](),
}


@pytest.mark.parametrize("name", BREACHES)
def test_breach_is_named(name: str) -> None:
    events, words = BREACHES[name]

    assert any(words in problem for problem in check(events)), check(events)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
@pytest.mark.parametrize("delta", DELTAS, ids=lambda delta: type(delta).__name__)
def test_deltas_stand_only_in_their_own_blocks(block: TextBlock, delta: Event) -> None:
    problems = check([START, BlockStart(0, block), delta, BlockEnd(0), END])

    assert (problems == []) == (type(delta) in BLOCKS[block])


@given(event_lists())
def test_grammatical_streams_pass(events: list[Event]) -> None:
    assert check(events) == []


@given(event_lists(), st.data())
def test_stream_cut_before_its_terminator_lacks_one(events: list[Event], data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(events) - 1))

    assert check(events[:length]) == ["no terminator"]


@given(event_lists(), st.data())
def test_stream_cut_anywhere_may_end_in_an_error(events: list[Event], data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(events) - 1))

    assert check([*events[:length], ERROR]) == []
