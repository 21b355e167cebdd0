"""The canonical stream: every provider is decoded into these events, every dialect is encoded from them.

Grammar (checked by `hub.grammar`; decoders obey it for every input, encoders may rely on it):

    stream = MessageStart { block | Usage } ( MessageEnd | StreamError )
           | StreamError
    block  = BlockStart { delta } BlockEnd

* A block's `index` is dense from 0 in order of opening. Blocks may interleave (parallel tool calls);
  an encoder whose dialect cannot interleave uses `dialects.sequential`.
* `Usage` replaces every earlier `Usage`: a decoder merges partial reports and emits totals.
* Every open block is ended before `MessageEnd`; before `StreamError` blocks may still be open.
* What a provider sends as keep-alive or as an unknown event yields no event at all.

Which delta may stand in which block:

    TextBlock        TextDelta, CitationAdded
    ReasoningBlock   ReasoningDelta, SignatureAdded
    RefusalBlock     RefusalDelta
    ToolCallBlock    ArgumentsDelta, SignatureAdded
    others           none: they are whole when they start
"""

from enum import StrEnum

import msgspec

from proxy.hub.errors import ErrorKind


class FinishReason(StrEnum):
    """Why a complete message ended. The provider's own word is kept in `MessageEnd.raw_reason`."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT_FULL = "context_full"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    """The provider paused a long turn; sending the answer back unchanged continues it (Anthropic `pause_turn`)."""
    MALFORMED_CALL = "malformed_call"
    OTHER = "other"
    """A reason this version does not know, or a success terminator without any reason."""


class Origin(StrEnum):
    """Whose opaque bytes these are: a signature or encrypted block is only ever returned to the family that made it."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    OPENROUTER = "openrouter"
    GEMINI = "gemini"
    BEDROCK = "bedrock"
    COHERE = "cohere"


class ToolKind(StrEnum):
    """Who runs a tool call and what its arguments are."""

    FUNCTION = "function"
    """The caller runs it; arguments are a JSON object."""
    CUSTOM = "custom"
    """The caller runs it; arguments are free text (OpenAI custom tools)."""
    SERVER = "server"
    """The provider ran it itself; its result follows as a `ToolResultBlock`. Never answered by the caller."""


class TextBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """Text of the answer."""


class ReasoningBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """Reasoning that the provider shows (whole or summarised)."""

    id: str | None = None
    """The provider's id of the item, where it must come back (OpenAI Responses `rs_…`)."""


class RedactedReasoningBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """Reasoning that came encrypted, whole, to be returned unchanged on the next turn."""

    data: str
    origin: Origin
    id: str | None = None


class RefusalBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """The words in which the model declines, or the provider before it (Gemini, of a blocked prompt)."""


class ToolCallBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """A tool call; its arguments follow as `ArgumentsDelta` fragments. `id` is never empty."""

    id: str
    name: str
    kind: ToolKind = ToolKind.FUNCTION
    raw: str | None = None
    """The origin's own JSON of the block's start, for a caller of the same family (Anthropic `caller`, `server_name`)."""
    origin: Origin | None = None


class ToolResultBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """The result of a tool that the provider ran itself (`ToolKind.SERVER`), whole."""

    call_id: str
    content: str
    """JSON text, in the origin's own shape."""
    origin: Origin
    type: str
    """The origin's name for it, e.g. `web_search_tool_result`."""
    is_error: bool = False
    raw: str | None = None
    """The origin's own JSON of the whole block, for a caller of the same family."""


class MediaBlock(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="block"):
    """A generated image or file, whole: exactly one of `data` (base64) and `url`."""

    media_type: str
    data: str | None = None
    url: str | None = None


Block = (
    TextBlock | ReasoningBlock | RedactedReasoningBlock | RefusalBlock | ToolCallBlock | ToolResultBlock | MediaBlock
)


class MessageStart(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """First, once. `id` and `model` as the provider gave them; empty when it gave none."""

    id: str
    model: str


class BlockStart(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    index: int
    block: Block


class TextDelta(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    index: int
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    index: int
    text: str


class RefusalDelta(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    index: int
    text: str


class ArgumentsDelta(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A fragment of a tool call's arguments; only the concatenation is JSON (free text for `ToolKind.CUSTOM`)."""

    index: int
    json: str


class SignatureAdded(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """The opaque proof of a reasoning block or tool call, whole; a second one replaces the first."""

    index: int
    signature: str
    origin: Origin


class CitationAdded(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A source of the text block `index`. `start` and `end` count characters of that block, `None` when unknown."""

    index: int
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    raw: str | None = None
    """The provider's own JSON, for a caller of the same family."""
    origin: Origin | None = None


class BlockEnd(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    index: int


class Usage(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """Token counts of the whole answer so far. `None`: the provider did not report it. Never estimated here.

    `input` includes `cached_input` and `cache_write`; `output` includes `reasoning`: each decoder normalises
    its vendor's convention (Anthropic excludes cached input, Gemini and xAI exclude reasoning from output).
    """

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    service_tier: str | None = None


class MessageEnd(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """The success terminator: the provider said that the answer is whole."""

    reason: FinishReason
    raw_reason: str | None = None
    stop_sequence: str | None = None


class StreamError(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """The failure terminator. `message` is fit for the caller: no keys, prompts or peer bytes beyond the provider's own text."""

    kind: ErrorKind
    message: str
    code: str | None = None
    """The provider's own machine-readable code, when it gave one."""


Event = (
    TextDelta
    | ArgumentsDelta
    | ReasoningDelta
    | RefusalDelta
    | MessageStart
    | BlockStart
    | BlockEnd
    | SignatureAdded
    | CitationAdded
    | Usage
    | MessageEnd
    | StreamError
)

RareEvent = MessageStart | BlockStart | BlockEnd | SignatureAdded | CitationAdded | Usage | MessageEnd | StreamError
"""All but the deltas: what comes some times in a stream, not hundreds of times."""

CONTENT_EVENTS = frozenset({TextDelta, ArgumentsDelta, ReasoningDelta, RefusalDelta, SignatureAdded, CitationAdded})
"""Event types that count as life for the first-event and idle deadlines, beside a `BlockStart` that says something by
itself. A bare start, usage or ping is none."""

EMPTY_AT_START = (TextBlock, ReasoningBlock, RefusalBlock)
"""Blocks whose start says nothing yet: Anthropic's API begins one before its model has said a word."""

TERMINAL_EVENTS = frozenset({MessageEnd, StreamError})
