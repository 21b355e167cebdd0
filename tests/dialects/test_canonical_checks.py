import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.canonical_checks import ArgumentsCheck, Breach, Rules, rules_of

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"type": "string", "enum": ["c", "f"]},
        "tags": {"type": ["array", "null"]},
        "free": {"anyOf": [{"type": "string"}]},
    },
    "required": ["city"],
}


def rules(schema: Any = SCHEMA) -> Rules:
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    return rules_of(json.dumps(tools).encode())["f"]


@pytest.mark.parametrize(
    ("text", "breaches"),
    [
        ('{"city": "Oslo", "days": 3, "unit": "c", "tags": [1, {"city": 2}], "free": 7, "more": {}}', []),
        ('{"city": "x", "tags": null}', []),
        ('{"city": 12}', [Breach("city", "string", "number")]),
        (
            '{"city": {"city": 1}, "days": "3"}',
            [Breach("city", "string", "object"), Breach("days", "integer", "string")],
        ),
        ('{"city": "x", "unit": "k"}', [Breach("unit", "one of its enum", "another text")]),
        ('{"city": "x", "unit": "\\u0063"}', []),
        ('{"city": "x", "tags": true}', [Breach("tags", "array or null", "boolean")]),
        ('{"c\\u0069ty": "\\"}{"}', []),
        ('{"days": 3}', [Breach("city", "a value", "none")]),
        ('["x"]', [Breach("", "object", "array")]),
        ("{}", [Breach("city", "a value", "none")]),
        ("", []),
        ("no json", [Breach("", "object", "null")]),
        ('{"city": ', []),
        ('{"city": "' + "x" * 5000 + '"}', []),
    ],
)
def test_what_breaks_the_schema_is_found_whatever_the_pieces(text: str, breaches: list[Breach]) -> None:
    whole, single = ArgumentsCheck(rules()), ArgumentsCheck(rules())

    assert whole.feed(text) == breaches
    assert [breach for char in text for breach in single.feed(char)] == breaches


def test_a_breach_is_found_at_the_first_character_that_shows_it() -> None:
    check = ArgumentsCheck(rules())

    assert [bool(check.feed(char)) for char in '{"days":"'] == [False] * 8 + [True]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    check = ArgumentsCheck(rules())

    assert len(check.feed(text) + check.feed('{"city": ' + text)) <= 20 + len(text)


@pytest.mark.parametrize("tools", [b"", b"{}", b"[1]", b'[{"type":"custom"}]', b'[{"function":{"name":"f"}}]'])
def test_what_is_no_schema_has_no_rules(tools: bytes) -> None:
    assert rules_of(tools) == {}


@pytest.mark.parametrize("schema", [True, [], {"properties": 1}, {"properties": {"a": True, "b": {"type": 7}}}])
def test_an_odd_schema_allows_everything(schema: Any) -> None:
    assert ArgumentsCheck(rules(schema)).feed('{"a": 1, "b": "x"}') == []
