"""The dialect as a whole: routes, whole answers, errors, and conversations of two turns."""

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams, CountsTokens, Operation, StreamContext
from proxy.hub.completion import Completion, fold, unfold
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    SignatureAdded,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
)
from proxy.hub.request import FormatKind, Message, ReasoningPart, ResponseFormat, Role, TextPart, ToolCallPart
from proxy.providers import PROVIDERS
from tests.support.corpus import Recording, params, recordings
from tests.support.openai_responses_api import (
    TARGET,
    Case,
    Grammar,
    client,
    decode,
    fixture_streams,
    frames,
    read_by_hub,
    read_by_sdk,
    read_whole_by_sdk,
)
from tests.support.strategies import completions

DIALECT = DIALECTS["openai_responses"]
ID = "k3v9x0a1b2c3d4e5f6g7h8i9"
CONTEXT = StreamContext(ID, "asked-model", 1790000000)


def test_it_answers_under_both_prefixes_and_lenient_ones() -> None:
    generate = {route.path for route in DIALECT.routes if route.operation is Operation.GENERATE}
    count = {route.path for route in DIALECT.routes if route.operation is Operation.COUNT_TOKENS}

    assert generate == {"/v1/responses", "/openai/v1/responses", "/responses", "/v1/v1/responses"}
    assert count == {f"{path}/input_tokens" for path in generate}
    assert {route.method for route in DIALECT.routes} == {"POST"}


@pytest.mark.parametrize(
    ("body", "model", "stream"),
    [
        (b'{"model":"m","stream":true,"input":[1,2]}', "m", True),
        (b'{"model":"m"}', "m", False),
        (b'{"stream":null}', None, False),
        (b'{"model":""}', None, False),
    ],
)
def test_the_envelope(body: bytes, model: str | None, stream: bool) -> None:
    envelope = DIALECT.envelope(body, CallParams())

    assert (envelope.model, envelope.stream, envelope.include_usage) == (model, stream, True)


@pytest.mark.parametrize("body", [b'{"model":7}', b'{"stream":"yes"}', b"7"])
def test_an_envelope_of_wrong_types_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError):
        DIALECT.envelope(body, CallParams())


def test_a_token_count_is_read_by_the_sdk() -> None:
    assert isinstance(DIALECT, CountsTokens)

    answer = client(DIALECT.encode_token_count(42), "application/json").responses.input_tokens.count(
        model="m", input="x"
    )

    assert answer.input_tokens == 42


# --- whole answers


@pytest.mark.parametrize("recording", params(recordings(kind="openai_responses", stream=False, ok=True)))
def test_a_recorded_whole_answer_comes_out_as_it_went_in(recording: Recording) -> None:
    completion = PROVIDERS["openai_responses"].decode_completion(recording.response, TARGET)

    body = DIALECT.encode_completion(completion, CONTEXT)

    assert read_whole_by_sdk(body) == read_whole_by_sdk(recording.response)
    openai.types.responses.Response.model_validate(json.loads(body), strict=True)


@pytest.mark.parametrize(
    "case", [case for case in fixture_streams() if type(decode(case.body)[-1]) is MessageEnd], ids=str
)
def test_a_whole_answer_is_the_end_of_the_same_stream(case: Case) -> None:
    events = decode(case.body)
    stream = DIALECT.encoder(CONTEXT).encode(events)

    body = DIALECT.encode_completion(fold(events), CONTEXT)

    assert json.loads(body) == frames(stream)[-1]["response"]


@given(completions())
def test_any_answer_can_be_whole(completion: Completion) -> None:
    if completion.error is not None:
        completion.error, completion.end = None, MessageEnd(FinishReason.OTHER)

    response = json.loads(DIALECT.encode_completion(completion, CONTEXT))

    assert response["object"] == "response"
    assert response["status"] in ("completed", "incomplete", "failed")


def test_the_format_is_told_as_it_was_asked_for() -> None:
    format = ResponseFormat(FormatKind.JSON_SCHEMA, "book", b'{"type":\n"object"}', strict=True)
    context = StreamContext(ID, "m", 1, response_format=format)

    body = DIALECT.encoder(context).encode([MessageStart("", ""), MessageEnd(FinishReason.STOP)])

    Grammar().check(body)
    expected = {"type": "json_schema", "name": "book", "schema": {"type": "object"}, "strict": True}
    assert frames(body)[-1]["response"]["text"]["format"] == expected


# --- errors before the stream


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (CallerError(ErrorKind.INVALID_REQUEST, "no", param="input[0]"), openai.BadRequestError),
        (UpstreamError(ErrorKind.AUTHENTICATION, "no", status=401), openai.AuthenticationError),
        (UpstreamError(ErrorKind.NOT_FOUND, "no", status=404), openai.NotFoundError),
        (UpstreamError(ErrorKind.RATE_LIMIT, "no", status=429), openai.RateLimitError),
        (UpstreamError(ErrorKind.BILLING, "no", status=402), openai.RateLimitError),
        (UpstreamError(ErrorKind.OVERLOADED, "no", status=529), openai.InternalServerError),
        (UpstreamError(ErrorKind.TIMEOUT, "no"), openai.InternalServerError),
    ],
)
def test_an_error_is_the_sdks_own_exception(error: Any, raised: type[openai.APIStatusError]) -> None:
    answer = httpx2.Response(DIALECT.status(error), content=DIALECT.encode_error(error, "req_1"))
    transport = httpx2.MockTransport(lambda request: answer)
    sdk = openai.OpenAI(
        api_key="k", base_url="http://p/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )

    with pytest.raises(raised) as caught:
        sdk.responses.create(model="m", input="x")

    assert caught.value.body["message"] == "no"
    assert caught.value.param == error.param


# --- two turns


def second_turn(*events: Event) -> tuple[Message, ...]:
    """What comes back when a caller puts our output items and a tool's result into the next request."""
    stream = DIALECT.encoder(CONTEXT).encode([MessageStart("", "m"), *events, MessageEnd(FinishReason.TOOL_CALLS)])
    with client(stream).responses.stream(model="m", input="x") as answer:
        output = [item.model_dump(exclude_none=True) for item in answer.get_final_response().output]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}, *output, result]}
    return DIALECT.decode_request(json.dumps(body).encode(), CallParams()).messages


def test_reasoning_and_calls_of_any_origin_come_back_unchanged() -> None:
    messages = second_turn(
        BlockStart(0, ReasoningBlock()),
        ReasoningDelta(0, "let me "),
        ReasoningDelta(0, "see\n\n"),
        SignatureAdded(0, "EqQBCgIYAhIM", Origin.ANTHROPIC),
        BlockEnd(0),
        BlockStart(1, RedactedReasoningBlock("EmwKAhgB", Origin.ANTHROPIC)),
        BlockEnd(1),
        BlockStart(2, TextBlock()),
        TextDelta(2, "looking"),
        BlockEnd(2),
        BlockStart(3, ToolCallBlock("call_1", "f")),
        ArgumentsDelta(3, '{"a":1}'),
        SignatureAdded(3, "CsEDAb4+", Origin.GEMINI),
        BlockEnd(3),
        BlockStart(4, ToolCallBlock("call_2", "p", ToolKind.CUSTOM)),
        ArgumentsDelta(4, "x"),
        BlockEnd(4),
    )

    assert messages[1] == Message(
        Role.ASSISTANT,
        (
            ReasoningPart("let me see\n\n", "EqQBCgIYAhIM", Origin.ANTHROPIC),
            ReasoningPart("", origin=Origin.ANTHROPIC, redacted="EmwKAhgB"),
            TextPart("looking"),
            ToolCallPart("call_1", "f", '{"a":1}', signature="CsEDAb4+", origin=Origin.GEMINI),
            ToolCallPart("call_2", "p", "x", ToolKind.CUSTOM),
        ),
    )
    assert messages[2].role is Role.TOOL


def test_openais_reasoning_goes_back_to_openai_with_its_id() -> None:
    messages = second_turn(
        BlockStart(0, ReasoningBlock("rs_up")),
        ReasoningDelta(0, "see"),
        SignatureAdded(0, "gAAA", Origin.OPENAI),
        BlockEnd(0),
        BlockStart(1, ToolCallBlock("call_1", "f")),
        BlockEnd(1),
    )

    assert messages[1].parts[0] == ReasoningPart("see", "gAAA", Origin.OPENAI, id="rs_up")


RECORDED = params(
    recordings(kind="openai_responses", stream=True, ok=True, where=lambda found: "signature" in found.features)
)


@pytest.mark.parametrize("recording", RECORDED)
def test_recorded_reasoning_goes_back_as_it_came(recording: Recording) -> None:
    events = decode(recording.response)
    stream = DIALECT.encoder(CONTEXT).encode(events)
    body = {"model": "m", "input": [*frames(stream)[-1]["response"]["output"], {"role": "user", "content": "and?"}]}

    request = DIALECT.decode_request(json.dumps(body).encode(), CallParams())
    sent = json.loads(PROVIDERS["openai_responses"].encode_request(request, TARGET).body)

    original = [frame["item"] for frame in frames(recording.response) if frame["type"] == "response.output_item.done"]
    proofs = [(item["id"], item["encrypted_content"]) for item in original if item.get("encrypted_content")]
    assert [
        (item["id"], item["encrypted_content"]) for item in sent["input"] if item.get("type") == "reasoning"
    ] == proofs
    hosted = [item for item in original if item["type"].endswith("_call") or item["type"] == "mcp_list_tools"]
    assert [item for item in sent["input"] if item.get("type") in {other["type"] for other in hosted}] == hosted


def test_unfolding_and_reading_agree() -> None:
    completion = fold(decode(fixture_streams("parallel-tools.sse")[0].body))

    assert read_by_hub(unfold(completion)) == read_by_sdk(fixture_streams("parallel-tools.sse")[0].body)
