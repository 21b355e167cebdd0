"""Both readers of newline-delimited JSON, against `bytes.split` as the independent reader."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.ndjson import NdjsonFramer, NdjsonSplitter
from proxy.hub.errors import UpstreamProtocolError

LINES = st.lists(
    st.sampled_from([b'{"a":1}', b"", b" ", b'"\xe2\x80\xa8"', b'{"b":"\xc3\xa9"}\r', b"x" * 40]), max_size=8
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(LINES, st.booleans(), st.lists(st.integers(0, 10_000), max_size=6))
def test_any_pieces_give_the_lines_that_are_not_blank(lines: list[bytes], is_ended: bool, cuts: list[int]) -> None:
    data = b"\n".join(lines) + (b"\n" if is_ended else b"")
    framer = NdjsonFramer()

    found = [line for piece in pieces(data, cuts) for line in framer.feed(piece)]
    rest = framer.finish()

    assert [*found, *([rest] if rest is not None else [])] == [line for line in data.split(b"\n") if line.strip()]
    assert framer.finish() is None


@given(LINES, st.booleans(), st.lists(st.integers(0, 10_000), max_size=6))
def test_the_splitter_gives_every_byte_and_stops_only_behind_lines(
    lines: list[bytes], is_ended: bool, cuts: list[int]
) -> None:
    data = b"\n".join(lines) + (b"\n" if is_ended else b"")
    splitter = NdjsonSplitter()
    given_out = b""

    for piece in pieces(data, cuts):
        given_out += splitter.feed(piece)
        assert given_out == b"" or given_out.endswith(b"\n")

    assert given_out + splitter.finish() == data
    assert splitter.finish() == b""


def test_a_line_separator_of_unicode_is_data() -> None:
    assert NdjsonFramer().feed('"\u2028\u0085"\n'.encode()) == ['"\u2028\u0085"'.encode()]


@pytest.mark.parametrize("reader", [NdjsonFramer, NdjsonSplitter])
def test_a_line_over_the_cap_is_refused(reader: type[NdjsonFramer] | type[NdjsonSplitter]) -> None:
    cut = reader(max_frame_bytes=10)

    cut.feed(b"1234567890\n")
    with pytest.raises(UpstreamProtocolError, match="10 bytes"):
        cut.feed(b"12345678901")
