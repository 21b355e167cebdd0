"""Citations and generated images of a Chat Completions answer."""

import msgspec

from proxy.hub.events import CitationAdded, MediaBlock, Origin
from proxy.providers.openai_chat.wire import Annotation, Image, Raw, SearchResult

_ANNOTATION = msgspec.json.Decoder(Annotation)
_SEARCH_RESULT = msgspec.json.Decoder(SearchResult)
_URL = msgspec.json.Decoder(str)
_IMAGE = msgspec.json.Decoder(Image)


def citation(raw: Raw, index: int, block_is_whole_text: bool) -> CitationAdded | None:
    """An entry of `annotations`; `None` for kinds without a source (`file_path`).

    Its offsets count from the start of the answer's text, so they hold for a block only if it is the first text.
    """
    try:
        annotation = _ANNOTATION.decode(raw)
    except (ValueError, RecursionError):
        return None
    cited = annotation.url_citation
    if cited is None:
        return None
    return CitationAdded(
        index,
        url=cited.url,
        title=cited.title,
        cited_text=cited.content,
        start=cited.start_index if block_is_whole_text else None,
        end=cited.end_index if block_is_whole_text else None,
        raw=bytes(raw).decode("utf-8", "replace"),
        origin=Origin.OPENAI,
    )


class Sources:
    """Pages that an answer as a whole rests on: Perplexity's and xAI's top-level lists, repeated with every chunk.

    `citations` are addresses, or (from gateways) objects like those of `search_results`.
    """

    __slots__ = ("_citations", "_results")

    def __init__(self) -> None:
        self._citations: list[Raw] = []
        self._results: list[Raw] = []

    def keep(self, citations: list[Raw], results: list[Raw]) -> None:
        """Take the newest lists; an empty one leaves the one before."""
        self._citations = citations or self._citations
        self._results = results or self._results

    @property
    def any(self) -> bool:
        return bool(self._citations or self._results)

    def events(self, index: int) -> list[CitationAdded]:
        """One citation of the block `index` for each page, in the provider's order."""
        found: dict[str, CitationAdded] = {}
        for raw in self._citations:
            try:
                url = _URL.decode(raw)
            except (ValueError, RecursionError):
                continue
            found[url] = CitationAdded(index, url=url)
        for raw in [*self._citations, *self._results]:
            try:
                result = _SEARCH_RESULT.decode(raw)
            except (ValueError, RecursionError):
                continue
            if result.url:
                found[result.url] = CitationAdded(index, result.url, result.title, result.snippet)
        return list(found.values())


def image(raw: Raw) -> MediaBlock | None:
    """An entry of `images`; `None` for one without an address."""
    try:
        found = _IMAGE.decode(raw)
    except (ValueError, RecursionError):
        return None
    url = found.image_url.url if found.image_url is not None else ""
    if not url:
        return None
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return MediaBlock(head.removeprefix("data:").split(";")[0] or "image/png", data=data)
    return MediaBlock("image/*", url=url)
