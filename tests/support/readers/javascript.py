"""The JavaScript SDKs: `openai`, `@anthropic-ai/sdk` and the AI SDK, each in the one Node process of the session."""

from collections.abc import Callable
from typing import Any

from tests.support import node
from tests.support.reader import Call, Read, Reader
from tests.support.readers import anthropic, openai_chat
from tests.support.readings import FINISH, Reading, Tokens, ToolCall, parsed

ToTokens = Callable[[dict[str, Any] | None], Tokens | None]


def _ai_sdk_tokens(usage: dict[str, Any] | None) -> Tokens | None:
    if usage is None or usage.get("inputTokens") is None:
        return None
    cached = usage["inputTokenDetails"]
    return Tokens(
        usage["inputTokens"],
        usage["outputTokens"],
        cached.get("cacheReadTokens"),
        cached.get("cacheWriteTokens"),
        usage["outputTokenDetails"].get("reasoningTokens"),
    )


def _reader(name: str, words: str, to_tokens: ToTokens) -> Read:
    async def read(call: Call) -> Reading:
        raw = await node.worker().read(name, call)
        return Reading(
            text=raw["text"],
            reasoning=raw["reasoning"],
            refusal=raw["refusal"],
            tool_calls=tuple(
                ToolCall(call["id"], call["name"], parsed(call["arguments"])) for call in raw["tool_calls"]
            ),
            tokens=to_tokens(raw["usage"]),
            finish=FINISH[words].get(raw["finish"], raw["finish"]),
            error=raw["error"],
            error_message=raw["error_message"],
        )

    return read


def _of(dialect: str, name: str, to_tokens: ToTokens, *blind: str, words: str = "", streams: bool = True) -> Reader:
    read = _reader(name, words or dialect, to_tokens)
    return Reader(name, dialect, streams, read, frozenset(blind), words, needs_node=True)


READERS = [
    _of("openai_chat", "openai-js", openai_chat.tokens_of),
    _of("openai_chat", "openai-js-helper", openai_chat.tokens_of, "reasoning"),
    _of("openai_chat", "openai-js-whole", openai_chat.tokens_of, streams=False),
    _of("openai_chat", "ai-sdk-openai-chat", _ai_sdk_tokens, "reasoning", "refusal", words="ai_sdk"),
    _of("openai_chat", "ai-sdk-openai-compatible", _ai_sdk_tokens, "refusal", "tokens.cache_write", words="ai_sdk"),
    _of("anthropic", "anthropic-js", anthropic.tokens_of),
    _of("anthropic", "anthropic-js-helper", anthropic.tokens_of, "tokens.reasoning"),
    _of("anthropic", "anthropic-js-whole", anthropic.tokens_of, streams=False),
    _of("anthropic", "ai-sdk-anthropic", _ai_sdk_tokens, words="ai_sdk"),
]
