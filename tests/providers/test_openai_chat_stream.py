"""The decoder of Chat Completions streams, over every recording, every split and every truncation."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.dialects.base import StreamContext
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.hub import skim
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import MessageEnd, ReasoningDelta, StreamError, TextDelta
from proxy.hub.grammar import check
from proxy.hub.transcode import CUT_MESSAGE, Passthrough
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.answers import one_byte
from tests.support.openai_chat_api import (
    TARGET,
    Case,
    chunk,
    decode,
    fixture,
    random_split,
    read_by_sdk,
    reading,
    sdk_chunks,
    sse,
    streams,
    target,
)

STREAMS = streams()
FINISH = b'"finish_reason":"'

ERROR_STREAMS = {"mid-stream-error", "dev-openrouter", "groq/groq__tool-use-failed-error-streaming__602d39"}
WITHOUT_FINISH = {"odd-no-finish"}
SDK_CANNOT_READ = {"odd-named-ping", "odd-empty-data", "odd-retry-frame", "odd-id-frames"}
"""Events without JSON, which the SDK takes for broken JSON."""

READABLE = [case for case in STREAMS if case.name not in SDK_CANNOT_READ]


def test_there_are_streams() -> None:
    assert len(STREAMS) > 15


# --- every stream


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_what_a_repeated_shape_tells_is_what_reading_the_whole_frame_tells(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = decode(case.body)
    monkeypatch.setattr(skim, "MAX_LESSONS", 0)
    thorough = decode(case.body)

    assert quick == thorough


@given(st.lists(st.text(min_size=1, max_size=12), max_size=12), st.sampled_from(["content", "reasoning_content"]))
@example(["lesson", 'a "b"', "back\\slash", "\u2028 and \U0001f600", "last"], "content")
def test_every_text_of_a_repeated_shape_is_read(texts: list[str], field: str) -> None:
    events = decode(sse(*(chunk({field: text}) for text in ["lesson", *texts])))

    assert "".join(
        event.text for event in events if isinstance(event, TextDelta | ReasoningDelta)
    ) == "lesson" + "".join(texts)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_stream_is_grammatical_and_ends_as_it_should(case: Case) -> None:
    events = decode(case.body)

    assert check(events) == []
    ends_well = case.name not in ERROR_STREAMS | WITHOUT_FINISH
    assert isinstance(events[-1], MessageEnd if ends_well else StreamError)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_any_split_gives_the_same_events(case: Case) -> None:
    whole = decode(case.body)

    assert decode(case.body, one_byte(case.body)) == whole
    for seed in range(3):
        assert decode(case.body, random_split(case.body, seed)) == whole


@pytest.mark.parametrize("case", READABLE, ids=str)
def test_a_stream_says_what_the_sdk_reads(case: Case) -> None:
    ours = reading(decode(case.body))
    theirs = read_by_sdk(case.body)

    assert (ours.text, ours.refusal, ours.tool_calls) == (theirs.text, theirs.refusal, theirs.tool_calls)
    # The SDK takes a stream that just stops for whole; so does no one who pays for it.
    assert ours.ending == ("error" if case.name in WITHOUT_FINISH else theirs.ending)
    if theirs.reasoning:
        assert ours.reasoning == theirs.reasoning
    if theirs.tokens is not None and ours.tokens is not None:
        assert (ours.tokens.input, ours.tokens.output) == (theirs.tokens.input, theirs.tokens.output)
        assert (ours.tokens.reasoning or 0) == (theirs.tokens.reasoning or 0)
    assert (ours.tokens is None) == (theirs.tokens is None)


@pytest.mark.parametrize("case", [case for case in READABLE if case.name not in ERROR_STREAMS], ids=str)
def test_texts_arrive_in_the_pieces_that_were_sent(case: Case) -> None:
    texts = [event.text for event in decode(case.body) if isinstance(event, TextDelta)]

    choices = [choice for one in sdk_chunks(case.body) for choice in one.get("choices") or []]
    contents = [(one.get("delta") or {}).get("content") for one in choices if one.get("index", 0) == 0]
    if not any(isinstance(content, list) for content in contents):
        assert texts == [content for content in contents if content]


# --- cuts


def prefix_lengths(body: bytes) -> list[int]:
    """Some lengths everywhere, and all around the finish reason and the end."""
    chance = random.Random(len(body))
    finish = body.find(b"finish_reason", body.rfind(b'"delta"'))
    near = [*range(finish - 20, finish + 60), *range(len(body) - 60, len(body))]
    return sorted(
        {length for length in near if 0 < length < len(body)} | {chance.randrange(1, len(body)) for _ in range(30)}
    )


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_no_prefix_looks_complete_before_the_finish_reason(case: Case) -> None:
    compact = case.body.replace(b'"finish_reason": "', FINISH)
    finish, done = compact.find(FINISH), compact.find(b"[DONE]")

    for length in prefix_lengths(compact):
        events = decode(compact[:length])
        assert check(events) == []
        if isinstance(events[-1], MessageEnd):
            assert 0 <= finish < length or 0 <= done < length


@pytest.mark.parametrize("name", ["text", "tool-call", "reasoning", "odd-no-done", "dev-groq-usage"])
def test_every_prefix_of_a_short_stream_has_one_ending(name: str) -> None:
    body = fixture(name)
    finish = body.index(FINISH)

    for length in range(1, len(body)):
        events = decode(body[:length])
        assert check(events) == []
        if length <= finish:
            assert events[-1] == StreamError(ErrorKind.CUT, CUT_MESSAGE)


def test_a_stream_cut_inside_a_frame_is_cut_although_the_reason_was_given() -> None:
    body = fixture("usage")
    inside_usage = body.index(b'"prompt_tokens"')

    assert decode(body[:inside_usage])[-1] == StreamError(ErrorKind.CUT, CUT_MESSAGE)


# --- relayed untouched


@pytest.mark.parametrize("is_one_read", [True, False])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_frame_that_cannot_be_read_does_not_spoil_a_relayed_stream(*, is_one_read: bool, is_whole: bool) -> None:
    body = sse(chunk({"content": "x"}), '{"choices":7}', *(["[DONE]"] if is_whole else []))
    provider = OpenAIChat()
    encoder = OpenAIChatDialect().encoder(StreamContext("x", "m", 0))
    relay = Passthrough(provider.splitter(TARGET), provider.decoder(TARGET), lambda _: encoder, provider.is_terminator)

    pieces = [body] if is_one_read else one_byte(body)
    out = b"".join(relay.feed(piece) for piece in pieces) + relay.finish()

    assert out.startswith(body)
    assert (out == body) == is_whole
    assert relay.summary.tap_failed


# --- noise

NOISE = st.binary(max_size=12) | st.sampled_from(
    [b"null", b"[]", b"{}", b"-1", b'""', b"1e999", b"\\ud800", b"\xff", b"data: ", b"\n\n", b"[DONE]", b'"error":7,']
)


@given(st.sampled_from(STREAMS), st.data())
def test_a_damaged_stream_ends_in_one_way_or_is_a_protocol_error(case: Case, data: st.DataObject) -> None:
    body = bytearray(case.body[:20_000])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 8))] = data.draw(NOISE)
    to = target(think_tags=data.draw(st.booleans()))
    try:
        events = decode(bytes(body), random_split(bytes(body), len(body), 6), to)
    except UpstreamProtocolError as fault:
        assert fault.message
        return
    assert check(events) == []


@given(st.binary(max_size=200))
@example(b"data: 1\n\n")
@example(b"data: {}\n\ndata: [DONE]\n\n")
@example(b'data: {"choices":[{}]}\n\ndata: [DONE]\n\n')
def test_any_bytes_end_in_one_way_or_are_a_protocol_error(body: bytes) -> None:
    try:
        events = decode(body)
    except UpstreamProtocolError:
        return
    assert check(events) == []
