import pytest

from proxy.hub.events import (
    BlockStart,
    CitationAdded,
    Event,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    SignatureAdded,
    TextBlock,
)
from proxy.hub.grammar import check
from tests.support.openai_responses_api import decode, read_by_hub, sse

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m1"}}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "model": "m1", "status": "completed"}}


def answer(*events: dict[str, object]) -> list[Event]:
    found = decode(sse(CREATED, *events, COMPLETED))
    assert check(found) == []
    return found


def event(kind: str, index: int = 0, **fields: object) -> dict[str, object]:
    return {"type": f"response.{kind}", "output_index": index, **fields}


def added(item: dict[str, object], index: int = 0) -> dict[str, object]:
    return event("output_item.added", index, item=item)


def done(item: dict[str, object], index: int = 0) -> dict[str, object]:
    return event("output_item.done", index, item=item)


def blocks(events: list[Event]) -> list[object]:
    return [found.block for found in events if isinstance(found, BlockStart)]


MESSAGE: dict[str, object] = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}


def text_part(text: str, *annotations: dict[str, object]) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": list(annotations)}


def test_parts_of_a_message_are_blocks() -> None:
    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=0, delta="a"),
        event("output_text.delta", content_index=1, delta="b"),
        event("refusal.delta", content_index=2, delta="no"),
        done({**MESSAGE, "content": [text_part("a"), text_part("b"), {"type": "refusal", "refusal": "no"}]}),
    )

    assert blocks(events) == [TextBlock(), TextBlock(), RefusalBlock()]
    assert read_by_hub(events).text == ["a", "b"]
    assert read_by_hub(events).refusals == ["no"]


def test_a_part_that_only_the_snapshot_has_is_added() -> None:
    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=0, delta="a"),
        done({**MESSAGE, "content": [text_part("a"), text_part("b"), {"type": "refusal", "refusal": "no"}]}),
    )

    assert read_by_hub(events).text == ["a", "b"]
    assert read_by_hub(events).refusals == ["no"]


def test_a_part_may_have_another_index_in_the_snapshot() -> None:
    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=1, delta="a"),
        done({**MESSAGE, "content": [text_part("a")]}),
    )

    assert read_by_hub(events).text == ["a"]


def test_an_empty_message_leaves_no_block() -> None:
    events = answer(
        added(MESSAGE),
        event("content_part.added", content_index=0, part=text_part("")),
        event("output_text.delta", content_index=0, delta=""),
        event("content_part.done", content_index=0, part=text_part("")),
        done({**MESSAGE, "content": [text_part("")]}),
    )

    assert blocks(events) == []


def test_deltas_after_the_part_is_done_are_ignored() -> None:
    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=0, delta="a"),
        event("content_part.done", content_index=0, part=text_part("a")),
        event("output_text.delta", content_index=0, delta="late"),
        done({**MESSAGE, "content": [text_part("a")]}),
        event("output_text.delta", content_index=1, delta="later"),
    )

    assert read_by_hub(events).text == ["a"]


# --- citations

URL: dict[str, object] = {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2}
FILE: dict[str, object] = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3}


def citations(events: list[Event]) -> list[tuple[object, ...]]:
    return [(c.url, c.title, c.start, c.end, c.origin) for c in events if isinstance(c, CitationAdded)]


def test_annotations_are_citations_once() -> None:
    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=0, delta="abc"),
        event("output_text.annotation.added", content_index=0, annotation_index=0, annotation=URL),
        event("content_part.done", content_index=0, part=text_part("abc", URL)),
        done({**MESSAGE, "content": [text_part("abc", URL)]}),
    )

    assert citations(events) == [("u", "t", 1, 2, Origin.OPENAI)]


@pytest.mark.parametrize("told_by", ["part", "item", "both"])
def test_annotations_that_were_not_announced_are_found(told_by: str) -> None:
    part = event("content_part.done", content_index=0, part=text_part("abc", URL, FILE))
    item = done({**MESSAGE, "content": [text_part("abc", URL, FILE)]})

    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=0, delta="abc"),
        event("output_text.annotation.added", content_index=0, annotation=URL),
        *([part] if told_by != "item" else []),
        *([item] if told_by != "part" else []),
    )

    assert citations(events) == [
        ("u", "t", 1, 2, Origin.OPENAI),
        (None, "a.pdf", None, None, Origin.OPENAI),
    ]
    assert read_by_hub(events).annotations == [URL, FILE]


# --- reasoning

REASONING: dict[str, object] = {"type": "reasoning", "id": "rs_1", "summary": []}


def summary(*texts: str) -> list[dict[str, object]]:
    return [{"type": "summary_text", "text": text} for text in texts]


def test_summary_parts_are_paragraphs_of_one_block() -> None:
    events = answer(
        added(REASONING),
        event("reasoning_summary_text.delta", summary_index=0, delta="**One**"),
        event("reasoning_summary_text.done", summary_index=0, text="**One**"),
        event("reasoning_summary_text.delta", summary_index=1, delta="**T"),
        event("reasoning_summary_text.delta", summary_index=1, delta="wo**"),
        event("reasoning_summary_part.done", summary_index=1, part={"type": "summary_text", "text": "**Two**"}),
        done({**REASONING, "summary": summary("**One**", "**Two**"), "encrypted_content": "gAAA"}),
    )

    assert blocks(events) == [ReasoningBlock("rs_1")]
    assert read_by_hub(events).reasoning == [("**One**\n\n**Two**", "gAAA")]


def test_summary_parts_that_only_the_snapshot_has_are_added() -> None:
    events = answer(
        added(REASONING),
        event("reasoning_summary_text.delta", summary_index=0, delta="On"),
        done({**REASONING, "summary": summary("One", "Two")}),
    )

    assert read_by_hub(events).reasoning == [("One\n\nTwo", None)]


def test_a_part_that_is_no_longer_last_cannot_grow() -> None:
    events = answer(
        added(REASONING),
        event("reasoning_summary_text.delta", summary_index=0, delta="On"),
        event("reasoning_summary_text.delta", summary_index=1, delta="Two"),
        done({**REASONING, "summary": summary("One", "Two")}),
    )

    assert read_by_hub(events).reasoning == [("On\n\nTwo", None)]


@pytest.mark.parametrize("part_event", ["reasoning_text.done", "content_part.done", "item"])
def test_raw_reasoning_without_deltas_is_found(part_event: str) -> None:
    part = {"type": "reasoning_text", "text": "We add."}
    told = {
        "reasoning_text.done": event("reasoning_text.done", content_index=0, text="We add."),
        "content_part.done": event("content_part.done", content_index=0, part=part),
        "item": done({**REASONING, "content": [part]}),
    }[part_event]

    assert read_by_hub(answer(added(REASONING), told)).reasoning == [("We add.", None)]


def test_encrypted_reasoning_without_text_is_redacted() -> None:
    events = answer(added({**REASONING, "encrypted_content": "half"}), done({**REASONING, "encrypted_content": "gAAA"}))

    assert blocks(events) == [RedactedReasoningBlock("gAAA", Origin.OPENAI, "rs_1")]


def test_the_proof_is_the_one_of_the_done_event() -> None:
    final = {**REASONING, "summary": summary("One"), "encrypted_content": "another"}
    body = sse(
        CREATED,
        added({**REASONING, "encrypted_content": "half"}),
        event("reasoning_summary_text.delta", summary_index=0, delta="One"),
        done({**REASONING, "summary": summary("One"), "encrypted_content": "gAAA"}),
        {"type": "response.completed", "response": {"status": "completed", "output": [final]}},
    )

    signatures = [found for found in decode(body) if isinstance(found, SignatureAdded)]

    assert signatures == [SignatureAdded(0, "gAAA", Origin.OPENAI)]


def test_reasoning_without_anything_leaves_no_block() -> None:
    assert blocks(answer(added(REASONING), done(REASONING))) == []
