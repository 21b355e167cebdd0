"""Interleaved blocks as strictly sequential ones, for dialects that cannot say which of two open blocks a delta is for.

The hub lets blocks interleave (parallel tool calls). `Sequencer` lets the first open block through and holds the later
ones back until it ends; then the next in order of opening follows, with everything it had so far:

    in    S0 d0 S1 d1 d0 S2 d2 E2 d1 E0 d1 E1
    out   S0 d0       d0          E0 S1 d1 d1 d1 E1 S2 d2 E2

Indexes stay as they are, because blocks leave in the order of their indexes. Events of the message itself (`Usage`,
`MessageStart`) are never held back. A stream that does not interleave passes unchanged, event by event.
"""

from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    MediaBlock,
    MessageEnd,
    MessageStart,
    ReasoningDelta,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextDelta,
    ToolResultBlock,
    Usage,
)

DEFAULT_MAX_HELD_BYTES = 16 * 1024 * 1024
"""As large as the largest frame that is accepted: a provider that fills it while another block stays open is broken."""

EVENT_BYTES = 128
"""What one held event costs beside its text, roughly: without it a million empty deltas would weigh nothing."""

BlockEvent = (
    BlockStart | TextDelta | ArgumentsDelta | ReasoningDelta | RefusalDelta | SignatureAdded | CitationAdded | BlockEnd
)

_INSIDE_A_BLOCK = frozenset(
    {TextDelta, ArgumentsDelta, ReasoningDelta, RefusalDelta, SignatureAdded, CitationAdded, Usage, MessageStart}
)
"""Events that cannot begin or end an interleaving."""


class Sequencer:
    """Reorders one stream. Relies on the grammar of `hub.events`, and keeps it."""

    def __init__(self, max_held_bytes: int = DEFAULT_MAX_HELD_BYTES) -> None:
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._current: int | None = None
        """The block that is let through; `None`: none is open."""
        self._held: dict[int, list[BlockEvent]] = {}
        """What each later block has had so far, in order of opening."""
        self._ended = False

    def feed(self, events: list[Event]) -> list[Event]:
        """The events that may leave now, in order.

        Ends with a `StreamError`, and gives nothing afterwards, when more than `max_held_bytes` would have to wait.
        A `StreamError` of the stream itself drops what is held: a block that never had its turn is not shown in part.
        """
        if not self._held:
            for event in events:
                if type(event) not in _INSIDE_A_BLOCK:
                    break
            else:
                return [] if self._ended else events
        out: list[Event] = []
        for event in events:
            if self._ended:
                break
            self._take(event, out)
        return out

    def _take(self, event: Event, out: list[Event]) -> None:
        match event:
            case MessageStart() | Usage():
                out.append(event)
            case MessageEnd() | StreamError():
                self._end(event, out)
            case BlockStart(index):
                if self._current is None:
                    self._current = index
                    out.append(event)
                else:
                    self._held[index] = []
                    self._hold(event, out)
            case _ if event.index != self._current:
                self._hold(event, out)
            case BlockEnd():
                out.append(event)
                self._advance(out)
            case _:
                out.append(event)

    def _hold(self, event: BlockEvent, out: list[Event]) -> None:
        self._held_bytes += EVENT_BYTES + _text_size(event)
        if self._held_bytes > self._max_held_bytes:
            self._end(StreamError(ErrorKind.PROTOCOL, "The provider keeps too many blocks open at once."), out)
            return
        self._held[event.index].append(event)

    def _advance(self, out: list[Event]) -> None:
        """Let the waiting blocks through, up to the first that is still open."""
        self._current = None
        while self._held and self._current is None:
            index = next(iter(self._held))
            events = self._held.pop(index)
            self._held_bytes -= sum(EVENT_BYTES + _text_size(event) for event in events)
            out.extend(events)
            if type(events[-1]) is not BlockEnd:
                self._current = index

    def _end(self, event: Event, out: list[Event]) -> None:
        self._ended = True
        self._held.clear()
        out.append(event)


def _text_size(event: BlockEvent) -> int:
    match event:
        case TextDelta(_, text) | ReasoningDelta(_, text) | RefusalDelta(_, text) | ArgumentsDelta(_, text):
            return len(text)
        case SignatureAdded(_, signature):
            return len(signature)
        case CitationAdded():
            return len(event.cited_text or "") + len(event.raw or "")
        case BlockStart(_, ToolResultBlock(content=content)):
            return len(content)
        case BlockStart(_, MediaBlock(data=data)):
            return len(data or "")
        case _:
            return 0
