"""What vendors add next week: unknown events and fields at every position of every recording.

Callers of the same dialect get every byte; all others get exactly what they would have got without. A dialect's stream
depends on the decoder's events alone, so equal events are equal streams in every dialect.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.completion import CompletedBlock, fold
from proxy.hub.events import Event, MessageStart
from proxy.hub.transcode import Passthrough
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support import aws_frames
from tests.support.answers import sized
from tests.support.corpus import Recording, params, recordings
from tests.support.crossing import BINARY, CONTEXT, LINES, boundaries, convert, decode
from tests.support.dialect_grammar import CHECKS, breaches
from tests.support.readers import OWN_READER

MOST_BYTES = 200_000
"""What the single injections into one recording may add up to: every position of recordings below some 10 kB, evenly
chosen positions of longer ones. All positions at once are tried with every recording."""

UNKNOWN_EVENTS: dict[str, tuple[tuple[object, ...], ...]] = {
    "anthropic": (
        ({"type": "zz_new", "index": 0, "text": "zz"},),
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "zz_delta", "text": "zz"}},),
    ),
    "openai_responses": (
        ({"type": "response.zz.delta", "sequence_number": 999, "item_id": "zz", "output_index": 0, "delta": "zz"},),
        ({"type": "response.zz.done", "sequence_number": 999, "item_id": "zz", "part": {"type": "zz", "text": "zz"}},),
    ),
    "openai_chat": (
        ({"object": "zz.new", "zz": {"text": "zz"}},),
        ({"type": "zz.new", "delta": "zz", "choices": []},),
    ),
    "gemini": (({"zz": {"text": "zz"}},),),
    "ollama": (({"zz": {"text": "zz"}},),),
    "cohere": (({"type": "zz-new", "index": 0, "delta": {"message": {"content": {"text": "zz"}}}},),),
    "bedrock": (({"zzNew": {"contentBlockIndex": 0, "delta": {"text": "zz"}}},),),
}
"""By kind: sequences of frames that no version of an API has."""

UNKNOWN_PARTS: dict[str, tuple[tuple[object, ...], ...]] = {
    "anthropic": (
        (
            {"type": "content_block_start", "index": 99, "content_block": {"type": "zz_block", "text": "zz"}},
            {"type": "content_block_delta", "index": 99, "delta": {"type": "zz_delta", "text": "zz"}},
            {"type": "content_block_stop", "index": 99},
        ),
    ),
    "openai_chat": (({"choices": [{"index": 0, "delta": {"zz": {"content": "zz"}}}]},),),
    "gemini": (({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"zzPart": {"text": "zz"}}]}}]},),),
    "ollama": (({"message": {"role": "assistant", "content": "", "zz": "zz"}},),),
}
"""New kinds of content in frames of a known kind: such a frame would begin an answer, so it stands after the beginning."""

FIELD = {"zz_unseen": {"type": "text", "text": "zz", "index": 7}}

_FIELD_TEXT = re.compile(
    r',?\\*"zz_unseen\\*":\s*\{\\*"type\\*":\s*\\*"text\\*",\s*\\*"text\\*":\s*\\*"zz\\*",\s*\\*"index\\*":\s*7\}'
)
"""`FIELD` as it stands in JSON that was kept whole (arguments, a server tool's result), at any depth of quoting."""

_STREAMED = [one for kind in OWN_READER for one in recordings(kind=kind, stream=True, ok=True)]
_ARRAYS = recordings(ok=True, where=lambda one: one.is_array_stream and one.kind == "gemini")
_WHOLE = [
    one
    for kind in PROVIDERS
    for one in recordings(kind=kind, stream=False, ok=True)
    if not one.is_array_stream and one.response_file.suffix == ".json"
]


# --- events


def frames_of(kind: str, events: Iterable[object]) -> bytes:
    """`events` in the framing of `kind`; named where its API names them."""
    return b"".join(_frame(kind, event) for event in events)


def _frame(kind: str, event: Any) -> bytes:
    if kind in BINARY:
        ((name, payload),) = event.items()
        return aws_frames.event(name, payload)
    text = json.dumps(event).encode()
    if kind in LINES:
        return text + b"\n"
    name = event.get("type") if kind in ("anthropic", "openai_responses") else None
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % text


def injected(body: bytes, places: Iterable[int], what: bytes) -> bytes:
    """`what` put in at each of `places`."""
    parts: list[bytes] = []
    start = 0
    for place in sorted(places):
        parts += [body[start:place], what]
        start = place
    return b"".join([*parts, body[start:]])


def positions(recording: Recording) -> list[int]:
    """Before each frame, and after the last."""
    return sorted(boundaries(recording.kind, recording.response) | {0})


def sampled(places: list[int], size: int) -> list[int]:
    step = max(1, len(places) * size // MOST_BYTES)
    return places[::step]


def injections(recording: Recording) -> Iterator[tuple[bytes, list[int]]]:
    """What to put in, and everywhere that it may stand."""
    assert recording.kind is not None
    places = positions(recording)
    for sequence in UNKNOWN_EVENTS[recording.kind]:
        yield frames_of(recording.kind, sequence), places
    for sequence in UNKNOWN_PARTS.get(recording.kind, ()):
        yield frames_of(recording.kind, sequence), places[beginning(recording, places) :]


def beginning(recording: Recording, places: list[int]) -> int:
    """The first of `places` with the answer's beginning before it."""
    starts = (number for number, place in enumerate(places) if has_begun(decode(recording, recording.response[:place])))
    return next(starts)


def has_begun(events: list[Event]) -> bool:
    return any(isinstance(event, MessageStart) for event in events)


@pytest.mark.parametrize("recording", params(_STREAMED))
def test_an_unknown_event_changes_nothing_wherever_it_stands(recording: Recording) -> None:
    body = recording.response
    expected = decode(recording, body)

    for unknown, places in injections(recording):
        assert decode(recording, injected(body, places, unknown)) == expected, unknown
        for place in sampled(places, len(body)):
            assert decode(recording, injected(body, [place], unknown)) == expected, (place, unknown)


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS) & set(CHECKS)))
@pytest.mark.parametrize("recording", params(_STREAMED))
def test_other_dialects_get_what_they_would_without_the_unknown_events(recording: Recording, dialect: str) -> None:
    body = recording.response
    expected = convert(recording, dialect, [body])

    for unknown, places in injections(recording):
        pieces = sized(331)(injected(body, places, unknown))
        assert convert(recording, dialect, pieces) == expected, unknown


@pytest.mark.parametrize("recording", params(one for one in _STREAMED if one.kind in DIALECTS))
def test_the_same_dialect_gets_unknown_events_byte_for_byte(recording: Recording) -> None:
    body = recording.response

    for unknown, places in injections(recording):
        for chosen in [places, *([place] for place in sampled(places, 4 * len(body)))]:
            whole = injected(body, chosen, unknown)
            assert relayed(recording, sized(331)(whole)) == whole, (chosen[:1], unknown)


@pytest.mark.parametrize("recording", params(one for one in _STREAMED if one.kind == "openai_responses"))
def test_an_unknown_item_is_a_tool_of_the_provider_and_changes_nothing_else(recording: Recording) -> None:
    item = {"type": "zz_item", "id": "zz_1"}
    frames = [{"type": f"response.output_item.{what}", "output_index": 99, "item": item} for what in ("added", "done")]
    body, places = recording.response, positions(recording)
    expected = fold(decode(recording, body))

    for place in sampled(places[beginning(recording, places) : -2], len(body)):
        found = fold(decode(recording, injected(body, [place], frames_of("openai_responses", frames))))
        others = [one for one in found.blocks if "zz_item" not in repr(one.block)]
        assert unnumbered(others) == unnumbered(expected.blocks), place
        assert (found.usage, found.error) == (expected.usage, expected.error), place


def unnumbered(blocks: list[CompletedBlock]) -> str:
    """`blocks` without their numbers in the stream."""
    return re.sub(r"\bindex=\d+", "", repr(blocks))


def relayed(recording: Recording, pieces: Iterable[bytes]) -> bytes:
    provider = PROVIDERS[recording.kind or ""]
    target = Target(provider=provider.kind, model="m")
    native = DIALECTS[provider.native_dialect or ""]
    relay = Passthrough(
        provider.splitter(target), provider.decoder(target), lambda _: native.encoder(CONTEXT), provider.is_terminator
    )
    return b"".join([relay.feed(piece) for piece in pieces]) + relay.finish()


# --- fields


def objects(tree: Any) -> list[dict[str, Any]]:
    """Every object of a JSON tree, the tree itself among them."""
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return ([tree] if isinstance(tree, dict) else []) + [one for child in children for one in objects(child)]


class Frames:
    """A stream whose JSON can be changed: what stands around each JSON text, and the text's tree."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.trees: list[Any] = []
        self._parts: list[Callable[[], bytes]] = []
        if recording.kind in BINARY:
            self._take_binary(recording.response)
        else:
            self._take_text(recording.response)

    def body(self) -> bytes:
        return b"".join(part() for part in self._parts)

    def objects(self) -> list[dict[str, Any]]:
        return [one for tree in self.trees for one in objects(tree)]

    def _take_binary(self, body: bytes) -> None:
        for headers, payload, _ in aws_frames.split(body):
            named = {name.removeprefix(":").replace("-", "_"): text for name, text in headers.items()}
            self._add(payload, functools.partial(_binary_frame, named))

    def _take_text(self, body: bytes) -> None:
        for line in re.split(rb"(?<=[\r\n])", body):
            found = re.match(rb"(data: ?)?(\{.*\})(\s*)$", line)
            if found is None:
                self._parts.append(functools.partial(bytes, line))
            else:
                before, text, after = found.group(1) or b"", found.group(2), found.group(3)
                self._add(text, functools.partial(_text_frame, before, after))

    def _add(self, text: bytes, write: Callable[[bytes], bytes]) -> None:
        tree = json.loads(text)
        self.trees.append(tree)
        self._parts.append(lambda: write(compact(tree)))


def _binary_frame(headers: dict[str, str], payload: bytes) -> bytes:
    return aws_frames.frame(payload, **headers)


def _text_frame(before: bytes, after: bytes, text: bytes) -> bytes:
    return before + text + after


def compact(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def without_field(what: object) -> str:
    """The `repr` of events or of a completion, without `FIELD` where it was kept as content."""
    return _FIELD_TEXT.sub("", repr(what))


def put_in(chosen: Iterable[dict[str, Any]]) -> None:
    for one in chosen:
        one.update(FIELD)


def take_out(chosen: Iterable[dict[str, Any]]) -> None:
    for one in chosen:
        del one["zz_unseen"]


@pytest.mark.parametrize("recording", params(_STREAMED))
def test_an_unknown_field_changes_nothing_wherever_it_stands(recording: Recording) -> None:
    frames = Frames(recording)
    places = frames.objects()
    expected = without_field(decode(recording, frames.body()))
    assert places

    put_in(places)
    assert without_field(decode(recording, frames.body())) == expected
    take_out(places)

    step = max(1, len(places) * len(recording.response) // MOST_BYTES)
    for place in places[::step]:
        put_in([place])
        assert without_field(decode(recording, frames.body())) == expected, place
        take_out([place])


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS) & set(CHECKS)))
@pytest.mark.parametrize("recording", params(_STREAMED))
def test_other_dialects_stay_grammatical_with_unknown_fields(recording: Recording, dialect: str) -> None:
    frames = Frames(recording)
    put_in(frames.objects())

    assert breaches(dialect, convert(recording, dialect, [frames.body()])) == []


@pytest.mark.parametrize("recording", params(one for one in _STREAMED if one.kind in DIALECTS))
def test_the_same_dialect_gets_unknown_fields_byte_for_byte(recording: Recording) -> None:
    frames = Frames(recording)
    put_in(frames.objects())
    body = frames.body()

    assert relayed(recording, sized(331)(body)) == body


# --- arrays and whole answers


@pytest.mark.parametrize("recording", params(_ARRAYS))
def test_unknown_elements_and_fields_of_a_streamed_array_change_nothing(recording: Recording) -> None:
    elements = json.loads(recording.response)
    expected = without_field(decode(recording, compact(elements)))
    for (unknown,) in UNKNOWN_EVENTS["gemini"] + UNKNOWN_PARTS["gemini"]:
        for place in range(1, len(elements) + 1):
            body = compact([*elements[:place], unknown, *elements[place:]])
            assert without_field(decode(recording, body)) == expected, (place, unknown)
            assert relayed(recording, sized(331)(body)) == body

    for one in objects(elements):
        put_in([one])
        assert without_field(decode(recording, compact(elements))) == expected, one
        take_out([one])


@pytest.mark.parametrize("recording", params(_WHOLE))
def test_an_unknown_field_of_a_whole_answer_changes_nothing(recording: Recording) -> None:
    provider = PROVIDERS[recording.kind or ""]
    target = Target(provider=provider.kind, model="m")
    tree = json.loads(recording.response)
    expected = without_field(provider.decode_completion(compact(tree), target))
    places = objects(tree)

    for chosen in [places, *([place] for place in places[:: max(1, len(places) // 100)])]:
        put_in(chosen)
        assert without_field(provider.decode_completion(compact(tree), target)) == expected, chosen[0]
        take_out(chosen)
