"""Cohere as an upstream: recorded streams and answers, faults."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from proxy.hub import grammar
from proxy.hub.completion import fold, unfold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    BlockStart,
    CitationAdded,
    FinishReason,
    MessageEnd,
    MessageStart,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    Usage,
)
from proxy.providers.base import Target
from proxy.providers.cohere.errors import KIND_BY_REASON
from proxy.providers.cohere.provider import Cohere
from proxy.providers.cohere.wire import FINISH_REASON
from tests.support.corpus import Recording, params, recordings
from tests.support.provider_streams import (
    TARGET,
    assert_any_split_gives_the_same,
    assert_cut_is_an_error,
    decode,
    mutated,
    reading_of,
)
from tests.support.readers import cohere as reader
from tests.support.readings import Reading, Tokens, differences

COHERE = Cohere()
FIXTURES = Path(__file__).parents[1] / "fixtures" / "cohere"
EXAMPLES = {path.stem: path.read_bytes() for path in sorted(FIXTURES.iterdir())}
STREAMS = recordings(kind="cohere", stream=True, ok=True)
WHOLE = recordings(kind="cohere", stream=False, ok=True)
REFUSED = recordings(kind="cohere", ok=False)


def event(type: str, index: int | None = None, **message: Any) -> bytes:
    data: dict[str, Any] = {"type": type, "delta": {"message": message}}
    if index is not None:
        data["index"] = index
    return f"event: {type}\ndata: {json.dumps(data)}\n\n".encode()


def end(reason: str | None = "COMPLETE", **delta: Any) -> bytes:
    data = {"type": "message-end", "delta": {"finish_reason": reason, **delta}}
    return f"event: message-end\ndata: {json.dumps(data)}\n\n".encode()


def call_start(index: int, id: str | None = "c1", name: str | None = "f", arguments: str = "") -> bytes:
    function = {"name": name, "arguments": arguments}
    return event("tool-call-start", index, tool_calls={"id": id, "type": "function", "function": function})


START = b'data: {"type":"message-start","id":"m-1","delta":{"message":{"role":"assistant"}}}\n\n'
TEXT = event("content-start", 0, content={"type": "text", "text": ""}) + event(
    "content-delta", 0, content={"text": "Oslo"}
)


def ends_of(body: bytes) -> list[int]:
    """Behind each event that comes before the message's end."""
    last = body.index(b"event: message-end")
    return [found.end() for found in re.finditer(rb"\n\n", body) if found.end() <= last]


# --- every recording and example


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_is_grammatical_and_the_same_in_any_pieces(recording: Recording) -> None:
    assert isinstance(decode(COHERE, [recording.response])[-1], MessageEnd)
    assert_any_split_gives_the_same(COHERE, recording.response)


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_cut_recording_ends_as_cut(recording: Recording) -> None:
    assert_cut_is_an_error(COHERE, recording.response, ends_of(recording.response))


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_reads_as_its_events_say(recording: Recording) -> None:
    theirs = reader.reading_of_stream(recording.response)

    assert theirs.error is None
    assert differences(theirs, reading_of(decode(COHERE, [recording.response]))) == frozenset()


@pytest.mark.parametrize("recording", params(WHOLE))
def test_a_recorded_whole_answer_reads_as_its_fields_say(recording: Recording) -> None:
    events = unfold(COHERE.decode_completion(recording.response, TARGET))

    assert grammar.check(events) == []
    assert differences(reader.reading_of_whole(json.loads(recording.response)), reading_of(events)) == frozenset()


@pytest.mark.parametrize("recording", params(STREAMS))
def test_recorded_citations_point_at_the_text_that_they_are_about(recording: Recording) -> None:
    completion = fold(decode(COHERE, [recording.response]))
    cited = [(one, done.text) for done in completion.blocks for one in done.citations]

    assert len(cited) >= recording.response.count(b'"citation-start"')
    for citation, text in cited:
        assert citation.raw is not None
        assert text[citation.start : citation.end] == json.loads(citation.raw)["text"]


@pytest.mark.parametrize("recording", params(REFUSED))
def test_a_recorded_refusal_is_understood(recording: Recording) -> None:
    error = COHERE.decode_error(recording.status, {}, recording.response)

    assert (error.kind, error.code) == (ErrorKind.CONTEXT_TOO_LONG, "TOO_MANY_TOKENS")
    assert error.message.startswith("too many tokens")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_the_same_in_any_pieces(name: str) -> None:
    assert_any_split_gives_the_same(COHERE, EXAMPLES[name])
    assert_cut_is_an_error(COHERE, EXAMPLES[name], ends_of(EXAMPLES[name]))


def test_text_has_its_citation() -> None:
    events = decode(COHERE, [EXAMPLES["text"]])

    assert events[0] == MessageStart("co_ex1", "")
    assert reading_of(events) == Reading("Oslo", tokens=Tokens(60, 4, 0), finish="stop")
    citation = next(event for event in events if isinstance(event, CitationAdded))
    assert (citation.title, citation.cited_text, citation.start, citation.end) == ("d1", "Oslo", 0, 4)


def test_the_plan_is_reasoning_before_the_call() -> None:
    reading = reading_of(decode(COHERE, [EXAMPLES["tool-call"]]))

    assert (reading.reasoning, reading.finish) == ("I will check.", "tool_calls")
    assert [(call.id, call.arguments) for call in reading.tool_calls] == [("get_weather_x1", {"city": "Oslo"})]


# --- tables and rules


@pytest.mark.parametrize("word", [word for word in FINISH_REASON if word != "TOOL_CALL"])
def test_every_reason_has_its_meaning(word: str) -> None:
    assert decode(COHERE, [START + TEXT + end(word)])[-1] == MessageEnd(FINISH_REASON[word], word)


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (START + end("BRAND_NEW"), MessageEnd(FinishReason.OTHER, "BRAND_NEW")),
        (START + end(None), MessageEnd(FinishReason.OTHER)),
        (START + end("TOOL_CALL"), MessageEnd(FinishReason.STOP, "TOOL_CALL")),
        (START + call_start(0) + end("COMPLETE"), MessageEnd(FinishReason.TOOL_CALLS, "COMPLETE")),
        (START + call_start(0) + end("MAX_TOKENS"), MessageEnd(FinishReason.LENGTH, "MAX_TOKENS")),
    ],
)
def test_other_endings(body: bytes, ending: MessageEnd) -> None:
    events = decode(COHERE, [body])

    assert grammar.check(events) == []
    assert events[-1] == ending


@pytest.mark.parametrize("word", KIND_BY_REASON)
def test_a_failed_end_is_an_error_behind_the_usage(word: str) -> None:
    usage = {"tokens": {"input_tokens": 3.0, "output_tokens": 1}}

    events = decode(COHERE, [START + TEXT + end(word, error="it broke", usage=usage)])

    assert events[-2:] == [Usage(3, 1), StreamError(KIND_BY_REASON[word], "it broke", word)]


def test_an_error_object_in_the_place_of_an_event_ends_the_stream() -> None:
    body = START + b'data: {"message":"too many tokens: 9","id":"x"}\n\n' + end()

    assert decode(COHERE, [body])[-1] == StreamError(ErrorKind.CONTEXT_TOO_LONG, "too many tokens: 9")


def test_a_call_without_arguments_is_an_empty_object() -> None:
    events = decode(COHERE, [START + call_start(0) + event("tool-call-end", 0) + end("TOOL_CALL")])

    assert ArgumentsDelta(0, "{}") in events


def test_calls_with_missing_or_repeated_ids_differ() -> None:
    body = START + call_start(0, "c1") + call_start(1, "c1") + call_start(2, None) + end("TOOL_CALL")

    events = decode(COHERE, [body])

    ids = [each.block.id for each in events if isinstance(each, BlockStart) and isinstance(each.block, ToolCallBlock)]
    assert ids == ["c1", "call_1_m1", "call_2_m1"]


def test_a_call_without_a_name_is_a_protocol_fault() -> None:
    assert decode(COHERE, [START + call_start(0, name=None)])[-1].kind is ErrorKind.PROTOCOL  # type: ignore[union-attr]


def test_a_custom_tool_gets_its_free_text_back() -> None:
    target = Target("p", "m", custom_tools=frozenset({"my.patch"}))
    pieces = [{"function": {"arguments": text}} for text in ('{"inp', 'ut":"a\\', 'nb"}')]
    body = START + call_start(0, name="my_x2e_patch")
    body += b"".join(event("tool-call-delta", 0, tool_calls=piece) for piece in pieces) + end("TOOL_CALL")

    completion = fold(decode(COHERE, [body], target))

    assert completion.blocks[0].text == "a\nb"
    assert completion.blocks[0].block == ToolCallBlock("c1", "my.patch", ToolKind.CUSTOM)


def test_a_late_citation_gets_an_empty_text_block() -> None:
    sources = [
        {"type": "document", "id": "d", "document": {"title": "T", "url": "https://e.x"}},
        {"type": "tool", "id": "t"},
    ]
    citation = {"start": 0, "end": 4, "text": "Oslo", "sources": sources}
    body = START + TEXT + event("content-end", 0) + event("citation-start", 0, citations=citation) + end()

    completion = fold(decode(COHERE, [body]))

    assert [type(done.block) for done in completion.blocks] == [TextBlock, TextBlock]
    assert [(one.url, one.title, one.start) for one in completion.blocks[1].citations] == [
        ("https://e.x", "T", None),
        (None, "t", None),
    ]


def test_citations_of_thinking_and_unknown_events_are_nothing() -> None:
    citation = {"type": "THINKING_CONTENT", "sources": [{"id": "d"}]}
    body = (
        START + TEXT + event("citation-start", 0, citations=citation) + event("brand-new", 0) + b"data: {}\n\n" + end()
    )

    assert not any(isinstance(each, CitationAdded) for each in decode(COHERE, [body]))


@pytest.mark.parametrize("body", [b"data: {\n\n", b'data: {"type":"content-delta","index":"x"}\n\n', b"data: []\n\n"])
def test_what_is_no_event_is_a_protocol_fault_behind_the_good_ones(body: bytes) -> None:
    events = decode(COHERE, [START + TEXT + body + end()])

    assert reading_of(events).text == "Oslo"
    assert events[-1].kind is ErrorKind.PROTOCOL  # type: ignore[union-attr]


def test_the_last_event_counts_without_its_blank_line_and_half_of_it_is_a_cut() -> None:
    assert isinstance(decode(COHERE, [START + TEXT + end().rstrip()])[-1], MessageEnd)
    assert decode(COHERE, [START + TEXT + end()[:-9]])[-1].kind is ErrorKind.CUT  # type: ignore[union-attr]


def test_image_tokens_are_input() -> None:
    tokens = {"input_tokens": 34, "output_tokens": 70, "reasoning_tokens": 0, "image_tokens": 259}

    events = decode(COHERE, [START + end(usage={"tokens": tokens, "cached_tokens": 5})])

    assert Usage(293, 70, 5, reasoning=0) in events


@settings(max_examples=300, deadline=None)
@given(mutated([*EXAMPLES.values(), START + call_start(0) + end("ERROR", error="x")]))
def test_nothing_but_a_protocol_error_escapes(body: bytes) -> None:
    assert grammar.check(decode(COHERE, [body])) == []
    with contextlib.suppress(UpstreamError):
        COHERE.decode_completion(body, TARGET)
    assert COHERE.decode_error(500, {}, body).status == 500


WHOLE_EXAMPLE = {
    "id": "w",
    "message": {
        "role": "assistant",
        "tool_plan": "Plan.",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Oslo"}],
        "citations": [{"start": 0, "end": 4, "text": "Oslo", "sources": [{"id": "d"}]}],
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}],
    },
    "finish_reason": "TOOL_CALL",
}


@settings(max_examples=300, deadline=None)
@given(mutated([json.dumps(WHOLE_EXAMPLE).encode()]))
def test_nothing_but_an_upstream_error_escapes_from_a_whole_answer(body: bytes) -> None:
    with contextlib.suppress(UpstreamError):
        assert grammar.check(unfold(COHERE.decode_completion(body, TARGET))) == []


def test_a_whole_answer_has_everything() -> None:
    completion = COHERE.decode_completion(json.dumps(WHOLE_EXAMPLE).encode(), TARGET)

    assert [done.text for done in completion.blocks] == ["Plan.", "hm", "Oslo", '{"a":1}']
    assert [len(done.citations) for done in completion.blocks] == [0, 0, 1, 0]
    assert completion.end == MessageEnd(FinishReason.TOOL_CALLS, "TOOL_CALL")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message":null}', b'{"message":[]}'])
def test_what_is_no_answer_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        COHERE.decode_completion(body, TARGET)


@pytest.mark.parametrize("body", [b'{"message":"it broke"}', b'{"message":{"content":[]},"finish_reason":"ERROR"}'])
def test_a_failure_in_a_whole_answer_is_raised(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        COHERE.decode_completion(body, TARGET)

    assert caught.value.kind is ErrorKind.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b'{"message":"invalid api token"}', ErrorKind.AUTHENTICATION),
        (404, b'{"message":"model \'x\' not found"}', ErrorKind.NOT_FOUND),
        (400, b'{"message":"model \'x\' not found, make sure it exists"}', ErrorKind.NOT_FOUND),
        (422, b'{"message":"bad"}', ErrorKind.INVALID_REQUEST),
        (429, b'{"message":"trial key"}', ErrorKind.RATE_LIMIT),
        (498, b"{}", ErrorKind.CONTENT_REJECTED),
        (499, b"{}", ErrorKind.UPSTREAM_FAILED),
        (500, b"<html>", ErrorKind.UPSTREAM_FAILED),
    ],
)
def test_a_refusal_means_what_its_status_and_words_say(status: int, body: bytes, kind: ErrorKind) -> None:
    assert COHERE.decode_error(status, {"retry-after": "soon"}, body).kind is kind


def test_no_caller_speaks_this_api() -> None:
    assert COHERE.native_dialect is None


def test_the_terminator_is_seen_in_raw_bytes() -> None:
    assert COHERE.is_terminator(EXAMPLES["text"])
    assert not COHERE.is_terminator(event("content-delta", 0, content={"text": '"type":"message-end"'}))
