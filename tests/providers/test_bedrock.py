"""Bedrock as an upstream: recorded streams and answers, faults."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from proxy.hub import grammar
from proxy.hub.completion import Completion, fold, unfold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    CitationAdded,
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    SignatureAdded,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.providers.base import Target
from proxy.providers.bedrock.errors import ERROR_KIND
from proxy.providers.bedrock.provider import Bedrock
from proxy.providers.bedrock.wire import FINISH_REASON
from tests.support import aws_frames
from tests.support.aws_frames import event, exception, frame
from tests.support.corpus import Recording, params, recordings
from tests.support.provider_streams import (
    TARGET,
    assert_any_split_gives_the_same,
    assert_cut_is_an_error,
    decode,
    mutated,
    reading_of,
)
from tests.support.readers import bedrock as sdk
from tests.support.readings import Reading, Tokens, differences

BEDROCK = Bedrock()
FIXTURES = Path(__file__).parents[1] / "fixtures" / "bedrock"
EXAMPLES = {path.stem: path.read_bytes() for path in sorted(FIXTURES.iterdir())}
STREAMS = recordings(kind="bedrock", stream=True, ok=True)
WHOLE = recordings(kind="bedrock", stream=False, ok=True)
REFUSED = recordings(kind="bedrock", ok=False)
CLAUDE = Target("p", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
NOVA = Target("p", "amazon.nova-2-lite-v1:0")
START = event("messageStart", {"role": "assistant"})
METADATA = event("metadata", {"usage": {"inputTokens": 3, "outputTokens": 1}, "metrics": {"latencyMs": 5}})


def delta(index: int = 0, **fields: Any) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": fields, "p": "abc"})


def start(index: int = 0, **fields: Any) -> bytes:
    return event("contentBlockStart", {"contentBlockIndex": index, "start": fields})


def stop(index: int = 0) -> bytes:
    return event("contentBlockStop", {"contentBlockIndex": index})


def end(reason: str | None = "end_turn") -> bytes:
    return event("messageStop", {"stopReason": reason}) + METADATA


def call(index: int = 0, name: str | None = "f", id: str | None = "t1", **more: Any) -> bytes:
    return start(index, toolUse={"toolUseId": id, "name": name, **more})


def ends_of(body: bytes) -> list[int]:
    """Behind each frame that comes before the message's end."""
    stopped = aws_frames.event_types(body).index("messageStop")
    return aws_frames.ends(body)[:stopped]


def completed(*frames: bytes, target: Target = TARGET) -> Completion:
    events = decode(BEDROCK, [START + b"".join(frames)], target)
    assert grammar.check(events) == []
    return fold(events)


# --- every recording and example


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_is_grammatical_and_the_same_in_any_pieces(recording: Recording) -> None:
    assert isinstance(decode(BEDROCK, [recording.response])[-1], MessageEnd)
    assert_any_split_gives_the_same(BEDROCK, recording.response)


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_cut_recording_ends_as_cut(recording: Recording) -> None:
    assert_cut_is_an_error(BEDROCK, recording.response, ends_of(recording.response))


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_reads_as_botocore_reads_it(recording: Recording) -> None:
    theirs = sdk.reading_of_stream(recording.response)

    assert theirs.error is None
    assert differences(theirs, reading_of(decode(BEDROCK, [recording.response]))) == frozenset()


@pytest.mark.parametrize("recording", params(WHOLE))
def test_a_recorded_whole_answer_reads_as_botocore_reads_it(recording: Recording) -> None:
    events = unfold(BEDROCK.decode_completion(recording.response, TARGET))

    assert grammar.check(events) == []
    assert differences(sdk.reading_of_whole(recording.response), reading_of(events)) == frozenset()


@pytest.mark.parametrize("recording", params(REFUSED))
def test_a_recorded_refusal_is_understood(recording: Recording) -> None:
    error = BEDROCK.decode_error(recording.status, recording.headers, recording.response)

    assert error.kind is ErrorKind.PERMISSION
    assert error.message == "The security token included in the request is invalid."


def test_an_example_has_reasoning_text_and_call() -> None:
    body = EXAMPLES["text-tool"]
    assert_any_split_gives_the_same(BEDROCK, body)
    assert_cut_is_an_error(BEDROCK, body, ends_of(body))

    reading = reading_of(decode(BEDROCK, [body]))

    assert (reading.text, reading.reasoning, reading.finish) == ("Grüße 🗼", "Need weather.", "tool_calls")
    assert [(one.id, one.arguments) for one in reading.tool_calls] == [("tooluse_a1", {"city": "Oslo"})]
    assert reading.tokens == Tokens(10, 5)


def test_an_exception_ends_the_stream_here_and_in_botocore() -> None:
    body = EXAMPLES["mid-stream-error"]

    assert sdk.reading_of_stream(body).error == "EventStreamError"
    assert decode(BEDROCK, [body + end()])[-1] == StreamError(
        ErrorKind.RATE_LIMIT, "Too many requests", "throttlingException"
    )


# --- tables and rules


def test_the_table_of_reasons_is_the_services_own() -> None:
    assert set(FINISH_REASON) == set(sdk.SERVICE.shape_for("StopReason").enum)


@pytest.mark.parametrize("word", [word for word in FINISH_REASON if word != "tool_use"])
def test_every_reason_has_its_meaning(word: str) -> None:
    assert completed(delta(text="a"), end(word)).end == MessageEnd(FINISH_REASON[word], word)


@pytest.mark.parametrize(
    ("frames", "ending"),
    [
        (end("brand_new"), MessageEnd(FinishReason.OTHER, "brand_new")),
        (end(None), MessageEnd(FinishReason.OTHER)),
        (end("tool_use"), MessageEnd(FinishReason.STOP, "tool_use")),
        (call() + end("end_turn"), MessageEnd(FinishReason.TOOL_CALLS, "end_turn")),
        (call() + end("max_tokens"), MessageEnd(FinishReason.LENGTH, "max_tokens")),
        (call(type="server_tool_use") + end("end_turn"), MessageEnd(FinishReason.STOP, "end_turn")),
    ],
)
def test_other_endings(frames: bytes, ending: MessageEnd) -> None:
    assert completed(frames).end == ending


def test_the_end_waits_for_the_usage_or_for_the_bodys_end() -> None:
    body = START + delta(text="a") + event("messageStop", {"stopReason": "end_turn"})
    decoder = BEDROCK.decoder(TARGET)

    assert not any(isinstance(one, MessageEnd) for one in decoder.feed(body))
    assert [type(one) for one in decoder.feed(METADATA)] == [Usage, BlockEnd, MessageEnd]
    assert decode(BEDROCK, [body])[-1] == MessageEnd(FinishReason.STOP, "end_turn")
    assert decode(BEDROCK, [body + METADATA[:30]])[-1].kind is ErrorKind.CUT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "origin", "data"), [(CLAUDE, Origin.ANTHROPIC, "EtkE"), (NOVA, Origin.BEDROCK, "RXRrRQ==")]
)
def test_proofs_of_a_claude_are_anthropics_own(target: Target, origin: Origin, data: str) -> None:
    done = completed(
        delta(0, reasoningContent={"text": "hm"}),
        delta(0, reasoningContent={"signature": "sig"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": base64.b64encode(b"EtkE").decode()}),
        end(),
        target=target,
    )

    assert done.blocks[0].signature == SignatureAdded(0, "sig", origin)
    assert done.blocks[1].block == RedactedReasoningBlock(data, origin)


def test_citations_of_their_own_belong_to_the_text_before_them() -> None:
    web = {
        "location": {"web": {"url": "https://e.x", "domain": "e.x"}},
        "sourceContent": [{"text": "a"}, {"text": "b"}],
    }

    done = completed(delta(0, text="a"), stop(0), delta(1, citation=web), stop(1), delta(2, text="b"), end())

    assert [(type(one.block), one.text, len(one.citations)) for one in done.blocks] == [
        (TextBlock, "a", 1),
        (TextBlock, "b", 0),
    ]
    citation = done.blocks[0].citations[0]
    assert (citation.url, citation.title, citation.cited_text) == ("https://e.x", "e.x", "ab")


def test_server_tools_have_their_results_and_images_are_whole() -> None:
    done = completed(
        call(0, "search", type="server_tool_use"),
        delta(0, toolUse={"input": '{"q":1}'}),
        stop(0),
        start(1, toolResult={"toolUseId": "t1", "type": "search_result", "status": "error"}),
        delta(1, toolResult=[{"text": "x"}]),
        stop(1),
        start(2, image={"format": "jpeg"}),
        delta(2, image={"source": {"bytes": "aGVs"}}),
        delta(2, image={"source": {"bytes": "bG8="}}),
        stop(2),
        end(),
    )

    assert [one.block for one in done.blocks] == [
        ToolCallBlock("t1", "search", ToolKind.SERVER),
        ToolResultBlock("t1", '[{"text": "x"}]', Origin.BEDROCK, "search_result", is_error=True),
        MediaBlock("image/jpeg", data="aGVsbG8="),
    ]


def test_a_call_without_input_is_an_empty_object_and_ids_differ() -> None:
    events = decode(BEDROCK, [START + call(0) + stop(0) + call(1) + call(2, id=None) + end("tool_use")])

    assert grammar.check(events) == []
    assert ArgumentsDelta(0, "{}") in events
    ids = [done.block.id for done in fold(events).blocks]  # type: ignore[union-attr]
    assert ids == ["t1", "tooluse_1", "tooluse_2"]


def test_a_custom_tool_gets_its_free_text_back() -> None:
    target = Target("p", "m", custom_tools=frozenset({"my.patch"}))

    done = completed(call(0, "my_x2e_patch"), delta(0, toolUse={"input": '{"input":"a\\nb"}'}), end(), target=target)

    assert (done.blocks[0].block, done.blocks[0].text) == (ToolCallBlock("t1", "my.patch", ToolKind.CUSTOM), "a\nb")


def test_unknown_frames_and_fields_are_nothing() -> None:
    done = completed(event("brandNew", {"x": 1}), delta(brandNew={}), start(brandNew={}), delta(text="a"), end())

    assert [one.text for one in done.blocks] == ["a"]


@pytest.mark.parametrize("bad", [delta(text=5), event("contentBlockDelta", []), call(name=None), b"\x00" * 20])
def test_what_the_api_does_not_allow_is_a_protocol_fault_behind_the_good_frames(bad: bytes) -> None:
    events = decode(BEDROCK, [START + delta(text="a") + bad + end()])

    assert reading_of(events).text == "a"
    assert events[-1].kind is ErrorKind.PROTOCOL  # type: ignore[union-attr]


def test_an_error_frame_without_a_payload_speaks_in_its_headers() -> None:
    body = START + frame(b"", message_type="error", error_code="InternalFailure", error_message="it broke")

    assert decode(BEDROCK, [body])[-1] == StreamError(ErrorKind.UPSTREAM_FAILED, "it broke", "InternalFailure")


@pytest.mark.parametrize("name", [name for name in ERROR_KIND if name != "validation"])
def test_every_exception_has_its_meaning(name: str) -> None:
    events = decode(BEDROCK, [START + exception(f"{name}Exception", {"message": "no"})])

    assert events[-1].kind is ERROR_KIND[name]  # type: ignore[union-attr]


def reframed(body: bytes) -> bytes:
    """`body` as payloads of well-formed frames: a checksum would refuse all that is changed."""
    names = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
    return b"".join(
        frame(payload, message_type="event", event_type=names[number % 6])
        for number, payload in enumerate(body.split(b"\x00"))
    )


PAYLOADS = b"\x00".join(
    json.dumps(one).encode()
    for one in (
        {"role": "assistant"},
        {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}},
        {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"a":1}'}}},
        {"contentBlockIndex": 0},
        {"stopReason": "end_turn"},
        {"usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 1}},
        {},
        {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}},
        {"contentBlockIndex": 1, "delta": {"image": {"source": {"bytes": "aGVs"}}}},
        {"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": "aGVs"}}},
    )
)


@settings(max_examples=300, deadline=None)
@given(mutated([PAYLOADS], reframed))
def test_nothing_but_a_protocol_error_escapes(body: bytes) -> None:
    for target in (TARGET, CLAUDE):
        assert grammar.check(decode(BEDROCK, [body], target)) == []


@settings(max_examples=200, deadline=None)
@given(mutated([*EXAMPLES.values()]))
def test_nothing_but_a_protocol_error_escapes_from_damaged_frames(body: bytes) -> None:
    assert grammar.check(decode(BEDROCK, [body])) == []
    assert BEDROCK.decode_error(500, {}, body).status == 500


WHOLE_EXAMPLE = {
    "output": {
        "message": {
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"citationsContent": {"content": [{"text": "Oslo"}], "citations": [{"title": "T"}]}},
                {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
                {"text": "bye"},
            ]
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 1, "outputTokens": 2},
    "serviceTier": {"type": "flex"},
}


def test_a_whole_answer_has_everything() -> None:
    completion = BEDROCK.decode_completion(json.dumps(WHOLE_EXAMPLE).encode(), TARGET)

    assert [one.text for one in completion.blocks] == ["hm", "Oslo", '{"a": 1}', "bye"]
    assert isinstance(completion.blocks[0].block, ReasoningBlock)
    assert [type(one) for one in completion.blocks[1].citations] == [CitationAdded]
    assert completion.usage == Usage(1, 2, service_tier="flex")
    assert completion.end == MessageEnd(FinishReason.TOOL_CALLS, "tool_use")


@settings(max_examples=300, deadline=None)
@given(mutated([json.dumps(WHOLE_EXAMPLE).encode()]))
def test_nothing_but_an_upstream_error_escapes_from_a_whole_answer(body: bytes) -> None:
    with contextlib.suppress(UpstreamError):
        assert grammar.check(unfold(BEDROCK.decode_completion(body, TARGET))) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":{}}', b'{"output":{"message":[]}}'])
def test_what_is_no_answer_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        BEDROCK.decode_completion(body, TARGET)


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (400, {"x-amzn-ErrorType": "ValidationException:http://x"}, b'{"message":"bad"}', ErrorKind.INVALID_REQUEST),
        (400, {}, b'{"message":"Input is too long for requested model."}', ErrorKind.CONTEXT_TOO_LONG),
        (400, {}, b'{"message":"The provided model identifier is invalid."}', ErrorKind.NOT_FOUND),
        (403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"Message":"no"}', ErrorKind.PERMISSION),
        (429, {"x-amzn-errortype": "ModelNotReadyException"}, b"{}", ErrorKind.OVERLOADED),
        (408, {}, b'{"__type":"com.amazon#ModelTimeoutException"}', ErrorKind.TIMEOUT),
        (424, {"x-amzn-errortype": "ModelErrorException"}, b"{}", ErrorKind.UPSTREAM_FAILED),
        (500, {}, b"<html>", ErrorKind.UPSTREAM_FAILED),
    ],
)
def test_a_refusal_means_what_its_name_says(status: int, headers: dict[str, str], body: bytes, kind: ErrorKind) -> None:
    assert BEDROCK.decode_error(status, headers, body).kind is kind


def test_no_caller_speaks_this_api() -> None:
    assert BEDROCK.native_dialect is None
    assert BEDROCK.is_terminator(EXAMPLES["text-tool"])
    assert not BEDROCK.is_terminator(delta(text="messageStop"))


def test_the_reading_of_an_answer_without_usage_has_none() -> None:
    body = START + delta(text="a") + event("messageStop", {"stopReason": "end_turn"})

    assert reading_of(decode(BEDROCK, [body])) == Reading("a", finish="stop")
