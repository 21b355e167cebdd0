"""The measure itself: real SDKs on the bytes that vendors really sent, without a proxy between.

Later suites say that a conversion is right when the caller's SDK reads what the vendor's own SDK reads here. So this
must first be a reading worth having: every SDK of a dialect reads the same, or the difference is in a table.
"""

import asyncio

import pytest

from tests.support.answers import one_byte, random_pieces
from tests.support.corpus import Recording, params, recordings
from tests.support.known_differences import KNOWN, known
from tests.support.reader import Call, Reader
from tests.support.readers import (
    OWN_READER,
    OWN_WHOLE_READER,
    READERS,
    reader_params,
    readers_of,
)
from tests.support.readings import Reading, as_seen_by, differences
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")

STREAMS = [recording for kind in OWN_READER for recording in recordings(kind=kind, stream=True, ok=True)]
WHOLE = [recording for kind in OWN_WHOLE_READER for recording in recordings(kind=kind, stream=False, ok=True)]
REFUSED = [recording for kind in OWN_READER for recording in recordings(kind=kind, ok=False)]

SMALL_BYTES = 4000
"""Recordings up to this size also arrive byte by byte; larger ones would show nothing more and take seconds."""


async def read(reader: Reader, recording: Recording, **changes: object) -> Reading:
    async with ReplayServer(recording.answer(**changes)) as upstream:
        return await reader.read(Call(upstream.base_url))


def own_reader(recording: Recording) -> Reader:
    assert recording.kind is not None
    return (OWN_READER if recording.is_stream else OWN_WHOLE_READER)[recording.kind]


@pytest.mark.parametrize("reader", reader_params([reader for reader in READERS if reader.dialect in OWN_READER]))
async def test_every_sdk_reads_the_originals_as_the_vendors_own_does(reader: Reader) -> None:
    """One test per SDK: the calls of a Node process overlap, and one table row may speak of several recordings."""
    chosen = recordings(kind=reader.dialect, stream=reader.streams, ok=True)
    readings = await asyncio.gather(*(read(reader, recording) for recording in chosen))
    measures = await asyncio.gather(*(read(own_reader(recording), recording) for recording in chosen))

    found = {}
    expected = {}
    for recording, reading, measure in zip(chosen, readings, measures, strict=True):
        row = known(recording.name, reader.name)
        expected[recording.name] = row.fields if row is not None else frozenset()
        found[recording.name] = differences(
            as_seen_by(reader.words, reader.blind, measure), as_seen_by(reader.words, reader.blind, reading)
        )
    assert {name: sorted(names) for name, names in found.items()} == {
        name: sorted(names) for name, names in expected.items()
    }


@pytest.mark.parametrize("recording", params(STREAMS + WHOLE))
async def test_measure_finds_what_the_recording_is_labelled_with(recording: Recording) -> None:
    reading = await read(own_reader(recording), recording)

    if "error_midstream" in recording.features:
        assert reading.ending == "error"
        return
    assert reading.ending == "completed", reading.error_message
    assert bool(reading.tool_calls) == bool({"tools", "parallel_tools"} & recording.features) or is_server_run(
        recording
    )
    assert reading.text or reading.reasoning or reading.tool_calls or "text" not in recording.features
    assert reading.reasoning or "reasoning" not in recording.features or may_hide_reasoning(recording)
    assert (reading.tokens is not None) == ("usage" in recording.features) or "refusal" in recording.features
    assert reading.finish == "length" or "length" not in recording.features
    assert reading.finish is not None or recording.name.startswith("openai-compat/snowflake")


def may_hide_reasoning(recording: Recording) -> bool:
    """Reasoning may be there without a word of it: sealed, or only counted (Responses)."""
    return bool({"signature", "redacted"} & recording.features) or recording.kind == "openai_responses"


def is_server_run(recording: Recording) -> bool:
    """The label also counts tools that the provider ran itself."""
    return "server_tools" in recording.features


@pytest.mark.parametrize("recording", params(STREAMS))
async def test_measure_does_not_depend_on_pieces(recording: Recording) -> None:
    reader = own_reader(recording)

    assert await read(reader, recording, pieces=random_pieces(seed=1)) == await read(reader, recording)


@pytest.mark.parametrize("recording", params(one for one in STREAMS if len(one.response) <= SMALL_BYTES))
async def test_measure_does_not_depend_on_single_bytes(recording: Recording) -> None:
    reader = own_reader(recording)

    assert await read(reader, recording, pieces=one_byte) == await read(reader, recording)


@pytest.mark.parametrize("recording", params(REFUSED))
async def test_refusal_before_the_stream_raises_with_its_status(recording: Recording) -> None:
    assert recording.kind is not None
    for reader in readers_of(recording.kind, streams=True)[:2]:
        reading = await read(reader, recording)

        assert reading.ending == "error"
        assert str(recording.status) in reading.error_message


def test_every_row_of_the_table_speaks_of_a_recording_and_a_reader() -> None:
    names = {recording.name for recording in STREAMS}
    if not names:
        pytest.skip("recordings are absent: ../shared/corpus")

    assert {reader for row in KNOWN for reader in row.readers} <= {reader.name for reader in READERS}
    for row in KNOWN:
        assert any(known(name, reader) is row for name in names for reader in row.readers), row
