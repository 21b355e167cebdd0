"""Requests of Gemini callers: recorded ones, both spellings, every field, and what is wrong with bad ones."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.base import CallParams, CountsTokens
from proxy.dialects.gemini.dialect import GeminiDialect
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
    ToolMode,
)
from proxy.providers import PROVIDERS
from proxy.providers.base import Target

DIALECT = GeminiDialect()
PARAMS = CallParams({"version": "v1beta", "collection": "models", "model": "m", "verb": "streamGenerateContent"})


def decode(body: dict[str, Any], call: CallParams = PARAMS) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode(), call)


def of(*parts: dict[str, Any], role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": list(parts)}], **fields}


# --- tools and settings


def test_function_schemas_become_json_schema() -> None:
    declaration = {
        "name": "f",
        "description": None,
        "parameters": {
            "type": "OBJECT",
            "properties": {
                "a_b": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"},
                "type": {"type": "ARRAY", "items": {"type": "INTEGER"}, "min_items": "1"},
                "either": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": True},
            },
            "property_ordering": ["a_b"],
            "required": ["a_b"],
        },
        "behavior": "NON_BLOCKING",
    }
    request = decode(of({"text": "a"}, tools=[{"functionDeclarations": [declaration]}, {"google_search": {}}]))

    assert json.loads(request.tools[0].parameters or b"") == {
        "type": "object",
        "properties": {
            "a_b": {"type": ["string", "null"], "enum": ["x", None]},
            "type": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "either": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]},
        },
        "required": ["a_b"],
    }
    assert request.tools[0].description is None
    assert request.server_tools == (ServerTool(Origin.GEMINI, "googleSearch", b'{"googleSearch":{}}'),)
    assert request.extensions == {"tools[0].functionDeclarations[0].behavior": b'"NON_BLOCKING"'}


def test_a_json_schema_stays_byte_for_byte() -> None:
    schema = b'{ "type":"object", "x_y": {"any_of": 1.0} }'
    body = (
        b'{"contents":[{"parts":[{"text":"a"}]}],'
        b'"tools":[{"functionDeclarations":[{"name":"f","parameters_json_schema":%b}]}],'
        b'"generationConfig":{"responseJsonSchema":%b}}' % (schema, schema)
    )

    request = DIALECT.decode_request(body, PARAMS)

    assert request.tools[0].parameters == schema
    assert request.response_format == ResponseFormat(FormatKind.JSON_SCHEMA, schema=schema)


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice(ToolMode.AUTO)),
        ({"mode": "none"}, ToolChoice(ToolMode.NONE)),
        ({"mode": "ANY"}, ToolChoice(ToolMode.REQUIRED)),
        ({"mode": "ANY", "allowed_function_names": ["f"]}, ToolChoice(ToolMode.NAMED, "f")),
        (
            {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            ToolChoice(ToolMode.REQUIRED, allowed=("f", "g")),
        ),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice(ToolMode.AUTO, allowed=("f",))),
        ({}, None),
    ],
)
def test_tool_choices(config: dict[str, Any], choice: ToolChoice | None) -> None:
    assert decode(of({"text": "a"}, toolConfig={"functionCallingConfig": config})).tool_choice == choice


def test_sampling_reads_numbers_as_proto_json_writes_them() -> None:
    config = {
        "temperature": 1,
        "topP": "0.9",
        "topK": 40.0,
        "maxOutputTokens": "100",
        "candidateCount": 2,
        "stopSequences": ["a"],
        "seed": 5,
        "presencePenalty": 0.1,
        "frequency_penalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
    }

    assert decode(of({"text": "a"}, generationConfig=config)).sampling == Sampling(
        max_tokens=100,
        temperature=1.0,
        top_p=0.9,
        top_k=40,
        stop=("a",),
        seed=5,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        n=2,
    )


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({"thinkingBudget": 0}, ReasoningRequest(Effort.NONE)),
        ({"thinkingBudget": -1}, ReasoningRequest(adaptive=True)),
        ({"thinking_budget": 5000, "include_thoughts": True}, ReasoningRequest(budget_tokens=5000, visible=True)),
        ({"thinkingLevel": "medium"}, ReasoningRequest(Effort.MEDIUM)),
        ({"include_thoughts": True, "thinking_level": "LOW"}, ReasoningRequest(Effort.LOW, visible=True)),
        ({"includeThoughts": True}, ReasoningRequest(adaptive=True, visible=True)),
        ({"includeThoughts": False}, ReasoningRequest(visible=False)),
        (None, None),
    ],
)
def test_thinking(config: dict[str, Any] | None, asked: ReasoningRequest | None) -> None:
    assert decode(of({"text": "a"}, generationConfig={"thinkingConfig": config})).reasoning == asked


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"responseMimeType": "application/json"}, FormatKind.JSON_OBJECT),
        ({"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}}, FormatKind.JSON_SCHEMA),
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}, None),
        ({}, None),
    ],
)
def test_response_formats(config: dict[str, Any], kind: FormatKind | None) -> None:
    found = decode(of({"text": "a"}, generationConfig=config)).response_format

    assert (found.kind if found is not None else None) is kind


def test_what_no_hub_field_stands_for_becomes_an_extension() -> None:
    request = decode(
        of(
            {"text": "a"},
            safetySettings=[],
            cached_content="c",
            labels=None,
            serviceTier="SERVICE_TIER_FLEX",
            toolConfig={"retrievalConfig": {}},
            generationConfig={"speechConfig": {}, "responseModalities": ["TEXT", "IMAGE"]},
        )
    )

    assert {name: json.loads(value) for name, value in request.extensions.items()} == {
        "safetySettings": [],
        "cachedContent": "c",
        "toolConfig.retrievalConfig": {},
        "generationConfig.speechConfig": {},
        "generationConfig.responseModalities": ["TEXT", "IMAGE"],
    }
    assert request.service_tier == "flex"


def test_text_alone_is_the_modality_of_all() -> None:
    assert decode(of({"text": "a"}, generationConfig={"responseModalities": ["TEXT"]})).extensions == {}


def test_counting_tokens_may_wrap_the_request() -> None:
    inner = of({"text": "a"}, systemInstruction={"parts": [{"text": "s"}]})
    call = CallParams({"model": "m", "verb": "countTokens"})

    request = decode({"generateContentRequest": {"model": "models/m", **inner}}, call)

    assert request.messages == (Message(Role.SYSTEM, (TextPart("s"),)), Message(Role.USER, (TextPart("a"),)))
    assert isinstance(DIALECT, CountsTokens)
    assert DIALECT.encode_token_count(5) == b'{"totalTokens":5}'


# --- bad input


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"null", None),
        (b"{", None),
        (b'{"contents": "\xff"}', None),
        (b"{}", "contents"),
        (b'{"contents": null}', "contents"),
        (b'{"contents": []}', "contents"),
        (b'{"contents": 5}', "contents"),
        (b'{"contents": ["a"]}', "contents[0]"),
        (b'{"contents": [{"parts": [{"text": 5}]}]}', "contents[0].parts[0].text"),
        (b'{"contents": [{"parts": ["a"]}]}', "contents[0].parts[0]"),
        (b'{"contents": [{"role": "wizard", "parts": []}]}', "contents[0].role"),
        (b'{"contents": [{"role": 5}]}', "contents[0].role"),
        (b'{"contents": [{"parts": [{"inlineData": {"data": "aGk="}}]}]}', "contents[0].parts[0].inlineData.mimeType"),
        (
            b'{"contents": [{"parts": [{"inlineData": {"mimeType": "image/png"}}]}]}',
            "contents[0].parts[0].inlineData.data",
        ),
        (b'{"contents": [{"parts": [{"fileData": {}}]}]}', "contents[0].parts[0].fileData.fileUri"),
        (
            b'{"contents": [{"role": "model", "parts": [{"functionCall": {}}]}]}',
            "contents[0].parts[0].functionCall.name",
        ),
        (
            b'{"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": "x"}}]}]}',
            "contents[0].parts[0].functionCall.args",
        ),
        (
            b'{"contents": [{"parts": [{"function_response": {"name": "f", "response": [1]}}]}]}',
            "contents[0].parts[0].functionResponse.response",
        ),
        (b'{"contents": [{"parts": [{"text": "a"}]}], "tools": 5}', "tools"),
        (b'{"contents": [{"parts": [{"text": "a"}]}], "tools": [{"functionDeclarations": [{}]}]}', None),
        (b'{"contents": [{"parts": [{"text": "a"}]}], "generationConfig": []}', "generationConfig"),
        (
            b'{"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"temperature": "hot"}}',
            "generationConfig.temperature",
        ),
        (
            b'{"contents": [{"parts": [{"text": "a"}]}], "generation_config": {"top_k": 1.5}}',
            "generationConfig.topK",
        ),
        (
            b'{"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"thinkingConfig": {"thinkingLevel": "ALL"}}}',
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (
            b'{"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}}',
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (
            b'{"contents": [{"parts": [{"text": "a"}]}], "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}',
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            b'{"contents": [{"parts": [{"text": "a"}]}], "systemInstruction": {"parts": [{"functionCall": {}}]}}',
            "systemInstruction.parts[0]",
        ),
        (b'{"contents": ' + b"[" * 500 + b"]" * 500 + b"}", None),
    ],
    ids=range(30),
)
def test_bad_requests_are_refused_with_the_field_at_fault(body: bytes, param: str | None) -> None:
    with pytest.raises(CallerError) as caught:
        DIALECT.decode_request(body, PARAMS)

    assert caught.value.kind is ErrorKind.INVALID_REQUEST
    if param is not None:
        assert caught.value.param == param
        assert param in caught.value.message


FULL = of(
    {"text": "hi"},
    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
    {"functionResponse": {"name": "f", "response": {"a": 1}}},
    systemInstruction={"parts": [{"text": "s"}]},
    tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}],
    toolConfig={"functionCallingConfig": {"mode": "AUTO"}},
    generationConfig={
        "temperature": 0.5,
        "thinkingConfig": {"thinkingBudget": 5},
        "responseSchema": {"type": "STRING"},
    },
)
FULL["contents"].insert(0, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}, {"text": "x"}]})


@settings(max_examples=200)
@given(st.data())
def test_damage_raises_nothing_but_our_own_faults(data: st.DataObject) -> None:
    body = bytearray(json.dumps(FULL).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        length = data.draw(st.integers(0, 15))
        body[position : position + length] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"null", b'"', b"{}", b"[]", b"5", b"true", b"\\ud800", b'"a"'])
        )
        if not body:
            break

    try:
        request = DIALECT.decode_request(bytes(body), PARAMS)
        PROVIDERS["gemini"].encode_request(request, Target("g", "gemini-3-pro"))
    except ProxyError:
        pass


def replaced(value: Any, path: list[Any], new: Any) -> Any:
    value = copy.deepcopy(value)
    here = value
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = new
    return value


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [found for key, each in items for found in [(*path, key), *paths(each, (*path, key))]]


@pytest.mark.parametrize("path", paths(FULL), ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("new", [None, 5, "text", [], {}, [None], True, -1.5], ids=str)
def test_a_wrong_type_anywhere_is_refused_or_read(path: tuple[Any, ...], new: Any) -> None:
    try:
        decode(replaced(FULL, list(path), new))
    except CallerError as refused:
        assert refused.kind is ErrorKind.INVALID_REQUEST
