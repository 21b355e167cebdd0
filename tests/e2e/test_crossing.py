"""Every recording crosses into every dialect: the caller's SDK must read what the vendor's own SDK reads.

No server takes part: decoder and encoder meet in memory, and only the reading goes over a socket. What a server adds
(requests, headers, timing, pass-through) is the subject of the suites beside this one.
"""

import pytest

from proxy.dialects import DIALECTS
from proxy.providers import PROVIDERS
from tests.support.answers import one_byte, random_pieces, sse, whole
from tests.support.corpus import KIND, Recording, params
from tests.support.crossing import convert, crossing_recordings, cuts, says_complete
from tests.support.crossing_differences import LOST, crossing_difference
from tests.support.dialect_grammar import CHECKS, breaches, has_success_ending
from tests.support.reader import Call, Reader
from tests.support.readers import OWN_READER, READERS, reader_params, readers_of
from tests.support.readings import Reading, as_seen_by, as_told_by, differences
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")

RECORDINGS = crossing_recordings()
STREAMED_DIALECTS = sorted(set(DIALECTS) & set(CHECKS))
CROSSING_READERS = [reader for reader in READERS if reader.streams and reader.dialect in STREAMED_DIALECTS]

MOST_SINGLE_BYTES = 40_000
"""Recordings above this size are not fed byte by byte: it would show nothing more."""

measures: dict[str, Reading] = {}


async def measure(recording: Recording) -> Reading:
    """What the vendor's own SDK reads from the original."""
    if recording.name not in measures:
        assert recording.kind is not None
        async with ReplayServer(recording.answer()) as upstream:
            measures[recording.name] = await OWN_READER[recording.kind].read(Call(upstream.base_url))
    return measures[recording.name]


async def read(reader: Reader, body: bytes) -> Reading:
    async with ReplayServer(sse(body)) as server:
        return await reader.read(Call(server.base_url))


@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(RECORDINGS))
def test_pieces_of_the_original_change_nothing(recording: Recording, dialect: str) -> None:
    body = recording.response
    expected = convert(recording, dialect, whole(body))

    assert convert(recording, dialect, random_pieces(1)(body)) == expected
    assert convert(recording, dialect, random_pieces(2, largest=20)(body)) == expected
    if len(body) <= MOST_SINGLE_BYTES:
        assert convert(recording, dialect, one_byte(body)) == expected


@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(RECORDINGS))
def test_stream_is_grammatical_and_ends_as_the_original_does(recording: Recording, dialect: str) -> None:
    body = convert(recording, dialect, [recording.response])

    assert breaches(dialect, body) == []
    assert has_success_ending(dialect, body) == ("error_midstream" not in recording.features)


@pytest.mark.parametrize("reader", reader_params(CROSSING_READERS))
@pytest.mark.parametrize("recording", params(RECORDINGS))
async def test_the_callers_sdk_reads_what_the_vendors_own_reads(recording: Recording, reader: Reader) -> None:
    body = convert(recording, reader.dialect, [recording.response])
    expected = as_seen_by(reader.words, reader.blind, as_told_by(reader.dialect, await measure(recording)))

    found = as_seen_by(reader.words, reader.blind, await read(reader, body))

    known = crossing_difference(recording, reader)
    assert differences(expected, found) == (known.fields if known is not None else frozenset()), (expected, found)


@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(RECORDINGS))
def test_cut_original_never_looks_complete(recording: Recording, dialect: str) -> None:
    assert recording.kind is not None
    for place in cuts(recording):
        head = recording.response[:place]

        body = convert(recording, dialect, [head])

        assert breaches(dialect, body) == [], place
        if not says_complete(recording.kind, head):
            assert not has_success_ending(dialect, body), place


@pytest.mark.parametrize("reader", reader_params(CROSSING_READERS))
@pytest.mark.parametrize("recording", params([one for one in RECORDINGS if "error_midstream" not in one.features][::7]))
async def test_sdk_fails_on_a_cut_original(recording: Recording, reader: Reader) -> None:
    places = [place for place in cuts(recording) if not says_complete(recording.kind or "", recording.response[:place])]
    for place in (places[0], places[len(places) // 2], places[-1]):
        body = convert(recording, reader.dialect, [recording.response[:place]])

        assert (await read(reader, body)).ending == "error", place


def test_every_dialect_and_every_kind_takes_part() -> None:
    assert set(DIALECTS) - set(LOST) <= set(CHECKS)
    assert all(readers_of(dialect, streams=True) for dialect in STREAMED_DIALECTS)
    assert set(PROVIDERS) & set(KIND.values()) - set(LOST) <= set(OWN_READER)
