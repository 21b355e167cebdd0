"""Clients of chat interfaces: the AI SDK's transports of versions 5 to 7, version 4's stream reader, AG-UI's agent."""

from typing import Any

from tests.support import node
from tests.support.reader import Call, Read, Reader
from tests.support.readings import FINISH, Reading, Tokens, ToolCall, parsed, with_derived_finish


def _ui_tokens(usage: dict[str, Any]) -> Tokens:
    return Tokens(
        usage.get("inputTokens"),
        usage.get("outputTokens"),
        usage.get("cachedInputTokens"),
        usage.get("cacheWriteTokens", usage.get("cacheWriteInputTokens")),
        usage.get("reasoningTokens"),
    )


def _v4_tokens(usage: dict[str, Any]) -> Tokens:
    return Tokens(usage["promptTokens"], usage["completionTokens"])


def _reader(name: str, dialect: str) -> Read:
    async def read(call: Call) -> Reading:
        return reading_of(await node.worker().read(name, call), dialect)

    return read


def reading_of(raw: dict[str, Any], dialect: str) -> Reading:
    """The common terms for what the Node worker gave."""
    words = FINISH["ag_ui" if dialect == "ag_ui" else "ai_sdk"]
    usage = raw["usage"]
    reading = Reading(
        text=raw["text"],
        reasoning=raw["reasoning"],
        tool_calls=tuple(ToolCall(one["id"], one["name"], parsed(one["arguments"])) for one in raw["tool_calls"]),
        tokens=None if usage is None else _v4_tokens(usage) if dialect == "data_stream" else _ui_tokens(usage),
        finish=words.get(raw["finish"], raw["finish"]),
        error=raw["error"],
        error_message=raw["error_message"],
    )
    return with_derived_finish(reading)


def _of(dialect: str, name: str) -> Reader:
    return Reader(name, dialect, True, _reader(name, dialect), needs_node=True)


READERS = [
    _of("ui_message_stream", "ai7-ui"),
    _of("ui_message_stream", "ai6-ui"),
    _of("ui_message_stream", "ai5-ui"),
    _of("data_stream", "ai4-data"),
    _of("ag_ui", "ag-ui-js"),
]
