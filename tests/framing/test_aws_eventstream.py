"""Both readers of AWS event streams, against frames written by `struct` and `zlib` and read by botocore."""

import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.aws_eventstream import AwsEventFramer, AwsEventSplitter, read_headers
from proxy.hub.errors import UpstreamProtocolError
from tests.support.aws_frames import event, frame, split

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bedrock"
ONE, TWO = event("messageStart", {"role": "assistant"}), event("contentBlockDelta", {"delta": {"text": "Grüße"}})

FRAMES = st.lists(
    st.builds(
        lambda payload, name: frame(payload, message_type="event", event_type=name),
        st.binary(max_size=40),
        st.text(max_size=8),
    ),
    max_size=5,
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=6))
def test_any_pieces_give_the_frames(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    framer = AwsEventFramer()

    found = [one for piece in pieces(data, cuts) for one in framer.feed(piece)]

    assert [(dict(one.headers), one.payload) for one in found] == [(head, body) for head, body, _ in split(data)]
    assert framer.is_between_frames


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=6))
def test_the_splitter_gives_every_byte_and_stops_only_behind_frames(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    ends = {0, *(end for _, _, end in split(data))}
    splitter = AwsEventSplitter()
    given_out = b""

    for piece in pieces(data, cuts):
        given_out += splitter.feed(piece)
        assert len(given_out) in ends

    assert given_out + splitter.finish() == data


@pytest.mark.parametrize("file", sorted(FIXTURES.iterdir()), ids=lambda file: file.stem)
def test_botocore_reads_the_same_frames(file: Path) -> None:
    theirs = EventStreamBuffer()
    theirs.add_data(file.read_bytes())

    assert [(dict(one.headers), one.payload) for one in AwsEventFramer().feed(file.read_bytes())] == [
        (one.headers, one.payload) for one in theirs
    ]


@pytest.mark.parametrize("place", range(len(ONE)))
def test_no_bit_may_differ(place: int) -> None:
    damaged = ONE[:place] + bytes([ONE[place] ^ 1]) + ONE[place + 1 :]
    framer = AwsEventFramer(max_frame_bytes=1000)

    with pytest.raises(UpstreamProtocolError):
        framer.feed(damaged)


def test_good_frames_before_a_bad_one_are_given() -> None:
    frames: list[object] = []

    with pytest.raises(UpstreamProtocolError):
        AwsEventFramer().take(ONE + TWO[:-1] + b"x", frames)  # type: ignore[arg-type]

    assert len(frames) == 1


def prelude(total: int, headers: int) -> bytes:
    head = struct.pack(">II", total, headers)
    return head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize("reader", [AwsEventFramer, AwsEventSplitter])
@pytest.mark.parametrize("lengths", [(15, 0), (20, 5), (1001, 0), (0xFFFFFFFF, 0), (16, 0xFFFFFFFF)])
def test_lengths_that_cannot_be_are_refused_at_once(
    reader: type[AwsEventFramer] | type[AwsEventSplitter], lengths: tuple[int, int]
) -> None:
    with pytest.raises(UpstreamProtocolError):
        reader(max_frame_bytes=1000).feed(prelude(*lengths))


def test_headers_of_all_types_are_passed_over_but_texts() -> None:
    values = {0: b"", 1: b"", 2: b"x", 3: b"xx", 4: b"xxxx", 5: b"x" * 8, 6: b"\x00\x02xx", 8: b"x" * 8, 9: b"x" * 16}
    block = b"".join(b"\x01" + bytes([65 + kind, kind]) + value for kind, value in values.items())

    assert read_headers(block + b"\x01t\x07\x00\x02hi") == {"t": "hi"}


@pytest.mark.parametrize(
    "block", [b"\x05ab", b"\x01a", b"\x01a\x07", b"\x01a\x07\x00", b"\x01a\x07\x00\x02x", b"\x01a\x05x", b"\x01a\x63"]
)
def test_headers_that_are_cut_or_unknown_are_refused(block: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        read_headers(block)
