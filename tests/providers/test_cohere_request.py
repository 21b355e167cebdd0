"""Requests to Cohere: what is carried and in which words, what is named, what is refused."""

import json
from typing import Any

import pytest

from proxy.hub.errors import CallerError
from proxy.hub.events import (
    Origin,
)
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
    Part,
    ReasoningPart,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.base import Target
from proxy.providers.cohere.provider import Cohere
from proxy.providers.request_parts import NO_RESULT
from tests.support.corpus import Recording, params, recordings

COHERE = Cohere()
STREAMS = recordings(kind="cohere", stream=True, ok=True)
WHOLE = recordings(kind="cohere", stream=False, ok=True)
REFUSED = recordings(kind="cohere", ok=False)
USER = Message(Role.USER, (TextPart("hi"),))
IMAGE = ImagePart(DataSource("image/png", "aW1n"), detail="low")
WEATHER = ToolDefinition("get_weather", "Tells it.", b'{"type":"object","properties":{"city":{"type":"string"}}}')


def sent(request: ChatRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    upstream = COHERE.encode_request(request, Target("p", "command-a"))
    assert (upstream.path, upstream.method) == ("/v2/chat", "POST")
    return json.loads(upstream.body), upstream.dropped


def messages_of(*messages: Message) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    body, dropped = sent(ChatRequest("a", messages))
    return body["messages"], dropped


def test_the_least_request() -> None:
    assert sent(ChatRequest("a", (USER,))) == (
        {"model": "command-a", "messages": [{"role": "user", "content": "hi"}], "stream": True},
        (),
    )


def test_a_tool_turn_is_plan_calls_and_results_with_images_behind() -> None:
    calls = (ToolCallPart("c1", "my.weather", ""), ToolCallPart("c2", "f", '{"a":1}'))
    result = ToolResultPart("c1", (TextPart("rain"), IMAGE), is_error=True)

    messages, dropped = messages_of(
        USER,
        Message(Role.ASSISTANT, (ReasoningPart("I look."), TextPart("Wait."), *calls)),
        Message(Role.TOOL, (result,)),
        USER,
    )

    assert messages[1:] == [
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "my_x2e_weather", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            ],
            "tool_plan": "I look.",
            "content": [{"type": "text", "text": "Wait."}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Error: rain"},
        {"role": "tool", "tool_call_id": "c2", "content": NO_RESULT},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n", "detail": "low"}}],
        },
        {"role": "user", "content": "hi"},
    ]
    assert dropped == ()


def test_a_result_without_its_call_is_told_as_text() -> None:
    messages, dropped = messages_of(USER, Message(Role.TOOL, (ToolResultPart("c9", (TextPart("rain"),)),)))

    assert messages[1] == {
        "role": "user",
        "content": [{"type": "text", "text": "Result of the tool call 'c9':\nrain"}],
    }
    assert dropped == ("messages[1].parts[0].call_id",)


def test_reasoning_without_calls_is_thinking() -> None:
    messages, _ = messages_of(USER, Message(Role.ASSISTANT, (ReasoningPart("hm"), TextPart("a"))), USER)

    assert messages[1]["content"] == [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]


def test_a_document_with_citations_is_a_document_and_others_are_text() -> None:
    source = DataSource("text/plain", "aGVsbG8=")
    parts = (
        FilePart(source, name="a.txt", citations=True),
        FilePart(source, name="b.txt"),
        ImagePart(UrlSource("https://e.x")),
    )

    body, _ = sent(ChatRequest("a", (Message(Role.USER, parts),)))

    assert body["documents"] == [{"id": "doc:0", "data": {"text": "hello", "title": "a.txt"}}]
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "b.txt\n\nhello"},
        {"type": "image_url", "image_url": {"url": "https://e.x"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(FileSource("f", Origin.OPENAI)),
        FilePart(DataSource("application/pdf", "aGVsbG8=")),
        FilePart(UrlSource("https://e.x/a.pdf")),
        AudioPart("aGVsbG8=", "wav"),
    ],
)
def test_media_that_cannot_be_sent_are_refused(part: Part) -> None:
    with pytest.raises(CallerError) as caught:
        messages_of(Message(Role.USER, (part,)))

    assert caught.value.param == "messages[0].parts[0]"


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("a", (USER,), sampling=Sampling(n=2)),
        ChatRequest("a", ()),
        ChatRequest("a", (USER,), tools=(ToolDefinition("x" * 129),)),
        ChatRequest("a", (Message(Role.SYSTEM, (IMAGE,)), USER)),
    ],
)
def test_what_would_be_lost_is_refused(request_: ChatRequest) -> None:
    with pytest.raises(CallerError):
        sent(request_)


def test_sampling_is_brought_into_range_and_the_rest_is_named() -> None:
    sampling = Sampling(
        max_tokens=5,
        temperature=0.5,
        top_p=1.0,
        top_k=3,
        stop=("a", "b", "c", "d", "e", "f"),
        seed=1,
        presence_penalty=-1,
        frequency_penalty=0.5,
        logit_bias=b"{}",
        top_logprobs=2,
    )
    request = ChatRequest(
        "a", (USER,), sampling=sampling, user="u", service_tier="flex", extensions={"safety_mode": b'"OFF"', "z": b"1"}
    )

    body, dropped = sent(request)

    assert {name: body[name] for name in ("max_tokens", "temperature", "p", "k", "seed", "safety_mode")} == {
        "max_tokens": 5,
        "temperature": 0.5,
        "p": 0.99,
        "k": 3,
        "seed": 1,
        "safety_mode": "OFF",
    }
    assert (body["presence_penalty"], body["frequency_penalty"]) == (0, 0.5)
    assert body["stop_sequences"] == ["a", "b", "c", "d", "e"]
    assert dropped == (
        "top_p: beyond 0.01..0.99, the nearest is sent",
        "presence_penalty: beyond 0..1, the nearest is sent",
        "stop[5:]",
        "logit_bias",
        "top_logprobs",
        "z",
        "user",
        "service_tier",
    )


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        (ToolChoice(ToolMode.AUTO), ["get_weather", "now"], None),
        (ToolChoice(ToolMode.NONE), ["get_weather", "now"], "NONE"),
        (ToolChoice(ToolMode.REQUIRED), ["get_weather", "now"], "REQUIRED"),
        (ToolChoice(ToolMode.NAMED, "now"), ["now"], "REQUIRED"),
        (ToolChoice(ToolMode.AUTO, allowed=("now",)), ["now"], None),
    ],
)
def test_a_choice_of_tools(choice: ToolChoice, names: list[str], word: str | None) -> None:
    body, dropped = sent(ChatRequest("a", (USER,), tools=(WEATHER, ToolDefinition("now")), tool_choice=choice))

    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == word
    assert dropped == ()


def test_strictness_is_for_all_tools_or_none() -> None:
    strict = ToolDefinition("now", strict=True)

    assert sent(ChatRequest("a", (USER,), tools=(strict,)))[0]["strict_tools"] is True
    assert sent(ChatRequest("a", (USER,), tools=(strict, WEATHER)))[1] == ("tools.strict",)


@pytest.mark.parametrize(
    ("asked", "thinking"),
    [
        (ReasoningRequest(Effort.NONE), {"type": "disabled"}),
        (ReasoningRequest(Effort.LOW), {"type": "enabled", "token_budget": 2048}),
        (ReasoningRequest(Effort.MAX), {"type": "enabled"}),
        (ReasoningRequest(budget_tokens=5000), {"type": "enabled", "token_budget": 5000}),
        (ReasoningRequest(adaptive=True), {"type": "enabled"}),
        (ReasoningRequest(), None),
    ],
)
def test_thinking_is_asked_for_in_the_apis_words(asked: ReasoningRequest, thinking: object) -> None:
    assert sent(ChatRequest("a", (USER,), reasoning=asked))[0].get("thinking") == thinking


def test_a_format_is_json_with_or_without_its_schema() -> None:
    """The field's name is `json_schema` (recording with-schema-with-cohere-command-a-03-2025)."""
    schema = ResponseFormat(FormatKind.JSON_SCHEMA, "n", b'{"type":"object"}')

    assert sent(ChatRequest("a", (USER,), response_format=schema))[0]["response_format"] == {
        "type": "json_object",
        "json_schema": {"type": "object"},
    }
    plain = ResponseFormat(FormatKind.JSON_OBJECT)
    assert sent(ChatRequest("a", (USER,), response_format=plain))[0]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("recording", params([one for one in [*STREAMS, *WHOLE, *REFUSED] if one.request is not None]))
def test_a_recorded_request_goes_out_as_it_was(recording: Recording) -> None:
    """Read as Chat Completions, whose shape the API took over, and written again."""
    from proxy.dialects import DIALECTS
    from proxy.dialects.base import CallParams

    assert recording.request is not None
    recorded = recording.request["body"]
    asked = {**recorded}
    schema = asked.pop("response_format", {}).get("json_schema")
    if schema is not None:
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    asked.pop("documents", None)
    request = DIALECTS["openai_chat"].decode_request(json.dumps(asked).encode(), CallParams({}, {}, {}))

    body, dropped = sent(request)

    assert dropped == ()
    assert [flat(message) for message in body["messages"]] == [flat(message) for message in recorded["messages"]]
    assert body.get("tools") == recorded.get("tools")
    assert body.get("response_format") == recorded.get("response_format")


def flat(message: dict[str, Any]) -> dict[str, Any]:
    """A message with texts as one string: the API takes either."""
    content = message.get("content") or ""
    if not isinstance(content, str) and all(one["type"] == "text" for one in content):
        content = "".join(one["text"] for one in content)
    return {**message, "content": content}
