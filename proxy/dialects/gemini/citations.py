"""Sources of an answer as `groundingMetadata`.

What came from this API goes out as it came, on a response of its own. Citations of other families are collected and
written anew on the last response, where callers look for them; places become UTF-8 bytes of the whole text.
"""

from typing import Final

import msgspec

from proxy.dialects.gemini.parts import encode, own_object, unbroken
from proxy.hub.events import CitationAdded, Origin

MAX_KEPT_CHARS: Final = 1024 * 1024
"""Of an answer's text. Places in longer answers are left out."""
MAX_CITATIONS: Final = 10_000
"""Of one answer; more are left out."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

Place = tuple[int, int, str]
"""First byte, the byte behind the last, and the text between them."""


class Citations:
    """The citations of one answer, and the text they are about."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._kept_chars = 0
        self._starts: dict[int, int] = {}
        """How many characters of text come before each text block."""
        self._added: list[CitationAdded] = []
        self._has_own = False

    def begin(self, index: int) -> None:
        """A text block begins. Blocks follow each other."""
        self._starts[index] = self._kept_chars

    def add_text(self, text: str) -> None:
        """More of the block."""
        self._kept_chars += len(text)
        if self._kept_chars <= MAX_KEPT_CHARS:
            self._pieces.append(text)

    def add(self, citation: CitationAdded) -> dict[str, msgspec.Raw]:
        """The candidate's own fields that came with `citation`, to be written now; empty when there are none."""
        if citation.origin is Origin.GEMINI:
            own = own_object(citation.raw)
            if own is not None:
                self._has_own = True
                return _OBJECT.decode(own)
            if self._has_own:
                # The other sources of what has been written.
                return {}
        if len(self._added) < MAX_CITATIONS:
            self._added.append(citation)
        return {}

    def grounding(self) -> bytes | None:
        """`groundingMetadata` of the collected citations; `None` when there are none."""
        if not self._added:
            return None
        text = "".join(self._pieces) if self._kept_chars <= MAX_KEPT_CHARS else ""
        chunks: dict[bytes, int] = {}
        supports: dict[Place, list[int]] = {}
        for citation in self._added:
            number = chunks.setdefault(_chunk(citation), len(chunks))
            place = self._place(citation, text)
            if place is not None and number not in (numbers := supports.setdefault(place, [])):
                numbers.append(number)
        metadata: dict[str, object] = {"groundingChunks": [msgspec.Raw(chunk) for chunk in chunks]}
        if supports:
            metadata["groundingSupports"] = [
                {"segment": {"startIndex": start, "endIndex": end, "text": cited}, "groundingChunkIndices": numbers}
                for (start, end, cited), numbers in supports.items()
            ]
        return unbroken(encode(metadata))

    def _place(self, citation: CitationAdded, text: str) -> Place | None:
        before = self._starts.get(citation.index)
        if before is None or citation.start is None or citation.end is None:
            return None
        start, end = before + citation.start, before + citation.end
        if not before <= start <= end <= len(text):
            return None
        cited = text[start:end]
        first = start if text.isascii() else len(text[:start].encode())
        return first, first + len(cited.encode()), cited


def _chunk(citation: CitationAdded) -> bytes:
    if citation.url is not None:
        kind, source = "web", {"uri": citation.url, "title": citation.title}
    else:
        kind, source = "retrievedContext", {"title": citation.title, "text": citation.cited_text}
    return encode({kind: {name: value for name, value in source.items() if value is not None}})
