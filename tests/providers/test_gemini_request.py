"""Requests as Gemini gets them: every body is also held against the types of the vendor's own SDK."""

import json
from typing import Any

import pytest

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
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
    Part,
    ReasoningPart,
    ReasoningRequest,
    RefusalPart,
    ResponseFormat,
    Role,
    Sampling,
    ServerTool,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.gemini.contents import NO_SIGNATURE
from proxy.providers.gemini.provider import Gemini
from tests.support import gemini_sdk

MODEL_25 = "gemini-2.5-flash"
MODEL_3 = "gemini-3-flash-preview"


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, _parts(parts))


def assistant(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, _parts(parts))


def tool(*parts: Part) -> Message:
    return Message(Role.TOOL, _parts(parts))


def system(*parts: Part | str) -> Message:
    return Message(Role.SYSTEM, _parts(parts))


def _parts(parts: tuple[Part | str, ...]) -> tuple[Part, ...]:
    return tuple(TextPart(part) if isinstance(part, str) else part for part in parts)


def encode(*messages: Message, model: str = MODEL_3, **fields: Any) -> UpstreamRequest:
    request = ChatRequest("alias", messages or (user("hi"),), **fields)
    sent = Gemini().encode_request(request, Target("google", model))
    gemini_sdk.check_request(json.loads(sent.body))
    return sent


def body(*messages: Message, model: str = MODEL_3, **fields: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(*messages, model=model, **fields).body)
    return decoded


def contents(*messages: Message, model: str = MODEL_3) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(*messages, model=model)["contents"]
    return found


CALL = ToolCallPart("c1", "get_weather", '{"city": "Oslo"}')


def test_a_plain_request_is_a_stream_of_the_targets_model() -> None:
    sent = encode(system("Be brief."), user("hi"), stream=False)

    assert sent.path == "/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse"
    assert sent.method == "POST"
    assert sent.headers == {"content-type": "application/json"}
    assert json.loads(sent.body) == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    }
    assert sent.dropped == ()


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("models/gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("a/b@001", "models/a/b@001"),
        ("gemma3:27b", "models/gemma3%3A27b"),
    ],
)
def test_a_model_name_stands_in_the_path(model: str, path: str) -> None:
    assert encode(model=model).path == f"/v1beta/{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    "model",
    [
        "",
        "models/",
        "..",
        "../files",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "a?key=x",
        "a#b",
        "a%2e",
        "a b",
        "a\r\nx: y",
        "ü",
        ".hidden",
        "-x",
        "a\x00",
        "x" * 201,
        "a\\b",
        "models/../x",
        "tunedModels/..",
    ],
)
def test_a_model_name_that_could_change_the_call_is_refused(model: str) -> None:
    with pytest.raises(CallerError) as caught:
        encode(model=model)

    assert caught.value.param == "model"


# --- the conversation


def test_messages_of_one_kind_in_a_row_become_one_content() -> None:
    found = contents(user("a"), user("b"), assistant("c"), assistant("d"), user("e"))

    assert [(content["role"], len(content["parts"])) for content in found] == [("user", 2), ("model", 2), ("user", 1)]


def test_all_system_texts_are_joined() -> None:
    found = body(system("a"), user("hi"), system("b", ""))

    assert found["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}


def test_results_bear_the_name_and_id_of_their_call() -> None:
    found = contents(
        user("weather?"),
        assistant("let me see", CALL, ToolCallPart("c2", "get_time", "")),
        tool(ToolResultPart("c2", (TextPart("noon"),)), ToolResultPart("c1", (TextPart('{"deg": 3}'),))),
        user("thanks"),
    )

    assert found[1]["parts"][1]["functionCall"] == {"id": "c1", "name": "get_weather", "args": {"city": "Oslo"}}
    assert found[1]["parts"][2]["functionCall"] == {"id": "c2", "name": "get_time", "args": {}}
    assert found[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "c2", "name": "get_time", "response": {"result": "noon"}}},
            {"functionResponse": {"id": "c1", "name": "get_weather", "response": {"deg": 3}}},
        ],
    }
    assert found[3] == {"role": "user", "parts": [{"text": "thanks"}]}


def test_a_result_of_an_unknown_call_is_refused_unless_it_names_its_function() -> None:
    with pytest.raises(CallerError) as caught:
        encode(user("a"), tool(ToolResultPart("nope", (TextPart("x"),))))
    found = contents(user("a"), tool(ToolResultPart("nope", (TextPart("x"),), name="f")))

    assert caught.value.param == "messages[1].parts[0]"
    assert found[1]["parts"][0]["functionResponse"]["name"] == "f"


@pytest.mark.parametrize(
    ("text", "is_error", "response"),
    [
        ("plain", False, {"result": "plain"}),
        ("", False, {"result": ""}),
        ("[1, 2]", False, {"result": "[1, 2]"}),
        ('{"a": 1.50}', False, {"a": 1.5}),
        ("boom", True, {"error": "boom"}),
        ('{"error": "boom"}', True, {"error": "boom"}),
        ('{"code": 5}', True, {"error": {"code": 5}}),
        ('{"a": ' + "[" * 100_000, False, {"result": '{"a": ' + "[" * 100_000}),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", False, None),
    ],
    ids=range(9),
)
def test_a_result_is_an_object(text: str, is_error: bool, response: dict[str, Any] | None) -> None:
    sent = contents(user("a"), assistant(CALL), tool(ToolResultPart("c1", (TextPart(text),), is_error=is_error)))

    found = sent[2]["parts"][0]["functionResponse"]["response"]
    assert found == ({"result": text} if response is None else response)


def test_pictures_of_a_result_stand_inside_it_since_gemini_3_and_behind_it_before() -> None:
    picture = ImagePart(DataSource("image/png", "aGk="))
    messages = user("a"), assistant(CALL), tool(ToolResultPart("c1", (TextPart("x"), picture)))
    inline = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}

    new, old = (contents(*messages, model=model)[2]["parts"] for model in (MODEL_3, MODEL_25))

    assert new[0]["functionResponse"]["parts"] == [inline]
    assert len(new) == 1
    assert old[1] == inline


@pytest.mark.parametrize(
    ("arguments", "kind", "args"),
    [
        ("", ToolKind.FUNCTION, {}),
        (' {"a":1} ', ToolKind.FUNCTION, {"a": 1}),
        ('{"city": "Os', ToolKind.FUNCTION, {"input": '{"city": "Os'}),
        ("[1]", ToolKind.FUNCTION, {"input": "[1]"}),
        ("{}", ToolKind.FUNCTION, {}),
        ("free text", ToolKind.CUSTOM, {"input": "free text"}),
    ],
)
def test_arguments_are_an_object(arguments: str, kind: ToolKind, args: dict[str, Any]) -> None:
    found = contents(user("a"), assistant(ToolCallPart("c", "f", arguments, kind)), user("b"))

    assert found[1]["parts"][0]["functionCall"]["args"] == args


def test_media_of_every_kind() -> None:
    parts = contents(
        user(
            ImagePart(DataSource("image/png", "aGk=")),
            ImagePart(UrlSource("https://x.test/a.JPG?size=1")),
            ImagePart(UrlSource("https://x.test/picture")),
            FilePart(DataSource("application/pdf", "aGk=")),
            FilePart(FileSource("https://generativelanguage.googleapis.com/v1beta/files/f1", Origin.GEMINI)),
            AudioPart("aGk=", "wav"),
            RefusalPart("no"),
        )
    )[0]["parts"]

    assert parts == [
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/a.JPG?size=1"}},
        {"fileData": {"fileUri": "https://x.test/picture"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f1"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
        {"text": "no"},
    ]


def test_a_file_at_another_provider_is_refused() -> None:
    with pytest.raises(CallerError):
        encode(user(FilePart(FileSource("file-1", Origin.OPENAI))))


def test_empty_texts_and_turns_are_left_out() -> None:
    assert contents(user("a"), assistant(""), user("", "b")) == [
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "user", "parts": [{"text": "b"}]},
    ]
    assert contents(user("")) == [{"role": "user", "parts": [{"text": ""}]}]


def test_a_request_without_anything_to_answer_is_refused() -> None:
    with pytest.raises(CallerError) as caught:
        encode(system("only this"))

    assert caught.value.kind is ErrorKind.INVALID_REQUEST


# --- reasoning and signatures


def test_signatures_go_back_on_the_part_that_they_came_on() -> None:
    signed_call = ToolCallPart("c1", "f", "{}", signature="Yw==", origin=Origin.GEMINI)
    found = contents(
        user("a"),
        assistant(
            ReasoningPart("thinking", "dA==", Origin.GEMINI),
            ReasoningPart("", "eA==", Origin.GEMINI),
            TextPart("text"),
            signed_call,
            ToolCallPart("c2", "g", "{}"),
        ),
        tool(ToolResultPart("c1", (TextPart("1"),)), ToolResultPart("c2", (TextPart("2"),))),
        assistant(TextPart("end"), ReasoningPart("", "ZQ==", Origin.GEMINI)),
    )

    assert found[1]["parts"] == [
        {"text": "thinking", "thought": True, "thoughtSignature": "dA=="},
        {"text": "text", "thoughtSignature": "eA=="},
        {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "Yw=="},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]
    assert found[3]["parts"] == [{"text": "end"}, {"text": "", "thoughtSignature": "ZQ=="}]


def test_a_call_of_the_current_turn_without_a_signature_gets_the_documented_word() -> None:
    result = tool(ToolResultPart("c1", (TextPart("x"),)))
    messages = user("a"), assistant(CALL), result, assistant("done"), user("b"), assistant(CALL, CALL), result

    new = [part for content in contents(*messages) for part in content["parts"] if "functionCall" in part]
    old = [part for content in contents(*messages, model=MODEL_25) for part in content["parts"]]

    assert [part.get("thoughtSignature") for part in new] == [None, NO_SIGNATURE, None]
    assert not any("thoughtSignature" in part for part in old)


def test_signatures_and_reasoning_of_other_families_stay_away() -> None:
    sent = encode(
        user("a"),
        assistant(
            ReasoningPart("thinking", "sig", Origin.ANTHROPIC),
            ReasoningPart("shown"),
            ReasoningPart("", redacted="opaque", origin=Origin.ANTHROPIC),
            OpaquePart(Origin.ANTHROPIC, "server_tool_use", b"{}"),
            ToolCallPart("c1", "f", "{}", signature="sig", origin=Origin.OPENAI),
        ),
        user("b"),
        model=MODEL_25,
    )

    assert json.loads(sent.body)["contents"][1]["parts"] == [{"functionCall": {"id": "c1", "name": "f", "args": {}}}]
    assert sent.dropped == (
        "messages[1].parts[0]: reasoning",
        "messages[1].parts[1]: reasoning",
        "messages[1].parts[2]: reasoning",
        "messages[1].parts[3]: provider's own block",
    )


def test_parts_of_this_api_come_back_as_they_were() -> None:
    json_text = b'{"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "eA=="}'

    found = contents(user("a"), assistant(OpaquePart(Origin.GEMINI, "executableCode", json_text)), user("b"))

    assert found[1]["parts"] == [json.loads(json_text)]


@pytest.mark.parametrize(
    ("model", "asked", "config"),
    [
        (MODEL_25, ReasoningRequest(Effort.NONE), {"thinkingBudget": 0}),
        (MODEL_25, ReasoningRequest(Effort.LOW, visible=True), {"thinkingBudget": 1024, "includeThoughts": True}),
        (MODEL_25, ReasoningRequest(Effort.MAX), {"thinkingBudget": -1}),
        (MODEL_25, ReasoningRequest(budget_tokens=5000), {"thinkingBudget": 5000}),
        (MODEL_25, ReasoningRequest(budget_tokens=99_999), {"thinkingBudget": 24576}),
        (MODEL_25, ReasoningRequest(adaptive=True), {"thinkingBudget": -1}),
        ("gemini-2.5-pro", ReasoningRequest(Effort.NONE), {"thinkingBudget": 128}),
        ("gemini-2.5-pro", ReasoningRequest(budget_tokens=99_999), {"thinkingBudget": 32768}),
        (MODEL_3, ReasoningRequest(Effort.NONE, visible=True), {"thinkingLevel": "MINIMAL"}),
        (MODEL_3, ReasoningRequest(Effort.MEDIUM), {"thinkingLevel": "MEDIUM"}),
        (MODEL_3, ReasoningRequest(Effort.MAX), {"thinkingLevel": "XHIGH"}),
        (MODEL_3, ReasoningRequest(budget_tokens=16384), {"thinkingLevel": "HIGH"}),
        (MODEL_3, ReasoningRequest(adaptive=True), None),
        (MODEL_3, ReasoningRequest(visible=True), {"includeThoughts": True}),
        ("gemini-3-pro-preview", ReasoningRequest(Effort.MINIMAL), {"thinkingLevel": "LOW"}),
        ("gemini-3-pro-preview", ReasoningRequest(Effort.MEDIUM), {"thinkingLevel": "HIGH"}),
        ("gemini-3.1-pro-preview", ReasoningRequest(Effort.MEDIUM), {"thinkingLevel": "MEDIUM"}),
        ("gemini-flash-latest", ReasoningRequest(Effort.LOW), {"thinkingLevel": "LOW"}),
        ("gemini-2.0-flash", ReasoningRequest(Effort.NONE), None),
        ("gemma-3-27b-it", ReasoningRequest(visible=True), None),
    ],
)
def test_effort_and_budget_become_what_the_model_takes(
    model: str, asked: ReasoningRequest, config: dict[str, Any] | None
) -> None:
    found = body(model=model, reasoning=asked)

    assert found.get("generationConfig", {}).get("thinkingConfig") == config


def test_reasoning_is_named_as_dropped_where_the_model_has_none() -> None:
    assert encode(model="gemini-2.0-flash", reasoning=ReasoningRequest(Effort.HIGH)).dropped == ("reasoning",)


# --- settings


def test_sampling_has_the_apis_names() -> None:
    sampling = Sampling(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("a", "b"),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
    )

    assert body(sampling=sampling)["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 5,
        "stopSequences": ["a", "b"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
    }


@pytest.mark.parametrize("sampling", [Sampling(n=2), Sampling(stop=("a",) * 6)])
def test_more_than_the_api_can_do_is_refused(sampling: Sampling) -> None:
    with pytest.raises(CallerError):
        encode(sampling=sampling)


def test_a_json_schema_arrives_byte_for_byte() -> None:
    schema = b'{ "type":"object", "$defs": {"x": {"const": 1.0}}, "additionalProperties": false }'

    sent = encode(response_format=ResponseFormat(FormatKind.JSON_SCHEMA, schema=schema))

    assert schema in sent.body
    assert json.loads(sent.body)["generationConfig"]["responseMimeType"] == "application/json"


def test_json_mode_and_text() -> None:
    assert body(response_format=ResponseFormat(FormatKind.JSON_OBJECT))["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    assert "generationConfig" not in body(response_format=ResponseFormat(FormatKind.TEXT))


def test_tools_are_declared_with_their_own_schema() -> None:
    schema = b'{"type":"object","properties":{"city":{"type":"string"}},"additionalProperties":false}'
    sent = encode(
        tools=(
            ToolDefinition("get_weather", "Weather.", schema),
            ToolDefinition("now"),
            ToolDefinition("patch", kind=ToolKind.CUSTOM),
            ToolDefinition("3d.render"),
        ),
        server_tools=(
            ServerTool(Origin.GEMINI, "googleSearch", b'{"googleSearch": {}}'),
            ServerTool(Origin.ANTHROPIC, "web_search", b"{}"),
        ),
    )

    functions, search = json.loads(sent.body)["tools"]
    assert schema in sent.body
    assert [function["name"] for function in functions["functionDeclarations"]] == [
        "get_weather",
        "now",
        "patch",
        "_x33_d_x2e_render",
    ]
    assert "parametersJsonSchema" not in functions["functionDeclarations"][1]
    assert functions["functionDeclarations"][2]["parametersJsonSchema"]["required"] == ["input"]
    assert search == {"googleSearch": {}}
    assert sent.dropped == ("tools: web_search",)


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.NAMED, "f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(ToolMode.REQUIRED, allowed=("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(ToolMode.AUTO, allowed=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choices(choice: ToolChoice, config: dict[str, Any]) -> None:
    found = body(tools=(ToolDefinition("f"),), tool_choice=choice)

    assert found["toolConfig"] == {"functionCallingConfig": config}


def test_a_choice_without_tools_is_not_sent() -> None:
    sent = encode(tool_choice=ToolChoice(ToolMode.AUTO))

    assert "toolConfig" not in json.loads(sent.body)
    assert sent.dropped == ("tool_choice",)


@pytest.mark.parametrize(
    ("tier", "sent_tier", "dropped"),
    [("flex", "flex", ()), ("default", None, ()), ("auto", None, ()), ("scale", None, ("service_tier",))],
)
def test_service_tiers(tier: str, sent_tier: str | None, dropped: tuple[str, ...]) -> None:
    sent = encode(service_tier=tier)

    assert json.loads(sent.body).get("serviceTier") == sent_tier
    assert sent.dropped == dropped


def test_what_the_api_cannot_carry_is_named() -> None:
    sent = encode(
        Message(Role.USER, (TextPart("hi", cache=b"{}"), ImagePart(UrlSource("https://x.test/a.png"), "high")), "Ann"),
        tools=(ToolDefinition("f", strict=True, cache=b"{}"),),
        sampling=Sampling(logit_bias=b"{}", logprobs=True, top_logprobs=3, seed=2**40),
        parallel_tool_calls=False,
        user="u",
        metadata=b"{}",
        verbosity="low",
        cache_key="k",
        extensions={"store": b"true", "logit_stuff": b"1"},
    )

    assert set(sent.dropped) == {
        "messages[0].name",
        "messages[0].parts[1].detail",
        "cache_control",
        "tools[0].strict",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "seed",
        "parallel_tool_calls",
        "user",
        "metadata",
        "verbosity",
        "cache_key",
        "store",
        "logit_stuff",
    }
    assert "seed" not in json.loads(sent.body).get("generationConfig", {})


def test_fields_of_this_api_are_sent_on() -> None:
    sent = encode(
        extensions={
            "safetySettings": b'[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]',
            "cachedContent": b'"cachedContents/c"',
            "generationConfig.responseModalities": b'["TEXT","IMAGE"]',
            "toolConfig.includeServerSideToolInvocations": b"true",
        }
    )

    found = json.loads(sent.body)
    assert found["cachedContent"] == "cachedContents/c"
    assert found["generationConfig"] == {"responseModalities": ["TEXT", "IMAGE"]}
    assert found["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert sent.dropped == ()


@pytest.mark.parametrize("name", ["", "x" * 129, "ü" * 60])
def test_a_tool_name_that_cannot_be_sent_is_refused(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        encode(tools=(ToolDefinition(name),))

    assert caught.value.param == "tools[0].name"
