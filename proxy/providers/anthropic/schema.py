"""JSON Schemas as Anthropic's structured outputs take them.

The service compiles a schema into a grammar and refuses what a grammar cannot say: bounds of numbers, lengths and item
counts, objects that are open. Such words move into the description, where the model at least reads them; objects are
closed. Source: docs.anthropic.com "structured outputs", "JSON Schema limitations" (read 2026-11).
"""

import msgspec

REFUSED = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "not",
)
"""Words that no grammar of theirs can hold."""

FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)

_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "allOf", "oneOf", "prefixItems")

_Schema = dict[str, msgspec.Raw]

_SCHEMA = msgspec.json.Decoder(_Schema)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)


def adapt(schema: bytes) -> tuple[bytes, tuple[str, ...]]:
    """`schema` as it may be sent, and what it lost, as paths (`properties.age.minimum`).

    Raises ValueError or RecursionError when it is no JSON object.
    """
    lost: list[str] = []
    return msgspec.json.encode(_adapt(_SCHEMA.decode(schema), "", lost)), tuple(lost)


def is_strict(schema: bytes) -> bool:
    """Whether the service can hold a model to `schema` as it is. Raises as `adapt` does."""
    adapted, lost = adapt(schema)
    return not lost and msgspec.json.decode(adapted) == msgspec.json.decode(schema)


def with_object_type(schema: bytes) -> bytes:
    """A tool's schema with `"type": "object"`, which the API requires; the same bytes when it is there.

    Raises as `adapt` does.
    """
    fields = _SCHEMA.decode(schema)
    if "type" in fields:
        return schema
    return msgspec.json.encode({"type": "object", **fields})


def _adapt(schema: _Schema, path: str, lost: list[str]) -> dict[str, object]:
    out: dict[str, object] = {}
    moved: _Schema = {}
    for word, value in schema.items():
        if _is_refused(word, value):
            moved[word] = value
            lost.append(f"{path}{word}")
        elif word != "additionalProperties":
            out["anyOf" if word == "oneOf" else word] = _adapt_value(word, value, path, lost)
    if _is_object(schema):
        if bytes(schema.get("additionalProperties", b"false")) != b"false":
            lost.append(f"{path}additionalProperties")
        out["additionalProperties"] = False
    if moved:
        description = schema.get("description")
        said = f"{_text(description)} " if description is not None else ""
        out["description"] = said + msgspec.json.encode(moved).decode()
    return out


def _is_refused(word: str, value: msgspec.Raw) -> bool:
    if word == "format":
        return _text(value) not in FORMATS
    if word == "minItems":
        return bytes(value) not in (b"0", b"1")
    return word in REFUSED


def _is_object(schema: _Schema) -> bool:
    return b'"object"' in bytes(schema.get("type", b"")) or "properties" in schema


def _adapt_value(word: str, value: msgspec.Raw, path: str, lost: list[str]) -> object:
    """The schemas inside of `value`, if the word holds any."""
    try:
        if word in _MAPS_OF_SCHEMAS:
            schemas = _SCHEMA.decode(value).items()
            return {name: _adapt_any(each, f"{path}{word}.{name}.", lost) for name, each in schemas}
        if word in _LISTS_OF_SCHEMAS:
            alternatives = enumerate(_LIST.decode(value))
            return [_adapt_any(each, f"{path}{word}[{index}].", lost) for index, each in alternatives]
        return _adapt_any(value, f"{path}{word}.", lost) if word == "items" else value
    except msgspec.ValidationError:
        return value


def _adapt_any(value: msgspec.Raw, path: str, lost: list[str]) -> object:
    """`true` and `false` are schemas too."""
    try:
        return _adapt(_SCHEMA.decode(value), path, lost)
    except msgspec.ValidationError:
        return value


def _text(value: msgspec.Raw) -> str:
    try:
        return _TEXT.decode(value)
    except msgspec.ValidationError:
        return ""
