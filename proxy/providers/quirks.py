"""Named deviations of compatible vendors, as data: what a configuration may say under `quirks`.

Reading needs none of these: every deviation seen in recordings is understood by default. Quirks shape requests, or
opt in to rewriting.
"""

from typing import Literal

import msgspec

from proxy.hub.request import Effort

OptionalField = Literal[
    "stream_options",
    "parallel_tool_calls",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "verbosity",
    "prompt_cache_key",
    "service_tier",
    "user",
    "seed",
    "stop",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
]
"""Fields of a Chat Completions request that a vendor may refuse."""


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    think_tags: bool = False
    """Turn inline `<think>…</think>` text into reasoning."""

    # --- Chat Completions: what an OpenAI-compatible vendor wants different in a request

    omit: tuple[OptionalField, ...] = ()
    """Fields that the vendor refuses: left out, and named as dropped where the caller gave them."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Most compatible servers know only `max_tokens`; OpenAI's reasoning models refuse that one."""
    seed_field: Literal["seed", "random_seed"] = "seed"
    """Mistral: `random_seed`."""
    top_k: bool = False
    """The vendor takes `top_k` (vLLM, OpenRouter, Together). OpenAI does not."""
    max_stop_sequences: int = 4
    """More are cut off, and named."""
    system_role: Literal["system", "developer"] = "system"
    """`developer` is OpenAI's newer name; OpenAI takes both, most others only `system`."""
    system_first: bool = False
    """One system message at the very start is all that the model's chat template takes: leading ones are joined,
    later ones become user messages."""
    alternate_roles: bool = False
    """User and assistant must take turns (Perplexity, many chat templates): neighbours of one role are joined."""
    string_content: bool = False
    """Message content must be a string (DeepSeek): texts are joined, and anything that is no text is refused."""
    empty_content: Literal["null", "empty", "absent"] = "null"
    """What an assistant message without text has as `content` beside its tool calls."""
    tool_call_ids: Literal["any", "at_most_40", "nine_alphanumeric"] = "at_most_40"
    """Ids that the vendor would refuse are replaced by hashes, the same in the call and in its result.
    OpenAI: 40 characters; Mistral: exactly nine of [a-zA-Z0-9]."""
    tool_names: bool = False
    """Tool messages carry the tool's `name` as well."""
    custom_tools: bool = True
    """The vendor knows free-text tools, as OpenAI does. Without them they are sent as functions of one text."""
    json_schema: bool = True
    """The vendor takes `response_format` of type `json_schema`. Without it (DeepSeek) it gets `json_object`, and the
    schema as a system message."""
    file_urls: bool = False
    """A file may be given by its URL (OpenRouter); OpenAI wants its content."""
    cache_marks: bool = False
    """`cache_control` on content parts and tools is understood (OpenRouter, Vercel, LiteLLM)."""
    thought_signatures: bool = False
    """Tool calls carry Gemini's `extra_content.google.thought_signature` (Gemini's own compatible endpoint)."""
    reasoning: Literal["effort", "object", "thinking", "enable_thinking", "template", "none"] = "effort"
    """How to ask for reasoning.

    effort           `reasoning_effort: "low"` (OpenAI, Groq, xAI, Gemini, Mistral)
    object           `reasoning: {effort | max_tokens, exclude}` (OpenRouter, Vercel)
    thinking         `thinking: {type: enabled | disabled}` and `reasoning_effort` (DeepSeek, Z.ai, Moonshot)
    enable_thinking  `enable_thinking: true`, `thinking_budget` (Qwen on DashScope, SiliconFlow)
    template         `chat_template_kwargs: {enable_thinking: true}` (vLLM, SGLang)
    none             not at all
    """
    efforts: tuple[Effort, ...] = ()
    """Values of `reasoning_effort` that the vendor takes: others become the nearest. Empty: all."""
    reasoning_replay: Literal["none", "reasoning", "reasoning_content", "with_tool_calls", "details", "chunks"] = "none"
    """How reasoning of earlier turns goes back.

    none              dropped, and named
    reasoning         as `reasoning` (vLLM, Groq)
    reasoning_content as `reasoning_content` (Moonshot, Z.ai)
    with_tool_calls   as `reasoning_content`, only beside tool calls (DeepSeek, which wants it there and nowhere else)
    details           as `reasoning_details`, with their signatures (OpenRouter, Vercel)
    chunks            as `thinking` chunks of `content` (Mistral)
    """

    # --- Anthropic

    claude_version: str | None = None
    """Which Claude a model is, as `4.5`, where its name does not tell (a deployment's own name). Decides what is sent."""
    system_messages: bool = False
    """The model takes role `system` between other messages (newer Claude). Without it such a message becomes user text."""
