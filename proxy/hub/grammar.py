"""The grammar of the canonical stream as a checker. Tests run it over every decoder's output."""

from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    MessageEnd,
    MessageStart,
    ReasoningBlock,
    ReasoningDelta,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    Usage,
)

ALLOWED: dict[type[Block], frozenset[type[Event]]] = {
    TextBlock: frozenset({TextDelta, CitationAdded}),
    ReasoningBlock: frozenset({ReasoningDelta, SignatureAdded}),
    RefusalBlock: frozenset({RefusalDelta}),
    ToolCallBlock: frozenset({ArgumentsDelta, SignatureAdded}),
}
"""Deltas that may stand in a block; blocks not listed take none."""


class Grammar:
    """Feed it the events of one stream in order; it answers with what is wrong, in words."""

    def __init__(self) -> None:
        self._blocks: list[Block | None] = []
        """Every block by index; `None` once it ended."""
        self._started = False
        self._ended = False

    def check(self, event: Event) -> str | None:
        """The violation that `event` is, or `None`."""
        if self._ended:
            return f"{type(event).__name__} after the end"
        match event:
            case StreamError():
                self._ended = True
                return None
            case MessageStart():
                if self._started:
                    return "a second MessageStart"
                self._started = True
                return None
            case _ if not self._started:
                return f"{type(event).__name__} before MessageStart"
            case BlockStart(index, block):
                if index != len(self._blocks):
                    return f"BlockStart {index}, expected {len(self._blocks)}"
                self._blocks.append(block)
                return None
            case BlockEnd(index):
                if self._open(index) is None:
                    return f"BlockEnd {index} of a block that is not open"
                self._blocks[index] = None
                return None
            case Usage():
                return None
            case MessageEnd():
                self._ended = True
                still_open = [index for index, block in enumerate(self._blocks) if block is not None]
                return f"MessageEnd while blocks {still_open} are open" if still_open else None
            case _:
                return self._check_delta(event, event.index)

    def _check_delta(self, event: Event, index: int) -> str | None:
        block = self._open(index)
        if block is None:
            return f"{type(event).__name__} in block {index}, which is not open"
        if type(event) not in ALLOWED.get(type(block), frozenset()):
            return f"{type(event).__name__} in a {type(block).__name__}"
        return None

    def _open(self, index: int) -> Block | None:
        return self._blocks[index] if 0 <= index < len(self._blocks) else None

    def finish(self) -> str | None:
        """What is missing at the end of the stream, or `None`."""
        return None if self._ended else "no terminator"


def check(events: list[Event]) -> list[str]:
    """All violations of a whole stream; empty when it is grammatical."""
    grammar = Grammar()
    found = [problem for event in events if (problem := grammar.check(event)) is not None]
    missing = grammar.finish()
    return [*found, missing] if missing is not None else found
