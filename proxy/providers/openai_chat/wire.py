"""The Chat Completions answer as structs: OpenAI's own fields and those of every compatible vendor seen in recordings.

One flat struct serves the stream's chunks and the whole answer. All fields are optional, unknown ones are ignored, and
what is read rarely (usage, errors, citations) stays raw inside until it is needed: its faults must not end a stream.
(`msgspec.Raw` itself cannot be optional: a union with it accepts only the other members.)
Spec: platform.openai.com/docs/api-reference/chat-streaming (read 2026-11), openai-python 3.54.0.
"""

import msgspec

from proxy.hub.reasoning_details import ReasoningDetail

Raw = msgspec.Raw
JsonObject = dict[str, Raw]
Loose = str | bool | int | float | list[Raw] | JsonObject | None
"""Whatever stands there."""


def entries(found: Loose) -> list[Raw]:
    """A list's entries; none of anything else."""
    return found if isinstance(found, list) else []


class ContentPart(msgspec.Struct, gc=False):
    """One entry of a `content` array (Mistral, Databricks): text, or reasoning in one of three spellings."""

    type: str | None = None
    text: str | None = None
    thinking: "str | list[ContentPart] | None" = None
    summary: "list[ContentPart] | None" = None


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | JsonObject | None = None
    """A string by the API; some servers send the object itself."""


class Custom(msgspec.Struct, gc=False):
    name: str | None = None
    input: str | None = None


class GoogleExtra(msgspec.Struct, gc=False):
    thought_signature: str | None = None


class ExtraContent(msgspec.Struct, gc=False):
    google: GoogleExtra | None = None


class ToolCall(msgspec.Struct, gc=False):
    """A fragment of a call in a stream, or a whole call."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: ExtraContent | None = None


class Audio(msgspec.Struct, gc=False):
    transcript: str | None = None


class Delta(msgspec.Struct, gc=False):
    """`choices[].delta` of a chunk and `choices[].message` of a whole answer."""

    content: str | list[ContentPart] | ContentPart | None = None
    """One part alone: a reference of Mistral's."""
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_text: str | None = None
    """GitHub Copilot."""
    tool_calls: list[ToolCall] | None = None
    refusal: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    function_call: Function | None = None
    annotations: Loose = None
    images: Loose = None
    audio: Audio | None = None


class Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    message: Delta | None = None
    text: str | None = None
    """Some servers stream the older completions shape on the chat path."""
    error: Loose = None
    """OpenRouter, beside `finish_reason: "error"`."""


class GroqExtra(msgspec.Struct, gc=False):
    usage: Loose = None
    error: Loose = None


class Chunk(msgspec.Struct, gc=False):
    """A chunk of a stream, a whole answer, or an error in the place of either."""

    id: str | int | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Loose = None
    error: Loose = None
    error_message: Loose = None
    """DeepInfra, in a chunk without choices."""
    base_resp: Loose = None
    """MiniMax: how the call went, in every answer."""
    object: str | None = None
    service_tier: Loose = None
    x_groq: GroqExtra | None = None
    citations: Loose = None
    search_results: Loose = None


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek."""
    cached_tokens: int | None = None
    """Moonshot."""
    cache_read_input_tokens: int | None = None
    """LiteLLM, from Anthropic."""
    cache_creation_input_tokens: int | None = None
    """Vercel, LiteLLM."""
    reasoning_tokens: int | None = None
    """Perplexity."""
    service_tier: str | None = None
    """Mistral."""


class UrlCitation(msgspec.Struct):
    url: str | None = None
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(msgspec.Struct):
    type: str = ""
    url_citation: UrlCitation | None = None


class SearchResult(msgspec.Struct):
    """An entry of Perplexity's `search_results`."""

    url: str | None = None
    title: str | None = None
    snippet: str | None = None


class ImageUrl(msgspec.Struct):
    url: str = ""


class Image(msgspec.Struct):
    """An entry of OpenRouter's `images`."""

    image_url: ImageUrl | None = None
