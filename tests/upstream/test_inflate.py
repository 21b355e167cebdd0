"""Decoding read by read: nothing is kept back, nothing grows without bound."""

import gzip
import os
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.upstream import FaultCode
from proxy.upstream.inflate import FREE_BYTES, MAX_RATIO, MAX_READ_BYTES, BodyDecoder, body_decoder
from tests.upstream.cases import raw_deflate

EVENTS = [b'data: {"delta":"%d"}\n\n' % number for number in range(20)]


BOMB = gzip.compress(b"\0" * (16 << 20))


def decoder(encoding: str) -> BodyDecoder:
    made = body_decoder(encoding)
    assert made is not None
    return made


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_every_event_comes_out_with_the_read_that_completes_it(encoding: str, wbits: int) -> None:
    compressor, reader = zlib.compressobj(wbits=wbits), decoder(encoding)
    for event in EVENTS:
        read = compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)

        assert reader.feed(read) == event

    assert reader.feed(compressor.flush()) == b""
    reader.finish()


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_identity_needs_no_decoder(encoding: str) -> None:
    assert body_decoder(encoding) is None


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "x"])
def test_other_encodings_are_an_error_as_soon_as_there_is_a_body(encoding: str) -> None:
    reader = decoder(encoding)
    reader.finish()

    with pytest.raises(UpstreamError) as caught:
        reader.feed(b"x")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.PROTOCOL, FaultCode.BAD_ENCODING)


def test_a_bomb_is_stopped_within_one_read() -> None:
    with pytest.raises(UpstreamError) as caught:
        decoder("gzip").feed(BOMB)
    assert caught.value.code == FaultCode.TOO_LARGE


def test_a_read_that_grows_beyond_the_bound_is_refused_although_its_ratio_is_small() -> None:
    body = os.urandom(60_000) + b"\0" * MAX_READ_BYTES
    assert len(body) < MAX_RATIO * len(gzip.compress(body))

    with pytest.raises(UpstreamError) as caught:
        decoder("gzip").feed(gzip.compress(body))
    assert caught.value.code == FaultCode.TOO_LARGE


def test_a_slow_bomb_is_stopped_by_its_ratio() -> None:
    reader = decoder("gzip")
    written = 0

    with pytest.raises(UpstreamError) as caught:
        for start in range(0, len(BOMB), 100):
            written += len(reader.feed(BOMB[start : start + 100]))
    assert caught.value.code == FaultCode.TOO_LARGE
    assert written <= FREE_BYTES


def test_what_compresses_very_well_passes_while_it_is_small() -> None:
    body = b"\0" * (FREE_BYTES - 1)
    assert len(body) / len(gzip.compress(body)) > MAX_RATIO

    assert decoder("gzip").feed(gzip.compress(body)) == body


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "zlib", "raw"]), st.lists(st.integers(0, 3000), max_size=6))
def test_any_split_gives_the_same(body: bytes, form: str, places: list[int]) -> None:
    data = {"gzip": gzip.compress, "zlib": zlib.compress, "raw": raw_deflate}[form](body)
    reader = decoder("gzip" if form == "gzip" else "deflate")
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]

    out = b"".join(reader.feed(data[start:end]) for start, end in pairwise(edges) if start < end)

    assert out == body
    reader.finish()


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_end_in_an_upstream_error_or_an_answer(data: bytes, encoding: str) -> None:
    reader = decoder(encoding)
    try:
        reader.feed(data)
        reader.finish()
    except UpstreamError:
        pass


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_stops_early_is_cut(encoding: str) -> None:
    body = os.urandom(100)
    data = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    for size in range(1, len(data)):
        reader = decoder(encoding)
        reader.feed(data[:size])
        with pytest.raises(UpstreamError) as caught:
            reader.finish()
        assert caught.value.kind is ErrorKind.CUT
