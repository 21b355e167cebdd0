"""What a caller asks for, in no dialect: every dialect decodes into `ChatRequest`, every provider encodes from it.

Normal form, which decoders produce and encoders rely on:

* `messages` keeps the caller's order. System and developer texts are messages of role SYSTEM wherever they stood.
* Tool results live only in TOOL messages, which hold nothing else; an Anthropic user turn with results and text
  becomes a TOOL message followed by a USER message. An encoder that needs other groupings merges.
* JSON whose content is the caller's business (schemas, vendor blocks) stays `bytes`: valid JSON text, never re-encoded.
"""

from enum import StrEnum

import msgspec

from proxy.hub.events import Origin, ToolKind


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


# --- sources of media


class UrlSource(msgspec.Struct, frozen=True):
    """Media that the provider is to fetch itself. The proxy never fetches it."""

    url: str
    media_type: str | None = None
    """As the caller's dialect said it (Gemini, the AI SDK); Gemini's API wants to know."""


class DataSource(msgspec.Struct, frozen=True):
    """Media in the request: standard base64 without line breaks."""

    media_type: str
    data: str


class FileSource(msgspec.Struct, frozen=True):
    """A file uploaded earlier to the provider: meaningless to any other origin."""

    id: str
    origin: Origin


Source = UrlSource | DataSource | FileSource

# --- parts


class TextPart(msgspec.Struct, frozen=True):
    text: str
    cache: bytes | None = None
    """Anthropic's `cache_control` object, as JSON: a hint that other providers drop."""


class ImagePart(msgspec.Struct, frozen=True):
    source: Source
    detail: str | None = None
    cache: bytes | None = None


class FilePart(msgspec.Struct, frozen=True):
    """A document: PDF or text. Plain text documents are a `DataSource` of media type `text/plain`."""

    source: Source
    name: str | None = None
    context: str | None = None
    citations: bool = False
    """The caller wants citations of this document (Anthropic, Cohere)."""
    cache: bytes | None = None


class AudioPart(msgspec.Struct, frozen=True):
    data: str
    format: str
    """`wav`, `mp3`, … as in Chat Completions."""


class ReasoningPart(msgspec.Struct, frozen=True):
    """Earlier reasoning given back.

    Without a signature of the target's own origin it is dropped and named, unless the API takes plain text.
    """

    text: str
    signature: str | None = None
    origin: Origin | None = None
    redacted: str | None = None
    """Opaque whole of a redacted block; then `text` is empty."""
    id: str | None = None


class RefusalPart(msgspec.Struct, frozen=True):
    text: str


class ToolCallPart(msgspec.Struct, frozen=True):
    """A call that the assistant made. `arguments` is JSON text, or free text for `ToolKind.CUSTOM`."""

    id: str
    name: str
    arguments: str
    kind: ToolKind = ToolKind.FUNCTION
    signature: str | None = None
    origin: Origin | None = None
    cache: bytes | None = None


class ToolResultPart(msgspec.Struct, frozen=True):
    call_id: str
    parts: "tuple[TextPart | ImagePart | FilePart, ...]"
    name: str | None = None
    """The tool's name where the dialect sends it (Gemini, Ollama); encoders that need it look it up by `call_id`."""
    is_error: bool = False
    kind: ToolKind = ToolKind.FUNCTION
    cache: bytes | None = None


class OpaquePart(msgspec.Struct, frozen=True):
    """A block that only its origin understands (server tool use, compaction …), kept whole for it; named when dropped."""

    origin: Origin
    type: str
    json: bytes


Part = (
    TextPart
    | ImagePart
    | FilePart
    | AudioPart
    | ReasoningPart
    | RefusalPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)


class Message(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


# --- tools


class ToolDefinition(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: bytes | None = None
    """JSON Schema as the caller wrote it; `None`: no parameters."""
    strict: bool | None = None
    kind: ToolKind = ToolKind.FUNCTION
    format: bytes | None = None
    """Grammar of a CUSTOM tool, OpenAI's shape."""
    cache: bytes | None = None


class ServerTool(msgspec.Struct, frozen=True):
    """A tool that the provider runs (web search, code execution): understood only by `origin`, else dropped and named."""

    origin: Origin
    type: str
    json: bytes


class ToolMode(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


class ToolChoice(msgspec.Struct, frozen=True):
    mode: ToolMode
    name: str | None = None
    """The tool that must be called, for NAMED."""
    allowed: tuple[str, ...] | None = None
    """Only these tools may be called (AUTO or REQUIRED); `None`: all."""


# --- everything else


class Sampling(msgspec.Struct, frozen=True):
    """`None`: not given by the caller, so not sent. Ranges are OpenAI's; encoders clamp or drop, and say so."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: bytes | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    n: int = 1


class FormatKind(StrEnum):
    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


class ResponseFormat(msgspec.Struct, frozen=True):
    kind: FormatKind
    name: str | None = None
    schema: bytes | None = None
    description: str | None = None
    strict: bool | None = None


class Effort(StrEnum):
    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class ReasoningRequest(msgspec.Struct, frozen=True):
    """How much the model should think. At most one of the two is given by most dialects; encoders derive the other."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    """The model decides (Anthropic `adaptive`, Gemini's budget -1)."""
    visible: bool | None = None
    """Whether reasoning text should be shown; `None`: the provider's default."""


class ChatRequest(msgspec.Struct, frozen=True):
    """One generation. `model` is the name that the caller used."""

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    tools: tuple[ToolDefinition, ...] = ()
    server_tools: tuple[ServerTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    reasoning: ReasoningRequest | None = None
    include_usage: bool = True
    """Whether the caller's dialect wants usage in the stream; only Chat Completions makes it optional."""
    user: str | None = None
    metadata: bytes | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    cache_key: str | None = None
    extensions: dict[str, bytes] = {}
    """Top-level fields that no hub field stands for, as JSON. No provider of another API sends them: all are named as dropped."""
