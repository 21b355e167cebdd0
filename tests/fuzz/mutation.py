"""Mutations that know JSON: a value becomes one of another type, goes, or comes twice; bytes are libFuzzer's business."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

FRAME = re.compile(rb"(?:(?<=data: )|(?<=data:)|^)[{\[].*$", re.MULTILINE)
"""JSON texts of a stream, or a whole body."""

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 0.5, 1e308, 10**400),
    *(
        "",
        " ",
        "null",
        "\x00",
        "\ud800",
        "é" * 40,
        "a" * 300,
        "{",
        '{"a":1}',
        "[1]",
        "data:image/png;base64,AA",
        "file:",
    ),
    *([], {}, [None], [[]], [{}], {"": None}, {"type": None}, {"type": "text"}, {"index": -1}),
]

DEEP = 3000
"""More nesting than any parser that calls itself can take."""

Path = tuple[Any, ...]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with one value of one of its JSON texts changed; other bytes if it holds none."""
    frames = list(FRAME.finditer(data))
    if not frames:
        return data[: chance.randrange(len(data) + 1)]
    frame = chance.choice(frames)
    try:
        tree = json.loads(frame.group())
    except (ValueError, RecursionError):
        return data[: frame.start()] + b"null" + data[frame.end() :]
    if chance.random() < 0.15:
        return _whole_frames(data, frame, chance)
    if chance.random() < 0.02:
        text = json.dumps(tree).replace("null", "[" * DEEP + "]" * DEEP, 1)
    else:
        text = json.dumps(_changed(tree, chance), ensure_ascii=chance.random() < 0.5)
    return data[: frame.start()] + text.encode("utf-8", "surrogatepass") + data[frame.end() :]


def _whole_frames(data: bytes, frame: re.Match[bytes], chance: random.Random) -> bytes:
    """A frame dropped, or repeated at the end of its line."""
    if chance.random() < 0.5:
        return data[: frame.start()] + data[frame.end() :]
    return data[: frame.end()] + b"\n\ndata: " + frame.group() + data[frame.end() :]


def _changed(tree: Any, chance: random.Random) -> Any:
    places = list(_places(tree, ()))
    path = chance.choice(places)
    if not path:
        return chance.choice(ODD)
    parent = tree
    for step in path[:-1]:
        parent = parent[step]
    change: Callable[[Any, Any], None] = chance.choice([_remove, _repeat, *[_replace_by(chance.choice(ODD))] * 4])
    change(parent, path[-1])
    return tree


def _places(tree: Any, path: Path) -> list[Path]:
    found = [path]
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, child in children:
        found += _places(child, (*path, step))
    return found


def _remove(parent: Any, step: Any) -> None:
    del parent[step]


def _repeat(parent: Any, step: Any) -> None:
    if isinstance(parent, list):
        parent.insert(step, parent[step])
    else:
        parent[step] = [parent[step], parent[step]]


def _replace_by(value: Any) -> Callable[[Any, Any], None]:
    def replace(parent: Any, step: Any) -> None:
        parent[step] = value

    return replace
