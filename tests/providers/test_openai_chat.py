"""What compatible vendors do differently, one table row or test for each deviation, and the recording that shows it."""

from typing import Any

import pytest

from proxy.hub.completion import CompletedBlock, fold
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    StreamError,
    TextBlock,
    TextDelta,
    Usage,
)
from proxy.hub.grammar import check
from proxy.providers.openai_chat.stream import ChatDecoder
from tests.support.corpus import params, recordings
from tests.support.openai_chat_api import TARGET, call, chunk, decode, fixture, reading, sse, target

DONE = "[DONE]"


def read(*chunks: object, **quirks: Any) -> list[Event]:
    events = decode(sse(*chunks), to=target(**quirks))
    assert check(events) == []
    return events


def blocks(events: list[Event]) -> list[CompletedBlock]:
    return fold(events).blocks


def shown(events: list[Event]) -> list[tuple[str, str]]:
    """Kind and text of each block."""
    return [(type(done.block).__name__.removesuffix("Block"), done.text) for done in blocks(events)]


def ending(*chunks: object) -> Event:
    return read(*chunks)[-1]


# --- start

AZURE_FIRST = {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}


def test_the_start_waits_for_an_id_or_a_choice() -> None:
    events = read(AZURE_FIRST, chunk({"content": "x"}), chunk(finish="stop"), DONE)

    assert events[0] == MessageStart("c1", "m")


def test_the_first_id_counts_when_ids_change() -> None:
    events = read(chunk({"content": "x"}), chunk({"content": "y"}, "stop", id="c2"), DONE)

    assert events[0] == MessageStart("c1", "m")
    assert shown(events) == [("Text", "xy")]


@pytest.mark.parametrize(("given", "expected"), [(7, "7"), (None, ""), ("", "")])
def test_an_id_may_be_a_number_or_absent(given: object, expected: str) -> None:
    assert read(chunk({"content": "x"}, "stop", id=given), DONE)[0] == MessageStart(expected, "m")


# --- text and reasoning

REASONING = [
    ({"reasoning_content": "why"}, "why"),
    ({"reasoning_text": "why", "content": ""}, "why"),
    ({"reasoning": "why"}, "why"),
    ({"reasoning": "why", "reasoning_content": "why"}, "why"),
    ({"reasoning": "why", "reasoning_details": [{"type": "reasoning.text", "text": "why", "index": 0}]}, "why"),
    ({"reasoning_details": [{"type": "reasoning.text", "text": "why"}]}, "why"),
    ({"reasoning_details": [{"text": "why"}]}, "why"),
    ({"reasoning_details": [{"type": "reasoning.summary", "summary": "why"}]}, "why"),
    ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}]}, "why"),
    ({"content": [{"type": "thinking", "thinking": "why"}]}, "why"),
    ({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]}]}, "why"),
]


@pytest.mark.parametrize(("delta", "text"), REASONING)
def test_reasoning_is_understood_under_every_name(delta: dict[str, Any], text: str) -> None:
    events = read(chunk(delta), chunk({"content": "ok"}, "stop"), DONE)

    assert shown(events) == [("Reasoning", text), ("Text", "ok")]


def test_a_content_array_may_hold_reasoning_and_text_in_order() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "a"}], "closed": True},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "b"},
    ]

    assert shown(read(chunk({"content": content}), chunk({"content": "c"}, "stop"), DONE)) == [
        ("Reasoning", "a"),
        ("Text", "bc"),
    ]


@pytest.mark.parametrize("reference", [{"type": "reference", "reference_ids": [1]}, [{"type": "reference"}]], ids=str)
def test_a_part_may_stand_alone(reference: object) -> None:
    """Mistral, between the texts that rest on a tool's results."""
    chunks = [chunk({"content": "a"}), chunk({"content": reference}), chunk({"content": {"type": "text", "text": "b"}})]

    assert shown(read(*chunks, chunk(finish="stop"), DONE)) == [("Text", "ab")]


def test_a_signature_belongs_to_the_reasoning_before_it() -> None:
    detail = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    events = read(
        chunk({"reasoning": "a", "reasoning_details": [{**detail, "text": "a"}]}),
        chunk({"reasoning_details": [{**detail, "signature": "sig"}]}),
        chunk({"content": "b"}, "stop"),
        DONE,
    )

    first = blocks(events)[0]
    assert (first.text, first.block) == ("a", ReasoningBlock())
    assert first.signature is not None
    assert first.signature.origin is Origin.OPENROUTER
    assert (
        first.signature.signature
        == '{"type":"reasoning.text","signature":"sig","format":"anthropic-claude-v1","index":0}'
    )


def test_another_detail_index_is_another_reasoning_block() -> None:
    first = {"type": "reasoning.text", "text": "a", "signature": "s", "index": 0}
    events = read(chunk({"reasoning_details": [first, {**first, "text": "b", "index": 1}]}, "stop"), DONE)

    assert shown(events) == [("Reasoning", "a"), ("Reasoning", "b")]


def test_encrypted_reasoning_is_kept_whole() -> None:
    detail = {
        "type": "reasoning.encrypted",
        "data": "opaque",
        "id": "rs_1",
        "format": "openai-responses-v1",
        "index": 0,
    }
    events = read(chunk({"reasoning_details": [detail]}), chunk({"content": "x"}, "stop"), DONE)

    redacted = blocks(events)[0].block
    assert isinstance(redacted, RedactedReasoningBlock)
    assert (redacted.origin, redacted.id) == (Origin.OPENROUTER, "rs_1")
    assert '"data":"opaque"' in redacted.data


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["<think>why</think>ok"], [("Reasoning", "why"), ("Text", "ok")]),
        (["<th", "ink>w", "hy</", "thin", "k>ok"], [("Reasoning", "why"), ("Text", "ok")]),
        (list("<think>why</think>ok"), [("Reasoning", "why"), ("Text", "ok")]),
        (["a<b", " <thin"], [("Text", "a<b <thin")]),
        (["<think>never closed </thi"], [("Reasoning", "never closed </thi")]),
        (["<think></think>ok"], [("Text", "ok")]),
        (["x<think>y</think>z<think>w"], [("Text", "x"), ("Reasoning", "y"), ("Text", "z"), ("Reasoning", "w")]),
    ],
)
def test_think_tags_become_reasoning_when_asked(pieces: list[str], expected: list[tuple[str, str]]) -> None:
    chunks = [chunk({"content": piece}) for piece in pieces]

    assert shown(read(*chunks, chunk(finish="stop"), DONE, think_tags=True)) == expected
    assert shown(read(*chunks, chunk(finish="stop"), DONE)) == [("Text", "".join(pieces))]


def test_a_held_back_tag_precedes_what_follows() -> None:
    events = read(
        chunk({"content": "1 <"}),
        chunk(call(id="a", name="f", arguments="{}")),
        chunk(finish="tool_calls"),
        DONE,
        think_tags=True,
    )

    assert shown(events) == [("Text", "1 <"), ("ToolCall", "{}")]


def test_a_choice_without_delta_is_read() -> None:
    whole = {"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}
    older = {"index": 0, "text": "older", "finish_reason": "stop"}

    assert shown(read({"id": "a", "choices": [whole]}, DONE)) == [("Text", "whole")]
    assert shown(read({"id": "a", "choices": [older]}, DONE)) == [("Text", "older")]


def test_a_whole_message_at_the_end_repeats_what_was_streamed() -> None:
    """MiniMax ends so; a call that stands only there is new."""
    tool = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    again: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    with_call = {**again, "message": {**again["message"], "tool_calls": [tool]}}
    end = {"id": "c1", "object": "chat.completion", "choices": [again], "base_resp": {"status_code": 0}}

    streamed = [chunk({"content": "Hel"}), chunk({"content": "lo"})]
    assert shown(read(*streamed, end, DONE)) == [("Text", "Hello")]
    assert shown(read(*streamed, {**end, "choices": [with_call]})) == [("Text", "Hello"), ("ToolCall", "{}")]
    assert shown(read(chunk({"tool_calls": [{"index": 0, **tool}]}), {**end, "choices": [with_call]})) == [
        ("ToolCall", "{}")
    ]


def test_messages_may_come_in_pieces_in_the_place_of_deltas() -> None:
    pieces = [{"id": "a", "choices": [{"message": {"content": piece}, "finish_reason": end}]} for piece, end in PIECES]

    assert shown(read(*pieces, DONE)) == [("Text", "Hello")]


PIECES = [("Hel", None), ("lo", "stop")]


def test_only_the_first_choice_is_read() -> None:
    other = {"id": "c1", "choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]}

    assert reading(read(chunk({"content": "x"}), other, chunk(finish="stop"), other, DONE)).text == "x"


def test_an_audio_transcript_is_text() -> None:
    assert shown(read(chunk({"audio": {"id": "a", "transcript": "hi"}}), chunk(finish="stop"), DONE)) == [
        ("Text", "hi")
    ]


def test_half_a_surrogate_pair_and_half_a_character_are_replaced() -> None:
    body = b'data: {"id":"a","choices":[{"delta":{"content":"\\ud83d|\xe2\x82"},"finish_reason":"stop"}]}\n\n'

    assert reading(decode(body)).text == "\ufffd|\ufffd"


# --- usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def usage_of(events: list[Event]) -> Usage | None:
    return fold(events).usage


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(finish="stop"), {"id": "c1", "choices": [], "usage": USAGE}],
        [chunk(finish="stop", usage=USAGE)],
        [chunk(finish="stop", x_groq={"id": "r", "usage": USAGE})],
        [chunk({}, usage={**USAGE, "completion_tokens": 1}), chunk(finish="stop", usage=USAGE)],
        [chunk({}, usage=USAGE), chunk(finish="stop", usage=None)],
        [{"choices": [], "usage": USAGE}, chunk(finish="stop")],
    ],
)
def test_the_last_usage_counts_wherever_it_stands(chunks: list[object]) -> None:
    assert usage_of(read(*chunks, DONE)) == Usage(10, 4)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 3}}, Usage(10, 4, cached_input=3)),
        ({"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 7}, Usage(10, 4, cached_input=3)),
        ({"cached_tokens": 3}, Usage(10, 4, cached_input=3)),
        ({"cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}, Usage(10, 4, 3, 2)),
        ({"prompt_tokens_details": {"cache_write_tokens": 2}}, Usage(10, 4, cache_write=2)),
        ({"completion_tokens_details": {"reasoning_tokens": 3}}, Usage(10, 4, reasoning=3)),
        # xAI: the total shows that reasoning is not in completion_tokens.
        ({"total_tokens": 17, "completion_tokens_details": {"reasoning_tokens": 3}}, Usage(10, 7, reasoning=3)),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, Usage(10, 4)),
        ({"service_tier": "standard"}, Usage(10, 4, service_tier="standard")),
        ({"prompt_tokens": None}, Usage(None, 4)),
    ],
)
def test_counts_are_understood_under_every_name(wire: dict[str, Any], expected: Usage) -> None:
    assert usage_of(read(chunk(finish="stop", usage={**USAGE, **wire}), DONE)) == expected


def test_a_usage_of_a_wrong_shape_does_not_end_a_good_answer() -> None:
    events = read(chunk({"content": "x"}, "stop", usage={"prompt_tokens": "ten"}), DONE)

    assert usage_of(events) is None
    assert isinstance(events[-1], MessageEnd)


LOOSE = ["usage", "citations", "search_results", "service_tier", "error"]


@pytest.mark.parametrize("name", LOOSE)
@pytest.mark.parametrize("value", [None, [], {}, ""])
def test_empty_values_beside_the_text_do_no_harm(name: str, value: object) -> None:
    events = read(chunk({"content": "x"}, "stop", **{name: value}), DONE)

    assert reading(events).text == "x"
    assert isinstance(events[-1], MessageEnd)


@pytest.mark.parametrize("delta", [{"annotations": {}}, {"images": "x"}, {"reasoning_details": [{}]}, {"audio": {}}])
def test_odd_values_of_extensions_do_no_harm(delta: dict[str, Any]) -> None:
    assert shown(read(chunk({"content": "x", **delta}), chunk(finish="stop"), DONE)) == [("Text", "x")]


def test_an_index_may_be_null() -> None:
    body = {"id": "a", "choices": [{"index": None, "delta": {"content": "x"}, "finish_reason": "stop"}]}

    assert shown(read(body, DONE)) == [("Text", "x")]


@pytest.mark.parametrize("report", [{}, {"total_tokens": 0, "total_characters": 0}, {"prompt_tokens": None}])
def test_usage_that_was_not_reported_is_none(report: dict[str, Any]) -> None:
    assert usage_of(read(chunk(finish="stop"), DONE)) is None
    assert usage_of(read(chunk({"content": "x"}, usage=report), chunk(finish="stop"), DONE)) is None


# --- endings


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([chunk(finish="stop"), DONE], MessageEnd(FinishReason.STOP, "stop")),
        ([chunk(finish="stop")], MessageEnd(FinishReason.STOP, "stop")),
        ([chunk({"content": "x"}), DONE], MessageEnd(FinishReason.OTHER, None)),
        ([chunk(finish="stop"), chunk(finish="stop"), chunk(finish=None), DONE], MessageEnd(FinishReason.STOP, "stop")),
        ([chunk(finish=""), chunk(finish="length"), DONE], MessageEnd(FinishReason.LENGTH, "length")),
        ([chunk(finish="stop"), chunk({"content": "late"}), DONE], MessageEnd(FinishReason.STOP, "stop")),
        ([chunk(finish="brand_new"), DONE], MessageEnd(FinishReason.OTHER, "brand_new")),
        ([chunk(finish="model_length"), DONE], MessageEnd(FinishReason.CONTEXT_FULL, "model_length")),
        ([chunk(finish="STOP"), DONE], MessageEnd(FinishReason.STOP, "STOP")),
        ([chunk(finish="eos_token"), DONE], MessageEnd(FinishReason.STOP, "eos_token")),
        ([chunk(finish="SAFETY"), DONE], MessageEnd(FinishReason.CONTENT_FILTER, "SAFETY")),
        ([chunk({"refusal": "no"}, "stop"), DONE], MessageEnd(FinishReason.REFUSAL, "stop")),
        ([chunk(finish="tool_calls"), DONE], MessageEnd(FinishReason.STOP, "tool_calls")),
        ([chunk(call(id="a", name="f"), "stop"), DONE], MessageEnd(FinishReason.TOOL_CALLS, "stop")),
        ([chunk(call(id="a", name="f"), "length"), DONE], MessageEnd(FinishReason.LENGTH, "length")),
        ([chunk(call(id="a", name="f")), DONE], MessageEnd(FinishReason.TOOL_CALLS, None)),
    ],
)
def test_a_whole_answer_ends_with_its_reason(chunks: list[object], expected: MessageEnd) -> None:
    assert ending(*chunks) == expected


def test_without_reason_and_terminator_a_stream_was_cut() -> None:
    error = ending(chunk({"content": "x"}))

    assert isinstance(error, StreamError)
    assert error.kind is ErrorKind.CUT


def test_nothing_is_read_after_the_end() -> None:
    decoder = ChatDecoder(TARGET)
    decoder.feed(sse(chunk(finish="stop"), DONE))

    assert decoder.feed(sse(chunk({"content": "x"})) + b"garbage\n\n") == []
    assert decoder.finish() == []


def test_the_last_event_may_lack_its_blank_line() -> None:
    body = sse(chunk({"content": "x"}, "stop"), DONE)

    assert isinstance(decode(body.rstrip())[-1], MessageEnd)
    assert isinstance(decode(sse(chunk({"content": "x"}, "stop")).rstrip())[-1], MessageEnd)


def test_the_terminator_may_have_spaces_around_it() -> None:
    assert isinstance(decode(sse(chunk({"content": "x"})) + b"data:  [DONE] \n\n")[-1], MessageEnd)


# --- citations, images


def test_citations_may_be_objects() -> None:
    page = {"url": "https://a.example", "title": "A"}

    events = read(chunk({"content": "x"}, "stop", citations=[page, 7, "https://b.example"]), DONE)

    cited = [(found.url, found.title) for found in events if isinstance(found, CitationAdded)]
    assert sorted(cited) == [("https://a.example", "A"), ("https://b.example", None)]


def test_annotations_are_citations_of_the_text() -> None:
    cited = {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    annotation = {"type": "url_citation", "url_citation": cited}
    events = read(
        chunk({"content": "ab"}),
        chunk({"annotations": [annotation, {"type": "file_path"}]}),
        chunk(finish="stop"),
        DONE,
    )

    found = [event for event in events if isinstance(event, CitationAdded)]
    assert [(one.index, one.url, one.title, one.start, one.end) for one in found] == [(0, "https://a", "A", 0, 2)]
    assert found[0].origin is Origin.OPENAI
    assert found[0].raw is not None


def test_pages_at_the_top_level_are_cited_once_each() -> None:
    pages = ["https://a", "https://b"]
    results = [{"url": "https://b", "title": "B", "snippet": "said"}]
    events = read(
        chunk({"content": "x"}, citations=pages),
        chunk({"content": "y"}, "stop", citations=pages, search_results=results),
        DONE,
    )

    assert blocks(events)[0].citations == [
        CitationAdded(0, "https://a"),
        CitationAdded(0, "https://b", "B", "said"),
    ]


def test_generated_images_are_media() -> None:
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "image_url"},
    ]

    events = read(chunk({"content": "x", "images": images}, "stop"), DONE)

    assert [done.block for done in blocks(events)] == [
        TextBlock(),
        MediaBlock("image/webp", data="AAAA"),
        MediaBlock("image/*", url="https://a/b.png"),
    ]


# --- recordings that show something


def found(part: str) -> list[Any]:
    return params(recordings(kind="openai_chat", stream=True, where=lambda one: part in one.name))


@pytest.mark.parametrize("recording", found("mistral-hybrid-reasoning"))
def test_mistral_thinks_in_content_arrays(recording: Any) -> None:
    assert [kind for kind, _ in shown(decode(recording.response))] == ["Reasoning", "Text"]


@pytest.mark.parametrize("recording", found("openrouterthinking-anthropic") + found("vercelthinking"))
def test_signed_reasoning_keeps_its_signature(recording: Any) -> None:
    first = blocks(decode(recording.response))[0]

    assert isinstance(first.block, ReasoningBlock)
    assert first.text
    assert first.signature is not None
    assert "anthropic-claude-v1" in first.signature.signature


@pytest.mark.parametrize("recording", found("xai-grok-3-mini-thinking-streaming"))
def test_xai_leaves_reasoning_out_of_its_output_count(recording: Any) -> None:
    assert usage_of(decode(recording.response)) == Usage(331, 282, cached_input=330, reasoning=271)


@pytest.mark.parametrize("recording", found("perplexity"))
def test_perplexity_has_pages_and_no_terminator(recording: Any) -> None:
    events = decode(recording.response)

    assert isinstance(events[-1], MessageEnd)
    assert len(blocks(events)[0].citations) >= 5


@pytest.mark.parametrize("recording", found("snowflake"))
def test_snowflake_gives_no_reason(recording: Any) -> None:
    assert decode(recording.response)[-1] == MessageEnd(FinishReason.OTHER, None)


@pytest.mark.parametrize("name", ["dev-groq-usage", "dev-vllm-reasoning", "dev-mistral", "dev-azure-first-chunk"])
def test_the_fixtures_of_deviations_are_whole(name: str) -> None:
    assert reading(decode(fixture(name))).ending == "completed"


def test_openrouters_comments_and_its_error_beside_choices() -> None:
    error = decode(fixture("dev-openrouter"))[-1]

    assert isinstance(error, StreamError)
    assert (error.kind, error.message, error.code) == (ErrorKind.UPSTREAM_FAILED, "Provider disconnected", "502")


def test_a_reasoning_delta_opens_no_text() -> None:
    events = read(chunk({"content": "", "reasoning": "a"}), chunk({"content": "", "reasoning": "b"}, "stop"), DONE)

    assert [event for event in events if isinstance(event, ReasoningDelta | TextDelta)] == [
        ReasoningDelta(0, "a"),
        ReasoningDelta(0, "b"),
    ]
