"""Calls whose arguments Vertex streams in pieces."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub import grammar
from proxy.hub.completion import fold
from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import ArgumentsDelta, FinishReason, MessageEnd
from proxy.providers.gemini.arguments import MAX_DEPTH, ArgumentsWriter, parse_place
from proxy.providers.gemini.wire import PartialArg
from tests.support.gemini_api import END, chunk, decode, sse, streamed_call


def call(*pieces: list[dict[str, Any]]) -> bytes:
    return sse(*streamed_call(*pieces), END)


def test_arguments_in_pieces_are_written_as_they_come() -> None:
    body = call(
        [{"jsonPath": "$.city", "stringValue": "Os", "willContinue": True}],
        [{"jsonPath": "$.city", "stringValue": 'lo "x"'}],
        [{"jsonPath": "$.days[0].high", "numberValue": 3}, {"jsonPath": "$.days[1].high", "boolValue": True}],
        [{"jsonPath": "$['a b']", "nullValue": None}],
    )

    events = decode([body])

    fragments = [event.json for event in events if isinstance(event, ArgumentsDelta)]
    assert fragments[:2] == ['{"city":"Os', 'lo \\"x\\"']
    assert json.loads("".join(fragments)) == {
        "city": 'Oslo "x"',
        "days": [{"high": 3}, {"high": True}],
        "a b": None,
    }
    assert grammar.check(events) == []
    assert events[-1] == MessageEnd(FinishReason.TOOL_CALLS, "STOP")


def test_streamed_calls_in_a_row_do_not_mix() -> None:
    one = call([{"jsonPath": "$.a", "stringValue": "1"}])
    body = one[: one.rindex(b"data: ")] + call([{"jsonPath": "$.b", "stringValue": "2"}])

    assert [done.text for done in fold(decode([body])).blocks] == ['{"a":"1"}', '{"b":"2"}']


def test_a_streamed_call_without_an_end_mark_ends_with_what_follows() -> None:
    body = sse(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "1"}], "willContinue": True}}),
        chunk({"text": "and text"}, finish="STOP"),
    )

    completion = fold(decode([body]))

    assert [done.text for done in completion.blocks] == ['{"a":"1"}', "and text"]


def test_arguments_that_the_token_limit_cut_off_are_not_completed() -> None:
    body = sse(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk(
            {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "1"}], "willContinue": True}},
            finish="MAX_TOKENS",
        ),
    )

    completion = fold(decode([body]))

    assert completion.blocks[0].text == '{"a":"1'
    assert completion.end == MessageEnd(FinishReason.LENGTH, "MAX_TOKENS")


EMPTY: dict[str, Any] = {"functionCall": {"name": "f", "args": {}}}
NAMELESS: dict[str, Any] = {"functionCall": {"args": {"a": 1}}}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([chunk(EMPTY), chunk(NAMELESS, finish="STOP")], ['{"a":1}']),
        ([chunk(EMPTY), chunk(NAMELESS), chunk(EMPTY), chunk(NAMELESS, finish="STOP")], ['{"a":1}', '{"a":1}']),
        ([chunk(EMPTY, EMPTY, finish="STOP")], ["{}", "{}"]),
        ([chunk(EMPTY), chunk({"text": "x"}, finish="STOP")], ["{}", "x"]),
        ([chunk(EMPTY, finish="MAX_TOKENS")], ["{}"]),
        (
            [
                chunk({"functionCall": {"name": "f", "args": {}, "willContinue": True}}),
                *streamed_call([{"jsonPath": "$.a", "numberValue": 1}])[1:],
                END,
            ],
            ['{"a":1}'],
        ),
    ],
    ids=["follow", "two calls", "none", "text follows", "limit", "streamed"],
)
def test_empty_arguments_may_be_followed_by_what_they_stand_for(chunks: list[Any], expected: list[str]) -> None:
    events = decode([sse(*chunks)])

    assert grammar.check(events) == []
    assert [done.text.replace(" ", "") for done in fold(events).blocks] == expected


# --- the writer by itself

_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(_NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
)


def pieces_of(value: Any, path: str = "$") -> list[PartialArg]:
    """`value` as a model would stream it: leaves from front to back, texts in two pieces."""
    match value:
        case dict():
            steps = [(f"{path}[{json.dumps(name)}]", inner) for name, inner in value.items()]
        case list():
            steps = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
        case str():
            middle = len(value) // 2
            return [PartialArg(path, stringValue=half) for half in (value[:middle], value[middle:])]
        case bool():
            return [PartialArg(path, boolValue=value)]
        case None:
            return [PartialArg(path, nullValue=None)]  # type: ignore[arg-type]
        case _:
            return [PartialArg(path, numberValue=msgspec.Raw(str(value).encode()))]
    return [piece for where, inner in steps for piece in pieces_of(inner, where)]


@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_any_object_in_pieces_is_written_as_itself(value: dict[str, Any]) -> None:
    writer = ArgumentsWriter()

    text = "".join(writer.add(piece) for piece in pieces_of(value)) + writer.close()

    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("$.a", ("a",)),
        ("$.a.b[0].c", ("a", "b", 0, "c")),
        ("$['a b'][\"c\"][12]", ("a b", "c", 12)),
        ("$['it\\'s \"\\u00e9\\n\"']", ('it\'s "é\n"',)),
        ("$.größe", ("größe",)),
    ],
)
def test_paths_are_read(path: str, place: tuple[str | int, ...]) -> None:
    assert parse_place(path) == place


@pytest.mark.parametrize(
    "path",
    ["", "$", "a", "$.", "$a", "$[0]", "$.a[", "$.a[*]", "$..a", "$.a[-1]", "$['a]", "$" + ".a" * (MAX_DEPTH + 1)],
)
def test_other_paths_are_protocol_faults(path: str) -> None:
    with pytest.raises(UpstreamProtocolError):
        parse_place(path)


@pytest.mark.parametrize(
    "paths",
    [
        ("$.a", "$.b", "$.a"),
        ("$.a", "$.a.b"),
        ("$.a.b", "$.a"),
        ("$.a[0]", "$.a[2]"),
        ("$.a[1]",),
        ("$.a[0]", "$.a.b"),
        ("$.a.b", "$.c", "$.a.d"),
    ],
)
def test_a_piece_that_goes_back_is_a_protocol_fault(paths: tuple[str, ...]) -> None:
    writer = ArgumentsWriter()

    with pytest.raises(UpstreamProtocolError):
        for path in paths:
            writer.add(PartialArg(path, boolValue=True))


def test_a_number_that_is_no_json_number_is_null() -> None:
    body = call([{"jsonPath": "$.a", "numberValue": "NaN"}, {"jsonPath": "$.b", "numberValue": "5"}])

    assert fold(decode([body])).blocks[0].text == '{"a":null,"b":5}'


def test_a_piece_without_a_value_adds_nothing() -> None:
    assert fold(decode([call([{"jsonPath": "$.a", "willContinue": True}])])).blocks[0].text == "{}"
