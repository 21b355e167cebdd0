"""Conversations for Chat Completions vendors: roles, media, results of tools, and what earlier turns hold."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest

from proxy.hub.errors import CallerError
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
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.openai_chat.messages import MOVED, NO_RESULT
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.openai_chat_api import target

HI = Message(Role.USER, (TextPart("hi"),))
PNG = DataSource("image/png", "AAAA")


def user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def tool(*results: ToolResultPart) -> Message:
    return Message(Role.TOOL, results)


def result(call_id: str, text: str = "ok", **fields: Any) -> ToolResultPart:
    return ToolResultPart(call_id, (TextPart(text),), **fields)


def encode(request: ChatRequest, **quirks: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    upstream = OpenAIChat().encode_request(request, target(**quirks))
    return json.loads(upstream.body), upstream.dropped


def messages(*given: Message, **quirks: Any) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = encode(ChatRequest("alias", given), **quirks)[0]["messages"]
    return written


def test_texts_become_one_string_where_that_says_the_same() -> None:
    assert messages(
        Message(Role.SYSTEM, (TextPart("a"), TextPart("b"))),
        user(TextPart("c")),
        assistant(TextPart("d"), TextPart("e")),
        Message(Role.USER, (TextPart("f"), TextPart("g")), name="bob"),
    ) == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "de"},
        {"role": "user", "content": [{"type": "text", "text": "f"}, {"type": "text", "text": "g"}], "name": "bob"},
    ]


def test_media_of_every_kind() -> None:
    text = DataSource("text/plain", b64encode("né".encode()).decode())
    written = messages(
        user(
            ImagePart(UrlSource("https://a/b.png"), "high"),
            ImagePart(PNG),
            AudioPart("AAAA", "wav"),
            FilePart(DataSource("application/pdf", "AAAA"), "a.pdf"),
            FilePart(FileSource("file_1", Origin.OPENAI)),
            FilePart(text, "notes.txt"),
            FilePart(PNG),
        )
    )

    assert written[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "text", "text": "notes.txt\n\nné"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (ImagePart(FileSource("f", Origin.ANTHROPIC)), "not an uploaded file"),
        (FilePart(FileSource("f", Origin.ANTHROPIC)), "uploaded to another provider"),
        (FilePart(UrlSource("https://a/b.pdf")), "not its URL"),
        (FilePart(DataSource("text/plain", "!")), "not valid base64"),
    ],
)
def test_media_that_cannot_be_sent_is_refused(part: Part, reason: str) -> None:
    with pytest.raises(CallerError, match=reason) as fault:
        messages(user(TextPart("x"), part))

    assert fault.value.param == "messages[0].content[1]"


def test_a_file_may_be_a_url_where_the_vendor_fetches_it() -> None:
    written = messages(user(FilePart(UrlSource("https://a/b.pdf"))), file_urls=True)

    assert written[0]["content"][0]["file"] == {"filename": "b.pdf", "file_data": "https://a/b.pdf"}


def test_a_vendor_of_strings_gets_strings_and_no_media() -> None:
    assert messages(user(TextPart("a"), TextPart("b")), string_content=True)[0]["content"] == "a\nb"
    with pytest.raises(CallerError, match="text only"):
        messages(user(TextPart("a"), ImagePart(PNG)), string_content=True)


def test_roles_of_system_messages() -> None:
    system = Message(Role.SYSTEM, (TextPart("s"),))

    assert messages(system, system_role="developer")[0]["role"] == "developer"
    assert messages(system, system, HI, system, system_first=True) == [
        {"role": "system", "content": "s\n\ns"},
        {"role": "user", "content": "hi"},
        {"role": "user", "content": "s"},
    ]


def test_neighbours_of_one_role_are_joined_for_a_vendor_of_turns() -> None:
    call = assistant(ToolCallPart("a", "f", "{}"))

    assert messages(HI, user(ImagePart(PNG)), assistant(TextPart("x")), call, alternate_roles=True)[:2] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {"role": "assistant", "content": "x"},
    ]


# --- calls and results

CALL = ToolCallPart("call_1", "f", '{"a":1}')


def test_calls_and_their_results() -> None:
    assert messages(HI, assistant(CALL), tool(result("call_1"))) == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
    ]


@pytest.mark.parametrize(("quirk", "expected"), [("null", [None]), ("empty", [""]), ("absent", [])])
def test_empty_content_beside_calls(quirk: str, expected: list[object]) -> None:
    written = messages(assistant(CALL), tool(result("call_1")), empty_content=quirk)[0]

    assert [written[name] for name in ("content",) if name in written] == expected


def test_results_follow_their_calls_whatever_stood_between() -> None:
    written = messages(
        assistant(CALL, ToolCallPart("call_2", "g", "")),
        tool(result("call_2", "two")),
        HI,
        tool(result("call_1", "one", is_error=True)),
    )

    assert [(one["role"], one.get("tool_call_id"), one["content"]) for one in written[1:]] == [
        ("tool", "call_1", "Error: one"),
        ("tool", "call_2", "two"),
        ("user", None, "hi"),
    ]
    assert written[0]["tool_calls"][1]["function"]["arguments"] == "{}"


def test_a_missing_result_is_filled_in_unless_the_call_is_the_last_word() -> None:
    assert messages(assistant(CALL), HI)[1] == {"role": "tool", "tool_call_id": "call_1", "content": NO_RESULT}
    assert len(messages(HI, assistant(CALL))) == 2


def test_a_result_without_a_call_is_left_to_the_provider() -> None:
    assert messages(HI, tool(result("nobody")))[1] == {"role": "tool", "tool_call_id": "nobody", "content": "ok"}


def test_an_id_that_comes_again_is_answered_turn_by_turn() -> None:
    turn = (assistant(CALL), tool(result("call_1", "first")), assistant(CALL), tool(result("call_1", "second")))

    assert [one["content"] for one in messages(*turn) if one["role"] == "tool"] == ["first", "second"]


def test_media_in_results_move_to_a_user_message() -> None:
    shown = ToolResultPart("call_1", (ImagePart(PNG),))

    written = messages(assistant(CALL, ToolCallPart("call_2", "g", "{}")), tool(shown, result("call_2")), HI)

    assert [one["role"] for one in written] == ["assistant", "tool", "tool", "user", "user"]
    assert written[1]["content"] == MOVED
    assert written[3]["content"] == [
        {"type": "text", "text": "Result of the tool call call_1:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]


@pytest.mark.parametrize(
    ("quirk", "given", "pattern"),
    [
        ("at_most_40", "toolu_" + "x" * 50, r"call_[0-9a-f]{32}"),
        ("at_most_40", "functions.add:0", r"functions\.add:0"),
        ("nine_alphanumeric", "call_abc", r"[0-9a-f]{9}"),
        ("nine_alphanumeric", "abcDEF123", "abcDEF123"),
        ("any", "x" * 90, "x{90}"),
    ],
)
def test_ids_are_such_as_the_vendor_takes(quirk: str, given: str, pattern: str) -> None:
    written = messages(assistant(ToolCallPart(given, "f", "{}")), tool(result(given)), tool_call_ids=quirk)

    call_id = written[0]["tool_calls"][0]["id"]
    assert written[1]["tool_call_id"] == call_id
    assert re.fullmatch(pattern, call_id)


def test_tool_messages_may_carry_the_tools_name() -> None:
    assert messages(assistant(CALL), tool(result("call_1")), tool_names=True)[1]["name"] == "f"


def test_free_text_calls_in_the_history() -> None:
    turn = (assistant(ToolCallPart("a", "patch", "*** x", ToolKind.CUSTOM)), tool(result("a")))

    assert messages(*turn)[0]["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** x"}
    wrapped = messages(*turn, custom_tools=False)[0]["tool_calls"][0]["function"]
    assert json.loads(wrapped["arguments"]) == {"input": "*** x"}


# --- what only its maker understands


def test_foreign_things_are_left_out_and_named() -> None:
    history = assistant(
        ReasoningPart("why", "sig", Origin.ANTHROPIC),
        ToolCallPart("s", "web_search", "{}", ToolKind.SERVER),
        OpaquePart(Origin.ANTHROPIC, "compaction", b"{}"),
        ToolCallPart("a", "f", "{}", signature="s", origin=Origin.GEMINI),
        TextPart("ok"),
    )

    body, dropped = encode(ChatRequest("m", (history, tool(result("a")), HI)))

    assert body["messages"][0] == {
        "role": "assistant",
        "content": "ok",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert dropped == (
        "messages[0].content[0]: reasoning",
        "messages[0].content[1]: server tool web_search",
        "messages[0].content[2]: compaction",
        "messages[0].content[3]: signature",
    )


def test_a_turn_of_which_nothing_is_left_is_left_out() -> None:
    assert [one["role"] for one in messages(HI, assistant(ReasoningPart("why")), HI)] == ["user", "user"]


OWN = '{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1","index":0}'
CLOSED = '{"type":"reasoning.encrypted","data":"d","id":"rs_1"}'


@pytest.mark.parametrize(
    ("quirk", "has_call", "expected"),
    [
        ("reasoning", False, {"reasoning": "why"}),
        ("reasoning_content", False, {"reasoning_content": "why"}),
        ("with_tool_calls", True, {"reasoning_content": "why"}),
        ("with_tool_calls", False, {}),
        (
            "details",
            False,
            {
                "reasoning_details": [
                    {**json.loads(OWN), "text": "why"},
                    json.loads(CLOSED),
                ]
            },
        ),
    ],
)
def test_reasoning_goes_back_as_the_vendor_wants_it(quirk: str, has_call: bool, expected: dict[str, Any]) -> None:
    parts: list[Part] = [
        ReasoningPart("why", OWN, Origin.OPENROUTER),
        ReasoningPart("", redacted=CLOSED, origin=Origin.OPENROUTER),
        TextPart("ok"),
    ]
    if has_call:
        parts.append(CALL)

    written = messages(assistant(*parts), tool(result("call_1")), reasoning_replay=quirk)[0]

    assert {name: value for name, value in written.items() if name.startswith("reasoning")} == expected
    assert written["content"] == "ok"


def test_mistral_takes_reasoning_as_chunks() -> None:
    written = messages(assistant(ReasoningPart("why"), TextPart("ok")), reasoning_replay="chunks")[0]

    assert written["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]},
        {"type": "text", "text": "ok"},
    ]


def test_geminis_signature_goes_back_with_its_call() -> None:
    signed = ToolCallPart("a", "f", "{}", signature="sig", origin=Origin.GEMINI)

    written = messages(assistant(signed), tool(result("a")), thought_signatures=True)[0]

    assert written["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}


def test_refusals_and_spoken_answers_go_back() -> None:
    audio = OpaquePart(Origin.OPENAI, "audio", b'{"id":"audio_1"}')

    assert messages(assistant(RefusalPart("no")), assistant(audio)) == [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
    ]


def test_cache_marks_go_where_they_are_understood() -> None:
    mark = b'{"type":"ephemeral"}'
    request = ChatRequest(
        "m",
        (Message(Role.SYSTEM, (TextPart("s", mark),)), HI),
        tools=(ToolDefinition("f", cache=mark),),
    )

    plain, dropped = encode(request)
    marked, none_dropped = encode(request, cache_marks=True)

    assert plain["messages"][0]["content"] == "s"
    assert dropped == ("cache_control",)
    assert marked["messages"][0]["content"] == [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    assert marked["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert none_dropped == ()
