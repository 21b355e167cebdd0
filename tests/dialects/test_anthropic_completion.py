"""The whole answer says what the stream says."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from proxy.dialects.anthropic.completion import encode_completion
from proxy.dialects.anthropic.stream import AnthropicEncoder
from proxy.dialects.base import StreamContext
from proxy.hub.completion import CompletedBlock, Completion, fold, unfold
from proxy.hub.events import (
    FinishReason,
    MessageEnd,
    Origin,
    SignatureAdded,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    Usage,
)
from tests.support.anthropic_api import Case, decode, good_streams, read_by_sdk, read_whole_by_sdk
from tests.support.strategies import completions

CONTEXT = StreamContext("a" * 24, "some-model", 0)


def whole(completion: Completion) -> dict[str, Any]:
    return json.loads(encode_completion(completion, CONTEXT))


def call(arguments: str, kind: ToolKind = ToolKind.FUNCTION) -> Any:
    completion = Completion(blocks=[CompletedBlock(ToolCallBlock("a", "f", kind), arguments)])
    return whole(completion)["content"][0]["input"]


@pytest.mark.parametrize("case", good_streams(), ids=str)
def test_the_sdk_reads_the_same_as_from_the_providers_stream(case: Case) -> None:
    body = encode_completion(fold(decode(case.body)), CONTEXT)

    assert read_whole_by_sdk(body) == read_by_sdk(case.body)


@settings(max_examples=60, deadline=None)
@given(completions())
def test_any_answer_is_the_same_whole_and_streamed(completion: Completion) -> None:
    if completion.end is None:
        completion.end = MessageEnd(FinishReason.STOP)
        completion.error = None
    for done in completion.blocks:
        if isinstance(done.block, ToolCallBlock):
            done.text = "{}"

    streamed = AnthropicEncoder(CONTEXT).encode(unfold(completion))

    assert read_whole_by_sdk(encode_completion(completion, CONTEXT)) == read_by_sdk(streamed)


def test_the_least_message() -> None:
    assert whole(Completion()) == {
        "id": "msg_" + "a" * 24,
        "type": "message",
        "role": "assistant",
        "model": "some-model",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def test_usage_and_ending() -> None:
    message = whole(
        Completion(
            "msg_1",
            "m",
            [CompletedBlock(TextBlock(), "Hi")],
            Usage(input=10, output=2, cached_input=4, service_tier="standard"),
            MessageEnd(FinishReason.STOP_SEQUENCE, "stop", "###"),
        )
    )

    assert message["usage"] == {
        "input_tokens": 6,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
        "service_tier": "standard",
    }
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "###")


@pytest.mark.parametrize(
    ("arguments", "input"),
    [
        ('{"a": 1.50}', {"a": 1.5}),
        ("", {}),
        ('{"city":"Os', {"city": "Os"}),
        ("[1]", {}),
        ("nonsense", {}),
        ("[" * 5000, {}),
    ],
)
def test_arguments_are_an_object(arguments: str, input: object) -> None:
    assert call(arguments) == input


def test_free_text_arguments_are_in_an_object() -> None:
    assert call("*** Begin", ToolKind.CUSTOM) == {"input": "*** Begin"}


def test_the_proof_of_a_call_goes_before_it() -> None:
    block = CompletedBlock(ToolCallBlock("a", "f"), "{}", SignatureAdded(0, "sig", Origin.GEMINI))

    assert [each["type"] for each in whole(Completion(blocks=[block]))["content"]] == ["redacted_thinking", "tool_use"]
