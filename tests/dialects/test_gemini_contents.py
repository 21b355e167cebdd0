"""Conversations of Gemini callers: roles, media, calls and their results, signatures."""

import base64
import json
from typing import Any

from proxy.dialects.base import CallParams
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.hub.events import Origin
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

DIALECT = GeminiDialect()
PARAMS = CallParams({"version": "v1beta", "collection": "models", "model": "m", "verb": "streamGenerateContent"})


def decode(body: dict[str, Any], call: CallParams = PARAMS) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode(), call)


def of(*parts: dict[str, Any], role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": list(parts)}], **fields}


def messages(*contents: dict[str, Any]) -> list[tuple[Role, tuple[Any, ...]]]:
    return [(message.role, message.parts) for message in decode({"contents": list(contents)}).messages]


def test_roles_and_texts() -> None:
    assert messages(
        {"parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": {"text": "d"}},
    ) == [
        (Role.USER, (TextPart("a"), TextPart("b"))),
        (Role.ASSISTANT, (TextPart("c"),)),
        (Role.USER, (TextPart("d"),)),
    ]


def test_a_single_content_and_tool_may_stand_without_their_arrays() -> None:
    request = decode(
        {
            "contents": {"parts": {"text": "a"}},
            "system_instruction": {"parts": {"text": "s"}},
            "tools": {"function_declarations": {"name": "f"}},
        }
    )

    assert [message.role for message in request.messages] == [Role.SYSTEM, Role.USER]
    assert [tool.name for tool in request.tools] == ["f"]


def test_an_answer_kept_chunk_by_chunk_becomes_one_message() -> None:
    chunks = [
        {"text": "thin", "thought": True},
        {"text": "king", "thought": True, "thoughtSignature": "dA=="},
        {"text": "Hel"},
        {"text": "lo"},
        {"text": ""},
        {"text": "", "thoughtSignature": "eA=="},
        {"text": "signed", "thoughtSignature": "eQ=="},
    ]

    found = messages(
        {"role": "user", "parts": [{"text": "hi"}]}, *({"role": "model", "parts": [chunk]} for chunk in chunks)
    )

    assert found[1:] == [
        (
            Role.ASSISTANT,
            (
                ReasoningPart("thinking", "dA==", Origin.GEMINI),
                TextPart("Hello"),
                ReasoningPart("", "eA==", Origin.GEMINI),
                ReasoningPart("", "eQ==", Origin.GEMINI),
                TextPart("signed"),
            ),
        )
    ]


def test_media_of_every_kind() -> None:
    data = base64.urlsafe_b64encode(b"\xff\xfe\xfd\xfc").decode()
    standard = base64.b64encode(b"\xff\xfe\xfd\xfc").decode()

    (_, parts), *_ = messages(
        {
            "parts": [
                {"inlineData": {"mimeType": "image/PNG", "data": data.rstrip("=")}},
                {"inlineData": {"mimeType": "audio/wav", "data": data}},
                {"inlineData": {"mimeType": "application/pdf", "data": data, "displayName": "a.pdf"}},
                {"inlineData": {"mimeType": "video/mp4", "data": data}},
                {
                    "fileData": {
                        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f",
                        "mimeType": "image/png",
                    }
                },
                {"fileData": {"fileUri": "gs://b/doc.pdf"}},
                {"fileData": {"fileUri": "https://x.test/a.jpg?x=1"}},
                {"fileData": {"fileUri": "https://x.test/doc", "mimeType": "application/pdf"}},
                {
                    "inlineData": {"mimeType": "image/png", "data": "aGk="},
                    "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
                },
            ]
        }
    )

    assert "+" in standard or "/" in standard
    assert parts == (
        ImagePart(DataSource("image/png", standard)),
        AudioPart(standard, "wav"),
        FilePart(DataSource("application/pdf", standard), "a.pdf"),
        FilePart(DataSource("video/mp4", standard)),
        ImagePart(FileSource("https://generativelanguage.googleapis.com/v1beta/files/f", Origin.GEMINI)),
        FilePart(FileSource("gs://b/doc.pdf", Origin.GEMINI)),
        ImagePart(UrlSource("https://x.test/a.jpg?x=1")),
        FilePart(UrlSource("https://x.test/doc", "application/pdf")),
        ImagePart(DataSource("image/png", "aGk="), "high"),
    )


def test_calls_and_results_are_tied_together() -> None:
    call, other = {"name": "f", "args": {"a": 1}}, {"name": "g"}

    found = messages(
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"functionCall": call, "thoughtSignature": "eA=="}, {"functionCall": other}]},
        {
            "role": "function",
            "parts": [
                {"functionResponse": {"name": "g", "response": {"x": 1}}},
                {"functionResponse": {"name": "f", "response": {"error": "boom"}}},
                {"text": "and?"},
            ],
        },
        {"role": "model", "parts": [{"functionCall": {**call, "id": "own"}}, {"functionCall": call}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"second": True}}},
                {"functionResponse": {"name": "f", "id": "own", "response": {"first": True}}},
            ],
        },
    )

    assert found[1:4] == [
        (
            Role.ASSISTANT,
            (
                ToolCallPart("call_1", "f", '{"a": 1}', signature="eA==", origin=Origin.GEMINI),
                ToolCallPart("call_2", "g", "{}"),
            ),
        ),
        (
            Role.TOOL,
            (
                ToolResultPart("call_2", (TextPart('{"x": 1}'),), "g"),
                ToolResultPart("call_1", (TextPart('{"error": "boom"}'),), "f", is_error=True),
            ),
        ),
        (Role.USER, (TextPart("and?"),)),
    ]
    assert [part.call_id for part in found[5][1]] == ["call_4", "own"]


def test_pictures_in_a_result() -> None:
    found = messages(
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
        {
            "parts": [
                {
                    "functionResponse": {
                        "name": "f",
                        "response": {},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
                    }
                }
            ]
        },
    )

    assert found[1][1][0].parts == (TextPart("{}"), ImagePart(DataSource("image/png", "aGk=")))


def test_parts_that_only_this_api_knows_are_kept_whole() -> None:
    part = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "eA=="}

    (_, parts), *_ = messages({"role": "model", "parts": [part, {}]})

    assert [type(each) for each in parts] == [OpaquePart]
    assert (parts[0].origin, parts[0].type, json.loads(parts[0].json)) == (Origin.GEMINI, "executableCode", part)


def test_fields_of_parts_that_nobody_stands_for_are_named() -> None:
    body = of({"text": "a", "videoMetadata": {"fps": 1}}, role="user")

    assert decode(body).extensions == {"contents[0].parts[0].videoMetadata": b'{"fps": 1}'}
