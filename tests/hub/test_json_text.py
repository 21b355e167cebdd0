import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.json_text import is_json, mended


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"plain \\n"', b'"plain \\n"'),
        (b'"\\ud83d"', b'"\\ufffd"'),
        (b'"\\uDE00 x"', b'"\\ufffd x"'),
        (b'"\\ud83d\\ude00"', b'"\\ud83d\\ude00"'),
        (b'"\\ud83d\\ud83d\\ude00"', b'"\\ufffd\\ud83d\\ude00"'),
        (b'"\\\\ud83d"', b'"\\\\ud83d"'),
        (b'"half \xe2\x82"', '"half \ufffd"'.encode()),
    ],
)
def test_half_characters_become_replacement_characters(text: bytes, expected: bytes) -> None:
    assert mended(text) == expected


@given(st.text())
def test_good_text_stays_as_it_is(text: str) -> None:
    for is_ascii in (True, False):
        good = json.dumps(text, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
        assert mended(good) == good


@given(st.binary())
def test_what_is_mended_once_stays_so(text: bytes) -> None:
    assert mended(mended(text)) == mended(text)


@pytest.mark.parametrize("text", [b"{}", b' {"a": [1, "\\ud83d", "\xff"]}\n', b"7"])
def test_what_has_the_form_of_json(text: bytes) -> None:
    assert is_json(text)


@pytest.mark.parametrize("text", [b"", b'{"id":', b"<html>", b"{} {}", b'{"a": NaN}'])
def test_what_has_not(text: bytes) -> None:
    assert not is_json(text)
