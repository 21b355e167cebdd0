"""Every field of a provider's whole answer reaches the hub, and from there the caller, or is in a table with its reason.

A field counts as read when another value of it makes another canonical answer, and as told when another value of the
canonical answer makes other bytes for the caller. Streams are compared with whole answers elsewhere: their events fold to
the same canonical answer (`tests/providers`), and every dialect's client reads the same from both (`test_corpus`).
"""

import functools
import json
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest

from proxy.dialects import DIALECTS
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.events import FinishReason, ToolCallBlock, ToolResultBlock
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support.answer_losses import NOT_READ, NOT_TOLD
from tests.support.corpus import ABSENT, Recording, all_recordings, recordings
from tests.support.crossing import CONTEXT

pytestmark = pytest.mark.skipif(not all_recordings(), reason=ABSENT)

Path = tuple[Any, ...]

MOST_TRIES = 4
"""A field that did nothing in so many answers does nothing."""


def answers(kind: str) -> list[Recording]:
    found = recordings(kind=kind, stream=False, ok=True)
    return [one for one in found if one.response_file.suffix == ".json" and not one.is_array_stream]


def decoded(kind: str, tree: Any) -> Completion | None:
    try:
        return PROVIDERS[kind].decode_completion(json.dumps(tree).encode(), Target(provider=kind, model="m"))
    except UpstreamError:
        return None


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, msgspec.Struct):
        for name in tree.__struct_fields__:
            yield from leaves(getattr(tree, name), (*path, name))
    elif isinstance(tree, dict):
        for name, child in tree.items():
            yield from leaves(child, (*path, name))
    elif isinstance(tree, list):
        for number, child in enumerate(tree):
            yield from leaves(child, (*path, number))
    elif tree not in (None, "", 0, False):
        yield path, tree


def put(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(tree, msgspec.Struct):
        return msgspec.structs.replace(tree, **{step: put(getattr(tree, step), rest, value)})
    copy = tree.copy()
    copy[step] = put(copy[step], rest, value)
    return copy


def other(value: Any) -> Any:
    match value:
        case FinishReason():
            return FinishReason.STOP if value is FinishReason.LENGTH else FinishReason.LENGTH
        case Enum():
            return next(one for one in type(value) if one is not value)
        case str():
            return value + "zz"
        case bool():
            return not value
        case _:
            return value + 1


def pattern(tree: Any, path: Path) -> str:
    """`blocks[].citations[]:CitationAdded.url`; structs that hold a union are named."""
    text = ""
    for step in path:
        text += "[]" if isinstance(step, int) else f".{step}"
        tree = getattr(tree, step) if isinstance(tree, msgspec.Struct) else tree[step]
        if isinstance(tree, msgspec.Struct) and step == "block":
            text += f":{type(tree).__name__}"
    return text.lstrip(".")


def is_listed(table: dict[str, str], name: str) -> bool:
    return any(fnmatchcase(name, glob.replace("[]", "[[][]]")) for glob in table)


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_every_field_of_an_answer_is_read(kind: str) -> None:
    unread: dict[str, str] = {}
    tries: dict[str, int] = {}
    for recording in answers(kind):
        tree = json.loads(recording.response)
        expected = decoded(kind, tree)
        for path, value in leaves(tree):
            name = pattern(tree, path)
            if tries.get(name, 0) >= MOST_TRIES:
                continue
            if decoded(kind, put(tree, path, other(value))) != expected:
                tries[name] = MOST_TRIES
                unread.pop(name, None)
                continue
            tries[name] = tries.get(name, 0) + 1
            if not is_listed(NOT_READ, f"{kind}:{name}"):
                unread[name] = f"{value!r:.80} ({recording.name})"

    assert not unread, "\n".join(f"{name}: {why}" for name, why in unread.items())


@functools.cache
def completions() -> list[Completion]:
    found = [decoded(kind, json.loads(one.response)) for kind in sorted(PROVIDERS) for one in answers(kind)]
    return [without_raw(one) for one in found if one is not None and one.end is not None]


def without_raw(completion: Completion) -> Completion:
    """Without what is kept for callers of the same family, who get that in place of the fields."""
    for done in completion.blocks:
        if isinstance(done.block, ToolCallBlock | ToolResultBlock):
            done.block = msgspec.structs.replace(done.block, raw=None)
        done.citations = [msgspec.structs.replace(one, raw=None, origin=None) for one in done.citations]
    return completion


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_part_of_an_answer_is_told(dialect: str) -> None:
    untold: dict[str, str] = {}
    tries: dict[str, int] = {}
    for completion in completions():
        expected = DIALECTS[dialect].encode_completion(completion, CONTEXT)
        for path, value in leaves(completion):
            name = pattern(completion, path)
            if tries.get(name, 0) >= MOST_TRIES or path[-1] == "index":
                continue
            changed = put(completion, path, other(value))
            if DIALECTS[dialect].encode_completion(changed, CONTEXT) != expected:
                tries[name] = MOST_TRIES
                untold.pop(name, None)
                continue
            tries[name] = tries.get(name, 0) + 1
            if not is_listed(NOT_TOLD, f"{dialect}:{name}"):
                untold[name] = f"{value!r:.80}"

    assert not untold, "\n".join(f"{name}: {why}" for name, why in untold.items())
