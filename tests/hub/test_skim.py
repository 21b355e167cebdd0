"""Skimming: whatever is taken for a delta without reading is one, for any text and any shape of frame."""

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.events import BlockStart, Event, ReasoningDelta, TextBlock, TextDelta
from proxy.hub.skim import MAX_LESSONS, Rereader, Skimmer


def frame(text: str, **more: object) -> bytes:
    delta = {"id": "c1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}
    return b"data: " + json.dumps(delta, ensure_ascii=False).encode() + b"\n\n"


def taught(lesson: str = "lesson") -> Skimmer:
    skimmer = Skimmer()
    skimmer.learn(frame(lesson), [TextDelta(0, lesson)])
    return skimmer


def test_nothing_is_taken_for_a_delta_before_the_first_lesson() -> None:
    assert not Skimmer().is_delta(frame("word"))


@given(st.text())
def test_a_frame_of_the_learnt_shape_is_a_delta_unless_its_text_is_escaped_or_empty(text: str) -> None:
    is_plain = bool(text) and json.dumps(text, ensure_ascii=False) == f'"{text}"'

    if is_plain:
        assert taught().is_delta(frame(text))
    if not text or '"' in text or text.endswith("\\"):
        assert not taught().is_delta(frame(text))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_a_frame_with_bytes_put_in_is_taken_only_if_it_is_still_one_delta(inserted: bytes, at: int) -> None:
    whole = frame("some text")
    changed = whole[:at] + inserted + whole[at:]

    if taught().is_delta(changed):
        before, _, after = whole.partition(b"some text")
        assert changed.startswith(before)
        assert changed.endswith(after)
        assert not set(changed[len(before) : -len(after)]) & set(b'"\n')


def test_other_frames_are_read() -> None:
    skimmer = taught()

    assert not skimmer.is_delta(frame("x", usage={"prompt_tokens": 1}))
    assert not skimmer.is_delta(frame("x").replace(b'"finish_reason": null', b'"finish_reason": "stop"'))
    assert not skimmer.is_delta(frame("x") + frame("y"))
    assert not skimmer.is_delta(b"data: [DONE]\n\n")


def test_reasoning_is_learnt_as_well() -> None:
    skimmer = Skimmer()
    skimmer.learn(frame("thought"), [ReasoningDelta(0, "thought")])

    assert skimmer.is_delta(frame("another"))


def test_no_lesson_is_taken_from_what_is_ambiguous() -> None:
    for text, events in (
        ("c1", [TextDelta(0, "c1")]),
        ("content", [TextDelta(0, "content")]),
        ("word", [BlockStart(0, TextBlock()), TextDelta(0, "word")]),
        ('a "b" c', [TextDelta(0, 'a "b" c')]),
    ):
        skimmer = Skimmer()
        learnt: list[Event] = list(events)
        skimmer.learn(frame(text), learnt)

        assert not skimmer.is_delta(frame("word again"))


def test_a_stream_that_never_repeats_itself_is_given_up() -> None:
    skimmer = Skimmer()
    for number in range(MAX_LESSONS):
        skimmer.learn(frame("id"), [TextDelta(0, f"other {number}")])
    skimmer.learn(frame("lesson"), [TextDelta(0, "lesson")])

    assert not skimmer.is_delta(frame("word"))


# --- rereading


def data(text: str, **more: object) -> bytes:
    """The JSON of one delta."""
    return frame(text, **more)[6:-2]


def practised(lesson: Event | None = None) -> Rereader:
    rereader = Rereader()
    rereader.least = rereader.learn(b"", data("lesson"), lesson or TextDelta(3, "lesson"))
    assert rereader.least
    return rereader


@given(st.text(min_size=1), st.booleans())
def test_a_delta_of_the_learnt_shape_is_read_with_its_escapes(text: str, is_ascii: bool) -> None:
    delta = {"id": "c1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}

    assert practised().read(b"", json.dumps(delta, ensure_ascii=is_ascii).encode()) == TextDelta(3, text)


def test_reasoning_is_reread_as_reasoning() -> None:
    assert practised(ReasoningDelta(1, "lesson")).read(b"", data("more")) == ReasoningDelta(1, "more")


@given(st.binary(max_size=60), st.integers(0, 150))
def test_a_frame_is_reread_only_if_reading_it_gives_the_same(inserted: bytes, at: int) -> None:
    whole = data("some text")
    changed = whole[:at] + inserted + whole[at:]
    delta = practised().read(b"", changed)

    if delta is not None:
        assert json.loads(changed) == json.loads(data(delta.text))


def test_frames_of_another_shape_are_not_reread() -> None:
    rereader = practised()

    assert rereader.read(b"", data("x", usage={"prompt_tokens": 1})) is None
    assert rereader.read(b"error", data("x")) is None
    assert rereader.read(b"", data("")) is None
    assert rereader.read(b"", data('x","role":"y').replace(b"\\", b"")) is None
    assert rereader.read(b"", data("x").replace(b"x", b"\xff")) is None
    assert rereader.read(b"", data("x").replace(b"x", b"\n")) is None


def test_nothing_is_learnt_from_a_text_whose_place_is_not_certain() -> None:
    elsewhere = data("\\u006cesson").replace(b"\\\\u", b"\\u").replace(b"c1", b"lesson")
    for name, json_text, event in (
        ("too short", data("ab"), TextDelta(0, "ab")),
        ("twice", data("lesson", model="lesson"), TextDelta(0, "lesson")),
        ("a part of a string", data("a lesson"), TextDelta(0, "lesson")),
        ("escaped, and plain in another place", elsewhere, TextDelta(0, "lesson")),
        ("no delta", data("lesson"), BlockStart(0, TextBlock())),
    ):
        assert Rereader().learn(b"", json_text, event) == 0, name


def test_a_stream_whose_shape_never_comes_again_is_given_up() -> None:
    rereader = Rereader()
    for number in range(MAX_LESSONS):
        rereader.least = rereader.learn(b"", data("lesson", padding=number), TextDelta(0, "lesson"))

    assert rereader.learn(b"", data("lesson"), TextDelta(0, "lesson")) == 0
