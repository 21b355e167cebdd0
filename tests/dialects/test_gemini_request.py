"""Requests of Gemini callers: recorded ones, both spellings, every field, and what is wrong with bad ones."""

import base64
import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams, CountsTokens, Operation
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.dialects.gemini.request import ARRAY
from proxy.hub.errors import CallerError, ErrorKind, ProxyError
from proxy.hub.events import Origin
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    FileSource,
    FormatKind,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    ServerTool,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
)
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from proxy.server.dispatch import pattern_of
from tests.support import gemini_sdk
from tests.support.corpus import Recording, params, recordings

DIALECT = GeminiDialect()
PARAMS = CallParams({"version": "v1beta", "collection": "models", "model": "m", "verb": "streamGenerateContent"})

REQUESTS = recordings(dialect="gemini", where=lambda recording: recording.request is not None)


def decode(body: dict[str, Any], call: CallParams = PARAMS) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode(), call)


def of(*parts: dict[str, Any], role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": list(parts)}], **fields}


def messages(*contents: dict[str, Any]) -> list[tuple[Role, tuple[Any, ...]]]:
    return [(message.role, message.parts) for message in decode({"contents": list(contents)}).messages]


def snake(value: Any) -> Any:
    """Every key in snake_case, except those inside arguments, responses and schemas' properties."""
    if isinstance(value, list):
        return [snake(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), key): each
        if key in ("args", "response", "properties", "parametersJsonSchema", "responseJsonSchema")
        else snake(each)
        for key, each in value.items()
    }


# --- routes and envelopes


@pytest.mark.parametrize(
    ("path", "model", "operation"),
    [
        ("/v1beta/models/gemini-x:generateContent", "gemini-x", Operation.GENERATE),
        ("/v1/models/gemini-x:streamGenerateContent", "gemini-x", Operation.GENERATE),
        ("/v1alpha/models/gemini-x:countTokens", "gemini-x", Operation.COUNT_TOKENS),
        ("/gemini/v1beta/models/gemini-x:generateContent", "gemini-x", Operation.GENERATE),
        ("/gemini/v1/models/gemini-x:streamGenerateContent", "gemini-x", Operation.GENERATE),
        ("/v1beta/models/models/gemini-x:generateContent", "gemini-x", Operation.GENERATE),
        ("/v1beta/models/openai/gpt:5:generateContent", "openai/gpt:5", Operation.GENERATE),
        ("/v1beta/models/x:countTokens:generateContent", "x:countTokens", Operation.GENERATE),
        ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine", Operation.GENERATE),
        ("/v1beta/models/x:embedContent", None, None),
        ("/v2/models/x:generateContent", None, None),
        ("/v1beta/models/:generateContent", None, None),
    ],
)
def test_routes_find_model_and_verb(path: str, model: str | None, operation: Operation | None) -> None:
    found = [
        (route, match.groupdict()) for route in DIALECT.routes if (match := pattern_of(route.path).fullmatch(path))
    ]

    assert len(found) == (0 if operation is None else 1)
    for route, values in found:
        assert route.operation is operation
        assert DIALECT.envelope(b"{}", CallParams(values)).model == model
        assert values["verb"] == path.rpartition(":")[2]


@pytest.mark.parametrize(
    ("verb", "query", "stream", "variant", "content_type"),
    [
        ("generateContent", {}, False, "", None),
        ("generateContent", {"alt": "json"}, False, "", None),
        ("streamGenerateContent", {"alt": "sse"}, True, "", None),
        ("streamGenerateContent", {}, True, ARRAY, "application/json"),
        ("streamGenerateContent", {"alt": "json"}, True, ARRAY, "application/json"),
    ],
)
def test_the_url_says_what_is_asked(
    verb: str, query: dict[str, str], stream: bool, variant: str, content_type: str | None
) -> None:
    call = CallParams({"model": "m", "verb": verb}, query)

    envelope = DIALECT.envelope(b'{"contents": []}', call)

    assert (envelope.stream, envelope.variant, envelope.content_type) == (stream, variant, content_type)
    assert decode(of({"text": "a"}), call).stream is stream


# --- every recorded request


@pytest.mark.parametrize("recording", params(REQUESTS))
def test_a_recorded_request_survives_the_way_through_the_hub(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]

    request = decode(body)
    sent = PROVIDERS["gemini"].encode_request(request, Target("google", "gemini-2.5-flash"))

    again = json.loads(sent.body)
    assert joined(again["contents"]) == joined(body["contents"])
    if "systemInstruction" in body:
        assert again["systemInstruction"]["parts"] == body["systemInstruction"]["parts"]
    assert again.get("safetySettings") == body.get("safetySettings")
    assert again.get("cachedContent") == body.get("cachedContent")
    names = [tool["functionDeclarations"] for tool in body.get("tools", []) if "functionDeclarations" in tool]
    assert [[f["name"] for f in tool["functionDeclarations"]] for tool in again.get("tools", [])[: len(names)]] == [
        [f["name"] for f in functions] for functions in names
    ]
    kept = {"maxOutputTokens", "responseMimeType", "responseJsonSchema"}
    config = body.get("generationConfig", {})
    assert {name: value for name, value in again.get("generationConfig", {}).items() if name in kept} == {
        name: value for name, value in config.items() if name in kept
    } | ({"responseJsonSchema": again["generationConfig"]["responseJsonSchema"]} if "responseSchema" in config else {})


def joined(contents: list[dict[str, Any]]) -> list[Any]:
    """Contents in a row of one role as one, without empty texts, ids and other providers' words for the same result."""
    out: list[Any] = []
    for content in contents:
        parts = []
        for part in content["parts"]:
            part = copy.deepcopy(part)
            for kind in ("functionCall", "functionResponse"):
                part.get(kind, {}).pop("id", None)
            if part != {"text": ""}:
                parts.append(part)
        if out and out[-1][0] == content["role"]:
            out[-1][1].extend(parts)
        else:
            out.append((content["role"], parts))
    return out


@pytest.mark.parametrize("recording", params(REQUESTS))
def test_a_recorded_request_means_the_same_in_snake_case(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]
    both = {**snake(body), **{key: value for key, value in body.items() if key == "contents"}}

    one, other, mixed = decode(body), decode(snake(body)), decode(both)

    assert without_raw(one) == without_raw(other) == without_raw(mixed)


def without_raw(request: ChatRequest) -> Any:
    """JSON bytes parsed: their keys may be spelled either way in extensions."""
    extensions = {name: snake(json.loads(value)) for name, value in request.extensions.items()}
    tools = [(tool.name, tool.description, json.loads(tool.parameters or b"null")) for tool in request.tools]
    format = request.response_format
    schema = json.loads(format.schema) if format is not None and format.schema is not None else None
    server_tools = [(tool.type, snake(json.loads(tool.json))) for tool in request.server_tools]
    return request.messages, tools, schema, extensions, request.sampling, request.reasoning, server_tools


@pytest.mark.parametrize("recording", params(REQUESTS))
@pytest.mark.parametrize("kind", ["openai_chat", "openai_responses", "anthropic"])
def test_a_recorded_request_can_be_sent_to_other_providers(recording: Recording, kind: str) -> None:
    assert recording.request is not None
    request = decode(recording.request["body"])

    sent = PROVIDERS[kind].encode_request(request, Target("p", "m", max_tokens=100))

    assert isinstance(json.loads(sent.body), dict)


OTHER_REQUESTS = recordings(
    where=lambda recording: (
        recording.request is not None
        and recording.kind in DIALECTS
        and recording.kind != "gemini"
        and isinstance(recording.request["body"], dict)
    )
)


@pytest.mark.parametrize("recording", params(OTHER_REQUESTS))
def test_a_recorded_request_of_another_api_can_be_sent_to_gemini(recording: Recording) -> None:
    assert recording.request is not None
    assert recording.kind is not None
    try:
        request = DIALECTS[recording.kind].decode_request(json.dumps(recording.request["body"]).encode(), CallParams())
    except CallerError:
        # What our own reading of that dialect refuses never gets here.
        return

    try:
        sent = PROVIDERS["gemini"].encode_request(request, Target("google", "gemini-3-flash-preview"))
    except CallerError as refused:
        assert refused.message
        return

    gemini_sdk.check_request(json.loads(sent.body))


# --- contents


def test_roles_and_texts() -> None:
    assert messages(
        {"parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": {"text": "d"}},
    ) == [
        (Role.USER, (TextPart("a"), TextPart("b"))),
        (Role.ASSISTANT, (TextPart("c"),)),
        (Role.USER, (TextPart("d"),)),
    ]


def test_a_single_content_and_tool_may_stand_without_their_arrays() -> None:
    request = decode(
        {
            "contents": {"parts": {"text": "a"}},
            "system_instruction": {"parts": {"text": "s"}},
            "tools": {"function_declarations": {"name": "f"}},
        }
    )

    assert [message.role for message in request.messages] == [Role.SYSTEM, Role.USER]
    assert [tool.name for tool in request.tools] == ["f"]


def test_an_answer_kept_chunk_by_chunk_becomes_one_message() -> None:
    chunks = [
        {"text": "thin", "thought": True},
        {"text": "king", "thought": True, "thoughtSignature": "dA=="},
        {"text": "Hel"},
        {"text": "lo"},
        {"text": ""},
        {"text": "", "thoughtSignature": "eA=="},
        {"text": "signed", "thoughtSignature": "eQ=="},
    ]

    found = messages(
        {"role": "user", "parts": [{"text": "hi"}]}, *({"role": "model", "parts": [chunk]} for chunk in chunks)
    )

    assert found[1:] == [
        (
            Role.ASSISTANT,
            (
                ReasoningPart("thinking", "dA==", Origin.GEMINI),
                TextPart("Hello"),
                ReasoningPart("", "eA==", Origin.GEMINI),
                ReasoningPart("", "eQ==", Origin.GEMINI),
                TextPart("signed"),
            ),
        )
    ]


def test_media_of_every_kind() -> None:
    data = base64.urlsafe_b64encode(b"\xff\xfe\xfd\xfc").decode()
    standard = base64.b64encode(b"\xff\xfe\xfd\xfc").decode()

    (_, parts), *_ = messages(
        {
            "parts": [
                {"inlineData": {"mimeType": "image/PNG", "data": data.rstrip("=")}},
                {"inlineData": {"mimeType": "audio/wav", "data": data}},
                {"inlineData": {"mimeType": "application/pdf", "data": data, "displayName": "a.pdf"}},
                {"inlineData": {"mimeType": "video/mp4", "data": data}},
                {
                    "fileData": {
                        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f",
                        "mimeType": "image/png",
                    }
                },
                {"fileData": {"fileUri": "gs://b/doc.pdf"}},
                {"fileData": {"fileUri": "https://x.test/a.jpg?x=1"}},
                {"fileData": {"fileUri": "https://x.test/doc", "mimeType": "application/pdf"}},
                {
                    "inlineData": {"mimeType": "image/png", "data": "aGk="},
                    "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
                },
            ]
        }
    )

    assert "+" in standard or "/" in standard
    assert parts == (
        ImagePart(DataSource("image/png", standard)),
        AudioPart(standard, "wav"),
        FilePart(DataSource("application/pdf", standard), "a.pdf"),
        FilePart(DataSource("video/mp4", standard)),
        ImagePart(FileSource("https://generativelanguage.googleapis.com/v1beta/files/f", Origin.GEMINI)),
        FilePart(FileSource("gs://b/doc.pdf", Origin.GEMINI)),
        ImagePart(UrlSource("https://x.test/a.jpg?x=1")),
        FilePart(UrlSource("https://x.test/doc")),
        ImagePart(DataSource("image/png", "aGk="), "high"),
    )


def test_calls_and_results_are_tied_together() -> None:
    call, other = {"name": "f", "args": {"a": 1}}, {"name": "g"}

    found = messages(
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"functionCall": call, "thoughtSignature": "eA=="}, {"functionCall": other}]},
        {
            "role": "function",
            "parts": [
                {"functionResponse": {"name": "g", "response": {"x": 1}}},
                {"functionResponse": {"name": "f", "response": {"error": "boom"}}},
                {"text": "and?"},
            ],
        },
        {"role": "model", "parts": [{"functionCall": {**call, "id": "own"}}, {"functionCall": call}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"second": True}}},
                {"functionResponse": {"name": "f", "id": "own", "response": {"first": True}}},
            ],
        },
    )

    assert found[1:4] == [
        (
            Role.ASSISTANT,
            (
                ToolCallPart("call_1", "f", '{"a": 1}', signature="eA==", origin=Origin.GEMINI),
                ToolCallPart("call_2", "g", "{}"),
            ),
        ),
        (
            Role.TOOL,
            (
                ToolResultPart("call_2", (TextPart('{"x": 1}'),), "g"),
                ToolResultPart("call_1", (TextPart('{"error": "boom"}'),), "f", is_error=True),
            ),
        ),
        (Role.USER, (TextPart("and?"),)),
    ]
    assert [part.call_id for part in found[5][1]] == ["call_4", "own"]


def test_pictures_in_a_result() -> None:
    found = messages(
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
        {
            "parts": [
                {
                    "functionResponse": {
                        "name": "f",
                        "response": {},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
                    }
                }
            ]
        },
    )

    assert found[1][1][0].parts == (TextPart("{}"), ImagePart(DataSource("image/png", "aGk=")))


def test_parts_that_only_this_api_knows_are_kept_whole() -> None:
    part = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "eA=="}

    (_, parts), *_ = messages({"role": "model", "parts": [part, {}]})

    assert [type(each) for each in parts] == [OpaquePart]
    assert (parts[0].origin, parts[0].type, json.loads(parts[0].json)) == (Origin.GEMINI, "executableCode", part)


def test_fields_of_parts_that_nobody_stands_for_are_named() -> None:
    body = of({"text": "a", "videoMetadata": {"fps": 1}}, role="user")

    assert decode(body).extensions == {"contents[0].parts[0].videoMetadata": b'{"fps": 1}'}


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
