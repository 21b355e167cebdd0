"""Every field of every request either reaches the provider, is named as dropped, or is refused before money is spent.

A field counts as read when another value of it makes another canonical request (or is refused), and a field of the
canonical request counts as carried by a provider kind when another value makes another upstream request, when its name
stands among the dropped ones, or when the request is refused. The few that do nothing are listed with their reasons.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec
import pytest

from proxy.dialects import DIALECTS
from proxy.hub.errors import CallerError
from proxy.hub.request import ChatRequest
from proxy.providers import PROVIDERS
from proxy.providers.base import Target, UpstreamRequest
from tests.fuzz.seeds import SEEDS, requests_like
from tests.fuzz.targets import params_for
from tests.support.corpus import KIND, ROOT
from tests.support.request_losses import CARRIED_OTHERWISE, DISCRIMINATORS, OPAQUE, WITHOUT_EFFECT

Path = tuple[Any, ...]

RICH = ROOT / "tests/fixtures/requests"


# --- leaves of JSON


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that holds no other, with its path; what is the caller's own JSON (schemas, arguments) is one value."""
    if isinstance(tree, dict) and tree and not (path and path[-1] in OPAQUE):
        for name, child in tree.items():
            yield from leaves(child, (*path, name))
    elif isinstance(tree, list) and tree:
        for number, child in enumerate(tree):
            yield from leaves(child, (*path, number))
    else:
        yield path, tree


def pattern(path: Path) -> str:
    """`messages[].content[].text`"""
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def others(value: Any) -> list[Any]:
    """Other values of the same type; none for null, which is the same as absence."""
    match value:
        case None:
            return []
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1]
        case float():
            return [value + 0.25, value / 2]
        case str():
            words = [one for words in ENUMERATED if value in words for one in words if one != value]
            return [*words, value + "zz", value + "AAAA"]
        case dict():
            return [{**value, "zz": {"type": "string"}}]
        case _:
            return []


ENUMERATED = [
    ("low", "high"),
    ("auto", "none", "required", "any", "tool"),
    ("user", "assistant", "system"),
    ("AUTO", "NONE", "ANY"),
    ("json_object", "text"),
    ("image/png", "image/jpeg"),
    ("wav", "mp3"),
    ("LOW", "HIGH"),
]


def put(tree: Any, path: Path, value: Any) -> Any:
    """`tree` with another value at `path`; `...` takes it away."""
    if not path:
        return value
    copy = tree.copy()
    step, rest = path[0], path[1:]
    if not rest and value is ...:
        del copy[step]
    else:
        copy[step] = put(copy[step], rest, value)
    return copy


# --- requests


def bodies(dialect: str) -> list[Any]:
    """Requests written to hold every field, then those that were recorded."""
    trees: list[Any] = []
    files = sorted(RICH.glob(f"{dialect}/*.json")) + sorted(SEEDS.glob(f"request-{dialect}/*.json"))
    recorded = requests_like(dialect) if dialect in KIND.values() else []
    for body in [*(file.read_bytes() for file in files), *recorded]:
        try:
            trees.append(json.loads(body))
        except ValueError:
            continue
    return trees


def decoded(dialect: str, tree: Any) -> ChatRequest | str:
    """The canonical request, or the refusal's words."""
    body = json.dumps(tree).encode()
    try:
        params = params_for(DIALECTS[dialect], body)
        envelope = DIALECTS[dialect].envelope(body, params)
        request = DIALECTS[dialect].decode_request(body, params)
        return msgspec.structs.replace(request, stream=envelope.stream)
    except CallerError as error:
        return str(error)


def effect(before: object, after: object) -> str:
    """`changed`, `refused` or nothing."""
    if isinstance(after, str):
        return "refused"
    return "changed" if after != before else ""


def examined(dialect: str) -> Iterator[tuple[str, Any, Path, Any]]:
    """Each kind of field once for each shape of its surroundings: pattern, body, path, value."""
    seen: set[str] = set()
    for tree in bodies(dialect):
        refused = decoded(dialect, tree)
        if isinstance(refused, str):
            print("REFUSED", dialect, refused)
        if isinstance(refused, str):
            continue
        for path, value in leaves(tree):
            key = f"{pattern(path)} {type(value).__name__} {sibling_types(tree, path)}"
            if value not in (None, [], {}) and path[-1] not in DISCRIMINATORS and key not in seen:
                seen.add(key)
                yield pattern(path), tree, path, value


def sibling_types(tree: Any, path: Path) -> list[str]:
    """The `type` and `role` of everything around a value: they say what it means."""
    found: list[str] = []
    for step in path:
        if isinstance(tree, dict):
            found += [str(tree[name]) for name in ("type", "role") if isinstance(tree.get(name), str)]
        tree = tree[step]
    return found


def is_extension(request: ChatRequest | str, path: Path) -> bool:
    """Whether it is among what every provider of another API names as dropped."""
    return isinstance(request, ChatRequest) and any(
        name.endswith(f": {step}") for name in request.extensions for step in path
    )


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_field_of_a_request_is_read(dialect: str) -> None:
    unread: dict[str, str] = {}
    for name, tree, path, value in examined(dialect):
        before = decoded(dialect, tree)
        tried = [put(tree, path, other) for other in [*others(value), ...]]
        effects = {effect(before, decoded(dialect, other)) for other in tried}
        is_read = "changed" in effects or effects == {"refused"} or is_extension(before, path)
        if not is_read and f"{dialect}:{name}" not in WITHOUT_EFFECT:
            unread[name] = f"{value!r}: {sorted(effects)}"

    assert not unread, "\n".join(f"{name}: {why}" for name, why in unread.items())


# --- the canonical request, and what each kind makes of it


def parts_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a canonical request that holds no other; paths are field names and places in lists."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from parts_of(getattr(value, name), (*path, name))
    elif isinstance(value, tuple):
        for number, child in enumerate(value):
            yield from parts_of(child, (*path, number))
    elif isinstance(value, dict):
        for name in value:
            yield (*path, name), value[name]
    else:
        yield path, value


def put_part(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{step: put_part(getattr(value, step), rest, new)})
    if isinstance(value, dict):
        return {name: put_part(child, rest, new) if name == step else child for name, child in value.items()}
    return tuple(put_part(child, rest, new) if number == step else child for number, child in enumerate(value))


def other_parts(value: Any) -> list[Any]:
    match value:
        case Enum():
            return [one for one in type(value) if one is not value]
        case bytes():
            return [b'{"zz":1}', b'"zz"']
        case _:
            return others(value)


def structure(value: Any, path: Path) -> str:
    """`messages[].parts[]:ImagePart.source:UrlSource.url`"""
    named = ""
    for step in path:
        named += "[]" if isinstance(step, int) else f".{step}" if isinstance(value, msgspec.Struct) else "{}"
        value = getattr(value, step) if isinstance(value, msgspec.Struct) else value[step]
        if isinstance(value, msgspec.Struct) and type(value).__name__ not in ("Message", "Sampling"):
            named += f":{type(value).__name__}"
    return named.lstrip(".")


def sent(kind: str, request: ChatRequest) -> UpstreamRequest | str:
    try:
        return PROVIDERS[kind].encode_request(request, Target(provider=kind, model=MODEL.get(kind, "m")))
    except CallerError as error:
        return str(error)


MOST_TRIES = 5
"""A field that did nothing in so many requests does nothing."""

MOST_CHARS = 20_000

MODEL = {"vertex": "gemini-3-flash"}


Place = tuple[str, Path, Any]


@functools.cache
def canonical_requests() -> list[tuple[ChatRequest, list[Place]]]:
    """Requests that between them hold every field some times, each with the places of its values."""
    found: list[tuple[ChatRequest, list[Place]]] = []
    often: Counter[str] = Counter()
    for dialect in sorted(DIALECTS):
        for tree in bodies(dialect):
            request = decoded(dialect, tree)
            if isinstance(request, str) or len(str(tree)) > MOST_CHARS:
                continue
            paths = [(path, value) for path, value in parts_of(request) if value not in (None, (), {}, b"", "")]
            places = [(structure(request, path), path, value) for path, value in paths]
            if any(often[name] < MOST_TRIES for name, _, _ in places):
                often.update({name for name, _, _ in places})
                found.append((request, places))
    return found


CONTAINERS = ("messages", "parts", "sampling", "source")
SYNONYMS = {"server_tools": "tools: ", "extensions": "", "data": "audio"}
"""Other words for a field in the names of what is dropped."""


def is_named(dropped: tuple[str, ...], path: Path) -> bool:
    """Whether a name among the dropped ones speaks of this field."""
    if path[0] == "messages" and path[2] == "parts":
        part = re.compile(rf"messages\[{path[1]}\]\.(parts|content)\[{path[3]}\]: ")
        if any(part.match(name) for name in dropped):
            return True
    words = [step for step in path if isinstance(step, str) and step not in CONTAINERS]
    return any(word in name or SYNONYMS.get(word, word) in name for word in words for name in dropped)


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_every_field_of_a_canonical_request_is_sent_named_or_refused(kind: str) -> None:
    lost: dict[str, str] = {}
    kept: set[str] = set()
    tries: Counter[str] = Counter()
    for request, places in canonical_requests():
        open_places = [one for one in places if one[0] not in kept and tries[one[0]] < MOST_TRIES]
        before = sent(kind, request) if open_places else ""
        if isinstance(before, str):
            continue
        for name, path, value in open_places:
            if name in kept:
                continue
            tries[name] += 1
            after = {effect(before, sent(kind, put_part(request, path, other))) for other in other_parts(value)}
            if "changed" in after or after == {"refused"} or is_named(before.dropped, path):
                kept.add(name)
                lost.pop(name, None)
            elif f"{kind}:{name}" not in CARRIED_OTHERWISE and name not in CARRIED_OTHERWISE:
                lost[name] = f"{value!r:.60}"

    assert not lost, "\n".join(f"{name}: {value}" for name, value in lost.items())
