import json
from typing import Any

import pytest

from proxy.dialects.base import CallParams
from proxy.dialects.ollama_request import decode_request
from proxy.hub.errors import CallerError
from proxy.hub.request import (
    ChatRequest,
    DataSource,
    Effort,
    FormatKind,
    ImagePart,
    Message,
    ReasoningPart,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)

HI = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> ChatRequest:
    return decode_request(json.dumps(fields).encode(), CallParams(path={"method": "chat"}))


def generate(**fields: Any) -> ChatRequest:
    return decode_request(json.dumps(fields).encode(), CallParams(path={"method": "generate"}))


def test_turns_with_tools_are_tied_together_without_ids() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {"city": "Oslo"}}}

    messages = [
        {"role": "system", "content": "Be brief"},
        *HI,
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_name": "b", "content": "2"},
        {"role": "tool", "tool_name": "a", "content": "1"},
    ]

    arguments = '{"city": "Oslo"}'
    assert chat(model="m", messages=messages).messages == (
        Message(Role.SYSTEM, (TextPart("Be brief"),)),
        Message(Role.USER, (TextPart("hi"),)),
        Message(
            Role.ASSISTANT,
            (ReasoningPart("Hm."), ToolCallPart("call_1", "a", arguments), ToolCallPart("call_2", "b", arguments)),
        ),
        Message(Role.TOOL, (ToolResultPart("call_2", (TextPart("2"),), "b"),)),
        Message(Role.TOOL, (ToolResultPart("call_1", (TextPart("1"),), "a"),)),
    )


def test_ids_of_newer_clients_are_kept() -> None:
    called = {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f"}}]}
    result = {"role": "tool", "tool_call_id": "x", "content": "1"}

    found = chat(model="m", messages=[*HI, called, result]).messages

    assert found[1].parts == (ToolCallPart("x", "f", "{}"),)
    assert found[2].parts == (ToolResultPart("x", (TextPart("1"),), None),)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [("/9j/4AAQ", "image/jpeg"), ("iVBORw0KGgoA", "image/png"), ("R0lGODlh", "image/gif"), ("UklGRg==", "image/webp")],
)
def test_images_tell_their_type_by_their_first_bytes(data: str, media_type: str) -> None:
    found = chat(model="m", messages=[{"role": "user", "content": "Look", "images": [data]}])

    assert found.messages[0].parts == (TextPart("Look"), ImagePart(DataSource(media_type, data)))


def test_prompt_system_and_images_are_messages() -> None:
    found = generate(model="m", prompt="Look", system="Be brief", images=["data:image/gif;base64,aGk="])

    assert found.messages == (
        Message(Role.SYSTEM, (TextPart("Be brief"),)),
        Message(Role.USER, (TextPart("Look"), ImagePart(DataSource("image/gif", "aGk=")))),
    )


def test_options_are_sampling_or_named() -> None:
    options = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "num_predict": 50, "seed": 7, "stop": "X", "num_ctx": 4096}

    found = chat(model="m", messages=HI, options=options, keep_alive="5m")

    assert found.sampling == Sampling(max_tokens=50, temperature=0.5, top_p=0.9, top_k=5, seed=7, stop=("X",))
    assert found.extensions == {"options.num_ctx": b"4096", "keep_alive": b'"5m"'}


@pytest.mark.parametrize("count", [-1, -2, 0, None])
def test_as_many_tokens_as_the_model_likes_is_no_limit(count: int | None) -> None:
    assert chat(model="m", messages=HI, options={"num_predict": count}).sampling.max_tokens is None


@pytest.mark.parametrize(
    ("think", "asked"),
    [
        (True, ReasoningRequest(adaptive=True, visible=True)),
        (False, ReasoningRequest(Effort.NONE)),
        ("low", ReasoningRequest(Effort.LOW, visible=True)),
        (None, None),
    ],
)
def test_think_is_an_effort(think: object, asked: ReasoningRequest | None) -> None:
    assert chat(model="m", messages=HI, think=think).reasoning == asked


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("json", ResponseFormat(FormatKind.JSON_OBJECT)),
        ({"type": "object"}, ResponseFormat(FormatKind.JSON_SCHEMA, schema=b'{"type": "object"}')),
        ("", None),
        (None, None),
    ],
)
def test_format_is_json_or_a_schema(wanted: object, found: ResponseFormat | None) -> None:
    assert chat(model="m", messages=HI, format=wanted).response_format == found


def test_tools_are_functions() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "F", "parameters": {"type": "object"}}}

    assert chat(model="m", messages=HI, tools=[tool]).tools == (ToolDefinition("f", "F", b'{"type": "object"}'),)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "images": [""]}]}, "messages[0].images[0]"),
        ({"messages": HI, "think": "hard"}, "think"),
        ({"messages": HI, "format": "xml"}, "format"),
        ({"messages": HI, "options": 5}, "options"),
        ({"messages": HI, "options": {"temperature": "hot"}}, "options.temperature"),
        ({"messages": HI, "tools": [{"type": "x", "function": {"name": "f"}}]}, "tools[0].type"),
        ({"messages": HI, "tools": [{"function": {}}]}, "tools[0].function.name"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerError) as refusal:
        chat(model="m", **fields)

    assert refusal.value.param == param


def test_prompt_is_required() -> None:
    with pytest.raises(CallerError) as refusal:
        generate(model="m")

    assert refusal.value.param == "prompt"
