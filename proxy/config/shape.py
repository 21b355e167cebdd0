"""Whether a tree has the shape of the settings: every wrong key, type and bound at once, each where it stands.

msgspec would stop at the first fault and know no positions, so this walks the same type information
(`msgspec.inspect`) along the tree. What it gives back converts without faults, so that the meaning of the rest can be
checked as well: a wrong value is left out, and where one is required `PLACEHOLDER` stands in for it.
"""

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast

import msgspec
import msgspec.inspect as types

from proxy.config.document import Items, KeyPath, Node, Scalar, Table, path_text
from proxy.config.problems import Origin, Problems, did_you_mean, listed, shown
from proxy.config.secret import (
    CALLERS_KEY,
    NO_KEY,
    Secret,
    SecretUnavailableError,
    is_reference,
    resolve_reference,
)
from proxy.config.settings import Config

Builtin = str | int | float | bool | Secret | list["Builtin"] | dict[str, "Builtin"]

PLACEHOLDER = "x" * 64
"""Stands where a required text was wrong. Has the shape of a name; no real one looks like this."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|sec|seconds?|m|min|minutes?|h|hours?)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmg])(i?)b?", re.IGNORECASE)
_SIZE_POWER = {"k": 1, "m": 2, "g": 3}
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_TRUTH = {**dict.fromkeys(("yes", "on", "1", "y"), "true"), **dict.fromkeys(("no", "off", "0", "n"), "false")}


@cache
def settings_type() -> types.StructType:
    """The type information of `Config`."""
    found = types.type_info(Config)
    assert isinstance(found, types.StructType)
    return found


def plain_type(kind: types.Type) -> tuple[types.Type, Mapping[str, object]]:
    """A field's type without `| None`, and the marks that its annotation bears."""
    if isinstance(kind, types.UnionType):
        kind = next(one for one in kind.types if not isinstance(one, types.NoneType))
    if not isinstance(kind, types.Metadata):
        return kind, {}
    # msgspec declares a bare dict; our own annotations fill it.
    return kind.type, cast("dict[str, object]", kind.extra or {})  # pyright: ignore[reportUnknownMemberType]


@cache
def _homes() -> Mapping[str, str]:
    """Every key below the top with the section that it belongs to: `idle_s` -> `timeouts`."""
    homes: dict[str, str] = {}
    for field in settings_type().fields:
        kind, _ = plain_type(field.type)
        if isinstance(kind, types.StructType):
            for inner in kind.fields:
                homes.setdefault(inner.encode_name, field.encode_name)
    return homes


class ShapeChecker:
    """One walk along a tree."""

    def __init__(self, problems: Problems, environ: Mapping[str, str], directory: Path) -> None:
        self._problems = problems
        self._environ = environ
        self._directory = directory
        self.damaged: set[str] = set()
        """Paths of sections and items in which something was wrong."""

    def check(self, root: Table) -> Builtin:
        """`root` as builtins that convert to `Config`, references resolved."""
        return self._struct(root, settings_type(), ()) or {}

    def _value(self, node: Node, kind: types.Type, path: KeyPath) -> Builtin | None:
        """The builtin for `node`; `None` when it was wrong, which has then been reported."""
        if isinstance(node, Scalar) and node.is_refused:
            return None
        plain, marks = plain_type(kind)
        match plain:
            case types.StructType():
                return self._struct(node, plain, path)
            case types.VarTupleType(item_type):
                return self._items(node, item_type, plain.min_length or 0, path)
            case types.DictType(_, value_type):
                return self._dict(node, value_type, path)
            case types.CustomType():
                return self._secret(node, marks, path)
            case _:
                return self._scalar(node, plain, marks, path)

    # --- containers

    def _struct(self, node: Node, kind: types.StructType, path: KeyPath) -> dict[str, Builtin] | None:
        if not isinstance(node, Table):
            self._wrong(node, path, f"expected keys and values ({listed(_names(kind), 6)})")
            return None
        fields = {field.encode_name: field for field in kind.fields}
        found: dict[str, Builtin] = {}
        for key, value in node.entries.items():
            field = fields.get(key)
            if field is None:
                self._unknown_key(node.keys[key], key, fields, path)
            elif not _is_absent(value) or field.required:
                builtin = self._value(value, field.type, (*path, key))
                if builtin is not None:
                    found[key] = builtin
                else:
                    self.damaged.add(path_text(path))
        self._add_missing(node, kind, found, path)
        return found

    def _add_missing(self, node: Table, kind: types.StructType, found: dict[str, Builtin], path: KeyPath) -> None:
        for field in kind.fields:
            name = field.encode_name
            if not field.required or name in found:
                continue
            if name not in node.entries:
                self._problems.add(node.origin, path_text(path), f"{name!r} is missing")
            self.damaged.add(path_text(path))
            stand_in = _placeholder(field.type)
            assert stand_in is not None, "required settings are texts, lists or sections"
            found[name] = stand_in

    def _unknown_key(self, origin: Origin, key: str, fields: Mapping[str, types.Field], path: KeyPath) -> None:
        home = _homes().get(key)
        if not path and home is not None:
            hint = f"; did you mean '{home}.{key}'?"
        else:
            hint = did_you_mean(key, fields, otherwise=f"; known here: {listed(fields, 30)}")
        self._problems.add(origin, path_text((*path, key)), f"unknown key {shown(key)}{hint}")

    def _items(self, node: Node, item_type: types.Type, min_length: int, path: KeyPath) -> Builtin | None:
        if isinstance(node, Table):
            plain, _ = plain_type(item_type)
            is_named = isinstance(plain, types.StructType) and "name" in _names(plain)
            hint = "; write each as an item, `- name: …`" if is_named else ""
            return self._wrong(node, path, "expected a list", hint)
        if not isinstance(node, Items):
            return self._wrong(node, path, "expected a list", f"; write [{node.text}]" if node.text else "")
        if len(node.items) < min_length:
            self._problems.add(node.origin, path_text(path), f"expected at least {min_length} item, got none")
            self.damaged.add(path_text(path))
            return None
        items: list[Builtin] = []
        for index, item in enumerate(node.items):
            builtin = self._value(item, item_type, (*path, index))
            if builtin is None:
                self.damaged.add(path_text((*path, index)))
                builtin = _placeholder(item_type)
            if builtin is not None:
                items.append(builtin)
        return items

    def _dict(self, node: Node, value_type: types.Type, path: KeyPath) -> Builtin | None:
        if not isinstance(node, Table):
            return self._wrong(node, path, "expected keys and values")
        found: dict[str, Builtin] = {}
        for key, value in node.entries.items():
            builtin = self._value(value, value_type, (*path, key))
            if builtin is not None:
                found[key] = builtin
        return found

    # --- scalars

    def _scalar(self, node: Node, kind: types.Type, marks: Mapping[str, object], path: KeyPath) -> Builtin | None:
        match kind:
            case types.StrType():
                return self._text(node, kind, marks, path)
            case types.IntType() | types.FloatType():
                return self._number(node, kind, path)
            case types.BoolType():
                return self._bool(node, path)
            case types.EnumType(cls):
                return self._choice(node, [str(member.value) for member in cls], path)
            case types.LiteralType(values):
                return self._choice(node, [str(value) for value in values], path)
            case _:
                raise AssertionError(f"settings use a type that is not checked: {kind}")

    def _text(self, node: Node, kind: types.StrType, marks: Mapping[str, object], path: KeyPath) -> Builtin | None:
        expected = str(marks.get("expected", "text"))
        text = self._text_of(node)
        if text is None and isinstance(node, Scalar) and marks.get("is_raw"):
            text = node.text
        if text is None:
            hint = f'; quote it: "{node.text}"' if isinstance(node, Scalar) and node.text else ""
            return self._wrong(node, path, f"expected {expected}", hint)
        if kind.pattern is not None and re.search(kind.pattern, text) is None:
            return self._wrong(node, path, f"expected {expected}")
        if len(text) < (kind.min_length or 0):
            return self._wrong(node, path, f"expected {expected}, not empty")
        if kind.max_length is not None and len(text) > kind.max_length:
            return self._wrong(node, path, f"expected {expected} of at most {kind.max_length} characters")
        if not text.isprintable():
            return self._wrong(node, path, f"expected {expected} without line breaks and control characters")
        return str(self._directory / text) if marks.get("is_path") else text

    def _text_of(self, node: Node) -> str | None:
        """The text of a scalar. What comes from a variable or a flag is text whatever it looks like."""
        if not isinstance(node, Scalar):
            return None
        if isinstance(node.value, str):
            return node.value
        return node.text if node.text and not node.origin.line else None

    def _number(self, node: Node, kind: types.IntType | types.FloatType, path: KeyPath) -> Builtin | None:
        expected = f"expected {_number_words(kind)}"
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str):
            return self._wrong(node, path, expected, _number_hint(value, path))
        if value is None or isinstance(value, bool) or not math.isfinite(value):
            return self._wrong(node, path, expected)
        if isinstance(kind, types.IntType) and isinstance(value, float):
            return self._wrong(node, path, expected, f"; write {int(value)}" if value.is_integer() else "")
        if not _is_within(value, kind):
            return self._wrong(node, path, expected)
        return value

    def _bool(self, node: Node, path: KeyPath) -> Builtin | None:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool):
            return value
        word = _TRUTH.get(str(value).lower())
        return self._wrong(node, path, "expected true or false", f"; write {word}" if word else "")

    def _choice(self, node: Node, choices: list[str], path: KeyPath) -> Builtin | None:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and value in choices:
            return value
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        return self._wrong(node, path, f"expected one of {', '.join(choices)}", hint)

    def _secret(self, node: Node, marks: Mapping[str, object], path: KeyPath) -> Builtin | None:
        text = self._text_of(node)
        if text is None:
            what = "a text, env:NAME or file:PATH" if marks.get("literal") else "env:NAME or file:PATH"
            self._problems.add(node.origin, path_text(path), f"expected {what}, got something else (not shown)")
            return None
        if marks.get("words") and text in (NO_KEY, CALLERS_KEY):
            return Secret(text, "")
        if marks.get("literal") and not is_reference(text):
            if not text.isprintable():
                self._problems.add(
                    node.origin, path_text(path), "expected text without line breaks and control characters"
                )
            return Secret(text, text, is_literal=True)
        try:
            return resolve_reference(text, self._environ, self._directory)
        except SecretUnavailableError as fault:
            self._problems.add(node.origin, path_text(path), str(fault))
            return None

    def _wrong(self, node: Node, path: KeyPath, expected: str, hint: str = "") -> Builtin | None:
        self._problems.add(node.origin, path_text(path), f"{expected}, got {_got(node)}{hint}")
        return None


def _names(kind: types.StructType) -> list[str]:
    return [field.encode_name for field in kind.fields]


def _placeholder(kind: types.Type) -> Builtin | None:
    """Something that converts, in place of a required value or a list item that was wrong; `None`: it may be left out."""
    plain, _ = plain_type(kind)
    match plain:
        case types.StructType():
            required = {field.encode_name: _placeholder(field.type) for field in plain.fields if field.required}
            return {name: value for name, value in required.items() if value is not None}
        case types.VarTupleType(item_type):
            item = _placeholder(item_type)
            return [item] * (plain.min_length or 0) if item is not None else []
        case types.StrType():
            return PLACEHOLDER
        case _:
            return None


def _is_absent(node: Node) -> bool:
    """A key without a value, such as a section whose every line is commented out, counts as not given."""
    return isinstance(node, Scalar) and node.value is None and not node.is_refused


def _got(node: Node) -> str:
    match node:
        case Table():
            return "keys and values"
        case Items():
            return "a list"
        case Scalar():
            return shown(node.value)


def _number_words(kind: types.IntType | types.FloatType) -> str:
    words = "a whole number" if isinstance(kind, types.IntType) else "a number"
    if kind.ge is not None and kind.le is not None:
        return f"{words} from {kind.ge} to {kind.le}"
    if kind.gt is not None and kind.le is not None:
        return f"{words} above {kind.gt} and at most {kind.le}"
    return words


def _is_within(value: float, kind: types.IntType | types.FloatType) -> bool:
    return not (
        (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
    )


def _number_hint(text: str, path: KeyPath) -> str:
    """What to write in place of `"30"`, `5m` or `32MB`."""
    if _NUMBER.fullmatch(text):
        return f"; write {text} without quotes"
    name = str(path[-1])
    duration = _DURATION.fullmatch(text)
    if duration is not None and name.endswith(("_s", "_ms")):
        unit = duration[2].lower()
        seconds = float(duration[1]) * _SECONDS["ms" if unit == "ms" else unit[0]]
        return f"; write {seconds if name.endswith('_s') and not name.endswith('_ms') else seconds * 1000:g}"
    size = _SIZE.fullmatch(text)
    if size is not None and name.endswith("_bytes"):
        base = 1024 if size[3] or size[2] else 1000
        return f"; write {int(float(size[1]) * base ** _SIZE_POWER[size[2].lower()])}"
    return ""


def to_config(builtins: Builtin) -> Config:
    """The struct for builtins that `ShapeChecker` gave."""
    return msgspec.convert(builtins, Config, dec_hook=_keep)


def _keep(_type: type, value: object) -> object:
    return value
