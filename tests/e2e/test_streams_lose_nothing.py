"""Every value in a provider's stream reaches the hub, and from there every caller's stream, or is in a table with its reason.

A value counts as read when another one in its place makes other canonical events, and as told when those make other bytes
for the caller. That says more than finding the value again: counts are added up and reasons have other words elsewhere.
What was read and not told is named by the fields of the hub's events that differed. That every delta arrives, and whole, is
held against what SDKs read (`test_corpus`). Whole answers: `test_answers_lose_nothing`.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest

from proxy.dialects import DIALECTS
from proxy.hub.events import (
    TERMINAL_EVENTS,
    BlockStart,
    CitationAdded,
    Event,
    StreamError,
    ToolCallBlock,
    ToolResultBlock,
    Usage,
)
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.e2e.test_answers_lose_nothing import other, put
from tests.support import aws_frames
from tests.support.corpus import ABSENT, Recording, all_recordings, recordings
from tests.support.crossing import BINARY, CONTEXT, LINES, decode
from tests.support.eventsource import interpret
from tests.support.stream_losses import NOT_ALWAYS_READ, NOT_ALWAYS_TOLD, NOT_READ, NOT_TOLD

pytestmark = pytest.mark.skipif(not all_recordings(), reason=ABSENT)

MOST_RECORDINGS = 4
"""In which one field is tried: the shortest that have it."""
PLACES = frozenset({"index", "contentBlockIndex", "output_index", "content_index", "summary_index", "sequence_number"})
UNTRIED = frozenset({"type", "object", "role"}) | PLACES
"""They say what stands beside them, and where it belongs: tried with that, and by the checks of the events' grammar."""
REASONS = {
    "stop_reason": "max_tokens",
    "stopReason": "max_tokens",
    "finish_reason": "length",
    "finishReason": "MAX_TOKENS",
    "done_reason": "length",
}
"""Another reason to end: most dialects say the same of all that they do not know."""
COHERE_REASON = "MAX_TOKENS"

TARGET = Target(provider="vendor", model="m")

Path = tuple[Any, ...]
Place = tuple[int, Path]
"""A frame's number, and where in it."""


@dataclass(frozen=True)
class Frame:
    """One event of a recorded stream."""

    name: str
    """Of its type."""
    tree: Any
    """A string where it is no JSON, such as `[DONE]`."""
    event: str = ""
    """Its name, where server-sent events have one."""

    def wire(self, kind: str | None, tree: Any) -> bytes:
        """Its bytes, with `tree` in it."""
        if kind in BINARY:
            return aws_frames.event(self.name, tree)
        data = tree if isinstance(tree, str) else json.dumps(tree)
        if kind in LINES:
            return data.encode() + b"\n"
        head = f"event: {self.event}\n" if self.event else ""
        return f"{head}data: {data}\n\n".encode()


def frames(recording: Recording) -> list[Frame]:
    """Up to its terminator: what follows is not read."""
    found = _frames(recording)
    decoder = PROVIDERS[recording.kind or ""].decoder(TARGET)
    for number, frame in enumerate(found):
        events = decoder.feed(frame.wire(recording.kind, frame.tree))
        if any(type(event) in TERMINAL_EVENTS for event in events):
            return found[: number + 1]
    return found


def _frames(recording: Recording) -> list[Frame]:
    body = recording.response
    if recording.kind in BINARY:
        every = [(headers.get(":event-type"), payload) for headers, payload, _ in aws_frames.split(body)]
        return [Frame(name, json.loads(payload)) for name, payload in every if name is not None]
    if recording.kind in LINES:
        return [Frame("", json.loads(line)) for line in body.split(b"\n") if line]
    found: list[Frame] = []
    for event in interpret(body + b"\n\n").events:
        tree = json.loads(event.data) if event.data.startswith("{") else event.data
        name = event.type if event.type != "message" else ""
        found.append(Frame(name or ("" if isinstance(tree, str) else tree.get("type", "")), tree, name))
    return found


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, dict):
        for name, child in tree.items():
            if name not in UNTRIED:
                yield from leaves(child, (*path, name))
    elif isinstance(tree, list):
        for number, child in enumerate(tree):
            yield from leaves(child, (*path, number))
    elif path and tree not in (None, "", 0, False):
        yield path, tree


def pattern(frame: Frame, path: Path) -> str:
    text = "".join("[]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{frame.name}{text}".lstrip(".")


def another(kind: str | None, name: str, value: Any) -> Any:
    """Another value for a field."""
    reason = COHERE_REASON if kind == "cohere" and name in REASONS else REASONS.get(name, value)
    if reason != value:
        return reason
    if isinstance(value, int) and value > 1:
        return value - 1
    return other(value)


def plain(events: list[Event]) -> list[Event]:
    """Without what is kept for callers of the same API, and without usage that a later one replaces."""
    last = [event for event in events if isinstance(event, Usage)][-1:]
    return [_plain(event) for event in events if not isinstance(event, Usage) or event is last[0]]


def _plain(event: Event) -> Event:
    match event:
        case CitationAdded():
            return msgspec.structs.replace(event, raw=None, origin=None)
        case BlockStart(_, ToolCallBlock() | ToolResultBlock() as block):
            return msgspec.structs.replace(event, block=msgspec.structs.replace(block, raw=None))
        case _:
            return event


def differing(one: list[Event], two: list[Event]) -> set[str]:
    """`Usage.input`, `BlockStart.block:ToolCallBlock.name`; empty when the events are not the same ones."""
    if [type(event) for event in one] != [type(event) for event in two]:
        return set()
    return {name for before, after in zip(one, two, strict=True) for name in _differing(before, after)}


def _differing(one: Any, two: Any) -> Iterator[str]:
    for name in one.__struct_fields__:
        before, after = getattr(one, name), getattr(two, name)
        if before == after:
            continue
        if isinstance(before, msgspec.Struct) and type(before) is type(after):
            yield from (f"{type(one).__name__}.{name}:{inner}" for inner in _differing(before, after))
        else:
            yield f"{type(one).__name__}.{name}"


@dataclass
class Survey:
    unread: dict[str, str] = field(default_factory=dict)
    """By `kind:field`: where."""
    read: set[str] = field(default_factory=set)
    untold: dict[str, str] = field(default_factory=dict)
    """By `dialect:field of the hub's events`: where."""
    told: set[str] = field(default_factory=set)


def streams(kind: str) -> list[Recording]:
    found = recordings(kind=kind, stream=True, ok=True)
    return sorted((one for one in found if "error_midstream" not in one.features), key=lambda one: len(one.response))


@functools.cache
def survey() -> Survey:
    done = Survey()
    for kind in sorted(PROVIDERS):
        tries: dict[str, int] = {}
        for recording in streams(kind):
            _try_all(recording, tries, done)
    return done


def _try_all(recording: Recording, tries: dict[str, int], done: Survey) -> None:
    kind, every = recording.kind, frames(recording)
    places: dict[str, list[Place]] = {}
    for number, frame in enumerate(every):
        for path, _ in leaves(frame.tree):
            places.setdefault(pattern(frame, path), []).append((number, path))
    wanted = [name for name in places if tries.get(name, 0) < MOST_RECORDINGS]
    if not wanted:
        return
    wires = [frame.wire(kind, frame.tree) for frame in every]
    base = plain(decode(recording, b"".join(wires)))
    told = {name: dialect.encoder(CONTEXT).encode(base) for name, dialect in DIALECTS.items() if name != kind}
    for name in wanted:
        tries[name] = tries.get(name, 0) + 1
        where = f"{kind}:{name}"
        for events in _changed(recording, every, wires, places[name]):
            if events != base and not isinstance(events[-1], StreamError):
                done.read.add(where)
                _compare(f"{where} ({recording.name})", base, events, told, done)
                break
        else:
            number, path = places[name][-1]
            done.unread.setdefault(where, f"{_at(every[number].tree, path)!r:.80} ({recording.name})")


def _changed(
    recording: Recording, every: list[Frame], wires: list[bytes], places: list[Place]
) -> Iterator[list[Event]]:
    """The events with another value in one place each: totals come again and again, and the last one counts; ids do, and
    the first one does."""
    for number, path in dict.fromkeys((places[-1], places[0], places[-2:][0], places[len(places) // 2])):
        frame = every[number]
        value = another(recording.kind, str(path[-1]), _at(frame.tree, path))
        changed = frame.wire(recording.kind, put(frame.tree, path, value))
        yield plain(decode(recording, b"".join([*wires[:number], changed, *wires[number + 1 :]])))


def _compare(where: str, base: list[Event], events: list[Event], told: dict[str, bytes], done: Survey) -> None:
    fields = differing(base, events) or {"(other events)"}
    for dialect, expected in told.items():
        names = {f"{dialect}:{name}" for name in fields}
        if DIALECTS[dialect].encoder(CONTEXT).encode(events) == expected:
            for name in names:
                done.untold.setdefault(name, where)
        elif len(names) == 1:  # Else who knows which of them was told.
            done.told |= names


def _at(tree: Any, path: Path) -> Any:
    return functools.reduce(lambda found, step: found[step], path, tree)


def check(lost: dict[str, str], kept: set[str], always: dict[str, str], sometimes: dict[str, str]) -> None:
    """All losses are listed, and all that is listed is lost: `always`, or `sometimes` and else not."""
    never_kept = {name: where for name, where in lost.items() if name not in kept}
    _compare_rows(never_kept, always)
    _compare_rows({name: where for name, where in lost.items() if name in kept}, sometimes)


def _compare_rows(lost: dict[str, str], table: dict[str, str]) -> None:
    unlisted = {name: where for name, where in lost.items() if not any(is_row(row, name) for row in table)}
    stale = [row for row in table if not any(is_row(row, name) for name in lost)]
    assert not unlisted, "\n".join(f"{name}: {where}" for name, where in unlisted.items())
    assert not stale, stale


def is_row(row: str, name: str) -> bool:
    return fnmatchcase(name, row.replace("[]", "[[][]]"))


def test_every_value_of_a_stream_is_read() -> None:
    check(survey().unread, survey().read, NOT_READ, NOT_ALWAYS_READ)


def test_every_event_of_a_stream_is_told() -> None:
    check(survey().untold, survey().told, NOT_TOLD, NOT_ALWAYS_TOLD)
