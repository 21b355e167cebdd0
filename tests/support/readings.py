"""What a caller understood of an answer, in no dialect: the common ground on which SDKs are compared.

Readers fill a `Reading` from what an SDK (or an independent parser) gives its user. The tables here are a second opinion
on the meaning of wire values and use nothing of the proxy's own tables.
"""

import re
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec


@dataclass(frozen=True)
class ToolCall:
    id: str
    name: str
    arguments: Any
    """Parsed JSON, or the text itself where it is none."""


@dataclass(frozen=True)
class Tokens:
    """Input includes cached input and cache writes; output includes reasoning. `None`: not told."""

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True)
class Reading:
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Those that the caller is to run."""
    tokens: Tokens | None = None
    finish: str | None = None
    """In the common words of `FINISH`; a word that no table knows stays itself. `None`: none was given."""
    error: str | None = None
    """The class of the exception that the SDK raised, or the type of the error that a parser found."""
    error_message: str = ""

    @property
    def ending(self) -> str:
        """`completed` or `error`: what a caller would believe."""
        return "completed" if self.error is None else "error"


FINISH: dict[str, dict[str, str]] = {
    "openai_chat": {
        "stop": "stop",
        "length": "length",
        "model_length": "length",
        "tool_calls": "tool_calls",
        "function_call": "tool_calls",
        "content_filter": "content_filter",
    },
    "anthropic": {
        "end_turn": "stop",
        "stop_sequence": "stop_sequence",
        "max_tokens": "length",
        "model_context_window_exceeded": "context_full",
        "tool_use": "tool_calls",
        "pause_turn": "pause",
        "refusal": "refusal",
    },
    "openai_responses": {
        "completed": "stop",
        "max_output_tokens": "length",
    },
    "gemini": {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "SAFETY": "content_filter",
        "RECITATION": "content_filter",
        "BLOCKLIST": "content_filter",
        "PROHIBITED_CONTENT": "content_filter",
        "SPII": "content_filter",
        "IMAGE_SAFETY": "content_filter",
        "OTHER": "other",
        "MODEL_ARMOR": "content_filter",
        "MALFORMED_FUNCTION_CALL": "malformed_call",
        "UNEXPECTED_TOOL_CALL": "malformed_call",
    },
    "ai_sdk": {
        "content-filter": "content_filter",
        "tool-calls": "tool_calls",
    },
    "ag_ui": {},
    "ollama": {},
}
"""Each dialect's words for why an answer ended, in common words."""


def finish_of(dialect: str, word: str | None) -> str | None:
    return None if word is None else FINISH[dialect].get(word, word)


def parsed(arguments: str) -> Any:
    """Tool arguments as a caller would use them; an empty string is a call without arguments."""
    if not arguments.strip():
        return {}
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def failed(reading: Reading, fault: BaseException) -> Reading:
    """`reading` as far as it came, ended by what the SDK raised."""
    return replace(reading, error=type(fault).__name__, error_message=str(fault))


# --- what a dialect can say of an answer that came from elsewhere

NO_FINISH = ""
"""In `EXPRESSED_FINISH`: what becomes of an answer without a reason."""

UI_FINISH: dict[str, str | None] = {
    "stop_sequence": "stop",
    "context_full": "length",
    "refusal": "content_filter",
    "pause": "stop",
    "malformed_call": "error",
}

EXPRESSED_FINISH: dict[str, dict[str, str | None]] = {
    "openai_chat": {
        "stop_sequence": "stop",
        "context_full": "length",
        "pause": "stop",
        "malformed_call": "stop",
        "other": "stop",
    },
    "anthropic": {
        "content_filter": "refusal",
        "malformed_call": "stop",
        "other": None,
    },
    "openai_responses": {
        "stop_sequence": "stop",
        "context_full": "length",
        "pause": "stop",
        "refusal": "stop",
        "other": "stop",
    },
    "gemini": {
        "stop_sequence": "stop",
        "context_full": "length",
        "pause": "stop",
        "refusal": "content_filter",
    },
    "ai_sdk": {
        "stop_sequence": "stop",
        "context_full": "length",
        "refusal": "content_filter",
        "pause": "stop",
        NO_FINISH: "other",
    },
    "data_stream": {**UI_FINISH, "other": "unknown"},
    "ollama": {
        "stop_sequence": "stop",
        "context_full": "length",
        "refusal": "content_filter",
        "pause": "stop",
        "malformed_call": "stop",
        "other": "stop",
    },
    "ui_message_stream": UI_FINISH,
}
"""Common finish words that a dialect (or the AI SDK) has no word for, and the word that its callers read instead."""

MERGES_REFUSAL_INTO_TEXT = frozenset(
    {"ag_ui", "anthropic", "data_stream", "gemini", "ollama", "text_stream", "ui_message_stream"}
)
"""Dialects without a place for the words of a refusal."""

TOKENS_LOST: dict[str, tuple[str, ...]] = {
    "data_stream": ("cached_input", "cache_write", "reasoning"),
    "gemini": ("cache_write",),
    "ollama": ("cached_input", "cache_write", "reasoning"),
}
"""Counts that a dialect has no field for."""

CALL_ID = {"anthropic": re.compile(r"[a-zA-Z0-9_-]+"), "ollama": re.compile(r"(?!)")}
"""Ids that a dialect allows; others are written in other characters, and read back when the call is answered.

ollama-python shows none.
"""


def as_told_by(dialect: str, original: Reading) -> Reading:
    """What a caller of `dialect` should read of an answer that the provider's own SDK reads as `original`.

    A complete answer without a reason ended for some other reason, as far as anybody can tell.
    """
    finish = with_derived_finish(replace(original, finish=original.finish or "other")).finish
    told = replace(original, finish=_expressed(dialect, finish), tokens=_told_tokens(dialect, original.tokens))
    if dialect in MERGES_REFUSAL_INTO_TEXT and original.refusal:
        told = replace(told, text=told.text + told.refusal, refusal="", finish=_expressed(dialect, "refusal"))
    if dialect in CALL_ID:
        allowed = CALL_ID[dialect]
        calls = (call if allowed.fullmatch(call.id) else replace(call, id="") for call in told.tool_calls)
        told = replace(told, tool_calls=tuple(calls))
    return told


def _told_tokens(dialect: str, tokens: Tokens | None) -> Tokens | None:
    if tokens is None:
        return Tokens(0, 0) if dialect == "anthropic" else None  # Its frames must have numbers.
    return replace(tokens, **dict.fromkeys(TOKENS_LOST.get(dialect, ())))


def with_derived_finish(reading: Reading) -> Reading:
    """Some APIs only say that the answer is complete: tool calls in it are then why it ended."""
    is_derived = reading.finish in ("stop", "other") and reading.tool_calls
    return replace(reading, finish="tool_calls") if is_derived else reading


def as_seen_by(words: str, blind: frozenset[str], reading: Reading) -> Reading:
    """`reading` as an SDK shows it that words endings in its own way and does not show the fields of `blind`.

    Differences that mean nothing go as well: an untold detail count is the same as 0, and of a failed stream only the
    failure counts, because helpers give none of what came before it.
    """
    if reading.error is not None:
        return Reading(error="error")
    tokens = reading.tokens
    if tokens is not None:
        tokens = replace(tokens, **{name: _shown(tokens, name, blind) for name in DETAILS})
    return replace(
        reading,
        tokens=tokens,
        reasoning="" if "reasoning" in blind else reading.reasoning,
        refusal="" if "refusal" in blind else reading.refusal,
        finish=_expressed(words, reading.finish),
    )


def differences(expected: Reading, found: Reading) -> frozenset[str]:
    """The fields in which two readings differ; `error` alone when only one of them failed.

    A call without an id (Gemini) may have any in `found`: whoever needs one makes it up. So may one with an impossible id.
    """
    if expected.ending != found.ending:
        return frozenset({"error"})
    ids = [one.id or other.id for one, other in zip(expected.tool_calls, found.tool_calls, strict=False)]
    calls = tuple(replace(call, id=id) for call, id in zip(expected.tool_calls, ids, strict=False))
    if len(calls) == len(expected.tool_calls):
        expected = replace(expected, tool_calls=calls)
    return frozenset(
        field.name for field in fields(Reading) if getattr(expected, field.name) != getattr(found, field.name)
    )


DETAILS = ("cached_input", "cache_write", "reasoning")


def _shown(tokens: Tokens, name: str, blind: frozenset[str]) -> int:
    return 0 if f"tokens.{name}" in blind else getattr(tokens, name) or 0


def _expressed(words: str, finish: str | None) -> str | None:
    return EXPRESSED_FINISH.get(words, {}).get(finish or NO_FINISH, finish)
