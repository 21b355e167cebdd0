"""What callers of Anthropic's Messages API send, as flat structs of the fields that are read.

Spec: anthropic SDK 2.12 `types/message_create_params.py`, `types/*_param.py`. Raw fields hold JSON that is looked at in
a second step, or is the provider's business; an absent one is empty.
"""

from typing import Annotated

import msgspec

Raw = msgspec.Raw
ABSENT = Raw(b"")

Count = Annotated[int, msgspec.Meta(ge=0)]


class WireEnvelope(msgspec.Struct):
    model: str
    stream: bool | None = None


class WireMessage(msgspec.Struct):
    role: str
    content: str | list[Raw]


class Thinking(msgspec.Struct):
    type: str
    budget_tokens: Count | None = None
    display: str | None = None


class Format(msgspec.Struct):
    type: str
    schema: Raw = ABSENT


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: Format | None = None


class WireToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Metadata(msgspec.Struct):
    user_id: str | None = None


class WireRequest(msgspec.Struct):
    """Fields of a request that the hub has a place for; `request.KNOWN` lists them."""

    model: str
    messages: list[WireMessage]
    max_tokens: Count | None = None
    system: str | list[Raw] | None = None
    stream: bool | None = None
    tools: list[Raw] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None


class Tool(msgspec.Struct):
    name: str
    input_schema: Raw
    description: str | None = None
    strict: bool | None = None
    cache_control: Raw = ABSENT


class Kind(msgspec.Struct):
    """The one field that every block has."""

    type: str


class Cited(msgspec.Struct):
    """What a block says of the sources of its text."""

    type: str
    citations: Raw = ABSENT


class ToolKindField(msgspec.Struct):
    """A tool without a type is the caller's own."""

    type: str | None = None


class Text(msgspec.Struct):
    text: str
    cache_control: Raw = ABSENT


class Source(msgspec.Struct):
    """Of an image or a document, whatever its type."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Raw] | None = None


class Image(msgspec.Struct):
    source: Source
    cache_control: Raw = ABSENT


class Citations(msgspec.Struct):
    enabled: bool | None = None


class Document(msgspec.Struct):
    source: Source
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: Raw = ABSENT


class SearchResult(msgspec.Struct):
    source: str
    title: str
    content: list[Text]
    cache_control: Raw = ABSENT


class ToolUse(msgspec.Struct):
    id: str
    name: str
    input: Raw
    cache_control: Raw = ABSENT


class ToolResult(msgspec.Struct):
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: Raw = ABSENT


class ThinkingBlock(msgspec.Struct):
    thinking: str
    signature: str | None = None


class RedactedThinking(msgspec.Struct):
    data: str


def given(raw: Raw) -> bytes | None:
    """The JSON of a raw field; `None` when it is absent or null."""
    json = bytes(raw)
    return json if json and json != b"null" else None
