"""A value that a JSON Schema accepts. Deterministic, and as near to the prompt as cheap means allow.

Understood: `type` (also lists, and Gemini's upper case), `enum`, `const`, `properties`, `required`, `items`,
`prefixItems`, `anyOf`, `oneOf`, `allOf`, `$ref` into the same document, `nullable`, `default`, `examples`, `format`, and
the bounds of numbers, strings and arrays. Not understood, and so perhaps violated: `pattern`, `not`, `if`.
"""

import re
from random import Random
from typing import TypeGuard

MAX_DEPTH = 6
"""A recursive schema ends here: optional properties are left out, arrays are as short as allowed."""

HARD_DEPTH = 64
MAX_VALUES = 2_000
"""Bounds for schemas that no value satisfies: beyond them every value is null."""

JsonObject = dict[str, object]

PLACES = (
    "Oslo",
    "Paris",
    "Tokyo",
    "Nairobi",
    "Lima",
    "Toronto",
    "Berlin",
    "London",
    "Madrid",
    "Rome",
    "Sydney",
    "Delhi",
)

_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T10:15:00Z",
    "time": "10:15:00Z",
    "duration": "PT15M",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "7d0f5c1e-8a34-4c6b-9f27-0b1a2c3d4e5f",
}

_NAMED = {
    "name": "Ada Example",
    "email": "ada@example.com",
    "url": "https://example.com/",
    "path": "notes.txt",
    "file": "notes.txt",
    "file_path": "notes.txt",
    "filename": "notes.txt",
    "country": "Norway",
    "language": "en",
    "date": "2026-11-22",
    "title": "A simulated answer",
    "command": "ls",
    "unit": "celsius",
    "currency": "EUR",
}
"""What a string property of this name says. `city` and its like take the places that the prompt names."""

_PLACE_NAMES = frozenset({"city", "location", "place", "town", "destination", "origin"})
_PROMPT_NAMES = frozenset({"query", "question", "prompt", "text", "input", "message", "search", "q"})


class SchemaWriter:
    """Writes values for the schemas of one document. `nth` varies the places of parallel calls."""

    def __init__(self, chance: Random, document: object, prompt: str = "", nth: int = 0) -> None:
        self._chance = chance
        self._document = document
        self._prompt = prompt
        self._places = places_in(prompt)
        self._nth = nth
        self._values = 0

    def value(self) -> object:
        """A value of the document's own schema."""
        return self._value(self._document, "", 0)

    def _value(self, schema: object, name: str, depth: int) -> object:
        self._values += 1
        if depth > HARD_DEPTH or self._values > MAX_VALUES:
            return None
        if not is_object(schema):
            return self._string({}, name)
        if "$ref" in schema:
            return self._value(self._referenced(schema["$ref"]), name, depth + 1)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("enum", "examples"):
            if is_array(options := schema.get(key)) and options:
                return options[0]
        if is_array(parts := schema.get("allOf")):
            return self._value(_merged(schema, [self._resolved(part) for part in parts]), name, depth + 1)
        for key in ("anyOf", "oneOf"):
            if is_array(options := schema.get(key)) and options:
                return self._value(self._simplest(options, depth), name, depth + 1)
        return self._typed(schema, name, depth)

    def _typed(self, schema: JsonObject, name: str, depth: int) -> object:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(self._number(schema, whole=True))
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        properties = schema.get("properties")
        if not is_object(properties):
            return {}
        required = schema.get("required")
        needed = required if is_array(required) else []
        return {
            key: self._value(inner, key, depth + 1)
            for key, inner in properties.items()
            if key in needed or depth < MAX_DEPTH // 2
        }

    def _array(self, schema: JsonObject, name: str, depth: int) -> list[object]:
        if is_array(prefix := schema.get("prefixItems")):
            return [self._value(inner, name, depth + 1) for inner in prefix]
        least = _integer(schema, "minItems", 0)
        most = _integer(schema, "maxItems", max(least, 2))
        count = least if depth >= MAX_DEPTH else max(least, min(most, 2))
        singular = name[:-1] if name.endswith("s") else name
        return [self._value(schema.get("items"), singular, depth + 1) for _ in range(count)]

    def _number(self, schema: JsonObject, whole: bool) -> int | float:
        step = schema.get("multipleOf")
        low = _number_or(schema, "minimum", _number_or(schema, "exclusiveMinimum", None))
        high = _number_or(schema, "maximum", _number_or(schema, "exclusiveMaximum", None))
        if low is None and high is None:
            number: int | float = self._chance.randint(1, 40)
        elif low is None or high is None:
            number = low + 1 if low is not None else (high or 0) - 1
        else:
            number = (low + high) / 2
        if isinstance(step, int | float) and step > 0:
            number = -(-number // step) * step
        return int(number) if whole or number == int(number) else number

    def _string(self, schema: JsonObject, name: str) -> str:
        text = self._words(schema, name)
        text = text[: _integer(schema, "maxLength", 10_000)]
        return text.ljust(_integer(schema, "minLength", 0), "x")

    def _words(self, schema: JsonObject, name: str) -> str:
        form = schema.get("format")
        if isinstance(form, str) and form in _FORMATS:
            return _FORMATS[form]
        key = name.lower()
        if key in _PLACE_NAMES:
            places = self._places or list(PLACES)
            return places[self._nth % len(places)]
        if key in _PROMPT_NAMES and self._prompt:
            return self._prompt[:200]
        return _NAMED.get(key) or f"{name or 'text'} {self._chance.randint(1, 99)}"

    def _resolved(self, schema: object) -> object:
        for _ in range(MAX_DEPTH):
            if not is_object(schema) or "$ref" not in schema:
                return schema
            schema = self._referenced(schema["$ref"])
        return {}

    def _referenced(self, reference: object) -> object:
        """What `#/$defs/Name` points at; anything that it cannot reach accepts everything."""
        found: object = self._document
        for step in str(reference).removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if is_object(found) else None
        return found

    def _simplest(self, options: list[object], depth: int) -> object:
        """The first option that is not null; deep down the last, which ends most recursions."""
        real = [option for option in options if not (is_object(option) and option.get("type") == "null")]
        if depth >= MAX_DEPTH and len(real) < len(options):
            return {"type": "null"}
        return (real or options)[-1 if depth >= MAX_DEPTH else 0]


def places_in(prompt: str) -> list[str]:
    """The places that a prompt names: those we know, else the capitalised words after `in` and `for`."""
    known = [word for word in re.findall(r"\w+", prompt) if word in PLACES]
    return list(dict.fromkeys(known or re.findall(r"\b(?:in|for|from|to) ([A-Z]\w+)", prompt)))


def is_object(value: object) -> TypeGuard[JsonObject]:
    """JSON objects have no other keys than strings."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _type_of(schema: JsonObject) -> str:
    kind = schema.get("type")
    if is_array(kind):
        kind = next((option for option in kind if option != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _merged(schema: JsonObject, parts: list[object]) -> JsonObject:
    """The parts of an `allOf` as one schema: properties and required names add up, other keys are taken from the last."""
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        if not is_object(part):
            continue
        for key, value in part.items():
            before = merged.get(key)
            if is_object(before) and is_object(value):
                merged[key] = {**before, **value}
            elif is_array(before) and is_array(value) and key == "required":
                merged[key] = [*before, *value]
            else:
                merged[key] = value
    return merged


def _integer(schema: JsonObject, key: str, default: int) -> int:
    """Gemini writes these bounds as strings."""
    value = schema.get(key)
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return value if isinstance(value, int) else default


def _number_or(schema: JsonObject, key: str, default: float | None) -> float | None:
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default
