from typing import Any

import msgspec
import pytest

from proxy.dialects.ui_messages import DENIED, UIConversation, read_ui_messages
from proxy.hub.carried import Carried, pack
from proxy.hub.errors import CallerError
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    AudioPart,
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

HI = {"role": "user", "parts": [{"type": "text", "text": "hi"}]}
USER = Message(Role.USER, (TextPart("hi"),))


def read(*messages: Any) -> UIConversation:
    return read_ui_messages([msgspec.Raw(msgspec.json.encode(message)) for message in messages], "messages")


def assistant(*parts: Any) -> tuple[Message, ...]:
    return tuple(read(HI, {"id": "a", "role": "assistant", "parts": list(parts)}).messages[1:])


def test_roles_and_texts_are_read_in_order() -> None:
    system = {"role": "system", "parts": [{"type": "text", "text": "Be brief"}]}

    assert read(system, HI).messages == [Message(Role.SYSTEM, (TextPart("Be brief"),)), USER]


def test_steps_are_turns_and_results_follow_their_step() -> None:
    call = {"type": "tool-get_weather", "toolCallId": "c1", "state": "output-available", "input": {"city": "Oslo"}}

    assert assistant(
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm.", "providerMetadata": {"anthropic": {"signature": "s"}}},
        {**call, "output": {"c": 4}},
        {"type": "step-start"},
        {"type": "text", "text": "4 °C"},
    ) == (
        Message(
            Role.ASSISTANT,
            (
                ReasoningPart("Hm.", "s", Origin.ANTHROPIC),
                ToolCallPart("c1", "get_weather", '{"city":"Oslo"}'),
            ),
        ),
        Message(Role.TOOL, (ToolResultPart("c1", (TextPart('{"c":4}'),), "get_weather"),)),
        Message(Role.ASSISTANT, (TextPart("4 °C"),)),
    )


STATES: list[tuple[dict[str, Any], tuple[str, bool] | None]] = [
    ({"state": "input-available", "input": {}}, None),
    ({"state": "output-available", "input": {}, "output": "text"}, ("text", False)),
    ({"state": "output-available", "input": {}}, ("", False)),
    ({"state": "output-error", "input": {}, "errorText": "Broken"}, ("Broken", True)),
    ({"state": "output-denied", "input": {}, "approval": {"id": "1", "approved": False, "reason": "No"}}, ("No", True)),
    ({"state": "approval-responded", "input": {}, "approval": {"id": "1", "approved": False}}, (DENIED, True)),
    ({"state": "approval-responded", "input": {}, "approval": {"id": "1", "approved": True}}, None),
]


@pytest.mark.parametrize(("fields", "result"), STATES)
def test_each_state_of_a_call_has_its_result(fields: dict[str, Any], result: tuple[str, bool] | None) -> None:
    found = assistant({"type": "dynamic-tool", "toolName": "f", "toolCallId": "c", **fields})

    assert found[0] == Message(Role.ASSISTANT, (ToolCallPart("c", "f", "{}"),))
    expected = () if result is None else (Message(Role.TOOL, (_result(*result),)),)
    assert found[1:] == expected


def _result(text: str, is_error: bool) -> ToolResultPart:
    return ToolResultPart("c", (TextPart(text),), "f", is_error)


def test_calls_keep_signatures_and_free_text() -> None:
    metadata = {"google": {"thoughtSignature": "g"}}
    part = {"type": "tool-sh", "toolCallId": "c", "state": "input-available", "input": "ls"}

    assert assistant({**part, "callProviderMetadata": metadata})[0].parts == (
        ToolCallPart("c", "sh", "ls", ToolKind.CUSTOM, "g", Origin.GEMINI),
    )


def test_input_that_was_no_json_goes_back_as_it_came() -> None:
    part = {"type": "tool-f", "toolCallId": "c", "state": "output-error", "rawInput": '{"a":', "errorText": "x"}

    assert assistant(part)[0].parts == (ToolCallPart("c", "f", '{"a":'),)


def test_what_the_interface_alone_needs_is_left_out() -> None:
    found = read(
        HI,
        {
            "role": "assistant",
            "parts": [
                {"type": "source-url", "sourceId": "s", "url": "u"},
                {"type": "data-toast", "data": [1]},
                {"type": "tool-f", "toolCallId": "c", "state": "input-streaming"},
                {"type": "text", "text": ""},
                {"type": "text", "text": "Hi"},
            ],
        },
    )

    assert found.messages[1:] == [Message(Role.ASSISTANT, (TextPart("Hi"),))]
    assert found.unknown == {}


def test_what_nobody_takes_back_is_named() -> None:
    server = {"type": "tool-search", "toolCallId": "s", "state": "output-available", "providerExecuted": True}
    found = read(HI, {"role": "assistant", "parts": [server, {"type": "hologram"}]})

    assert set(found.unknown) == {"messages[1].parts[0]", "messages[1].parts[1]"}


def test_what_stands_beside_a_users_text_in_version_4_is_named() -> None:
    """Found by fuzzing."""
    invocation = {"state": "result", "toolCallId": "c", "toolName": "f", "args": {}, "result": 1}
    message = {"role": "user", "content": "hi", "reasoning": "r", "toolInvocations": [invocation]}

    found = read_ui_messages([msgspec.Raw(msgspec.json.encode(message))], "messages")

    assert [message.parts for message in found.messages] == [(TextPart("hi"),)]
    assert set(found.unknown) == {"messages[0].reasoning", "messages[0].toolInvocations[0]"}


def test_steering_is_what_the_user_says_between_steps() -> None:
    steering = {"type": "steering-message", "parts": [{"type": "text", "text": "Stop"}]}

    assert [message.role for message in assistant({"type": "text", "text": "A"}, steering)] == ["assistant", "user"]


FILES = [
    ({"mediaType": "image/png", "url": "data:image/png;base64,aGk="}, ImagePart(DataSource("image/png", "aGk="))),
    ({"mediaType": "image/jpeg", "url": "https://e.com/a"}, ImagePart(UrlSource("https://e.com/a"))),
    ({"mediaType": "audio/mpeg", "url": "data:audio/mpeg;base64,aGk="}, AudioPart("aGk=", "mp3")),
    (
        {"mediaType": "application/pdf", "url": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
        FilePart(DataSource("application/pdf", "aGk="), "a.pdf"),
    ),
    ({"mimeType": "image/png", "data": "aGk="}, ImagePart(DataSource("image/png", "aGk="))),
]


@pytest.mark.parametrize(("fields", "part"), FILES)
def test_files_of_all_versions_are_read(fields: dict[str, Any], part: object) -> None:
    found = read({"role": "user", "parts": [{"type": "file", **fields}]})

    assert found.messages == [Message(Role.USER, (part,))]  # type: ignore[arg-type]


# --- version 4


def test_attachments_are_files_of_the_user() -> None:
    attachment = {"name": "a.png", "contentType": "image/png", "url": "data:image/png;base64,aGk="}

    found = read({"role": "user", "content": "Look", "experimental_attachments": [attachment]})

    assert found.messages[0].parts == (TextPart("Look"), ImagePart(DataSource("image/png", "aGk=")))


def test_content_of_version_4_is_not_read_twice() -> None:
    message = {"role": "user", "content": "hi", "parts": [{"type": "text", "text": "hi"}]}

    assert read(message).messages == [USER]


def test_details_of_version_4_keep_their_proofs() -> None:
    packed = pack(Carried(Origin.GEMINI, "g"))
    details = [
        {"type": "text", "text": "A", "signature": "s"},
        {"type": "redacted", "data": "r"},
        {"type": "text", "text": "B", "signature": packed},
        {"type": "text", "text": "C"},
    ]

    assert assistant({"type": "reasoning", "reasoning": "ABC", "details": details})[0].parts == (
        ReasoningPart("A", "s", Origin.ANTHROPIC),
        ReasoningPart("", redacted="r", origin=Origin.ANTHROPIC),
        ReasoningPart("B", "g", Origin.GEMINI),
        ReasoningPart("C"),
    )


def test_a_calls_proof_of_version_4_stands_in_the_details_of_its_step() -> None:
    proof = {"type": "redacted", "data": pack(Carried(Origin.GEMINI, "s", "c1"))}
    invocation = {"state": "call", "toolCallId": "c1", "toolName": "f", "args": {}}
    call = {"type": "tool-invocation", "toolInvocation": invocation}

    for parts in (
        [{"type": "reasoning", "reasoning": "", "details": [proof]}, call],
        [call, {"type": "reasoning", "reasoning": "", "details": [proof]}],
    ):
        assert assistant(*parts, {"type": "step-start"}, call) == (
            Message(Role.ASSISTANT, (ToolCallPart("c1", "f", "{}", signature="s", origin=Origin.GEMINI),)),
            Message(Role.ASSISTANT, (ToolCallPart("c1", "f", "{}"),)),
        )


@pytest.mark.parametrize("in_parts", [True, False])
def test_invocations_of_version_4_are_calls_with_results(in_parts: bool) -> None:
    calls = [
        {"state": "result", "toolCallId": "c", "toolName": "f", "args": {"a": 1}, "result": "ok"},
        {"state": "partial-call", "toolCallId": "d", "toolName": "f"},
    ]
    parts = {"parts": [{"type": "tool-invocation", "toolInvocation": call} for call in calls]}

    found = read(HI, {"role": "assistant", "content": "", **(parts if in_parts else {"toolInvocations": calls})})

    assert found.messages[1:] == [
        Message(Role.ASSISTANT, (ToolCallPart("c", "f", '{"a":1}'),)),
        Message(Role.TOOL, (ToolResultPart("c", (TextPart("ok"),), "f"),)),
    ]


BAD: list[tuple[Any, str]] = [
    ({"role": "king", "parts": []}, "messages[0].role"),
    ({"parts": []}, "messages[0].role"),
    ({"role": "user", "parts": [{"text": "x"}]}, "messages[0].parts[0].type"),
    ({"role": "user", "parts": [{"type": "text", "text": 5}]}, "messages[0].parts[0].text"),
    ({"role": "user", "parts": "hi"}, "messages[0].parts"),
    ({"role": "user", "parts": []}, "messages"),
    ({"role": "user", "parts": [{"type": "file", "mediaType": "image/png"}]}, "messages[0].parts[0].url"),
    ({"role": "user", "parts": [{"type": "file", "url": "data:x"}]}, "messages[0].parts[0].url"),
    ({"role": "user", "parts": [{"type": "file", "mimeType": "a/b", "data": 5}]}, "messages[0].parts[0].data"),
    ({"role": "assistant", "parts": [{"type": "tool-f", "state": "x"}]}, "messages[0].parts[0].toolCallId"),
    ({"role": "assistant", "parts": [{"type": "dynamic-tool", "toolCallId": "c"}]}, "messages[0].parts[0].toolName"),
    ({"role": "assistant", "parts": [{"type": "tool-invocation"}]}, "messages[0].parts[0].toolInvocation"),
]


@pytest.mark.parametrize(("message", "param"), BAD)
def test_bad_messages_are_refused_with_their_path(message: Any, param: str) -> None:
    with pytest.raises(CallerError) as refusal:
        read(message)

    assert refusal.value.param == param
