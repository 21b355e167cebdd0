"""Errors inside streams of Chat Completions, in every shape that vendors give them, and what is none."""

import pytest

from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import Event, MessageEnd, StreamError, TextDelta
from proxy.hub.grammar import check
from proxy.providers.openai_chat.stream import ChatDecoder
from tests.support.openai_chat_api import TARGET, chunk, decode, reading, sse

DONE = "[DONE]"


def read(*chunks: object) -> list[Event]:
    events = decode(sse(*chunks))
    assert check(events) == []
    return events


def ending(*chunks: object) -> Event:
    return read(*chunks)[-1]


ERRORS: list[tuple[object, ErrorKind, str, str | None]] = [
    (
        {"error": {"message": "boom", "type": "server_error", "param": None, "code": None}},
        ErrorKind.UPSTREAM_FAILED,
        "boom",
        "server_error",
    ),
    (
        chunk({"content": ""}, "error", error={"code": 502, "message": "gone", "metadata": {"x": 1}}),
        ErrorKind.UPSTREAM_FAILED,
        "gone",
        "502",
    ),
    (chunk({}, "error", error={"code": 429, "message": "slow down"}), ErrorKind.RATE_LIMIT, "slow down", "429"),
    (
        {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400},
        ErrorKind.INVALID_REQUEST,
        "bad",
        "400",
    ),
    ({"error": {"object": "error", "message": "bad", "code": 503}}, ErrorKind.OVERLOADED, "bad", "503"),
    (chunk({}, x_groq={"id": "r", "error": "over capacity"}), ErrorKind.UPSTREAM_FAILED, "over capacity", None),
    ({"error": "plain words"}, ErrorKind.UPSTREAM_FAILED, "plain words", None),
    ({"detail": "Not authenticated"}, ErrorKind.UPSTREAM_FAILED, "Not authenticated", None),
    (
        {"error": {"message": "x" * 9000, "code": "context_length_exceeded"}},
        ErrorKind.CONTEXT_TOO_LONG,
        "x" * 2000,
        "context_length_exceeded",
    ),
    ({"error": {"message": "q", "type": "insufficient_quota"}}, ErrorKind.BILLING, "q", "insufficient_quota"),
    (
        {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "too hot"}}},
        ErrorKind.INVALID_REQUEST,
        "Provider returned error: too hot",
        "400",
    ),
    ({"error": {"type": "timeout"}}, ErrorKind.TIMEOUT, "The provider reported an error.", "timeout"),
    # DeepInfra, MiniMax, watsonx.
    (
        {"id": "c1", "choices": None, "error_type": "BadRequestError", "error_message": "too long: context window"},
        ErrorKind.CONTEXT_TOO_LONG,
        "too long: context window",
        "BadRequestError",
    ),
    (
        {"id": "c1", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        ErrorKind.BILLING,
        "insufficient balance",
        "1008",
    ),
    (
        {"errors": [{"code": "rate_limit_reached_error", "message": "wait"}], "trace": "t"},
        ErrorKind.RATE_LIMIT,
        "wait",
        "rate_limit_reached_error",
    ),
]


@pytest.mark.parametrize(("error", "kind", "message", "code"), ERRORS)
def test_an_error_in_the_stream_ends_it(error: object, kind: ErrorKind, message: str, code: str | None) -> None:
    events = read(chunk({"content": "part"}), error, chunk({"content": "never read"}), DONE)

    assert reading(events).text == "part"
    assert events[-1] == StreamError(kind, message, code)


def test_an_error_may_be_the_first_thing() -> None:
    assert read(ERRORS[0][0]) == [StreamError(ErrorKind.UPSTREAM_FAILED, "boom", "server_error")]


def test_an_error_event_has_its_name_for_it() -> None:
    body = sse(chunk({"content": "x"})) + b'event: error\ndata: {"error":{"message":"no","status_code":400}}\n\n'

    assert decode(body)[-1] == StreamError(ErrorKind.INVALID_REQUEST, "no", None)
    bare = sse(chunk({"content": "x"})) + b"event: error\ndata: {}\n\n"
    assert decode(bare)[-1] == StreamError(ErrorKind.UPSTREAM_FAILED, "The provider reported an error.", None)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("error", ErrorKind.UPSTREAM_FAILED),
        ("network_error", ErrorKind.UPSTREAM_FAILED),
        ("insufficient_system_resource", ErrorKind.OVERLOADED),
    ],
)
def test_some_finish_reasons_are_failures(word: str, kind: ErrorKind) -> None:
    error = ending(chunk({"content": "x"}), chunk(finish=word), DONE)

    assert isinstance(error, StreamError)
    assert (error.kind, error.code) == (kind, word)


def test_an_error_may_stand_in_the_choice() -> None:
    """OpenRouter, beside the reason `error`."""
    choice = {"delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "slow"}}

    assert ending({"id": "c1", "choices": [choice]}, DONE) == StreamError(ErrorKind.RATE_LIMIT, "slow", "429")


LLAMA_ERROR = b'error: {"code":400,"message":"the request exceeds the available context size","type":"x"}\n\n'


@pytest.mark.parametrize("before", [b"", sse(chunk({"content": "x"}))], ids=["first", "midway"])
def test_an_error_in_a_field_of_its_own_is_no_success(before: bytes) -> None:
    """llama.cpp until late 2025: clients drop the field, and would take the `[DONE]` behind it for an ending."""
    failure = StreamError(ErrorKind.CONTEXT_TOO_LONG, "the request exceeds the available context size", "400")

    assert decode(before + LLAMA_ERROR + sse(DONE))[-1] == failure
    assert decode(before + LLAMA_ERROR)[-1] == failure


def test_a_stream_of_nothing_but_its_end_is_no_answer() -> None:
    """llama.cpp again, when the prompt does not fit."""
    failure = ending(DONE)

    assert isinstance(failure, StreamError)
    assert failure.kind is ErrorKind.UPSTREAM_FAILED


def test_a_status_of_success_is_no_error() -> None:
    chunks = [chunk({"content": "x"}, "stop"), {"id": "c1", "choices": None, "base_resp": {"status_code": 0}}, DONE]

    assert isinstance(ending(*chunks), MessageEnd)


@pytest.mark.parametrize("harmless", [None, {}, False, ""])
def test_an_empty_error_is_none(harmless: object) -> None:
    assert isinstance(ending(chunk({"content": "x"}, error=harmless), chunk(finish="stop"), DONE), MessageEnd)


@pytest.mark.parametrize("frame", ['{"type":"ping"}', "{}", '{"id":"c1","moderation":{}}'])
def test_frames_of_unknown_kinds_are_skipped(frame: str) -> None:
    assert reading(read(chunk({"content": "x"}), frame, chunk({"content": "y"}, "stop"), DONE)).text == "xy"


@pytest.mark.parametrize("frame", ["nonsense", "[]", "7", '{"choices":7}', '{"choices":[{"delta":{"content":7}}]}'])
def test_a_broken_frame_is_a_protocol_error_after_what_came_before(frame: str) -> None:
    decoder = ChatDecoder(TARGET)

    before = decoder.feed(sse(chunk({"content": "x"}), frame))

    assert isinstance(before[-1], TextDelta)
    with pytest.raises(UpstreamProtocolError, match="The provider sent a chunk"):
        decoder.finish()
    with pytest.raises(UpstreamProtocolError):
        decoder.feed(b"data: more\n\n")
