"""A YAML file as a tree that remembers where each value stands.

Scalars are read by the rules of YAML 1.2's core schema. Texts on which YAML 1.1 readers disagree (`on`, `0123`, `1_000`,
`12:30`) are refused with what to write instead. So are duplicate keys, several documents, merge keys, tags, deep nesting,
and aliases that grow into more than `MAX_NODES` nodes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from proxy.config.problems import Origin, Problems, shown

MAX_FILE_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 24
"""Real configurations nest 6 deep."""

Value = str | int | float | bool | None


class Scalar(msgspec.Struct):
    """A single value."""

    value: Value
    origin: Origin
    text: str = ""
    """As it was written."""
    is_refused: bool = False
    """It has no value, and why is a problem already."""


class Items(msgspec.Struct):
    """A list."""

    items: list["Scalar | Items | Table"]
    origin: Origin


class Table(msgspec.Struct):
    """Keys and values."""

    entries: dict[str, "Scalar | Items | Table"]
    origin: Origin
    keys: dict[str, Origin] = {}
    """Where each key stands."""

    def put(self, key: str, node: "Node", origin: Origin) -> None:
        """Set or replace one entry."""
        self.entries[key] = node
        self.keys[key] = origin


Node = Scalar | Items | Table

PathPart = str | int
KeyPath = tuple[PathPart, ...]


def path_text(path: KeyPath) -> str:
    """`providers[0].timeouts.idle_s`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def origin_at(root: Table, path: KeyPath) -> Origin:
    """Where the value at `path` stands, or the nearest thing around it."""
    return _follow(root, path)[0].origin


def has_path(root: Table, path: KeyPath) -> bool:
    """Whether something stands at `path`."""
    return _follow(root, path)[1]


def _follow(root: Table, path: KeyPath) -> tuple[Node, bool]:
    """The last node along `path`, and whether the path was followed to its end."""
    node: Node = root
    for part in path:
        if isinstance(node, Table) and isinstance(part, str) and part in node.entries:
            node = node.entries[part]
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return node, False
    return node, True


# --- plain scalars

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOL = {**dict.fromkeys(("y", "yes", "on"), "true"), **dict.fromkeys(("n", "no", "off"), "false")}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_SPECIAL_FLOAT = {"inf": float("inf"), "+inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_OTHER_BASE = re.compile(r"[-+]?0[bo][0-9_]+", re.IGNORECASE)
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")


class AmbiguousScalarError(Exception):
    """Readers of YAML disagree on the text; the message says what to write."""


def read_plain(text: str) -> Value:
    """The value of an unquoted scalar. Raises AmbiguousScalarError."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    _refuse_ambiguous(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    lower = text.lower()
    if lower.endswith((".inf", ".nan")) and lower.replace(".", "", 1) in _SPECIAL_FLOAT:
        return _SPECIAL_FLOAT[lower.replace(".", "", 1)]
    return text


def _refuse_ambiguous(text: str) -> None:
    old_bool = _OLD_BOOL.get(text.lower())
    if old_bool is not None:
        raise AmbiguousScalarError(
            f"{shown(text)} is a truth value to some YAML readers and text to others; write {old_bool}, or quote it"
        )
    if _LEADING_ZERO.fullmatch(text):
        plain = text.replace("_", "").lstrip("+-0") or "0"
        raise AmbiguousScalarError(
            f"{shown(text)} has a leading zero, which makes it octal to some YAML readers; write {plain}, or quote it"
        )
    if _OTHER_BASE.fullmatch(text):
        raise AmbiguousScalarError(
            f"{shown(text)} is a number only to some YAML readers; write it as decimal, or quote it"
        )
    if _UNDERSCORES.fullmatch(text):
        plain = text.replace("_", "")
        raise AmbiguousScalarError(f"{shown(text)} is a number only to some YAML readers; write {plain}, or quote it")
    if _SIXTIES.fullmatch(text):
        raise AmbiguousScalarError(f"{shown(text)} is a number in base 60 to some YAML readers; quote it")


# --- whole files


def read_document(path: Path, name: str, problems: Problems) -> Table | None:
    """The file as a tree, `name` being what messages call it; `None` when it cannot be read at all.

    An empty file is an empty table. Problems go to `problems`.
    """
    start = Origin(name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as fault:
        problems.add(start, "", f"the file cannot be read: {fault.strerror}")
        return None
    if len(data) > MAX_FILE_BYTES:
        problems.add(start, "", f"the file is larger than {MAX_FILE_BYTES} bytes")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        problems.add(_origin_of_index(name, data.decode("latin-1"), fault.start), "", "expected UTF-8 text")
        return None
    return parse_document(text, name, problems)


def parse_document(text: str, name: str, problems: Problems) -> Table | None:
    """As `read_document`, from text."""
    node = _parse(text, name, problems)
    match node:
        case None:
            return None
        case Table():
            return node
        case Scalar(None):
            return Table({}, Origin(name, 1, 1), {})
        case _:
            problems.add(
                node.origin, "", "expected keys and values at the top of the file, such as `listen: 127.0.0.1:8080`"
            )
            return None


def parse_node(text: str, name: str, problems: Problems) -> Node:
    """Any YAML value; an empty one when it cannot be read, which goes to `problems`."""
    return _parse(text, name, problems) or Scalar(None, Origin(name))


def _parse(text: str, name: str, problems: Problems) -> Node | None:
    try:
        return _Reader(text, name, problems).document()
    except yaml.reader.ReaderError as fault:
        problems.add(
            _origin_of_index(name, text, fault.position), "", "expected printable text, got a control character"
        )
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        origin = Origin(name, mark.line + 1, mark.column + 1) if mark is not None else Origin(name)
        problems.add(origin, "", _syntax_message(fault))
    except _TooLargeError as fault:
        problems.add(fault.origin, "", fault.message)
    return None


def _origin_of_index(name: str, text: str, index: int) -> Origin:
    before = text[:index]
    return Origin(name, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _syntax_message(fault: yaml.MarkedYAMLError) -> str:
    problem = fault.problem or "unreadable"
    if "cannot start any token" in problem and "\\t" in problem:
        return "found a tab; indent with spaces"
    context = f" ({fault.context})" if fault.context else ""
    return f"not valid YAML: {problem}{context}"


class _TooLargeError(Exception):
    def __init__(self, origin: Origin, message: str) -> None:
        super().__init__(message)
        self.origin = origin
        self.message = message


class _Reader:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str, name: str, problems: Problems) -> None:
        self._events: Iterator[Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._name = name
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        """The single document; an empty scalar for an empty file."""
        node: Node = Scalar(None, Origin(self._name, 1, 1))
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    message = "expected a single document, got another one"
                    self._problems.add(self._origin(event), "", message)
            elif isinstance(event, NodeEvent):
                found = self._node(event, ())
                node = found if documents == 1 else node
        return node

    def _node(self, event: Event, path: KeyPath) -> Node:
        origin = self._origin(event)
        self._grow(origin)
        if len(path) > MAX_DEPTH:
            raise _TooLargeError(origin, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, AliasEvent):
            return self._alias(event, origin, path)
        node = self._fresh(event, origin, path)
        if isinstance(event, NodeEvent) and event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _fresh(self, event: Event, origin: Origin, path: KeyPath) -> Node:
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
            self._problems.add(origin, path_text(path), f"tags such as {shown(event.tag)} are not accepted")
            if isinstance(event, ScalarEvent):
                return Scalar(None, origin, is_refused=True)
        match event:
            case ScalarEvent():
                return self._scalar(event, origin, path)
            case SequenceStartEvent():
                return self._items(origin, path)
            case _:
                return self._table(origin, path)

    def _scalar(self, event: ScalarEvent, origin: Origin, path: KeyPath) -> Scalar:
        text = str(event.value)
        if event.style is not None:
            return Scalar(text, origin, text)
        try:
            return Scalar(read_plain(text), origin, text)
        except AmbiguousScalarError as fault:
            self._problems.add(origin, path_text(path), str(fault))
            return Scalar(None, origin, text, is_refused=True)

    def _items(self, origin: Origin, path: KeyPath) -> Items:
        node = Items([], origin)
        while not isinstance(event := next(self._events), SequenceEndEvent):
            node.items.append(self._node(event, (*path, len(node.items))))
        return node

    def _table(self, origin: Origin, path: KeyPath) -> Table:
        table = Table({}, origin, {})
        while not isinstance(event := next(self._events), MappingEndEvent):
            where = self._origin(event)
            if not isinstance(event, ScalarEvent):
                self._node(event, (*path, "?"))
                self._node(next(self._events), (*path, "?"))
                self._problems.add(where, path_text(path), "expected a key that is a single word")
                continue
            key = str(event.value)
            value = self._node(next(self._events), (*path, key))
            if key == "<<":
                self._problems.add(where, path_text(path), "merge keys (`<<`) are not accepted; write the keys out")
            elif key in table.entries:
                message = f"given twice; the first is in line {table.keys[key].line}"
                self._problems.add(where, path_text((*path, key)), message)
            else:
                table.put(key, value, where)
        return table

    def _alias(self, event: AliasEvent, origin: Origin, path: KeyPath) -> Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            self._problems.add(
                origin, path_text(path), f"the alias {shown(f'*{event.anchor}')} has no anchor before it"
            )
            return Scalar(None, origin)
        return self._copy(node)

    def _copy(self, node: Node) -> Node:
        """An alias's own copy, so that changing one place later does not change the other."""
        self._grow(node.origin)
        match node:
            case Scalar():
                return node
            case Items():
                return Items([self._copy(item) for item in node.items], node.origin)
            case Table():
                entries = {key: self._copy(value) for key, value in node.entries.items()}
                return Table(entries, node.origin, dict(node.keys))

    def _grow(self, origin: Origin) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise _TooLargeError(origin, f"more than {MAX_NODES} values, aliases written out")

    def _origin(self, event: Event) -> Origin:
        mark = event.start_mark
        return Origin(self._name, mark.line + 1, mark.column + 1) if mark is not None else Origin(self._name)
