"""Messages and reasoning of one Responses stream: each item turns what arrives for it into blocks of the hub.

An item is announced (`output_item.added`), filled by deltas, repeated in part by `….done` events, repeated whole by
`output_item.done`, and repeated once more in the terminal event. Servers leave out any of these: a gateway that never
saw a token stream sends done events only, others send deltas and nothing else. So every repetition only *adds what is
missing*, and nothing is ever said twice:

* `Run` counts what a run of text has delivered. A repetition that continues it gives its rest; one that differs gives
  nothing, because what was sent cannot be taken back.
* Parts of a repetition are paired with the runs seen so far in order, not by their index: Bedrock numbers its only part
  1 while streaming and 0 in the snapshot (recording bedrock-mantle chat-streams).
* A delta with another index than the one before begins another part only if that part was announced, or the one before
  was repeated: vLLM counts `content_index` up with every delta of one part.

An item opens its blocks when it has something to say, so an empty one leaves no block. Calls and images are in
`tools`.
"""

from typing import Protocol

import msgspec

from proxy.hub.events import (
    Block,
    CitationAdded,
    Event,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    TextBlock,
    TextDelta,
)
from proxy.providers.blocks import BlockTracker
from proxy.providers.openai_responses import wire


class Blocks:
    """A `BlockTracker` and `out`, the list that events go to now: what all items of a stream share."""

    __slots__ = ("_tracker", "out")

    def __init__(self) -> None:
        self._tracker = BlockTracker()
        self.out: list[Event] = []

    def open(self, block: Block) -> int:
        return self._tracker.hold(block, self.out)

    def end(self, index: int) -> None:
        self._tracker.end(index, self.out)

    def whole(self, block: Block) -> None:
        """A block that takes no deltas."""
        self._tracker.add(block, self.out)


class Item(Protocol):
    """One output item. `is_done`: nothing more can be added to it."""

    head: wire.ItemHead
    is_done: bool

    def fill(self, snapshot: msgspec.Raw) -> None:
        """Add what a whole repetition of the item has beyond what arrived, and end it."""
        ...

    def close(self) -> None:
        """End it as it is: the answer is whole and never repeated it."""
        ...


class Run:
    """How much of one text has been delivered. Keeps a length and the last piece, not the text."""

    __slots__ = ("is_repeated", "last", "length")

    def __init__(self) -> None:
        self.length = 0
        self.last = ""
        self.is_repeated = False
        """A `….done` event has told its whole text."""

    def take(self, piece: str) -> None:
        self.length += len(piece)
        self.last = piece

    def goes_on(self, whole: str) -> bool:
        """Whether what comes with another, unannounced index is still of this text. `whole`: a repetition, or empty."""
        return not self.is_repeated or (len(whole) == self.length and whole.endswith(self.last))

    def rest_of(self, whole: str) -> str:
        """What `whole` says beyond this run; nothing, unless it continues it."""
        length = self.length
        if len(whole) <= length or not whole.startswith(self.last, length - len(self.last)):
            return ""
        return whole[length:]


# --- messages


class TextRun(Run):
    """A text or refusal part that is open as block `index`."""

    __slots__ = ("citations", "index", "is_joined", "is_open", "is_refusal")

    def __init__(self, index: int, is_refusal: bool) -> None:
        super().__init__()
        self.index = index
        self.is_refusal = is_refusal
        self.citations = 0
        self.is_joined = False
        """It took deltas of more than one index."""
        self.is_open = True


class Message:
    """`message`: each part is a block of its own."""

    def __init__(self, head: wire.ItemHead, blocks: Blocks) -> None:
        self.head = head
        self.is_done = False
        self.parts: dict[tuple[bool, int], TextRun] = {}
        """By (is a refusal, content index), in order of opening. The hot path of the decoder looks here itself."""
        self._blocks = blocks
        self._announced: set[tuple[bool, int]] = set()
        self._last: TextRun | None = None

    @property
    def has_refusal(self) -> bool:
        return any(is_refusal for is_refusal, _ in self.parts)

    def announce_part(self, content_index: int, part: wire.Part) -> None:
        """`content_part.added`: what comes with this index is a part of its own."""
        self._announced.add((part.type == "refusal", content_index))

    def add(self, is_refusal: bool, content_index: int, piece: str) -> None:
        """A fragment of a part; what comes for a part that has ended is ignored."""
        if not piece or self.is_done:
            return
        run = self._run(is_refusal, content_index)
        if run.is_open:
            self._deliver(run, piece)

    def repeat(self, is_refusal: bool, content_index: int, whole: str) -> None:
        """A `….done` event with the text of a part."""
        if whole and not self.is_done:
            run = self._run(is_refusal, content_index, whole)
            run.is_repeated = True
            self._complete(run, whole)

    def cite(self, content_index: int, annotation: msgspec.Raw) -> None:
        if self.is_done:
            return
        run = self._run(False, content_index)
        if run.is_open:
            self._cite(run, annotation)

    def end_part(self, content_index: int, part: wire.Part) -> None:
        """`content_part.done`: the part is whole."""
        is_refusal = part.type == "refusal"
        self.repeat(is_refusal, content_index, _text_of(part))
        run = self.parts.get((is_refusal, content_index), self._last)
        if run is not None and run.is_refusal is is_refusal:
            self._cite_rest(run, part)
            self._end(run)

    def fill(self, snapshot: msgspec.Raw) -> None:
        if self.is_done:
            return
        content = wire.read(wire.MESSAGE_ITEM, snapshot, "a message item").content or []
        for is_refusal in (False, True):
            runs = [run for key, run in sorted(self.parts.items()) if key[0] is is_refusal]
            parts = [part for part in content if (part.type == "refusal") is is_refusal and _text_of(part)]
            if runs and runs[-1].is_joined:
                parts = _joined(parts, len(runs))
            for position, part in enumerate(parts):
                run = runs[position] if position < len(runs) else self._new_run(is_refusal)
                self._complete(run, _text_of(part))
                self._cite_rest(run, part)
        self.close()

    def close(self) -> None:
        self.is_done = True
        for run in self.parts.values():
            self._end(run)

    def _run(self, is_refusal: bool, content_index: int, whole: str = "") -> TextRun:
        key = (is_refusal, content_index)
        run = self.parts.get(key)
        if run is not None:
            return run
        last = self._last
        is_alike = last is not None and last.is_open and last.is_refusal is is_refusal
        if last is not None and is_alike and key not in self._announced and last.goes_on(whole):
            last.is_joined = True
            return last
        index = self._blocks.open(RefusalBlock() if is_refusal else TextBlock())
        self._last = run = self.parts[key] = TextRun(index, is_refusal)
        return run

    def _new_run(self, is_refusal: bool) -> TextRun:
        content_index = 1 + max((index for _, index in self.parts), default=-1)
        self._announced.add((is_refusal, content_index))
        return self._run(is_refusal, content_index)

    def _complete(self, run: TextRun, whole: str) -> None:
        rest = run.rest_of(whole) if run.is_open else ""
        if rest:
            self._deliver(run, rest)

    def _deliver(self, run: TextRun, piece: str) -> None:
        run.take(piece)
        self._blocks.out.append(RefusalDelta(run.index, piece) if run.is_refusal else TextDelta(run.index, piece))

    def _cite_rest(self, run: TextRun, part: wire.Part) -> None:
        if run.is_open and not run.is_refusal:
            for annotation in (part.annotations or [])[run.citations :]:
                self._cite(run, annotation)

    def _cite(self, run: TextRun, annotation: msgspec.Raw) -> None:
        found = wire.read(wire.ANNOTATION, annotation, "an annotation")
        run.citations += 1
        self._blocks.out.append(
            CitationAdded(
                run.index,
                url=found.url,
                title=found.title if found.title is not None else found.filename,
                start=found.start_index,
                end=found.end_index,
                raw=bytes(annotation).decode("utf-8", "replace"),
                origin=Origin.OPENAI,
            )
        )

    def _end(self, run: TextRun) -> None:
        if run.is_open:
            run.is_open = False
            self._blocks.end(run.index)


def _text_of(part: wire.Part) -> str:
    return (part.refusal if part.type == "refusal" else part.text) or ""


def _joined(parts: list[wire.Part], count: int) -> list[wire.Part]:
    """`parts` as at most `count`: the last ones are one, as they were delivered."""
    head, tail = parts[: count - 1], parts[count - 1 :]
    if len(tail) < 2:
        return parts
    annotations = [annotation for part in tail for annotation in part.annotations or ()]
    text = "".join(part.text or "" for part in tail)
    refusal = "".join(part.refusal or "" for part in tail)
    return [*head, wire.Part(tail[0].type, text, refusal, annotations)]


# --- reasoning

PARAGRAPH = "\n\n"
"""Between two summary parts: they are paragraphs with a heading each, and the hub has one block for the item."""


class Reasoning:
    """`reasoning`: all summary and content parts are one block, because one signature proves them all.

    Without any text it is a redacted block if it has encrypted content, and nothing otherwise.
    """

    def __init__(self, head: wire.ItemHead, blocks: Blocks) -> None:
        self.head = head
        self.is_done = False
        self._blocks = blocks
        self._index: int | None = None
        self._runs: dict[tuple[bool, int], Run] = {}
        """By (is content, part index), in order of opening."""
        self._last: tuple[tuple[bool, int], Run] | None = None
        self._announced: set[int] = set()

    def announce_part(self, part_index: int, _part: wire.Part) -> None:
        """`reasoning_part.added`: content with this index is a part of its own."""
        self._announced.add(part_index)

    def add(self, is_content: bool, part_index: int, piece: str) -> None:
        if piece and not self.is_done:
            self._deliver(self._key(is_content, part_index), piece)

    def repeat(self, is_content: bool, part_index: int, whole: str) -> None:
        """A `….done` event with the text of a part."""
        if self.is_done or not whole:
            return
        key = self._key(is_content, part_index, whole)
        run = self._runs.get(key)
        if run is None:
            self._deliver(key, whole)
        elif self._last is not None and run is self._last[1] and (rest := run.rest_of(whole)):
            # Only the text at the end of the block can still grow.
            self._deliver(key, rest)
        self._runs[key].is_repeated = True

    def _key(self, is_content: bool, part_index: int, whole: str = "") -> tuple[bool, int]:
        """The part that is meant: the one before, where content with another index was not announced."""
        key = (is_content, part_index)
        if is_content and self._last is not None and key not in self._runs and part_index not in self._announced:
            before, run = self._last
            if before[0] and run.goes_on(whole):
                return before
        return key

    def fill(self, snapshot: msgspec.Raw) -> None:
        if self.is_done:
            return
        item = wire.read(wire.REASONING_ITEM, snapshot, "a reasoning item")
        for is_content, parts in ((False, item.summary), (True, item.content)):
            keys = sorted(key for key in self._runs if key[0] is is_content)
            texts = [part.text for part in parts or [] if part.text]
            for position, text in enumerate(texts):
                free = 1 + max((index for _, index in self._runs), default=-1)
                self._announced.add(free)
                self.repeat(is_content, keys[position][1] if position < len(keys) else free, text)
        if item.encrypted_content:
            self._prove(item.encrypted_content, item.id)
        self.close()

    def close(self) -> None:
        self.is_done = True
        if self._index is not None:
            self._blocks.end(self._index)
            self._index = None

    def _deliver(self, key: tuple[bool, int], piece: str) -> None:
        run = self._runs.get(key)
        if self._index is None:
            self._index = self._blocks.open(ReasoningBlock(self.head.id))
        elif run is None:
            self._blocks.out.append(ReasoningDelta(self._index, PARAGRAPH))
        if run is None:
            run = self._runs[key] = Run()
        run.take(piece)
        self._last = (key, run)
        self._blocks.out.append(ReasoningDelta(self._index, piece))

    def _prove(self, encrypted: str, id: str | None) -> None:
        if self._index is None:
            self._blocks.whole(RedactedReasoningBlock(encrypted, Origin.OPENAI, id))
        else:
            self._blocks.out.append(SignatureAdded(self._index, encrypted, Origin.OPENAI))
