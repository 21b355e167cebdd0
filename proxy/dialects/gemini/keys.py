"""JSON objects whose keys come in camelCase or in snake_case.

The API reads proto3 JSON, which knows every field by both names, and google-genai itself mixes them in one request. A
field that may be repeated may also come alone, without its array. Only keys that are field names are read this way: the
names of a schema's properties and of a call's arguments are the caller's.
"""

import re
from typing import TypeVar

import msgspec

from proxy.dialects.json_body import Fields, read

T = TypeVar("T")

_FIELDS = msgspec.json.Decoder(Fields)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_UNDERSCORE = re.compile(r"_([a-z0-9])")


def camel(key: str) -> str:
    """`system_instruction` as `systemInstruction`."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), key)


def read_fields(json: bytes | msgspec.Raw, path: str) -> Fields:
    """The object at `path` by camelCase names. Where it has both spellings of a field, the camelCase one counts."""
    fields = read(_FIELDS, json, path)
    if not any("_" in key for key in fields):
        return fields
    renamed = {camel(key): raw for key, raw in fields.items()}
    return renamed | {key: raw for key, raw in fields.items() if "_" not in key}


def read_object(decoder: msgspec.json.Decoder[T], json: bytes | msgspec.Raw, path: str) -> T:
    """The object at `path`, typed. Raises CallerError naming the field."""
    if b"_" in bytes(json):
        json = msgspec.json.encode(read_fields(json, path))
    return read(decoder, json, path)


def read_many(json: msgspec.Raw, path: str) -> list[tuple[msgspec.Raw, str]]:
    """The items of a repeated field, each with its path; nothing when it is absent or null."""
    if not is_given(json):
        return []
    if bytes(json).lstrip()[:1] != b"[":
        return [(json, path)]
    items: list[msgspec.Raw] = read(_LIST, json, path)
    return [(item, f"{path}[{number}]") for number, item in enumerate(items)]


def is_given(json: msgspec.Raw) -> bool:
    """Whether a field is there and not null."""
    return bool(json) and bytes(json) != b"null"
