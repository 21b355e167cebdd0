"""The conversation that callers send: `input` in all its forms."""

import json
from typing import Any

import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.carried import MARK, Carried, pack
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

DIALECT = DIALECTS["openai_responses"]


def decode(**fields: Any) -> ChatRequest:
    return DIALECT.decode_request(json.dumps({"model": "m", "input": "hi", **fields}).encode(), CallParams())


def messages(*items: dict[str, Any]) -> tuple[Message, ...]:
    return decode(input=list(items)).messages


def parts(*items: dict[str, Any]) -> list[Any]:
    return [part for message in messages(*items) for part in message.parts]


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def test_roles() -> None:
    found = messages(
        {"role": "developer", "content": "a"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "b"}]},
        {"role": "user", "content": "c"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "e"},
    )

    assert [(message.role, message.parts) for message in found] == [
        (Role.SYSTEM, (TextPart("a"),)),
        (Role.SYSTEM, (TextPart("b"),)),
        (Role.USER, (TextPart("c"),)),
        (Role.USER, (TextPart("d"),)),
        (Role.ASSISTANT, (TextPart("e"),)),
    ]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": "a"}, TextPart("a")),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            TextPart("a", b'{"type":"ephemeral"}'),
        ),
        (
            {"type": "input_image", "image_url": "https://a.example/i.png", "detail": "low"},
            ImagePart(UrlSource("https://a.example/i.png"), "low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
            ImagePart(DataSource("image/png", "aGk=")),
        ),
        ({"type": "input_image", "file_id": "file-1"}, ImagePart(FileSource("file-1", Origin.OPENAI))),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
            FilePart(DataSource("application/pdf", "aGk="), "a.pdf"),
        ),
        (
            {"type": "input_file", "file_data": "aGk=", "filename": "a.pdf"},
            FilePart(DataSource("application/pdf", "aGk="), "a.pdf"),
        ),
        (
            {"type": "input_file", "file_data": "aGk=", "filename": "A.TXT"},
            FilePart(DataSource("text/plain", "aGk="), "A.TXT"),
        ),
        ({"type": "input_file", "file_url": "https://a.example/a"}, FilePart(UrlSource("https://a.example/a"))),
        ({"type": "input_file", "file_id": "file-2"}, FilePart(FileSource("file-2", Origin.OPENAI))),
        ({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}}, AudioPart("aGk=", "mp3")),
    ],
)
def test_parts_of_the_user(content: dict[str, Any], part: object) -> None:
    assert parts(user(content)) == [part]


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}


def test_items_of_one_answer_are_one_message() -> None:
    found = messages(
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {"type": "output_text", "text": "a", "annotations": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        CALL,
        {"type": "custom_tool_call", "call_id": "call_2", "name": "p", "input": "x"},
        {"type": "function_call_output", "call_id": "call_1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "2"}]},
    )

    assert found[1:] == (
        Message(
            Role.ASSISTANT,
            (
                ReasoningPart("", origin=Origin.OPENAI, redacted="gAAA", id="rs_1"),
                TextPart("a"),
                RefusalPart("no"),
                ToolCallPart("call_1", "f", '{"a":1}'),
                ToolCallPart("call_2", "p", "x", ToolKind.CUSTOM),
            ),
        ),
        Message(
            Role.TOOL,
            (
                ToolResultPart("call_1", (TextPart("1"),)),
                ToolResultPart("call_2", (TextPart("2"),), kind=ToolKind.CUSTOM),
            ),
        ),
    )


def test_a_result_may_hold_images_and_files() -> None:
    output = [
        {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        {"type": "input_file", "file_id": "file-1"},
    ]

    (_, result) = parts(CALL, {"type": "function_call_output", "call_id": "call_1", "output": output})

    assert result.parts == (
        ImagePart(DataSource("image/png", "aGk=")),
        FilePart(FileSource("file-1", Origin.OPENAI)),
    )


@pytest.mark.parametrize(("output", "text"), [({"ok": True}, '{"ok": true}'), (7, "7"), ("", "")])
def test_a_result_of_another_type_is_its_own_text(output: object, text: str) -> None:
    (_, result) = parts(CALL, {"type": "function_call_output", "call_id": "call_1", "output": output})

    assert [part.text for part in result.parts] == [text]


def test_a_result_without_anything_is_empty() -> None:
    (_, result) = parts(CALL, {"type": "function_call_output", "call_id": "call_1", "output": None})

    assert result.parts == ()


SUMMARY = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"id": "rs_1", "summary": SUMMARY, "encrypted_content": "gAAA"},
            ReasoningPart("one\n\ntwo", "gAAA", Origin.OPENAI, id="rs_1"),
        ),
        (
            {"summary": [], "content": [{"type": "reasoning_text", "text": "raw"}]},
            ReasoningPart("raw"),
        ),
        (
            {"id": "rs_1", "summary": SUMMARY, "encrypted_content": pack(Carried(Origin.ANTHROPIC, "EqQB"))},
            ReasoningPart("one\n\ntwo", "EqQB", Origin.ANTHROPIC),
        ),
        (
            {"summary": [], "encrypted_content": pack(Carried(Origin.ANTHROPIC, "EqQB"))},
            ReasoningPart("", "EqQB", Origin.ANTHROPIC),
        ),
        (
            {"summary": [], "encrypted_content": pack(Carried(Origin.ANTHROPIC, "EmwK", is_redacted=True))},
            ReasoningPart("", origin=Origin.ANTHROPIC, redacted="EmwK"),
        ),
        ({"summary": SUMMARY, "encrypted_content": MARK + "damaged"}, ReasoningPart("one\n\ntwo")),
    ],
)
def test_reasoning_keeps_its_proof(item: dict[str, Any], part: ReasoningPart) -> None:
    assert parts({"type": "reasoning", **item}) == [part]


def test_reasoning_that_only_the_api_could_find_leaves_nothing() -> None:
    assert parts({"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "hi"}) == [
        TextPart("hi")
    ]


def test_the_proof_of_a_call_finds_its_call_wherever_it_stands() -> None:
    proof = pack(Carried(Origin.GEMINI, "CsED", call_id="call_1"))
    item = {"type": "reasoning", "summary": [], "encrypted_content": proof}
    signed = ToolCallPart("call_1", "f", '{"a":1}', signature="CsED", origin=Origin.GEMINI)

    assert parts(CALL, item) == [signed]
    assert parts(item, CALL) == [signed]


def test_items_of_hosted_tools_are_kept_whole() -> None:
    items = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {"type": "quantum_call", "id": "q_1"},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    ]

    found = messages(*items)

    assert [message.role for message in found] == [Role.ASSISTANT, Role.USER]
    assert [part for message in found for part in message.parts] == [
        OpaquePart(Origin.OPENAI, item["type"], json.dumps(item).encode()) for item in items
    ]


def test_a_call_of_a_namespaced_tool_has_the_same_name() -> None:
    assert parts({**CALL, "namespace": "mcp__wiki", "name": "ask"})[0].name == "mcp__wiki-__-ask"
