"""Where a real SDK reads a vendor's original stream otherwise than the measure does, and why.

Each row was seen by running the SDK on the recording. A row that stops being true is an error: the SDK has changed.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Known:
    recordings: tuple[str, ...]
    """Glob patterns of recording names."""
    readers: tuple[str, ...]
    fields: frozenset[str]
    """The fields of the `Reading` that differ."""
    reason: str


FAILS = frozenset({"error"})

MISTRAL_REASONING = (
    "mistral/mistral__mistral-hybrid-reasoning-*",
    "mistral/mistral__mistral-model-thinking-part-*",
    "mistral/mistral__mistral-reasoning__*",
)
TWO_CHOICES = (
    "openai-chat/openai__chat-completion-multiple-choices-*",
    "openai-compat/writer__writer-async-streaming-chat-multiple-choices-*",
)
NO_FINISH = ("openai-compat/snowflake__snowflake-thinking-streaming__*",)
REASONING_TEXT = (
    "openai-responses/bedrock-mantle__*",
    "openai-responses/deepseek__*",
    "openai-responses/openrouter__openai-responses-raw-cot-*",
)
MANY_ANSWERS = ("anthropic-messages/anthropic__anthropic-programmatic-tool-calling.1__*",)

KNOWN = [
    Known(
        MISTRAL_REASONING[:1],
        ("openai-python-helper",),
        frozenset({"text", "reasoning"}),
        "content turns from a list into a string: the helper keeps what came last",
    ),
    Known(
        MISTRAL_REASONING[1:2],
        ("openai-python-helper",),
        frozenset({"reasoning"}),
        "content turns from a list into a string: the helper keeps what came last",
    ),
    Known(MISTRAL_REASONING[2:], ("openai-python-helper",), FAILS, "content lists have no `index` to join them by"),
    Known(MISTRAL_REASONING, ("openai-js",), frozenset({"text", "reasoning"}), "content lists become [object Object]"),
    Known(MISTRAL_REASONING, ("openai-js-helper",), frozenset({"text"}), "content lists become [object Object]"),
    Known(MISTRAL_REASONING, ("ai-sdk-openai-chat",), FAILS, "content lists fail its schema"),
    Known(
        TWO_CHOICES,
        ("ai-sdk-openai-chat", "ai-sdk-openai-compatible"),
        frozenset({"text"}),
        "takes the deltas of all choices for one answer",
    ),
    Known(TWO_CHOICES[1:], ("openai-js-helper",), FAILS, "the second choice has no finish_reason"),
    Known(
        ("openai-chat/openai__openai-moderation-stream__*",),
        ("openai-python-helper", "openai-js-helper"),
        frozenset({"tokens"}),
        "a chunk with usage null follows the one with usage: the helper keeps the last",
    ),
    Known(
        ("openai-compat/gpustack__streaming-responses-*",),
        ("openai-js-helper",),
        FAILS,
        "no chunk names a role",
    ),
    Known(
        NO_FINISH,
        ("openai-js-helper", "ai-sdk-openai-compatible"),
        FAILS,
        "no chunk has a finish_reason",
    ),
    Known(NO_FINISH, ("ai-sdk-openai-chat",), frozenset({"finish"}), "reports the missing reason as `interrupted`"),
    Known(
        ("perplexity/perplexity__perplexity-text__*", "perplexity/perplexity__streaming-responses-*"),
        ("openai-python-helper",),
        frozenset({"finish"}),
        "finish_reason stands in a first chunk already; the helper makes its snapshot without it",
    ),
    Known(
        ("vllm/vllm__rec-0248ff8a1b__*", "vllm/vllm__rec-65eba1be09__*"),
        ("openai-python-helper",),
        FAILS,
        "later fragments of a call bear `type: null`, which the helper takes for another type",
    ),
    Known(
        ("xai/*stream*",),
        ("ai-sdk-openai-chat", "ai-sdk-openai-compatible"),
        frozenset({"tokens"}),
        "completion_tokens of xAI is without reasoning, and the AI SDK does not know",
    ),
    Known(
        MANY_ANSWERS,
        ("anthropic-python-helper",),
        frozenset({"tokens", "finish"}),
        "the file holds several answers one after another; the helper reads on after message_stop",
    ),
    Known(
        MANY_ANSWERS,
        ("ai-sdk-anthropic",),
        frozenset({"text", "tool_calls", "tokens"}),
        "the file holds several answers one after another; the AI SDK reads on after message_stop",
    ),
    Known(MANY_ANSWERS, ("anthropic-js-helper",), FAILS, "a second message_start"),
    Known(
        REASONING_TEXT,
        ("ai-sdk-openai-responses",),
        frozenset({"reasoning"}),
        "shows reasoning summaries only, not reasoning_text",
    ),
    Known(
        REASONING_TEXT[:1],
        ("openai-python-responses-helper", "openai-js-responses-helper"),
        FAILS,
        "sends `reasoning_part` events that the SDK does not know, and numbers parts across items",
    ),
    Known(
        ("openai-responses/openai__github-copilot-id-rotation.1__*",),
        ("openai-python-responses-helper", "openai-js-responses-helper"),
        FAILS,
        "the gateway gives a response another id in each event",
    ),
]


def known(recording: str, reader: str) -> Known | None:
    """The row for this pair, if there is one."""
    for row in KNOWN:
        if reader in row.readers and any(fnmatchcase(recording, pattern) for pattern in row.recordings):
            return row
    return None
