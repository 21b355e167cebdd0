"""Errors with a status, and whole answers, against recordings and the shapes that vendors use."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.completion import Completion
from proxy.hub.errors import ErrorKind, ProxyError, UpstreamError, UpstreamProtocolError
from proxy.hub.events import FinishReason, ToolCallBlock
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.corpus import Recording, params
from tests.support.openai_chat_api import TARGET, read_whole_by_sdk, reading_of, recorded_answers

PROVIDER = OpenAIChat()


def fault(status: int, body: object, **headers: str) -> UpstreamError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDER.decode_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


# --- recordings

KIND_OF_RECORDING = {
    "azure__chat-reasoning": ErrorKind.NOT_FOUND,
    "llama-index-chat-error": ErrorKind.AUTHENTICATION,
    "azure-grok-4-1-fast-non-reasoning-handles-context": ErrorKind.RATE_LIMIT,
    "ollama-cloud": ErrorKind.CONTEXT_TOO_LONG,
    "deepseek-deepseek-chat-raises": ErrorKind.AUTHENTICATION,
    "groq__tool-use-failed-error__": ErrorKind.INVALID_REQUEST,
    "error-handling-with-mistral": ErrorKind.AUTHENTICATION,
    "openrouter-claude-haiku-4-5-handles-context": ErrorKind.CONTEXT_TOO_LONG,
    "perplexity-sonar-handles-context": ErrorKind.CONTEXT_TOO_LONG,
}


@pytest.mark.parametrize("recording", params(recorded_answers(ok=False)))
def test_a_recorded_error_has_its_meaning_and_the_providers_words(recording: Recording) -> None:
    error = PROVIDER.decode_error(recording.status, recording.headers, recording.response)

    expected = [kind for part, kind in KIND_OF_RECORDING.items() if part in recording.name]
    assert [error.kind] == expected
    assert error.status == recording.status
    assert error.message in recording.response.decode()


@pytest.mark.parametrize("recording", params(recorded_answers(ok=True)))
def test_a_recorded_answer_says_what_the_sdk_reads(recording: Recording) -> None:
    completion = PROVIDER.decode_completion(recording.response, TARGET)

    ours, theirs = reading_of(completion), read_whole_by_sdk(recording.response)
    assert (ours.text, ours.refusal, ours.tool_calls) == (theirs.text, theirs.refusal, theirs.tool_calls)
    assert ours.finish in (theirs.finish, "tool_calls", "context_full")
    if theirs.reasoning:
        assert ours.reasoning == theirs.reasoning
    assert ours.tokens is not None
    assert theirs.tokens is not None
    assert (ours.tokens.input, ours.tokens.output) == (theirs.tokens.input, theirs.tokens.output)


# --- shapes

SHAPES: list[tuple[int, object, ErrorKind, str]] = [
    (400, {"error": {"message": "m", "code": "context_length_exceeded"}}, ErrorKind.CONTEXT_TOO_LONG, "m"),
    (
        400,
        {"error": {"message": "This model's maximum context length is 8192 tokens"}},
        ErrorKind.CONTEXT_TOO_LONG,
        "This model's maximum context length is 8192 tokens",
    ),
    (
        400,
        {"error": {"message": "m", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        ErrorKind.CONTENT_REJECTED,
        "m",
    ),
    (401, {"error": {"message": "m", "code": "invalid_api_key"}}, ErrorKind.AUTHENTICATION, "m"),
    (401, {"detail": "Unauthorized"}, ErrorKind.AUTHENTICATION, "Unauthorized"),
    (402, {"error": {"message": "m", "code": 402}}, ErrorKind.BILLING, "m"),
    (403, {"error": {"message": "m"}}, ErrorKind.PERMISSION, "m"),
    (404, {"error": {"message": "m", "code": "model_not_found"}}, ErrorKind.NOT_FOUND, "m"),
    (422, {"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, ErrorKind.INVALID_REQUEST, "body.n: too big"),
    (422, {"object": "error", "message": {"detail": "x"}}, ErrorKind.INVALID_REQUEST, '{"detail":"x"}'),
    (429, {"error": {"message": "m", "type": "tokens"}}, ErrorKind.RATE_LIMIT, "m"),
    (429, {"error": {"message": "m", "type": "insufficient_quota"}}, ErrorKind.BILLING, "m"),
    (429, {"error": {"message": "m", "type": "engine_overloaded_error"}}, ErrorKind.OVERLOADED, "m"),
    (400, [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], ErrorKind.INVALID_REQUEST, "m"),
    (500, {"error": {"message": "m", "type": "server_error"}}, ErrorKind.UPSTREAM_FAILED, "m"),
    (500, {"error": "words"}, ErrorKind.UPSTREAM_FAILED, "words"),
    (503, {"object": "error", "message": "m", "code": 503}, ErrorKind.OVERLOADED, "m"),
    (529, b"", ErrorKind.OVERLOADED, "The provider answered with status 529."),
    (
        502,
        b"<html>Bad Gateway: secret host</html>",
        ErrorKind.UPSTREAM_FAILED,
        "The provider answered with status 502.",
    ),
    (400, {"errors": [{"code": "invalid_input_argument", "message": "m"}]}, ErrorKind.INVALID_REQUEST, "m"),
    (
        400,
        {"error_code": 1, "error_msg": "the max input token is 5"},
        ErrorKind.CONTEXT_TOO_LONG,
        "the max input token is 5",
    ),
    (403, {"code": 403, "msg": "m"}, ErrorKind.PERMISSION, "m"),
    (429, {"error": {"code": "1113", "message": "m"}}, ErrorKind.BILLING, "m"),
    (200, {"base_resp": {"status_code": 1004, "status_msg": "m"}}, ErrorKind.AUTHENTICATION, "m"),
    (418, {"error": {}}, ErrorKind.INVALID_REQUEST, "The provider answered with status 418."),
]


@pytest.mark.parametrize(("status", "body", "kind", "message"), SHAPES)
def test_an_error_is_understood_in_every_shape(status: int, body: object, kind: ErrorKind, message: str) -> None:
    error = fault(status, body)

    assert (error.kind, error.message, error.status) == (kind, message, status)


@pytest.mark.parametrize(
    "words",
    [
        "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
        "Your request exceeded model token limit: 8192",
        "Input token length too long",
        "Range of input length should be [1, 30720]",
        "prompt tokens limit exceeded: 5 > 4",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
    ],
)
def test_a_prompt_that_is_too_long_is_told_by_its_words(words: str) -> None:
    assert fault(400, {"error": {"message": words}}).kind is ErrorKind.CONTEXT_TOO_LONG


def test_long_messages_are_shortened() -> None:
    assert len(fault(400, {"error": {"message": "x" * 9000}}).message) == 2000


def test_code_param_and_limits_are_passed_on() -> None:
    body = {"error": {"message": "m", "type": "requests", "param": "messages", "code": "rate_limit_exceeded"}}

    error = fault(
        429,
        body,
        retry_after="20",
        retry_after_ms="1500",
        x_ratelimit_remaining_tokens="0",
        x_should_retry="true",
        set_cookie="no",
    )

    assert (error.code, error.param, error.retry_after_s) == ("rate_limit_exceeded", "messages", 1.5)
    assert dict(error.headers) == {
        "retry-after": "20",
        "retry-after-ms": "1500",
        "x-ratelimit-remaining-tokens": "0",
        "x-should-retry": "true",
    }


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("0.5", 0.5), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
def test_a_delay_is_a_number_of_seconds(value: str, seconds: float | None) -> None:
    assert fault(503, b"", retry_after=value).retry_after_s == seconds


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "x", ""])
def test_a_senseless_delay_is_none(value: str) -> None:
    assert fault(503, b"", retry_after=value).retry_after_s is None


@given(
    st.integers(400, 599),
    st.binary(max_size=80) | st.text(max_size=60).map(lambda text: json.dumps({"error": text}).encode()),
)
def test_no_error_body_makes_reading_fail(status: int, body: bytes) -> None:
    assert fault(status, body).message


# --- whole answers


def whole(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "a", "model": "m", "choices": [choice], **fields}).encode()


def read(body: bytes) -> Completion:
    return PROVIDER.decode_completion(body, TARGET)


def test_a_whole_answer_has_all_that_a_stream_has() -> None:
    message = {
        "content": "text",
        "reasoning_content": "why",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

    completion = read(whole(message, usage=usage))

    found = reading_of(completion)
    assert (found.text, found.reasoning, found.finish) == ("text", "why", "tool_calls")
    assert completion.blocks[-1].block == ToolCallBlock("a", "f")


def test_a_message_counts_more_than_a_delta_beside_it() -> None:
    choice = {"index": 0, "message": {"content": "whole"}, "delta": {"content": ""}, "finish_reason": "stop"}

    assert reading_of(read(json.dumps({"choices": [choice]}).encode())).text == "whole"


def test_a_missing_reason_is_not_invented() -> None:
    completion = read(whole({"content": "x"}, None))

    assert completion.end is not None
    assert (completion.end.reason, completion.end.raw_reason) == (FinishReason.OTHER, None)


def test_an_error_instead_of_an_answer_is_raised() -> None:
    with pytest.raises(UpstreamError, match="no") as error:
        read(b'{"error":{"message":"no","code":"rate_limit_exceeded"}}')

    assert error.value.kind is ErrorKind.RATE_LIMIT


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id":"a"}', b'{"choices":[]}', b'{"choices":7}'])
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        read(body)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_answer_or_a_named_fault(body: bytes) -> None:
    try:
        read(body)
    except ProxyError as error:
        assert error.message


# --- the rest of the provider


def test_a_terminator_is_found_in_raw_bytes() -> None:
    assert PROVIDER.is_terminator(b"data: {}\n\ndata: [DONE]\n\n")
    assert PROVIDER.is_terminator(b"data:[DONE]\r\n\r\n")
    assert not PROVIDER.is_terminator(b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n')


def test_a_key_is_a_bearer_token() -> None:
    assert PROVIDER.auth_headers("k") == {"authorization": "Bearer k"}
