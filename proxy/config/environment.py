"""Overrides from the environment: `LLM_STREAM_PROXY_TIMEOUTS__IDLE_S=5` sets `timeouts.idle_s`.

Two underscores go one level deeper. Items of a list are meant by number or by name
(`…_PROVIDERS__OPENAI__BASE_URL`, `…_PROVIDERS__0__BASE_URL`); characters that no variable can have are underscores
there. Values are YAML scalars, or whole lists and sections in brackets; lists of texts may be separated by commas.
An empty variable counts as not set.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec
import msgspec.inspect as types

from proxy.config.document import AmbiguousScalarError, Items, Node, Scalar, Table, parse_node, read_plain
from proxy.config.problems import Origin, Problems, did_you_mean, listed
from proxy.config.shape import plain_type, settings_type

PREFIX = "LLM_STREAM_PROXY_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""Names the configuration file, as `--config` does."""

_SERVICE_LINK = re.compile(
    r"(?:[A-Z0-9]+_)*(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes sets in every pod beside a Service named `llm-stream-proxy`; nobody meant these for us."""

_INDEX = re.compile("[0-9]{1,5}")
_NOT_IN_VARIABLES = re.compile(r"[^A-Z0-9]")


class Override(msgspec.Struct, frozen=True):
    """One variable."""

    variable: str
    parts: tuple[str, ...]
    text: str

    @property
    def origin(self) -> Origin:
        """The variable, as `$NAME`."""
        return Origin(f"${self.variable}")


def find_overrides(environ: Mapping[str, str]) -> list[Override]:
    """The overrides in `environ`, whole sections before what lies in them."""
    found = [
        Override(variable, tuple(variable.removeprefix(PREFIX).split("__")), text)
        for variable, text in environ.items()
        if variable.startswith(PREFIX)
        and text
        and variable != CONFIG_VARIABLE
        and _SERVICE_LINK.fullmatch(variable.removeprefix(PREFIX)) is None
    ]
    return sorted(found, key=lambda one: (len(one.parts), one.variable))


def apply_override(root: Table, override: Override, problems: Problems) -> None:
    """Put one override into the tree."""
    _Walk(override, problems).apply(root)


class _Walk:
    def __init__(self, override: Override, problems: Problems) -> None:
        self._override = override
        self._origin = override.origin
        self._problems = problems

    def apply(self, root: Table) -> None:
        """Go down from `root` and set what the last part names."""
        node: Node = root
        kind: types.Type = settings_type()
        parts = self._override.parts
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            match kind:
                case types.StructType():
                    step = self._into_struct(node, kind, part, index, is_last=is_last)
                case types.VarTupleType(item_type):
                    step = self._into_list(node, item_type, part, is_last=is_last)
                case types.DictType(_, value_type):
                    step = self._into_table(node, value_type, part.lower().replace("_", "-"), is_last=is_last)
                case _:
                    raise AssertionError(f"nothing leads into {kind}")
            if step is None:
                return
            node, kind = step

    def _into_struct(
        self, node: Node, kind: types.StructType, part: str, index: int, *, is_last: bool
    ) -> tuple[Node, types.Type] | None:
        fields = {field.encode_name: field for field in kind.fields}
        field = fields.get(part.lower())
        if field is None:
            before = "__".join((*self._override.parts[:index], ""))
            variables = [f"{PREFIX}{before}{name}".upper() for name in fields]
            hint = did_you_mean(self._override.variable, variables, otherwise=f"; known here: {listed(fields, 30)}")
            self._refuse(f"unknown key {part.lower()!r}{hint}")
            return None
        return self._into_table(node, field.type, field.encode_name, is_last=is_last)

    def _into_table(self, node: Node, kind: types.Type, key: str, *, is_last: bool) -> tuple[Node, types.Type] | None:
        if not isinstance(node, Table):
            self._refuse("the file has something else than a section there")
            return None
        plain, _ = plain_type(kind)
        if is_last:
            node.put(key, self._value(plain), self._origin)
            return None
        if not isinstance(plain, types.StructType | types.VarTupleType | types.DictType):
            self._refuse(f"{key!r} is no section, so there is nothing below it")
            return None
        inner = node.entries.get(key)
        if inner is None or (isinstance(inner, Scalar) and inner.value is None):
            inner = Items([], self._origin) if isinstance(plain, types.VarTupleType) else Table({}, self._origin, {})
            node.put(key, inner, self._origin)
        return inner, plain

    def _into_list(
        self, node: Node, item_type: types.Type, part: str, *, is_last: bool
    ) -> tuple[Node, types.Type] | None:
        if not isinstance(node, Items):
            self._refuse("the file has something else than a list there")
            return None
        index = int(part) if _INDEX.fullmatch(part) else self._index_of_name(node, part)
        plain, _ = plain_type(item_type)
        if index is None:
            names = [_variable_part(name) for name in _item_names(node)]
            self._refuse(f"no item {part!r} there{did_you_mean(part, names, otherwise=f'; known: {listed(names)}')}")
            return None
        if index > len(node.items):
            self._refuse(f"the list has {len(node.items)} items, so the next is number {len(node.items)}")
            return None
        if not is_last and not isinstance(plain, types.StructType):
            self._refuse("items of this list have nothing below them")
            return None
        if index == len(node.items):
            node.items.append(Table({}, self._origin, {}))
        if is_last:
            node.items[index] = self._value(plain)
            return None
        return node.items[index], plain

    def _index_of_name(self, node: Items, part: str) -> int | None:
        for index, item in enumerate(node.items):
            name = item.entries.get("name") if isinstance(item, Table) else None
            if isinstance(name, Scalar) and _variable_part(name.text) == part.upper():
                return index
        return None

    def _value(self, kind: types.Type) -> Node:
        text, origin = self._override.text, self._origin
        match kind:
            case types.StrType() | types.CustomType():
                return Scalar(text, origin, text)
            case types.StructType() | types.DictType():
                return parse_node(text, origin.source, self._problems)
            case types.VarTupleType(item_type):
                if text.lstrip().startswith("[") or not isinstance(plain_type(item_type)[0], types.StrType):
                    return parse_node(text, origin.source, self._problems)
                return Items([Scalar(part.strip(), origin, part.strip()) for part in text.split(",")], origin)
            case _:
                try:
                    return Scalar(read_plain(text), origin, text)
                except AmbiguousScalarError:
                    return Scalar(text, origin, text)

    def _refuse(self, message: str) -> None:
        self._problems.add(self._origin, "", message)


def _variable_part(name: str) -> str:
    return _NOT_IN_VARIABLES.sub("_", name.upper())


def _item_names(node: Items) -> Iterable[str]:
    for item in node.items:
        name = item.entries.get("name") if isinstance(item, Table) else None
        if isinstance(name, Scalar) and name.text:
            yield name.text
