"""Interleaved blocks leave one after the other, nothing is lost, and what waits is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.sequential import EVENT_BYTES, Sequencer
from proxy.hub.completion import fold
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    Usage,
)
from proxy.hub.grammar import check

START = MessageStart("id", "model")
END = MessageEnd(FinishReason.STOP)
CUT = StreamError(ErrorKind.CUT, "cut")


def tool(index: int) -> BlockStart:
    return BlockStart(index, ToolCallBlock(f"call_{index}", "f"))


def feed_one_by_one(events: list[Event], sequencer: Sequencer | None = None) -> list[Event]:
    sequencer = sequencer or Sequencer()
    return [out for event in events for out in sequencer.feed([event])]


def overlaps(events: list[Event]) -> bool:
    """Whether any event of a block stands between the start and the end of another."""
    current: int | None = None
    for event in events:
        index = getattr(event, "index", None)
        if index is None:
            continue
        if isinstance(event, BlockStart):
            if current is not None:
                return True
            current = index
        elif index != current:
            return True
        elif isinstance(event, BlockEnd):
            current = None
    return False


@st.composite
def interleaved_streams(draw: st.DrawFn) -> list[Event]:
    """A grammatical stream whose blocks open, grow and end in any order."""
    events: list[Event] = [START]
    open_blocks: list[int] = []
    opened = 0
    for _ in range(draw(st.integers(0, 40))):
        action = draw(st.sampled_from(["open", "delta", "delta", "delta", "end", "usage"]))
        if action == "open":
            events.append(tool(opened))
            open_blocks.append(opened)
            opened += 1
        elif action == "usage":
            events.append(Usage(output=len(events)))
        elif open_blocks:
            index = draw(st.sampled_from(open_blocks))
            if action == "delta":
                events.append(ArgumentsDelta(index, draw(st.text(max_size=3))))
            else:
                open_blocks.remove(index)
                events.append(BlockEnd(index))
    events += [BlockEnd(index) for index in draw(st.permutations(open_blocks))]
    return [*events, END]


@given(interleaved_streams(), st.integers(1, 5))
def test_any_interleaving_becomes_sequential_and_loses_nothing(events: list[Event], chunk: int) -> None:
    sequencer = Sequencer()

    out = [event for start in range(0, len(events), chunk) for event in sequencer.feed(events[start : start + chunk])]

    assert check(out) == []
    assert not overlaps(out)
    assert fold(out) == fold(events)
    assert len(out) == len(events)


def test_the_first_open_block_is_not_delayed_and_the_next_follows_at_its_end() -> None:
    sequencer = Sequencer()

    sequencer.feed([START, tool(0), tool(1)])

    assert sequencer.feed([ArgumentsDelta(1, "b")]) == []
    assert sequencer.feed([ArgumentsDelta(0, "a")]) == [ArgumentsDelta(0, "a")]
    assert sequencer.feed([BlockEnd(0)]) == [BlockEnd(0), tool(1), ArgumentsDelta(1, "b")]
    assert sequencer.feed([ArgumentsDelta(1, "c")]) == [ArgumentsDelta(1, "c")]


def test_blocks_that_ended_while_waiting_leave_together() -> None:
    held: list[Event] = [tool(1), BlockEnd(1), tool(2), ArgumentsDelta(2, "x"), BlockEnd(2), tool(3)]
    sequencer = Sequencer()

    assert feed_one_by_one([START, tool(0), *held], sequencer) == [START, tool(0)]
    assert sequencer.feed([BlockEnd(0)]) == [BlockEnd(0), *held]


def test_a_sequential_stream_passes_event_by_event() -> None:
    events: list[Event] = [
        START,
        BlockStart(0, TextBlock()),
        TextDelta(0, "a"),
        CitationAdded(0, url="u"),
        BlockEnd(0),
        tool(1),
        ArgumentsDelta(1, "{}"),
        BlockEnd(1),
        Usage(output=3),
        END,
    ]
    sequencer = Sequencer()

    for event in events:
        assert sequencer.feed([event]) == [event]


def test_usage_does_not_wait() -> None:
    sequencer = Sequencer()
    sequencer.feed([START, tool(0), tool(1)])

    assert sequencer.feed([Usage(output=1)]) == [Usage(output=1)]


def test_an_error_drops_what_never_had_its_turn() -> None:
    out = feed_one_by_one([START, tool(0), tool(1), ArgumentsDelta(1, "{}"), BlockEnd(1), CUT])

    assert out == [START, tool(0), CUT]
    assert check(out) == []


def test_an_error_may_come_first() -> None:
    assert Sequencer().feed([CUT]) == [CUT]


def test_a_flood_of_held_events_ends_the_stream_with_an_error() -> None:
    sequencer = Sequencer(max_held_bytes=10 * EVENT_BYTES)
    flood: list[Event] = [ArgumentsDelta(1, "x") for _ in range(20)]

    out = feed_one_by_one([START, tool(0), tool(1), *flood, BlockEnd(0), BlockEnd(1), END], sequencer)

    assert out[:2] == [START, tool(0)]
    assert len(out) == 3
    assert isinstance(out[2], StreamError)
    assert out[2].kind is ErrorKind.PROTOCOL


def test_events_that_left_no_longer_count_as_held() -> None:
    sequencer = Sequencer(max_held_bytes=4 * EVENT_BYTES)
    sequencer.feed([START])

    for index in range(0, 40, 2):
        out = sequencer.feed([tool(index), tool(index + 1), ArgumentsDelta(index + 1, "x"), BlockEnd(index)])
        out += sequencer.feed([BlockEnd(index + 1)])
        assert len(out) == 5


def test_nothing_follows_the_end() -> None:
    sequencer = Sequencer()
    sequencer.feed([START, CUT])

    assert sequencer.feed([Usage(output=1)]) == []
    assert sequencer.feed([tool(0), END]) == []
