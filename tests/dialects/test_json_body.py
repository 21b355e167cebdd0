import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.json_body import MAX_DEPTH, missing, read, read_body, read_fields, unknown_fields, wrong
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.json_text import mended


class Part(msgspec.Struct):
    type: str
    text: str | None = None


class Body(msgspec.Struct):
    model: str | None = None
    count: int | None = None
    heat: float | None = None
    content: str | list[Part] | None = None


BODY = msgspec.json.Decoder(Body)

BAD_BODIES = [
    (b"", "The body is empty: expected a JSON object."),
    (b"{", "The body is not valid JSON: it ends too early, at byte 1."),
    (b'{"model":', "The body is not valid JSON: it ends too early, at byte 9."),
    (b'{"a":1}x', "The body is not valid JSON: trailing characters at byte 8."),
    (b'{"a":NaN}', "The body is not valid JSON: invalid character at byte 5."),
    (b"\xef\xbb\xbf{}", "The body is not valid JSON: invalid character at byte 0."),
    (b'{"model":"\xff"}', "The body is not valid UTF-8: invalid start byte at byte 10."),
    (b'{"unknown":"\xc3"}', "The body is not valid UTF-8: invalid continuation byte at byte 12."),
    (b"[]", "The body is no JSON object: expected object, got array."),
    (b'"x"', "The body is no JSON object: expected object, got str."),
    (b"null", "The body is no JSON object: expected object, got null."),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES)
def test_a_body_that_is_no_json_object_says_where(body: bytes, message: str) -> None:
    with pytest.raises(CallerError) as typed:
        read_body(BODY, body)
    with pytest.raises(CallerError) as raw:
        read_fields(body)

    assert (typed.value.kind, typed.value.message) == (ErrorKind.INVALID_REQUEST, message)
    assert raw.value.message == message


BAD_FIELDS = [
    (b'{"model":1}', "model", "model: expected str | null, got int"),
    (b'{"count":1.5}', "count", "count: expected int | null, got float"),
    (b'{"count":1e400}', "count", "count: number out of range"),
    (b'{"count":' + b"9" * 5000 + b"}", "count", "count: integer value out of range"),
    (b'{"heat":1e999}', "heat", "heat: number out of range"),
    (b'{"content":7}', "content", "content: expected str | array | null, got int"),
    (b'{"content":[{"type":"a"},{"text":"b"}]}', "content[1].type", "content[1].type: this field is required"),
    (b'{"content":[{"type":[]}]}', "content[0].type", "content[0].type: expected str, got array"),
]


@pytest.mark.parametrize(("body", "param", "message"), BAD_FIELDS)
def test_a_wrong_field_is_named(body: bytes, param: str, message: str) -> None:
    with pytest.raises(CallerError) as fault:
        read_body(BODY, body)

    assert (fault.value.param, fault.value.message) == (param, message)


def test_a_piece_is_named_by_its_place_in_the_body() -> None:
    with pytest.raises(CallerError) as fault:
        read(msgspec.json.Decoder(Part), b'{"type":3}', "messages[2].content[0]")

    assert fault.value.param == "messages[2].content[0].type"


def test_faults_made_by_hand_name_field_and_value() -> None:
    assert wrong("n", "1", 2).message == "n: expected 1, got 2"
    assert len(wrong("n", "1", "x" * 10_000).message) < 300
    assert missing("messages").param == "messages"


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_nesting_is_limited_and_brackets_in_strings_do_not_count() -> None:
    assert read_fields(nested(MAX_DEPTH))
    assert read_fields(b'{"a":"' + b'\\"[{' * 1000 + b'\\\\"}')
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(CallerError, match="more than 128 levels"):
            read_fields(nested(depth))


def test_many_shallow_objects_are_not_deep() -> None:
    assert read_fields(b'{"a":[' + b",".join([b'{"b":[]}'] * 10_000) + b"]}")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","messages":[{"model":1}],"mo\\u0064el":"b"}',
        b'{"\\u006dodel":"a","mode\\u006c":"b"}',
    ],
)
def test_two_models_are_refused(body: bytes) -> None:
    with pytest.raises(CallerError, match="more than once"):
        read_body(BODY, body)


def test_the_word_model_elsewhere_is_no_second_model() -> None:
    body = b'{"model":"a","tools":[{"model":{"x":"model"}}],"note":"say \\"model\\": twice \\u0061"}'

    assert read_body(BODY, body).model == "a"


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    body = b'{"model":"a \\ud83d","content":"\\ud83d\\ude00 \\\\ud83d"}'

    read_model = read_body(BODY, body)

    assert (read_model.model, read_model.content) == ("a �", "😀 \\ud83d")
    assert mended(b"half \xe2\x82") == "half �".encode()


def test_unknown_fields_keep_their_bytes() -> None:
    fields = read_fields(b'{"model":"a","x": [1,  2],"y":null}')

    assert unknown_fields(fields, {"model"}) == {"x": b"[1,  2]"}


HARD = st.text(alphabet='{}[]":,\\ ab\u2028é', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | HARD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HARD, inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(HARD, VALUES, max_size=4), st.booleans())
def test_no_text_looks_like_a_second_model(fields: dict[str, object], is_ascii: bool) -> None:
    whole = {**fields, "model": "m", "nested": {"model": [{"model": "\u006d"}]}}

    assert set(read_fields(json.dumps(whole, ensure_ascii=is_ascii).encode())) == set(whole)


@given(VALUES, st.integers(100, 160))
def test_depth_is_that_of_the_values_whatever_the_texts(value: object, levels: int) -> None:
    wrapped = value
    for level in range(levels):
        wrapped = [wrapped] if level % 2 else {"{[": wrapped, "x": ["]"]}
    body = json.dumps({"a": wrapped}).encode()

    if depth_of({"a": wrapped}) <= MAX_DEPTH:
        assert read_fields(body)
        return
    with pytest.raises(CallerError, match="more than 128 levels"):
        read_fields(body)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u006d model0', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read_body(BODY, body)
    except CallerError as fault:
        assert fault.message
