"""Folding a stream into an answer, and back."""

import msgspec
from hypothesis import given

from proxy.hub.completion import CompletedBlock, Completion, Fold, fold, unfold
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
from tests.support.strategies import completions, event_lists

INTERLEAVED: list[Event] = [
    MessageStart("id", "model"),
    BlockStart(0, ReasoningBlock()),
    ReasoningDelta(0, "thin"),
    BlockStart(1, TextBlock()),
    TextDelta(1, "He"),
    Usage(input=3),
    ReasoningDelta(0, "king"),
    SignatureAdded(0, "old", Origin.ANTHROPIC),
    SignatureAdded(0, "new", Origin.ANTHROPIC),
    BlockEnd(0),
    TextDelta(1, "llo"),
    CitationAdded(1, url="u"),
    BlockStart(2, ToolCallBlock("call", "name")),
    BlockEnd(1),
    ArgumentsDelta(2, '{"a"'),
    ArgumentsDelta(2, ":1}"),
    BlockEnd(2),
    Usage(input=3, output=5),
    MessageEnd(FinishReason.TOOL_CALLS),
]


def test_interleaved_deltas_join_in_their_own_blocks() -> None:
    completion = fold(INTERLEAVED)

    assert completion == Completion(
        "id",
        "model",
        [
            CompletedBlock(ReasoningBlock(), "thinking", SignatureAdded(0, "new", Origin.ANTHROPIC)),
            CompletedBlock(TextBlock(), "Hello", citations=[CitationAdded(1, url="u")]),
            CompletedBlock(ToolCallBlock("call", "name"), '{"a":1}'),
        ],
        Usage(input=3, output=5),
        MessageEnd(FinishReason.TOOL_CALLS),
    )


def test_failed_stream_keeps_what_had_come_and_the_error() -> None:
    error = StreamError(ErrorKind.CUT, "cut")

    completion = fold([MessageStart("i", "m"), BlockStart(0, TextBlock()), TextDelta(0, "Hel"), error])

    assert (completion.end, completion.error, completion.blocks[0].text) == (None, error, "Hel")


def test_error_before_the_start_is_a_whole_stream() -> None:
    error = StreamError(ErrorKind.OVERLOADED, "later")

    assert fold([error]) == Completion(error=error)


def test_two_folds_share_nothing() -> None:
    fold(INTERLEAVED)

    assert Fold().finish() == Completion()


@given(completions())
def test_fold_undoes_unfold(completion: Completion) -> None:
    assert fold(unfold(completion)) == completion


@given(completions())
def test_unfolded_answer_is_grammatical_up_to_its_error(completion: Completion) -> None:
    assert check(unfold(completion)) == ([] if completion.end or completion.error else ["no terminator"])


@given(event_lists())
def test_folding_again_what_was_unfolded_changes_nothing(events: list[Event]) -> None:
    completion = fold(events)

    assert fold(unfold(completion)) == completion


@given(event_lists())
def test_events_may_be_added_one_by_one(events: list[Event]) -> None:
    folder = Fold()
    for event in events:
        folder.add([event])

    assert folder.finish() == fold(events)


@given(event_lists())
def test_events_survive_their_json_form(events: list[Event]) -> None:
    """Golden files hold events as JSON."""
    encoded = msgspec.json.encode(events)

    assert msgspec.json.decode(encoded, type=list[Event]) == events
