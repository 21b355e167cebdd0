"""Gemini's own schema objects as JSON Schema.

`parameters` and `responseSchema` hold an OpenAPI subset in proto3 JSON: types in upper case, `nullable`, numbers that may
be strings, keys in either spelling. `parametersJsonSchema` and `responseJsonSchema` are JSON Schema already and never
come here. Values that need no change keep their bytes.
"""

import re
from collections.abc import Callable

import msgspec

from proxy.dialects.gemini.keys import camel, is_given
from proxy.dialects.json_body import Fields, read

_FIELDS = msgspec.json.Decoder(Fields)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TYPE = msgspec.json.Decoder(str | list[str])
_FLAG = msgspec.json.Decoder(bool, strict=False)
_QUOTED_NUMBER = re.compile(rb'"(-?\d{1,18})"')

_NULL_TYPE = msgspec.Raw(b'{"type":"null"}')

SKIPPED = frozenset({"nullable", "propertyOrdering"})
"""What JSON Schema says otherwise, or has no word for."""
RENAMED = {"defs": "$defs", "ref": "$ref", "example": "examples"}


def json_schema(schema: msgspec.Raw, path: str) -> bytes:
    """`schema` as JSON Schema. Raises CallerError where it is no schema."""
    return bytes(_schema(schema, path))


def _schema(schema: msgspec.Raw, path: str) -> msgspec.Raw:
    if bytes(schema)[:1] != b"{":
        # `true`, `false` or a fault: the provider's to judge.
        return schema
    found: Fields = {}
    for key, value in read(_FIELDS, schema, path).items():
        name = camel(key)
        name = RENAMED.get(name, name)
        if not is_given(value) and name != "default":
            continue
        if name == "nullable":
            found[name] = value
        elif name not in SKIPPED and not (name == "format" and bytes(value) == b'"enum"'):
            found[name] = _keyword(name, value, f"{path}.{key}")
    if found.pop("nullable", None) is not None and _is_nullable(schema, path):
        found = _nullable(found)
    return msgspec.Raw(msgspec.json.encode(found))


def _keyword(name: str, value: msgspec.Raw, path: str) -> msgspec.Raw:
    reader = KEYWORDS.get(name)
    return value if reader is None else reader(value, path)


def _type(value: msgspec.Raw, path: str) -> msgspec.Raw:
    types = read(_TYPE, value, path)
    lowered = types.lower() if isinstance(types, str) else [each.lower() for each in types]
    return msgspec.Raw(msgspec.json.encode(lowered))


def _by_name(value: msgspec.Raw, path: str) -> msgspec.Raw:
    schemas = {name: _schema(each, f"{path}.{name}") for name, each in read(_FIELDS, value, path).items()}
    return msgspec.Raw(msgspec.json.encode(schemas))


def _list(value: msgspec.Raw, path: str) -> msgspec.Raw:
    items: list[msgspec.Raw] = read(_LIST, value, path)
    schemas = [_schema(each, f"{path}[{number}]") for number, each in enumerate(items)]
    return msgspec.Raw(msgspec.json.encode(schemas))


def _number(value: msgspec.Raw, _path: str) -> msgspec.Raw:
    """int64 fields come as strings."""
    quoted = _QUOTED_NUMBER.fullmatch(bytes(value))
    return value if quoted is None else msgspec.Raw(quoted[1])


def _examples(value: msgspec.Raw, _path: str) -> msgspec.Raw:
    return value if bytes(value)[:1] == b"[" else msgspec.Raw(b"[" + bytes(value) + b"]")


KEYWORDS: dict[str, Callable[[msgspec.Raw, str], msgspec.Raw]] = {
    "type": _type,
    "properties": _by_name,
    "patternProperties": _by_name,
    "$defs": _by_name,
    "definitions": _by_name,
    "items": _schema,
    "additionalProperties": _schema,
    "not": _schema,
    "anyOf": _list,
    "oneOf": _list,
    "allOf": _list,
    "prefixItems": _list,
    "examples": _examples,
    "minItems": _number,
    "maxItems": _number,
    "minLength": _number,
    "maxLength": _number,
    "minProperties": _number,
    "maxProperties": _number,
}
"""How a keyword's value is read; others are taken over as they are."""


def _is_nullable(schema: msgspec.Raw, path: str) -> bool:
    fields = read(_FIELDS, schema, path)
    return read(_FLAG, fields["nullable"], f"{path}.nullable")


def _nullable(found: Fields) -> Fields:
    """`found` with null among what it allows."""
    if "anyOf" in found:
        found["anyOf"] = msgspec.Raw(msgspec.json.encode([*_LIST.decode(found["anyOf"]), _NULL_TYPE]))
    if "type" in found:
        types = _TYPE.decode(found["type"])
        named = [types] if isinstance(types, str) else types
        found["type"] = msgspec.Raw(msgspec.json.encode([*named, "null"] if "null" not in named else named))
    if "enum" in found and bytes(found["enum"])[:1] == b"[":
        values = _LIST.decode(found["enum"])
        if all(bytes(value) != b"null" for value in values):
            found["enum"] = msgspec.Raw(msgspec.json.encode([*values, None]))
    return found
