"""Going on with an answer that was cut: a second answer, joined to what the caller already has.

`Delivered` remembers what the caller was given. A joint then reads the events of a second answer and gives only those
that continue the first, under the first's block indices:

* `Restart`: the second answer was asked for from the beginning. It must repeat, in order, the text, refusals and tool
  calls that were delivered; what goes beyond them is new. A second answer that differs is refused (`StreamError`), and
  so is one that goes beyond an answer of which the caller has the finish reason.
* `Prefill`: the second answer was given the delivered text as the beginning of its own, so it begins where that ended.

Reasoning is never compared: models do not repeat it. While delivered text is being repeated, reasoning of the second
answer is left out; if the cut came before any text, the open reasoning block is ended and the new one follows as it is.
Citations that the caller has are not told again, and nothing is added to a block that the caller saw end.
Usage adds up: the caller, or whoever pays for it, is charged for both answers.
"""

import msgspec

from proxy.hub.codec import StreamDecoder
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    MessageEnd,
    MessageStart,
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

DIFFERS = StreamError(ErrorKind.CUT, "The provider's stream was cut, and a second answer does not repeat the first.")

_COMPARED = (TextBlock, RefusalBlock, ToolCallBlock)


class DeliveredBlock:
    """One block as far as the caller has it."""

    __slots__ = ("block", "is_open", "marks", "pieces")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.pieces: list[str] = []
        self.marks: list[CitationAdded | SignatureAdded] = []
        self.is_open = True

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Delivered:
    """What the caller has. Memory grows with the answer up to `max_bytes`; beyond, nothing can be joined any more.

    With `max_bytes` 0 only a stream without content can be joined.
    """

    def __init__(self, max_bytes: int) -> None:
        self.blocks: list[DeliveredBlock] = []
        self.start: MessageStart | None = None
        self.usage: Usage | None = None
        """Of all answers so far, added up."""
        self.is_complete = True
        """Whether all that was delivered is remembered."""
        self.has_finish_reason = False
        """Whether the caller has the reason to end as well: of an answer whose bytes were relayed, and cut before its
        terminator. Nothing but the terminator may follow."""
        self._left_bytes = max_bytes

    @property
    def has_content(self) -> bool:
        return any(block.pieces or not isinstance(block.block, TextBlock) for block in self.blocks)

    @property
    def is_text_only(self) -> bool:
        """Whether a prefill can hold it: text and reasoning, the text last, and not at its end."""
        if self.has_finish_reason:
            return False
        compared = [block for block in self.blocks if isinstance(block.block, _COMPARED)]
        return bool(compared) and all(isinstance(block.block, TextBlock) for block in compared)

    @property
    def text(self) -> str:
        """All delivered text."""
        return "".join(block.text for block in self.blocks if isinstance(block.block, TextBlock))

    def observe(self, events: list[Event]) -> None:
        """The caller was given `events`."""
        for event in events:
            match event:
                case TextDelta(index, text) | ReasoningDelta(index, text) | RefusalDelta(index, text):
                    self._add(index, text)
                case ArgumentsDelta(index, text):
                    self._add(index, text)
                case BlockStart(_, block):
                    self.blocks.append(DeliveredBlock(block))
                case BlockEnd(index):
                    self.blocks[index].is_open = False
                case MessageStart():
                    self.start = event
                case Usage():
                    self.usage = event
                case CitationAdded() | SignatureAdded():
                    self._add_mark(event)
                case _:
                    pass

    def _add_mark(self, event: CitationAdded | SignatureAdded) -> None:
        self._left_bytes -= _size(event)
        self.is_complete = self._left_bytes >= 0
        if self.is_complete:
            self.blocks[event.index].marks.append(event)

    def _add(self, index: int, text: str) -> None:
        self._left_bytes -= len(text)
        self.is_complete = self._left_bytes >= 0
        if self.is_complete:
            self.blocks[index].pieces.append(text)

    def events(self) -> list[Event]:
        """Events that bring a fresh encoder to the state in which the caller's stream stands."""
        events: list[Event] = [self.start or MessageStart("", "")]
        for index, delivered in enumerate(self.blocks):
            events.append(BlockStart(index, delivered.block))
            text = delivered.text
            if text:
                events.append(delta_of(delivered.block, index, text))
            events.extend(delivered.marks)
            if not delivered.is_open:
                events.append(BlockEnd(index))
        return events


def _size(event: CitationAdded | SignatureAdded) -> int:
    """Characters, roughly: of what can be long."""
    if isinstance(event, SignatureAdded):
        return len(event.signature)
    return len(event.raw or "") + len(event.cited_text or "") + len(event.url or "") + len(event.title or "")


def delta_of(block: Block, index: int, text: str) -> Event:
    """The delta that carries `text` in a block of this type."""
    match block:
        case ToolCallBlock():
            return ArgumentsDelta(index, text)
        case RefusalBlock():
            return RefusalDelta(index, text)
        case TextBlock():
            return TextDelta(index, text)
        case _:
            return ReasoningDelta(index, text)


def add_usage(earlier: Usage | None, later: Usage) -> Usage:
    """Both answers' counts; a count that only one of them reported stands alone."""
    if earlier is None:
        return later

    def total(first: int | None, second: int | None) -> int | None:
        return second if first is None else first if second is None else first + second

    return Usage(
        input=total(earlier.input, later.input),
        output=total(earlier.output, later.output),
        cached_input=total(earlier.cached_input, later.cached_input),
        cache_write=total(earlier.cache_write, later.cache_write),
        reasoning=total(earlier.reasoning, later.reasoning),
        service_tier=later.service_tier or earlier.service_tier,
    )


def _is_empty_text(block: DeliveredBlock) -> bool:
    return block.is_open and not block.pieces and isinstance(block.block, TextBlock)


class _Joint:
    """What both joints share: indices of new blocks, and the end."""

    def __init__(self, delivered: Delivered) -> None:
        self._delivered = delivered
        self._earlier_usage = delivered.usage
        self._index: dict[int, int | None] = {}
        """Block indices of the second answer to the caller's; `None`: the block is left out."""
        self._next_index = len(delivered.blocks)
        self._open: list[int] = [index for index, block in enumerate(delivered.blocks) if block.is_open]

    def _end_open(self) -> list[Event]:
        ended: list[Event] = [BlockEnd(index) for index in self._open]
        self._open = []
        return ended

    def _begin_new(self, event: BlockStart) -> list[Event]:
        events = self._end_open()
        self._index[event.index] = self._next_index
        events.append(BlockStart(self._next_index, event.block))
        self._next_index += 1
        return events

    def _renumber(self, event: Event, index: int) -> list[Event]:
        at = self._index.get(index)
        return [] if at is None else [msgspec.structs.replace(event, index=at)]


def _without_content(step: list[Event]) -> list[Event] | None:
    """What may follow the reason to end; `None` when there is content in `step`."""
    if any(
        isinstance(event, BlockStart | TextDelta | ArgumentsDelta | ReasoningDelta | RefusalDelta) for event in step
    ):
        return None
    return [event for event in step if isinstance(event, BlockEnd | Usage | MessageEnd | StreamError)]


def _says_the_same(one: CitationAdded | SignatureAdded, other: CitationAdded | SignatureAdded) -> bool:
    """Whether two citations are of the same source and place; a proof replaces the one before it."""
    if not isinstance(one, CitationAdded) or not isinstance(other, CitationAdded):
        return False
    return _source_of(one) == _source_of(other)


def _source_of(citation: CitationAdded) -> tuple[object, ...]:
    return citation.url, citation.title, citation.cited_text, citation.start, citation.end


class Restart(_Joint):
    """Joins an answer that begins anew. See the module."""

    def __init__(self, delivered: Delivered) -> None:
        super().__init__(delivered)
        self._to_repeat = [
            (index, block.text)
            for index, block in enumerate(delivered.blocks)
            if isinstance(block.block, _COMPARED) and not _is_empty_text(block)
        ]
        """Caller's index and text of each block that must be repeated."""
        last = len(delivered.blocks) - 1
        self._empty_at = last if delivered.blocks and _is_empty_text(delivered.blocks[last]) else None
        """A text block that was begun and says nothing: the next text goes in there."""
        self._repeated: dict[int, tuple[int, str]] = {}
        """By the second answer's index: the caller's index, and what is still to be repeated."""

    def take(self, events: list[Event]) -> list[Event]:
        """What of `events` is new to the caller; ends with `DIFFERS` when they do not repeat the first answer."""
        out: list[Event] = []
        for event in events:
            step = self._take(event)
            if step is not None and self._delivered.has_finish_reason:
                step = _without_content(step)
            if step is None:
                out.append(DIFFERS)
                return out
            out.extend(step)
        return out

    def _take(self, event: Event) -> list[Event] | None:
        match event:
            case TextDelta(index, text) | RefusalDelta(index, text):
                return self._take_text(event, index, text)
            case ArgumentsDelta(index, text):
                return self._take_text(event, index, text)
            case MessageStart():
                return []
            case BlockStart():
                return self._take_start(event)
            case BlockEnd(index):
                return self._take_end(event, index)
            case Usage():
                return [add_usage(self._earlier_usage, event)]
            case MessageEnd():
                if self._to_repeat:
                    return None
                return [*self._end_open(), event]
            case StreamError():
                return [event]
            case CitationAdded(index) | SignatureAdded(index) if index in self._repeated:
                return self._take_mark(event, self._repeated[index][0])
            case _:
                return self._renumber(event, event.index)

    def _take_mark(self, event: CitationAdded | SignatureAdded, at: int) -> list[Event]:
        """A citation or proof in a block of which the caller has a part."""
        if at not in self._open or any(_says_the_same(event, mark) for mark in self._delivered.blocks[at].marks):
            return []
        return self._renumber(event, event.index)

    def _take_start(self, event: BlockStart) -> list[Event] | None:
        if not isinstance(event.block, _COMPARED):
            if self._to_repeat or self._empty_at is not None:
                self._index[event.index] = None
                return []
            return self._begin_new(event)
        if not self._to_repeat:
            return [] if self._fills_empty(event) else self._begin_new(event)
        at, text = self._to_repeat.pop(0)
        first = self._delivered.blocks[at].block
        if type(first) is not type(event.block) or getattr(first, "name", "") != getattr(event.block, "name", ""):
            return None
        self._index[event.index] = at
        self._repeated[event.index] = (at, text)
        return []

    def _fills_empty(self, event: BlockStart) -> bool:
        """Whether a text begins that goes into the caller's empty block."""
        at, self._empty_at = self._empty_at, None
        if at not in self._open or not isinstance(event.block, TextBlock):
            return False
        self._index[event.index] = at
        self._open.remove(at)
        return True

    def _take_text(self, event: Event, index: int, text: str) -> list[Event] | None:
        repeated = self._repeated.get(index)
        if repeated is None:
            return self._renumber(event, index)
        at, left = repeated
        if len(text) <= len(left):
            if not left.startswith(text):
                return None
            self._repeated[index] = (at, left[len(text) :])
            return []
        if not text.startswith(left) or at not in self._open:
            return None
        self._repeated[index] = (at, "")
        return [delta_of(self._delivered.blocks[at].block, at, text[len(left) :])]

    def _take_end(self, event: BlockEnd, index: int) -> list[Event] | None:
        repeated = self._repeated.get(index)
        if repeated is None:
            return self._renumber(event, index)
        at, left = repeated
        if left:
            return None
        if at in self._open:
            self._open.remove(at)
            return [BlockEnd(at)]
        return []


class Prefill(_Joint):
    """Joins an answer that was given the delivered text as its beginning. See the module.

    APIs refuse a beginning that ends in white space, so it was sent without; the second answer may bring it again.
    """

    def __init__(self, delivered: Delivered) -> None:
        super().__init__(delivered)
        text = delivered.text
        self._space = text[len(text.rstrip()) :]
        texts = [index for index in self._open if isinstance(delivered.blocks[index].block, TextBlock)]
        self._at: int | None = texts[-1] if texts else None
        """The open text block that goes on, if one is open."""
        self._joined: int | None = None
        self._offset = 0 if self._at is None else len(delivered.blocks[self._at].text)
        """Where in the caller's block the second answer's text begins."""

    def take(self, events: list[Event]) -> list[Event]:
        """What of `events` is new to the caller."""
        out: list[Event] = []
        for event in events:
            out.extend(self._take(event))
        return out

    def _take(self, event: Event) -> list[Event]:
        match event:
            case TextDelta(index, text):
                if self._space:
                    text, self._space = self._without_space(text), ""
                at = self._index[index]
                return [TextDelta(at, text)] if text and at is not None else []
            case MessageStart():
                return []
            case BlockStart(index, TextBlock()) if self._at is not None and self._joined is None:
                self._joined = index
                self._index[index] = self._at
                self._open = [open_index for open_index in self._open if open_index != self._at]
                return []
            case BlockStart(index, block):
                if self._joined is None and not isinstance(block, _COMPARED):
                    self._index[index] = None
                    return []
                return self._begin_new(event)
            case Usage():
                return [add_usage(self._earlier_usage, event)]
            case MessageEnd():
                return [*self._end_open(), event]
            case StreamError():
                return [event]
            case CitationAdded(index) if index == self._joined:
                return self._renumber(self._shifted(event), index)
            case _:
                return self._renumber(event, event.index)

    def _without_space(self, text: str) -> str:
        if not text.startswith(self._space):
            return text
        self._offset -= len(self._space)
        return text[len(self._space) :]

    def _shifted(self, citation: CitationAdded) -> CitationAdded:
        """The citation by its place in the caller's block."""
        start, end, offset = citation.start, citation.end, self._offset
        return msgspec.structs.replace(
            citation,
            start=None if start is None else start + offset,
            end=None if end is None else end + offset,
        )


Joint = Restart | Prefill


class JoinedDecoder:
    """A decoder whose events continue an earlier answer. Implements `hub.codec.StreamDecoder`."""

    def __init__(self, decoder: StreamDecoder, joint: Joint) -> None:
        self._decoder = decoder
        self._joint = joint

    def feed(self, data: bytes) -> list[Event]:
        return self._joint.take(self._decoder.feed(data))

    def finish(self) -> list[Event]:
        return self._joint.take(self._decoder.finish())
