"""A request through the hub means what it meant, and what an answer held comes back on the next turn."""

import json
from typing import Any

import anthropic
import httpx2
import pytest

from proxy.dialects.anthropic.dialect import AnthropicDialect
from proxy.dialects.anthropic.stream import AnthropicEncoder
from proxy.dialects.base import CallParams, StreamContext
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    SignatureAdded,
    ToolCallBlock,
)
from proxy.hub.request import ReasoningPart, Role, ToolCallPart, ToolResultPart
from proxy.providers.anthropic.provider import AnthropicProvider
from proxy.providers.base import NativeCall, Target
from tests.support.anthropic_api import Case, decode, fixture, good_streams, request_params

DIALECT, PROVIDER = AnthropicDialect(), AnthropicProvider()
CONTEXT = StreamContext("a" * 24, "some-model", 0)


def through_the_hub(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is sent to Anthropic for a request that was decoded, not relayed."""
    request = DIALECT.decode_request(body, CallParams())
    sent = PROVIDER.encode_request(request, Target("anthropic", request.model))
    return json.loads(sent.body), sent.dropped


def canonical(body: dict[str, Any]) -> dict[str, Any]:
    """A body in one of the several ways to say the same: blocks for strings, neighbours joined, defaults gone."""
    messages: list[dict[str, Any]] = []
    for message in body["messages"]:
        content = _blocks(message["content"])
        if messages and messages[-1]["role"] == message["role"]:
            messages[-1]["content"] += content
        else:
            messages.append({"role": message["role"], "content": content})
    out = {**body, "messages": messages}
    if "system" in body:
        out["system"] = _blocks(body["system"])
    if "tools" in body:
        out["tools"] = sorted(body["tools"], key=lambda tool: tool["name"])
    out.pop("stream", None)
    return out


def _blocks(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(block) for block in content]


def _block(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "tool_result" and "content" in block:
        return {**block, "content": _blocks(block["content"])}
    return {name: value for name, value in block.items() if not (name == "citations" and value is None)}


@pytest.mark.parametrize("case", request_params())
def test_a_recorded_request_keeps_its_meaning(case: Case) -> None:
    sent, dropped = through_the_hub(case.body)

    assert canonical(sent) == canonical(json.loads(case.body))
    assert dropped == ()


# --- two turns


class Conversation:
    """A caller with the real SDK: its requests are kept, its answers are ours."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.bodies: list[bytes] = []
        transport = httpx2.MockTransport(self._answer)
        self.sdk = anthropic.Anthropic(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(request.content)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.answers.pop(0))

    def ask(self, messages: list[Any], answer: bytes) -> Any:
        """The message that the SDK's helper puts together."""
        self.answers.append(answer)
        with self.sdk.beta.messages.stream(model="m", max_tokens=9000, messages=messages) as stream:
            return stream.get_final_message()


def encoded(events: list[Event]) -> bytes:
    return AnthropicEncoder(CONTEXT).encode(events)


def second_turn(answer: bytes) -> bytes:
    """The body with which the SDK gives `answer` back, every call of it answered."""
    conversation = Conversation()
    ask = {"role": "user", "content": "Hi"}
    message = conversation.ask([ask], answer)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "r"}
        for block in message.content
        if block.type == "tool_use"
    ]
    back = message.to_param() if hasattr(message, "to_param") else {"role": "assistant", "content": message.content}
    reply = {"role": "user", "content": results or "go on"}
    conversation.ask([ask, back, reply], answer)
    return conversation.bodies[1]


@pytest.mark.parametrize("case", [case for case in good_streams() if "programmatic" not in case.name], ids=str)
def test_an_answer_comes_back_field_by_field(case: Case) -> None:
    """Given back by the SDK, an answer that went through the hub is sent upstream as Anthropic wrote it."""
    original = json.loads(second_turn(case.body))["messages"][1]["content"]

    sent, dropped = through_the_hub(second_turn(encoded(decode(case.body))))

    content = sent["messages"][1]["content"]
    assert [_said(block) for block in content] == [_said(block) for block in original if not _is_blank(block)]
    assert dropped == (("messages: citations",) if any(block.get("citations") for block in original) else ())


def _said(block: dict[str, Any]) -> dict[str, Any]:
    """A block without what a text need not bring back."""
    known = {name: value for name, value in block.items() if value is not None}
    if block["type"] == "text":
        known.pop("citations", None)
        known.pop("parsed_output", None)
    if block["type"] == "tool_use":
        known.pop("caller", None)
    return known


def _is_blank(block: dict[str, Any]) -> bool:
    return block["type"] == "text" and not block["text"].strip()


def test_thinking_signature_and_call_come_back_with_a_tool_result() -> None:
    answer = fixture("reasoning").replace(
        b'"content_block":{"type":"text","text":""}',
        b'"content_block":{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{}}',
    )
    answer = answer.replace(
        b'{"type":"text_delta","text":"Yes, prime."}',
        b'{"type":"input_json_delta","partial_json":"{\\"city\\":\\"Oslo\\"}"}',
    ).replace(b'"stop_reason":"end_turn"', b'"stop_reason":"tool_use"')

    sent, dropped = through_the_hub(second_turn(encoded(decode(answer))))

    assert dropped == ()
    assert sent["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "17 has no small divisors.", "signature": "EqQBsigEx=="},
                {"type": "redacted_thinking", "data": "EmwKredEx=="},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "r"}]},
            ],
        },
    ]


def foreign_answer() -> bytes:
    """An answer as Gemini's decoder gives it: unsigned thoughts, a call with a proof."""
    return encoded(
        [
            MessageStart("r", "gemini"),
            BlockStart(0, ReasoningBlock()),
            ReasoningDelta(0, "hm"),
            BlockEnd(0),
            BlockStart(1, ToolCallBlock("call.1", "f")),
            ArgumentsDelta(1, '{"a":1}'),
            SignatureAdded(1, "thought", Origin.GEMINI),
            BlockEnd(1),
            MessageEnd(FinishReason.TOOL_CALLS),
        ]
    )


def test_a_proof_of_another_family_comes_back_to_it() -> None:
    request = DIALECT.decode_request(second_turn(foreign_answer()), CallParams())

    assert [message.role for message in request.messages] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert request.messages[1].parts == (
        ReasoningPart("hm"),
        ToolCallPart("call.1", "f", '{"a":1}', signature="thought", origin=Origin.GEMINI),
    )
    result = request.messages[2].parts[0]
    assert isinstance(result, ToolResultPart) and result.call_id == "call.1"


def test_a_proof_of_another_family_never_reaches_anthropic() -> None:
    body = second_turn(foreign_answer())

    native = PROVIDER.splice_request(NativeCall(body, True, "generate", {}, {}, {}), Target("anthropic", "claude"))
    converted, dropped = through_the_hub(body)

    call_block = {"type": "tool_use", "id": "call_x2e_1", "name": "f", "input": {"a": 1}}
    spliced = json.loads(native.body)["messages"][1]["content"]
    assert [{**block, "id": "call_x2e_1"} for block in spliced] == [call_block]
    assert native.dropped == ("messages[1].content[0]: thinking", "messages[1].content[1]: redacted_thinking")
    assert [block["type"] for block in converted["messages"][1]["content"]] == ["tool_use"]
    assert dropped == ("messages[1].parts[0]: reasoning", "messages[1].parts[1].signature")
