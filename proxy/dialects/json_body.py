"""A caller's JSON body as typed structs. Every fault is a CallerError that names the field, what was expected and what came.

    fields = read_fields(body)              # top-level fields, values as raw JSON; the body is checked as a whole
    chat = read_body(CHAT_DECODER, body)    # the same checks, then one typed struct
    part = read(PART_DECODER, raw, "messages[2].content[0]")    # a piece of a body that was checked before
    raise wrong("messages[2].role", "'user' or 'assistant'", role)

What is checked of a whole body: UTF-8, JSON syntax, that it is an object, that it nests at most `MAX_DEPTH` deep, and
that it gives `model` once. Structs should be flat, with optional fields, and ignore what they do not know: a field that
no struct knows is the caller's business (`unknown_fields`), a known field of a wrong type is a fault.
"""

import re
from collections.abc import Collection
from itertools import accumulate
from typing import TypeVar

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.json_text import mended

MAX_DEPTH = 128
"""Deepest nesting of objects and arrays in a body. Real tool schemas stay below 20; parsers downstream give up at 1,000 or less."""

USUAL_DEPTH = 16
"""What nearly every body keeps to."""

MAX_SHOWN = 200
"""How much of a caller's own value an error message repeats."""

T = TypeVar("T")

Fields = dict[str, msgspec.Raw]

_FIELDS_DECODER = msgspec.json.Decoder(Fields)


def read_fields(body: bytes) -> Fields:
    """The top-level fields of `body`, each value as the caller wrote it. Raises CallerError as `read_body` does."""
    return read_body(_FIELDS_DECODER, body)


def read_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The whole `body`, typed. Raises CallerError for a body that is no good JSON object and for a field of a wrong type."""
    _check_text(body)
    _check_depth(body)
    found = read(decoder, body)
    _check_one_model(body)
    return found


def read(decoder: msgspec.json.Decoder[T], json: bytes | msgspec.Raw, path: str = "") -> T:
    """`json` typed: a body, or the piece of one that stands at `path`. Raises CallerError naming the field."""
    try:
        return decoder.decode(json)
    except msgspec.ValidationError as fault:
        raise _wrong_type(str(fault), path) from fault
    except RecursionError as fault:
        raise _too_deep() from fault
    except msgspec.DecodeError as fault:
        whole = mended(bytes(json))
        if whole != bytes(json):
            return read(decoder, whole, path)
        raise _not_json(str(fault), len(whole)) from fault


def unknown_fields(fields: Fields, known: Collection[str]) -> dict[str, bytes]:
    """Those of `fields` that are not `known`, for `ChatRequest.extensions`. Nulls are left out: they say nothing."""
    return {name: bytes(raw) for name, raw in fields.items() if name not in known and bytes(raw) != b"null"}


def wrong(path: str, expected: str, came: object) -> CallerError:
    """The fault of a field whose JSON type is right and whose value is not."""
    shown = repr(came)
    if len(shown) > MAX_SHOWN:
        shown = shown[:MAX_SHOWN] + "…"
    return CallerError(ErrorKind.INVALID_REQUEST, f"{path}: expected {expected}, got {shown}", param=path)


def missing(path: str) -> CallerError:
    """The fault of a required field that is absent."""
    return CallerError(ErrorKind.INVALID_REQUEST, f"{path}: this field is required", param=path)


# --- the body as a whole


def _check_text(body: bytes) -> None:
    if not body:
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body is empty: expected a JSON object.")
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        message = f"The body is not valid UTF-8: {fault.reason} at byte {fault.start}."
        raise CallerError(ErrorKind.INVALID_REQUEST, message) from fault


_ALL_BYTES = bytes(range(256))
_AS_BRACKETS = bytes.maketrans(b"{}", b"[]")
_STEP = tuple(1 if byte in b"[{" else -1 if byte in b"]}" else 0 for byte in range(256))
_COLON = ord(":")


def _check_depth(body: bytes) -> None:
    """Nesting needs openers: nearly every body is settled by counting them.

    Of the others a few passes over their brackets take away one inner level each, which is three times faster than the
    walk that settles the rest (a 16 KB request with 20 tools: 7 against 27 microseconds).
    """
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    brackets = _structure(body, b"[]{}").translate(_AS_BRACKETS)
    for _ in range(USUAL_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH - USUAL_DEPTH:
        raise _too_deep()


def _check_one_model(body: bytes) -> None:
    """Refuse two `model` fields: readers disagree on which one counts, and access rules hang on it.

    Only a body with the word twice, or with escapes that may spell it (each letter of it is `\\u006x`), is walked.
    """
    if body.count(b'"model"') < 2 and b"\\u006" not in body:
        return
    structure = _structure(body, b"[]{}:")
    depths = accumulate(map(_STEP.__getitem__, structure))
    given = sum(1 for byte, depth in zip(structure, depths, strict=True) if depth == 1 and byte == _COLON)
    if given != len(_FIELDS_DECODER.decode(mended(body))):
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body gives a top-level field more than once.", param="model")


def _structure(body: bytes, marks: bytes) -> bytes:
    """The `marks` in `body` that stand outside its strings, in order; linear, and in C."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    kept = body.translate(None, _ALL_BYTES.translate(None, marks + b'"'))
    # Two quotes side by side enclose nothing, or end one string and begin the next: what follows is inside or outside
    # as before without them.
    return b"".join(kept.replace(b'""', b"").split(b'"')[::2])


# --- faults in words

_PLACE = re.compile(r" - at `(?:key` in `)?\$?(.*)`$")
_MISSING = re.compile(r"Object missing required field `(.*)`$")
_BYTE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)$")


def _wrong_type(fault: str, path: str) -> CallerError:
    """msgspec's words for a wrong type, with our path: "Expected `str`, got `int` - at `$.messages[0].role`"."""
    place = _PLACE.search(fault)
    if place is not None:
        path += place.group(1)
        fault = fault[: place.start()]
    path = path.removeprefix(".")
    absent = _MISSING.match(fault)
    if absent is not None:
        return missing(f"{path}.{absent.group(1)}" if path else absent.group(1))
    fault = fault.replace("`", "")[:MAX_SHOWN]
    if not path:
        return CallerError(ErrorKind.INVALID_REQUEST, f"The body is no JSON object: {_lower_first(fault)}.")
    return CallerError(ErrorKind.INVALID_REQUEST, f"{path}: {_lower_first(fault)}", param=path)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _not_json(fault: str, size: int) -> CallerError:
    found = _BYTE.search(fault)
    reason = f"{found.group(1)} at byte {found.group(2)}" if found else f"it ends too early, at byte {size}"
    return CallerError(ErrorKind.INVALID_REQUEST, f"The body is not valid JSON: {reason}.")


def _too_deep() -> CallerError:
    return CallerError(ErrorKind.INVALID_REQUEST, f"The body is nested more than {MAX_DEPTH} levels deep.")
