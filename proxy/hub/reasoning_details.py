"""`reasoning_details`, the list in which OpenRouter, Vercel and others carry reasoning that must come back unchanged.

A detail is shown text (`reasoning.text`, `reasoning.summary`), perhaps signed, or a closed whole (`reasoning.encrypted`).
The hub keeps one opaque word of it with `Origin.OPENROUTER`: the detail itself as JSON, without its text. So the format
and the index, which belong to the proof, survive every dialect that can carry an opaque word.
"""

from typing import Final

import msgspec

TEXT: Final = "reasoning.text"
SUMMARY: Final = "reasoning.summary"
ENCRYPTED: Final = "reasoning.encrypted"


class ReasoningDetail(msgspec.Struct, omit_defaults=True):
    """One entry of the list, in a whole message or as a fragment of one in a stream."""

    type: str = ""
    """One of the three above; some servers leave it out."""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None
    span: tuple[int, int] | None = None
    """Written by this proxy only, where the text went out as `reasoning_content`: which characters of that are meant."""

    @property
    def shown(self) -> str:
        """The text that a reader may see."""
        return self.text or self.summary or ""


_EMPTY = ReasoningDetail()
_DECODER = msgspec.json.Decoder(ReasoningDetail)


def proof(detail: ReasoningDetail) -> str:
    """The opaque word for `detail`: what `restored` needs beside the text."""
    return msgspec.json.encode(msgspec.structs.replace(detail, text=None, summary=None, span=None)).decode()


def restored(word: str, text: str) -> ReasoningDetail | None:
    """The detail whose proof is `word`, with `text` in its place; `None`: `word` is no proof of this kind."""
    try:
        detail = _DECODER.decode(word)
    except (ValueError, RecursionError):
        return None
    if detail == _EMPTY:
        return None
    if not text:
        return detail
    if detail.type == SUMMARY:
        return msgspec.structs.replace(detail, summary=text)
    return msgspec.structs.replace(detail, text=text)
