"""Requests for Chat Completions vendors, written from the hub's."""

import json
from typing import Any

import pytest

from proxy.hub.errors import CallerError
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    ChatRequest,
    DataSource,
    Effort,
    FormatKind,
    Message,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    ServerTool,
    TextPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
)
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.openai_chat_api import target

HI = Message(Role.USER, (TextPart("hi"),))
SCHEMA = b'{"type": "object",  "properties": {}}'
PNG = DataSource("image/png", "AAAA")


def encode(request: ChatRequest, **quirks: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    upstream = OpenAIChat().encode_request(request, target(**quirks))
    return json.loads(upstream.body), upstream.dropped


def body_of(quirks: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return encode(ChatRequest("alias", (HI,), **fields), **(quirks or {}))[0]


def dropped_of(quirks: dict[str, Any] | None = None, **fields: Any) -> tuple[str, ...]:
    return encode(ChatRequest("alias", (HI,), **fields), **(quirks or {}))[1]


# --- the whole


def test_a_request_asks_for_a_stream_with_usage() -> None:
    upstream = OpenAIChat().encode_request(ChatRequest("alias", (HI,)), target())

    assert upstream.path == "/chat/completions"
    assert upstream.headers["content-type"] == "application/json"
    assert json.loads(upstream.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert upstream.dropped == ()


FIELDS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"sampling": Sampling(max_tokens=7)}, {}, {"max_completion_tokens": 7}),
    ({"sampling": Sampling(max_tokens=7)}, {"max_tokens_field": "max_tokens"}, {"max_tokens": 7}),
    ({"sampling": Sampling(temperature=0.0, top_p=1.0)}, {}, {"temperature": 0.0, "top_p": 1.0}),
    ({"sampling": Sampling(seed=1)}, {"seed_field": "random_seed"}, {"random_seed": 1}),
    (
        {"sampling": Sampling(presence_penalty=0.5, frequency_penalty=-1)},
        {},
        {"presence_penalty": 0.5, "frequency_penalty": -1},
    ),
    ({"sampling": Sampling(top_k=3)}, {"top_k": True}, {"top_k": 3}),
    ({"sampling": Sampling(stop=("a", "b"))}, {}, {"stop": ["a", "b"]}),
    ({"sampling": Sampling(logit_bias=b'{"1":-5}')}, {}, {"logit_bias": {"1": -5}}),
    (
        {"user": "u", "verbosity": "low", "cache_key": "k"},
        {},
        {"user": "u", "verbosity": "low", "prompt_cache_key": "k"},
    ),
    ({"service_tier": "flex"}, {}, {"service_tier": "flex"}),
    ({"response_format": ResponseFormat(FormatKind.TEXT)}, {}, {}),
    ({"response_format": ResponseFormat(FormatKind.JSON_OBJECT)}, {}, {"response_format": {"type": "json_object"}}),
    ({"reasoning": ReasoningRequest(Effort.LOW)}, {}, {"reasoning_effort": "low"}),
    (
        {"reasoning": ReasoningRequest(Effort.XHIGH)},
        {"efforts": (Effort.LOW, Effort.HIGH)},
        {"reasoning_effort": "high"},
    ),
    (
        {"reasoning": ReasoningRequest(Effort.MEDIUM)},
        {"efforts": (Effort.LOW, Effort.HIGH)},
        {"reasoning_effort": "high"},
    ),
    ({"reasoning": ReasoningRequest(budget_tokens=1024)}, {}, {"reasoning_effort": "minimal"}),
    ({"reasoning": ReasoningRequest(budget_tokens=10_000)}, {}, {"reasoning_effort": "medium"}),
    ({"reasoning": ReasoningRequest(budget_tokens=90_000)}, {}, {"reasoning_effort": "xhigh"}),
    ({"reasoning": ReasoningRequest(budget_tokens=0)}, {}, {"reasoning_effort": "none"}),
    ({"reasoning": ReasoningRequest(adaptive=True)}, {}, {}),
    ({"reasoning": ReasoningRequest()}, {"reasoning": "thinking"}, {}),
    ({"reasoning": ReasoningRequest(budget_tokens=2048)}, {"reasoning": "object"}, {"reasoning": {"max_tokens": 2048}}),
    (
        {"reasoning": ReasoningRequest(Effort.NONE, visible=False)},
        {"reasoning": "object"},
        {"reasoning": {"effort": "none", "exclude": True}},
    ),
    ({"reasoning": ReasoningRequest(adaptive=True)}, {"reasoning": "object"}, {"reasoning": {"enabled": True}}),
    (
        {"reasoning": ReasoningRequest(Effort.HIGH)},
        {"reasoning": "thinking"},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
    ),
    ({"reasoning": ReasoningRequest(Effort.NONE)}, {"reasoning": "thinking"}, {"thinking": {"type": "disabled"}}),
    (
        {"reasoning": ReasoningRequest(budget_tokens=500)},
        {"reasoning": "enable_thinking"},
        {"enable_thinking": True, "thinking_budget": 500},
    ),
    (
        {"reasoning": ReasoningRequest(Effort.NONE)},
        {"reasoning": "template"},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ),
    ({"reasoning": ReasoningRequest(Effort.LOW)}, {"reasoning": "none"}, {}),
]


@pytest.mark.parametrize(("fields", "quirks", "expected"), FIELDS)
def test_fields_are_written_as_the_vendor_takes_them(
    fields: dict[str, Any], quirks: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = body_of(quirks, **fields)

    common = ("model", "messages", "stream", "stream_options")
    assert {name: value for name, value in body.items() if name not in common} == expected


LOST: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ({"sampling": Sampling(top_k=3)}, {}, ("top_k",)),
    ({"sampling": Sampling(stop=tuple("abcdef"))}, {}, ("stop[4:]",)),
    ({"sampling": Sampling(logprobs=True, top_logprobs=2)}, {}, ("logprobs", "top_logprobs")),
    ({"sampling": Sampling(seed=1)}, {"omit": ("seed", "stream_options")}, ("seed",)),
    ({"reasoning": ReasoningRequest(Effort.LOW)}, {"reasoning": "none"}, ("reasoning",)),
    ({"metadata": b'{"a":"b"}'}, {}, ("metadata",)),
    ({"service_tier": "standard_only"}, {}, ("service_tier",)),
    ({"extensions": {"thinking_config": b"{}"}}, {}, ("thinking_config",)),
    (
        {"server_tools": (ServerTool(Origin.ANTHROPIC, "web_search_20250305", b"{}"),)},
        {},
        ("tools: web_search_20250305",),
    ),
]


@pytest.mark.parametrize(("fields", "quirks", "expected"), LOST)
def test_what_the_vendor_cannot_take_is_left_out_and_named(
    fields: dict[str, Any], quirks: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert dropped_of(quirks, **fields) == expected


def test_a_vendor_that_refuses_stream_options_gets_none() -> None:
    assert "stream_options" not in body_of({"omit": ("stream_options",)})


def test_several_answers_cannot_be_converted() -> None:
    with pytest.raises(CallerError, match="only one answer") as fault:
        body_of(sampling=Sampling(n=2))

    assert fault.value.param == "n"


# --- tools

TOOL = ToolDefinition("f", "does", SCHEMA, True)
PATCH = ToolDefinition("patch", kind=ToolKind.CUSTOM, format=b'{"type":"text"}')


def test_schemas_keep_their_bytes() -> None:
    upstream = OpenAIChat().encode_request(ChatRequest("a", (HI,), tools=(TOOL,)), target())

    assert SCHEMA in upstream.body
    assert json.loads(upstream.body)["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "does", "parameters": json.loads(SCHEMA), "strict": True},
        }
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(ToolMode.AUTO), "auto"),
        (ToolChoice(ToolMode.NONE), "none"),
        (ToolChoice(ToolMode.REQUIRED), "required"),
        (ToolChoice(ToolMode.NAMED, "f"), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice(ToolMode.NAMED, "patch"), {"type": "custom", "custom": {"name": "patch"}}),
    ],
)
def test_tool_choice(choice: ToolChoice, expected: object) -> None:
    assert body_of(tools=(TOOL, PATCH), tool_choice=choice)["tool_choice"] == expected


def test_a_choice_of_tools_is_a_shorter_list() -> None:
    body = body_of(tools=(TOOL, PATCH), tool_choice=ToolChoice(ToolMode.REQUIRED, allowed=("f",)))

    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == "required"


def test_without_tools_nothing_is_said_of_them() -> None:
    body = body_of(tool_choice=ToolChoice(ToolMode.AUTO), parallel_tool_calls=True)

    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


def test_free_text_tools_are_functions_where_the_vendor_knows_none() -> None:
    native = body_of(tools=(PATCH,))["tools"]
    wrapped = body_of({"custom_tools": False}, tools=(PATCH,))["tools"]

    assert native == [{"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}}]
    assert wrapped[0]["function"]["parameters"]["required"] == ["input"]


# --- format

FORMAT = ResponseFormat(FormatKind.JSON_SCHEMA, "person", SCHEMA, "a person", True)


def test_a_schema_is_enforced_where_the_vendor_can() -> None:
    assert body_of(response_format=FORMAT)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": json.loads(SCHEMA), "description": "a person", "strict": True},
    }


def test_a_schema_is_told_where_the_vendor_cannot() -> None:
    body = body_of({"json_schema": False}, response_format=FORMAT)

    assert body["response_format"] == {"type": "json_object"}
    assert SCHEMA.decode() in body["messages"][0]["content"]
    assert body["messages"][0]["role"] == "system"
