"""Explicit block boundaries for APIs that do not send them.

Many APIs say only "here is more text": a block starts when its first delta comes, and ends when something else starts.
`BlockTracker` hands out dense indexes and keeps the two kinds of openness apart:

* one *content* block at most (text, reasoning, refusal): `ensure` ends the one that is open when another kind begins;
* any number of *held* blocks (tool calls), which the decoder opens and ends by index and which may interleave.

Every method appends its events to `out`, the list that the decoder is about to return.
"""

from proxy.hub.events import Block, BlockEnd, BlockStart, Event, ReasoningBlock, RefusalBlock, TextBlock

ContentBlock = TextBlock | ReasoningBlock | RefusalBlock

TEXT = TextBlock()
REASONING = ReasoningBlock()
REFUSAL = RefusalBlock()


class BlockTracker:
    """The blocks of one stream."""

    __slots__ = ("_held", "content", "index", "opened")

    def __init__(self) -> None:
        self.content: ContentBlock | None = None
        """The content block that is open. Compare by identity with the block given to `ensure`."""
        self.index = -1
        """Its index, when there is one."""
        self.opened = 0
        """Blocks opened so far: the next index."""
        self._held: dict[int, None] = {}
        """Open blocks that are not content, in order of opening."""

    def ensure(self, block: ContentBlock, out: list[Event]) -> int:
        """The index of the open content block that is `block`, started now if another one or none was open.

        Hot callers look at `content` and `index` first. Two reasoning blocks are the same block only if they are
        the same object: a decoder that must separate them makes new ones.
        """
        if self.content is block:
            return self.index
        self.end_content(out)
        self.content = block
        self.index = self._next(block, out)
        return self.index

    def end_content(self, out: list[Event]) -> None:
        """End the open content block, if there is one."""
        if self.content is not None:
            out.append(BlockEnd(self.index))
            self.content = None

    def hold(self, block: Block, out: list[Event]) -> int:
        """Start a block that stays open until `end`; the content block ends."""
        self.end_content(out)
        index = self._next(block, out)
        self._held[index] = None
        return index

    def add(self, block: Block, out: list[Event]) -> int:
        """Start and end a block that is whole at once; the content block ends."""
        self.end_content(out)
        index = self._next(block, out)
        out.append(BlockEnd(index))
        return index

    def is_held(self, index: int) -> bool:
        """Whether the block that `hold` started is still open."""
        return index in self._held

    def end(self, index: int, out: list[Event]) -> None:
        """End a held block; nothing if it ended before."""
        if index in self._held:
            del self._held[index]
            out.append(BlockEnd(index))

    def end_all(self, out: list[Event]) -> None:
        """End everything that is open, in order of opening: what must happen before `MessageEnd`."""
        still_open = list(self._held)
        if self.content is not None:
            still_open.append(self.index)
        out.extend(BlockEnd(index) for index in sorted(still_open))
        self._held.clear()
        self.content = None

    def _next(self, block: Block, out: list[Event]) -> int:
        index = self.opened
        self.opened = index + 1
        out.append(BlockStart(index, block))
        return index
