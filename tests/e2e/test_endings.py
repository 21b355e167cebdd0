"""Endings that depend on what came before them, and requests for more than one answer, in every dialect and kind."""

import itertools

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.completion import fold
from proxy.hub.errors import CallerError
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    Usage,
)
from proxy.hub.request import ChatRequest, Message, Role, Sampling, TextPart
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support.crossing import CONTEXT

WORDS: dict[str, tuple[str, str]] = {
    "ag_ui": ('"finishReason":"length"', '"finishReason":"tool_calls"'),
    "anthropic": ('"stop_reason":"max_tokens"', '"stop_reason":"tool_use"'),
    "canonical": ('reason":"length"', 'reason":"tool_calls"'),
    "data_stream": ('"finishReason":"length"', '"finishReason":"tool-calls"'),
    "gemini": ('"finishReason":"MAX_TOKENS"', '"finishReason":"STOP"'),
    "ollama": ('"done_reason":"length"', '"done_reason":"stop"'),
    "openai_chat": ('"finish_reason":"length"', '"finish_reason":"tool_calls"'),
    "openai_responses": ('"reason":"max_output_tokens"', '"status":"completed","background"'),
    "ui_message_stream": ('"finishReason":"length"', '"finishReason":"tool-calls"'),
}
"""How each dialect says that the limit was reached, and that tools are to be called."""

BEFORE: dict[str, list[Event]] = {
    "none": [BlockStart(0, TextBlock()), TextDelta(0, "x"), BlockEnd(0)],
    "whole call": [BlockStart(0, ToolCallBlock("c", "f")), ArgumentsDelta(0, "{}"), BlockEnd(0)],
    "cut call": [BlockStart(0, ToolCallBlock("c", "f")), ArgumentsDelta(0, '{"a": "b'), BlockEnd(0)],
}


@pytest.mark.parametrize(("dialect", "state"), list(itertools.product(WORDS, BEFORE)))
def test_an_answer_cut_by_the_limit_says_so_whatever_it_holds(dialect: str, state: str) -> None:
    """A caller that believed a cut call to be whole would run it."""
    end = MessageEnd(FinishReason.LENGTH, "max_tokens")
    events: list[Event] = [MessageStart("x", "m"), *BEFORE[state], Usage(1, 2), end]
    length, tools = WORDS[dialect]

    told = DIALECTS[dialect].encoder(CONTEXT).encode(events).decode()

    assert length in told
    assert tools not in told
    if dialect != "data_stream":
        assert length in DIALECTS[dialect].encode_completion(fold(events), CONTEXT).decode()


@pytest.mark.parametrize("dialect", WORDS)
def test_a_whole_call_is_to_be_run(dialect: str) -> None:
    end = MessageEnd(FinishReason.TOOL_CALLS, "tool_use")

    told = DIALECTS[dialect].encoder(CONTEXT).encode([MessageStart("x", "m"), *BEFORE["whole call"], Usage(1, 2), end])

    assert WORDS[dialect][1] in told.decode()


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_more_than_one_answer_is_refused_before_it_costs(kind: str) -> None:
    request = ChatRequest("m", (Message(Role.USER, (TextPart("hi"),)),), sampling=Sampling(n=2))

    with pytest.raises(CallerError, match="n: ") as refusal:
        PROVIDERS[kind].encode_request(request, Target(provider=kind, model="gemini-3-flash"))

    assert refusal.value.param == "n"


def test_every_dialect_takes_part() -> None:
    assert set(WORDS) | {"text_stream"} == set(DIALECTS)
