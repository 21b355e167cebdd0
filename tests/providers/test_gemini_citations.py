"""Grounding, recitations and URL context as citations."""

import json

import pytest

from proxy.hub import grammar
from proxy.hub.completion import fold
from proxy.hub.events import CitationAdded
from proxy.providers.gemini.citations import MAX_CITATIONS, MAX_KEPT_CHARS
from tests.support.corpus import Recording, params, recordings
from tests.support.gemini_api import chunk, decode, sse


def test_places_are_counted_in_characters_of_the_text_block() -> None:
    text = "Å degree ° sign. Second sentence."
    start = len("Å degree ° sign. ".encode())
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}, {"web": {"uri": "https://b.test"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": start, "endIndex": len(text.encode()), "text": "Second sentence."},
                "groundingChunkIndices": [0],
            }
        ],
    }

    events = decode(
        [sse(chunk({"text": text[:5]}), chunk({"text": text[5:]}, finish="STOP", groundingMetadata=grounding))]
    )

    citations = [event for event in events if isinstance(event, CitationAdded)]
    assert [(citation.url, citation.start, citation.end) for citation in citations] == [
        ("https://a.test", 17, 33),
        ("https://b.test", None, None),
    ]
    assert text[17:33] == "Second sentence."
    assert json.loads(citations[0].raw or "") == {"groundingMetadata": grounding}
    assert citations[1].raw is None


@pytest.mark.parametrize(
    "recording", params(recordings(dialect="gemini", where=lambda one: "citations" in one.features))
)
def test_recorded_places_quote_what_the_api_says_they_quote(recording: Recording) -> None:
    events = decode([recording.response])
    texts = {index: done.text for index, done in enumerate(fold(events).blocks)}
    quoted = {event for event in _segments(recording.response)}

    citations = [event for event in events if isinstance(event, CitationAdded) and event.start is not None]

    assert {texts[event.index][event.start : event.end] for event in citations} == quoted


def _segments(body: bytes) -> list[str]:
    events = [json.loads(event[6:]) for event in body.decode().split("\r\n\r\n") if event]
    return [
        support["segment"]["text"]
        for event in events
        for candidate in event.get("candidates", [])
        for support in candidate.get("groundingMetadata", {}).get("groundingSupports", [])
    ]


def test_a_citation_after_the_text_has_ended_has_a_block_but_no_place() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.test"}}],
        "groundingSupports": [{"segment": {"endIndex": 1, "text": "a"}, "groundingChunkIndices": [0]}],
    }
    body = sse(
        chunk({"text": "a"}, {"functionCall": {"name": "f"}}),
        chunk({"text": ""}, finish="STOP", groundingMetadata=grounding),
    )

    events = decode([body])

    assert grammar.check(events) == []
    assert [(event.index, event.start) for event in events if isinstance(event, CitationAdded)] == [(2, None)]


def test_pages_and_recitations_are_citations() -> None:
    body = sse(
        chunk(
            {"text": "abc"},
            finish="STOP",
            citationMetadata={"citations": [{"startIndex": 1, "endIndex": 3, "uri": "https://r.test"}]},
            urlContextMetadata={
                "urlMetadata": [
                    {"retrievedUrl": "https://ok.test", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
                    {"retrievedUrl": "https://no.test", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
                ]
            },
        )
    )

    citations = [event for event in decode([body]) if isinstance(event, CitationAdded)]

    assert [(citation.url, citation.start, citation.end) for citation in citations] == [
        ("https://r.test", 1, 3),
        ("https://ok.test", None, None),
    ]


def test_the_same_grounding_on_every_chunk_is_cited_once() -> None:
    grounding = {"groundingChunks": [{"web": {"uri": "https://a.test"}}]}
    repeated = [chunk({"text": "a"}, groundingMetadata=grounding) for _ in range(3)]

    events = decode([sse(*repeated, chunk({"text": ""}, finish="STOP"))])

    assert sum(isinstance(event, CitationAdded) for event in events) == 1


def test_citations_without_end_are_bounded() -> None:
    chunks = [{"web": {"uri": f"https://{number}.test"}} for number in range(5000)]
    supports = [
        {"segment": {"startIndex": 0, "endIndex": number % 4}, "groundingChunkIndices": list(range(1500))}
        for number in range(200)
    ]
    body = sse(
        chunk(
            {"text": "abcd"},
            finish="STOP",
            groundingMetadata={"groundingChunks": chunks, "groundingSupports": supports},
        )
    )

    events = decode([body])

    assert sum(isinstance(event, CitationAdded) for event in events) == MAX_CITATIONS


def test_a_place_in_a_text_that_is_too_long_to_keep_stays_unknown() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.test"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 4}, "groundingChunkIndices": [0]}],
    }
    texts = [chunk({"text": "x" * (MAX_KEPT_CHARS // 2 + 1)}) for _ in range(3)]

    events = decode([sse(*texts, chunk({"text": "end"}, finish="STOP", groundingMetadata=grounding))])

    assert [event.start for event in events if isinstance(event, CitationAdded)] == [None]


def test_places_count_all_text_before_the_block() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.test"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 2, "endIndex": 5, "text": "two"}, "groundingChunkIndices": [0]}
        ],
    }
    body = sse(
        chunk(
            {"text": "é"}, {"functionCall": {"name": "f"}}, {"text": "two"}, finish="STOP", groundingMetadata=grounding
        )
    )

    citation = next(event for event in decode([body]) if isinstance(event, CitationAdded))

    assert (citation.index, citation.start, citation.end) == (2, 0, 3)
