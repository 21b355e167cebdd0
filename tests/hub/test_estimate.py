"""The rough count of input tokens: never zero, growing with the request, blind to nothing that costs."""

import pytest

from proxy.hub.estimate import MEDIA_TOKENS, estimate_input_tokens
from proxy.hub.events import Origin
from proxy.hub.request import (
    ChatRequest,
    DataSource,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    ServerTool,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)


def request(*parts: Part, **more: object) -> ChatRequest:
    return ChatRequest("m", (Message(Role.USER, parts),), **more)  # type: ignore[arg-type]


def test_an_empty_request_costs_something() -> None:
    assert estimate_input_tokens(ChatRequest("m", ())) == 1


def test_english_text_costs_about_a_token_for_four_characters() -> None:
    assert 1000 <= estimate_input_tokens(request(TextPart("word " * 800))) <= 1010


def test_other_scripts_cost_more_a_character() -> None:
    assert estimate_input_tokens(request(TextPart("世界" * 100))) > estimate_input_tokens(request(TextPart("ab" * 100)))


@pytest.mark.parametrize(
    "part",
    [
        TextPart("x" * 400),
        ToolCallPart("c", "look", '{"a": "' + "x" * 400 + '"}'),
        ToolResultPart("c", (TextPart("x" * 400),)),
        OpaquePart(Origin.ANTHROPIC, "t", b"x" * 400),
    ],
    ids=lambda part: type(part).__name__,
)
def test_every_part_counts(part: Part) -> None:
    assert estimate_input_tokens(request(part)) >= 100


def test_media_count_as_a_whole_not_by_their_bytes() -> None:
    image = ImagePart(DataSource("image/png", "A" * 1_000_000))

    assert MEDIA_TOKENS <= estimate_input_tokens(request(image)) < 2 * MEDIA_TOKENS


def test_tools_count() -> None:
    tool = ToolDefinition("look", "Looks things up", b'{"type":"object"}' * 20)
    server_tool = ServerTool(Origin.ANTHROPIC, "web_search", b"{}" * 100)

    assert estimate_input_tokens(request(tools=(tool,), server_tools=(server_tool,))) > 100
