"""Messages and content blocks of Anthropic's callers as parts."""

import base64
import json
from typing import Any

import pytest

from proxy.dialects.anthropic.content import call_proof, reasoning_proof, redacted
from proxy.dialects.anthropic.dialect import AnthropicDialect
from proxy.dialects.base import CallParams
from proxy.hub.carried import MARK
from proxy.hub.events import Origin, RedactedReasoningBlock, SignatureAdded, ToolCallBlock
from proxy.hub.request import (
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

DIALECT = AnthropicDialect()
HI = {"role": "user", "content": "Hi"}
CACHE = {"type": "ephemeral"}


def decode(conversation: list[Any]) -> tuple[Message, ...]:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": conversation}).encode()
    return DIALECT.decode_request(body, CallParams()).messages


def messages(*content: Any, role: str = "user") -> tuple[Message, ...]:
    return decode([{"role": role, "content": list(content)}])


def parts(*content: Any, role: str = "user") -> tuple[Any, ...]:
    found = messages(*content, role=role)
    assert len(found) == 1
    return found[0].parts


def test_results_and_other_blocks_of_a_turn_are_messages_of_their_own() -> None:
    found = messages(
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "two"}], "is_error": True},
        {"type": "text", "text": "go"},
        {"type": "tool_result", "tool_use_id": "c", "cache_control": CACHE},
    )

    assert found == (
        Message(
            Role.TOOL,
            (ToolResultPart("a", (TextPart("one"),)), ToolResultPart("b", (TextPart("two"),), is_error=True)),
        ),
        Message(Role.USER, (TextPart("go"),)),
        Message(Role.TOOL, (ToolResultPart("c", (), cache=b'{"type": "ephemeral"}'),)),
    )


def test_a_system_message_keeps_its_place() -> None:
    system = {"role": "system", "content": [{"type": "text", "text": "brief"}]}

    assert [message.role for message in decode([HI, system, HI])] == [Role.USER, Role.SYSTEM, Role.USER]


def test_an_empty_turn_is_an_empty_message() -> None:
    assert messages() == (Message(Role.USER, ()),)
    assert messages(role="assistant") == (Message(Role.ASSISTANT, ()),)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "text", "text": "t", "citations": None, "cache_control": None}, [TextPart("t")]),
        (IMAGE, [ImagePart(DataSource("image/png", "aGk="))]),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y"}, "cache_control": CACHE},
            [ImagePart(UrlSource("https://x/y"), cache=b'{"type": "ephemeral"}')],
        ),
        (
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            [ImagePart(FileSource("file_1", Origin.ANTHROPIC))],
        ),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aG\nk="},
                "title": "t",
                "context": "c",
                "citations": {"enabled": True},
            },
            [FilePart(DataSource("application/pdf", "aGk="), "t", "c", True)],
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
            [FilePart(DataSource("text/plain", b64("é")))],
        ),
        (
            {
                "type": "document",
                "source": {
                    "type": "content",
                    "content": [{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": "b"}],
                },
            },
            [FilePart(DataSource("text/plain", b64("a\nb"))), ImagePart(DataSource("image/png", "aGk="))],
        ),
        (
            {"type": "document", "source": {"type": "content", "content": "a"}},
            [FilePart(DataSource("text/plain", b64("a")))],
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "a"}]},
            [TextPart("t\ns\n\na")],
        ),
        (
            {"type": "container_upload", "file_id": "file_1"},
            [OpaquePart(Origin.ANTHROPIC, "container_upload", b'{"type": "container_upload", "file_id": "file_1"}')],
        ),
    ],
)
def test_user_blocks(block: dict[str, Any], expected: list[Any]) -> None:
    assert list(parts(block)) == expected


def test_blocks_in_a_result() -> None:
    reference = {"type": "tool_reference", "tool_name": "f"}
    block = {"type": "tool_result", "tool_use_id": "a", "content": [IMAGE, reference]}

    assert parts(block)[0].parts == (ImagePart(DataSource("image/png", "aGk=")), TextPart(json.dumps(reference)))


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.50}, "cache_control": CACHE},
            ToolCallPart("t", "f", '{"a": 1.5}', cache=b'{"type": "ephemeral"}'),
        ),
        (
            {"type": "tool_use", "id": "functions_x2e_f_x3a_0", "name": "f", "input": {}},
            ToolCallPart("functions.f:0", "f", "{}"),
        ),
        (
            {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
            ReasoningPart("hm", "EqQB", Origin.ANTHROPIC),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, ReasoningPart("hm")),
        ({"type": "thinking", "thinking": "hm", "signature": MARK}, ReasoningPart("hm")),
        (
            {"type": "thinking", "thinking": "hm", "signature": reasoning_proof(SignatureAdded(0, "s", Origin.GEMINI))},
            ReasoningPart("hm", "s", Origin.GEMINI),
        ),
        (
            {"type": "redacted_thinking", "data": "EmwK"},
            ReasoningPart("", origin=Origin.ANTHROPIC, redacted="EmwK"),
        ),
        (
            redacted(RedactedReasoningBlock("gAAA", Origin.OPENAI)),
            ReasoningPart("", origin=Origin.OPENAI, redacted="gAAA"),
        ),
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            OpaquePart(
                Origin.ANTHROPIC,
                "server_tool_use",
                b'{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}',
            ),
        ),
    ],
)
def test_assistant_blocks(block: dict[str, Any], expected: Any) -> None:
    assert parts(block, role="assistant") == (expected,)


@pytest.mark.parametrize("is_before", [True, False])
def test_the_proof_of_a_call_comes_back_to_its_call(is_before: bool) -> None:
    proof = call_proof(ToolCallBlock("a", "f"), SignatureAdded(0, "sig", Origin.GEMINI))
    calls = [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id in ("a", "b")]

    assert parts(*([proof, *calls] if is_before else [*calls, proof]), role="assistant") == (
        ToolCallPart("a", "f", "{}", signature="sig", origin=Origin.GEMINI),
        ToolCallPart("b", "f", "{}"),
    )


def test_a_damaged_proof_is_left_out() -> None:
    assert parts({"type": "redacted_thinking", "data": MARK + "!"}, role="assistant") == ()
