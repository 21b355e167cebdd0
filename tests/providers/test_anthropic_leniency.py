"""What the service may add to a stream, and what servers that speak its API do differently."""

import json

import pytest

from proxy.hub.completion import fold
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
)
from proxy.hub.grammar import check
from proxy.providers.base import Target
from tests.support.anthropic_api import (
    TEXT,
    block,
    decode,
    delta,
    ending,
    fixture,
    sse,
    start,
    stop,
)


def test_pings_comments_and_unknown_things_are_nothing() -> None:
    noise = (
        b": comment\n\n"
        b'event: ping\ndata: {"type":"ping"}\n\n'
        b'event: brand_new\ndata: {"type":"brand_new","index":"text","message":"a text","delta":7,"usage":[]}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"brand_new_delta","text":{"nested":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":7,'
        b'"content_block":{"type":"brand_new","text":{"nested":1}}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":7,'
        b'"delta":{"type":"text_delta","text":"hidden"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":7}\n\n'
        b"event: brand_new\n\n"
    )
    pieces = [sse(event) for event in (start(), *TEXT, *ending(None))]

    assert decode(noise.join(pieces)) == decode(b"".join(pieces))
    assert decode(noise[:60] + b"".join(pieces)) == decode(b"".join(pieces))


def test_a_compaction_block_is_hidden_and_its_stop_is_a_pause() -> None:
    events = decode(
        sse(
            start(),
            block(0, type="compaction", content=None),
            delta(0, type="compaction_delta", content="summary", encrypted_content="x"),
            stop(0),
            block(1, type="text", text=""),
            delta(1, type="text_delta", text="Hi"),
            stop(1),
            *ending("compaction"),
        )
    )

    assert events[1:3] == [BlockStart(0, TextBlock()), TextDelta(0, "Hi")]
    assert events[-1] == MessageEnd(FinishReason.PAUSE, "compaction")


@pytest.mark.parametrize("name", ["odd-comment", "odd-done-tail", "odd-unknown", "odd-nousage", "odd-bad-index"])
def test_odd_streams_that_are_whole_are_read(name: str) -> None:
    events = decode(fixture(name))

    assert check(events) == []
    assert isinstance(events[-1], MessageEnd)
    assert fold(events).blocks[0].text == "Hi"


def test_events_without_sse_names_are_read() -> None:
    assert isinstance(decode(fixture("odd-no-event-name"))[-1], MessageEnd)


def test_events_without_a_type_are_named_by_their_sse_name() -> None:
    body = fixture("text")
    for name in ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"):
        body = body.replace(f'{{"type":"{name}",'.encode(), b"{")

    assert decode(body) == decode(fixture("text"))


def test_no_stop_is_a_cut() -> None:
    events = decode(fixture("odd-no-stop"))

    assert isinstance(events[-1], StreamError)
    assert events[-1].kind is ErrorKind.CUT


@pytest.mark.parametrize("name", ["odd-tool-noargs", "odd-tool-emptyargs"])
def test_a_call_without_arguments_has_an_empty_object(name: str) -> None:
    assert fold(decode(fixture(name))).blocks[0].text == "{}"


def test_a_done_before_the_end_does_not_end_well() -> None:
    assert isinstance(decode(sse(start(), *TEXT) + b"data: [DONE]\n\n")[-1], StreamError)


def test_blocks_are_numbered_densely_and_may_interleave() -> None:
    events = decode(
        sse(
            start(),
            block(4, type="tool_use", id="a", name="f", input={}),
            block(9, type="tool_use", id="b", name="g", input={}),
            delta(4, type="input_json_delta", partial_json='{"x":'),
            delta(9, type="input_json_delta", partial_json="{}"),
            delta(4, type="input_json_delta", partial_json="1}"),
            stop(9),
            *ending("tool_use"),
        )
    )

    assert check(events) == []
    assert [done.text for done in fold(events).blocks] == ['{"x":1}', "{}"]
    assert [event for event in events if isinstance(event, BlockEnd)] == [BlockEnd(1), BlockEnd(0)]


def test_a_reused_index_is_a_new_block() -> None:
    events = decode(sse(start(), *TEXT, *TEXT, TEXT[0], *TEXT, *ending()))

    assert check(events) == []
    assert [done.text for done in fold(events).blocks] == ["Hi", "Hi", "", "Hi"]


def test_deltas_without_a_start_open_their_block() -> None:
    events = decode(
        sse(
            delta(0, type="thinking_delta", thinking="hm"),
            delta(1, type="text_delta", text="Hi"),
            delta(2, type="input_json_delta", partial_json="{}"),
            delta(3, type="signature_delta", signature="s"),
            *ending(),
        )
    )

    assert check(events) == []
    assert events[0] == MessageStart("", "")
    assert [done.text for done in fold(events).blocks] == ["hm", "Hi"]


def test_a_delta_of_another_kind_is_ignored() -> None:
    events = decode(
        sse(
            start(),
            TEXT[0],
            delta(0, type="thinking_delta", thinking="x"),
            delta(0, type="input_json_delta", partial_json="{}"),
            delta(0, type="signature_delta", signature="s"),
            *TEXT[1:],
            *ending(),
        )
    )

    assert events == decode(sse(start(), *TEXT, *ending()))


def test_what_a_block_holds_at_its_start_is_kept() -> None:
    """Servers that speak this API without streaming inside blocks put everything into the start."""
    citation = {"type": "char_location", "cited_text": "c", "document_title": "d"}
    events = decode(
        sse(
            start(),
            block(0, type="thinking", thinking="hm", signature="sig"),
            stop(0),
            block(1, type="text", text="Hi", citations=[citation]),
            stop(1),
            block(2, type="tool_use", id="t", name="f", input={"a": 1}),
            stop(2),
            *ending("tool_use"),
        )
    )

    blocks = fold(events).blocks
    assert [done.text for done in blocks] == ["hm", "Hi", '{"a": 1}']
    assert blocks[0].signature is not None and blocks[0].signature.signature == "sig"
    assert (blocks[1].citations[0].cited_text, blocks[1].citations[0].title) == ("c", "d")


def test_argument_deltas_replace_the_input_of_the_start() -> None:
    events = decode(
        sse(
            start(),
            block(0, type="tool_use", id="t", name="f", input={"a": 1}),
            delta(0, type="input_json_delta", partial_json='{"b":2}'),
            stop(0),
            *ending("tool_use"),
        )
    )

    assert fold(events).blocks[0].text == '{"b":2}'


def test_a_call_without_an_id_gets_one() -> None:
    events = decode(sse(start(), block(0, type="tool_use", name="f", input={}), *ending("tool_use")))

    assert events[1] == BlockStart(0, ToolCallBlock("toolu_0", "f"))


def test_a_custom_tool_is_unwrapped_as_it_arrives() -> None:
    target = Target("anthropic", "m", custom_tools=frozenset({"apply_patch"}))
    fragments = ['{"input', '":"*** Begin', "\\nPatch", '"}']
    events = decode(
        sse(
            start(),
            block(0, type="tool_use", id="t", name="apply_patch", input={}),
            *(delta(0, type="input_json_delta", partial_json=fragment) for fragment in fragments),
            stop(0),
            *ending("tool_use"),
        ),
        target=target,
    )

    assert events[1] == BlockStart(0, ToolCallBlock("t", "apply_patch", ToolKind.CUSTOM))
    assert [event for event in events if isinstance(event, ArgumentsDelta)] == [
        ArgumentsDelta(0, "*** Begin"),
        ArgumentsDelta(0, "\nPatch"),
    ]


def test_a_written_out_tool_name_is_read_back() -> None:
    events = decode(sse(start(), block(0, type="tool_use", id="t", name="server_x2e_tool", input={}), *ending()))

    assert events[1] == BlockStart(0, ToolCallBlock("t", "server.tool"))


def test_server_tools_keep_their_own_json() -> None:
    blocks = fold(decode(fixture("server-tool-citation"))).blocks

    assert isinstance(blocks[0].block, ToolCallBlock)
    assert blocks[0].block.kind is ToolKind.SERVER
    assert blocks[0].block.origin is Origin.ANTHROPIC
    assert blocks[2].citations[0].url == "https://example.com/a"


def test_a_failed_server_tool_is_an_error_result() -> None:
    content = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    events = decode(sse(start(), block(0, type="web_search_tool_result", tool_use_id="s", content=content), *ending()))

    result = fold(events).blocks[0].block
    assert (result.call_id, result.is_error, json.loads(result.content)) == ("s", True, content)  # type: ignore[union-attr]
