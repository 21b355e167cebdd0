"""How much the model shall think: what is sent for each generation of Claude, and what it excludes."""

import json
from typing import Any

import pytest

from proxy.hub.events import Origin
from proxy.hub.request import (
    ChatRequest,
    Effort,
    Message,
    OpaquePart,
    ReasoningPart,
    ReasoningRequest,
    Role,
    Sampling,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
)
from proxy.providers.anthropic.request import encode_request
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.quirks import Quirks

HI = (Message(Role.USER, (TextPart("Hi"),)),)
TOOL = ToolDefinition("f", "does f", b'{"type":"object","properties":{}}')

SONNET_37 = "claude-3-7-sonnet-20250219"
SONNET_45 = "claude-sonnet-4-5-20250929"
OPUS_46 = "claude-opus-4-6"
SONNET_5 = "claude-sonnet-5"
HAIKU_35 = "claude-3-5-haiku-20241022"


def encode(
    model: str = SONNET_45, *, quirks: Quirks | None = None, max_tokens: int | None = None, **fields: Any
) -> UpstreamRequest:
    target = Target("anthropic", model, quirks or Quirks(), max_tokens=max_tokens)
    return encode_request(ChatRequest(**{"model": "alias", "messages": HI, **fields}), target)


def send(model: str = SONNET_45, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = encode(model, **fields)
    return json.loads(request.body), request.dropped


@pytest.mark.parametrize(
    ("model", "reasoning", "max_tokens", "thinking", "effort", "sent_max_tokens"),
    [
        # By budget; max_tokens is raised where the budget would not fit.
        (SONNET_45, ReasoningRequest(budget_tokens=5000), 8000, ("enabled", 5000), None, 8000),
        (SONNET_45, ReasoningRequest(budget_tokens=5000), 5000, ("enabled", 5000), None, 10_000),
        (SONNET_45, ReasoningRequest(budget_tokens=5), 8000, ("enabled", 1024), None, 8000),
        (SONNET_45, ReasoningRequest(effort=Effort.MINIMAL), 8000, ("enabled", 1024), None, 8000),
        (SONNET_45, ReasoningRequest(effort=Effort.LOW), 8000, ("enabled", 2048), None, 8000),
        (SONNET_45, ReasoningRequest(effort=Effort.MEDIUM), 8000, ("enabled", 8192), None, 16_192),
        (SONNET_45, ReasoningRequest(effort=Effort.HIGH), 8000, ("enabled", 16_384), None, 24_384),
        (SONNET_45, ReasoningRequest(effort=Effort.XHIGH), 8000, ("enabled", 32_000), None, 40_000),
        (SONNET_45, ReasoningRequest(effort=Effort.MAX), 8000, ("enabled", 6976), None, 8000),
        (SONNET_45, ReasoningRequest(effort=Effort.MAX), 500, ("enabled", 1024), None, 1524),
        (SONNET_45, ReasoningRequest(adaptive=True), 20_000, ("enabled", 8192), None, 20_000),
        (SONNET_45, ReasoningRequest(budget_tokens=60_000), 20_000, ("enabled", 44_000), None, 64_000),
        ("claude-opus-4-1", ReasoningRequest(effort=Effort.XHIGH), 32_000, ("enabled", 16_000), None, 32_000),
        ("glm-5", ReasoningRequest(effort=Effort.LOW), 8000, ("enabled", 2048), None, 8000),
        # Adaptive.
        (SONNET_5, ReasoningRequest(effort=Effort.MINIMAL), 8000, ("adaptive", None), "low", 8000),
        (SONNET_5, ReasoningRequest(effort=Effort.XHIGH), 8000, ("adaptive", None), "xhigh", 8000),
        (SONNET_5, ReasoningRequest(adaptive=True), 8000, ("adaptive", None), None, 8000),
        (SONNET_5, ReasoningRequest(adaptive=True, effort=Effort.MAX), 8000, ("adaptive", None), "max", 8000),
        (SONNET_5, ReasoningRequest(budget_tokens=3000), 8000, ("adaptive", None), "low", 8000),
        (SONNET_5, ReasoningRequest(budget_tokens=10_000), 8000, ("adaptive", None), "medium", 8000),
        (SONNET_5, ReasoningRequest(budget_tokens=20_000), 8000, ("adaptive", None), "high", 8000),
        (SONNET_5, ReasoningRequest(budget_tokens=31_999), 8000, ("adaptive", None), "xhigh", 8000),
        # The generation that takes both gets what the caller spoke of.
        (OPUS_46, ReasoningRequest(budget_tokens=5000), 8000, ("enabled", 5000), None, 8000),
        (OPUS_46, ReasoningRequest(effort=Effort.XHIGH), 8000, ("adaptive", None), "high", 8000),
        # Off.
        (SONNET_5, ReasoningRequest(effort=Effort.NONE), 8000, ("disabled", None), None, 8000),
        (SONNET_45, ReasoningRequest(budget_tokens=0), 8000, ("disabled", None), None, 8000),
        (HAIKU_35, ReasoningRequest(effort=Effort.NONE), 8000, (None, None), None, 8000),
    ],
)
def test_thinking(
    model: str,
    reasoning: ReasoningRequest,
    max_tokens: int,
    thinking: tuple[str | None, int | None],
    effort: str | None,
    sent_max_tokens: int,
) -> None:
    body, dropped = send(model, reasoning=reasoning, sampling=Sampling(max_tokens=max_tokens))

    sent = body.get("thinking", {})
    assert (sent.get("type"), sent.get("budget_tokens")) == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert body["max_tokens"] == sent_max_tokens
    assert sent.get("budget_tokens", 0) < body["max_tokens"]
    assert dropped == ()


@pytest.mark.parametrize(
    ("model", "visible", "display"),
    [
        (SONNET_5, True, "summarized"),
        (SONNET_5, False, "omitted"),
        (SONNET_5, None, None),
        (SONNET_45, True, None),
    ],
)
def test_whether_thinking_is_shown(model: str, visible: bool | None, display: str | None) -> None:
    body, _ = send(model, reasoning=ReasoningRequest(effort=Effort.LOW, visible=visible))

    assert body["thinking"].get("display") == display


def test_a_model_without_thinking_drops_it() -> None:
    body, dropped = send(HAIKU_35, reasoning=ReasoningRequest(effort=Effort.HIGH))

    assert "thinking" not in body
    assert dropped == ("reasoning",)


@pytest.mark.parametrize("model", [SONNET_45, OPUS_46])
def test_thinking_drops_what_it_excludes(model: str) -> None:
    body, dropped = send(
        model,
        reasoning=ReasoningRequest(effort=Effort.LOW),
        sampling=Sampling(temperature=0.3, top_p=0.5, top_k=7),
        tools=(TOOL,),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )

    assert not body.keys() & {"temperature", "top_p", "top_k"}
    assert body["tool_choice"] == {"type": "auto"}
    assert dropped == ("tool_choice", "temperature", "top_p", "top_k")


@pytest.mark.parametrize("model", [SONNET_45, SONNET_5])
def test_thinking_gives_way_to_a_prefilled_answer(model: str) -> None:
    prefilled = (*HI, Message(Role.ASSISTANT, (TextPart("Sure: "),)))

    body, dropped = send(model, reasoning=ReasoningRequest(effort=Effort.LOW), messages=prefilled)

    assert body["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": "Sure:"}]}
    assert not body.keys() & {"thinking", "output_config"}
    assert dropped == ("reasoning",)


def test_a_paused_turn_keeps_its_thinking() -> None:
    search = OpaquePart(Origin.ANTHROPIC, "server_tool_use", b'{"type":"server_tool_use"}')
    paused = (*HI, Message(Role.ASSISTANT, (PROVED, search)))

    body, dropped = send(reasoning=ReasoningRequest(effort=Effort.LOW), messages=paused)

    assert "thinking" in body
    assert dropped == ()


def test_thinking_keeps_what_it_allows() -> None:
    body, dropped = send(
        SONNET_37, reasoning=ReasoningRequest(effort=Effort.LOW), sampling=Sampling(temperature=1, top_p=0.97)
    )

    assert (body["temperature"], body["top_p"]) == (1, 0.97)
    assert dropped == ()


def _loop(*parts: Any) -> tuple[Message, ...]:
    call = Message(Role.ASSISTANT, (*parts, ToolCallPart("a", "f", "{}")))
    return (*HI, call, Message(Role.TOOL, (ToolResultPart("a", (TextPart("r"),)),)))


PROVED = ReasoningPart("hm", "sig", Origin.ANTHROPIC)


@pytest.mark.parametrize(
    ("model", "messages", "is_on"),
    [
        (SONNET_45, _loop(PROVED), True),
        (SONNET_45, _loop(), False),
        (SONNET_45, _loop(ReasoningPart("hm", "sig", Origin.GEMINI)), False),
        (SONNET_45, (*_loop(PROVED), *_loop()[1:]), True),
        (SONNET_45, (*_loop(), *_loop(PROVED)[1:]), False),
        (SONNET_45, (*_loop(), Message(Role.ASSISTANT, (TextPart("done"),)), *HI), True),
        (SONNET_45, (*_loop(), *HI), False),
        (SONNET_5, _loop(), True),
    ],
)
def test_a_tool_loop_that_lost_its_thinking_goes_on_without(
    model: str, messages: tuple[Message, ...], is_on: bool
) -> None:
    body, dropped = send(model, messages=messages, reasoning=ReasoningRequest(effort=Effort.LOW))

    assert ("thinking" in body) == is_on
    assert ("reasoning" in dropped) == (not is_on)
