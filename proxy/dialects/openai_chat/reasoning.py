"""Reasoning that must come back unchanged, carried in `reasoning_details` of Chat Completions messages.

The text of reasoning goes out as `reasoning_content`, its proofs as `reasoning_details`: those of OpenRouter's family as
they came, those of other families packed (`hub.carried`). A caller who gives both back with the message lets the
next turn go on where it was. A detail's `span` says which characters of the text it signs.
"""

from typing import Final

from proxy.dialects.openai_chat.wire import WireMessage
from proxy.hub.carried import Carried, pack, unpack
from proxy.hub.events import Origin, RedactedReasoningBlock, SignatureAdded
from proxy.hub.reasoning_details import ENCRYPTED, TEXT, ReasoningDetail, proof, restored
from proxy.hub.request import ReasoningPart

Signatures = dict[str, tuple[str, Origin]]
"""Signatures of tool calls, by the call's id."""

FORMAT: Final = "unknown"
"""`format` of a packed proof: what OpenRouter says when a format is none of its own."""


# --- out


def signature_detail(signature: SignatureAdded, span: tuple[int, int], index: int) -> ReasoningDetail:
    """The detail for the signature of shown reasoning."""
    own = restored(signature.signature, "") if signature.origin is Origin.OPENROUTER else None
    if own is not None:
        own.index, own.span = index, span
        return own
    packed = pack(Carried(signature.origin, signature.signature))
    return ReasoningDetail(TEXT, signature=packed, format=FORMAT, index=index, span=span)


def redacted_detail(block: RedactedReasoningBlock, index: int) -> ReasoningDetail:
    """The detail for reasoning that came closed."""
    own = restored(block.data, "") if block.origin is Origin.OPENROUTER else None
    if own is not None:
        own.index = index
        return own
    packed = pack(Carried(block.origin, block.data, is_redacted=True))
    return ReasoningDetail(ENCRYPTED, data=packed, id=block.id, format=FORMAT, index=index)


def call_detail(signature: SignatureAdded, call_id: str, index: int) -> ReasoningDetail:
    """The detail for the signature of a tool call."""
    packed = pack(Carried(signature.origin, signature.signature, call_id))
    return ReasoningDetail(ENCRYPTED, data=packed, id=call_id, format=FORMAT, index=index)


# --- in


def reasoning_parts(message: WireMessage) -> tuple[list[ReasoningPart], Signatures]:
    """An assistant message's reasoning in order, and the signatures that belong to its tool calls."""
    text = message.reasoning_content or message.reasoning or ""
    details = message.reasoning_details or []
    collector = _Collector("" if any(detail.shown for detail in details) else text)
    for detail in details:
        collector.add(detail)
    return collector.finish(), collector.signatures


class _Collector:
    """Puts texts and proofs together again. `text`: reasoning that is not in the details themselves."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._used = 0
        """How many characters of `text` are in `_parts`."""
        self._parts: list[ReasoningPart] = []
        self._open: ReasoningDetail | None = None
        """Fragments of one detail, so far: streams give many, and some callers give them back as they came."""
        self.signatures: Signatures = {}

    def add(self, detail: ReasoningDetail) -> None:
        carried = unpack(detail.signature or detail.data or "")
        if carried is not None and carried.call_id is not None:
            self.signatures[carried.call_id] = (carried.proof, carried.origin)
        elif carried is not None and carried.is_redacted:
            self._close()
            self._parts.append(ReasoningPart("", redacted=carried.proof, origin=carried.origin, id=detail.id))
        elif carried is not None:
            self._close()
            self._parts.append(ReasoningPart(self._spanned(detail), carried.proof, carried.origin))
        elif detail.type == ENCRYPTED or (detail.data and not detail.shown):
            self._close()
            self._parts.append(ReasoningPart("", redacted=proof(detail), origin=Origin.OPENROUTER, id=detail.id))
        elif detail.shown or detail.signature:
            self._add_shown(detail)

    def finish(self) -> list[ReasoningPart]:
        self._close()
        self._take_until(len(self._text))
        return self._parts

    def _add_shown(self, detail: ReasoningDetail) -> None:
        if not detail.shown:
            detail.text = self._spanned(detail)
        before = self._open
        if before is None or before.index != detail.index or before.type != detail.type or before.signature:
            self._close()
            self._open = detail
            return
        before.text = before.shown + detail.shown
        before.summary = None
        before.signature = detail.signature

    def _close(self) -> None:
        detail, self._open = self._open, None
        if detail is None:
            return
        if detail.signature:
            self._parts.append(ReasoningPart(detail.shown, proof(detail), Origin.OPENROUTER))
        else:
            self._parts.append(ReasoningPart(detail.shown))

    def _spanned(self, detail: ReasoningDetail) -> str:
        """The text that a proof is for; without a span, all that is left."""
        start, end = detail.span or (self._used, len(self._text))
        if not self._used <= start <= end <= len(self._text):
            return ""
        self._take_until(start)
        self._used = end
        return self._text[start:end]

    def _take_until(self, end: int) -> None:
        """Text between proofs: reasoning without one."""
        if end > self._used:
            self._parts.append(ReasoningPart(self._text[self._used : end]))
            self._used = end
