import pytest

from proxy.hub.events import (
    ArgumentsDelta,
    BlockStart,
    CitationAdded,
    Event,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    SignatureAdded,
    TextBlock,
    ToolCallBlock,
)
from proxy.hub.grammar import check
from tests.support.openai_responses_api import decode, read_by_hub, sse

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m1"}}
RESPONSE: dict[str, object] = {"id": "resp_1", "model": "m1", "status": "completed"}
COMPLETED: dict[str, object] = {"type": "response.completed", "response": RESPONSE}


def answer(*events: dict[str, object], output: list[dict[str, object]] | None = None) -> list[Event]:
    """`output`: the items of the terminal event, which has none otherwise."""
    end: dict[str, object] = COMPLETED if output is None else {**COMPLETED, "response": {**RESPONSE, "output": output}}
    found = decode(sse(CREATED, *events, end))
    assert check(found) == []
    return found


def bare(kind: str, **fields: object) -> dict[str, object]:
    """An event without `output_index`."""
    return {"type": f"response.{kind}", **fields}


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


def test_an_index_that_counts_deltas_makes_no_parts() -> None:
    """vLLM counts `content_index` up with every delta of a message or a reasoning, and repeats the whole at the end."""
    reasoning: dict[str, object] = {"type": "reasoning", "id": "rs_1", "summary": []}
    thought = [{"type": "reasoning_text", "text": "Let me see."}]

    events = answer(
        added(reasoning),
        event("reasoning_part.added", content_index=0, part={"type": "reasoning_text", "text": ""}),
        event("reasoning_text.delta", content_index=0, delta="Let"),
        event("reasoning_text.delta", content_index=1, delta=" me"),
        event("reasoning_text.delta", content_index=2, delta=" see."),
        event("reasoning_text.done", content_index=3, text="Let me see."),
        event("reasoning_part.done", content_index=3, part=thought[0]),
        done({**reasoning, "content": thought}),
        added(MESSAGE, 1),
        event("content_part.added", 1, content_index=4, part=text_part("")),
        event("output_text.delta", 1, content_index=4, delta="It"),
        event("output_text.delta", 1, content_index=5, delta=" is"),
        event("output_text.delta", 1, content_index=6, delta=" so."),
        event("output_text.done", 1, content_index=7, text="It is so."),
        event("content_part.done", 1, content_index=8, part=text_part("It is so.")),
        done({**MESSAGE, "content": [text_part("It is so.")]}, 1),
    )

    assert blocks(events) == [ReasoningBlock("rs_1"), TextBlock()]
    assert read_by_hub(events).reasoning == [("Let me see.", None)]
    assert read_by_hub(events).text == ["It is so."]


@pytest.mark.parametrize("parts", [["ab"], ["a", "b"], ["a", "bc"]], ids=str)
def test_parts_that_were_not_announced_are_said_once(parts: list[str]) -> None:
    events = answer(
        added(MESSAGE),
        event("output_text.delta", content_index=0, delta="a"),
        event("output_text.delta", content_index=1, delta="b"),
        done({**MESSAGE, "content": [text_part(part) for part in parts]}),
    )

    assert read_by_hub(events).text == ["".join(parts)]


def test_items_without_an_index_are_told_apart_by_their_ids() -> None:
    """llama.cpp gives no `output_index`, and repeats every item only at the end of the answer."""
    reasoning: dict[str, object] = {"type": "reasoning", "id": "rs_1", "summary": []}
    calls = [
        {"type": "function_call", "call_id": f"fc_{number}", "name": "f", "arguments": f'{{"a":{number}}}'}
        for number in (1, 2)
    ]
    whole = {**reasoning, "content": [{"type": "reasoning_text", "text": "Let me"}]}
    said = {**MESSAGE, "content": [text_part("It is")]}

    events = answer(
        bare("output_item.added", item=reasoning),
        bare("reasoning_text.delta", item_id="rs_1", delta="Let"),
        bare("reasoning_text.delta", item_id="rs_1", delta=" me"),
        bare("output_item.added", item=MESSAGE),
        bare("content_part.added", item_id="msg_1", part=text_part("")),
        bare("output_text.delta", item_id="msg_1", delta="It"),
        bare("output_text.delta", item_id="msg_1", delta=" is"),
        *(bare("output_item.added", item={**call, "arguments": ""}) for call in calls),
        bare("function_call_arguments.delta", item_id="fc_1", delta='{"a":1}'),
        bare("function_call_arguments.delta", item_id="fc_2", delta='{"a":'),
        bare("function_call_arguments.delta", item_id="fc_2", delta="2}"),
        bare("output_item.done", item=whole),
        bare("output_text.done", item_id="msg_1", text="It is"),
        bare("content_part.done", item_id="msg_1", part=text_part("It is")),
        bare("output_item.done", item=said),
        *(bare("output_item.done", item=call) for call in calls),
        output=[whole, said, *calls],
    )

    heard = read_by_hub(events)
    assert (heard.reasoning, heard.text) == ([("Let me", None)], ["It is"])
    assert [call.id for call in blocks(events) if isinstance(call, ToolCallBlock)] == ["fc_1", "fc_2"]
    assert "".join(found.json for found in events if isinstance(found, ArgumentsDelta)) == '{"a":1}{"a":2}'


def test_an_item_that_is_repeated_twice_is_said_once() -> None:
    said = {**MESSAGE, "content": [text_part("a")]}

    events = answer(added(MESSAGE), done(said), done(said))

    assert read_by_hub(events).text == ["a"]


def test_parts_of_a_message_are_blocks() -> None:
    events = answer(
        added(MESSAGE),
        event("content_part.added", content_index=0, part=text_part("")),
        event("output_text.delta", content_index=0, delta="a"),
        event("content_part.added", content_index=1, part=text_part("")),
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
