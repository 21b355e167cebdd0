"""Runs the crossing check for every pair of a dialect and a provider kind, and remembers what passed.

For each kind a few recordings of real providers are chosen that between them show every feature. The vendor's own SDK
reads the original; every client of every dialect then reads it through a whole proxy, and must read the same. A feature
counts for a pair when a recording shows it (the vendor's SDK says so), a client of the dialect can show it, and every
such client read it right.

No recordings of a Claude on Vertex exist, and few of a Gemini. Both speak the APIs that they speak elsewhere, so those
recordings are served at Vertex's addresses, and Google's and Anthropic's clients of Vertex are the measure.
"""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.errors import ProxyError
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.matrix.clients import ALL_READERS, TEXT_ALONE
from tests.support import node, vertex
from tests.support.answers import Answer, Cut, CutHow
from tests.support.answers import json as json_answer
from tests.support.corpus import KIND, ROOT, Recording, recordings
from tests.support.crossing import cuts, has_own_dialect, says_complete
from tests.support.crossing_differences import Difference, crossing_difference
from tests.support.known_differences import Known, known
from tests.support.proxied import GENERATION, Proxied
from tests.support.reader import Call, Reader
from tests.support.readers import OWN_READER
from tests.support.readings import Reading, as_seen_by, as_told_by, differences
from tests.support.replay import ReplayServer

FEATURES = {
    "text": {"text"},
    "tools": {"tool_calls"},
    "parallel tools": {"tool_calls"},
    "reasoning": {"reasoning"},
    "structured": {"text"},
    "refusal": {"refusal"},
    "usage": {"tokens"},
}
"""What a recording may show, and the fields of a `Reading` that must be right."""

RECORDED_AS = {
    "text": "text",
    "tools": "tools",
    "parallel tools": "parallel_tools",
    "reasoning": "reasoning",
    "structured": "structured",
    "refusal": "refusal",
    "usage": "usage",
}
"""The word of the recordings' index for a feature. It may speak of the request only: the reading decides."""

CANDIDATES = 4
"""Of each feature, the smallest recordings; the first that shows it is taken."""

EXAMPLES = {"parallel-tools": "parallel tools", "refusal": "refusal", "reasoning": "reasoning", "tool-call": "tools"}
"""Fixtures that stand in where no recording shows a feature."""

DECLINED = ("refusal", "content_filter")
"""Reasons to end (`readings.FINISH`) of an answer that was refused."""

EXAMPLE = "example"
"""`Recording.framing` of a fixture."""

IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n and no more").decode()
DATA_URL = f"data:image/png;base64,{IMAGE}"

_CHAT_IMAGE = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": DATA_URL}}]
_UI_IMAGE = [{"type": "text", "text": "hi"}, {"type": "file", "mediaType": "image/png", "url": DATA_URL}]


def _user(content: Any, name: str = "content") -> dict[str, Any]:
    return {"model": "m", "messages": [{"id": "u", "role": "user", name: content}]}


WITH_IMAGE: dict[str, dict[str, Any]] = {
    "ag_ui": _user(
        [
            {"type": "text", "text": "hi"},
            {"type": "image", "source": {"type": "data", "value": IMAGE, "mimeType": "image/png"}},
        ]
    )
    | {"threadId": "t", "runId": "r", "tools": [], "context": [], "forwardedProps": {"model": "m"}},
    "anthropic": _user(
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}],
    )
    | {"max_tokens": 10},
    "canonical": _user(_CHAT_IMAGE),
    "data_stream": _user(_UI_IMAGE, "parts"),
    "gemini": {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": IMAGE}}]}]},
    "ollama": {"model": "m", "messages": [{"role": "user", "content": "hi", "images": [IMAGE]}]},
    "openai_chat": _user(_CHAT_IMAGE),
    "openai_responses": {
        "model": "m",
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": DATA_URL}]}],
    },
    "text_stream": _user(_UI_IMAGE, "parts"),
    "ui_message_stream": _user(_UI_IMAGE, "parts"),
}
"""A request with an image in each dialect. A dialect that is not here shows no images."""


@dataclass(frozen=True)
class Column:
    """Who answers."""

    name: str
    kind: str
    recorded: str
    """The kind whose recordings are served."""
    model: str
    """Of the proxy."""
    upstream_model: str
    measure: Reader | None
    """`None`: nothing but requests can be checked."""

    @property
    def is_borrowed(self) -> bool:
        return self.recorded != self.kind


VERTEX = [
    Column(f"`vertex` {family}", "vertex", kind, vertex.MODEL[kind], vertex.UPSTREAM_MODEL[kind], reader)
    for (kind, reader), family in zip(vertex.VERTEX_READER.items(), ("Gemini", "Claude"), strict=True)
]

COLUMNS = [
    *(Column(f"`{kind}`", kind, kind, kind, "m", OWN_READER.get(kind)) for kind in sorted({*PROVIDERS} - {"vertex"})),
    *VERTEX,
]


@dataclass
class Cell:
    """What is known of one pair."""

    passed: set[str] = field(default_factory=set)
    """Features that a recording of a provider shows."""
    passed_by_example: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    lost: list[Difference | Known] = field(default_factory=list)

    def note(self, feature: str, is_right: bool, *, is_example: bool = False) -> None:
        passed = self.passed_by_example if is_example else self.passed
        (passed if is_right else self.failed).add(feature)


@dataclass
class Survey:
    cells: dict[tuple[str, str], Cell] = field(default_factory=lambda: defaultdict(Cell))
    """By dialect and the column's name."""
    readings: int = 0
    recordings: set[str] = field(default_factory=set)
    borrowed: set[str] = field(default_factory=set)
    """Those that were served at Vertex's addresses and recorded at others."""
    of_vertex: set[str] = field(default_factory=set)
    examples: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


async def survey(proxied: Proxied, folder: Path) -> Survey:
    """Check every pair. Needs the recordings, and Node for the clients in JavaScript; `folder` is for working files."""
    found = Survey()
    for column in COLUMNS:
        for dialect in DIALECTS:
            check_images(found, dialect, column)
        if column.measure is not None:
            for recording, original in await representatives(column, folder):
                await _check_recording(found, proxied, column, recording, original)
            await _check_endings(found, proxied, column)
    return found


# --- recordings


async def representatives(column: Column, folder: Path) -> list[tuple[Recording, Reading]]:
    """The recordings that show every feature which any shows, with what the vendor's SDK reads.

    Examples follow, for what none shows.
    """
    chosen: dict[str, tuple[Recording, Reading]] = {}
    for feature, word in RECORDED_AS.items():
        if any(feature in shown(*one) for one in chosen.values()):
            continue
        having = [one for one in _streams(column) if word in one.features and "n_choices" not in one.features]
        for recording in having[:CANDIDATES]:
            original = await _measure(column, recording)
            if feature in shown(recording, original):
                chosen[recording.name] = recording, original
                break
    for example in _examples(column.recorded, folder / column.model):
        original = await _measure(column, example)
        if shown(example, original) - {"text", "usage"} - {one for pair in chosen.values() for one in shown(*pair)}:
            chosen[example.name] = example, original
    return list(chosen.values())


def _examples(kind: str, folder: Path) -> Iterator[Recording]:
    """The fixtures of a kind, laid out as recordings are."""
    recorded_as = next(name for name, spoken in KIND.items() if spoken == kind)
    for name in EXAMPLES:
        for file in (ROOT / "tests/fixtures" / kind).glob(f"{name}.*"):
            path = folder / f"examples-{kind}" / name
            path.mkdir(parents=True)
            (path / f"response{file.suffix}").write_bytes(file.read_bytes())
            media_type = "application/x-ndjson" if file.suffix == ".ndjson" else "text/event-stream"
            yield Recording(path, recorded_as, kind, "m", 200, media_type, {}, frozenset({EXAMPLES[name]}), EXAMPLE)


def _streams(column: Column) -> list[Recording]:
    """Those that end well, the provider's own and the smallest first."""
    whole = recordings(
        kind=column.recorded, stream=True, ok=True, where=lambda one: "error_midstream" not in one.features
    )

    def rank(one: Recording) -> tuple[bool, bool, bool, int]:
        is_lent = column.is_borrowed and one.provider != column.kind
        return is_lent, _is_misread(one), not one.is_truly_framed, len(one.response)

    return sorted(whole, key=rank)


def _is_misread(recording: Recording) -> bool:
    """Whether some client misreads even the vendor's own stream: such a recording would show the client's faults."""
    return any(known(recording.name, reader.name) is not None for reader in ALL_READERS)


async def _measure(column: Column, recording: Recording) -> Reading:
    assert column.measure is not None
    async with ReplayServer(recording.answer()) as upstream:
        return await column.measure.read(Call(upstream.base_url, model=column.upstream_model))


def shown(recording: Recording, original: Reading) -> set[str]:
    """The features of an answer."""
    if original.error is not None:
        return set()
    present = {
        "text": bool(original.text),
        "tools": bool(original.tool_calls),
        "parallel tools": len(original.tool_calls) > 1,
        "reasoning": bool(original.reasoning),
        "structured": "structured" in recording.features and _is_json(original.text),
        "refusal": bool(original.refusal) or original.finish in DECLINED,
        "usage": original.tokens is not None,
    }
    return {feature for feature, is_there in present.items() if is_there}


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


# --- checks


def readers(dialect: str, *, streams: bool | None = None) -> list[Reader]:
    """Those that can run here."""
    able = [one for one in ALL_READERS if node.is_ready() or not one.needs_node]
    return [one for one in able if one.dialect == dialect and (streams is None or one.streams == streams)]


async def _check_recording(
    found: Survey, proxied: Proxied, column: Column, recording: Recording, original: Reading
) -> None:
    (found.examples if recording.framing == EXAMPLE else found.recordings).add(recording.name)
    if column.is_borrowed and recording.framing != EXAMPLE:
        (found.of_vertex if recording.provider == column.kind else found.borrowed).add(recording.name)
    for dialect in DIALECTS:
        chosen = readers(dialect)
        read = await asyncio.gather(*(proxied.read(one, recording, model=column.model) for one in chosen))
        found.readings += len(read)
        for reader, reading in zip(chosen, read, strict=True):
            _judge(found, column, recording, original, reader, reading)
        if dialect == column.kind and has_own_dialect(recording) and dialect in GENERATION:
            answer = await proxied.stream(dialect, column.kind, recording.answer())
            found.cells[dialect, column.name].note("bytes", answer.body == recording.response and answer.is_whole)


def _judge(
    found: Survey, column: Column, recording: Recording, original: Reading, reader: Reader, reading: Reading
) -> None:
    cell = found.cells[reader.dialect, column.name]
    is_own = reader.dialect == column.kind
    visible = shown(recording, original) - reader.blind
    wrong = _wrong_fields(is_own, original, reader, reading)
    if reader.dialect in TEXT_ALONE:
        visible &= {"text", "structured", *(["refusal"] if original.refusal else [])}
    is_example = recording.framing == EXAMPLE
    if is_example:  # it stands for one feature; the rest is for recordings to show
        visible &= recording.features
        wrong &= {name for feature in recording.features for name in (*FEATURES[feature], "error")}
    row = known(recording.name, reader.name) if is_own else crossing_difference(recording, reader)
    if row is not None and wrong and wrong <= row.fields:
        cell.lost.append(row)
        visible = {feature for feature in visible if not FEATURES[feature] & wrong and "error" not in wrong}
        wrong = frozenset()
    if "refusal" in visible:
        visible.remove("refusal")
        wrong -= FEATURES["refusal"]
        cell.note("refusal", _tells_refusal(original, reading), is_example=is_example)
    for feature in visible:
        cell.note(feature, not wrong & {*FEATURES[feature], "error"}, is_example=is_example)
    if wrong:
        found.faults.append(
            f"{reader.dialect} {reader.name} on {column.name}, {recording.name}: {', '.join(sorted(wrong))}"
        )


def _wrong_fields(is_own: bool, original: Reading, reader: Reader, reading: Reading) -> frozenset[str]:
    """Where the reading is not what the original says, as far as the dialect and the client can say it."""
    told = original if is_own else as_told_by(reader.dialect, original)
    if reader.dialect in TEXT_ALONE:
        told = Reading(text=told.text)
    expected = as_seen_by(reader.words, reader.blind, told)
    return differences(expected, as_seen_by(reader.words, reader.blind, reading))


def _tells_refusal(original: Reading, reading: Reading) -> bool:
    """Whether a client sees the words of a refusal, or the reason to end where there are none."""
    if reading.error is not None:
        return False
    if original.refusal:
        return original.refusal in reading.refusal + reading.text
    return reading.finish in DECLINED


async def _check_endings(found: Survey, proxied: Proxied, column: Column) -> None:
    """A refused call, an error event, and a cut, which every client must take for errors."""
    refused = [one.answer() for one in recordings(kind=column.recorded, ok=False)][:1]
    errors = refused or [json_answer({"error": {"message": "overloaded"}}, status=503)]
    midway = recordings(kind=column.recorded, ok=True, where=lambda one: "error_midstream" in one.features)
    errors += [one.answer() for one in midway][:1]
    for dialect in DIALECTS:
        for answer in errors:
            await _expect_errors(found, proxied, dialect, column, "error", answer)
        for answer in _cut_answers(column):
            await _expect_errors(found, proxied, dialect, column, "cut", answer)


def _cut_answers(column: Column) -> Iterator[Answer]:
    """A recording that stops early: cleanly for HTTP, and not."""
    recording = next(one for one in _streams(column) if "text" in one.features)
    places = [place for place in cuts(recording) if not says_complete(column.recorded, recording.response[:place])]
    place = places[-1]
    for how in (CutHow.CLEAN, CutHow.RST):
        yield recording.answer(cut=Cut(place, how))


async def _expect_errors(
    found: Survey, proxied: Proxied, dialect: str, column: Column, feature: str, answer: Answer
) -> None:
    proxied.upstream.respond_with(answer)
    for reader in readers(dialect, streams=True):
        reading = await reader.read(Call(proxied.url, model=column.model))
        found.readings += 1
        found.cells[dialect, column.name].note(feature, reading.ending == "error")
        if reading.ending != "error":
            read_as = replace(reading, text="…")
            found.faults.append(f"{dialect} {reader.name} on {column.name}: {feature} read as {read_as}")


def check_images(found: Survey, dialect: str, column: Column) -> None:
    """A request with an image, without a server: the image must be in what the provider is asked."""
    if dialect not in WITH_IMAGE:
        return
    params = CallParams(path={"model": "m", "method": "chat"})
    asked = DIALECTS[dialect].decode_request(json.dumps(WITH_IMAGE[dialect]).encode(), params)
    try:
        sent = PROVIDERS[column.kind].encode_request(asked, Target(provider=column.kind, model=column.upstream_model))
    except ProxyError as error:
        found.faults.append(f"{dialect} on {column.name}: images: {error}")
        return
    found.cells[dialect, column.name].note("images in", IMAGE.encode() in sent.body)
