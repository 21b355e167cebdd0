import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.hub.partial_json import PartialJson

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    return json.dumps(
        draw(JSON_VALUES),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 0, 2])),
        separators=draw(st.sampled_from([None, (",", ":"), (" , ", "\t:\r\n")])),
    )


def value_of(text: str) -> str | None:
    machine = PartialJson()
    machine.feed(text)
    return machine.value()


def closers_of(prefix: str) -> str:
    """What closes `prefix`, by the plainest scan: for the reference below."""
    stack: list[str] = []
    in_string = escaped = False
    for char in prefix:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            stack.append("]" if char == "[" else "}")
        elif char in "]}" and stack:
            stack.pop()
    return ('"' if in_string else "") + "".join(reversed(stack))


def in_string(prefix: str) -> bool:
    return closers_of(prefix).startswith('"')


def reference(prefix: str) -> object:
    """The value of the longest head of `prefix` that its closers make whole, by trying them all."""
    if not in_string(prefix):
        prefix = re.sub(r"-?[0-9][-+.eE0-9]*\Z", "", prefix)
    for end in range(len(prefix), 0, -1):
        head = prefix[:end]
        if in_string(head) and re.search(r"(?<!\\)(\\\\)*\\u[dD][89abAB]..\Z", head):
            continue
        try:
            return json.loads(head + closers_of(head))
        except ValueError:
            continue
    return None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" \n", None),
        ("{", "{}"),
        ('{"city', "{}"),
        ('{"city"', "{}"),
        ('{"city":', "{}"),
        ('{"city":"', '{"city":""}'),
        ('{"city": "Os', '{"city":"Os"}'),
        ('{"city": "Oslo", ', '{"city":"Oslo"}'),
        ('{"city": "Oslo", "deg": 1', '{"city":"Oslo"}'),
        ('{"city": "Oslo", "deg": 1 ', '{"city":"Oslo","deg":1}'),
        ("[1, 2, [3, {", "[1,2,[3,{}]]"),
        ("[tru", "[]"),
        ("[true", "[true]"),
        ("[-", "[]"),
        ('"a\\', '"a"'),
        ('"a\\u00', '"a"'),
        ('"a\\ud83d', '"a"'),
        ('"a\\ud83d\\', '"a"'),
        ('"a\\ud83d\\ude0', '"a"'),
        ('"a\\ud83d\\ude00', '"a\\ud83d\\ude00"'),
        ('"a\\ud83d!', '"a\\ud83d!"'),
        ('"a\\ud83d\\n', '"a\\ud83d\\n"'),
        ('"a\\ud83d\\ud83d\\ude00', '"a\\ud83d\\ud83d\\ude00"'),
        ('"a\\\\ud83d', '"a\\\\ud83d"'),
        ("12", None),
        ("12 ", "12"),
    ],
)
def test_value_closes_what_is_open_and_drops_what_is_half(text: str, value: str | None) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Sure! Here it is:", None),
        ("```json\n{}", None),
        ('{"a":1} and more', '{"a":1}'),
        ('{"a":1,}', '{"a":1}'),
        ("[1,]", "[1]"),
        ("[01]", "[]"),
        ("[1.]", "[]"),
        ("[nul]", "[]"),
        ("{1", "{}"),
        ('{"a" 1', "{}"),
        ("[1}", "[1]"),
        ("]", None),
        ('["line\nbreak"', '["line"]'),
        ('["\\x', '[""]'),
        ('["\\u12g4', '[""]'),
        ("[" + "1" * 2000, "[]"),
    ],
)
def test_text_that_is_not_json_stops_the_machine_and_keeps_the_value(text: str, value: str | None) -> None:
    machine = PartialJson()

    machine.feed(text)
    machine.feed(' "more": [true]')
    machine.finish()

    assert machine.stopped
    assert not machine.is_complete
    assert machine.value() == value
    assert machine.size == len(value or "")


def test_number_alone_is_whole_when_the_text_ends() -> None:
    machine = PartialJson()
    machine.feed("-12.5e")
    machine.feed("+3")
    assert machine.value() is None

    machine.finish()

    assert machine.value() == "-12.5e+3"
    assert machine.is_complete


def test_number_that_the_end_cut_off_inside_a_container_stays_out() -> None:
    machine = PartialJson()
    machine.feed('{"a":1,"b":2')

    machine.finish()

    assert machine.value() == '{"a":1}'


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_nesting_deeper_than_the_bound_stops_the_machine(opener: str) -> None:
    machine = PartialJson(max_depth=50)

    machine.feed(opener * 100_000)

    assert machine.stopped
    value = machine.value()
    assert value is not None
    assert value.count(opener[0]) == 50
    json.loads(value)


def test_text_longer_than_the_bound_stops_the_machine() -> None:
    machine = PartialJson(max_chars=1000)
    machine.feed('["')

    for _ in range(100):
        machine.feed("x" * 100)

    assert machine.stopped
    assert machine.size < 1200
    json.loads(machine.value() or "")


@given(json_texts())
def test_whole_text_gives_its_value(text: str) -> None:
    machine = PartialJson()

    machine.feed(text)
    machine.finish()

    assert machine.is_complete
    assert json.loads(machine.value() or "") == json.loads(text)


@given(json_texts(), st.data())
@settings(max_examples=200)
def test_every_prefix_gives_the_longest_value(text: str, data: st.DataObject) -> None:
    prefix = text[: data.draw(st.integers(0, len(text)))]

    value = value_of(prefix)

    assert (json.loads(value) if value is not None else None) == reference(prefix)


@given(json_texts(), st.data())
def test_any_split_gives_the_same_values(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    machine = PartialJson()
    before = 0

    for cut in cuts:
        machine.feed(text[before:cut])
        assert machine.value() == value_of(text[:cut])
        assert machine.size == len(machine.value() or "")
        before = cut


@given(json_texts())
def test_size_changes_exactly_when_the_value_does(text: str) -> None:
    machine = PartialJson()
    value, size = machine.value(), machine.size

    for char in text:
        machine.feed(char)
        assert (machine.value() != value) == (machine.size != size)
        value, size = machine.value(), machine.size


@given(json_texts())
def test_what_was_in_the_value_stays(text: str) -> None:
    machine = PartialJson()
    before: object = None

    for char in text:
        machine.feed(char)
        value = machine.value()
        after = json.loads(value) if value is not None else None
        assert before is None or extends(before, after)
        before = after


def extends(before: object, after: object) -> bool:
    match before, after:
        case dict(), dict():
            # A key that comes again replaces its value, as in every JSON reader.
            return all(key in after for key in before)
        case list(), list():
            return len(before) <= len(after) and all(map(extends, before, after))
        case str(), str():
            return after.startswith(before)
        case _:
            return before == after


@given(st.text(alphabet='{}[]":,\\ truefalsn0123456789.eE+-ud8Dc\n', max_size=40))
@settings(max_examples=300)
def test_any_text_gives_a_valid_value_or_none(text: str) -> None:
    machine = PartialJson()

    for char in text:
        machine.feed(char)
        value = machine.value()
        if value is not None:
            json.loads(value)
    whole = PartialJson()
    whole.feed(text)

    assert whole.value() == machine.value()
