"""Bedrock as an upstream: recorded streams and answers, faults, requests."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.validate import ParamValidator
from hypothesis import given, settings

from proxy.hub import grammar
from proxy.hub.completion import Completion, fold, unfold
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError, UpstreamProtocolError
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
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    FileSource,
    FormatKind,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    ServerTool,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
    UrlSource,
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


@pytest.mark.parametrize("recording", params([one for one in STREAMS if "redacted" in one.name]))
def test_recorded_redacted_reasoning_goes_back_byte_for_byte(recording: Recording) -> None:
    blocks = [done.block for done in fold(decode(BEDROCK, [recording.response], CLAUDE)).blocks]
    parts = tuple(
        ReasoningPart("", origin=block.origin, redacted=block.data)
        for block in blocks
        if isinstance(block, RedactedReasoningBlock)
    )

    body, _ = sent(ChatRequest("a", (USER, Message(Role.ASSISTANT, (*parts, TextPart("a"))), USER)), CLAUDE)

    wire = [
        json.loads(payload)["delta"] for _, payload, _ in aws_frames.split(recording.response) if b"redacted" in payload
    ]
    assert [block["reasoningContent"] for block in body["messages"][1]["content"][:-1]] == [
        one["reasoningContent"] for one in wire
    ]
    assert len(parts) == 2


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


# --- requests

USER = Message(Role.USER, (TextPart("hi"),))
WEATHER = ToolDefinition("get_weather", "Tells it.", b'{"type":"object","properties":{"city":{"type":"string"}}}')


def sent(request: ChatRequest, target: Target = NOVA) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, which botocore's validator must take, and what was dropped."""
    upstream = BEDROCK.encode_request(request, target)
    body = json.loads(upstream.body)
    shape = sdk.STREAM.input_shape
    report = ParamValidator().validate({**_with_blobs(body), "modelId": target.model}, shape)
    assert not report.has_errors(), report.generate_report()
    return body, upstream.dropped


def _with_blobs(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(one) if key in ("bytes", "redactedContent") else _with_blobs(one)
            for key, one in value.items()
        }
    return [_with_blobs(one) for one in value] if isinstance(value, list) else value


def test_the_least_request() -> None:
    assert sent(ChatRequest("a", (USER,))) == ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, ())
    assert BEDROCK.encode_request(ChatRequest("a", (USER,)), NOVA).path == (
        "/model/amazon.nova-2-lite-v1%3A0/converse-stream"
    )


@pytest.mark.parametrize("model", ["", "..", "../x", "a?b", "a b", "é", "a" * 2049])
def test_what_is_no_model_id_is_refused(model: str) -> None:
    with pytest.raises(CallerError):
        BEDROCK.encode_request(ChatRequest("a", (USER,)), Target("p", model))


def test_an_arn_is_one_segment_of_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"

    path = BEDROCK.encode_request(ChatRequest("a", (USER,)), Target("p", arn)).path

    assert path.count("/") == 3


def test_turns_are_merged_answered_and_begin_with_the_user() -> None:
    messages = (
        Message(Role.SYSTEM, (TextPart("be brief"),)),
        Message(Role.ASSISTANT, (TextPart("a"), ToolCallPart("c:1", "my.f", "{}"), ToolCallPart("c2", "g", "x"))),
        Message(Role.TOOL, (ToolResultPart("c:1", (TextPart("rain"),), is_error=True),)),
        Message(Role.TOOL, (ToolResultPart("zz", (TextPart("lost"),)),)),
        USER,
        Message(Role.SYSTEM, (TextPart("later"),)),
        Message(Role.ASSISTANT, (TextPart("end  "),)),
    )

    body, dropped = sent(ChatRequest("a", messages))

    assert body["system"] == [{"text": "be brief"}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user", "assistant"]
    calls = body["messages"][1]["content"][1:]
    assert calls == [
        {"toolUse": {"toolUseId": "c_1", "name": "my_x2e_f", "input": {}}},
        {"toolUse": {"toolUseId": "c2", "name": "g", "input": {"input": "x"}}},
    ]
    content = body["messages"][2]["content"]
    assert [block["toolResult"]["toolUseId"] for block in content[:2]] == ["c_1", "c2"]
    assert [block["toolResult"]["status"] for block in content[:2]] == ["error", "error"]
    assert [block["text"] for block in content[2:]] == ["Result of the tool call 'zz':", "lost", "hi", "later"]
    assert body["messages"][3]["content"] == [{"text": "end"}]
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["my_x2e_f", "g"]
    assert dropped == (
        "messages[3].parts[0].call_id",
        "messages[5].role",
        "tools: of earlier turns, sent without their schemas",
    )


def test_media_in_every_form() -> None:
    parts = (
        ImagePart(DataSource("image/jpg", "aW1n")),
        ImagePart(UrlSource("s3://b/a.png")),
        FilePart(DataSource("application/pdf", "aW1n"), name="a/b.pdf", context="c", citations=True),
        FilePart(DataSource("text/x-python", "aW1n"), name="a/b.pdf"),
        AudioPart("aW1n", "wav"),
    )

    body, _ = sent(ChatRequest("a", (Message(Role.USER, parts),)))

    assert body["messages"][0]["content"] == [
        {"image": {"format": "jpeg", "source": {"bytes": "aW1n"}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a.png"}}}},
        {
            "document": {
                "format": "pdf",
                "name": "a b pdf",
                "source": {"bytes": "aW1n"},
                "context": "c",
                "citations": {"enabled": True},
            }
        },
        {"document": {"format": "txt", "name": "a b pdf 2", "source": {"bytes": "aW1n"}}},
        {"audio": {"format": "wav", "source": {"bytes": "aW1n"}}},
        {"text": "(empty)"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(DataSource("image/tiff", "aW1n")),
        ImagePart(UrlSource("https://e.x/a.png")),
        ImagePart(FileSource("f", Origin.OPENAI)),
        FilePart(DataSource("application/zip", "aW1n")),
        FilePart(UrlSource("s3://b/a.exe")),
        AudioPart("aW1n", "midi"),
    ],
)
def test_media_that_cannot_be_sent_are_refused(part: Part) -> None:
    with pytest.raises(CallerError) as caught:
        sent(ChatRequest("a", (Message(Role.USER, (part,)),)))

    assert caught.value.param == "messages[0].parts[0]"


def test_a_claude_thinks_by_its_own_rules() -> None:
    request = ChatRequest(
        "a",
        (USER,),
        reasoning=ReasoningRequest(budget_tokens=2000),
        sampling=Sampling(max_tokens=1000, temperature=0.5),
        tools=(WEATHER,),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )

    body, dropped = sent(request, CLAUDE)

    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert body["inferenceConfig"] == {"maxTokens": 3000}
    assert "toolChoice" not in body["toolConfig"]
    assert dropped == ("tool_choice", "temperature")


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}),
        ("us.amazon.nova-2-lite-v1:0", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        ("meta.llama3", None),
    ],
)
def test_other_families_are_asked_in_their_words(model: str, fields: object) -> None:
    body, dropped = sent(ChatRequest("a", (USER,), reasoning=ReasoningRequest(Effort.MAX)), Target("p", model))

    assert body.get("additionalModelRequestFields") == fields
    assert dropped == (() if fields else ("reasoning",))


def test_signed_reasoning_goes_back_to_its_maker_only() -> None:
    signed = ReasoningPart("hm", "sig", Origin.ANTHROPIC)
    messages = (USER, Message(Role.ASSISTANT, (signed, TextPart("a"))), USER)

    body, dropped = sent(ChatRequest("a", messages), CLAUDE)

    assert body["messages"][1]["content"][0] == {
        "reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}
    }
    assert (dropped, sent(ChatRequest("a", messages), NOVA)[1]) == ((), ("messages[1].parts[0]: reasoning",))


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(ToolMode.AUTO), "absent"),
        (ToolChoice(ToolMode.REQUIRED), {"any": {}}),
        (ToolChoice(ToolMode.NAMED, "get_weather"), {"tool": {"name": "get_weather"}}),
    ],
)
def test_a_choice_of_tools(choice: ToolChoice, config: object) -> None:
    body, dropped = sent(ChatRequest("a", (USER,), tools=(WEATHER,), tool_choice=choice))

    assert body["toolConfig"].get("toolChoice", "absent") == config
    assert dropped == ()


def test_no_tool_may_be_called_when_none_is_offered() -> None:
    asked = ChatRequest("a", (USER,), tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.NONE))

    assert "toolConfig" not in sent(asked)[0]


def test_own_server_tools_are_sent_and_others_named() -> None:
    own = ServerTool(Origin.BEDROCK, "systemTool", b'{"systemTool":{"name":"nova_grounding"}}')
    other = ServerTool(Origin.OPENAI, "web_search", b"{}")

    body, dropped = sent(ChatRequest("a", (USER,), server_tools=(own, other)))

    assert body["toolConfig"] == {"tools": [{"systemTool": {"name": "nova_grounding"}}]}
    assert dropped == ("tools: web_search",)


def test_marks_of_the_cache_become_points() -> None:
    messages = (Message(Role.USER, (TextPart("long", cache=b'{"type":"ephemeral","ttl":"1h"}'),)),)

    body, dropped = sent(ChatRequest("a", messages), CLAUDE)

    assert body["messages"][0]["content"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert (dropped, sent(ChatRequest("a", messages), Target("p", "meta.llama3"))[1]) == ((), ("cache_control",))


def test_a_schema_is_a_text_and_json_alone_is_asked_for_in_words() -> None:
    schema = ResponseFormat(FormatKind.JSON_SCHEMA, "n", b'{"type":"object","properties":{"a":{"minimum":1}}}')

    body, dropped = sent(ChatRequest("a", (USER,), response_format=schema), CLAUDE)

    described = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(described["schema"])["additionalProperties"] is False
    assert dropped == ("response_format.schema.properties.a.minimum",)
    body, dropped = sent(ChatRequest("a", (USER,), response_format=ResponseFormat(FormatKind.JSON_OBJECT)))
    assert body["system"][0]["text"].startswith("Answer with one valid JSON object")
    assert dropped == ("response_format: asked for in the system text",)


def test_the_rest_is_carried_or_named() -> None:
    request = ChatRequest(
        "a",
        (USER,),
        sampling=Sampling(max_tokens=5, temperature=2, top_p=0.5, top_k=3, stop=("x", " "), seed=1),
        service_tier="flex",
        user="u",
        extensions={
            "guardrailConfig": b'{"guardrailIdentifier":"abc","guardrailVersion":"1"}',
            "additionalModelRequestFields.x": b"1",
            "z": b"1",
        },
    )

    body, dropped = sent(request)

    assert body["inferenceConfig"] == {"maxTokens": 5, "temperature": 1.0, "topP": 0.5, "stopSequences": ["x"]}
    assert body["serviceTier"] == {"type": "flex"}
    assert body["additionalModelRequestFields"] == {"x": 1}
    assert "guardrailConfig" in body
    assert dropped == (
        "temperature: beyond 0..1, the nearest is sent",
        "top_k",
        "stop: blank sequences",
        "seed",
        "user",
        "z",
    )


@pytest.mark.parametrize(
    "request_", [ChatRequest("a", (USER,), sampling=Sampling(n=2)), ChatRequest("a", (Message(Role.SYSTEM, ()),))]
)
def test_what_cannot_be_asked_is_refused(request_: ChatRequest) -> None:
    with pytest.raises(CallerError):
        sent(request_)


def test_no_caller_speaks_this_api() -> None:
    assert BEDROCK.native_dialect is None
    assert BEDROCK.is_terminator(EXAMPLES["text-tool"])
    assert not BEDROCK.is_terminator(delta(text="messageStop"))


def test_the_reading_of_an_answer_without_usage_has_none() -> None:
    body = START + delta(text="a") + event("messageStop", {"stopReason": "end_turn"})

    assert reading_of(decode(BEDROCK, [body])) == Reading("a", finish="stop")
