"""The seam between codecs and I/O, with the smallest codecs there are: whatever the pieces, exactly one true ending."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.sse import SseSplitter
from proxy.hub.completion import fold
from proxy.hub.continuation import Delivered
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import (
    CONTENT_EVENTS,
    EMPTY_AT_START,
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    StreamError,
    TextBlock,
    TextDelta,
    Usage,
)
from proxy.hub.transcode import Collect, Convert, Passthrough, Transcoder
from tests.support.strategies import event_lists
from tests.support.toy_codec import (
    FAULT,
    HEARTBEAT,
    ToyDecoder,
    ToyEncoder,
    error_ending,
    is_toy_terminator,
    wire,
)

EVENTS: list[Event] = [
    MessageStart("i", "m"),
    BlockStart(0, TextBlock()),
    TextDelta(0, "He"),
    TextDelta(0, "llo"),
    BlockEnd(0),
    Usage(input=1, output=2),
    MessageEnd(FinishReason.STOP),
]
STREAM = wire(EVENTS)
HALF = STREAM[: STREAM.index(b"llo")]
"""Ends in the middle of the second text delta."""
WHOLE_EVENTS_OF_HALF = HALF[: HALF.rindex(b"\n\n") + 2]
IDLE = StreamError(ErrorKind.TIMEOUT, "idle")

cuts = st.lists(st.integers(1, 40), max_size=60)


def converted(events: list[Event]) -> bytes:
    return ToyEncoder().encode(events)


def toy_encoder(_is_relayed: bool) -> ToyEncoder:
    return ToyEncoder()


def convert() -> Convert:
    return Convert(ToyDecoder(), ToyEncoder())


def passthrough(max_frame_bytes: int = 1_000_000) -> Passthrough:
    return Passthrough(SseSplitter(max_frame_bytes), ToyDecoder(), toy_encoder, is_toy_terminator)


def collect(max_bytes: int = 1_000_000) -> Collect:
    return Collect(ToyDecoder(), max_bytes)


ALL: list[Callable[[], Transcoder]] = [convert, passthrough, collect]
STREAMING: list[Callable[[], Transcoder]] = [convert, passthrough]


def run(transcoder: Transcoder, pieces: Iterable[bytes]) -> bytes:
    return b"".join(transcoder.feed(piece) for piece in pieces) + transcoder.finish()


def cut_up(stream: bytes, sizes: Iterable[int]) -> list[bytes]:
    pieces: list[bytes] = []
    start = 0
    for size in sizes:
        pieces.append(stream[start : start + size])
        start += size
    return [*pieces, stream[start:]]


def single_bytes(stream: bytes) -> list[bytes]:
    return cut_up(stream, [1] * len(stream))


# --- whole streams


@given(event_lists(), cuts)
def test_conversion_is_the_same_for_any_pieces(events: list[Event], sizes: list[int]) -> None:
    assert run(convert(), cut_up(wire(events), sizes)) == converted(events)


@given(event_lists(), cuts)
def test_passthrough_is_byte_exact_for_any_pieces(events: list[Event], sizes: list[int]) -> None:
    stream = wire(events)

    assert run(passthrough(), cut_up(stream, sizes)) == stream


@given(event_lists(), cuts)
def test_collected_answer_is_the_fold_for_any_pieces(events: list[Event], sizes: list[int]) -> None:
    transcoder = collect()

    assert run(transcoder, cut_up(wire(events), sizes)) == b""
    assert transcoder.completion() == fold(events)


@pytest.mark.parametrize("start", ALL)
@given(event_lists(), cuts)
def test_summary_tells_what_was_seen(start: Callable[[], Transcoder], events: list[Event], sizes: list[int]) -> None:
    transcoder = start()
    run(transcoder, cut_up(wire(events), sizes))

    summary = transcoder.summary
    answer = fold(events)
    assert (summary.usage, summary.end, summary.error) == (answer.usage, answer.end, answer.error)
    assert (summary.model, summary.events) == (answer.model, len(events))
    assert summary.content_events == sum(map(_is_content, events))
    assert summary.ended
    assert not summary.tap_failed


def _is_content(event: Event) -> bool:
    if isinstance(event, BlockStart):
        return not isinstance(event.block, EMPTY_AT_START)
    return type(event) in CONTENT_EVENTS


@pytest.mark.parametrize("start", STREAMING)
def test_each_whole_event_leaves_at_once(start: Callable[[], Transcoder]) -> None:
    transcoder = start()

    outputs = [transcoder.feed(wire([event])) for event in EVENTS]

    assert all(outputs)


def test_bytes_after_the_terminator_are_relayed_untouched_and_unread() -> None:
    """Comments, `[DONE]`, an unterminated line: they belong to the provider's bytes."""
    stream = STREAM + b": bye\n\n" + FAULT + b"data: [DONE]"
    transcoder = passthrough()

    assert run(transcoder, single_bytes(stream)) == stream
    assert (transcoder.summary.events, transcoder.summary.tap_failed) == (len(EVENTS), False)


def test_unterminated_last_event_still_counts() -> None:
    """Some servers omit the last blank line."""
    stream = STREAM.removesuffix(b"\n\n")

    assert run(convert(), [stream]) == converted(EVENTS)
    assert run(passthrough(), [stream]) == stream


def test_conversion_ignores_what_follows_the_end() -> None:
    transcoder = convert()

    assert run(transcoder, [STREAM, FAULT, STREAM]) == converted(EVENTS)
    assert transcoder.summary.error is None


# --- broken streams


@pytest.mark.parametrize("start", STREAMING)
def test_stream_cut_at_any_byte_ends_in_an_error(start: Callable[[], Transcoder]) -> None:
    for length in range(len(wire(EVENTS[:-1])) + 1):
        transcoder = start()

        out = run(transcoder, [STREAM[:length]])

        assert out.endswith(error_ending(ErrorKind.CUT)), length
        assert (out.count(b"data: error"), out.count(b"data: end")) == (1, 0)
        assert transcoder.summary.end is None


def test_cut_passthrough_drops_the_half_event() -> None:
    assert run(passthrough(), single_bytes(HALF)) == WHOLE_EVENTS_OF_HALF + error_ending(ErrorKind.CUT)


def test_cut_answer_is_collected_as_an_error() -> None:
    transcoder = collect()
    run(transcoder, [HALF])

    completion = transcoder.completion()
    assert completion.error is not None
    assert (completion.error.kind, completion.end, completion.blocks[0].text) == (ErrorKind.CUT, None, "He")


@pytest.mark.parametrize("start", ALL)
def test_nothing_at_all_is_a_cut(start: Callable[[], Transcoder]) -> None:
    transcoder = start()
    run(transcoder, [])

    assert transcoder.summary.error is not None
    assert transcoder.summary.error.kind is ErrorKind.CUT


@pytest.mark.parametrize("start", STREAMING)
def test_fault_of_the_relay_ends_the_stream_at_a_whole_event(start: Callable[[], Transcoder]) -> None:
    transcoder = start()

    out = transcoder.feed(HALF) + transcoder.fail(IDLE)

    assert out == WHOLE_EVENTS_OF_HALF + error_ending(ErrorKind.TIMEOUT)
    assert transcoder.summary.error == IDLE


@pytest.mark.parametrize("start", ALL)
def test_fault_after_the_end_changes_nothing(start: Callable[[], Transcoder]) -> None:
    """The provider's connection may break after the answer was whole."""
    transcoder = start()
    transcoder.feed(STREAM)

    assert transcoder.fail(IDLE) == b""
    assert transcoder.summary.error is None


@pytest.mark.parametrize("start", ALL)
def test_only_the_first_fault_counts(start: Callable[[], Transcoder]) -> None:
    transcoder = start()
    transcoder.feed(HALF)
    transcoder.fail(IDLE)

    assert transcoder.fail(StreamError(ErrorKind.DRAINED, "")) == b""
    assert transcoder.feed(STREAM) == b""
    assert transcoder.finish() == b""
    assert transcoder.summary.error == IDLE


def test_conversion_of_a_protocol_fault_ends_in_an_error_and_reads_no_further() -> None:
    transcoder = convert()

    out = run(transcoder, [WHOLE_EVENTS_OF_HALF, FAULT, STREAM])

    assert out == WHOLE_EVENTS_OF_HALF + error_ending(ErrorKind.PROTOCOL)


@pytest.mark.parametrize("start", ALL)
def test_protocol_fault_in_the_last_unterminated_event_is_never_a_success(start: Callable[[], Transcoder]) -> None:
    transcoder = start()
    run(transcoder, [WHOLE_EVENTS_OF_HALF, FAULT.removesuffix(b"\n\n")])

    assert transcoder.summary.end is None
    assert transcoder.summary.error is not None


@pytest.mark.parametrize("start", STREAMING)
@pytest.mark.parametrize("terminated", [True, False])
def test_error_of_the_provider_is_the_only_ending(start: Callable[[], Transcoder], terminated: bool) -> None:
    error = StreamError(ErrorKind.OVERLOADED, "busy")
    stream = wire([*EVENTS[:3], error])
    transcoder = start()

    out = run(transcoder, [stream if terminated else stream.removesuffix(b"\n\n")])

    assert out.count(b"StreamError") + out.count(b"data: error") == 1
    assert out.endswith(b"\n\n"), "an SDK reads no event without its blank line"
    assert b"CUT" not in out
    assert transcoder.summary.error == error


def test_answer_over_the_cap_is_collected_as_a_protocol_fault() -> None:
    transcoder = collect(max_bytes=len(STREAM) - 1)

    run(transcoder, [STREAM])

    assert transcoder.summary.error is not None
    assert transcoder.summary.error.kind is ErrorKind.PROTOCOL


def test_event_over_the_cap_ends_passthrough_in_an_error() -> None:
    transcoder = passthrough(max_frame_bytes=100)

    out = run(transcoder, [wire(EVENTS[:1]), b"data: " + b"x" * 200, STREAM])

    assert out == wire(EVENTS[:1]) + error_ending(ErrorKind.PROTOCOL)


# --- a tap that fails


def test_bytes_go_on_when_the_tap_fails_and_the_terminator_is_seen_in_them() -> None:
    stream = WHOLE_EVENTS_OF_HALF + FAULT + STREAM
    transcoder = passthrough()

    assert run(transcoder, single_bytes(stream)) == stream
    assert transcoder.summary.tap_failed
    assert transcoder.summary.error is None


@pytest.mark.parametrize("tail", [b"", b"data: half"])
def test_cut_is_still_seen_when_the_tap_fails(tail: bytes) -> None:
    stream = WHOLE_EVENTS_OF_HALF + FAULT + WHOLE_EVENTS_OF_HALF
    transcoder = passthrough()

    assert run(transcoder, single_bytes(stream + tail)) == stream + error_ending(ErrorKind.CUT)
    assert transcoder.summary.tap_failed


def test_terminator_in_the_very_read_that_fails_the_tap_is_seen() -> None:
    stream = FAULT + STREAM

    assert run(passthrough(), [stream]) == stream


def test_tap_that_fails_in_the_unterminated_terminator_is_replaced_by_the_look_at_the_bytes() -> None:
    class FailsAtTheEnd(ToyDecoder):
        def finish(self) -> list[Event]:
            raise UpstreamProtocolError("no")

    transcoder = Passthrough(SseSplitter(), FailsAtTheEnd(), toy_encoder, is_toy_terminator)

    out = run(transcoder, [WHOLE_EVENTS_OF_HALF])

    assert out == WHOLE_EVENTS_OF_HALF + error_ending(ErrorKind.CUT)
    assert transcoder.summary.tap_failed


# --- errors held back, so that the stream may go on with a second answer


def convert_held() -> Convert:
    return Convert(ToyDecoder(), ToyEncoder(), Delivered(1_000_000))


def passthrough_held() -> Passthrough:
    return Passthrough(SseSplitter(), ToyDecoder(), toy_encoder, is_toy_terminator, Delivered(1_000_000))


HOLDING: list[Callable[[], Transcoder]] = [convert_held, passthrough_held]


@pytest.mark.parametrize("start", HOLDING)
@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (HALF, ErrorKind.CUT),
        (wire([*EVENTS[:3], StreamError(ErrorKind.OVERLOADED, "busy")]), ErrorKind.OVERLOADED),
    ],
    ids=["cut", "provider's own"],
)
def test_held_error_is_given_once_and_only_when_asked_for(
    start: Callable[[], Transcoder], stream: bytes, kind: ErrorKind
) -> None:
    transcoder = start()

    out = run(transcoder, [stream])

    assert out == WHOLE_EVENTS_OF_HALF
    assert transcoder.is_holding
    assert transcoder.summary.error is not None
    assert transcoder.summary.error.kind is kind
    assert transcoder.ending() in (error_ending(kind), stream[len(WHOLE_EVENTS_OF_HALF) :])
    assert (transcoder.ending(), transcoder.is_holding) == (b"", False)


def test_an_error_without_its_blank_line_is_held_as_well() -> None:
    transcoder = passthrough_held()

    out = run(transcoder, [wire([*EVENTS[:3], StreamError(ErrorKind.OVERLOADED, "busy")]).rstrip()])

    assert out == WHOLE_EVENTS_OF_HALF
    assert transcoder.ending() == error_ending(ErrorKind.OVERLOADED)


class Finishing(ToyDecoder):
    has_finish_reason = True


@pytest.mark.parametrize(
    "stream",
    [HALF, wire([*EVENTS[:3], StreamError(ErrorKind.OVERLOADED, "busy")])],
    ids=["cut", "provider's own"],
)
def test_a_held_error_knows_of_a_finish_reason_that_was_relayed(stream: bytes) -> None:
    delivered, other = Delivered(1_000_000), Delivered(1_000_000)

    run(Passthrough(SseSplitter(), Finishing(), toy_encoder, is_toy_terminator, delivered), [stream])
    run(Passthrough(SseSplitter(), ToyDecoder(), toy_encoder, is_toy_terminator, other), [stream])

    assert (delivered.has_finish_reason, other.has_finish_reason) == (True, False)
    assert not delivered.is_text_only


@pytest.mark.parametrize("start", HOLDING)
def test_fault_of_the_relay_is_held_as_well(start: Callable[[], Transcoder]) -> None:
    transcoder = start()

    assert transcoder.feed(HALF) + transcoder.fail(IDLE) == WHOLE_EVENTS_OF_HALF
    assert transcoder.ending() == error_ending(ErrorKind.TIMEOUT)


@pytest.mark.parametrize("start", [*HOLDING, *ALL])
def test_whole_stream_holds_nothing(start: Callable[[], Transcoder]) -> None:
    transcoder = start()
    run(transcoder, single_bytes(STREAM))

    assert (transcoder.is_holding, transcoder.ending()) == (False, b"")


def test_bytes_after_the_providers_error_event_are_relayed_whatever_the_pieces() -> None:
    """OpenAI's Responses sends `response.failed` after `error`."""
    stream = wire([*EVENTS[:3], StreamError(ErrorKind.OVERLOADED, "busy")]) + b"data: more\n\n"

    assert run(passthrough(), [stream]) == stream
    assert run(passthrough(), single_bytes(stream)) == stream


BARE = b'{"error":"busy"}\n\n'


@pytest.mark.parametrize("pieces", [lambda stream: [stream], single_bytes])
def test_json_before_the_first_event_waits_for_it(pieces: Callable[[bytes], list[bytes]]) -> None:
    transcoder = passthrough()

    before = b"".join(transcoder.feed(piece) for piece in pieces(BARE))

    assert before == b""
    assert run(transcoder, pieces(STREAM)) == BARE + STREAM


@pytest.mark.parametrize("pieces", [lambda stream: [stream], single_bytes])
def test_json_in_place_of_events_is_not_relayed(pieces: Callable[[bytes], list[bytes]]) -> None:
    transcoder = passthrough()

    assert run(transcoder, pieces(BARE)) == error_ending(ErrorKind.CUT)
    assert transcoder.summary.error is not None


@pytest.mark.parametrize("before", [b": hello\n\n", b"\n\n", b"data:\n\n", b"event: x\n\n"])
def test_other_bytes_before_the_first_event_do_not_wait(before: bytes) -> None:
    decoder = ToyDecoder()
    decoder.feed = lambda data: []  # type: ignore[method-assign]
    transcoder = Passthrough(SseSplitter(), decoder, ToyEncoder, is_toy_terminator)

    assert transcoder.feed(before) == before


def test_json_over_the_cap_does_not_wait() -> None:
    transcoder = passthrough()
    block = b"{" + b"x" * 30_000 + b"}\n\n"

    assert [transcoder.feed(block), transcoder.feed(block)] == [b"", b""]
    assert transcoder.feed(block) == block * 3


class ForgetsItsEnding(ToyDecoder):
    """A decoder that breaks its own contract: silence at the end of a body that was not whole."""

    def finish(self) -> list[Event]:
        return []


def test_a_decoder_that_says_nothing_at_the_end_makes_no_success() -> None:
    converting = Convert(ForgetsItsEnding(), ToyEncoder())
    collecting = Collect(ForgetsItsEnding(), 1_000_000)

    assert run(converting, [WHOLE_EVENTS_OF_HALF]).endswith(error_ending(ErrorKind.CUT))
    run(collecting, [WHOLE_EVENTS_OF_HALF])
    for summary in (converting.summary, collecting.summary):
        assert summary.error is not None
        assert (summary.error.kind, summary.end) == (ErrorKind.CUT, None)


# --- heartbeats


@pytest.mark.parametrize("start", STREAMING)
def test_heartbeat_is_the_dialects_own(start: Callable[[], Transcoder]) -> None:
    transcoder = start()

    assert transcoder.feed(HALF) + transcoder.heartbeat() == WHOLE_EVENTS_OF_HALF + HEARTBEAT


def test_whole_answers_have_no_heartbeat() -> None:
    assert collect().heartbeat() == b""
