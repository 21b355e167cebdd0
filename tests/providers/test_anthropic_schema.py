import json
from typing import Any

import pytest

from proxy.providers.anthropic.schema import adapt, is_strict, with_object_type

OBJECT = {"type": "object", "additionalProperties": False}

ADAPTED: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}, []),
    ({"type": "object"}, OBJECT, []),
    ({"type": "object", "additionalProperties": True}, OBJECT, ["additionalProperties"]),
    ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}, []),
    (
        {"type": "integer", "minimum": 1, "maximum": 9, "description": "Age."},
        {"type": "integer", "description": 'Age. {"minimum":1,"maximum":9}'},
        ["minimum", "maximum"],
    ),
    ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}, []),
    ({"type": "string", "format": "color"}, {"type": "string", "description": '{"format":"color"}'}, ["format"]),
    ({"type": "array", "minItems": 1, "items": True}, {"type": "array", "minItems": 1, "items": True}, []),
    ({"type": "array", "minItems": 2}, {"type": "array", "description": '{"minItems":2}'}, ["minItems"]),
    (
        {
            "type": "object",
            "properties": {"minimum": {"type": "array", "items": {"type": "object", "maxProperties": 1}}},
            "required": ["minimum"],
            "$defs": {"D": {"oneOf": [{"type": "string", "maxLength": 3}, {"$ref": "#/$defs/D"}]}},
            "additionalProperties": False,
        },
        {
            **OBJECT,
            "properties": {
                "minimum": {"type": "array", "items": {**OBJECT, "description": '{"maxProperties":1}'}},
            },
            "required": ["minimum"],
            "$defs": {
                "D": {"anyOf": [{"type": "string", "description": '{"maxLength":3}'}, {"$ref": "#/$defs/D"}]},
            },
        },
        ["properties.minimum.items.maxProperties", "$defs.D.oneOf[0].maxLength"],
    ),
    ({"anyOf": "odd", "properties": 7}, {"anyOf": "odd", "properties": 7, "additionalProperties": False}, []),
]


@pytest.mark.parametrize(("schema", "sent", "lost"), ADAPTED)
def test_what_a_grammar_cannot_hold_moves_into_the_description(
    schema: dict[str, Any], sent: dict[str, Any], lost: list[str]
) -> None:
    adapted, named = adapt(json.dumps(schema).encode())

    assert json.loads(adapted) == sent
    assert list(named) == lost


@pytest.mark.parametrize(("schema", "sent", "lost"), ADAPTED)
def test_an_adapted_schema_needs_no_adapting(schema: dict[str, Any], sent: dict[str, Any], lost: list[str]) -> None:
    assert is_strict(json.dumps(sent).encode())
    assert is_strict(json.dumps(schema).encode()) == (schema == sent)


@pytest.mark.parametrize("bad", [b"[]", b"7", b"", b"{", b"null", b'{"items":' * 9000])
def test_what_is_no_object_is_an_error(bad: bytes) -> None:
    for function in (adapt, is_strict, with_object_type):
        with pytest.raises((ValueError, RecursionError)):
            function(bad)


def test_a_schema_with_a_type_stays_as_it_is() -> None:
    assert with_object_type(b'{ "type":"object" }') == b'{ "type":"object" }'
    assert json.loads(with_object_type(b'{"properties":{}}')) == {"type": "object", "properties": {}}
