"""Two turns through every pair: an image, an answer with signed reasoning and parallel calls, then the results.

The answer is told to the caller in its dialect; the caller gives it back as its own clients do, with the results; the
second request is checked field by field as the hub reads it, and as the provider receives it.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    FinishReason,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    SignatureAdded,
    TextBlock,
    ToolCallBlock,
    Usage,
)
from proxy.hub.request import ChatRequest, ImagePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support.crossing import CONTEXT

Json = dict[str, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
URL = f"data:image/png;base64,{PIXEL}"
PROOF = "RXVNQkN3Z0JFQUVZQVNw"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALLS = {"call_a": "Oslo", "call_b": "Rome"}
RESULTS = {"call_a": "4 degrees", "call_b": "19 degrees"}

SEALED = "EroBCkYIBRgCKkBzZWFsZWQ="

FAMILY: dict[str, tuple[str, Origin, str]] = {
    "anthropic": ("anthropic", Origin.ANTHROPIC, "claude-opus-4-6"),
    "bedrock": ("bedrock", Origin.BEDROCK, "amazon.nova-2-lite-v1:0"),
    "bedrock claude": ("bedrock", Origin.ANTHROPIC, "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "cohere": ("cohere", Origin.COHERE, "command-a-reasoning-08-2025"),
    "gemini": ("gemini", Origin.GEMINI, "gemini-3-flash"),
    "ollama": ("ollama", Origin.OPENAI, "qwen3"),
    "openai_chat": ("openai_chat", Origin.OPENAI, "gpt-5"),
    "openai_responses": ("openai_responses", Origin.OPENAI, "gpt-5"),
    "vertex": ("vertex", Origin.GEMINI, "gemini-3-flash"),
    "vertex claude": ("vertex", Origin.ANTHROPIC, "claude-sonnet-4-5@20250929"),
}
"""A kind, whose proofs it makes (or, of those that make none, whose would reach it), and a model."""

TAKES_PROOFS = {
    "anthropic": "signature",
    "bedrock claude": "signature",
    "gemini": "thoughtSignature",
    "openai_responses": "encrypted_content",
    "vertex": "thoughtSignature",
    "vertex claude": "signature",
}
"""Those that want the proof of reasoning back, and their word for it."""

TAKES_SEALED = {
    "anthropic": f'{{"type":"redacted_thinking","data":"{SEALED}"}}',
    "bedrock claude": f'{{"redactedContent":"{base64.b64encode(SEALED.encode()).decode()}"}}',
    "vertex claude": f'{{"type":"redacted_thinking","data":"{SEALED}"}}',
}
"""Those that make closed reasoning, and how they want it back."""

CANNOT_GIVE_BACK = {"canonical": "no field", "ollama": "no field", "text_stream": "text alone"}
"""Dialects whose callers cannot give a proof back."""


def answer(row: str) -> Completion:
    _, family, model = FAMILY[row]
    reasoning = CompletedBlock(ReasoningBlock("rs_1"), "why", SignatureAdded(0, PROOF, family))
    calls = [
        CompletedBlock(ToolCallBlock(id, "get_weather"), json.dumps({"city": city}, separators=(",", ":")))
        for id, city in CALLS.items()
    ]
    said = CompletedBlock(TextBlock(), "let me see")
    sealed = [CompletedBlock(RedactedReasoningBlock(SEALED, family))] if row in TAKES_SEALED else []
    blocks = [reasoning, *sealed, said, *calls]
    return Completion("x", model, blocks, Usage(1, 2), MessageEnd(FinishReason.TOOL_CALLS))


# --- what callers send: the question, the answer as they got it, the results


def chat(told: Json) -> Json:
    return _chat(told["choices"][0]["message"])


def _chat(message: Json) -> Json:
    question = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": URL}}]
    results = [{"role": "tool", "tool_call_id": id, "content": text} for id, text in RESULTS.items()]
    function = {"name": "get_weather", "parameters": SCHEMA}
    tools = [{"type": "function", "function": function}]
    return {"model": "m", "messages": [{"role": "user", "content": question}, message, *results], "tools": tools}


def canonical(told: Json) -> Json:
    calls = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in told["tool_calls"]
    ]
    message = {"role": "assistant", "content": told["text"], "reasoning": told["reasoning"], "tool_calls": calls}
    return _chat(message)


def responses(told: Json) -> Json:
    question = [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": URL}]
    results = [{"type": "function_call_output", "call_id": id, "output": text} for id, text in RESULTS.items()]
    tools = [{"type": "function", "name": "get_weather", "parameters": SCHEMA}]
    return {"model": "m", "input": [{"role": "user", "content": question}, *told["output"], *results], "tools": tools}


def anthropic(told: Json) -> Json:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    results = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in RESULTS.items()]
    return {
        "model": "m",
        "max_tokens": 4000,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, image]},
            {"role": "assistant", "content": told["content"]},
            {"role": "user", "content": results},
        ],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
        "thinking": {"type": "adaptive"},
    }


def gemini(told: Json) -> Json:
    image = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    results = [
        {"functionResponse": {"id": id, "name": "get_weather", "response": {"output": text}}}
        for id, text in RESULTS.items()
    ]
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}, image]},
            told["candidates"][0]["content"],
            {"role": "user", "parts": results},
        ],
        "tools": [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}],
    }


def ollama(told: Json) -> Json:
    results = [{"role": "tool", "tool_name": "get_weather", "content": text} for text in RESULTS.values()]
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    messages = [{"role": "user", "content": "hi", "images": [PIXEL]}, told["message"], *results]
    return {"model": "m", "messages": messages, "tools": tools}


def ag_ui(told: Json) -> Json:
    image = {"type": "image", "source": {"type": "data", "value": PIXEL, "mimeType": "image/png"}}
    results = [{"id": id, "role": "tool", "toolCallId": id, "content": text} for id, text in RESULTS.items()]
    question = {"id": "u", "role": "user", "content": [{"type": "text", "text": "hi"}, image]}
    return {
        "threadId": "t",
        "runId": "r",
        "messages": [question, *told["messages"], *results],
        "tools": [{"name": "get_weather", "description": "", "parameters": SCHEMA}],
        "context": [],
        "forwardedProps": {"model": "m"},
    }


def ui(told: Json) -> Json:
    for part in told["parts"]:
        if "toolCallId" in part:
            part |= {"state": "output-available", "output": RESULTS[part["toolCallId"]]}
    return _ui(told)


def data_stream(told: Json) -> Json:
    for part in told["parts"]:
        if part["type"] == "tool-invocation":
            call = part["toolInvocation"]
            call |= {"state": "result", "result": RESULTS[call["toolCallId"]]}
    return _ui(told)


def _ui(told: Json) -> Json:
    parts = [{"type": "text", "text": "hi"}, {"type": "file", "mediaType": "image/png", "url": URL}]
    tools = {"get_weather": {"description": "", "parameters": SCHEMA}}
    return {"model": "m", "messages": [{"id": "u", "role": "user", "parts": parts}, told], "tools": tools}


SECOND: dict[str, Callable[[Json], Json]] = {
    "ag_ui": ag_ui,
    "anthropic": anthropic,
    "canonical": canonical,
    "data_stream": data_stream,
    "gemini": gemini,
    "ollama": ollama,
    "openai_chat": chat,
    "openai_responses": responses,
    "ui_message_stream": ui,
}


def second_turn(dialect: str, row: str) -> ChatRequest:
    told = json.loads(DIALECTS[dialect].encode_completion(answer(row), CONTEXT))
    body = json.dumps(SECOND[dialect](told)).encode()
    return DIALECTS[dialect].decode_request(body, CallParams(path={"model": "m", "method": "chat"}))


PAIRS = [(dialect, row) for dialect in sorted(SECOND) for row in sorted(FAMILY)]


@pytest.mark.parametrize(("dialect", "row"), PAIRS)
def test_the_hub_reads_what_was_said(dialect: str, row: str) -> None:
    parts = [part for message in second_turn(dialect, row).messages for part in message.parts]
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    results = [part for part in parts if isinstance(part, ToolResultPart)]

    assert [part.source.data for part in parts if isinstance(part, ImagePart)] == [PIXEL]  # type: ignore[union-attr]
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["hi", "let me see"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("get_weather", {"city": city}) for city in CALLS.values()
    ]
    assert [call.id for call in calls] == list(CALLS)
    assert {result.call_id: text_of(result) for result in results} == RESULTS
    reasoning = [part for part in parts if isinstance(part, ReasoningPart)]
    assert "".join(part.text for part in reasoning) == "why"
    if dialect not in CANNOT_GIVE_BACK:
        maker = FAMILY[row][1]
        assert [(part.signature, part.origin) for part in reasoning if part.signature] == [(PROOF, maker)]
        sealed = [(SEALED, maker)] if row in TAKES_SEALED else []
        assert [(part.redacted, part.origin) for part in reasoning if part.redacted] == sealed


def text_of(result: ToolResultPart) -> str:
    """Some dialects have JSON results, and word a text as JSON."""
    text = "".join(part.text for part in result.parts if isinstance(part, TextPart))
    found = json.loads(text) if text[:1] in ('"', "{") else text
    return found["output"] if isinstance(found, dict) else found


@pytest.mark.parametrize(("dialect", "row"), PAIRS)
def test_the_provider_receives_what_was_said(dialect: str, row: str) -> None:
    kind, _, model = FAMILY[row]
    request = second_turn(dialect, row)

    sent = PROVIDERS[kind].encode_request(request, Target(provider=kind, model=model))

    body = json.loads(sent.body)
    values = list(texts(body))
    assert sum(PIXEL in value for value in values) == 1, "the image"
    assert sum(value.count("get_weather") for value in values) >= 3, "the tool and both calls"
    places = {word: " ".join(values).index(word) for word in ("let me see", *CALLS.values(), *RESULTS.values())}
    assert places["Oslo"] < places["Rome"] < places["4 degrees"] < places["19 degrees"]
    assert places["let me see"] < places["4 degrees"]
    assert tied(values) or row in ("gemini", "vertex", "ollama"), "each result stands by its call's id"
    if row in TAKES_PROOFS and dialect not in CANNOT_GIVE_BACK:
        assert f'"{TAKES_PROOFS[row]}":"{PROOF}"' in sent.body.decode()
        assert sent.body.decode().count(TAKES_SEALED.get(row, PROOF)) == 1
        assert not any("signature" in name or "reasoning" in name for name in sent.dropped)
    elif dialect not in CANNOT_GIVE_BACK:
        assert PROOF in sent.body.decode() or any("reasoning" in name or "signature" in name for name in sent.dropped)


def texts(tree: Any) -> Any:
    """Every text of a JSON tree, in order."""
    if isinstance(tree, str):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from texts(child)


def tied(values: list[str]) -> bool:
    """Whether each id stands at a call and at a result."""
    return all(values.count(id) >= 2 for id in CALLS)


def test_every_dialect_takes_part() -> None:
    assert set(SECOND) | {"text_stream"} == set(DIALECTS)
    assert {kind for kind, _, _ in FAMILY.values()} == set(PROVIDERS)
