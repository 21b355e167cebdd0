"""Every recording crosses into every dialect: the caller's SDK must read what the vendor's own SDK reads.

No server takes part: decoder and encoder meet in memory, and only the reading goes over a socket. What a server adds
(requests, headers, timing, pass-through) is the subject of the suites beside this one.
"""

import asyncio

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.events import StreamError
from proxy.hub.grammar import check
from proxy.providers import PROVIDERS
from tests.support import node
from tests.support.answers import one_byte, random_pieces, sse, whole
from tests.support.corpus import KIND, Recording, params
from tests.support.crossing import convert, crossing_recordings, cuts, decode, says_complete
from tests.support.crossing_differences import LOST, crossing_difference
from tests.support.dialect_grammar import CHECKS, breaches, has_success_ending
from tests.support.reader import Call, Reader
from tests.support.readers import OWN_READER, readers_of
from tests.support.readings import Reading, as_seen_by, as_told_by, differences
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")

RECORDINGS = crossing_recordings()
STREAMED_DIALECTS = sorted(set(DIALECTS) & set(CHECKS))
LANGUAGES = [
    "python",
    pytest.param("javascript", marks=pytest.mark.skipif(not node.is_ready(), reason=node.MISSING)),
]

MOST_SINGLE_BYTES = 20_000
"""Recordings above this size are not fed byte by byte: it would show nothing more."""

measures: dict[str, Reading] = {}


async def measure(recording: Recording) -> Reading:
    """What the vendor's own SDK reads from the original."""
    if recording.name not in measures:
        assert recording.kind is not None
        async with ReplayServer(recording.answer()) as upstream:
            measures[recording.name] = await OWN_READER[recording.kind].read(Call(upstream.base_url))
    return measures[recording.name]


def chosen(dialect: str, language: str) -> list[Reader]:
    return [reader for reader in readers_of(dialect, streams=True) if reader.needs_node == (language == "javascript")]


async def read_all(readers: list[Reader], body: bytes) -> list[tuple[Reader, Reading]]:
    """What each reader makes of the stream; they read at the same time."""
    async with ReplayServer(sse(body)) as server:
        readings = await asyncio.gather(*(reader.read(Call(server.base_url)) for reader in readers))
    return list(zip(readers, readings, strict=True))


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


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(RECORDINGS))
async def test_the_callers_sdks_read_what_the_vendors_own_reads(
    recording: Recording, dialect: str, language: str
) -> None:
    body = convert(recording, dialect, [recording.response])
    told = as_told_by(dialect, await measure(recording))

    for reader, reading in await read_all(chosen(dialect, language), body):
        expected = as_seen_by(reader.words, reader.blind, told)
        found = as_seen_by(reader.words, reader.blind, reading)
        row = crossing_difference(recording, reader)
        lost = row.fields if row is not None else frozenset()
        assert differences(expected, found) == lost, (reader.name, expected, found, reading.error_message)


@pytest.mark.parametrize("recording", params(RECORDINGS))
def test_cut_original_is_never_decoded_as_complete(recording: Recording) -> None:
    """At every event and at random bytes. An encoder that gets an error event cannot say success any more."""
    assert recording.kind is not None
    for place in cuts(recording):
        head = recording.response[:place]

        events = decode(recording, head)

        assert check(events) == [], place
        if not says_complete(recording.kind, head):
            assert isinstance(events[-1], StreamError), place


@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(RECORDINGS))
def test_cut_original_is_grammatical_in_every_dialect(recording: Recording, dialect: str) -> None:
    assert recording.kind is not None
    for place in cuts(recording, most=12):
        head = recording.response[:place]

        body = convert(recording, dialect, [head])

        assert breaches(dialect, body) == [], place
        assert has_success_ending(dialect, body) <= says_complete(recording.kind, head), place


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params([one for one in RECORDINGS if one.is_truly_framed][::5]))
async def test_sdks_fail_on_a_cut_original(recording: Recording, dialect: str, language: str) -> None:
    places = [place for place in cuts(recording) if not says_complete(recording.kind or "", recording.response[:place])]
    for place in (places[0], places[len(places) // 2], places[-1]):
        body = convert(recording, dialect, [recording.response[:place]])

        readings = await read_all(chosen(dialect, language), body)

        assert [reader.name for reader, reading in readings if reading.ending != "error"] == [], place


def test_every_dialect_and_every_kind_takes_part() -> None:
    assert set(DIALECTS) - set(LOST) <= set(CHECKS)
    assert all(readers_of(dialect, streams=True) for dialect in STREAMED_DIALECTS)
    assert set(PROVIDERS) & set(KIND.values()) - set(LOST) <= set(OWN_READER)
