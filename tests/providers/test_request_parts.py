"""What several kinds ask of a canonical request."""

import base64

import pytest

from proxy.hub.errors import CallerError
from proxy.hub.events import Origin, ToolKind
from proxy.hub.identifiers import read_back
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    ReasoningRequest,
    RefusalPart,
    Role,
    Sampling,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.request_parts import (
    CallIds,
    Dropped,
    arguments_object,
    call_names,
    effort_of,
    offered_tools,
    part_name,
    plain_text,
    refuse_several_answers,
    sendable_name,
)

USER = Message(Role.USER, (TextPart("hi"),))


def test_names_of_what_is_dropped_come_once_and_in_order() -> None:
    dropped = Dropped()
    dropped.add("b")
    dropped.add_if(0, "no")
    dropped.add_if("x", "a")
    dropped.add_part("p", TextPart("t"))
    dropped.add("b")

    assert dropped.names() == ("b", "a", "p: text")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (RefusalPart("x"), "refusal"),
        (ReasoningPart("x"), "reasoning"),
        (ImagePart(UrlSource("u")), "image"),
        (FilePart(UrlSource("u")), "file"),
        (AudioPart("x", "wav"), "audio"),
        (ToolCallPart("i", "n", "{}"), "tool call"),
        (ToolResultPart("i", ()), "tool result"),
        (OpaquePart(Origin.ANTHROPIC, "compaction", b"{}"), "compaction"),
    ],
)
def test_every_part_has_a_name(part: Part, name: str) -> None:
    assert part_name(part) == name


@pytest.mark.parametrize(
    ("arguments", "kind", "expected"),
    [
        ("", ToolKind.FUNCTION, b"{}"),
        ('{"a": 1}', ToolKind.FUNCTION, b'{"a": 1}'),
        ("[1]", ToolKind.FUNCTION, b'{"input":"[1]"}'),
        ('{"a":', ToolKind.FUNCTION, b'{"input":"{\\"a\\":"}'),
        ("{}", ToolKind.CUSTOM, b'{"input":"{}"}'),
    ],
)
def test_arguments_are_an_object(arguments: str, kind: ToolKind, expected: bytes) -> None:
    assert bytes(arguments_object(ToolCallPart("i", "n", arguments, kind))) == expected


def test_only_texts_are_plain_texts() -> None:
    data = base64.b64encode("Grüße".encode()).decode()

    assert plain_text(FilePart(DataSource("text/markdown; charset=utf-8", data)), "p") == "Grüße"
    assert plain_text(FilePart(DataSource("application/pdf", data)), "p") is None
    assert plain_text(FilePart(UrlSource("u")), "p") is None
    with pytest.raises(CallerError):
        plain_text(FilePart(DataSource("text/plain", "%")), "p")


@pytest.mark.parametrize(
    ("wanted", "effort"),
    [
        (ReasoningRequest(Effort.LOW), Effort.LOW),
        (ReasoningRequest(budget_tokens=0), Effort.NONE),
        (ReasoningRequest(budget_tokens=1535), Effort.MINIMAL),
        (ReasoningRequest(budget_tokens=1536), Effort.LOW),
        (ReasoningRequest(budget_tokens=99_999), Effort.XHIGH),
        (ReasoningRequest(adaptive=True), None),
    ],
)
def test_a_budget_is_an_effort(wanted: ReasoningRequest, effort: Effort | None) -> None:
    assert effort_of(wanted) is effort


def test_allowed_tools_are_offered_and_calls_have_names() -> None:
    request = ChatRequest(
        "m",
        (USER, Message(Role.ASSISTANT, (ToolCallPart("c", "f", "{}"),))),
        tools=(ToolDefinition("f"), ToolDefinition("g")),
        tool_choice=ToolChoice(ToolMode.AUTO, allowed=("g",)),
    )

    assert [tool.name for tool in offered_tools(request)] == ["g"]
    assert call_names(request) == {"c": "f"}


def test_one_answer_only() -> None:
    with pytest.raises(CallerError):
        refuse_several_answers(ChatRequest("m", (USER,), sampling=Sampling(n=2)))


def test_a_name_is_written_out_and_can_be_read_back() -> None:
    assert read_back(sendable_name("a.b c", "p", 64)) == "a.b c"
    for bad in ("", "x" * 65):
        with pytest.raises(CallerError):
            sendable_name(bad, "p", 64)


def test_ids_are_good_short_and_different() -> None:
    ids = CallIds(10)

    sent = [ids.fresh(id) for id in ("a.b", "a:b", "", "x" * 40, "x" * 41)]

    assert sent == ["a_b", "a_b_2", "call", "x" * 10, "x" * 8 + "_2"]
