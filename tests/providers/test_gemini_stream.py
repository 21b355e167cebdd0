"""The Gemini decoder: recorded streams in any pieces, cut anywhere, and compared with what the vendor's SDK reads."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.hub import grammar
from proxy.hub.completion import fold, unfold
from proxy.hub.errors import ErrorKind, ProxyError, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    BlockStart,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.providers.base import Target
from proxy.providers.gemini.stream import GeminiDecoder, decode_completion
from proxy.providers.gemini.wire import FINISH_REASON
from tests.support import gemini_sdk
from tests.support.corpus import Recording, params, recordings
from tests.support.gemini_api import EXAMPLES, TARGET, body_of, chunk, decode, sse, streamed_call
from tests.support.readings import Reading, Tokens, ToolCall

STREAMS = [*recordings(dialect="gemini", stream=True, ok=True)]
ARRAYS = recordings(dialect="gemini", ok=True, where=lambda recording: recording.is_array_stream)
WHOLE = recordings(dialect="gemini", stream=False, ok=True)


def reading_of(events: list[Event]) -> Reading:
    """Our events in the words of `Reading`."""
    completion = fold(events)
    usage = completion.usage
    error = completion.error
    return Reading(
        text="".join(done.text for done in completion.blocks if isinstance(done.block, TextBlock)),
        reasoning="".join(done.text for done in completion.blocks if isinstance(done.block, ReasoningBlock)),
        tool_calls=tuple(
            ToolCall(done.block.id, done.block.name, json.loads(done.text))
            for done in completion.blocks
            if isinstance(done.block, ToolCallBlock) and done.block.kind is ToolKind.FUNCTION
        ),
        tokens=None
        if usage is None
        else Tokens(usage.input, usage.output, usage.cached_input, usage.cache_write, usage.reasoning),
        finish=completion.end.reason.value if completion.end is not None else None,
        error="error" if error is not None else None,
        error_message=error.message if error is not None else "",
    )


def assert_same_content(ours: Reading, theirs: Reading) -> None:
    """Equal but for ids that the API left out, and the reason that it has no word for."""
    assert (ours.text, ours.reasoning, ours.tokens) == (theirs.text, theirs.reasoning, theirs.tokens)
    assert [(call.name, call.arguments) for call in ours.tool_calls] == [
        (call.name, call.arguments) for call in theirs.tool_calls
    ]
    assert all(mine.id == other.id for mine, other in zip(ours.tool_calls, theirs.tool_calls, strict=True) if other.id)
    assert ours.finish == ("tool_calls" if theirs.tool_calls and theirs.finish == "stop" else theirs.finish)


# --- every recording and example


@pytest.mark.parametrize("recording", params([*STREAMS, *ARRAYS]))
def test_a_recorded_stream_is_grammatical_and_complete(recording: Recording) -> None:
    events = decode([recording.response])

    assert grammar.check(events) == []
    assert isinstance(events[-1], MessageEnd)


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_reads_as_the_sdk_reads_it(recording: Recording) -> None:
    events = decode([recording.response])

    responses = gemini_sdk.read_stream(recording.response)
    assert_same_content(reading_of(events), gemini_sdk.reading_of(responses))
    assert [event.signature for event in events if isinstance(event, SignatureAdded)] == [
        signature for kind, signature in gemini_sdk.signatures_of(responses) if kind != "other"
    ]


@pytest.mark.parametrize("recording", params(WHOLE))
def test_a_recorded_whole_answer_reads_as_the_sdk_reads_it(recording: Recording) -> None:
    completion = decode_completion(recording.response, TARGET)

    response = gemini_sdk.read_whole(recording.response)
    assert_same_content(reading_of(unfold(completion)), gemini_sdk.reading_of([response]))


@pytest.mark.parametrize("recording", params(ARRAYS))
def test_a_recorded_array_reads_as_its_elements_do(recording: Recording) -> None:
    elements = json.loads(recording.response)

    assert reading_of(decode([recording.response])) == reading_of(decode([sse(*elements)]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_any_split_of_an_example_gives_the_same_events(name: str) -> None:
    body = body_of(name)
    whole = decode([body])
    chance = random.Random(3)

    assert grammar.check(whole) == []
    assert decode([body[index : index + 1] for index in range(len(body))]) == whole
    for _ in range(50):
        cut = chance.randrange(len(body))
        assert decode([body[:cut], body[cut:]]) == whole


@pytest.mark.parametrize("recording", params([*STREAMS, *ARRAYS]))
def test_any_split_of_a_recording_gives_the_same_events(recording: Recording) -> None:
    body = recording.response
    whole = decode([body])
    chance = random.Random(5)

    for size in (1, 7, 61, 1024):
        assert decode([body[start : start + size] for start in range(0, len(body), size)]) == whole
    for _ in range(20):
        cuts = sorted(chance.randrange(len(body)) for _ in range(3))
        pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        assert decode(pieces) == whole


def cut_at_events(body: bytes) -> list[int]:
    """The positions behind every event but the last."""
    ends = [index + 4 for index in range(len(body)) if body.startswith(b"\r\n\r\n", index)]
    return [0, *ends[:-1]]


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recording_cut_between_events_ends_as_cut(recording: Recording) -> None:
    for position in cut_at_events(recording.response):
        events = decode([recording.response[:position]])

        assert grammar.check(events) == []
        assert isinstance(events[-1], StreamError)
        assert events[-1].kind is ErrorKind.CUT


@pytest.mark.parametrize("recording", params([*STREAMS, *ARRAYS]))
def test_a_recording_cut_anywhere_never_ends_well(recording: Recording) -> None:
    body = recording.response.rstrip()
    chance = random.Random(11)
    positions = {chance.randrange(len(body)) for _ in range(150)} | set(range(len(body) - 60, len(body)))

    for position in positions:
        events = decode([body[:position]])

        assert grammar.check(events) == []
        assert isinstance(events[-1], StreamError), position


@pytest.mark.parametrize("recording", params(recordings(dialect="gemini", ok=False)))
def test_a_recorded_error_raises_nothing_as_a_stream(recording: Recording) -> None:
    events = decode([recording.response])

    assert len(events) == 1
    assert isinstance(events[0], StreamError)


# --- the examples, one by one


def test_text_is_one_block_with_the_id_and_model_of_the_answer() -> None:
    events = decode([body_of("text.sse")])

    assert events[0] == MessageStart("resp-ex1", "example-gemini-1")
    assert reading_of(events) == Reading("Grüße from 東京 🗼!", tokens=Tokens(7, 7), finish="stop")
    assert sum(isinstance(event, BlockStart) for event in events) == 1


def test_usage_is_normalised_and_the_last_report_wins() -> None:
    completion = fold(decode([body_of("usage.sse")]))

    assert completion.usage == Usage(input=21, output=30, cached_input=8, reasoning=18)


def test_thoughts_are_reasoning_and_a_trailing_signature_a_block_of_its_own() -> None:
    completion = fold(decode([body_of("reasoning.sse")]))

    assert [(type(done.block), done.text) for done in completion.blocks] == [
        (ReasoningBlock, "**Checking divisors**\n\n17 is small."),
        (TextBlock, "Yes, prime."),
        (ReasoningBlock, ""),
    ]
    assert completion.blocks[2].signature == SignatureAdded(2, "c2lnRXgy", Origin.GEMINI)


def test_parallel_calls_have_ids_of_their_own_and_the_signature_of_the_first() -> None:
    completion = fold(decode([body_of("parallel-tools.sse")]))

    calls = [done.block for done in completion.blocks if isinstance(done.block, ToolCallBlock)]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2
    assert [done.signature is not None for done in completion.blocks] == [True, False]
    assert completion.end == MessageEnd(FinishReason.TOOL_CALLS, "STOP")


def test_the_same_call_in_another_answer_gets_another_id() -> None:
    one, other = (chunk({"functionCall": {"name": "f", "args": {}}}, finish="STOP") for _ in range(2))
    other["responseId"] = "r2"

    ids = {decode([sse(answer)])[1].block.id for answer in (one, other)}  # type: ignore[union-attr]

    assert len(ids) == 2


def test_an_id_that_the_api_gives_twice_is_given_on_once() -> None:
    call = {"functionCall": {"id": "0", "name": "f", "args": {}}}

    events = decode([sse(chunk(call, call, finish="STOP"))])

    ids = [event.block.id for event in events if isinstance(event, BlockStart)]  # type: ignore[union-attr]
    assert ids[0] == "0"
    assert ids[1] not in ("", "0")


def test_a_blocked_prompt_is_an_answer_without_content() -> None:
    events = decode([body_of("refusal.sse")])

    assert events == [
        MessageStart("resp-ex1", "example-gemini-1"),
        Usage(input=7),
        MessageEnd(FinishReason.CONTENT_FILTER, "PROHIBITED_CONTENT"),
    ]


def test_a_safety_stop_keeps_the_text_before_it() -> None:
    assert reading_of(decode([body_of("safety-stop.sse")])) == Reading(
        "Part", tokens=Tokens(7, 3), finish="content_filter"
    )


def test_an_error_in_the_stream_ends_it() -> None:
    events = decode([body_of("mid-stream-error.sse") + sse(chunk({"text": "more"}, finish="STOP"))])

    assert events[-1] == StreamError(
        ErrorKind.OVERLOADED, "The model is overloaded. Please try again later.", "UNAVAILABLE"
    )


@pytest.mark.parametrize("framing", ["array", "object", "event-with-array"])
def test_an_error_is_an_error_in_every_framing(framing: str) -> None:
    error = b'{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}'
    body = {"array": b"[%b\n]" % error, "object": error, "event-with-array": b"data: [%b]\n\n" % error}[framing]

    assert decode([body]) == [StreamError(ErrorKind.RATE_LIMIT, "slow down", "RESOURCE_EXHAUSTED")]


# --- what real servers do beside


@pytest.mark.parametrize("name", ["comment.sse", "done.sse", "event-line.sse", "nospace.sse", "unknown.sse"])
def test_what_the_api_does_not_send_is_read_all_the_same(name: str) -> None:
    events = decode([body_of(name)])

    assert isinstance(events[-1], MessageEnd)


def test_a_finish_reason_that_nobody_knows_is_kept() -> None:
    assert decode([body_of("unknown.sse")])[-1] == MessageEnd(FinishReason.OTHER, "BRAND_NEW")


def test_the_last_event_counts_without_its_blank_line() -> None:
    events = decode([sse(chunk({"text": "a"}))[:-2] + b"\r\n" + sse(chunk({"text": "b"}, finish="STOP")).rstrip()])

    assert reading_of(events).text == "ab"
    assert isinstance(events[-1], MessageEnd)


def test_a_stream_that_ends_inside_an_event_is_cut_even_after_its_finish_reason() -> None:
    body = sse(chunk({"text": "a"}, finish="STOP")) + b'data: {"usageMeta'

    assert decode([body])[-1] == StreamError(ErrorKind.CUT, "The provider's stream ended before it was complete.")


@pytest.mark.parametrize("tail", [b"\r\n", b": bye\r\n\r\n", b": bye", b"\n\n"])
def test_blank_lines_and_comments_after_the_end_are_nothing(tail: bytes) -> None:
    assert isinstance(decode([sse(chunk({"text": "a"}, finish="STOP")) + tail])[-1], MessageEnd)


def test_why_a_prompt_was_blocked_is_told_once() -> None:
    """In words by Model Armor on Vertex (recording google-model-armor-prompt-template-text-gets-blocked)."""
    feedback = {"promptFeedback": {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "No injections."}}

    events = decode([sse(feedback, feedback)])

    assert [event for event in events if isinstance(event, RefusalDelta)] == [RefusalDelta(0, "No injections.")]
    assert events[-1] == MessageEnd(FinishReason.CONTENT_FILTER, "MODEL_ARMOR")
    assert grammar.check(events) == []


def test_usage_after_the_finish_reason_comes_before_the_end() -> None:
    usage = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}

    events = decode([sse(chunk({"text": "a"}, finish="STOP"), usage)])

    assert isinstance(events[-1], MessageEnd)
    assert Usage(3, 4) in events


def test_a_usage_that_says_nothing_replaces_nothing() -> None:
    """Vertex's early chunks have only a traffic type (recording vertex with-extended-thinking)."""
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4}
    body = sse({**chunk({"text": "a"}), "usageMetadata": usage}, {"usageMetadata": {"trafficType": "ON_DEMAND"}})

    assert [event for event in decode([body]) if isinstance(event, Usage)] == [Usage(3, 4)]


def test_other_candidates_are_not_mixed_in() -> None:
    two = {
        "candidates": [
            {"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"},
            {"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS"},
        ]
    }

    assert reading_of(decode([sse(two)])) == Reading("a", finish="stop")


def test_an_unspecified_finish_reason_is_none() -> None:
    events = decode([sse(chunk({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED"))])

    assert isinstance(events[-1], StreamError)


@pytest.mark.parametrize(("word", "reason"), FINISH_REASON.items())
def test_finish_words_have_their_meaning(word: str, reason: FinishReason) -> None:
    assert decode([sse(chunk({"text": "a"}, finish=word))])[-1] == MessageEnd(reason, word)


def test_a_token_limit_is_a_token_limit_even_after_a_call() -> None:
    events = decode([sse(chunk({"functionCall": {"name": "f", "args": {"a": 1}}}, finish="MAX_TOKENS"))])

    assert events[-1] == MessageEnd(FinishReason.LENGTH, "MAX_TOKENS")


def test_a_chunk_without_anything_is_a_keep_alive() -> None:
    assert decode([b"data: {}\n\n"]) == [
        StreamError(ErrorKind.CUT, "The provider's stream ended before it was complete.")
    ]


# --- parts


def test_a_signed_text_follows_the_block_of_its_signature() -> None:
    events = decode([sse(chunk({"text": "Hel"}), chunk({"text": "lo", "thoughtSignature": "c2ln"}, finish="STOP"))])

    completion = fold(events)
    assert [(type(done.block), done.text, done.signature is not None) for done in completion.blocks] == [
        (TextBlock, "Hel", False),
        (ReasoningBlock, "", True),
        (TextBlock, "lo", False),
    ]


def test_each_signed_thought_is_a_block() -> None:
    first = {"text": "one", "thought": True, "thoughtSignature": "MQ=="}
    second = {"text": "two", "thought": True, "thoughtSignature": "Mg=="}

    completion = fold(decode([sse(chunk(first, second, finish="STOP"))]))

    assert [(done.text, done.signature.signature) for done in completion.blocks if done.signature] == [
        ("one", "MQ=="),
        ("two", "Mg=="),
    ]


def test_an_empty_signature_is_none() -> None:
    body = sse(chunk({"text": "a", "thoughtSignature": ""}, {"text": "", "thoughtSignature": ""}, finish="STOP"))

    assert len(fold(decode([body])).blocks) == 1


def test_code_that_the_provider_ran_is_a_call_and_its_result() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}, "thoughtSignature": "c2ln"}
    failed = {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no"}}

    completion = fold(decode([sse(chunk(code, failed, {"text": "done"}, finish="STOP"))]))

    call, result = completion.blocks[0].block, completion.blocks[1].block
    assert isinstance(call, ToolCallBlock)
    assert (call.name, call.kind, call.origin) == ("code_execution", ToolKind.SERVER, Origin.GEMINI)
    assert json.loads(completion.blocks[0].text) == code["executableCode"]
    assert json.loads(call.raw or "") == code
    assert isinstance(result, ToolResultBlock)
    assert (result.call_id, result.is_error) == (call.id, True)
    assert completion.end == MessageEnd(FinishReason.STOP, "STOP")


def test_generated_files_are_media_and_drafts_in_thoughts_are_not() -> None:
    body = sse(
        chunk(
            {"inlineData": {"mimeType": "image/png", "data": "ZHJhZnQ="}, "thought": True},
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x.test/v"}},
            finish="STOP",
        )
    )

    assert [done.block for done in fold(decode([body])).blocks] == [
        MediaBlock("image/png", data="aGk="),
        MediaBlock("video/mp4", url="https://x.test/v"),
    ]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events = decode([sse(chunk({"functionCall": {"name": "f"}}, finish="STOP"))])

    assert [event.json for event in events if isinstance(event, ArgumentsDelta)] == ["{}"]


def test_a_custom_tool_gets_its_text_back() -> None:
    target = Target("google", "m", custom_tools=frozenset({"patch"}))
    body = sse(chunk({"functionCall": {"name": "patch", "args": {"input": '*** Begin\n"x"'}}}, finish="STOP"))

    block = fold(decode([body], target)).blocks[0]

    assert isinstance(block.block, ToolCallBlock)
    assert block.block.kind is ToolKind.CUSTOM
    assert block.text == '*** Begin\n"x"'


def test_a_name_that_was_written_out_is_read_back() -> None:
    block = fold(decode([sse(chunk({"functionCall": {"name": "_x33_d"}}, finish="STOP"))])).blocks[0].block

    assert isinstance(block, ToolCallBlock)
    assert block.name == "3d"


# --- faults


@pytest.mark.parametrize(
    "body",
    [
        b"data: nonsense\n\n",
        b'data: {"candidates": 5}\n\n',
        b'data: {"candidates": [{"content": {"parts": [{"text": 5}]}}]}\n\n',
        b'data: {"candidates": [{"finishReason": {}}]}\n\n',
        b'data: {"usageMetadata": {"promptTokenCount": "many"}}\n\n',
        b'data: "text"\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"[1]",
        b"[{}}",
        sse(chunk({"functionCall": {"args": {"a": 1}}})),
        sse(chunk({"executableCode": []})),
        sse(chunk({"text": "a"}, groundingMetadata={"groundingChunks": 5})),
        sse(*streamed_call([{"jsonPath": "nowhere", "stringValue": "a"}])),
    ],
    ids=range(13),
)
def test_bytes_that_the_api_does_not_allow_are_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        decode([body])


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    body = sse(chunk({"text": "a@b", "thought": False}, finish="STOP")).replace(b"@", b"\\ud83d")

    assert reading_of(decode([body])).text == "a\ufffdb"


def test_an_empty_body_is_a_cut() -> None:
    assert decode([b""]) == [StreamError(ErrorKind.CUT, "The provider's stream ended before it was complete.")]


def test_an_event_over_the_cap_is_a_protocol_fault() -> None:
    decoder = GeminiDecoder(Target("google", "m", max_frame_bytes=100))

    with pytest.raises(UpstreamProtocolError):
        decoder.feed(b"data: " + b"x" * 200)


def test_nothing_follows_the_end() -> None:
    decoder = GeminiDecoder(TARGET)
    events = decoder.feed(b'data: {"error": {"code": 500}}\n\n' + sse(chunk({"text": "a"})))

    assert [type(event) for event in events] == [StreamError]
    assert decoder.feed(sse(chunk({"text": "b"}))) == []
    assert decoder.finish() == []


# --- whole answers


def test_an_error_object_in_a_whole_answer_is_raised() -> None:
    with pytest.raises(UpstreamError) as caught:
        decode_completion(b'{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}', TARGET)

    assert (caught.value.kind, caught.value.message) == (ErrorKind.OVERLOADED, "busy")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"5", b'{"candidates": []}', b"<html>"])
def test_what_is_no_answer_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        decode_completion(body, TARGET)


def test_a_whole_answer_without_a_finish_reason_is_whole_all_the_same() -> None:
    completion = decode_completion(json.dumps(chunk({"text": "a"})).encode(), TARGET)

    assert completion.end == MessageEnd(FinishReason.OTHER)


# --- random damage


@settings(max_examples=150)
@given(st.sampled_from(EXAMPLES), st.data())
def test_damage_raises_nothing_but_our_own_faults(name: str, data: st.DataObject) -> None:
    body = bytearray(body_of(name))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        length = data.draw(st.integers(0, 20))
        body[position : position + length] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"null", b'"', b"{", b"[", b"}", b"\\ud800", b"-1e999", b"{}"])
        )
        if not body:
            break

    try:
        events = decode([bytes(body)])
    except ProxyError:
        return
    assert grammar.check(events) == []
