"""What callers send: settings, tools, refusals, and whole recorded requests. The conversation is in `…_input`."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.errors import CallerError, ErrorKind, ProxyError
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    Message,
    ReasoningRequest,
    ResponseFormat,
    Role,
    ServerTool,
    TextPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
)
from tests.support.corpus import Recording, params, recordings

DIALECT = DIALECTS["openai_responses"]
RECORDED = params(recordings(kind="openai_responses", where=lambda found: found.request is not None))


def decode(**fields: Any) -> ChatRequest:
    return DIALECT.decode_request(json.dumps({"model": "m", "input": "hi", **fields}).encode(), CallParams())


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


# --- settings


def test_the_smallest_request() -> None:
    assert decode() == ChatRequest("m", (Message(Role.USER, (TextPart("hi"),)),))


def test_the_model_may_be_left_out() -> None:
    assert decode(model=None).model == ""


def test_every_setting_with_a_counterpart_is_read() -> None:
    request = decode(
        stream=True,
        instructions="be brief",
        max_output_tokens=100,
        temperature=1,
        top_p=0.9,
        parallel_tool_calls=False,
        metadata={"a": "b"},
        user="u",
        prompt_cache_key="k",
        service_tier="flex",
        text={"verbosity": "low"},
        top_logprobs=2,
    )

    assert request.stream
    assert request.messages[0] == Message(Role.SYSTEM, (TextPart("be brief"),))
    assert (request.sampling.max_tokens, request.sampling.temperature, request.sampling.top_p) == (100, 1.0, 0.9)
    assert (request.sampling.logprobs, request.sampling.top_logprobs) == (True, 2)
    assert request.parallel_tool_calls is False
    assert json.loads(request.metadata or b"") == {"a": "b"}
    assert (request.user, request.cache_key, request.service_tier, request.verbosity) == ("u", "k", "flex", "low")
    assert request.extensions == {}


def test_a_safety_identifier_is_the_user() -> None:
    assert decode(safety_identifier="s", user="u").user == "s"


def test_what_has_no_counterpart_is_kept_by_name() -> None:
    request = decode(
        store=True,
        truncation="auto",
        include=["reasoning.encrypted_content", "web_search_call.results"],
        moderation={"model": "m"},
        max_tool_calls=3,
        client_metadata={"session": "s"},
    )

    assert set(request.extensions) == {
        "store",
        "truncation",
        "include",
        "moderation",
        "max_tool_calls",
        "client_metadata",
    }
    assert request.extensions["max_tool_calls"] == b"3"


def test_what_every_answer_gives_is_not_kept() -> None:
    request = decode(
        store=False,
        truncation="disabled",
        include=["reasoning.encrypted_content"],
        background=False,
        previous_response_id=None,
        conversation=None,
        prompt=None,
        stream_options={"include_obfuscation": False},
        max_tool_calls=None,
    )

    assert request.extensions == {}


def test_log_probabilities_are_asked_for_by_include() -> None:
    assert decode(include=["message.output_text.logprobs"]).sampling.logprobs


@pytest.mark.parametrize(
    ("reasoning", "read"),
    [
        ({"effort": "low"}, ReasoningRequest(Effort.LOW)),
        ({"summary": "auto"}, ReasoningRequest(visible=True)),
        (
            {"effort": "xhigh", "summary": "detailed", "context": "all_turns"},
            ReasoningRequest(Effort.XHIGH, visible=True),
        ),
        ({"generate_summary": "concise"}, ReasoningRequest(visible=True)),
        ({"effort": None, "summary": None}, None),
        (None, None),
    ],
)
def test_reasoning(reasoning: object, read: ReasoningRequest | None) -> None:
    assert decode(reasoning=reasoning).reasoning == read


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def test_formats() -> None:
    wire = {"type": "json_schema", "name": "book", "schema": SCHEMA, "strict": True, "description": "d"}

    format = decode(text={"format": wire}).response_format

    assert format == ResponseFormat(FormatKind.JSON_SCHEMA, "book", json.dumps(SCHEMA).encode(), "d", True)
    assert decode(text={"format": {"type": "json_object"}}).response_format == ResponseFormat(FormatKind.JSON_OBJECT)
    assert decode(text={"format": {"type": "text"}}).response_format is None


# --- tools


def test_tools_of_the_caller_and_hosted_ones() -> None:
    function = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False}
    custom = {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
    hosted = {"type": "web_search", "search_context_size": "low"}

    request = decode(tools=[function, hosted, custom, {"type": "function", "name": "g", "parameters": None}])

    assert request.tools == (
        ToolDefinition("f", "d", json.dumps(SCHEMA).encode(), False),
        ToolDefinition("p", kind=ToolKind.CUSTOM, format=json.dumps(custom["format"]).encode()),
        ToolDefinition("g"),
    )
    assert request.server_tools == (ServerTool(Origin.OPENAI, "web_search", json.dumps(hosted).encode()),)


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("auto", ToolChoice(ToolMode.AUTO)),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        ({"type": "function", "name": "f"}, ToolChoice(ToolMode.NAMED, "f")),
        ({"type": "custom", "name": "p"}, ToolChoice(ToolMode.NAMED, "p")),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "custom", "name": "p"}],
            },
            ToolChoice(ToolMode.REQUIRED, allowed=("f", "p")),
        ),
        (None, None),
    ],
)
def test_the_choice_of_tools(choice: object, read: ToolChoice | None) -> None:
    assert decode(tool_choice=choice).tool_choice == read


# --- refusals

CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}
SUMMARY = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": {}}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{}]}, "input[0]"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [7]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [user({"type": "input_text"})]}, "input[0].content[0].text"),
        ({"input": [user({"type": "input_text", "text": 7})]}, "input[0].content[0].text"),
        ({"input": [user({"type": "input_video"})]}, "input[0].content[0].type"),
        ({"input": [user({"type": "input_image"})]}, "input[0].content[0].image_url"),
        ({"input": [user({"type": "input_image", "image_url": "data:x"})]}, "input[0].content[0].image_url"),
        ({"input": [user({"type": "input_file"})]}, "input[0].content[0].file_data"),
        ({"input": [user({"type": "input_audio"})]}, "input[0].content[0].input_audio"),
        (
            {"input": [user({"type": "input_audio", "input_audio": {"data": "x"}})]},
            "input[0].content[0].input_audio.format",
        ),
        ({"input": [{**user({"type": "input_image", "file_id": "f"}), "role": "system"}]}, "input[0].content[0].type"),
        ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id"),
        ({"input": [{**CALL, "name": ""}]}, "input[0].name"),
        ({"input": [{**CALL, "arguments": {"a": 1}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "f"}]}, "input[0].input"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        (
            {
                "input": [
                    {"type": "function_call_output", "call_id": "c", "output": [{"type": "refusal", "refusal": "x"}]}
                ]
            },
            "input[0].output[0].type",
        ),
        ({"instructions": 7}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": 7}, "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "never"}}, "tool_choice.mode"),
    ],
)
def test_a_fault_names_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerError) as caught:
        decode(**fields)

    assert caught.value.param == param
    assert caught.value.kind is ErrorKind.INVALID_REQUEST
    assert caught.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"null", b'{"model":"a","model":"b"}', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError):
        DIALECT.decode_request(body, CallParams())
    with pytest.raises(CallerError):
        DIALECT.envelope(body, CallParams())


BODY = json.dumps(
    {
        "model": "m",
        "input": [
            user(
                {"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
            ),
            {"type": "reasoning", "id": "rs_1", "summary": SUMMARY, "encrypted_content": "gAAA"},
            CALL,
            {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "1"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
        "reasoning": {"effort": "low"},
    }
).encode()


@given(st.data())
def test_mutated_requests_raise_nothing_but_proxy_errors(data: st.DataObject) -> None:
    body = bytearray(BODY)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 1, 2, 20]))
        body[start:end] = data.draw(st.binary(max_size=6) | st.sampled_from([b'"', b"{", b"null", b"1", b"[]", b"{}"]))

    try:
        request = DIALECT.decode_request(bytes(body), CallParams())
    except ProxyError:
        return

    assert isinstance(request, ChatRequest)


# --- recorded requests


@pytest.mark.parametrize("recording", RECORDED)
def test_a_recorded_request_is_read(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]
    raw = json.dumps(body).encode()

    envelope = DIALECT.envelope(raw, CallParams())
    assert (envelope.model, envelope.stream) == (body["model"], body.get("stream", False))
    if body.get("background"):
        with pytest.raises(CallerError, match="background"):
            DIALECT.decode_request(raw, CallParams())
        return

    request = DIALECT.decode_request(raw, CallParams())
    assert request.model == body["model"]
    assert len(request.tools) + len(request.server_tools) == len(body.get("tools", []))
    assert request.extensions.keys() <= {"moderation"}
    assert msgspec.json.decode(msgspec.json.encode(request.messages))


NAMESPACE = {
    "type": "namespace",
    "name": "mcp__wiki",
    "description": "pages",
    "tools": [
        {"type": "function", "name": "ask", "description": "asks", "strict": False, "parameters": SCHEMA},
        {"type": "custom", "name": "edit"},
    ],
}


def test_tools_of_a_namespace_have_one_name_each() -> None:
    request = decode(tools=[NAMESPACE])

    assert [(tool.name, tool.kind) for tool in request.tools] == [
        ("mcp__wiki-__-ask", ToolKind.FUNCTION),
        ("mcp__wiki-__-edit", ToolKind.CUSTOM),
    ]
    assert request.server_tools == ()


@pytest.mark.parametrize(
    "inner",
    [{"type": "function", "name": "x" * 64}, {"type": "web_search"}],
)
def test_a_namespace_that_cannot_be_flat_is_kept_whole(inner: dict[str, Any]) -> None:
    request = decode(tools=[{**NAMESPACE, "tools": [*NAMESPACE["tools"], inner]}])

    assert request.tools == ()
    assert [tool.type for tool in request.server_tools] == ["namespace"]


def test_codexs_request_is_read() -> None:
    """The shape that Codex CLI 0.169.0 sends, with our own words in it."""
    request = decode(
        stream=True,
        store=False,
        include=["reasoning.encrypted_content"],
        input=[
            {
                "type": "message",
                "id": "msg_1",
                "role": "developer",
                "content": [{"type": "input_text", "text": "Be an agent."}],
            },
            {
                "type": "message",
                "id": "msg_2",
                "role": "user",
                "content": [{"type": "input_text", "text": "<context/>"}],
            },
            {"type": "message", "id": "msg_3", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
            {**CALL, "status": "completed"},
            {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "unsupported"},
        ],
        tools=[
            {"type": "function", "name": "exec_command", "description": "runs", "strict": False, "parameters": SCHEMA},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
            },
            NAMESPACE,
            {"type": "web_search", "external_web_access": False},
        ],
        tool_choice="auto",
        parallel_tool_calls=True,
        reasoning={"summary": "auto"},
        prompt_cache_key="thread",
        client_metadata={"session_id": "s", "thread_id": "t"},
    )

    assert [message.role for message in request.messages] == [
        Role.SYSTEM,
        Role.USER,
        Role.USER,
        Role.ASSISTANT,
        Role.TOOL,
    ]
    assert [tool.name for tool in request.tools] == [
        "exec_command",
        "apply_patch",
        "mcp__wiki-__-ask",
        "mcp__wiki-__-edit",
    ]
    assert [tool.type for tool in request.server_tools] == ["web_search"]
    assert request.reasoning == ReasoningRequest(visible=True)
    assert set(request.extensions) == {"client_metadata"}
