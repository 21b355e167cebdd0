"""Random grammatical streams, for properties that hold for every one."""

import msgspec
from hypothesis import strategies as st

from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)

texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\r\0\u2028\u2029\ufeff😀'), max_size=12
)
"""Any text JSON can hold, with the characters that break naive framing and escaping made likely."""

names = st.text(st.sampled_from("abcxyz_-019"), min_size=1, max_size=10)
counts = st.none() | st.integers(0, 2**31)
origins = st.sampled_from(Origin)

blocks: st.SearchStrategy[Block] = st.one_of(
    st.just(TextBlock()),
    st.builds(ReasoningBlock, st.none() | names),
    st.builds(RedactedReasoningBlock, names, origins, st.none() | names),
    st.just(RefusalBlock()),
    st.builds(ToolCallBlock, names, names, st.sampled_from(ToolKind)),
    st.builds(ToolResultBlock, names, st.just('[{"type":"text"}]'), origins, names, st.booleans()),
    st.builds(MediaBlock, st.just("image/png"), st.just("aGk=")),
)

usages = st.builds(Usage, counts, counts, counts, counts, counts, st.none() | names)
message_ends = st.builds(MessageEnd, st.sampled_from(FinishReason), st.none() | names, st.none() | names)
stream_errors = st.builds(StreamError, st.sampled_from(ErrorKind), texts, st.none() | names)


@st.composite
def deltas(draw: st.DrawFn, index: int, block: Block) -> Event | None:
    """One delta that may stand in `block`; `None` for a block that takes none."""
    match block:
        case TextBlock():
            citation = st.builds(CitationAdded, st.just(index), st.none() | names, st.none() | texts)
            return draw(st.builds(TextDelta, st.just(index), texts) | citation)
        case ReasoningBlock():
            signature = st.builds(SignatureAdded, st.just(index), names, origins)
            return draw(st.builds(ReasoningDelta, st.just(index), texts) | signature)
        case RefusalBlock():
            return draw(st.builds(RefusalDelta, st.just(index), texts))
        case ToolCallBlock():
            fragments = st.sampled_from(['{"a":', "1", "}", "", '"é'])
            signature = st.builds(SignatureAdded, st.just(index), names, origins)
            return draw(st.builds(ArgumentsDelta, st.just(index), fragments) | signature)
        case _:
            return None


@st.composite
def event_lists(draw: st.DrawFn, interleaved: bool = True, max_steps: int = 20) -> list[Event]:
    """A whole grammatical stream; one block at a time unless `interleaved`."""
    events: list[Event] = [MessageStart(draw(names), draw(names))]
    opened = 0
    still_open: dict[int, Block] = {}
    for _ in range(draw(st.integers(0, max_steps))):
        step = draw(st.integers(0, 9))
        if step == 0:
            events.append(draw(usages))
        elif not still_open or (step <= 2 and interleaved):
            block = draw(blocks)
            events.append(BlockStart(opened, block))
            still_open[opened] = block
            opened += 1
        else:
            index = draw(st.sampled_from(sorted(still_open)))
            delta = draw(deltas(index, still_open[index])) if step >= 5 else None
            if delta is None:
                del still_open[index]
            events.append(BlockEnd(index) if delta is None else delta)
    if draw(st.integers(0, 3)) == 0:
        return [*events, draw(stream_errors)]
    return [*events, *(BlockEnd(index) for index in sorted(still_open)), draw(message_ends)]


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    """A whole answer."""
    done: list[CompletedBlock] = []
    for index, block in enumerate(draw(st.lists(blocks, max_size=5))):
        completed = CompletedBlock(block)
        for delta in draw(st.lists(deltas(index, block), max_size=4)):
            match delta:
                case TextDelta(_, text) | ReasoningDelta(_, text) | RefusalDelta(_, text) | ArgumentsDelta(_, text):
                    completed.text += text
                case CitationAdded():
                    completed.citations.append(delta)
                case SignatureAdded():
                    completed.signature = msgspec.structs.replace(delta, index=index)
                case _:
                    pass
        done.append(completed)
    usage = draw(st.none() | usages)
    end = draw(st.none() | message_ends)
    error = draw(stream_errors) if end is None else None
    return Completion(draw(names), draw(names), done, usage, end, error)
