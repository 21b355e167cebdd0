"""A rough count of a request's input tokens, for callers who ask a provider that cannot count.

Four characters a token is what English text and JSON come to with the common tokenisers; other scripts need more, so
characters outside ASCII count as one token each two. Always reported as an estimate, never as usage.
"""

from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

MEDIA_TOKENS = 1000
"""Of one image, file or sound: what mid-sized images cost with the large providers."""
MESSAGE_TOKENS = 4
"""Of a message's frame: role and separators."""


def estimate_input_tokens(request: ChatRequest) -> int:
    """About how many input tokens `request` has; at least 1."""
    total = 0
    for message in request.messages:
        total += MESSAGE_TOKENS + sum(_part_tokens(part) for part in message.parts)
    for tool in request.tools:
        total += _text_tokens(tool.name) + _text_tokens(tool.description or "") + len(tool.parameters or b"") // 4
    for server_tool in request.server_tools:
        total += len(server_tool.json) // 4
    return max(total, 1)


def _part_tokens(part: Part) -> int:
    match part:
        case TextPart(text) | RefusalPart(text) | ReasoningPart(text):
            return _text_tokens(text)
        case ToolCallPart(_, name, arguments):
            return _text_tokens(name) + _text_tokens(arguments)
        case ToolResultPart(_, parts):
            return sum(_part_tokens(inner) for inner in parts)
        case ImagePart() | FilePart() | AudioPart():
            return MEDIA_TOKENS
        case OpaquePart(json=json):
            return len(json) // 4


def _text_tokens(text: str) -> int:
    if text.isascii():
        return (len(text) + 3) // 4
    ascii_count = sum(character < "\x80" for character in text)
    return (ascii_count + 3) // 4 + (len(text) - ascii_count + 1) // 2
