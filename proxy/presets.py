"""Vendors as data: what a provider entry needs nothing but the vendor's name for.

Base URLs, credential variables and request fields are the vendors' own, read in their documentation or SDKs
(2026-11). Model patterns are given only where a name cannot mean another vendor's model. `quirks` are keys of
`providers.quirks.Quirks`; a test converts them.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

QuirkValue: TypeAlias = bool | int | str | list[str]


class Preset(msgspec.Struct, frozen=True):
    """What is filled in where a provider entry leaves it out."""

    kind: str
    base_url: str | None = None
    """`None`: every customer or server has its own, so the entry must give it."""
    variables: tuple[str, ...] = ()
    """Environment variables that usually hold the key; the first that is set is used."""
    is_keyless: bool = False
    """Serves without a key by default: `api_key: none`."""
    models: tuple[str, ...] = ()
    """Patterns of names that can only mean this vendor's models."""
    is_automatic: bool = False
    """Served without any configuration when its key is in the environment."""
    also_speaks: tuple[str, ...] = ()
    """Other kinds served under the same base URL: callers of those dialects are relayed natively."""
    api_key_header: str | None = None
    quirks: Mapping[str, QuirkValue] = {}
    url_hint: str = ""
    """What the base URL looks like, where it must be given."""


DEMO = "demo"
"""The simulated model: its kind, its preset, its provider's and its model's usual name."""

DEMO_MODELS = ("demo", "demo-*")

LOOPBACK = "http://127.0.0.1"

_COMPATIBLE: Mapping[str, QuirkValue] = {"max_tokens_field": "max_tokens", "custom_tools": False}
"""What nearly every compatible server has in common: the older name of the limit, and function tools only."""

_LOCAL: Mapping[str, QuirkValue] = {**_COMPATIBLE, "tool_call_ids": "any", "max_stop_sequences": 64, "top_k": True}
"""Servers of open models: no vendor rules, one more sampling parameter."""

PRESETS: dict[str, Preset] = {
    DEMO: Preset(DEMO, is_keyless=True, models=DEMO_MODELS),
    # --- vendors with an API of their own
    "openai": Preset(
        "openai_chat",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        models=("gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "codex-*", "ft:gpt-*"),
        is_automatic=True,
        also_speaks=("openai_responses",),
    ),
    "openai-responses": Preset("openai_responses", "https://api.openai.com/v1", ("OPENAI_API_KEY",)),
    "anthropic": Preset(
        "anthropic", "https://api.anthropic.com", ("ANTHROPIC_API_KEY",), models=("claude-*",), is_automatic=True
    ),
    "gemini": Preset(
        "gemini",
        "https://generativelanguage.googleapis.com",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
        models=("gemini-*", "learnlm-*"),
        is_automatic=True,
    ),
    "cohere": Preset(
        "cohere",
        "https://api.cohere.com",
        ("CO_API_KEY", "COHERE_API_KEY"),
        models=("command-*", "c4ai-*"),
        is_automatic=True,
    ),
    "bedrock": Preset(
        "bedrock",
        None,
        ("AWS_BEARER_TOKEN_BEDROCK",),
        url_hint="https://bedrock-runtime.REGION.amazonaws.com",
    ),
    "vertex": Preset(
        "vertex",
        None,
        url_hint="https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION",
    ),
    # --- vendors that speak Chat Completions
    "deepseek": Preset(
        "openai_chat",
        "https://api.deepseek.com",
        ("DEEPSEEK_API_KEY",),
        models=("deepseek-chat*", "deepseek-reasoner*"),
        is_automatic=True,
        quirks={
            **_COMPATIBLE,
            "max_stop_sequences": 16,
            "string_content": True,
            "json_schema": False,
            "reasoning": "thinking",
            "reasoning_replay": "with_tool_calls",
        },
    ),
    "groq": Preset(
        "openai_chat",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        is_automatic=True,
        quirks={
            "custom_tools": False,
            "omit": ["logprobs", "top_logprobs", "logit_bias"],
            "reasoning_replay": "reasoning",
        },
    ),
    "xai": Preset(
        "openai_chat",
        "https://api.x.ai/v1",
        ("XAI_API_KEY",),
        models=("grok-*",),
        is_automatic=True,
        quirks={"custom_tools": False},
    ),
    "mistral": Preset(
        "openai_chat",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        models=(
            *("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "voxtral-*"),
            *("open-mistral-*", "open-mixtral-*"),
        ),
        is_automatic=True,
        quirks={
            **_COMPATIBLE,
            "seed_field": "random_seed",
            "tool_call_ids": "nine_alphanumeric",
            "tool_names": True,
            "reasoning_replay": "chunks",
            "omit": [
                # Unknown fields are answered with 422; usage always comes.
                *("stream_options", "user", "logit_bias", "logprobs", "top_logprobs"),
                *("service_tier", "verbosity", "prompt_cache_key"),
            ],
        },
    ),
    "openrouter": Preset(
        "openai_chat",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        is_automatic=True,
        quirks={
            **_COMPATIBLE,
            "top_k": True,
            "file_urls": True,
            "cache_marks": True,
            "reasoning": "object",
            "reasoning_replay": "details",
        },
    ),
    "perplexity": Preset(
        "openai_chat",
        "https://api.perplexity.ai",
        ("PERPLEXITY_API_KEY",),
        models=("sonar*",),
        is_automatic=True,
        quirks={**_COMPATIBLE, "top_k": True, "alternate_roles": True},
    ),
    "together": Preset(
        "openai_chat",
        "https://api.together.ai/v1",
        ("TOGETHER_API_KEY",),
        is_automatic=True,
        quirks={**_COMPATIBLE, "top_k": True},
    ),
    "fireworks": Preset(
        "openai_chat",
        "https://api.fireworks.ai/inference/v1",
        ("FIREWORKS_API_KEY",),
        models=("accounts/fireworks/*",),
        is_automatic=True,
        quirks={**_COMPATIBLE, "top_k": True},
    ),
    "cerebras": Preset(
        "openai_chat",
        "https://api.cerebras.ai/v1",
        ("CEREBRAS_API_KEY",),
        is_automatic=True,
        quirks={
            "custom_tools": False,
            "omit": ["presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls", "service_tier"],
        },
    ),
    "nvidia": Preset(
        "openai_chat",
        "https://integrate.api.nvidia.com/v1",
        ("NVIDIA_API_KEY",),
        is_automatic=True,
        quirks=_COMPATIBLE,
    ),
    "deepinfra": Preset(
        "openai_chat",
        "https://api.deepinfra.com/v1/openai",
        ("DEEPINFRA_API_KEY",),
        is_automatic=True,
        quirks=_COMPATIBLE,
    ),
    "sambanova": Preset(
        "openai_chat", "https://api.sambanova.ai/v1", ("SAMBANOVA_API_KEY",), is_automatic=True, quirks=_COMPATIBLE
    ),
    "moonshot": Preset(
        "openai_chat",
        "https://api.moonshot.ai/v1",
        ("MOONSHOT_API_KEY",),
        models=("kimi-*", "moonshot-*"),
        is_automatic=True,
        quirks={**_COMPATIBLE, "reasoning": "thinking", "reasoning_replay": "reasoning_content"},
    ),
    "zai": Preset(
        "openai_chat",
        "https://api.z.ai/api/paas/v4",
        ("ZAI_API_KEY", "ZHIPU_API_KEY"),
        models=("glm-*",),
        is_automatic=True,
        quirks={**_COMPATIBLE, "reasoning": "thinking", "reasoning_replay": "reasoning_content"},
    ),
    "alibaba": Preset(
        "openai_chat",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        ("DASHSCOPE_API_KEY",),
        models=("qwen-max*", "qwen-plus*", "qwen-turbo*", "qwen-flash*"),
        is_automatic=True,
        quirks={**_COMPATIBLE, "top_k": True, "reasoning": "enable_thinking"},
    ),
    # Their variables hold tokens for more than models, so a key in the environment does not mean "serve this".
    "huggingface": Preset("openai_chat", "https://router.huggingface.co/v1", ("HF_TOKEN",), quirks=_COMPATIBLE),
    "github-models": Preset(
        "openai_chat", "https://models.github.ai/inference", ("GITHUB_TOKEN",), quirks={"custom_tools": False}
    ),
    "azure": Preset(
        "openai_chat",
        None,
        ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        also_speaks=("openai_responses",),
        api_key_header="api-key",
        url_hint="https://RESOURCE.openai.azure.com/openai/v1",
    ),
    # --- servers of open models, at the port that each listens on by default
    "vllm": Preset(
        "openai_chat",
        f"{LOOPBACK}:8000/v1",
        is_keyless=True,
        quirks={**_LOCAL, "reasoning": "template", "reasoning_replay": "reasoning"},
    ),
    "sglang": Preset(
        "openai_chat", f"{LOOPBACK}:30000/v1", is_keyless=True, quirks={**_LOCAL, "reasoning": "template"}
    ),
    "lmstudio": Preset("openai_chat", f"{LOOPBACK}:1234/v1", is_keyless=True, quirks=_LOCAL),
    "llama.cpp": Preset("openai_chat", f"{LOOPBACK}:8080/v1", is_keyless=True, quirks=_LOCAL),
    "ollama": Preset("ollama", f"{LOOPBACK}:11434", is_keyless=True),
    "ollama-openai": Preset("openai_chat", f"{LOOPBACK}:11434/v1", is_keyless=True, quirks={**_LOCAL, "top_k": False}),
}
