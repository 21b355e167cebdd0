"""A whole answer, for callers that did not ask for a stream: the fold of an event list."""

import msgspec

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
    TextDelta,
    ToolCallBlock,
    Usage,
)


class CompletedBlock(msgspec.Struct):
    """One block with all its deltas joined."""

    block: Block
    text: str = ""
    """Text, reasoning, refusal or tool arguments, whichever the block carries."""
    signature: SignatureAdded | None = None
    citations: list[CitationAdded] = []


class Completion(msgspec.Struct):
    """`end` is `None` only if the stream failed, and then `error` says why."""

    id: str = ""
    model: str = ""
    blocks: list[CompletedBlock] = []
    usage: Usage | None = None
    end: MessageEnd | None = None
    error: StreamError | None = None


class Fold:
    """Collects events into a `Completion`. Memory grows with the answer: callers cap the bytes they feed."""

    def __init__(self) -> None:
        self.completion = Completion()
        self._texts: list[list[str]] = []

    def add(self, events: list[Event]) -> None:
        """Take the next events, in order."""
        for event in events:
            match event:
                case TextDelta(index, text) | ReasoningDelta(index, text) | RefusalDelta(index, text):
                    self._texts[index].append(text)
                case ArgumentsDelta(index, json):
                    self._texts[index].append(json)
                case BlockStart(_, block):
                    self.completion.blocks.append(CompletedBlock(block))
                    self._texts.append([])
                case SignatureAdded(index):
                    self.completion.blocks[index].signature = event
                case CitationAdded(index):
                    self.completion.blocks[index].citations.append(event)
                case BlockEnd():
                    pass
                case _:
                    self._add_message_event(event)

    def _add_message_event(self, event: MessageStart | Usage | MessageEnd | StreamError) -> None:
        match event:
            case MessageStart(id, model):
                self.completion.id = id
                self.completion.model = model
            case Usage():
                self.completion.usage = event
            case MessageEnd():
                self.completion.end = event
            case StreamError():
                self.completion.error = event

    def finish(self) -> Completion:
        """The completion with its texts joined. Call once, after the last event."""
        for block, pieces in zip(self.completion.blocks, self._texts, strict=True):
            block.text = "".join(pieces)
        return self.completion


def fold(events: list[Event]) -> Completion:
    """The completion of a whole event list."""
    folder = Fold()
    folder.add(events)
    return folder.finish()


def unfold(completion: Completion) -> list[Event]:
    """The event list whose fold is `completion`: one delta a block. For whole answers that become a stream."""
    events: list[Event] = [MessageStart(completion.id, completion.model)]
    for index, done in enumerate(completion.blocks):
        events.append(BlockStart(index, done.block))
        if done.text:
            events.append(_delta(index, done))
        events.extend(msgspec.structs.replace(citation, index=index) for citation in done.citations)
        if done.signature is not None:
            events.append(msgspec.structs.replace(done.signature, index=index))
        events.append(BlockEnd(index))
    if completion.usage is not None:
        events.append(completion.usage)
    if completion.end is not None:
        events.append(completion.end)
    elif completion.error is not None:
        events.append(completion.error)
    return events


def _delta(index: int, done: CompletedBlock) -> Event:
    match done.block:
        case ReasoningBlock():
            return ReasoningDelta(index, done.text)
        case RefusalBlock():
            return RefusalDelta(index, done.text)
        case ToolCallBlock():
            return ArgumentsDelta(index, done.text)
        case _:
            return TextDelta(index, done.text)
