"""Ollama as an upstream: recorded streams and answers, faults, requests."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from proxy.hub import grammar
from proxy.hub.completion import fold, unfold
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    BlockStart,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    StreamError,
    ToolCallBlock,
    ToolKind,
    Usage,
)
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    FormatKind,
    ImagePart,
    Message,
    OpaquePart,
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
from proxy.providers.base import NativeCall, Target
from proxy.providers.ollama.provider import Ollama
from proxy.providers.ollama.stream import FINISH_REASON
from tests.support.answers import Answer
from tests.support.corpus import Recording, params, recordings
from tests.support.provider_streams import (
    TARGET,
    assert_any_split_gives_the_same,
    assert_cut_is_an_error,
    decode,
    mutated,
    reading_of,
)
from tests.support.reader import Call
from tests.support.readers import ollama as sdk
from tests.support.readings import Reading, Tokens, differences
from tests.support.replay import ReplayServer

OLLAMA = Ollama()
FIXTURES = Path(__file__).parents[1] / "fixtures" / "ollama"
EXAMPLES = {path.stem: path.read_bytes() for path in sorted(FIXTURES.iterdir())}
STREAMS = recordings(kind="ollama", stream=True, ok=True)
WHOLE = recordings(kind="ollama", stream=False, ok=True)


def line(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "created_at": "2026-11-20T10:11:12.123Z", **fields}).encode() + b"\n"


def said(done_reason: str | None = None, **message: Any) -> bytes:
    ending = {} if done_reason is None else {"done_reason": done_reason}
    return line(message={"role": "assistant", "content": "", **message}, done=done_reason is not None, **ending)


END = said("stop")


def ends_of(body: bytes) -> list[int]:
    return [index + 1 for index, byte in enumerate(body.rstrip()) if byte == 0x0A]


# --- every recording and example


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_is_grammatical_and_the_same_in_any_pieces(recording: Recording) -> None:
    assert isinstance(decode(OLLAMA, [recording.response])[-1], MessageEnd)
    assert_any_split_gives_the_same(OLLAMA, recording.response)


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_cut_recording_ends_as_cut(recording: Recording) -> None:
    assert_cut_is_an_error(OLLAMA, recording.response, ends_of(recording.response))


@pytest.mark.parametrize("recording", params(STREAMS))
async def test_a_recorded_stream_reads_as_the_sdk_reads_it(recording: Recording) -> None:
    async with ReplayServer(recording.answer()) as upstream:
        theirs = await sdk.read_stream(Call(upstream.base_url))

    assert theirs.error is None, theirs.error_message
    assert differences(theirs, reading_of(decode(OLLAMA, [recording.response]))) == frozenset()


@pytest.mark.parametrize("recording", params(WHOLE))
async def test_a_recorded_whole_answer_reads_as_the_sdk_reads_it(recording: Recording) -> None:
    async with ReplayServer(recording.answer()) as upstream:
        theirs = await sdk.read_whole(Call(upstream.base_url))

    events = unfold(OLLAMA.decode_completion(recording.response, TARGET))
    assert grammar.check(events) == []
    assert differences(theirs, reading_of(events)) == frozenset()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_the_same_in_any_pieces(name: str) -> None:
    assert_any_split_gives_the_same(OLLAMA, EXAMPLES[name])


def test_thinking_is_reasoning_before_the_text() -> None:
    events = decode(OLLAMA, [EXAMPLES["text"]])

    assert events[0] == MessageStart("", "example:latest")
    assert reading_of(events) == Reading("Yes, prime.", "17 is small. ", tokens=Tokens(12, 7), finish="stop")


def test_a_call_ends_the_message_although_the_api_says_stop() -> None:
    reading = reading_of(decode(OLLAMA, [EXAMPLES["tool-call"]]))

    assert [(call.name, call.arguments) for call in reading.tool_calls] == [("get_weather", {"city": "Oslo"})]
    assert reading.finish == "tool_calls"


async def test_an_error_line_is_an_error_here_and_in_the_sdk() -> None:
    body = EXAMPLES["mid-stream-error"]
    async with ReplayServer(Answer(200, (("content-type", "application/x-ndjson"),), body)) as upstream:
        theirs = await sdk.read_stream(Call(upstream.base_url))

    events = decode(OLLAMA, [body + END])

    assert theirs.error == "ResponseError"
    assert events[-1] == StreamError(ErrorKind.UPSTREAM_FAILED, theirs.error_message.removesuffix(" (status code: -1)"))


# --- tables and rules


@pytest.mark.parametrize("word", FINISH_REASON)
def test_every_reason_has_its_meaning(word: str) -> None:
    assert decode(OLLAMA, [said(word)])[-1] == MessageEnd(FINISH_REASON[word], word)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (said("brand_new"), MessageEnd(FinishReason.OTHER, "brand_new")),
        (line(done=True), MessageEnd(FinishReason.OTHER)),
        (said("length", tool_calls=[{"function": {"name": "f"}}]), MessageEnd(FinishReason.LENGTH, "length")),
    ],
)
def test_other_endings(ending: bytes, reason: MessageEnd) -> None:
    assert decode(OLLAMA, [ending])[-1] == reason


def test_the_servers_ids_are_kept_and_missing_ones_differ_between_answers() -> None:
    calls = [{"id": "call_x", "function": {"name": "f"}}, {"function": {"name": "g", "arguments": {}}}] * 2

    events = decode(OLLAMA, [said(tool_calls=calls) + END])

    ids = [
        event.block.id for event in events if isinstance(event, BlockStart) and isinstance(event.block, ToolCallBlock)
    ]
    assert ids == ["call_x", "call_1_261120101112123", "call_2_261120101112123", "call_3_261120101112123"]


@pytest.mark.parametrize(
    ("arguments", "expected"), [(None, "{}"), ({}, "{}"), ({"a": [1]}, '{"a": [1]}'), ('{"a":1}', '{"a":1}')]
)
def test_arguments_are_one_fragment_of_json(arguments: object, expected: str) -> None:
    events = decode(OLLAMA, [said(tool_calls=[{"function": {"name": "f", "arguments": arguments}}]) + END])

    assert [event.json for event in events if isinstance(event, ArgumentsDelta)] == [expected]


def test_arguments_as_text_of_malformed_utf_8_are_mended() -> None:
    line = said(tool_calls=[{"function": {"name": "f", "arguments": "~"}}]).replace(b"~", b"a\xed\xa0\x80b")

    events = decode(OLLAMA, [line + END])

    assert [event.json for event in events if isinstance(event, ArgumentsDelta)] == ["a\ufffd\ufffd\ufffdb"]


def test_a_custom_tool_gets_its_free_text_back() -> None:
    target = Target("p", "m", custom_tools=frozenset({"patch"}))
    call = {"function": {"name": "patch", "arguments": {"input": 'a\n"b"'}}}

    events = decode(OLLAMA, [said(tool_calls=[call]) + END], target)

    assert ArgumentsDelta(0, 'a\n"b"') in events
    assert any(isinstance(event, BlockStart) and event.block.kind is ToolKind.CUSTOM for event in events)  # type: ignore[union-attr]


def test_generate_answers_are_read_as_well() -> None:
    """For callers who speak this API: their bytes pass untouched, and are read along."""
    body = line(response="", thinking="hm", done=False) + line(response="a", done=False) + line(response="", done=True)

    assert reading_of(decode(OLLAMA, [body])) == Reading("a", "hm", finish="other")


def test_unknown_fields_and_blank_lines_are_nothing() -> None:
    body = b"\r\n" + line(brand_new={"a": 1}) + said(content="a", brand_new=[]) + b"\n" + END.rstrip() + b"\r\n"

    assert reading_of(decode(OLLAMA, [body])).text == "a"


def test_the_last_line_counts_without_its_end() -> None:
    assert isinstance(decode(OLLAMA, [said(content="a") + END.rstrip()])[-1], MessageEnd)


def test_half_a_last_line_is_a_cut() -> None:
    assert decode(OLLAMA, [said(content="a") + END[:-20]])[-1].kind is ErrorKind.CUT  # type: ignore[union-attr]


def test_good_lines_before_a_bad_one_are_given() -> None:
    events = decode(OLLAMA, [said(content="a") + b'{"message": 5}\n' + END])

    assert reading_of(events).text == "a"
    assert isinstance(events[-1], StreamError)
    assert events[-1].kind is ErrorKind.PROTOCOL


def test_a_line_over_the_cap_is_a_protocol_fault() -> None:
    with pytest.raises(UpstreamProtocolError):
        OLLAMA.decoder(Target("p", "m", max_frame_bytes=50)).feed(b'{"message":{"content":"' + b"a" * 60)


@settings(max_examples=300, deadline=None)
@given(mutated([*EXAMPLES.values()]))
def test_nothing_but_a_protocol_error_escapes(body: bytes) -> None:
    assert grammar.check(decode(OLLAMA, [body])) == []
    with contextlib.suppress(UpstreamError):
        OLLAMA.decode_completion(body.split(b"\n")[0], TARGET)
    assert OLLAMA.decode_error(500, {}, body).status == 500


# --- errors


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, b'{"error":"model \'x\' not found"}', ErrorKind.NOT_FOUND, "model 'x' not found"),
        (400, b'{"error":"x does not support tools"}', ErrorKind.INVALID_REQUEST, "x does not support tools"),
        (400, b'{"error":"prompt too long"}', ErrorKind.CONTEXT_TOO_LONG, "prompt too long"),
        (401, b'{"error":"unauthorized","signin_url":"u"}', ErrorKind.AUTHENTICATION, "unauthorized"),
        (500, b'{"error":{"message":"server overloaded"}}', ErrorKind.OVERLOADED, "server overloaded"),
        (503, b"<html>", ErrorKind.OVERLOADED, "The provider answered with status 503."),
        (500, b'{"error":7}', ErrorKind.UPSTREAM_FAILED, "The provider answered with status 500."),
    ],
)
def test_a_refusal_means_what_its_status_and_words_say(status: int, body: bytes, kind: ErrorKind, message: str) -> None:
    error = OLLAMA.decode_error(status, {"Retry-After": "3"}, body)

    assert (error.kind, error.message, error.status, error.retry_after_s) == (kind, message, status, 3.0)


def test_an_error_in_a_whole_answer_is_raised() -> None:
    with pytest.raises(UpstreamError, match="no such thing"):
        OLLAMA.decode_completion(b'{"error":"no such thing"}', TARGET)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"message":[]}'])
def test_what_is_no_answer_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        OLLAMA.decode_completion(body, TARGET)


def test_a_whole_answer_has_its_usage_and_end() -> None:
    body = line(message={"content": "hi"}, done=True, done_reason="length", eval_count=3)

    completion = OLLAMA.decode_completion(body, TARGET)

    assert (completion.usage, completion.end) == (Usage(output=3), MessageEnd(FinishReason.LENGTH, "length"))


# --- requests

USER = Message(Role.USER, (TextPart("hi"),))
IMAGE = ImagePart(DataSource("image/png", "aW1n"))
WEATHER = ToolDefinition("get_weather", "Tells it.", b'{"type":"object","properties":{"city":{"type":"string"}}}')


def sent(request: ChatRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    upstream = OLLAMA.encode_request(request, Target("p", "llama"))
    assert (upstream.path, upstream.method) == ("/api/chat", "POST")
    return json.loads(upstream.body), upstream.dropped


def messages_of(*messages: Message) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    body, dropped = sent(ChatRequest("a", messages))
    return body["messages"], dropped


def test_the_least_request() -> None:
    assert sent(ChatRequest("a", (USER,))) == (
        {"model": "llama", "messages": [{"role": "user", "content": "hi"}], "stream": True},
        (),
    )


def test_a_tool_turn_has_objects_names_and_moved_images() -> None:
    call = ToolCallPart("c1", "get_weather", '{"city":"Oslo"}')
    result = ToolResultPart("c1", (TextPart("rain"), IMAGE), is_error=True)

    messages, dropped = messages_of(
        USER,
        Message(Role.ASSISTANT, (ReasoningPart("hm"), TextPart("Wait."), call)),
        Message(Role.TOOL, (result,)),
    )

    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "Wait.",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}],
        },
        {"role": "tool", "content": "Error: rain", "tool_name": "get_weather"},
        {"role": "user", "content": "", "images": ["aW1n"]},
    ]
    assert dropped == ()


@pytest.mark.parametrize(
    ("arguments", "expected"), [("", {}), ('{"a":', {"input": '{"a":'}), ("[1]", {"input": "[1]"})]
)
def test_arguments_that_are_no_object_are_put_into_one(arguments: str, expected: object) -> None:
    messages, _ = messages_of(USER, Message(Role.ASSISTANT, (ToolCallPart("c", "f", arguments),)))

    assert messages[1]["tool_calls"][0]["function"]["arguments"] == expected


def test_text_documents_become_text() -> None:
    document = FilePart(DataSource("text/plain", "aGVsbG8="), name="a.txt", context="Read:")

    assert messages_of(Message(Role.USER, (document, IMAGE)))[0] == [
        {"role": "user", "content": "Read:\n\na.txt\n\nhello", "images": ["aW1n"]}
    ]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(UrlSource("https://e.x/a.png")),
        FilePart(DataSource("application/pdf", "aGVsbG8=")),
        FilePart(DataSource("text/plain", "%%%")),
        FilePart(UrlSource("https://e.x/a.pdf")),
        AudioPart("aGVsbG8=", "wav"),
    ],
)
def test_media_that_cannot_be_sent_are_refused(part: Part) -> None:
    with pytest.raises(CallerError) as caught:
        messages_of(Message(Role.USER, (part,)))

    assert caught.value.param == "messages[0].parts[0]"


def test_several_answers_are_refused() -> None:
    with pytest.raises(CallerError, match="one answer"):
        sent(ChatRequest("a", (USER,), sampling=Sampling(n=2)))


def test_sampling_goes_into_the_options() -> None:
    sampling = Sampling(
        max_tokens=5, temperature=0.5, top_p=0.9, top_k=3, stop=("x",), seed=1, presence_penalty=0.1, logprobs=True
    )

    body, dropped = sent(
        ChatRequest(
            "a", (USER,), sampling=sampling, extensions={"keep_alive": b'"5m"', "options.num_ctx": b"8", "z": b"1"}
        )
    )

    assert body["options"] == {
        "num_predict": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop": ["x"],
        "seed": 1,
        "presence_penalty": 0.1,
        "num_ctx": 8,
    }
    assert body["keep_alive"] == "5m"
    assert dropped == ("logprobs", "z")


def test_tools_are_functions_with_a_schema() -> None:
    custom = ToolDefinition("patch", kind=ToolKind.CUSTOM, format=b"{}")
    bare = ToolDefinition("now", strict=True)
    server = ServerTool(Origin.ANTHROPIC, "web_search", b"{}")

    body, dropped = sent(ChatRequest("a", (USER,), tools=(WEATHER, custom, bare), server_tools=(server,)))

    functions = [tool["function"] for tool in body["tools"]]
    assert [function["name"] for function in functions] == ["get_weather", "patch", "now"]
    assert functions[0]["parameters"] == json.loads(WEATHER.parameters or b"")
    assert functions[1]["parameters"]["required"] == ["input"]
    assert functions[2]["parameters"] == {"type": "object", "properties": {}}
    assert dropped == ("tools: web_search", "tools[patch].format", "tools[now].strict")


@pytest.mark.parametrize(
    ("choice", "names", "dropped"),
    [
        (ToolChoice(ToolMode.AUTO), ["get_weather", "now"], ()),
        (ToolChoice(ToolMode.NONE), [], ()),
        (ToolChoice(ToolMode.REQUIRED), ["get_weather", "now"], ("tool_choice",)),
        (ToolChoice(ToolMode.NAMED, "now"), ["get_weather", "now"], ("tool_choice",)),
        (ToolChoice(ToolMode.AUTO, allowed=("now",)), ["now"], ()),
    ],
)
def test_a_choice_is_made_by_what_is_offered(choice: ToolChoice, names: list[str], dropped: tuple[str, ...]) -> None:
    body, lost = sent(ChatRequest("a", (USER,), tools=(WEATHER, ToolDefinition("now")), tool_choice=choice))

    assert [tool["function"]["name"] for tool in body.get("tools", [])] == names
    assert lost == dropped


@pytest.mark.parametrize(
    ("asked", "think"),
    [
        (ReasoningRequest(Effort.NONE), False),
        (ReasoningRequest(Effort.MINIMAL), "low"),
        (ReasoningRequest(Effort.MAX), "high"),
        (ReasoningRequest(budget_tokens=5000), "medium"),
        (ReasoningRequest(budget_tokens=0), False),
        (ReasoningRequest(adaptive=True), True),
        (ReasoningRequest(), "absent"),
    ],
)
def test_thinking_is_asked_for_in_the_apis_words(asked: ReasoningRequest, think: object) -> None:
    assert sent(ChatRequest("a", (USER,), reasoning=asked))[0].get("think", "absent") == think


@pytest.mark.parametrize(
    ("wanted", "format"),
    [
        (ResponseFormat(FormatKind.TEXT), "absent"),
        (ResponseFormat(FormatKind.JSON_OBJECT), "json"),
        (ResponseFormat(FormatKind.JSON_SCHEMA, "n", b'{"type":"object"}'), {"type": "object"}),
    ],
)
def test_a_format_is_json_or_its_schema(wanted: ResponseFormat, format: object) -> None:
    assert sent(ChatRequest("a", (USER,), response_format=wanted))[0].get("format", "absent") == format


def test_what_cannot_be_carried_is_named() -> None:
    opaque = OpaquePart(Origin.ANTHROPIC, "compaction", b"{}")
    redacted = ReasoningPart("", redacted="x", origin=Origin.ANTHROPIC)
    request = ChatRequest(
        "a",
        (USER, Message(Role.ASSISTANT, (opaque, redacted, TextPart("t", cache=b"{}")), name="n")),
        user="u",
        metadata=b"{}",
        service_tier="flex",
        verbosity="low",
        cache_key="k",
        parallel_tool_calls=False,
        tools=(WEATHER,),
    )

    assert sent(request)[1] == (
        "messages[1].name",
        "messages[1].parts[0]: compaction",
        "messages[1].parts[1]: reasoning",
        "cache_control",
        "parallel_tool_calls",
        "user",
        "metadata",
        "service_tier",
        "verbosity",
        "cache_key",
    )


def splice(body: bytes) -> tuple[str, bytes]:
    upstream = OLLAMA.splice_request(NativeCall(body, True, "generate", {}, {}, {}), Target("p", "llama"))
    return upstream.path, upstream.body


def test_a_native_body_keeps_every_field_but_the_model() -> None:
    body = b'{"model":"a","messages":[ {"role":"user"} ],"options":{"x":1.50}}'

    assert splice(body) == ("/api/chat", body.replace(b'"a"', b'"llama"'))
    assert splice(b'{"prompt":"p"}') == ("/api/generate", b'{"prompt":"p","model":"llama"}')


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_a_native_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError):
        splice(body)


@pytest.mark.parametrize("recording", params([one for one in [*STREAMS, *WHOLE] if one.request is not None]))
def test_a_recorded_request_is_relayed_field_by_field(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]

    path, spliced = splice(json.dumps(body).encode())

    assert (path, json.loads(spliced)) == (recording.request["path"], {**body, "model": "llama"})


def test_the_terminator_is_seen_in_raw_bytes() -> None:
    assert OLLAMA.is_terminator(END)
    assert not OLLAMA.is_terminator(said(content='"done": true'))


def test_the_completion_of_a_stream_is_its_fold() -> None:
    body = EXAMPLES["text"]

    assert fold(decode(OLLAMA, [body])).end == MessageEnd(FinishReason.STOP, "stop")
