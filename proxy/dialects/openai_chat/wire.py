"""The Chat Completions request as structs: OpenAI's fields, and those of compatible vendors that mean the same.

What the proxy reads has its type checked here, so that a wrong one is refused with its path. A raw value is one that is
the caller's business (schemas, grammars), and is checked by whoever reads it.
Spec: platform.openai.com/docs/api-reference/chat/create (read 2026-11).
"""

import msgspec

from proxy.hub.reasoning_details import ReasoningDetail

Raw = msgspec.Raw
JsonObject = dict[str, Raw]

ABSENT = Raw(b"")
"""A raw field that was not given; `null` stays `null`. (A union with `Raw` would accept only its other members.)"""


class ImageUrl(msgspec.Struct):
    url: str
    detail: str | None = None


class InputAudio(msgspec.Struct):
    data: str
    format: str


class File(msgspec.Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class ThinkingText(msgspec.Struct):
    text: str = ""


class Part(msgspec.Struct):
    """One entry of a message's `content`."""

    type: str
    text: str | None = None
    image_url: str | ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    refusal: str | None = None
    thinking: str | list[ThinkingText] | None = None
    """Mistral's way to give reasoning back."""
    cache_control: JsonObject | None = None
    """OpenRouter, Vercel and LiteLLM: Anthropic's mark."""
    prompt_cache_breakpoint: JsonObject | None = None
    """OpenAI's own."""


class Function(msgspec.Struct):
    name: str
    arguments: str | JsonObject = ""
    """A string by the API; an object is taken as well."""


class CustomCall(msgspec.Struct):
    name: str
    input: str = ""


class GoogleExtra(msgspec.Struct):
    thought_signature: str | None = None


class ExtraContent(msgspec.Struct):
    google: GoogleExtra | None = None


class ToolCall(msgspec.Struct):
    id: str
    type: str | None = None
    function: Function | None = None
    custom: CustomCall | None = None
    extra_content: ExtraContent | None = None


class WireMessage(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None
    audio: JsonObject | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    cache_control: JsonObject | None = None


class FunctionTool(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class CustomTool(msgspec.Struct):
    name: str
    description: str | None = None
    format: Raw = ABSENT


class Tool(msgspec.Struct):
    type: str = "function"
    function: FunctionTool | None = None
    custom: CustomTool | None = None
    cache_control: JsonObject | None = None


class Named(msgspec.Struct):
    name: str


class AllowedTool(msgspec.Struct):
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(msgspec.Struct):
    mode: str
    tools: list[AllowedTool]


class Choice(msgspec.Struct):
    """`tool_choice` as an object."""

    type: str = "function"
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None


class Schema(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class Format(msgspec.Struct):
    type: str | None = None
    json_schema: Schema | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Reasoning(msgspec.Struct):
    """OpenRouter's way to ask for reasoning."""

    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class Thinking(msgspec.Struct):
    """DeepSeek's, Z.ai's and Moonshot's way."""

    type: str | None = None
    budget_tokens: int | None = None


class ChatBody(msgspec.Struct):
    """Fields that the hub stands for; all others are extensions."""

    messages: list[WireMessage]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Raw] | None = None
    tool_choice: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionTool] | None = None
    function_call: str | Named | None = None
    response_format: Format | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    seed: int | None = None
    logit_bias: Raw = ABSENT
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    thinking: Thinking | None = None
    verbosity: str | None = None
    metadata: Raw = ABSENT
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


class EnvelopeBody(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    functions: list[Raw] | None = None
    tools: list[Raw] | None = None
