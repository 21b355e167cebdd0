from proxy.hub.events import BlockEnd, BlockStart, Event, MediaBlock, MessageStart, ReasoningBlock, ToolCallBlock
from proxy.hub.grammar import check
from proxy.providers.blocks import REASONING, TEXT, BlockTracker


def test_a_content_block_lasts_until_another_kind_begins() -> None:
    blocks = BlockTracker()
    out: list[Event] = []

    first = [blocks.ensure(TEXT, out), blocks.ensure(TEXT, out)]
    second = blocks.ensure(REASONING, out)

    assert (first, second) == ([0, 0], 1)
    assert out == [BlockStart(0, TEXT), BlockEnd(0), BlockStart(1, REASONING)]


def test_two_reasoning_blocks_are_told_apart_by_identity() -> None:
    blocks = BlockTracker()
    out: list[Event] = []

    indexes = [blocks.ensure(ReasoningBlock(), out), blocks.ensure(ReasoningBlock(), out)]

    assert indexes == [0, 1]


def test_held_blocks_interleave_and_end_once() -> None:
    blocks = BlockTracker()
    out: list[Event] = []

    first = blocks.hold(ToolCallBlock("a", "f"), out)
    second = blocks.hold(ToolCallBlock("b", "g"), out)
    blocks.end(first, out)
    blocks.end(first, out)

    assert (blocks.is_held(first), blocks.is_held(second)) == (False, True)
    assert out[-1] == BlockEnd(first)
    assert out.count(BlockEnd(first)) == 1


def test_everything_ends_before_the_message_does() -> None:
    blocks = BlockTracker()
    out: list[Event] = [MessageStart("", "")]
    blocks.hold(ToolCallBlock("a", "f"), out)
    blocks.add(MediaBlock("image/png", data="AA=="), out)
    blocks.ensure(TEXT, out)

    blocks.end_all(out)

    assert out[-2:] == [BlockEnd(0), BlockEnd(2)]
    assert check(out) == ["no terminator"]
