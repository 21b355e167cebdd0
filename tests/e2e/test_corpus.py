"""Every recording through a whole proxy: byte-exact for its own dialect, understood in every other, never falsely whole."""

import asyncio
from dataclasses import replace

import pytest

from proxy.dialects import DIALECTS
from proxy.providers import PROVIDERS
from tests.support import node
from tests.support.answers import BodyEnd, Cut, CutHow, Pieces, one_byte, random_pieces, sse_events, whole
from tests.support.corpus import Recording, params, recordings
from tests.support.crossing import crossing_recordings, cuts, has_own_dialect, says_complete
from tests.support.crossing_differences import crossing_difference
from tests.support.dialect_grammar import CHECKS, breaches, has_success_ending
from tests.support.proxied import Proxied
from tests.support.reader import Call, Reader
from tests.support.readers import OWN_READER, OWN_WHOLE_READER, readers_of
from tests.support.readings import Reading, as_seen_by, as_told_by, differences
from tests.support.replay import ReplayServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

STREAMS = crossing_recordings()
SPOKEN = [one for one in STREAMS if has_own_dialect(one)]
WHOLE = [one for kind in OWN_WHOLE_READER if kind in PROVIDERS for one in recordings(kind=kind, stream=False, ok=True)]
REFUSED = [one for kind in OWN_READER if kind in PROVIDERS for one in recordings(kind=kind, ok=False)]
STREAMED_DIALECTS = sorted(set(DIALECTS) & set(CHECKS))

PIECES: dict[str, Pieces] = {"whole": whole, "random": random_pieces(1), "one byte": one_byte}
MOST_SINGLE_BYTES = 4000
"""Recordings above this size do not arrive byte by byte: it would show nothing more."""

LANGUAGES = [
    "python",
    pytest.param("javascript", marks=pytest.mark.skipif(not node.is_ready(), reason=node.MISSING)),
]

measures: dict[str, Reading] = {}


async def measure(recording: Recording) -> Reading:
    """What the vendor's own SDK reads from the original."""
    if recording.name not in measures:
        assert recording.kind is not None
        own = (OWN_READER if recording.is_stream else OWN_WHOLE_READER)[recording.kind]
        async with ReplayServer(recording.answer()) as upstream:
            measures[recording.name] = await own.read(Call(upstream.base_url))
    return measures[recording.name]


def is_error(recording: Recording) -> bool:
    """The provider itself ended the stream by an error event."""
    return "error_midstream" in recording.features


def chosen(dialect: str, language: str, *, streams: bool = True) -> list[Reader]:
    return [one for one in readers_of(dialect, streams=streams) if one.needs_node == (language == "javascript")]


def assert_told(recording: Recording, original: Reading, reader: Reader, reading: Reading) -> None:
    told = as_told_by(reader.dialect, original)
    if reader.dialect == recording.kind:
        told = replace(told, text=original.text, refusal=original.refusal)
    expected = as_seen_by(reader.words, reader.blind, told)
    found = as_seen_by(reader.words, reader.blind, reading)
    row = crossing_difference(recording, reader)
    lost = row.fields if row is not None else frozenset()
    assert differences(expected, found) == lost, (reader.name, expected, found, reading.error_message)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("recording", params([one for one in SPOKEN if not is_error(one)]))
async def test_own_dialect_gets_the_providers_bytes(recording: Recording, pieces: str, shared_proxy: Proxied) -> None:
    assert recording.kind is not None
    if pieces == "one byte" and len(recording.response) > MOST_SINGLE_BYTES:
        return

    answer = await shared_proxy.stream(recording.kind, recording.kind, recording.answer(pieces=PIECES[pieces]))

    assert answer.body == recording.response
    assert (answer.status, answer.is_whole) == (200, True)


@pytest.mark.parametrize("recording", params([one for one in SPOKEN if is_error(one)]))
async def test_own_dialect_gets_the_providers_error_event_and_all_after_it(
    recording: Recording, shared_proxy: Proxied
) -> None:
    """Piece by piece: an error that comes with the first bytes may become the response's status instead."""
    assert recording.kind is not None

    answer = await shared_proxy.stream(recording.kind, recording.kind, recording.answer(pieces=sse_events))

    assert answer.body == recording.response


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(STREAMS))
async def test_other_dialects_understand_the_same(
    recording: Recording, dialect: str, language: str, shared_proxy: Proxied
) -> None:
    if dialect == recording.kind:
        return
    original = await measure(recording)
    readers = chosen(dialect, language)

    readings = await asyncio.gather(
        *(shared_proxy.read(reader, recording, pieces=random_pieces(1)) for reader in readers)
    )

    for reader, reading in zip(readers, readings, strict=True):
        assert_told(recording, original, reader, reading)


@pytest.mark.parametrize("how", CutHow)
@pytest.mark.parametrize("end", [BodyEnd.CHUNKED, BodyEnd.CLOSE])
@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params([one for one in STREAMS if one.is_truly_framed][::9]))
async def test_cut_upstream_is_an_error_in_every_dialect(
    recording: Recording, dialect: str, end: BodyEnd, how: CutHow, shared_proxy: Proxied
) -> None:
    assert recording.kind is not None
    places = [place for place in cuts(recording) if not says_complete(recording.kind, recording.response[:place])]
    for place in (places[len(places) // 3], places[-1]):
        answer = recording.answer(cut=Cut(place, how), body_end=end)

        raw = await shared_proxy.stream(dialect, recording.kind, answer)
        readings = [
            await shared_proxy.read(one, recording, cut=Cut(place, how), body_end=end)
            for one in chosen(dialect, "python")
        ]

        if raw.status == 200:
            assert not has_success_ending(dialect, raw.body), place
            assert dialect == recording.kind or breaches(dialect, raw.body) == [], place
        assert [reading.ending for reading in readings] == ["error"] * len(readings), place


@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params([*WHOLE, *STREAMS]))
async def test_whole_answers_say_the_same(recording: Recording, dialect: str, shared_proxy: Proxied) -> None:
    """`stream: false`, whether the upstream streams or not."""
    original = await measure(recording)
    readers = chosen(dialect, "python", streams=False)

    readings = [await shared_proxy.read(reader, recording) for reader in readers]

    for reader, reading in zip(readers, readings, strict=True):
        assert_told(recording, original, reader, reading)


@pytest.mark.parametrize("dialect", STREAMED_DIALECTS)
@pytest.mark.parametrize("recording", params(REFUSED))
async def test_refusals_keep_their_status(recording: Recording, dialect: str, shared_proxy: Proxied) -> None:
    for reader in chosen(dialect, "python"):
        reading = await shared_proxy.read(reader, recording)

        assert reading.ending == "error"
        assert str(recording.status) in f"{reading.error} {reading.error_message}"
