"""The decoder of Anthropic's answers, over every recording, every split and every truncation."""

import copy
import json
import random
from itertools import pairwise

import pytest

from proxy.hub.completion import fold
from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.hub.events import (
    FinishReason,
    MessageEnd,
    StreamError,
    TextDelta,
    Usage,
)
from proxy.hub.grammar import Grammar, check
from proxy.providers.anthropic.stream import FINISH_REASON, AnthropicDecoder, decode_completion
from proxy.providers.base import Target
from tests.support.anthropic_api import (
    STOP_EVENT,
    TEXT,
    Case,
    block,
    call,
    client,
    decode,
    ending,
    fixture,
    good_streams,
    needs_recordings,
    read_by_hub,
    read_by_sdk,
    read_raw_by_sdk,
    read_whole_by_sdk,
    recorded_answers,
    recorded_streams,
    seen_of_completion,
    sse,
    start,
    stop,
)

TARGET = Target("anthropic", "m")
STREAMS = good_streams()


def test_there_are_recordings_or_they_are_absent_as_a_whole() -> None:
    assert len(STREAMS) > 8


# --- every recording


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_recording_is_grammatical_and_ends_well(case: Case) -> None:
    events = decode(case.body)

    assert check(events) == []
    assert isinstance(events[-1], MessageEnd)
    assert events[-1].reason is not FinishReason.OTHER


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_recording_holds_what_the_sdk_reads(case: Case) -> None:
    assert read_by_hub(decode(case.body)) == read_by_sdk(case.body)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_texts_arrive_in_the_pieces_that_the_sdk_sees(case: Case) -> None:
    texts = [event.text for event in decode(case.body) if isinstance(event, TextDelta)]

    raw = read_raw_by_sdk(case.body)
    deltas = [event["delta"] for event in raw if event["type"] == "content_block_delta"]
    assert texts == [delta["text"] for delta in deltas if delta["type"] == "text_delta" and delta["text"]]


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_any_split_gives_the_same_events(case: Case) -> None:
    body = case.body[:40_000]
    whole = decode(body)
    chance = random.Random(case.name)

    assert decode(*(body[at : at + 1] for at in range(len(body)))) == whole
    for _ in range(5):
        cuts = sorted({0, len(body), *(chance.randrange(len(body)) for _ in range(20))})
        assert decode(*(body[a:b] for a, b in pairwise(cuts))) == whole
    assert decode(body.replace(b"\n", b"\r\n")) == whole


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_no_truncation_ends_well_or_breaks_the_grammar(case: Case) -> None:
    whole_at = case.body.rindex(STOP_EVENT) + len(STOP_EVENT)
    stride = max(1, whole_at // 1000)
    decoder, grammar = AnthropicDecoder(TARGET), Grammar()

    for at in range(0, whole_at, stride):
        ending = copy.deepcopy(decoder).finish()
        beside = copy.deepcopy(grammar)
        assert [beside.check(event) for event in ending] == [None] * len(ending), at
        assert isinstance(ending[-1], StreamError) and ending[-1].kind is ErrorKind.CUT, at
        piece = case.body[at : min(at + stride, whole_at - 1)]
        assert all(grammar.check(event) is None for event in decoder.feed(piece))


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert isinstance(decode(fixture("text").rstrip(b"\n"))[-1], MessageEnd)


# --- usage


def test_usage_is_normalised_and_overwritten_by_later_totals() -> None:
    events = decode(
        sse(
            start(input_tokens=13, cache_read_input_tokens=8, cache_creation_input_tokens=4, output_tokens=1),
            *TEXT,
            *ending(output_tokens=9),
        )
    )

    assert [event for event in events if isinstance(event, Usage)] == [
        Usage(input=25, output=1, cached_input=8, cache_write=4),
        Usage(input=25, output=9, cached_input=8, cache_write=4),
    ]


def test_a_later_input_count_replaces_the_first() -> None:
    """As a proxy writes it that knows the usage only at the end: zeros first."""
    events = decode(
        sse(
            start(input_tokens=0, output_tokens=0),
            *ending(input_tokens=20, cache_read_input_tokens=5, output_tokens=3),
        )
    )

    assert [event for event in events if isinstance(event, Usage)][-1] == Usage(input=25, output=3, cached_input=5)


def test_usage_that_was_not_reported_is_unknown() -> None:
    message = {"type": "message_start", "message": {"id": "x", "model": "m"}}

    events = decode(sse(message, *TEXT, {"type": "message_delta", "delta": {}}, {"type": "message_stop"}))

    assert not [event for event in events if isinstance(event, Usage)]


def test_thinking_tokens_are_part_of_the_output() -> None:
    usage = fold(decode(fixture("usage"))).usage

    assert usage == Usage(input=21, output=30, cached_input=8, cache_write=0, reasoning=18)


# --- endings


@pytest.mark.parametrize("word", FINISH_REASON)
def test_every_stop_reason_has_its_meaning_and_keeps_its_word(word: str) -> None:
    call = (block(0, type="tool_use", id="t", name="f", input={}), stop(0)) if word == "tool_use" else TEXT

    assert decode(sse(start(), *call, *ending(word)))[-1] == MessageEnd(FINISH_REASON[word], word)


CALL = (block(0, type="tool_use", id="t", name="f", input={}), stop(0))
SEARCH = (block(0, type="server_tool_use", id="s", name="web_search", input={}), stop(0))


@pytest.mark.parametrize(
    ("blocks", "word", "reason"),
    [
        (CALL, "end_turn", FinishReason.TOOL_CALLS),
        (CALL, None, FinishReason.TOOL_CALLS),
        (CALL, "max_tokens", FinishReason.LENGTH),
        (CALL, "brand_new", FinishReason.OTHER),
        (TEXT, "tool_use", FinishReason.STOP),
        (SEARCH, "end_turn", FinishReason.STOP),
        (SEARCH, "tool_use", FinishReason.STOP),
        (TEXT, "brand_new", FinishReason.OTHER),
        (TEXT, None, FinishReason.OTHER),
    ],
)
def test_the_reason_follows_the_content(
    blocks: tuple[dict[str, object], ...], word: str | None, reason: FinishReason
) -> None:
    assert decode(sse(start(), *blocks, *ending(word)))[-1] == MessageEnd(reason, word)


def test_a_stop_reason_without_message_stop_is_a_cut() -> None:
    events = decode(sse(start(), *TEXT, ending()[0]))

    assert isinstance(events[-1], StreamError)
    assert events[-1].kind is ErrorKind.CUT


@pytest.mark.parametrize(
    ("type", "message", "kind"),
    [
        ("overloaded_error", "Overloaded", ErrorKind.OVERLOADED),
        ("rate_limit_error", "slow", ErrorKind.RATE_LIMIT),
        ("api_error", "x", ErrorKind.UPSTREAM_FAILED),
        ("brand_new_error", "x", ErrorKind.UPSTREAM_FAILED),
        ("invalid_request_error", "x", ErrorKind.INVALID_REQUEST),
        ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ErrorKind.CONTEXT_TOO_LONG),
        ("invalid_request_error", "Output blocked by content filtering policy", ErrorKind.CONTENT_REJECTED),
    ],
)
def test_an_error_event_is_the_ending(type: str, message: str, kind: ErrorKind) -> None:
    error = {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}

    events = decode(sse(start(), block(0, type="text", text=""), error, *ending()))

    assert check(events) == []
    assert events[-1] == StreamError(kind, message, type)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b'event: error\ndata: {"error":{"message":"m"}}\n\n', "m"),
        (b'data: {"error":{"message":"m"}}\n\n', "m"),
        (b'data: {"error":"m"}\n\n', "m"),
        (b'data: {"type":"error","error":{"type":"x","message":"m","details":"odd"}}\n\n', "m"),
        (b"event: error\ndata: upstream connect error\n\n", "The provider reported an error."),
        (b'data: {"type":"error"}\n\n', "The provider reported an error."),
    ],
)
def test_an_error_of_another_shape_is_still_an_error(frame: bytes, message: str) -> None:
    events = decode(sse(start()) + frame)

    assert isinstance(events[-1], StreamError)
    assert events[-1].kind is ErrorKind.UPSTREAM_FAILED
    assert events[-1].message == message


def test_an_error_code_in_the_details_is_the_code() -> None:
    error = {"type": "api_error", "message": "m", "details": {"error_code": "thread_not_found"}}

    assert decode(sse({"type": "error", "error": error})) == [
        StreamError(ErrorKind.UPSTREAM_FAILED, "m", "thread_not_found")
    ]


def test_a_long_error_message_is_shortened() -> None:
    events = decode(sse({"type": "error", "error": {"type": "api_error", "message": "x" * 5000}}))

    assert isinstance(events[0], StreamError)
    assert len(events[0].message) == 2000


# --- whole messages


@needs_recordings
def test_recorded_whole_messages_hold_what_the_sdk_reads() -> None:
    answers = recorded_answers(ok=True)

    assert len(answers) >= 2
    for answer in answers:
        completion = decode_completion(answer.response, TARGET)
        assert seen_of_completion(completion) == read_whole_by_sdk(answer.response)
        assert completion.end is not None and completion.error is None


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_whole_message_is_the_same_as_its_stream(case: Case) -> None:
    body = json.dumps(final_message(case.body)).encode()

    whole = decode_completion(body, TARGET)

    assert seen_of_completion(whole) == read_by_hub(decode(case.body))


def final_message(body: bytes) -> object:
    with call(client(body).beta.messages, "stream") as stream:
        return stream.get_final_message().to_dict(mode="json", warnings=False)


def test_an_error_object_in_a_whole_answer_is_raised() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'

    with pytest.raises(UpstreamError) as caught:
        decode_completion(body, TARGET)

    assert (caught.value.kind, caught.value.message, caught.value.status) == (ErrorKind.OVERLOADED, "Overloaded", 200)


def test_recorded_streams_are_found_where_recordings_are() -> None:
    names = [case.name for case in recorded_streams()]

    assert not names or len(names) >= 20
