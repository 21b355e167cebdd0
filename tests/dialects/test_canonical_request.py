import json

import pytest

from proxy.dialects.base import CallParams, Envelope
from proxy.dialects.canonical import CanonicalDialect
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.hub.errors import CallerError
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    Message,
    ReasoningRequest,
    ResponseFormat,
    Role,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)

DIALECT = CanonicalDialect(read_chat)
POST = CallParams()


def decode(body: object, params: CallParams = POST) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode(), params)


def envelope(body: object) -> Envelope:
    return DIALECT.envelope(json.dumps(body).encode(), POST)


def get(**query: str) -> CallParams:
    return CallParams(query=query)


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


def system(text: str) -> Message:
    return Message(Role.SYSTEM, (TextPart(text),))


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"prompt": "Hi"}, (user("Hi"),)),
        ({"prompt": "Hi", "system": "Be brief"}, (system("Be brief"), user("Hi"))),
        ({"messages": [{"role": "user", "content": "A"}], "prompt": "B"}, (user("A"), user("B"))),
        ({"messages": [{"role": "system", "content": "A"}], "system": "B"}, (system("B"), system("A"))),
        ({"messages": [{"role": "user", "content": "A"}], "prompt": None, "system": None}, (user("A"),)),
        ({"prompt": ""}, (user(""),)),
    ],
)
def test_prompt_and_system_are_messages(body: object, messages: tuple[Message, ...]) -> None:
    request = decode(body)

    assert request.messages == messages
    assert request.extensions == {}


def test_messages_are_those_of_chat_completions() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    request = decode(
        {
            "messages": [
                {"role": "user", "content": "Go"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "Done"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "max_tokens": 9,
            "reasoning_effort": "low",
            "unheard_of": [1],
        }
    )

    assert request.messages[1].parts == (ToolCallPart("c1", "f", '{"a":1}'),)
    assert request.messages[2].parts == (ToolResultPart("c1", (TextPart("Done"),)),)
    assert [(tool.name, json.loads(tool.parameters or b"")) for tool in request.tools] == [("f", {"type": "object"})]
    assert isinstance(request.tools[0], ToolDefinition)
    assert request.sampling.max_tokens == 9
    assert request.reasoning == ReasoningRequest(Effort.LOW)
    assert request.extensions == {"unheard_of": b"[1]"}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("json", FormatKind.JSON_OBJECT),
        ({"type": "json_object"}, FormatKind.JSON_OBJECT),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}, FormatKind.JSON_SCHEMA),
    ],
)
def test_json_can_be_asked_for_in_one_word(given: object, kind: FormatKind) -> None:
    found = decode({"prompt": "Hi", "response_format": given}).response_format

    assert isinstance(found, ResponseFormat)
    assert found.kind is kind


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": "Hi"}, Envelope(None, stream=True)),
        ({"prompt": "Hi", "model": "m", "stream": True}, Envelope("m", stream=True)),
        ({"prompt": "Hi", "model": "", "stream": None}, Envelope(None, stream=True)),
        ({"prompt": "Hi", "stream": False}, Envelope(None, stream=False)),
        ({"prompt": "Hi", "partial_json": True}, Envelope(None, stream=True, variant='{"partial_json":true}')),
    ],
)
def test_envelope_streams_unless_told_otherwise(body: object, expected: Envelope) -> None:
    assert envelope(body) == expected
    assert decode(body).stream == expected.stream
    assert decode(body).include_usage


@pytest.mark.parametrize(("asked", "stream"), [("false", False), ("0", False), ("true", True), ("", True)])
def test_a_get_may_ask_for_a_whole_answer(asked: str, stream: bool) -> None:
    params = CallParams(query={"prompt": "Hi", "stream": asked})

    assert DIALECT.envelope(b"", params).stream is stream
    assert DIALECT.decode_request(b"", params).stream is stream


def test_query_of_a_get_is_a_request() -> None:
    params = get(
        prompt="Hi & bye", system="Be brief", model="m", max_tokens="12", temperature="0.5", partial_json="1", key="x"
    )

    request = DIALECT.decode_request(b"", params)

    assert DIALECT.envelope(b"", params) == Envelope("m", stream=True, variant='{"partial_json":true}')
    assert request.model == "m"
    assert request.messages == (system("Be brief"), user("Hi & bye"))
    assert (request.sampling.max_tokens, request.sampling.temperature) == (12, 0.5)
    assert request.stream
    assert request.extensions == {}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({}, "prompt"),
        ({"model": "m"}, "prompt"),
        ({"prompt": "x", "max_tokens": "many"}, "max_tokens"),
        ({"prompt": "x", "max_tokens": "9" * 40}, "max_tokens"),
        ({"prompt": "x", "max_tokens": "0"}, "max_tokens"),
        ({"prompt": "x", "temperature": "nan"}, "temperature"),
        ({"prompt": "x", "partial_json": "maybe"}, "partial_json"),
        ({"prompt": "x", "stream": "no"}, "stream"),
        ({"prompt": "x", "response_format": "xml"}, "response_format"),
        ({"prompt": "x", "reasoning_effort": "heroic"}, "reasoning_effort"),
    ],
)
def test_bad_query_names_its_field(query: dict[str, str], param: str) -> None:
    with pytest.raises(CallerError) as caught:
        DIALECT.decode_request(b"", CallParams(query=query))

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x", "system": ["a"]}, "system"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
        ({"prompt": "x", "model": 5}, "model"),
        ({"prompt": "x", "partial_json": 1}, "partial_json"),
        ({"prompt": "x", "check_arguments": "yes"}, "check_arguments"),
        ({"system": "s", "messages": [{"role": "bard", "content": "x"}]}, "messages[0].role"),
        ({"prompt": "x", "response_format": "xml"}, "response_format"),
    ],
)
def test_bad_body_names_its_field(body: object, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        decode(body)

    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"[]", b"{", b"nonsense", b'{"prompt":"\xff"}'])
def test_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError):
        DIALECT.envelope(body, POST)
    with pytest.raises(CallerError):
        DIALECT.decode_request(body, POST)


def test_empty_post_asks_for_a_prompt() -> None:
    with pytest.raises(CallerError) as caught:
        DIALECT.envelope(b"", POST)

    assert caught.value.param == "prompt"
