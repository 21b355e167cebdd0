"""The JavaScript SDKs: `openai`, `@anthropic-ai/sdk` and the AI SDK, each in the one Node process of the session."""

from collections.abc import Callable
from typing import Any

from tests.support import node
from tests.support.reader import Call, Read, Reader
from tests.support.readers import anthropic, gemini, openai_chat, openai_responses
from tests.support.readings import FINISH, Reading, Tokens, ToolCall, parsed, with_derived_finish

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


def _gemini_tokens(usage: dict[str, Any] | None) -> Tokens | None:
    names = {
        "promptTokenCount": "prompt_token_count",
        "candidatesTokenCount": "candidates_token_count",
        "thoughtsTokenCount": "thoughts_token_count",
        "toolUsePromptTokenCount": "tool_use_prompt_token_count",
        "cachedContentTokenCount": "cached_content_token_count",
    }
    return gemini.tokens_of(None if usage is None else {ours: usage.get(theirs) for theirs, ours in names.items()})


def _reader(name: str, words: str, to_tokens: ToTokens) -> Read:
    async def read(call: Call) -> Reading:
        raw = await node.worker().read(name, call)
        reading = Reading(
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
        return with_derived_finish(reading)

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
    _of("openai_responses", "openai-js-responses", openai_responses.tokens_of),
    _of("openai_responses", "openai-js-responses-helper", openai_responses.tokens_of),
    _of("openai_responses", "openai-js-responses-whole", openai_responses.tokens_of, streams=False),
    _of("openai_responses", "ai-sdk-openai-responses", _ai_sdk_tokens, "refusal", words="ai_sdk"),
    _of("anthropic", "anthropic-js", anthropic.tokens_of),
    _of("anthropic", "anthropic-js-helper", anthropic.tokens_of, "tokens.reasoning"),
    _of("anthropic", "anthropic-js-whole", anthropic.tokens_of, streams=False),
    _of("anthropic", "ai-sdk-anthropic", _ai_sdk_tokens, words="ai_sdk"),
    _of("gemini", "google-genai-js", _gemini_tokens),
    _of("gemini", "google-genai-js-whole", _gemini_tokens, streams=False),
    _of("gemini", "ai-sdk-google", _ai_sdk_tokens, words="ai_sdk"),
]
