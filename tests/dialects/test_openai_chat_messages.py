"""Messages of Chat Completions requests, and the reasoning that comes back in them."""

import json
from typing import Any

from proxy.dialects.base import CallParams
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.hub.carried import Carried, pack
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.openai_chat_api import target

DIALECT = OpenAIChatDialect()
PARAMS = CallParams()
HI = [{"role": "user", "content": "hi"}]


def decode(**fields: Any) -> ChatRequest:
    return DIALECT.decode_request(json.dumps({"model": "m", "messages": HI, **fields}).encode(), PARAMS)


def message(**fields: Any) -> Message:
    """The one message of a request."""
    return decode(messages=[fields]).messages[0]


def assistant(**fields: Any) -> tuple[object, ...]:
    return message(role="assistant", **fields).parts


# --- messages


def test_roles() -> None:
    system = (TextPart("a"), TextPart("b"))
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert message(role="system", content=parts) == Message(Role.SYSTEM, system)
    assert message(role="developer", content="a", name="n") == Message(Role.SYSTEM, (TextPart("a"),), "n")
    assert message(role="user", content="") == Message(Role.USER, (TextPart(""),))
    assert message(role="tool", tool_call_id="c", content="r") == Message(
        Role.TOOL, (ToolResultPart("c", (TextPart("r"),)),)
    )


def test_user_parts() -> None:
    mark = b'{"type":"ephemeral"}'
    content = [
        {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/PNG;base64,AAAA"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]

    assert message(role="user", content=content).parts == (
        TextPart("t", mark),
        TextPart("t", mark),
        ImagePart(UrlSource("https://a/b.png"), "low"),
        ImagePart(DataSource("image/png", "AAAA")),
        AudioPart("AAAA", "mp3"),
        FilePart(DataSource("application/pdf", "AAAA"), "a.pdf"),
        FilePart(FileSource("file_1", Origin.OPENAI)),
    )


def test_a_mark_on_a_message_is_a_mark_on_its_last_part() -> None:
    found = message(role="user", content="x", cache_control={"type": "ephemeral"})

    assert found.parts == (TextPart("x", b'{"type":"ephemeral"}'),)


def test_assistant_parts() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "custom", "custom": {"name": "p", "input": "free"}},
        {"id": "c", "function": {"name": "g", "arguments": {"x": 1}}},
    ]

    assert assistant(content=None, tool_calls=calls) == (
        ToolCallPart("a", "f", '{"x":1}'),
        ToolCallPart("b", "p", "free", ToolKind.CUSTOM),
        ToolCallPart("c", "g", '{"x":1}'),
    )
    content = [{"type": "text", "text": "t"}, {"type": "refusal", "refusal": "no"}]
    assert assistant(content=content) == (TextPart("t"), RefusalPart("no"))
    assert assistant(content="", refusal="no") == (RefusalPart("no"),)
    assert assistant(audio={"id": "audio_1"}) == (OpaquePart(Origin.OPENAI, "audio", b'{"id":"audio_1"}'),)
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}, {"type": "text", "text": "ok"}]
    assert assistant(content=thinking) == (ReasoningPart("why"), TextPart("ok"))


def test_deprecated_functions_are_calls_and_results() -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "2"},
    ]

    found = [part for one in decode(messages=messages).messages for part in one.parts]

    ids = [part.id if isinstance(part, ToolCallPart) else part.call_id for part in found]  # type: ignore[union-attr]
    assert ids[0] == ids[1] != ids[2] == ids[3]


# --- reasoning that comes back


def test_reasoning_text_comes_back_under_every_name() -> None:
    assert assistant(content="x", reasoning_content="why")[0] == ReasoningPart("why")
    assert assistant(content="x", reasoning="why")[0] == ReasoningPart("why")
    assert assistant(reasoning_details=[{"type": "reasoning.text", "text": "why"}])[0] == ReasoningPart("why")


def test_proofs_find_their_text_and_their_calls() -> None:
    details = [
        {"type": "reasoning.text", "signature": pack(Carried(Origin.ANTHROPIC, "s1")), "span": [0, 3]},
        {"type": "reasoning.encrypted", "data": pack(Carried(Origin.ANTHROPIC, "closed", is_redacted=True)), "id": "r"},
        {"type": "reasoning.text", "signature": pack(Carried(Origin.ANTHROPIC, "s2")), "span": [4, 7]},
        {"type": "reasoning.encrypted", "data": pack(Carried(Origin.GEMINI, "s3", "c")), "id": "c"},
    ]
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]

    assert assistant(reasoning_content="one-two-rest", reasoning_details=details, tool_calls=calls) == (
        ReasoningPart("one", "s1", Origin.ANTHROPIC),
        ReasoningPart("", redacted="closed", origin=Origin.ANTHROPIC, id="r"),
        ReasoningPart("-"),
        ReasoningPart("two", "s2", Origin.ANTHROPIC),
        ReasoningPart("-rest"),
        ToolCallPart("c", "f", "{}", signature="s3", origin=Origin.GEMINI),
    )


def test_details_of_openrouter_keep_all_that_is_in_them() -> None:
    details = [
        {"type": "reasoning.text", "text": "a", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "b", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "d", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
    ]

    first, second = assistant(reasoning="ab", reasoning_details=details)

    assert isinstance(first, ReasoningPart)
    assert isinstance(second, ReasoningPart)
    assert (first.text, first.origin, second.origin, second.id) == ("ab", Origin.OPENROUTER, Origin.OPENROUTER, "rs_1")
    body = OpenAIChat().encode_request(
        decode(messages=[{"role": "assistant", "content": "x", "reasoning": "ab", "reasoning_details": details}]),
        target(reasoning_replay="details"),
    )
    assert json.loads(body.body)["messages"][0]["reasoning_details"] == [{**details[2], "text": "ab"}, details[3]]


def test_a_span_that_does_not_fit_is_not_trusted() -> None:
    detail = {"type": "reasoning.text", "signature": pack(Carried(Origin.ANTHROPIC, "s")), "span": [2, 99]}

    assert assistant(reasoning_content="why", reasoning_details=[detail]) == (
        ReasoningPart("", "s", Origin.ANTHROPIC),
        ReasoningPart("why"),
    )


def test_geminis_signature_on_a_call() -> None:
    call = {
        "id": "a",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "s"}},
    }

    assert assistant(tool_calls=[call]) == (ToolCallPart("a", "f", "{}", signature="s", origin=Origin.GEMINI),)
