"""The API's rules about turns, as a table of conversations: what the caller says, and what is sent."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ToolResultPart,
    UrlSource,
)
from proxy.providers.anthropic.messages import EMPTY_TURN, FIRST_TURN, NO_RESULT
from proxy.providers.anthropic.request import encode_request
from proxy.providers.base import Target
from proxy.providers.quirks import Quirks

TARGET = Target("anthropic", "claude-sonnet-4-5")


def send(*messages: Message, target: Target = TARGET) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body sent for a conversation, and what was dropped."""
    request = encode_request(ChatRequest("m", messages), target)
    return json.loads(request.body), request.dropped


def short(body: dict[str, Any]) -> list[str]:
    """A conversation in one line a turn: `user: result(a) text(Hi)`."""
    return [f"{turn['role']}: {' '.join(map(_short_block, turn['content']))}" for turn in body["messages"]]


def _short_block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "text":
            return f"text({block['text']})"
        case "tool_use":
            return f"call({block['id']})"
        case "tool_result" if block.get("is_error"):
            assert block["content"] == NO_RESULT
            return f"missing({block['tool_use_id']})"
        case "tool_result":
            return f"result({block['tool_use_id']})"
        case kind:
            return str(kind)


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, _parts(parts))


def assistant(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, _parts(parts))


def system(*parts: Part | str) -> Message:
    return Message(Role.SYSTEM, _parts(parts))


def tool(*ids: str) -> Message:
    return Message(Role.TOOL, tuple(ToolResultPart(id, (TextPart(f"of {id}"),)) for id in ids))


def _parts(parts: tuple[Part | str, ...]) -> tuple[Part, ...]:
    return tuple(TextPart(part) if isinstance(part, str) else part for part in parts)


def call(id: str, arguments: str = "{}", kind: ToolKind = ToolKind.FUNCTION) -> ToolCallPart:
    return ToolCallPart(id, "f", arguments, kind)


CONVERSATIONS: dict[str, tuple[list[Message], list[str]]] = {
    "one message": ([user("Hi")], ["user: text(Hi)"]),
    "neighbours of one role are merged in order": (
        [user("a"), user("b"), assistant("c"), assistant("d"), user("e")],
        ["user: text(a) text(b)", "assistant: text(c) text(d)", "user: text(e)"],
    ),
    "the assistant does not begin": (
        [assistant("Hello!"), user("Hi")],
        [f"user: text({FIRST_TURN})", "assistant: text(Hello!)", "user: text(Hi)"],
    ),
    "blank texts go": ([user("a", "", "  \n", "b")], ["user: text(a) text(b)"]),
    "an empty user message keeps its turn": (
        [user("a"), assistant("b"), user("")],
        ["user: text(a)", "assistant: text(b)", f"user: text({EMPTY_TURN})"],
    ),
    "an empty assistant message goes": ([user("a"), assistant(""), user("b")], ["user: text(a) text(b)"]),
    "the end of a prefill is trimmed": ([user("a"), assistant("b \n")], ["user: text(a)", "assistant: text(b)"]),
    "only the last turn is trimmed": (
        [user("a "), assistant("b "), user("c ")],
        ["user: text(a )", "assistant: text(b )", "user: text(c )"],
    ),
    "a refusal is text": (
        [user("a"), assistant(RefusalPart("no")), user("b")],
        ["user: text(a)", "assistant: text(no)", "user: text(b)"],
    ),
    "a result answers its call": (
        [user("q"), assistant("hm", call("a")), tool("a")],
        ["user: text(q)", "assistant: text(hm) call(a)", "user: result(a)"],
    ),
    "all results of a turn come in one turn": (
        [user("q"), assistant(call("a"), call("b")), tool("a"), tool("b"), user("go")],
        ["user: text(q)", "assistant: call(a) call(b)", "user: result(a) result(b) text(go)"],
    ),
    "results come before any text of their turn": (
        [user("q"), assistant(call("a"), call("b")), tool("a"), user("hurry"), tool("b")],
        ["user: text(q)", "assistant: call(a) call(b)", "user: result(a) result(b) text(hurry)"],
    ),
    "results may come in any order": (
        [user("q"), assistant(call("a"), call("b")), tool("b", "a")],
        ["user: text(q)", "assistant: call(a) call(b)", "user: result(b) result(a)"],
    ),
    "calls in two messages are one turn": (
        [user("q"), assistant(call("a")), assistant(call("b")), tool("a"), tool("b")],
        ["user: text(q)", "assistant: call(a) call(b)", "user: result(a) result(b)"],
    ),
    "a missing result is an error": (
        [user("q"), assistant(call("a"), call("b")), tool("b"), user("go")],
        ["user: text(q)", "assistant: call(a) call(b)", "user: result(b) missing(a) text(go)"],
    ),
    "no result at all": (
        [user("q"), assistant(call("a")), user("go")],
        ["user: text(q)", "assistant: call(a)", "user: missing(a) text(go)"],
    ),
    "unanswered calls at the end": (
        [user("q"), assistant(call("a"))],
        ["user: text(q)", "assistant: call(a)", "user: missing(a)"],
    ),
    "a late result is told as text, and its call has an error": (
        [user("q"), assistant(call("a"), call("b")), tool("a"), assistant("hm"), tool("b")],
        [
            "user: text(q)",
            "assistant: call(a) call(b)",
            "user: result(a) missing(b)",
            "assistant: text(hm)",
            "user: text(Result of the tool call 'b':) text(of b)",
        ],
    ),
    "a result without a call is told as text": (
        [user("q"), tool("z")],
        ["user: text(q) text(Result of the tool call 'z':) text(of z)"],
    ),
    "a second result is told as text": (
        [user("q"), assistant(call("a")), tool("a"), tool("a")],
        [
            "user: text(q)",
            "assistant: call(a)",
            "user: result(a) text(Result of the tool call 'a':) text(of a)",
        ],
    ),
    "a loop of calls": (
        [user("q"), assistant(call("a")), tool("a"), assistant(call("b")), tool("b"), assistant("done"), user("ok")],
        [
            "user: text(q)",
            "assistant: call(a)",
            "user: result(a)",
            "assistant: call(b)",
            "user: result(b)",
            "assistant: text(done)",
            "user: text(ok)",
        ],
    ),
    "an id used again is another call": (
        [user("q"), assistant(call("0")), tool("0"), assistant(call("0")), tool("0")],
        ["user: text(q)", "assistant: call(0)", "user: result(0)", "assistant: call(0_2)", "user: result(0_2)"],
    ),
    "an id used twice in one turn": (
        [user("q"), assistant(call("0"), call("0")), tool("0", "0")],
        ["user: text(q)", "assistant: call(0) call(0_2)", "user: result(0) result(0_2)"],
    ),
    "ids get good characters": (
        [user("q"), assistant(call("functions.f:0")), tool("functions.f:0")],
        ["user: text(q)", "assistant: call(functions_f_0)", "user: result(functions_f_0)"],
    ),
    "a result in a user message": (
        [user("q"), assistant(call("a")), user("x", ToolResultPart("a", ()))],
        ["user: text(q)", "assistant: call(a)", "user: result(a) text(x)"],
    ),
    "reasoning with Anthropic's proof": (
        [user("q"), assistant(ReasoningPart("hm", "sig", Origin.ANTHROPIC), call("a")), tool("a")],
        ["user: text(q)", "assistant: thinking call(a)", "user: result(a)"],
    ),
    "reasoning without an answer goes": (
        [user("q"), assistant(ReasoningPart("hm", "sig", Origin.ANTHROPIC)), user("b")],
        ["user: text(q) text(b)"],
    ),
    "reasoning in a message of its own": (
        [user("q"), assistant(ReasoningPart("hm", "sig", Origin.ANTHROPIC)), assistant(call("a")), tool("a")],
        ["user: text(q)", "assistant: thinking call(a)", "user: result(a)"],
    ),
    "a later system message is user text": (
        [user("q"), assistant("a"), system("be brief"), user("b")],
        ["user: text(q)", "assistant: text(a)", "user: text(be brief) text(b)"],
    ),
    "blocks that only Anthropic knows": (
        [user("q"), assistant("a", OpaquePart(Origin.ANTHROPIC, "server_tool_use", b'{"type":"server_tool_use"}'))],
        ["user: text(q)", "assistant: text(a) server_tool_use"],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_turns_follow_the_rules(name: str) -> None:
    messages, expected = CONVERSATIONS[name]

    body, _ = send(*messages)

    assert short(body) == expected


DROPPED: dict[str, tuple[list[Message], tuple[str, ...]]] = {
    "nothing": ([system("s"), user("q"), assistant(call("a")), tool("a")], ()),
    "a name": ([Message(Role.USER, (TextPart("q"),), name="ann")], ("messages[0].name",)),
    "unproved reasoning": ([user("q"), assistant(ReasoningPart("hm"), "a")], ("messages[1].parts[0]: reasoning",)),
    "another family's reasoning": (
        [user("q"), assistant("a", ReasoningPart("hm", "sig", Origin.GEMINI))],
        ("messages[1].parts[1]: reasoning",),
    ),
    "another family's block": (
        [user("q"), assistant("a", OpaquePart(Origin.OPENAI, "web_search_call", b"{}"))],
        ("messages[1].parts[1]: web_search_call",),
    ),
    "a call that the provider ran": (
        [user("q"), assistant("a", call("s", kind=ToolKind.SERVER))],
        ("messages[1].parts[1]: tool call",),
    ),
    "an image of the assistant": (
        [user("q"), assistant("a", ImagePart(UrlSource("https://x/y.png")))],
        ("messages[1].parts[1]: image",),
    ),
    "an image in the system text": (
        [system("s", ImagePart(UrlSource("u"))), user("q")],
        ("messages[0].parts[1]: image",),
    ),
    "a later system message": ([user("q"), system("s")], ("messages[1].role",)),
    "a result without a call": ([user("q"), tool("z")], ("messages[1].parts[0].call_id",)),
    "reasoning without an answer": (
        [user("q"), assistant(ReasoningPart("hm", "s", Origin.ANTHROPIC))],
        ("messages: reasoning without an answer",),
    ),
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_cannot_be_carried_is_named(name: str) -> None:
    messages, expected = DROPPED[name]

    assert send(*messages)[1] == expected


def test_leading_system_messages_are_the_system_text() -> None:
    body, _ = send(
        system("one"), Message(Role.SYSTEM, (TextPart("two", b'{"type":"ephemeral"}'), TextPart(" "))), user("q")
    )

    assert body["system"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
    ]


def test_a_later_system_message_keeps_its_role_where_the_model_takes_it() -> None:
    target = Target("anthropic", "claude-sonnet-5", Quirks(system_messages=True))

    body, dropped = send(user("q"), assistant("a"), system("be brief"), user("b"), target=target)

    assert short(body) == ["user: text(q)", "assistant: text(a)", "system: text(be brief)", "user: text(b)"]
    assert dropped == ()


@pytest.mark.parametrize("messages", [[], [system("s")], [assistant("")], [assistant(ReasoningPart("x"))]])
def test_a_conversation_without_any_turn_is_the_callers_fault(messages: list[Message]) -> None:
    with pytest.raises(CallerError) as caught:
        send(*messages)

    assert caught.value.param == "messages"


# --- blocks


@pytest.mark.parametrize(
    ("arguments", "kind", "sent"),
    [
        ('{"a": [1, {"b": null}]}', ToolKind.FUNCTION, {"a": [1, {"b": None}]}),
        ("", ToolKind.FUNCTION, {}),
        (" ", ToolKind.FUNCTION, {}),
        ('{"cut": "o', ToolKind.FUNCTION, {"input": '{"cut": "o'}),
        ("[1]", ToolKind.FUNCTION, {"input": "[1]"}),
        ("7", ToolKind.FUNCTION, {"input": "7"}),
        ("[" * 5000, ToolKind.FUNCTION, {"input": "[" * 5000}),
        ("*** Begin Patch", ToolKind.CUSTOM, {"input": "*** Begin Patch"}),
        ('{"a":1}', ToolKind.CUSTOM, {"input": '{"a":1}'}),
    ],
)
def test_arguments_are_an_object(arguments: str, kind: ToolKind, sent: object) -> None:
    body, _ = send(user("q"), assistant(call("a", arguments, kind)))

    assert body["messages"][1]["content"][0]["input"] == sent


def test_arguments_are_sent_byte_for_byte() -> None:
    request = encode_request(ChatRequest("m", (user("q"), assistant(call("a", '{"x" : 1.50}')))), TARGET)

    assert b'"input":{"x" : 1.50}' in request.body


CACHE = b'{"type":"ephemeral","ttl":"1h"}'
PNG = "iVBORw0KGgo="


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            ImagePart(DataSource("image/jpg", PNG), cache=CACHE),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG},
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            },
        ),
        (ImagePart(UrlSource("https://x/y")), {"type": "image", "source": {"type": "url", "url": "https://x/y"}}),
        (
            ImagePart(FileSource("file_1", Origin.ANTHROPIC)),
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            FilePart(DataSource("application/pdf", PNG), "a.pdf", "context", True),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
                "title": "a.pdf",
                "context": "context",
                "citations": {"enabled": True},
            },
        ),
        (
            FilePart(DataSource("text/csv; charset=utf-8", "w6ksMQ==")),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é,1"}},
        ),
        (FilePart(UrlSource("https://x/y")), {"type": "document", "source": {"type": "url", "url": "https://x/y"}}),
    ],
)
def test_media_are_sent_in_the_apis_words(part: ImagePart | FilePart, sent: object) -> None:
    body, _ = send(user(part))
    in_result, _ = send(user("q"), assistant(call("a")), Message(Role.TOOL, (ToolResultPart("a", (part,)),)))

    assert body["messages"][0]["content"] == [sent]
    assert in_result["messages"][2]["content"][0]["content"] == [sent]


def test_a_file_uploaded_earlier_brings_its_beta() -> None:
    part = FilePart(FileSource("file_1", Origin.ANTHROPIC))

    request = encode_request(ChatRequest("m", (user(part),)), TARGET)

    assert request.headers["anthropic-beta"] == "files-api-2025-04-14"


@pytest.mark.parametrize(
    "part",
    [
        AudioPart("x", "wav"),
        ImagePart(DataSource("image/svg+xml", PNG)),
        ImagePart(FileSource("file_1", Origin.OPENAI)),
        FilePart(DataSource("application/zip", PNG)),
        FilePart(DataSource("text/plain", "not base64!")),
        FilePart(DataSource("text/plain", "/w==")),
        FilePart(FileSource("file_1", Origin.GEMINI)),
    ],
)
def test_media_that_must_not_be_lost_are_refused_by_name(part: Part) -> None:
    with pytest.raises(CallerError) as caught:
        send(user("q", part))

    assert caught.value.param == "messages[0].parts[1]"
    assert caught.value.message.startswith("messages[0].parts[1]: ")


def test_a_result_keeps_its_error_flag_its_cache_mark_and_its_emptiness() -> None:
    results = (ToolResultPart("a", (), is_error=True, cache=CACHE), ToolResultPart("b", (TextPart(""),)))

    body, _ = send(user("q"), assistant(call("a"), call("b")), Message(Role.TOOL, results))

    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "is_error": True, "cache_control": json.loads(CACHE)},
        {"type": "tool_result", "tool_use_id": "b"},
    ]


def test_redacted_reasoning_goes_back_as_it_came() -> None:
    body, _ = send(user("q"), assistant(ReasoningPart("", origin=Origin.ANTHROPIC, redacted="EmwK"), "a"))

    assert body["messages"][1]["content"][0] == {"type": "redacted_thinking", "data": "EmwK"}


# --- every conversation

IDS = st.sampled_from(["a", "b", "c", "", "é"])
TEXTS = st.sampled_from(["", " ", "x", "y "]).map(TextPart)
ASSISTANT_PARTS = st.one_of(
    TEXTS,
    IDS.map(call),
    st.just(ReasoningPart("hm", "sig", Origin.ANTHROPIC)),
    st.just(ReasoningPart("hm")),
)
MESSAGES = st.one_of(
    st.lists(TEXTS, max_size=2).map(lambda parts: Message(Role.USER, tuple(parts))),
    st.lists(TEXTS, max_size=2).map(lambda parts: Message(Role.SYSTEM, tuple(parts))),
    st.lists(ASSISTANT_PARTS, max_size=3).map(lambda parts: Message(Role.ASSISTANT, tuple(parts))),
    st.lists(IDS, max_size=3).map(lambda ids: tool(*ids)),
)


@given(st.lists(MESSAGES, max_size=12))
def test_every_conversation_becomes_one_that_the_api_takes(messages: list[Message]) -> None:
    try:
        body, _ = send(*messages)
    except CallerError as refusal:
        assert refusal.param == "messages"
        return

    turns = body["messages"]
    assert turns[0]["role"] == "user"
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))
    assert all(turn["content"] for turn in turns)
    seen: set[str] = set()
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        kinds = [block["type"] for block in turn["content"]]
        assert all(block["text"].strip() for block in turn["content"] if block["type"] == "text")
        if turn["role"] == "assistant":
            assert kinds[-1] != "thinking"
            calls = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
            assert len(set(calls)) == len(calls) and not seen & set(calls)
            seen |= set(calls)
            answered = _results(following)
            assert sorted(answered) == sorted(calls)
        else:
            results = kinds.count("tool_result")
            assert kinds[:results] == ["tool_result"] * results


def _results(turn: dict[str, Any] | None) -> list[str]:
    content = turn["content"] if turn is not None else []
    return [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
