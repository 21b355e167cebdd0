"""Requests of Anthropic's callers, field by field, and what a wrong one is told."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.anthropic.dialect import AnthropicDialect
from proxy.dialects.base import CallParams, Operation
from proxy.hub.errors import CallerError, ErrorKind, ProxyError
from proxy.hub.events import Origin
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
from tests.support.anthropic_api import Case, request_params

DIALECT = AnthropicDialect()
HI = [{"role": "user", "content": "Hi"}]
CACHE = {"type": "ephemeral"}


def decode(*, headers: dict[str, str] | None = None, **fields: Any) -> ChatRequest:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": HI, **fields}).encode()
    return DIALECT.decode_request(body, CallParams(headers=headers or {}))


# --- the whole


def test_routes() -> None:
    routes = {(route.path, route.operation) for route in DIALECT.routes}

    for prefix in ("/v1", "/anthropic/v1", "", "/v1/v1"):
        assert (f"{prefix}/messages", Operation.GENERATE) in routes
        assert (f"{prefix}/messages/count_tokens", Operation.COUNT_TOKENS) in routes
    assert {route.method for route in DIALECT.routes} == {"POST"}


def test_the_least_request() -> None:
    assert decode() == ChatRequest(
        "m", (Message(Role.USER, (TextPart("Hi"),)),), sampling=Sampling(max_tokens=9), include_usage=True
    )


@pytest.mark.parametrize(("stream", "is_stream"), [(True, True), (False, False), (None, False)])
def test_the_envelope(stream: bool | None, is_stream: bool) -> None:
    body = json.dumps({"model": "m", "stream": stream, "messages": 7}).encode()

    envelope = DIALECT.envelope(body, CallParams())

    assert (envelope.model, envelope.stream) == ("m", is_stream)


@pytest.mark.parametrize("case", request_params())
def test_every_recorded_request_is_read(case: Case) -> None:
    wire = json.loads(case.body)

    request = DIALECT.decode_request(case.body, CallParams())

    assert DIALECT.envelope(case.body, CallParams()).model == request.model == wire["model"]
    assert len(request.tools) + len(request.server_tools) == len(wire.get("tools", []))
    assert next(message.role for message in request.messages if message.role is not Role.SYSTEM) is Role.USER


def test_what_claude_code_sends() -> None:
    request = decode(
        headers={"anthropic-beta": "claude-code-20250219, interleaved-thinking-2025-05-14"},
        max_tokens=32000,
        stream=True,
        thinking={"type": "enabled", "budget_tokens": 31999},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        metadata={"user_id": '{"device_id":"d","account_uuid":"a","session_id":"s"}'},
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.a; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are Claude Code.", "cache_control": CACHE},
        ],
    )

    assert request.messages[0] == Message(Role.SYSTEM, (TextPart("You are Claude Code.", b'{"type": "ephemeral"}'),))
    assert request.reasoning == ReasoningRequest(budget_tokens=31999)
    assert request.user is None
    assert {name: json.loads(value) for name, value in request.extensions.items()} == {
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"a","session_id":"s"}'},
        "anthropic_beta": ["claude-code-20250219", "interleaved-thinking-2025-05-14"],
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"system": "s"}, {"messages": (Message(Role.SYSTEM, (TextPart("s"),)), *decode().messages)}),
        ({"system": ""}, {}),
        ({"system": "x-anthropic-billing-header: v"}, {}),
        (
            {"temperature": 0.5, "top_p": 1, "top_k": 3, "stop_sequences": ["a", "b"], "max_tokens": None},
            {"sampling": Sampling(temperature=0.5, top_p=1.0, top_k=3, stop=("a", "b"))},
        ),
        ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": ReasoningRequest(Effort.NONE)}),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
            {"reasoning": ReasoningRequest(Effort.XHIGH, adaptive=True, visible=True)},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
            {"reasoning": ReasoningRequest(budget_tokens=2000, visible=False)},
        ),
        ({"output_config": {"effort": "low"}}, {"reasoning": ReasoningRequest(Effort.LOW)}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"response_format": ResponseFormat(FormatKind.JSON_SCHEMA, schema=b'{"type": "object"}', strict=True)},
        ),
        (
            {"output_format": {"type": "json_schema", "schema": {}}},
            {"response_format": ResponseFormat(FormatKind.JSON_SCHEMA, schema=b"{}", strict=True)},
        ),
        ({"thinking": {"type": "between_tools"}}, {"extensions": {"thinking": b'{"type": "between_tools"}'}}),
        ({"output_config": {"task_budget": 7}}, {"extensions": {"output_config.task_budget": b"7"}}),
        (
            {"tools": [{"name": "f", "input_schema": {}, "defer_loading": True, "input_examples": None}]},
            {
                "tools": (ToolDefinition("f", parameters=b"{}"),),
                "extensions": {"tools[f].defer_loading": b"true"},
            },
        ),
        ({"speed": "fast", "container": None}, {"extensions": {"speed": b'"fast"'}}),
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": ToolChoice(ToolMode.AUTO)}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": ToolChoice(ToolMode.REQUIRED)}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": ToolChoice(ToolMode.NONE)}),
        (
            {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
            {"tool_choice": ToolChoice(ToolMode.NAMED, "f"), "parallel_tool_calls": False},
        ),
        (
            {"tools": [{"name": "f", "description": "d", "input_schema": {}, "strict": True, "cache_control": CACHE}]},
            {"tools": (ToolDefinition("f", "d", b"{}", True, cache=b'{"type": "ephemeral"}'),)},
        ),
        (
            {"tools": [{"type": "custom", "name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]},
            {
                "tools": (ToolDefinition("f", parameters=b"{}"),),
                "server_tools": (
                    ServerTool(Origin.ANTHROPIC, "bash_20250124", b'{"type": "bash_20250124", "name": "bash"}'),
                ),
            },
        ),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = {"model": "m", "messages": decode().messages, "sampling": Sampling(max_tokens=9)}

    assert decode(**fields) == ChatRequest(**{**plain, **expected})


# --- wrong requests

USER = {"role": "user", "content": "Hi"}


def turn(*content: object, role: str = "user") -> dict[str, object]:
    return {"messages": [USER, {"role": role, "content": list(content)}]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": 7}, "model"),
    ({"messages": 7}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [7]}, "messages[0]"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    (turn(7), "messages[1].content[0]"),
    (turn({"text": "x"}), "messages[1].content[0].type"),
    (turn({"type": "text"}), "messages[1].content[0].text"),
    (turn({"type": "text", "text": 7}), "messages[1].content[0].text"),
    (turn({"type": "image"}), "messages[1].content[0].source"),
    (turn({"type": "image", "source": {"type": "base64", "data": "x"}}), "messages[1].content[0].source.media_type"),
    (turn({"type": "image", "source": {"type": "url"}}), "messages[1].content[0].source.url"),
    (turn({"type": "image", "source": {"type": "file"}}), "messages[1].content[0].source.file_id"),
    (turn({"type": "image", "source": {"type": "odd"}}), "messages[1].content[0].source.type"),
    (
        turn({"type": "document", "source": {"type": "base64", "media_type": "application/pdf"}}),
        "messages[1].content[0].source.data",
    ),
    (turn({"type": "document", "source": {"type": "text"}}), "messages[1].content[0].source.data"),
    (turn({"type": "document", "source": {"type": "content"}}), "messages[1].content[0].source.content"),
    (
        turn({"type": "document", "source": {"type": "content", "content": [{"type": "odd"}]}}),
        "messages[1].content[0].source.content[0].type",
    ),
    (turn({"type": "tool_result"}), "messages[1].content[0].tool_use_id"),
    (
        turn({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}),
        "messages[1].content[0].content[0].text",
    ),
    (turn({"type": "search_result", "source": "s"}), "messages[1].content[0].title"),
    (turn({"type": "tool_use", "id": "a", "name": "f"}, role="assistant"), "messages[1].content[0].input"),
    (
        turn({"type": "tool_use", "id": "a", "name": "f", "input": "x"}, role="assistant"),
        "messages[1].content[0].input",
    ),
    (turn({"type": "thinking"}, role="assistant"), "messages[1].content[0].thinking"),
    (turn({"type": "image", "source": 7}, role="assistant"), "messages[1].content[0].source"),
    (turn({"type": "image", "source": {}}, role="system"), "messages[1].content[0].text"),
    ({"system": [{"type": "text"}]}, "system[0].text"),
    ({"system": 7}, "system"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f", "input_schema": 7}]}, "tools[0].input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tool_choice": {"type": "odd"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
    ({"thinking": {}}, "thinking.type"),
    ({"output_config": {"effort": "odd"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "odd"}}}, "output_config.format.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"output_format": {"type": "json_schema", "schema": 7}}, "output_format.schema"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": [7]}, "stop_sequences[0]"),
    ({"metadata": {"user_id": 7}}, "metadata.user_id"),
    ({"stream": "yes"}, "stream"),
]


@pytest.mark.parametrize(("fields", "path"), WRONG, ids=[path for _, path in WRONG])
def test_a_wrong_field_is_named(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerError) as caught:
        decode(**fields)

    assert caught.value.kind is ErrorKind.INVALID_REQUEST
    assert caught.value.param == path
    assert caught.value.param in caught.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 9999, b'{"messages":[]}', b'{"model":null}'])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    for read in (DIALECT.envelope, DIALECT.decode_request):
        with pytest.raises(CallerError):
            read(body, CallParams())


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}

FULL = json.dumps(
    {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "a", "name": "f", "input": {"x": [1]}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [IMAGE]}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "w"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low", "x": 1},
    }
).encode()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_only_proxy_errors_escape_from_broken_requests(data: st.DataObject) -> None:
    body = bytearray(FULL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        junk = st.binary(max_size=3) | st.sampled_from(
            [b"null", b"7", b'"x"', b"[]", b"{}", b"[{", b"-1e999", b"\\ud83d"]
        )
        body[at : at + data.draw(st.integers(0, 12))] = data.draw(junk)
        if not body:
            break
    try:
        DIALECT.envelope(bytes(body), CallParams())
        DIALECT.decode_request(bytes(body), CallParams())
    except ProxyError as error:
        assert error.message
