"""The effective configuration as YAML: secrets masked, and where each value came from as a comment."""

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from proxy.config.document import AmbiguousScalarError, KeyPath, has_path, origin_at, read_plain
from proxy.config.load import Loaded
from proxy.config.secret import Secret
from proxy.redaction import Redactor

_COMMENT_COLUMN = 64
_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*(?<!:)")


def print_config(loaded: Loaded) -> str:
    """A file that would configure the same, with the origin of each value. Keys that are not given are left out."""
    # Struct in, dict out: that is what to_builtins does.
    values = cast("dict[str, object]", msgspec.to_builtins(loaded.config, enc_hook=_reference))
    printer = _Printer(loaded)
    printer.section((), values, indent="", first="")
    return Redactor(loaded.secrets).redact("\n".join(printer.lines) + "\n")


def _reference(value: object) -> object:
    assert isinstance(value, Secret)
    return value.reference


class _Printer:
    def __init__(self, loaded: Loaded) -> None:
        self._root = loaded.root
        self.lines: list[str] = []

    def section(self, path: KeyPath, values: Mapping[str, object], *, indent: str, first: str) -> None:
        """The keys of one section, each line beginning with `indent`, the first one with `first`."""
        start = first
        for key, value in values.items():
            at = (*path, key)
            if value is None or ("quirks" in path and not has_path(self._root, at)):
                continue
            self._entry(at, f"{start}{_word(key)}:", value, indent)
            start = indent

    def _entry(self, path: KeyPath, start: str, value: object, indent: str) -> None:
        leaf = value
        empty: dict[str, object] = {}
        if isinstance(value, dict):
            inner = cast("dict[str, object]", value)  # keys are those of structs and headers
            if self._has_lines(path, inner):
                self.lines.append(start)
                self.section(path, inner, indent=indent + _INDENT, first=indent + _INDENT)
                return
            leaf = empty
        if isinstance(value, tuple) and value and isinstance(value[0], dict):
            self.lines.append(start)
            for index, item in enumerate(cast("tuple[dict[str, object], ...]", value)):  # lists of structs
                self.section((*path, index), item, indent=indent + _INDENT * 2, first=f"{indent}{_INDENT}- ")
            return
        origin = origin_at(self._root, path) if has_path(self._root, path) else "default"
        self.lines.append(f"{start} {_word(leaf)}".ljust(_COMMENT_COLUMN) + f"  # {origin}")

    def _has_lines(self, path: KeyPath, inner: Mapping[str, object]) -> bool:
        if path[-1] == "quirks":
            return any(has_path(self._root, (*path, key)) for key in inner)
        return any(item is not None for item in inner.values())


def _word(value: object) -> str:
    """A scalar or a flat list: plain where every reader agrees on it, else as JSON, which is YAML too."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        try:
            if read_plain(value) == value:
                return value
        except AmbiguousScalarError:
            pass
    return msgspec.json.encode(value).decode()
