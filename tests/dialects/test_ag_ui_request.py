import json
from typing import Any

import pytest

from proxy.dialects.ag_ui_request import decode_envelope, decode_request
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.hub.carried import Carried, pack
from proxy.hub.errors import CallerError
from proxy.hub.events import Origin
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

USER = {"id": "u", "role": "user", "content": "hi"}
SAID = Message(Role.USER, (TextPart("hi"),))


def decode(*messages: Any, **fields: Any) -> ChatRequest:
    body = {"threadId": "t", "runId": "r", "messages": list(messages), **fields}
    return decode_request(json.dumps(body).encode(), read_chat)


def test_a_turn_in_pieces_is_one_message() -> None:
    signed, called = pack(Carried(Origin.ANTHROPIC, "s")), pack(Carried(Origin.GEMINI, "g", "c1"))
    closed = pack(Carried(Origin.OPENAI, "e", is_redacted=True))
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}, "encryptedValue": called}

    assert decode(
        USER,
        {"id": "r1", "role": "reasoning", "content": "Hm.", "encryptedValue": signed},
        {"id": "rs_1", "role": "reasoning", "content": "", "encryptedValue": closed},
        {"id": "a", "role": "assistant", "content": "Let me see."},
        {"id": "b", "role": "assistant", "toolCalls": [call]},
        {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "4 °C"},
        {"id": "t2", "role": "tool", "toolCallId": "c2", "content": "", "error": "Broken"},
        {"id": "p", "role": "activity", "activityType": "x", "content": {}},
        USER,
    ).messages == (
        SAID,
        Message(
            Role.ASSISTANT,
            (
                ReasoningPart("Hm.", "s", Origin.ANTHROPIC),
                ReasoningPart("", redacted="e", origin=Origin.OPENAI, id="rs_1"),
                TextPart("Let me see."),
                ToolCallPart("c1", "f", "{}", signature="g", origin=Origin.GEMINI),
            ),
        ),
        Message(
            Role.TOOL,
            (
                ToolResultPart("c1", (TextPart("4 °C"),)),
                ToolResultPart("c2", (TextPart("Broken"),), is_error=True),
            ),
        ),
        SAID,
    )


def test_proofs_of_other_agents_are_nobodys() -> None:
    reasoning = {"id": "r", "role": "reasoning", "content": "Hm.", "encryptedValue": "theirs"}

    assert decode(USER, reasoning).messages[1].parts == (ReasoningPart("Hm."),)


PARTS = [
    ({"type": "text", "text": "hi"}, TextPart("hi")),
    (
        {"type": "image", "source": {"type": "data", "value": "aGk=", "mimeType": "image/png"}},
        ImagePart(DataSource("image/png", "aGk=")),
    ),
    ({"type": "image", "source": {"type": "url", "value": "https://e.com/a"}}, ImagePart(UrlSource("https://e.com/a"))),
    (
        {"type": "audio", "source": {"type": "data", "value": "aGk=", "mimeType": "audio/mpeg"}},
        AudioPart("aGk=", "mp3"),
    ),
    (
        {"type": "document", "source": {"type": "data", "value": "aGk=", "mimeType": "application/pdf"}},
        FilePart(DataSource("application/pdf", "aGk=")),
    ),
    (
        {"type": "binary", "mimeType": "image/png", "data": "aGk="},
        ImagePart(DataSource("image/png", "aGk=")),
    ),
    (
        {"type": "binary", "mimeType": "application/pdf", "url": "https://e.com/a", "filename": "a.pdf"},
        FilePart(UrlSource("https://e.com/a"), "a.pdf"),
    ),
]


@pytest.mark.parametrize(("part", "found"), PARTS)
def test_parts_are_read(part: Any, found: object) -> None:
    assert decode({"id": "u", "role": "user", "content": [part]}).messages[0].parts == (found,)


def test_context_and_settings_stand_outside_the_messages() -> None:
    chat = decode(
        USER,
        context=[{"description": "Page", "value": "Home"}, {"description": "", "value": "Dark"}],
        tools=[{"name": "f", "description": "F", "parameters": {"type": "object"}}],
        forwardedProps={"model": "demo", "maxOutputTokens": 50, "stream": False},
        state={"count": 1},
    )

    assert chat.messages[0] == Message(Role.SYSTEM, (TextPart("Page: Home\n\nDark"),))
    assert [tool.name for tool in chat.tools] == ["f"]
    assert (chat.model, chat.sampling.max_tokens, chat.stream) == ("demo", 50, False)
    assert set(chat.extensions) == {"state"}


@pytest.mark.parametrize("props", [None, 5, "x", [1]])
def test_props_that_are_no_object_say_nothing(props: object) -> None:
    body = json.dumps({"messages": [USER], "forwardedProps": props}).encode()

    assert decode_envelope(body).model is None
    assert decode(USER, forwardedProps=props).messages == (SAID,)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"id": "x", "role": "king"}], "messages[0].role"),
        ([{"id": "x", "role": "user", "content": 5}], "messages[0].content"),
        ([{"id": "x", "role": "user", "content": ""}], "messages"),
        ([{"id": "x", "role": "user", "content": [{"type": "smell"}]}], "messages[0].content[0].type"),
        ([{"id": "x", "role": "user", "content": [{"type": "image"}]}], "messages[0].content[0].source"),
        (
            [{"id": "x", "role": "user", "content": [{"type": "image", "source": {"type": "file", "value": "f"}}]}],
            "messages[0].content[0].source.type",
        ),
        ([{"id": "x", "role": "tool", "content": "x"}], "messages[0].toolCallId"),
        ([{"id": "x", "role": "assistant", "toolCalls": [{"id": "c"}]}], "messages[0].toolCalls[0].function"),
    ],
)
def test_bad_messages_are_named(messages: list[Any], param: str) -> None:
    with pytest.raises(CallerError) as refusal:
        decode(*messages)

    assert refusal.value.param == param
