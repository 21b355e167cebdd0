"""Requests to Bedrock: what is carried and in which words, what is named, what is refused."""

import base64
import json
from typing import Any

import pytest
from botocore.validate import ParamValidator

from proxy.hub.completion import fold
from proxy.hub.errors import CallerError
from proxy.hub.events import (
    Origin,
    RedactedReasoningBlock,
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
    ServerTool,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.base import Target
from proxy.providers.bedrock.provider import Bedrock
from tests.support import aws_frames
from tests.support.corpus import Recording, params, recordings
from tests.support.provider_streams import (
    decode,
)
from tests.support.readers import bedrock as sdk

BEDROCK = Bedrock()
STREAMS = recordings(kind="bedrock", stream=True, ok=True)
CLAUDE = Target("p", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
NOVA = Target("p", "amazon.nova-2-lite-v1:0")


@pytest.mark.parametrize("recording", params([one for one in STREAMS if "redacted" in one.name]))
def test_recorded_redacted_reasoning_goes_back_byte_for_byte(recording: Recording) -> None:
    blocks = [done.block for done in fold(decode(BEDROCK, [recording.response], CLAUDE)).blocks]
    parts = tuple(
        ReasoningPart("", origin=block.origin, redacted=block.data)
        for block in blocks
        if isinstance(block, RedactedReasoningBlock)
    )

    body, _ = sent(ChatRequest("a", (USER, Message(Role.ASSISTANT, (*parts, TextPart("a"))), USER)), CLAUDE)

    wire = [
        json.loads(payload)["delta"] for _, payload, _ in aws_frames.split(recording.response) if b"redacted" in payload
    ]
    assert [block["reasoningContent"] for block in body["messages"][1]["content"][:-1]] == [
        one["reasoningContent"] for one in wire
    ]
    assert len(parts) == 2


USER = Message(Role.USER, (TextPart("hi"),))
WEATHER = ToolDefinition("get_weather", "Tells it.", b'{"type":"object","properties":{"city":{"type":"string"}}}')


def sent(request: ChatRequest, target: Target = NOVA) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, which botocore's validator must take, and what was dropped."""
    upstream = BEDROCK.encode_request(request, target)
    body = json.loads(upstream.body)
    shape = sdk.STREAM.input_shape
    report = ParamValidator().validate({**_with_blobs(body), "modelId": target.model}, shape)
    assert not report.has_errors(), report.generate_report()
    return body, upstream.dropped


def _with_blobs(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(one) if key in ("bytes", "redactedContent") else _with_blobs(one)
            for key, one in value.items()
        }
    return [_with_blobs(one) for one in value] if isinstance(value, list) else value


def test_the_least_request() -> None:
    assert sent(ChatRequest("a", (USER,))) == ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, ())
    assert BEDROCK.encode_request(ChatRequest("a", (USER,)), NOVA).path == (
        "/model/amazon.nova-2-lite-v1%3A0/converse-stream"
    )


@pytest.mark.parametrize("model", ["", "..", "../x", "a?b", "a b", "é", "a" * 2049])
def test_what_is_no_model_id_is_refused(model: str) -> None:
    with pytest.raises(CallerError):
        BEDROCK.encode_request(ChatRequest("a", (USER,)), Target("p", model))


def test_an_arn_is_one_segment_of_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"

    path = BEDROCK.encode_request(ChatRequest("a", (USER,)), Target("p", arn)).path

    assert path.count("/") == 3


def test_turns_are_merged_answered_and_begin_with_the_user() -> None:
    messages = (
        Message(Role.SYSTEM, (TextPart("be brief"),)),
        Message(Role.ASSISTANT, (TextPart("a"), ToolCallPart("c:1", "my.f", "{}"), ToolCallPart("c2", "g", "x"))),
        Message(Role.TOOL, (ToolResultPart("c:1", (TextPart("rain"),), is_error=True),)),
        Message(Role.TOOL, (ToolResultPart("zz", (TextPart("lost"),)),)),
        USER,
        Message(Role.SYSTEM, (TextPart("later"),)),
        Message(Role.ASSISTANT, (TextPart("end  "),)),
    )

    body, dropped = sent(ChatRequest("a", messages))

    assert body["system"] == [{"text": "be brief"}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user", "assistant"]
    calls = body["messages"][1]["content"][1:]
    assert calls == [
        {"toolUse": {"toolUseId": "c_1", "name": "my_x2e_f", "input": {}}},
        {"toolUse": {"toolUseId": "c2", "name": "g", "input": {"input": "x"}}},
    ]
    content = body["messages"][2]["content"]
    assert [block["toolResult"]["toolUseId"] for block in content[:2]] == ["c_1", "c2"]
    assert [block["toolResult"]["status"] for block in content[:2]] == ["error", "error"]
    assert [block["text"] for block in content[2:]] == ["Result of the tool call 'zz':", "lost", "hi", "later"]
    assert body["messages"][3]["content"] == [{"text": "end"}]
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["my_x2e_f", "g"]
    assert dropped == (
        "messages[3].parts[0].call_id",
        "messages[5].role",
        "tools: of earlier turns, sent without their schemas",
    )


def test_media_in_every_form() -> None:
    parts = (
        ImagePart(DataSource("image/jpg", "aW1n")),
        ImagePart(UrlSource("s3://b/a.png")),
        FilePart(DataSource("application/pdf", "aW1n"), name="a/b.pdf", context="c", citations=True),
        FilePart(DataSource("text/x-python", "aW1n"), name="a/b.pdf"),
        AudioPart("aW1n", "wav"),
    )

    body, _ = sent(ChatRequest("a", (Message(Role.USER, parts),)))

    assert body["messages"][0]["content"] == [
        {"image": {"format": "jpeg", "source": {"bytes": "aW1n"}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a.png"}}}},
        {
            "document": {
                "format": "pdf",
                "name": "a b pdf",
                "source": {"bytes": "aW1n"},
                "context": "c",
                "citations": {"enabled": True},
            }
        },
        {"document": {"format": "txt", "name": "a b pdf 2", "source": {"bytes": "aW1n"}}},
        {"audio": {"format": "wav", "source": {"bytes": "aW1n"}}},
        {"text": "(empty)"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(DataSource("image/tiff", "aW1n")),
        ImagePart(UrlSource("https://e.x/a.png")),
        ImagePart(FileSource("f", Origin.OPENAI)),
        FilePart(DataSource("application/zip", "aW1n")),
        FilePart(UrlSource("s3://b/a.exe")),
        AudioPart("aW1n", "midi"),
    ],
)
def test_media_that_cannot_be_sent_are_refused(part: Part) -> None:
    with pytest.raises(CallerError) as caught:
        sent(ChatRequest("a", (Message(Role.USER, (part,)),)))

    assert caught.value.param == "messages[0].parts[0]"


def test_a_claude_thinks_by_its_own_rules() -> None:
    request = ChatRequest(
        "a",
        (USER,),
        reasoning=ReasoningRequest(budget_tokens=2000),
        sampling=Sampling(max_tokens=1000, temperature=0.5),
        tools=(WEATHER,),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )

    body, dropped = sent(request, CLAUDE)

    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert body["inferenceConfig"] == {"maxTokens": 3000}
    assert "toolChoice" not in body["toolConfig"]
    assert dropped == ("tool_choice", "temperature")


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}),
        ("us.amazon.nova-2-lite-v1:0", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        ("meta.llama3", None),
    ],
)
def test_other_families_are_asked_in_their_words(model: str, fields: object) -> None:
    body, dropped = sent(ChatRequest("a", (USER,), reasoning=ReasoningRequest(Effort.MAX)), Target("p", model))

    assert body.get("additionalModelRequestFields") == fields
    assert dropped == (() if fields else ("reasoning",))


def test_signed_reasoning_goes_back_to_its_maker_only() -> None:
    signed = ReasoningPart("hm", "sig", Origin.ANTHROPIC)
    messages = (USER, Message(Role.ASSISTANT, (signed, TextPart("a"))), USER)

    body, dropped = sent(ChatRequest("a", messages), CLAUDE)

    assert body["messages"][1]["content"][0] == {
        "reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}
    }
    assert (dropped, sent(ChatRequest("a", messages), NOVA)[1]) == ((), ("messages[1].parts[0]: reasoning",))


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(ToolMode.AUTO), "absent"),
        (ToolChoice(ToolMode.REQUIRED), {"any": {}}),
        (ToolChoice(ToolMode.NAMED, "get_weather"), {"tool": {"name": "get_weather"}}),
    ],
)
def test_a_choice_of_tools(choice: ToolChoice, config: object) -> None:
    body, dropped = sent(ChatRequest("a", (USER,), tools=(WEATHER,), tool_choice=choice))

    assert body["toolConfig"].get("toolChoice", "absent") == config
    assert dropped == ()


def test_no_tool_may_be_called_when_none_is_offered() -> None:
    asked = ChatRequest("a", (USER,), tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.NONE))

    assert "toolConfig" not in sent(asked)[0]


def test_own_server_tools_are_sent_and_others_named() -> None:
    own = ServerTool(Origin.BEDROCK, "systemTool", b'{"systemTool":{"name":"nova_grounding"}}')
    other = ServerTool(Origin.OPENAI, "web_search", b"{}")

    body, dropped = sent(ChatRequest("a", (USER,), server_tools=(own, other)))

    assert body["toolConfig"] == {"tools": [{"systemTool": {"name": "nova_grounding"}}]}
    assert dropped == ("tools: web_search",)


def test_marks_of_the_cache_become_points() -> None:
    messages = (Message(Role.USER, (TextPart("long", cache=b'{"type":"ephemeral","ttl":"1h"}'),)),)

    body, dropped = sent(ChatRequest("a", messages), CLAUDE)

    assert body["messages"][0]["content"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert (dropped, sent(ChatRequest("a", messages), Target("p", "meta.llama3"))[1]) == ((), ("cache_control",))


def test_a_schema_is_a_text_and_json_alone_is_asked_for_in_words() -> None:
    schema = ResponseFormat(FormatKind.JSON_SCHEMA, "n", b'{"type":"object","properties":{"a":{"minimum":1}}}')

    body, dropped = sent(ChatRequest("a", (USER,), response_format=schema), CLAUDE)

    described = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(described["schema"])["additionalProperties"] is False
    assert dropped == ("response_format.schema.properties.a.minimum",)
    body, dropped = sent(ChatRequest("a", (USER,), response_format=ResponseFormat(FormatKind.JSON_OBJECT)))
    assert body["system"][0]["text"].startswith("Answer with one valid JSON object")
    assert dropped == ("response_format: asked for in the system text",)


def test_the_rest_is_carried_or_named() -> None:
    request = ChatRequest(
        "a",
        (USER,),
        sampling=Sampling(max_tokens=5, temperature=2, top_p=0.5, top_k=3, stop=("x", " "), seed=1),
        service_tier="flex",
        user="u",
        extensions={
            "guardrailConfig": b'{"guardrailIdentifier":"abc","guardrailVersion":"1"}',
            "additionalModelRequestFields.x": b"1",
            "z": b"1",
        },
    )

    body, dropped = sent(request)

    assert body["inferenceConfig"] == {"maxTokens": 5, "temperature": 1.0, "topP": 0.5, "stopSequences": ["x"]}
    assert body["serviceTier"] == {"type": "flex"}
    assert body["additionalModelRequestFields"] == {"x": 1}
    assert "guardrailConfig" in body
    assert dropped == (
        "temperature: beyond 0..1, the nearest is sent",
        "top_k",
        "stop: blank sequences",
        "seed",
        "user",
        "z",
    )


@pytest.mark.parametrize(
    "request_", [ChatRequest("a", (USER,), sampling=Sampling(n=2)), ChatRequest("a", (Message(Role.SYSTEM, ()),))]
)
def test_what_cannot_be_asked_is_refused(request_: ChatRequest) -> None:
    with pytest.raises(CallerError):
        sent(request_)
