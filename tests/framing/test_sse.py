"""Both SSE readers against an independent parser of the standard, over every way of cutting the same bytes."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.sse import Frame, SseFramer, SseSplitter, parse_event
from proxy.hub.errors import UpstreamProtocolError
from tests.support.eventsource import interpret

TORTURE = (Path(__file__).parents[1] / "fixtures/framing/torture.sse").read_bytes()

STREAMS = {
    "torture": TORTURE,
    "lf": b"data: a\n\nevent: e\ndata: b\n\n",
    "crlf": b"data: a\r\n\r\nevent: e\r\ndata: b\r\n\r\n",
    "cr": b"data: a\r\revent: e\rdata: b\r\r",
    "mixed": b"data: a\n\r\ndata: b\r\n\ndata: c\r\r\ndata: d\r\n\rdata: e\n\r",
    "blank lines between": b"\n\n\ndata: a\n\n\n\n\r\n\r\ndata: b\n\n\n",
    "comments only": b": ping\n\n: ping\r\n\r\n:\n\n",
    "bom": b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: not a field\n\ndata: b\n\n",
    "bom alone": b"\xef\xbb\xbf",
    "half a bom": b"\xef\xbb",
    "no bom after all": b"\xef\xbb\xbddata: x\n\ndata: y\n\n",
    "other line separators": "data: a\u2028b\u2029c\u0085d\x0be\x0cf\n\n".encode(),
    "space and colon": b"data:a\n\ndata:  b\n\ndata: :c\n\ndata\n\ndatum: d\n\n : e\n\n",
    "unterminated line": b"data: a\n\ndata: b",
    "unterminated event": b"data: a\n\ndata: b\n",
    "nothing": b"",
}

PIECES = [b"data", b"event", b"id", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"\xef\xbb\xbf", b"\xe2\x80\xa8"]
"""What a stream can be made of so that every rule is met often."""

streams = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
cuts = st.lists(st.integers(1, 6), max_size=60)


def cut_up(stream: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield stream[start : start + size]
        start += size
    yield stream[start:]


def framed(pieces: Iterable[bytes]) -> list[Frame]:
    framer = SseFramer()
    return [frame for piece in pieces for frame in framer.feed(piece)]


def expected(stream: bytes) -> list[Frame]:
    """The standard's events, named and encoded as the framer gives them."""
    return [
        (b"" if event.type == "message" else event.type.encode(), event.data.encode("utf-8", "surrogateescape"))
        for event in interpret(stream).events
    ]


def all_cuts(stream: bytes, parts: int) -> Iterator[list[bytes]]:
    for places in itertools.combinations(range(len(stream) + 1), parts - 1):
        edges = [0, *places, len(stream)]
        yield [stream[start:stop] for start, stop in itertools.pairwise(edges)]


# --- the framer


def test_torture_stream_gives_the_events_of_the_reference_parser() -> None:
    frames = framed([TORTURE])

    assert frames == [
        (b"", b"a\nb\n c"),
        (b"e1", b""),
        (b"", "\u2028ls".encode()),
        (b"", b"nul"),
    ]


@pytest.mark.parametrize("name", STREAMS)
def test_frames_are_those_of_the_standard(name: str) -> None:
    stream = STREAMS[name]
    if name == "no bom after all":
        stream = stream.replace(b"\xef\xbb\xbd", "\ufefd".encode())

    assert framed([stream]) == expected(stream)


@pytest.mark.parametrize("name", STREAMS)
def test_any_cut_in_two_or_three_gives_the_same_frames(name: str) -> None:
    stream = STREAMS[name]
    whole = framed([stream])

    for pieces in itertools.chain(all_cuts(stream, 2), all_cuts(stream, 3)):
        assert framed(pieces) == whole, pieces


@pytest.mark.parametrize("name", STREAMS)
def test_single_bytes_give_the_same_frames(name: str) -> None:
    stream = STREAMS[name]

    assert framed(stream[index : index + 1] for index in range(len(stream))) == framed([stream])


@given(streams, cuts)
def test_any_stream_in_any_pieces_gives_the_frames_of_the_standard(stream: bytes, sizes: list[int]) -> None:
    assert framed(cut_up(stream, sizes)) == expected(stream)


def test_feeding_nothing_changes_nothing() -> None:
    framer = SseFramer()

    assert [framer.feed(b""), framer.feed(b"data: a\r"), framer.feed(b""), framer.feed(b"\n\r\n")] == [
        [],
        [],
        [],
        [(b"", b"a")],
    ]


def test_event_is_given_as_soon_as_its_blank_line_began() -> None:
    """A lone CR is a line end: waiting for a possible LF would hold back the event until the next one."""
    framer = SseFramer()

    assert framer.feed(b"data: a\r\r") == [(b"", b"a")]


@pytest.mark.parametrize(
    ("stream", "frame"),
    [
        (b"data: a\n\ndata: b", (b"", b"b")),
        (b"event: e\ndata: b\r", (b"e", b"b")),
        (b"data: a\n\n", None),
        (b"event: e", None),
        (b"\xef\xbb", None),
        (b"", None),
    ],
)
def test_finish_gives_the_unterminated_event(stream: bytes, frame: Frame | None) -> None:
    framer = SseFramer()
    framer.feed(stream)

    assert framer.finish() == frame


@pytest.mark.parametrize(
    ("stream", "json"),
    [
        (b'data: a\n\n{"error": 1}', b'{"error": 1}'),
        (b'data: a\n\n{"error": 1}\n', b'{"error": 1}'),
        (b'data: a\n\n{"error": 1}\n\n', b'{"error": 1}'),
        (b'data: a\r\n\r\n\r\n{\r\n  "error": 1\r\n}\r\n\r\n: bye\r\n\r\n', b'{\n  "error": 1\n}'),
        (b'data: a\n\n[{"error": 1}]', b'[{"error": 1}]'),
        (b'data: {"a": 1}\n\n: ping\n\nevent: e\n\n', b""),
        (b'data: {"a": 1}', b""),
        (b"data: a\n\n<html>\n\n", b""),
        (b"", b""),
    ],
)
def test_json_outside_of_any_event_is_no_event_and_not_lost(stream: bytes, json: bytes) -> None:
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        framer = SseFramer()
        frames = [frame for piece in pieces for frame in framer.feed(piece)]
        framer.finish()

        assert framer.bare_json == json
        assert all(not data.startswith(b"{") or b"a" in data for _, data in frames)


def test_last_event_name_wins_and_fields_without_meaning_are_ignored() -> None:
    assert parse_event(b"event: a\nid: 1\nevent: b\nretry: x\ndata: d\n:c\nfoo") == (b"b", b"d")


# --- the splitter


def split(pieces: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    splitter = SseSplitter()
    return [splitter.feed(piece) for piece in pieces], splitter.finish()


def assert_splits_well(stream: bytes, pieces: list[bytes]) -> None:
    """Nothing lost, no half event given, no whole event held back."""
    outputs, rest = split(pieces)

    assert b"".join(outputs) + rest == stream
    for count in range(1, len(pieces) + 1):
        given_out, taken_in = b"".join(outputs[:count]), b"".join(pieces[:count])
        assert interpret(given_out).rest == ""
        assert interpret(given_out).events == interpret(taken_in).events


@pytest.mark.parametrize("name", STREAMS)
def test_splitter_gives_whole_events_at_any_cut(name: str) -> None:
    stream = STREAMS[name]

    for pieces in all_cuts(stream, 2):
        assert_splits_well(stream, pieces)


@pytest.mark.parametrize("name", STREAMS)
def test_splitter_gives_whole_events_of_single_bytes(name: str) -> None:
    stream = STREAMS[name]

    assert_splits_well(stream, [stream[index : index + 1] for index in range(len(stream))])


@given(streams, cuts)
def test_splitter_gives_whole_events_of_any_stream(stream: bytes, sizes: list[int]) -> None:
    assert_splits_well(stream, list(cut_up(stream, sizes)))


# --- both: cost and caps


def feed_single_bytes(feed: Callable[[bytes], object], size: int) -> float:
    """CPU seconds for one event of `size` bytes that arrives byte by byte."""
    stream = b"data: " + b"x" * size + b"\n\n"
    pieces = [stream[index : index + 1] for index in range(len(stream))]
    started = time.process_time()
    for piece in pieces:
        feed(piece)
    return time.process_time() - started


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("reader", [SseFramer, SseSplitter])
def test_large_event_byte_by_byte_costs_linear_time(
    reader: type[SseFramer] | type[SseSplitter], line_end: bytes
) -> None:
    def first_line_fed() -> Callable[[bytes], object]:
        feed = reader().feed
        feed(b"event: e" + line_end)
        return feed

    small = min(feed_single_bytes(first_line_fed(), 62_500) for _ in range(3))
    large = feed_single_bytes(first_line_fed(), 1_000_000)

    # 16 times the bytes: linear costs 16 times as much, quadratic 256 times.
    assert large < 64 * small


@pytest.mark.parametrize("reader", [SseFramer, SseSplitter])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_event_over_the_cap_is_a_protocol_error(reader: type[SseFramer] | type[SseSplitter], size: int) -> None:
    unit = reader(max_frame_bytes=1000)
    stream = b"data: " + b"x" * 2000

    with pytest.raises(UpstreamProtocolError, match="1000 bytes"):
        for start in range(0, len(stream), size):
            unit.feed(stream[start : start + size])


@pytest.mark.parametrize("reader", [SseFramer, SseSplitter])
def test_endless_comment_lines_meet_the_cap(reader: type[SseFramer] | type[SseSplitter]) -> None:
    unit = reader(max_frame_bytes=1000)

    with pytest.raises(UpstreamProtocolError):
        for _ in range(1000):
            unit.feed(b": x\n")


@pytest.mark.parametrize("reader", [SseFramer, SseSplitter])
def test_many_events_under_the_cap_pass_whatever_their_sum(reader: type[SseFramer] | type[SseSplitter]) -> None:
    unit = reader(max_frame_bytes=100)

    for _ in range(1000):
        unit.feed(b"data: " + b"x" * 50)
        unit.feed(b"\n\ndata: y\n\n")
