"""A canonical request as Anthropic's body: every field, what it becomes, and what is named as dropped."""

import json
from typing import Any

import msgspec
import pytest

from proxy.hub.errors import CallerError
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    ChatRequest,
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
from proxy.providers.anthropic.request import JSON_HINT, encode_request
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.quirks import Quirks

HI = (Message(Role.USER, (TextPart("Hi"),)),)
TOOL = ToolDefinition("f", "does f", b'{"type":"object","properties":{}}')

SONNET_37 = "claude-3-7-sonnet-20250219"
SONNET_45 = "claude-sonnet-4-5-20250929"
OPUS_46 = "claude-opus-4-6"
SONNET_5 = "claude-sonnet-5"
HAIKU_35 = "claude-3-5-haiku-20241022"


def encode(
    model: str = SONNET_45, *, quirks: Quirks | None = None, max_tokens: int | None = None, **fields: Any
) -> UpstreamRequest:
    target = Target("anthropic", model, quirks or Quirks(), max_tokens=max_tokens)
    return encode_request(ChatRequest(**{"model": "alias", "messages": HI, **fields}), target)


def send(model: str = SONNET_45, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = encode(model, **fields)
    return json.loads(request.body), request.dropped


def test_the_least_request() -> None:
    request = encode()

    assert request.path == "/v1/messages"
    assert request.headers == {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    assert request.dropped == ()
    assert json.loads(request.body) == {
        "model": SONNET_45,
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_several_choices_are_refused() -> None:
    with pytest.raises(CallerError) as caught:
        encode(sampling=Sampling(n=2))

    assert caught.value.param == "n"


# --- max_tokens


@pytest.mark.parametrize(
    ("model", "asked", "configured", "sent"),
    [
        (SONNET_45, 7, 99, 7),
        (SONNET_45, 0, 99, 0),
        (SONNET_45, None, 99, 99),
        (SONNET_5, None, None, 32_000),
        (HAIKU_35, None, None, 8192),
        ("claude-3-haiku-20240307", None, None, 4096),
        ("kimi-k2", None, None, 8192),
    ],
)
def test_max_tokens_is_always_sent(model: str, asked: int | None, configured: int | None, sent: int) -> None:
    request = encode(model, sampling=Sampling(max_tokens=asked), max_tokens=configured)

    assert json.loads(request.body)["max_tokens"] == sent


# --- sampling


@pytest.mark.parametrize(
    ("model", "sampling", "sent", "dropped"),
    [
        (SONNET_37, Sampling(temperature=0.5, top_p=0.9, top_k=3), {"temperature": 0.5, "top_p": 0.9, "top_k": 3}, ()),
        (SONNET_45, Sampling(temperature=0.5, top_p=0.9), {"temperature": 0.5}, ("top_p",)),
        (SONNET_45, Sampling(top_p=0.9), {"top_p": 0.9}, ()),
        (
            SONNET_37,
            Sampling(temperature=1.7),
            {"temperature": 1.0},
            ("temperature: beyond 0..1, the nearest is sent",),
        ),
        (SONNET_5, Sampling(temperature=0.5, top_p=0.9, top_k=3), {}, ("temperature", "top_p", "top_k")),
        (SONNET_37, Sampling(stop=("a", " ", "b")), {"stop_sequences": ["a", "b"]}, ("stop: blank sequences",)),
        (SONNET_37, Sampling(stop=("\n",)), {}, ("stop: blank sequences",)),
        (
            SONNET_37,
            Sampling(
                seed=0,
                presence_penalty=1,
                frequency_penalty=1,
                logit_bias=b"{}",
                logprobs=True,
                top_logprobs=2,
            ),
            {},
            ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
        ),
        (SONNET_37, Sampling(presence_penalty=0, frequency_penalty=0.0), {}, ()),
    ],
)
def test_sampling(model: str, sampling: Sampling, sent: dict[str, Any], dropped: tuple[str, ...]) -> None:
    body, named = send(model, sampling=sampling)

    assert {name: body[name] for name in body.keys() - {"model", "max_tokens", "messages", "stream"}} == sent
    assert named == dropped


# --- tools


def test_tools() -> None:
    body, dropped = send(
        tools=(
            TOOL,
            ToolDefinition("server.tool"),
            ToolDefinition("bare", parameters=b'{"properties":{"a":{"minimum":1}}}', cache=b'{"type":"ephemeral"}'),
            ToolDefinition("patch", "free text", kind=ToolKind.CUSTOM, format=b'{"type":"grammar"}'),
        ),
        server_tools=(
            ServerTool(Origin.ANTHROPIC, "web_search_20250305", b'{"type":"web_search_20250305","name":"web_search"}'),
            ServerTool(Origin.OPENAI, "code_interpreter", b"{}"),
        ),
    )

    assert body["tools"] == [
        {"name": "f", "description": "does f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "server_x2e_tool", "input_schema": {"type": "object", "properties": {}}},
        {
            "name": "bare",
            "input_schema": {"type": "object", "properties": {"a": {"minimum": 1}}},
            "cache_control": {"type": "ephemeral"},
        },
        {
            "name": "patch",
            "description": "free text",
            "input_schema": {
                "type": "object",
                "properties": {"input": {"type": "string"}},
                "required": ["input"],
                "additionalProperties": False,
            },
        },
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    assert "tool_choice" not in body
    assert dropped == ("tools[3].format", "tools: code_interpreter")


def test_a_tools_schema_is_sent_byte_for_byte() -> None:
    schema = b'{ "type" : "object", "x":1.50 }'

    assert schema in encode(tools=(ToolDefinition("f", parameters=schema),)).body


STRICT = b'{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}'


@pytest.mark.parametrize(
    ("model", "schema", "is_strict"),
    [
        (SONNET_45, STRICT, True),
        (SONNET_37, STRICT, False),
        (SONNET_45, STRICT.replace(b'"string"', b'"string","maxLength":3'), False),
        (SONNET_45, b'{"type":"object"}', False),
    ],
)
def test_a_tool_is_strict_where_the_service_can_hold_to_it(model: str, schema: bytes, is_strict: bool) -> None:
    body, dropped = send(model, tools=(ToolDefinition("f", parameters=schema, strict=True),))

    assert body["tools"][0].get("strict", False) == is_strict
    assert body["tools"][0]["input_schema"] == json.loads(schema)
    assert dropped == (() if is_strict else ("tools[0].strict",))


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.AUTO), None, {"type": "auto"}),
        (ToolChoice(ToolMode.NONE), False, {"type": "none"}),
        (ToolChoice(ToolMode.REQUIRED), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.NAMED, "server.tool"), None, {"type": "tool", "name": "server_x2e_tool"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, sent: object) -> None:
    body, dropped = send(tools=(TOOL, ToolDefinition("server.tool")), tool_choice=choice, parallel_tool_calls=parallel)

    assert body.get("tool_choice") == sent
    assert dropped == ()


def test_an_allowed_subset_is_the_tools_that_are_sent() -> None:
    body, _ = send(
        tools=(TOOL, ToolDefinition("g")), tool_choice=ToolChoice(ToolMode.REQUIRED, allowed=("g", "unknown"))
    )

    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_choice_without_tools_is_named() -> None:
    body, dropped = send(tool_choice=ToolChoice(ToolMode.REQUIRED))

    assert "tool_choice" not in body
    assert dropped == ("tool_choice",)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (ToolDefinition(""), "tools[0].name"),
        (ToolDefinition("x" * 200), "tools[0].name"),
        (ToolDefinition("f", parameters=b"[]"), "tools[0].parameters"),
        (ToolDefinition("f", parameters=b"7"), "tools[0].parameters"),
    ],
)
def test_a_tool_that_cannot_be_sent_is_refused_by_name(tool: ToolDefinition, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        encode(tools=(tool,))

    assert caught.value.param == param


# --- output format


def test_a_json_schema_is_enforced() -> None:
    body, dropped = send(response_format=ResponseFormat(FormatKind.JSON_SCHEMA, "n", STRICT))

    assert body["output_config"] == {"format": {"type": "json_schema", "schema": json.loads(STRICT)}}
    assert "system" not in body
    assert dropped == ()


def test_what_a_schema_loses_is_named() -> None:
    schema = b'{"type":"object","properties":{"age":{"type":"integer","minimum":0}}}'

    body, dropped = send(response_format=ResponseFormat(FormatKind.JSON_SCHEMA, schema=schema))

    sent = body["output_config"]["format"]["schema"]
    assert sent["additionalProperties"] is False
    assert sent["properties"]["age"] == {"type": "integer", "description": '{"minimum":0}'}
    assert dropped == ("response_format.schema.properties.age.minimum",)


@pytest.mark.parametrize(
    ("model", "format", "hint"),
    [
        (SONNET_5, ResponseFormat(FormatKind.JSON_OBJECT), JSON_HINT),
        (SONNET_37, ResponseFormat(FormatKind.JSON_SCHEMA, schema=STRICT), STRICT.decode()),
        ("kimi-k2", ResponseFormat(FormatKind.JSON_SCHEMA, schema=STRICT), STRICT.decode()),
    ],
)
def test_json_that_cannot_be_enforced_is_asked_for_in_words(model: str, format: ResponseFormat, hint: str) -> None:
    system = Message(Role.SYSTEM, (TextPart("be nice"),))
    body, dropped = send(model, messages=(system, *HI), response_format=format)

    assert body["system"][0]["text"] == "be nice"
    assert body["system"][1]["text"].startswith(JSON_HINT)
    assert body["system"][1]["text"].endswith(hint)
    assert dropped == ("response_format: asked for in the system text",)


def test_text_is_no_format() -> None:
    assert send(response_format=ResponseFormat(FormatKind.TEXT)) == send()


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(CallerError) as caught:
        encode(response_format=ResponseFormat(FormatKind.JSON_SCHEMA, schema=b"[]"))

    assert caught.value.param == "response_format"


# --- the rest


def test_the_rest() -> None:
    body, dropped = send(
        user="u-1",
        service_tier="default",
        metadata=b"{}",
        verbosity="low",
        cache_key="k",
        extensions={
            "context_management": b'{"edits":[]}',
            "output_config.task_budget": b'{"total":9}',
            "store": b"false",
        },
    )

    assert body["metadata"] == {"user_id": "u-1"}
    assert body["service_tier"] == "standard_only"
    assert body["context_management"] == {"edits": []}
    assert body["output_config"] == {"task_budget": {"total": 9}}
    assert "store" not in body
    assert dropped == ("metadata", "verbosity", "cache_key", "store")


@pytest.mark.parametrize(("tier", "sent"), [("auto", "auto"), ("standard_only", "standard_only"), ("flex", None)])
def test_service_tiers(tier: str, sent: str | None) -> None:
    body, dropped = send(service_tier=tier)

    assert body.get("service_tier") == sent
    assert dropped == (() if sent else ("service_tier",))


def test_betas_are_a_header() -> None:
    request = encode(extensions={"anthropic_beta": b'["a-2025-01-01","b-2025-01-01"]'})

    assert request.headers["anthropic-beta"] == "a-2025-01-01,b-2025-01-01"
    assert request.dropped == ()
    assert b"anthropic_beta" not in request.body


@pytest.mark.parametrize(("version", "thinking"), [("4.7", "adaptive"), ("4.5", "enabled"), ("5", "adaptive")])
def test_a_quirk_says_which_claude_a_deployment_is(version: str, thinking: str) -> None:
    request = encode(
        "my-deployment", quirks=Quirks(claude_version=version), reasoning=ReasoningRequest(effort=Effort.LOW)
    )

    assert json.loads(request.body)["thinking"]["type"] == thinking


def test_the_body_is_valid_json_whatever_the_texts() -> None:
    text = 'quotes " and \\ and \n and \u2028 and 😀'
    request = encode(messages=(Message(Role.USER, (TextPart(text),)),))

    assert msgspec.json.decode(request.body)["messages"][0]["content"][0]["text"] == text
