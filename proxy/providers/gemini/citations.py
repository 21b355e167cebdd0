"""Sources of an answer: grounding, recitation and URL context, as citations of its text.

All three come beside the content, usually on the last chunk, and speak of the whole answer: places are UTF-8 byte
offsets in all its text (recording stream-with-tools-search-grounding-1, where a degree sign tells bytes from
characters). The hub wants characters of one block, so the text of the block that is open is kept; a place outside it,
or one whose quoted text is not there, stays unknown.
"""

from typing import Final

import msgspec

from proxy.hub.events import CitationAdded, Origin
from proxy.providers.gemini import wire

MAX_KEPT_CHARS = 1024 * 1024
"""Of a block's text. Places in longer blocks stay unknown."""
MAX_CITATIONS = 1000
"""Of one answer. More would be work that a peer can ask for without end."""

RETRIEVED = frozenset({None, "", "URL_RETRIEVAL_STATUS_SUCCESS", "URL_RETRIEVAL_STATUS_UNSPECIFIED"})
"""`urlRetrievalStatus` of pages that the answer can rest on."""

Place = tuple[int | None, int | None]
"""First character, and the one behind the last."""
NOWHERE: Final[Place] = (None, None)

Found = tuple[wire.WebSource, Place]
"""A source, and where in the block's text it is used."""


class CitedText:
    """The text of the answer's latest text block, and how many bytes of text came before it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._kept_chars = 0
        self._bytes_before = 0
        self._is_whole = True

    def add(self, text: str) -> None:
        """More of the block."""
        if self._kept_chars <= MAX_KEPT_CHARS:
            self._pieces.append(text)
            self._kept_chars += len(text)
        else:
            self._is_whole = False

    def next_block(self) -> None:
        """A new block begins."""
        self._bytes_before += len("".join(self._pieces).encode())
        self._pieces = []
        self._kept_chars = 0

    def places(self, segments: list[wire.Segment | None]) -> list[Place]:
        """Each segment as characters of the block; unknown where it does not lie in the block."""
        if not self._is_whole or not any(segments):
            return [NOWHERE] * len(segments)
        text = "".join(self._pieces)
        encoded = text.encode()
        ranges = [self._range(segment, len(encoded)) for segment in segments]
        characters = _count_characters(encoded, {offset for place in ranges if place for offset in place})
        known: list[Place] = []
        for segment, place in zip(segments, ranges, strict=True):
            if segment is None or place is None:
                known.append(NOWHERE)
                continue
            start, end = characters[place[0]], characters[place[1]]
            known.append((start, end) if not segment.text or text[start:end] == segment.text else NOWHERE)
        return known

    def _range(self, segment: wire.Segment | None, size: int) -> tuple[int, int] | None:
        """The segment's bytes in the block."""
        if segment is None or segment.endIndex is None:
            return None
        start, end = (segment.startIndex or 0) - self._bytes_before, segment.endIndex - self._bytes_before
        return (start, end) if 0 <= start <= end <= size else None


def _count_characters(encoded: bytes, offsets: set[int]) -> dict[int, int]:
    """How many characters stand before each byte offset. One pass, in C."""
    counts: dict[int, int] = {}
    characters = last = 0
    for offset in sorted(offsets):
        characters += len(encoded[last:offset].decode("utf-8", "replace"))
        counts[offset] = characters
        last = offset
    return counts


class Citations:
    """The citations of one answer, each once."""

    def __init__(self) -> None:
        self.text = CitedText()
        self._seen: set[tuple[str | None, str | None, int | None, int | None]] = set()

    def found(self, candidate: wire.Candidate, index: int) -> list[CitationAdded]:
        """What `candidate` adds, as citations of block `index`. The first of each kind bears the API's own JSON."""
        added: list[CitationAdded] = []
        if wire.is_given(raw := candidate.groundingMetadata):
            added += self._new(_grounding(raw, self.text), index, _member("groundingMetadata", raw))
        if wire.is_given(raw := candidate.citationMetadata):
            added += self._new(_recited(raw, self.text), index, _member("citationMetadata", raw))
        if wire.is_given(raw := candidate.urlContextMetadata):
            added += self._new(_pages(raw), index, _member("urlContextMetadata", raw))
        return added

    def _new(self, found: list[Found], index: int, json: str) -> list[CitationAdded]:
        added: list[CitationAdded] = []
        for source, (start, end) in found:
            url = source.uri or source.sourceUri
            key = (url, source.title if url is None else None, start, end)
            if key in self._seen or len(self._seen) >= MAX_CITATIONS:
                continue
            self._seen.add(key)
            raw = None if added else json
            added.append(CitationAdded(index, url, source.title, source.text, start, end, raw, Origin.GEMINI))
        return added


def _member(name: str, raw: msgspec.Raw) -> str:
    """A JSON object of one member: the candidate's field as the API wrote it."""
    return f'{{"{name}":{wire.text_of(raw)}}}'


def _grounding(raw: msgspec.Raw, text: CitedText) -> list[Found]:
    """Each use of each source; sources that no text is tied to, without a place."""
    metadata = wire.read(wire.GROUNDING, raw, "groundingMetadata")
    chunks = metadata.groundingChunks or []
    sources = [chunk.web or chunk.retrievedContext or chunk.maps or chunk.image for chunk in chunks]
    supports = (metadata.groundingSupports or [])[:MAX_CITATIONS]
    used: set[int] = set()
    found: list[Found] = []
    for support, place in zip(supports, text.places([support.segment for support in supports]), strict=True):
        for number in (support.groundingChunkIndices or [])[: MAX_CITATIONS - len(found)]:
            source = sources[number] if 0 <= number < len(sources) else None
            if source is not None:
                used.add(number)
                found.append((source, place))
    unused = [source for number, source in enumerate(sources) if source is not None and number not in used]
    return found + [(source, NOWHERE) for source in unused[:MAX_CITATIONS]]


def _recited(raw: msgspec.Raw, text: CitedText) -> list[Found]:
    metadata = wire.read(wire.CITATIONS, raw, "citationMetadata")
    citations = (metadata.citations or metadata.citationSources or [])[:MAX_CITATIONS]
    places = text.places([wire.Segment(citation.startIndex, citation.endIndex) for citation in citations])
    return [
        (wire.WebSource(uri=citation.uri, title=citation.title), place)
        for citation, place in zip(citations, places, strict=True)
        if citation.uri or citation.title
    ]


def _pages(raw: msgspec.Raw) -> list[Found]:
    metadata = wire.read(wire.URL_CONTEXT, raw, "urlContextMetadata")
    return [
        (wire.WebSource(uri=page.retrievedUrl), NOWHERE)
        for page in (metadata.urlMetadata or [])[:MAX_CITATIONS]
        if page.retrievedUrl and page.urlRetrievalStatus in RETRIEVED
    ]
