"""Every recording crosses into every dialect, without a server: decoder and encoder meet in memory.

So all cuts and pieces can be tried. What SDKs make of the streams, and what a server adds, is in `test_corpus`.
"""

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.events import StreamError
from proxy.hub.grammar import check
from proxy.providers import PROVIDERS
from tests.support.answers import one_byte, random_pieces, whole
from tests.support.corpus import KIND, Recording, params
from tests.support.crossing import convert, crossing_recordings, cuts, decode, says_complete
from tests.support.crossing_differences import LOST
from tests.support.dialect_grammar import CHECKS, breaches, has_success_ending
from tests.support.readers import OWN_READER, readers_of

RECORDINGS = crossing_recordings()
STREAMED_DIALECTS = sorted(set(DIALECTS) & set(CHECKS))
MOST_SINGLE_BYTES = 20_000
"""Recordings above this size are not fed byte by byte: it would show nothing more."""


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


def test_every_dialect_and_every_kind_takes_part() -> None:
    assert set(DIALECTS) - set(LOST) <= set(CHECKS)
    assert all(readers_of(dialect, streams=True) for dialect in STREAMED_DIALECTS)
    assert set(PROVIDERS) & set(KIND.values()) - set(LOST) <= set(OWN_READER)
