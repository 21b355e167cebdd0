from random import Random

import pytest

from proxy.demo.schema import SchemaWriter, places_in

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18, "maximum": 30}},
    "required": ["name", "age"],
}


def value_of(schema: object, prompt: str = "", nth: int = 0) -> object:
    return SchemaWriter(Random(1), schema, prompt, nth).value()


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (PERSON, {"name": "Ada Example", "age": 24}),
        ({"type": "STRING", "enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "string", "format": "date"}, "2026-11-22"),
        ({"type": "string", "minLength": 120}, None),
        ({"type": "string", "maxLength": 2}, None),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {"const": 1}, "maxItems": 1}, [1]),
        ({"type": "ARRAY", "items": {"const": 1}, "minItems": "3"}, [1, 1, 1]),
        ({"prefixItems": [{"const": 1}, {"const": 2}], "type": "array"}, [1, 2]),
        ({"anyOf": [{"type": "null"}, {"const": 3}]}, 3),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
        ({"$defs": {"P": {"const": 5}}, "properties": {"x": {"$ref": "#/$defs/P"}}}, {"x": 5}),
        ({"type": "number", "exclusiveMinimum": 4}, 5),
        ({"type": "number", "maximum": 4}, 3),
        ({"type": "integer", "multipleOf": 5, "minimum": 1, "maximum": 9}, 5),
        ({"type": "integer", "default": 9}, 9),
        ({"type": "object"}, {}),
        (True, None),
    ],
)
def test_value_fits_its_schema(schema: object, value: object) -> None:
    found = value_of(schema)

    if value is not None or (isinstance(schema, dict) and schema.get("type") == "null"):
        assert found == value
    else:
        assert isinstance(found, str)
        assert isinstance(schema, bool) or schema.get("minLength", 0) <= len(found) <= schema.get("maxLength", 999)


def test_place_comes_from_the_prompt() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}

    assert value_of(schema, "Weather in Lima and Rome?", 0) == {"city": "Lima"}
    assert value_of(schema, "Weather in Lima and Rome?", 1) == {"city": "Rome"}


def test_places_that_nobody_knows_are_found_by_their_preposition() -> None:
    assert places_in("How is it in Trondheim, or for Bergen?") == ["Trondheim", "Bergen"]


def test_recursive_schema_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["value", "children"],
    }

    found = value_of(tree)

    assert isinstance(found, dict)
    assert isinstance(found["children"], list)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"properties": {str(n): {"$ref": "#"} for n in range(20)}, "required": [str(n) for n in range(20)]},
        {"type": "array", "minItems": 20, "items": {"$ref": "#"}},
        {"$ref": "#/nowhere"},
    ],
)
def test_schema_without_end_is_bounded(schema: object) -> None:
    value_of(schema)
