"""Chat Completions requests as callers write them: every field, every wrong type, every recording."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import CallParams
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.hub.errors import CallerError, ErrorKind
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
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.openai_chat_api import Case, recorded_requests, target

DIALECT = OpenAIChatDialect()
PARAMS = CallParams()
HI = [{"role": "user", "content": "hi"}]


def decode(**fields: Any) -> ChatRequest:
    return DIALECT.decode_request(json.dumps({"model": "m", "messages": HI, **fields}).encode(), PARAMS)


# --- fields

FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"stream": True}, {"stream": True, "include_usage": False}),
    ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "include_usage": True}),
    ({"max_tokens": 5}, {"sampling": Sampling(max_tokens=5)}),
    ({"max_tokens": 5, "max_completion_tokens": 6}, {"sampling": Sampling(max_tokens=6)}),
    ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"sampling": Sampling(temperature=0.0, top_p=0.5, top_k=3)}),
    ({"stop": "x"}, {"sampling": Sampling(stop=("x",))}),
    ({"stop": ["x", "", "y"]}, {"sampling": Sampling(stop=("x", "y"))}),
    ({"seed": -1, "n": 2}, {"sampling": Sampling(seed=-1, n=2)}),
    (
        {"presence_penalty": 1, "frequency_penalty": -0.5},
        {"sampling": Sampling(presence_penalty=1.0, frequency_penalty=-0.5)},
    ),
    ({"logit_bias": {"1": 2}}, {"sampling": Sampling(logit_bias=b'{"1": 2}')}),
    ({"logprobs": True, "top_logprobs": 3}, {"sampling": Sampling(logprobs=True, top_logprobs=3)}),
    ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ({"reasoning_effort": "xhigh"}, {"reasoning": ReasoningRequest(Effort.XHIGH)}),
    ({"reasoning": {"max_tokens": 99, "exclude": True}}, {"reasoning": ReasoningRequest(None, 99, visible=False)}),
    ({"reasoning": {"enabled": False}}, {"reasoning": ReasoningRequest(Effort.NONE)}),
    ({"thinking": {"type": "disabled"}}, {"reasoning": ReasoningRequest(Effort.NONE)}),
    ({"thinking": {"type": "enabled"}}, {"reasoning": ReasoningRequest(adaptive=True)}),
    ({"verbosity": "low", "service_tier": "flex"}, {"verbosity": "low", "service_tier": "flex"}),
    ({"user": "u", "safety_identifier": "s"}, {"user": "u"}),
    ({"safety_identifier": "s", "prompt_cache_key": "k"}, {"user": "s", "cache_key": "k"}),
    ({"metadata": {"a": "b"}}, {"metadata": b'{"a": "b"}'}),
    ({"response_format": {"type": "text"}}, {"response_format": ResponseFormat(FormatKind.TEXT)}),
    ({"response_format": {"type": "json_object"}}, {"response_format": ResponseFormat(FormatKind.JSON_OBJECT)}),
    (
        {"response_format": {"json_schema": {"name": "n", "schema": {"a": 1}, "strict": True, "description": "d"}}},
        {"response_format": ResponseFormat(FormatKind.JSON_SCHEMA, "n", b'{"a": 1}', "d", True)},
    ),
    (
        {"store": False, "prediction": {"type": "content", "content": "x"}, "x_new": None},
        {"extensions": {"store": b"false", "prediction": b'{"type": "content", "content": "x"}'}},
    ),
    ({"tool_choice": "auto"}, {"tool_choice": ToolChoice(ToolMode.AUTO)}),
    ({"tool_choice": "any"}, {"tool_choice": ToolChoice(ToolMode.REQUIRED)}),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": ToolChoice(ToolMode.NAMED, "f")},
    ),
    ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, {"tool_choice": ToolChoice(ToolMode.NAMED, "f")}),
    (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            }
        },
        {"tool_choice": ToolChoice(ToolMode.REQUIRED, allowed=("f",))},
    ),
    (
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}}
            ]
        },
        {"tools": (ToolDefinition("f", "d", b"{}", True),)},
    ),
    (
        {"tools": [{"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}}]},
        {"tools": (ToolDefinition("p", kind=ToolKind.CUSTOM, format=b'{"type": "text"}'),)},
    ),
    (
        {"tools": [{"type": "openrouter:web_search"}]},
        {
            "server_tools": (
                ServerTool(Origin.OPENROUTER, "openrouter:web_search", b'{"type": "openrouter:web_search"}'),
            )
        },
    ),
    (
        {"functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}},
        {
            "tools": (ToolDefinition("f", parameters=b"{}"),),
            "tool_choice": ToolChoice(ToolMode.NAMED, "f"),
            "parallel_tool_calls": False,
        },
    ),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_every_field_has_its_meaning(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = ChatRequest("m", (Message(Role.USER, (TextPart("hi"),)),))

    request = decode(**fields)

    assert {name: getattr(request, name) for name in expected} == expected
    untouched = {name for name in plain.__struct_fields__ if name not in expected}
    assert {name: getattr(request, name) for name in untouched} == {name: getattr(plain, name) for name in untouched}


def test_nulls_say_nothing() -> None:
    fields = [name for wanted, _ in FIELDS for name in wanted]

    assert decode(**dict.fromkeys(fields)) == decode()


# --- what is refused

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": None}, "messages", "expected array, got null"),
    ({"messages": []}, "messages", "expected at least one message, got []"),
    ({"messages": "hi"}, "messages", "expected array, got str"),
    ({"messages": [7]}, "messages[0]", "expected object, got int"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "this field is required"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "got 'robot'"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "this field is required"),
    ({"messages": [{"role": "system"}]}, "messages[0].content", "this field is required"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "expected str | array | null, got int"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "expected object, got str"),
    (
        {"messages": [{"role": "user", "content": [{"type": "video_url"}]}]},
        "messages[0].content[0].type",
        "expected 'text', 'image_url', 'input_audio' or 'file', got 'video_url'",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "required"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].image_url",
        "required",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]}]},
        "messages[0].content[0].image_url.url",
        "expected a URL",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
        "messages[0].content[0].image_url.url",
        "expected a data URL",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A"}}]}]},
        "messages[0].content[0].input_audio.format",
        "required",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        "messages[0].content[0].file.file_data",
        "required",
    ),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://a"}]}]},
        "messages[0].content[0].type",
        "expected 'text'",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].type",
        "expected 'text', 'refusal' or 'thinking'",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "required"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "required"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].id",
        "required",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "", "function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].id",
        "expected the id of a call",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
        "messages[0].tool_calls[0].function",
        "required",
    ),
    ({"model": 7}, "model", "expected str | null, got int"),
    ({"stream": "true"}, "stream", "expected bool | null, got str"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "expected bool | null, got int"),
    ({"temperature": "hot"}, "temperature", "expected float | null, got str"),
    ({"max_tokens": 1.5}, "max_tokens", "expected int | null, got float"),
    ({"max_tokens": 0}, "max_tokens", "expected 1 or more, got 0"),
    ({"max_completion_tokens": -1}, "max_completion_tokens", "expected 1 or more, got -1"),
    ({"n": 0}, "n", "expected 1 or more, got 0"),
    ({"stop": [7]}, "stop[0]", "expected str, got int"),
    ({"logit_bias": [1]}, "logit_bias", "expected an object, got '[1]'"),
    ({"metadata": "x"}, "metadata", "expected an object"),
    ({"tools": {}}, "tools", "expected array | null, got object"),
    ({"tools": [7]}, "tools[0]", "expected object, got int"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "required"),
    ({"tools": [{"type": "custom"}]}, "tools[0].custom", "required"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "required"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
        "tools[0].function.parameters",
        "expected an object",
    ),
    ({"functions": [{"name": "f", "parameters": 1}]}, "functions[0].parameters", "expected an object, got '1'"),
    ({"tool_choice": "maybe"}, "tool_choice", "expected 'auto', 'none', 'required' or an object, got 'maybe'"),
    ({"tool_choice": {"type": "x"}}, "tool_choice.type", "expected 'function', 'custom' or 'allowed_tools', got 'x'"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function", "required"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools", "required"),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x", "tools": []}}},
        "tool_choice.allowed_tools.mode",
        "expected 'auto' or 'required'",
    ),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{}]}}},
        "tool_choice.allowed_tools.tools[0].function",
        "required",
    ),
    ({"function_call": "maybe"}, "function_call", "expected 'auto', 'none' or an object"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "expected 'text', 'json_object' or 'json_schema'"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "required"),
    (
        {"response_format": {"json_schema": {"schema": "x"}}},
        "response_format.json_schema.schema",
        "expected an object",
    ),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "expected one of none, minimal, low"),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "expected one of"),
]


@pytest.mark.parametrize(
    ("fields", "param", "message"), BAD, ids=[f"{param}-{n}" for n, (_, param, _) in enumerate(BAD)]
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(CallerError) as fault:
        decode(**fields)

    assert (fault.value.kind, fault.value.param) == (ErrorKind.INVALID_REQUEST, param)
    assert fault.value.message.startswith(f"{param}: ")
    assert message in fault.value.message


def test_messages_are_required() -> None:
    with pytest.raises(CallerError, match="messages: this field is required"):
        DIALECT.decode_request(b'{"model":"m"}', PARAMS)


# --- recordings: there and back

RECORDED = [case for case in recorded_requests() if b'"messages"' in case.body]


def meaning(body: dict[str, Any]) -> dict[str, Any]:
    """What a request asks for, without the ways in which the same can be said."""
    written = []
    for one in body["messages"]:
        content = one.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        texts = "".join(part["text"] for part in parts if part["type"] == "text")
        media = [part[part["type"]] for part in parts if part["type"] != "text"]
        media = [{"url": one} if isinstance(one, str) else one for one in media]
        written.append(
            (one["role"], texts, media, one.get("tool_calls") or [], one.get("tool_call_id"), one.get("name"))
        )
    fields = ("tools", "tool_choice", "temperature", "top_p", "reasoning_effort", "seed", "user", "metadata")
    stop = body.get("stop")
    wanted = dict(body.get("response_format") or {})
    if "json_schema" in wanted:
        wanted = {"type": "json_schema", "json_schema": {"name": "response", **wanted["json_schema"]}}
    return {
        "messages": written,
        "limit": body.get("max_completion_tokens") or body.get("max_tokens"),
        "stop": [stop] if isinstance(stop, str) else stop,
        "format": wanted,
        **{name: body.get(name) for name in fields},
    }


@pytest.mark.parametrize("case", RECORDED, ids=str)
def test_a_recorded_request_keeps_its_meaning(case: Case) -> None:
    before = json.loads(case.body)
    if b'"file_url"' in case.body:
        with pytest.raises(CallerError):
            DIALECT.decode_request(case.body, PARAMS)
        return
    if before.get("n", 1) > 1:
        with pytest.raises(CallerError):
            OpenAIChat().encode_request(DIALECT.decode_request(case.body, PARAMS), target())
        return
    request = DIALECT.decode_request(case.body, PARAMS)
    upstream = OpenAIChat().encode_request(
        request, target(tool_call_ids="any", max_stop_sequences=16, cache_marks=True, empty_content="empty")
    )

    after = json.loads(upstream.body)
    wanted, got = meaning(before), meaning(after)
    if before.get("reasoning"):
        wanted["reasoning_effort"] = before["reasoning"].get("effort")
    foreign = [tool for tool in before.get("tools") or [] if tool["type"] not in ("function", "custom")]
    if foreign:
        wanted["tools"] = [tool for tool in before["tools"] if tool not in foreign] or None
        assert any(entry.startswith("tools: ") for entry in upstream.dropped)
    if not wanted["tools"]:
        wanted["tool_choice"] = None
        wanted["tools"] = None
    assert got == wanted


# --- noise

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "name", "function"]), inner, max_size=3)
    ),
    max_leaves=6,
)
RICH: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "https://a"}}],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [{"type": "reasoning.text", "text": "x", "index": 0}],
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "stop": ["x"],
    "reasoning_effort": "low",
    "logit_bias": {"1": 1},
}


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        found += paths(inner, (*path, key))
    return found


PATHS = [path for path in paths(RICH) if path]


@given(st.sampled_from(PATHS), VALUES)
def test_any_value_anywhere_is_read_or_refused_by_name(path: tuple[Any, ...], value: Any) -> None:
    body = json.loads(json.dumps(RICH))
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        request = DIALECT.decode_request(json.dumps(body).encode(), PARAMS)
        OpenAIChat().encode_request(request, target())
    except CallerError as fault:
        assert fault.message
        return
    assert request.messages


@given(st.binary(max_size=40), st.integers(0, 400))
def test_damaged_bytes_are_read_or_refused(noise: bytes, start: int) -> None:
    whole = json.dumps(RICH).encode()
    try:
        DIALECT.decode_request(whole[:start] + noise + whole[start + len(noise) :], PARAMS)
    except CallerError as fault:
        assert fault.message
