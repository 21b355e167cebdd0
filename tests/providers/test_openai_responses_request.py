"""What is sent: the request and its conversation (`request`, `input`)."""

import base64
import json
from typing import Any

import msgspec
import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.errors import CallerError
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
from proxy.providers import PROVIDERS
from proxy.providers.base import UpstreamRequest
from tests.support.corpus import Recording, params, recordings
from tests.support.openai_responses_api import TARGET

HELLO = Message(Role.USER, (TextPart("hi"),))


def sent(request: ChatRequest) -> UpstreamRequest:
    return PROVIDERS["openai_responses"].encode_request(request, TARGET)


def body(*messages: Message, **fields: Any) -> dict[str, Any]:
    return json.loads(sent(ChatRequest("asked", messages or (HELLO,), **fields)).body)


def dropped(*messages: Message, **fields: Any) -> tuple[str, ...]:
    return sent(ChatRequest("asked", messages or (HELLO,), **fields)).dropped


def user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def items(*messages: Message) -> list[dict[str, Any]]:
    return body(*messages)["input"]


# --- the frame


def test_the_smallest_request() -> None:
    request = sent(ChatRequest("asked", (HELLO,)))

    assert (request.path, request.method, request.dropped) == ("/responses", "POST", ())
    assert json.loads(request.body) == {
        "model": "m",
        "stream": True,
        "store": False,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
    }


def test_system_texts_stay_in_place() -> None:
    system = Message(Role.SYSTEM, (TextPart("be brief"), TextPart("be kind")))

    found = body(system, HELLO, Message(Role.SYSTEM, (TextPart("now in Norwegian"),)))

    assert "instructions" not in found
    assert [item["role"] for item in found["input"]] == ["system", "user", "system"]
    assert [part["text"] for part in found["input"][0]["content"]] == ["be brief", "be kind"]


def test_every_setting_that_the_api_has_is_sent() -> None:
    found = body(
        sampling=Sampling(max_tokens=100, temperature=0.5, top_p=0.9),
        user="u",
        metadata=b'{"a":"b"}',
        service_tier="flex",
        verbosity="low",
        cache_key="k",
    )

    expected = {
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "text": {"verbosity": "low"},
        "prompt_cache_key": "k",
    }
    assert {name: found[name] for name in expected} == expected


def test_what_the_api_has_no_field_for_is_named() -> None:
    sampling = Sampling(
        top_k=5,
        stop=("END",),
        seed=1,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        logit_bias=b"{}",
        logprobs=True,
        top_logprobs=3,
    )

    names = dropped(
        sampling=sampling, service_tier="standard_only", extensions={"prediction": b"{}", "safety_settings": b"[]"}
    )

    assert names == (
        "top_k",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "service_tier",
        "prediction",
        "safety_settings",
    )


def test_what_asks_for_nothing_is_not_named() -> None:
    assert dropped(sampling=Sampling(presence_penalty=0.0, frequency_penalty=0.0, n=1, top_logprobs=0)) == ()


def test_a_limit_below_the_apis_own_is_raised_and_named() -> None:
    assert body(sampling=Sampling(max_tokens=5))["max_output_tokens"] == 16
    assert dropped(sampling=Sampling(max_tokens=5)) == ("max_tokens: raised to 16",)


def test_several_answers_are_refused() -> None:
    with pytest.raises(CallerError) as caught:
        body(sampling=Sampling(n=2))

    assert caught.value.param == "n"


# --- tools

SCHEMA = b'{"type":"object","properties":{"a":{"type":"integer"}}}'


@pytest.mark.parametrize(
    ("tool", "wire"),
    [
        (
            ToolDefinition("f", "adds", SCHEMA),
            {"type": "function", "name": "f", "description": "adds", "parameters": json.loads(SCHEMA), "strict": False},
        ),
        (
            ToolDefinition("f", strict=True),
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
        ),
        (
            ToolDefinition("p", "patches", kind=ToolKind.CUSTOM, format=b'{"type":"text"}'),
            {"type": "custom", "name": "p", "description": "patches", "format": {"type": "text"}},
        ),
    ],
)
def test_tools_are_flat(tool: ToolDefinition, wire: dict[str, Any]) -> None:
    assert body(tools=(tool,))["tools"] == [wire]


def test_hosted_tools_go_only_to_their_origin() -> None:
    own = ServerTool(Origin.OPENAI, "web_search", b'{"type":"web_search"}')
    other = ServerTool(Origin.ANTHROPIC, "web_search_20250305", b'{"type":"web_search_20250305"}')

    assert body(server_tools=(own, other))["tools"] == [{"type": "web_search"}]
    assert dropped(server_tools=(own, other)) == ("tools: web_search_20250305",)


TOOLS = (ToolDefinition("f"), ToolDefinition("p", kind=ToolKind.CUSTOM))


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(ToolMode.AUTO), "auto"),
        (ToolChoice(ToolMode.NONE), "none"),
        (ToolChoice(ToolMode.REQUIRED), "required"),
        (ToolChoice(ToolMode.NAMED, "f"), {"type": "function", "name": "f"}),
        (ToolChoice(ToolMode.NAMED, "p"), {"type": "custom", "name": "p"}),
        (
            ToolChoice(ToolMode.REQUIRED, allowed=("f", "p")),
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "p"}],
            },
        ),
    ],
)
def test_the_choice_of_tools(choice: ToolChoice, wire: object) -> None:
    assert body(tools=TOOLS, tool_choice=choice)["tool_choice"] == wire


def test_choices_without_tools_are_not_sent() -> None:
    found = body(tool_choice=ToolChoice(ToolMode.AUTO), parallel_tool_calls=False)

    assert "tool_choice" not in found
    assert "parallel_tool_calls" not in found


def test_parallel_calls_can_be_forbidden() -> None:
    assert body(tools=TOOLS, parallel_tool_calls=False)["parallel_tool_calls"] is False


# --- text and reasoning


@pytest.mark.parametrize(
    ("format", "wire"),
    [
        (ResponseFormat(FormatKind.JSON_OBJECT), {"type": "json_object"}),
        (
            ResponseFormat(FormatKind.JSON_SCHEMA, "book", SCHEMA, "a book", True),
            {
                "type": "json_schema",
                "name": "book",
                "schema": json.loads(SCHEMA),
                "description": "a book",
                "strict": True,
            },
        ),
        (
            ResponseFormat(FormatKind.JSON_SCHEMA, schema=SCHEMA),
            {"type": "json_schema", "name": "answer", "schema": json.loads(SCHEMA)},
        ),
    ],
)
def test_the_format_is_flat(format: ResponseFormat, wire: dict[str, Any]) -> None:
    assert body(response_format=format)["text"] == {"format": wire}


def test_plain_text_needs_no_format() -> None:
    assert "text" not in body(response_format=ResponseFormat(FormatKind.TEXT))


INCLUDE = ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("reasoning", "wire", "include"),
    [
        (ReasoningRequest(Effort.LOW), {"effort": "low"}, INCLUDE),
        (ReasoningRequest(Effort.HIGH, visible=True), {"effort": "high", "summary": "auto"}, INCLUDE),
        (ReasoningRequest(Effort.LOW, visible=False), {"effort": "low"}, INCLUDE),
        (ReasoningRequest(Effort.NONE), {"effort": "none"}, None),
        (ReasoningRequest(adaptive=True), None, INCLUDE),
        (ReasoningRequest(budget_tokens=0), {"effort": "none"}, None),
        (ReasoningRequest(budget_tokens=1024), {"effort": "minimal"}, INCLUDE),
        (ReasoningRequest(budget_tokens=2048), {"effort": "low"}, INCLUDE),
        (ReasoningRequest(budget_tokens=8192), {"effort": "medium"}, INCLUDE),
        (ReasoningRequest(budget_tokens=16384), {"effort": "high"}, INCLUDE),
        (ReasoningRequest(budget_tokens=32000), {"effort": "xhigh"}, INCLUDE),
        (None, None, None),
    ],
)
def test_reasoning_asks_for_its_encrypted_form(
    reasoning: ReasoningRequest | None, wire: object, include: list[str] | None
) -> None:
    found = body(reasoning=reasoning)

    assert (found.get("reasoning"), found.get("include")) == (wire, include)


# --- the conversation


def test_parts_of_the_user() -> None:
    (item,) = items(
        user(
            TextPart("look"),
            ImagePart(UrlSource("https://a.example/i.png"), "high"),
            ImagePart(DataSource("image/png", "aGk=")),
            ImagePart(FileSource("file-1", Origin.OPENAI)),
            FilePart(DataSource("application/pdf", "aGk="), "a.pdf"),
            FilePart(UrlSource("https://a.example/a.pdf")),
            FilePart(FileSource("file-2", Origin.OPENAI)),
            AudioPart("aGk=", "wav"),
        )
    )

    assert item["content"] == [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "detail": "high", "image_url": "https://a.example/i.png"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="},
        {"type": "input_image", "detail": "auto", "file_id": "file-1"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
        {"type": "input_file", "file_url": "https://a.example/a.pdf"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ]


def test_a_plain_text_document_is_text() -> None:
    data = base64.b64encode("Grüße".encode()).decode()

    (item,) = items(user(FilePart(DataSource("text/plain", data), "note.txt")))

    assert item["content"] == [{"type": "input_text", "text": "note.txt\n\nGrüße"}]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(FileSource("file-1", Origin.ANTHROPIC)),
        FilePart(FileSource("file-1", Origin.GEMINI)),
        FilePart(DataSource("text/plain", "no base64!")),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(part: Part) -> None:
    with pytest.raises(CallerError) as caught:
        items(user(TextPart("see"), part))

    assert caught.value.param == "messages[0].parts[1]"


def test_wishes_about_a_file_are_named() -> None:
    part = FilePart(DataSource("application/pdf", "aGk="), context="from 2020", citations=True)

    assert dropped(user(part)) == ("messages[0].parts[0].context", "messages[0].parts[0].citations")


def test_one_answer_is_several_items_in_order() -> None:
    assert items(
        HELLO,
        assistant(
            TextPart("first "),
            TextPart("second"),
            ToolCallPart("call_1", "f", '{"a":1}'),
            TextPart("third"),
            ToolCallPart("call_2", "p", "*** Begin", ToolKind.CUSTOM),
            RefusalPart("no"),
        ),
    )[1:] == [
        {"role": "assistant", "content": "first second"},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'},
        {"role": "assistant", "content": "third"},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "p", "input": "*** Begin"},
        {"role": "assistant", "content": "no"},
    ]


def test_empty_texts_are_no_items() -> None:
    assert items(HELLO, assistant(TextPart("")), user(TextPart(""))) == items(HELLO)


OWN = ReasoningPart("thinking", "gAAA", Origin.OPENAI, id="rs_1")
OWN_REDACTED = ReasoningPart("", origin=Origin.OPENAI, redacted="gBBB")
CALL = ToolCallPart("call_1", "f", "{}")


def test_own_reasoning_stands_before_what_it_produced() -> None:
    found = body(HELLO, assistant(OWN, CALL, OWN_REDACTED, TextPart("done")))

    assert found["input"][1:] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "thinking"}],
            "encrypted_content": "gAAA",
        },
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gBBB"},
        {"role": "assistant", "content": "done"},
    ]
    assert found["include"] == INCLUDE


@pytest.mark.parametrize(
    "reasoning",
    [
        ReasoningPart("thinking"),
        ReasoningPart("thinking", "EqQB", Origin.ANTHROPIC),
        ReasoningPart("", origin=Origin.ANTHROPIC, redacted="EmwK"),
        ReasoningPart("thinking", origin=Origin.OPENAI, id="rs_1"),
    ],
)
def test_reasoning_without_a_proof_of_our_own_is_dropped_and_named(reasoning: ReasoningPart) -> None:
    messages = (HELLO, assistant(reasoning, TextPart("done")))

    assert items(*messages)[1:] == [{"role": "assistant", "content": "done"}]
    assert dropped(*messages) == ("messages[1].parts[0]: reasoning",)


def test_reasoning_with_nothing_behind_it_is_dropped_and_named() -> None:
    messages = (HELLO, assistant(CALL, OWN), Message(Role.TOOL, (ToolResultPart("call_1", (TextPart("1"),)),)))

    assert [item.get("type") for item in items(*messages)] == [None, "function_call", "function_call_output"]
    assert dropped(*messages) == ("messages[1].parts[1]: reasoning",)


def test_reasoning_may_stand_before_the_next_message_of_the_answer() -> None:
    assert dropped(HELLO, assistant(OWN), assistant(TextPart("done"))) == ()


def test_items_of_hosted_tools_go_back_as_they_came() -> None:
    own = OpaquePart(Origin.OPENAI, "web_search_call", b'{"type":"web_search_call","id":"ws_1"}')
    output = OpaquePart(Origin.OPENAI, "computer_call_output", b'{"type":"computer_call_output","call_id":"c"}')
    other = OpaquePart(Origin.ANTHROPIC, "server_tool_use", b"{}")
    messages = (HELLO, assistant(OWN, own, other), user(TextPart("a"), output, TextPart("b"), other))

    assert [item.get("type", item.get("role")) for item in items(*messages)] == [
        "user",
        "reasoning",
        "web_search_call",
        "user",
        "computer_call_output",
        "user",
    ]
    assert dropped(*messages) == (
        "messages[1].parts[2]: block of another API",
        "messages[2].parts[3]: block of another API",
    )


def test_what_cannot_stand_where_it_is_is_named() -> None:
    messages = (
        HELLO,
        assistant(TextPart("see"), ImagePart(UrlSource("u"))),
        Message(Role.USER, (TextPart("x"),), name="ann"),
    )

    assert dropped(*messages) == ("messages[1].parts[1]: image", "messages[2].name")


# --- tool results


def result(*parts: TextPart | ImagePart | FilePart, **fields: Any) -> list[dict[str, Any]]:
    answer = Message(Role.TOOL, (ToolResultPart("call_1", parts, **fields),))
    return items(HELLO, assistant(CALL), answer)[2:]


def test_a_text_result_is_a_string() -> None:
    assert result(TextPart("a"), TextPart("b")) == [
        {"type": "function_call_output", "call_id": "call_1", "output": "a\nb"}
    ]
    assert result()[0]["output"] == ""


def test_a_result_with_images_is_a_list() -> None:
    assert result(TextPart("a"), ImagePart(DataSource("image/png", "aGk=")))[0]["output"] == [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="},
    ]


def test_a_failed_tool_says_so_in_words() -> None:
    assert result(TextPart("gone"), is_error=True)[0]["output"] == "Error: gone"
    assert result(ImagePart(UrlSource("u")), is_error=True)[0]["output"][0] == {"type": "input_text", "text": "Error:"}


def test_the_result_of_a_custom_tool_is_known_by_its_call() -> None:
    call = ToolCallPart("call_1", "p", "x", ToolKind.CUSTOM)
    answer = Message(Role.TOOL, (ToolResultPart("call_1", (TextPart("ok"),)),))

    assert items(HELLO, assistant(call), answer)[2]["type"] == "custom_tool_call_output"


def test_a_call_id_that_is_too_long_is_the_same_short_one_on_both_sides() -> None:
    long = "call_" + "x" * 80
    answer = Message(Role.TOOL, (ToolResultPart(long, (TextPart("ok"),)),))

    call, output = items(HELLO, assistant(ToolCallPart(long, "f", "")), answer)[1:]

    assert call["call_id"] == output["call_id"]
    assert len(call["call_id"]) <= 64
    assert call["arguments"] == "{}"


# --- recorded requests


@pytest.mark.parametrize(
    "recording",
    params(
        recordings(
            kind="openai_responses", where=lambda found: bool(found.request) and "background-mode" not in found.name
        )
    ),
)
def test_a_recorded_request_survives_the_hub(recording: Recording) -> None:
    assert recording.request is not None
    recorded = recording.request["body"]
    request = DIALECTS["openai_responses"].decode_request(json.dumps(recorded).encode(), CallParams())

    written = sent(msgspec.structs.replace(request, model="m"))
    found = json.loads(written.body)
    if (recorded.get("reasoning") or {}).get("summary"):
        # How long the summary is to be is not carried.
        recorded = {**recorded, "reasoning": {**recorded["reasoning"], "summary": "auto"}}

    same = ("max_output_tokens", "temperature", "reasoning", "text", "tool_choice", "tools")
    assert {name: found.get(name) for name in same} == {name: recorded.get(name) for name in same}
    assert _texts(found) == _texts(recorded)
    assert _calls(found) == _calls(recorded)
    unknown = {"moderation"} & set(recorded)
    logprobs = {"logprobs"} if "message.output_text.logprobs" in recorded.get("include", ()) else set()
    assert set(written.dropped) == unknown | logprobs


def _texts(wire: dict[str, Any]) -> list[str]:
    if isinstance(wire["input"], str):
        return [wire["input"]]
    found = [wire["instructions"]] if wire.get("instructions") else []
    for item in wire["input"]:
        content = item.get("content") or []
        found += [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]
    return found


def _calls(wire: dict[str, Any]) -> list[Any]:
    items = wire["input"] if isinstance(wire["input"], list) else []
    kept = ("type", "call_id", "name", "arguments", "output", "encrypted_content")
    calls = [{name: item.get(name) for name in kept} for item in items if item.get("type") not in (None, "message")]
    for call in calls:
        for part in call["output"] if isinstance(call["output"], list) else []:
            part.pop("detail", None)
    return calls
