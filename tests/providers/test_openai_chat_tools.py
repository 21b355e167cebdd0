"""Which fragments make one call: the shapes that servers send, and what must come out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.completion import fold
from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import (
    BlockEnd,
    BlockStart,
    Event,
    MessageEnd,
    Origin,
    SignatureAdded,
    TextDelta,
    ToolCallBlock,
    ToolKind,
)
from proxy.hub.grammar import check
from proxy.providers.base import Target
from proxy.providers.openai_chat.stream import ChatDecoder
from proxy.providers.quirks import Quirks
from tests.support.openai_chat_api import call, chunk, decode, sse

DONE = "[DONE]"


def read(*deltas: dict[str, Any]) -> list[Event]:
    events = decode(sse(*(chunk(delta) for delta in deltas), chunk(finish="tool_calls"), DONE))
    assert check(events) == []
    assert isinstance(events[-1], MessageEnd)
    return events


def calls(*deltas: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call."""
    return [
        (done.block.id, done.block.name, done.text)
        for done in fold(read(*deltas)).blocks
        if isinstance(done.block, ToolCallBlock)
    ]


ONE = [("a", "f", '{"x":1}')]
TWO = [("a", "f", '{"x":1}'), ("b", "g", "{}")]

SHAPES: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str, str]]]] = {
    "as OpenAI": (
        [call(0, id="a", type="function", name="f", arguments=""), call(0, arguments='{"x"'), call(0, arguments=":1}")],
        ONE,
    ),
    "in one piece": ([call(0, id="a", name="f", arguments='{"x":1}')], ONE),
    "arguments as an object": ([call(0, id="a", name="f", arguments={"x": 1})], ONE),
    "no index": ([call(None, id="a", name="f", arguments='{"x":'), call(None, arguments="1}")], ONE),
    "no index, two calls": (
        [call(None, id="a", name="f", arguments='{"x":1}'), call(None, id="b", name="g", arguments="{}")],
        TWO,
    ),
    "no index, found by id": (
        [
            call(None, id="a", name="f", arguments='{"x"'),
            call(None, id="b", name="g", arguments="{"),
            call(None, id="a", arguments=":1}"),
            call(None, id="b", arguments="}"),
        ],
        TWO,
    ),
    "id and name repeated": (
        [call(0, id="a", name="f", arguments='{"x"'), call(0, id="a", name="f", arguments=":1}")],
        ONE,
    ),
    "a new random id with every fragment": (
        [call(0, id="a", name="f", arguments='{"x"'), call(0, id="zzz", arguments=":1}")],
        ONE,
    ),
    "every call with index 0": (
        [call(0, id="a", name="f", arguments='{"x":1}'), call(0, id="b", name="g", arguments="{}")],
        TWO,
    ),
    "indexes with gaps": (
        [call(1, id="a", name="f", arguments='{"x":1}'), call(5, id="b", name="g", arguments="{}")],
        TWO,
    ),
    "the name after the id": (
        [call(0, id="a"), call(0, name="f"), call(0, arguments='{"x":1}')],
        ONE,
    ),
    "arguments before the name": ([call(0, id="a", arguments='{"x"'), call(0, name="f", arguments=":1}")], ONE),
    "nulls": (
        [
            call(0, id="a", type="function", name="f", arguments=None),
            call(0, id=None, type=None, name=None, arguments='{"x":1}'),
        ],
        ONE,
    ),
    "an empty id": ([call(0, id="", name="f", arguments='{"x":1}')], [("call_0_c1", "f", '{"x":1}')]),
    "no ids, complete arguments": (
        [call(0, name="f", arguments='{"x":1}'), call(0, name="f", arguments='{"x":2}')],
        [("call_0_c1", "f", '{"x":1}'), ("call_1_c1", "f", '{"x":2}')],
    ),
    "the same id twice": (
        [call(0, id="a", name="f", arguments="{}"), call(1, id="a", name="g", arguments="{}")],
        [("a", "f", "{}"), ("a_2", "g", "{}")],
    ),
    "interleaved": (
        [
            call(0, id="a", name="f", arguments='{"x"'),
            call(1, id="b", name="g", arguments="{"),
            call(0, arguments=":1}"),
            call(1, arguments="}"),
        ],
        TWO,
    ),
    "a placeholder before the arguments": (
        [call(0, id="a", name="f", arguments="{}"), call(0, arguments='{"x"'), call(0, arguments=":1}")],
        ONE,
    ),
    "a placeholder before the arguments, id and name repeated": (
        [call(0, id="a", name="f", arguments="{}"), call(0, id="a", name="f", arguments='{"x":1}')],
        ONE,
    ),
    "a placeholder before the name": (
        [call(0, id="a", arguments="{}"), call(0, arguments='{"x"'), call(0, name="f", arguments=":1}")],
        ONE,
    ),
    "a placeholder that was none": (
        [call(0, id="a", name="f", arguments="{}"), call(0, arguments="\n"), call(1, id="b", name="g", arguments="{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "a call that begins with the index of the one before": (
        [
            call(0, id="a", name="f", arguments='{"x":1}'),
            call(0, id="b", name="g", arguments="{"),
            call(1, arguments=" "),
            call(1, arguments="}"),
        ],
        [TWO[0], ("b", "g", "{ }")],
    ),
    "an id that is known, with another index": (
        [
            call(0, id="a", name="f", arguments='{"x"'),
            call(1, id="b", name="g", arguments="{"),
            call(2, id="a", arguments=":1}"),
            call(3, id="b", arguments="}"),
        ],
        TWO,
    ),
    "both in one chunk": (
        [
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":1}'}},
                    {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
                ]
            }
        ],
        TWO,
    ),
    "white space after the end": (
        [
            call(0, id="a", name="f", arguments='{"x":1}'),
            call(1, id="b", name="g", arguments="{}"),
            call(0, arguments="\n"),
        ],
        TWO,
    ),
    "the deprecated field": (
        [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": '{"x":1}'}}],
        [("call_0_c1", "f", '{"x":1}')],
    ),
    "no arguments": ([call(0, id="a", name="f")], [("a", "f", "")]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_fragments_make_calls(shape: str) -> None:
    deltas, expected = SHAPES[shape]

    assert calls(*deltas) == expected


def test_a_call_ends_when_something_else_begins_and_it_is_complete() -> None:
    events = read(
        call(0, id="a", name="f", arguments="{}"),
        call(1, id="b", name="g", arguments='{"x"'),
        {"content": "t"},
        call(1, arguments=":1}"),
    )

    order = [event for event in events if isinstance(event, BlockStart | BlockEnd | TextDelta)]
    assert [type(event).__name__ for event in order[:3]] == ["BlockStart", "BlockEnd", "BlockStart"]
    assert BlockEnd(0) in events[: events.index(TextDelta(2, "t"))]
    assert BlockEnd(1) not in events[: events.index(TextDelta(2, "t"))]


def test_arguments_after_a_complete_object_are_a_protocol_error() -> None:
    deltas = [
        call(0, id="a", name="f", arguments="{}"),
        call(1, id="b", name="g", arguments="{}"),
        call(0, arguments="{}"),
    ]
    decoder = ChatDecoder(Target("v", "m"))
    decoder.feed(sse(*(chunk(delta) for delta in deltas)))

    with pytest.raises(UpstreamProtocolError, match="more arguments"):
        decoder.finish()


def test_a_call_without_a_name_is_a_protocol_error() -> None:
    decoder = ChatDecoder(Target("v", "m"))

    with pytest.raises(UpstreamProtocolError, match="without a name"):
        decoder.feed(sse(chunk(call(0, id="a", arguments="{}")), DONE))
        decoder.finish()


def test_free_text_tools_are_read() -> None:
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}}
    more = {"index": 0, "custom": {"input": "*** {\n"}}

    events = read({"tool_calls": [first]}, {"tool_calls": [more]})

    done = fold(events).blocks[0]
    assert (done.block, done.text) == (ToolCallBlock("a", "patch", ToolKind.CUSTOM), "*** {\n")


def test_a_function_that_stands_for_a_free_text_tool_is_unwrapped() -> None:
    to = Target("v", "m", Quirks(custom_tools=False), custom_tools=frozenset({"patch"}))
    body = sse(
        chunk(call(0, id="a", name="patch", arguments='{"input":"one\\n')),
        chunk(call(0, arguments='two"}')),
        chunk(finish="tool_calls"),
        DONE,
    )

    done = fold(decode(body, to=to)).blocks[0]

    assert (done.block, done.text) == (ToolCallBlock("a", "patch", ToolKind.CUSTOM), "one\ntwo")


def test_geminis_thought_signature_stays_with_its_call() -> None:
    extra = {"google": {"thought_signature": "sig"}}

    events = read(call(0, id="a", name="f", arguments="{}", extra_content=extra))

    assert SignatureAdded(0, "sig", Origin.GEMINI) in events


def test_very_long_arguments_are_not_kept() -> None:
    piece = "x" * 400_000
    deltas = [call(0, id="a", name="f", arguments='{"x":"'), *(call(0, arguments=piece) for _ in range(4))]

    events = read(*deltas, call(0, arguments='"}'), call(1, id="b", name="g", arguments="{}"))

    assert len(fold(events).blocks[0].text) == 1_600_000 + 8


def test_a_flood_of_calls_is_a_protocol_error() -> None:
    decoder = ChatDecoder(Target("v", "m"))
    flood = [chunk(call(number, id=f"id{number}", name="f", arguments="{")) for number in range(1025)]

    events = decoder.feed(sse(*flood))

    assert sum(isinstance(event, BlockStart) for event in events) == 1024
    with pytest.raises(UpstreamProtocolError, match="more than 1024"):
        decoder.finish()


def test_arguments_without_a_name_are_not_kept_for_ever() -> None:
    decoder = ChatDecoder(Target("v", "m"))

    with pytest.raises(UpstreamProtocolError, match="without a name"):
        for _ in range(5):
            decoder.feed(sse(chunk(call(0, id="a", arguments="x" * 400_000))))


@given(
    st.lists(st.tuples(st.sampled_from(["f", "g"]), st.sampled_from(["{}", '{"a":1}', ""])), min_size=1, max_size=4),
    st.data(),
)
def test_calls_split_and_interleaved_at_random_come_out_whole(
    wanted: list[tuple[str, str]], data: st.DataObject
) -> None:
    queues: list[list[dict[str, Any]]] = []
    for number, (name, arguments) in enumerate(wanted):
        cut = data.draw(st.integers(0, len(arguments)))
        first = call(number, id=f"id{number}", name=name, arguments=arguments[:cut])
        queues.append([first, call(number, arguments=arguments[cut:])])
    deltas: list[dict[str, Any]] = []
    while any(queues):
        # A call starts in order; its later fragments come at any time after.
        startable = [
            queue
            for index, queue in enumerate(queues)
            if queue and (len(queue) == 1 or all(len(before) < 2 for before in queues[:index]))
        ]
        deltas.append(data.draw(st.sampled_from(startable)).pop(0))

    assert calls(*deltas) == [(f"id{number}", *one) for number, one in enumerate(wanted)]
