"""Prompt and answer as the GenAI conventions want them in a span: JSON of messages with parts, cut to a size.

Only made where `traces.content` is set. Media are named, never copied.
"""

import msgspec

from proxy.hub.completion import Completion
from proxy.hub.continuation import Delivered
from proxy.hub.events import Block, ReasoningBlock, ToolCallBlock
from proxy.hub.request import ChatRequest, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart, ToolResultPart

CUT_MARK = "…"
_PART_COST = 32
"""What a part takes at least, so that many empty ones end as well."""


class Said(msgspec.Struct, omit_defaults=True):
    """One part of a message."""

    type: str
    content: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


class SaidMessage(msgspec.Struct):
    """One message."""

    role: str
    parts: list[Said]


def request_json(request: ChatRequest, max_bytes: int) -> str:
    """The messages of `request`, the last ones first to be kept: they are what is answered."""
    budget = _Budget(max_bytes)
    messages: list[SaidMessage] = []
    for message in reversed(request.messages):
        if budget.left <= 0:
            break
        messages.append(SaidMessage(message.role.value, [budget.cut(_said(part)) for part in message.parts]))
    return msgspec.json.encode(messages[::-1]).decode()


def answer_json(answer: Delivered | Completion, max_bytes: int) -> str:
    """The one message of `answer`."""
    budget = _Budget(max_bytes)
    parts = [budget.cut(_said_block(block.block, block.text)) for block in answer.blocks if budget.left > 0]
    return msgspec.json.encode([SaidMessage("assistant", parts)]).decode()


class _Budget:
    """What may still be said, in UTF-8 bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes

    def cut(self, said: Said) -> Said:
        """`said` within what is left, which shrinks by it."""
        said.content, said.arguments = self._taken(said.content), self._taken(said.arguments)
        self.left -= _PART_COST
        return said

    def _taken(self, text: str | None) -> str | None:
        if text is None:
            return None
        # Slicing first: no more than what may stay is ever encoded.
        data = text[: max(self.left, 0)].encode()
        kept = data[: max(self.left, 0)].decode("utf-8", "ignore")
        self.left -= len(kept.encode())
        return kept if len(kept) == len(text) else kept + CUT_MARK


def _said(part: Part) -> Said:
    match part:
        case TextPart(text) | RefusalPart(text):
            return Said("text", text)
        case ReasoningPart(text):
            return Said("reasoning", text)
        case ToolCallPart(id, name, arguments):
            return Said("tool_call", id=id, name=name, arguments=arguments)
        case ToolResultPart(call_id, parts):
            return Said(
                "tool_call_response", "".join(one.text for one in parts if isinstance(one, TextPart)), id=call_id
            )
        case _:
            return Said(type(part).__name__.removesuffix("Part").lower())


def _said_block(block: Block, text: str) -> Said:
    match block:
        case ToolCallBlock():
            return Said("tool_call", id=block.id, name=block.name, arguments=text)
        case ReasoningBlock():
            return Said("reasoning", text)
        case _:
            return Said("text", text)
