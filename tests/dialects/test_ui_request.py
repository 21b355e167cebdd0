import json
from typing import Any

import pytest

from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.dialects.ui_request import decode_envelope, decode_request
from proxy.hub.errors import CallerError
from proxy.hub.request import (
    ChatRequest,
    Effort,
    Message,
    ReasoningRequest,
    Role,
    Sampling,
    TextPart,
    ToolChoice,
    ToolMode,
)

HI = [{"id": "u", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]
SCHEMA = {"type": "object"}


def decode(**fields: Any) -> ChatRequest:
    return decode_request(json.dumps(fields).encode(), read_chat)


def test_prompt_and_system_are_messages() -> None:
    chat = decode(prompt="Hello", system="Be brief", model="m", stream=False)

    assert chat.messages == (Message(Role.SYSTEM, (TextPart("Be brief"),)), Message(Role.USER, (TextPart("Hello"),)))
    assert (chat.model, chat.stream) == ("m", False)


def test_settings_may_have_the_names_of_either_side() -> None:
    chat = decode(
        messages=HI,
        maxOutputTokens=50,
        temperature=0.5,
        topP=0.9,
        topK=5,
        stopSequences=["X"],
        presence_penalty=0.1,
        seed=7,
        reasoning="low",
        toolChoice={"type": "tool", "toolName": "w"},
        tools={"w": {"description": "The weather", "parameters": SCHEMA}},
    )

    assert chat.sampling == Sampling(
        max_tokens=50, temperature=0.5, top_p=0.9, top_k=5, stop=("X",), seed=7, presence_penalty=0.1
    )
    assert chat.reasoning == ReasoningRequest(Effort.LOW)
    assert chat.tool_choice == ToolChoice(ToolMode.NAMED, "w")
    assert chat.extensions == {}


@pytest.mark.parametrize(
    "tools",
    [
        {"w": {"description": "The weather", "inputSchema": SCHEMA}},
        [{"name": "w", "description": "The weather", "parameters": SCHEMA}],
        [{"type": "function", "function": {"name": "w", "description": "The weather", "parameters": SCHEMA}}],
    ],
)
def test_tools_are_read_in_every_shape(tools: object) -> None:
    (tool,) = decode(messages=HI, tools=tools).tools

    assert (tool.name, tool.description, json.loads(tool.parameters or b"")) == ("w", "The weather", SCHEMA)


def test_what_the_provider_decides_is_not_asked_for() -> None:
    chat = decode(messages=HI, reasoning="provider-default", tools=None, toolChoice="auto")

    assert (chat.reasoning, chat.tools, chat.tool_choice) == (None, (), ToolChoice(ToolMode.AUTO))


def test_fields_of_the_transport_say_nothing_and_those_of_the_app_are_named() -> None:
    chat = decode(id="c", trigger="submit-message", messageId="m", messages=HI, webSearch=True)

    assert chat.extensions == {"webSearch": b"true"}


@pytest.mark.parametrize(
    ("fields", "model", "stream", "variant"),
    [
        ({"messages": HI}, None, True, ""),
        ({"messages": HI, "model": "m", "stream": False}, "m", False, ""),
        ({"messages": [*HI, {"id": "a1", "role": "assistant", "parts": []}]}, None, True, "a1"),
        ({"prompt": "hi"}, None, True, ""),
    ],
)
def test_envelope_says_what_routing_and_the_stream_need(
    fields: dict[str, Any], model: str | None, stream: bool, variant: str
) -> None:
    envelope = decode_envelope(json.dumps(fields).encode())

    assert (envelope.model, envelope.stream, envelope.variant) == (model, stream, variant)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": HI, "system": 5}, "system"),
        ({"messages": HI, "temperature": "hot"}, "temperature"),
        ({"messages": HI, "tools": "all"}, "tools"),
        ({"messages": HI, "tools": [{"description": "x"}]}, "tools[0].name"),
        ({"messages": HI, "toolChoice": {"type": "tool"}}, "toolChoice.toolName"),
        ({"messages": HI, "toolChoice": "some"}, "tool_choice"),
        ({"messages": HI, "reasoning": "much"}, "reasoning_effort"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerError) as refusal:
        decode(**fields)

    assert refusal.value.param == param
