"""The Responses API as it is read: flat structs with the fields that matter.

Every struct ignores fields it does not know; a field of a wrong type is an UpstreamProtocolError. Nested values stay
`msgspec.Raw` until their type is known. Source: the API's published types (openai-python 3.54.0, `types/responses`)
and the recordings.
"""

from typing import Final, TypeVar

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.json_text import mended

T = TypeVar("T")


class StreamEvent(msgspec.Struct, gc=False):
    """Any event of a stream: the union of the fields that the decoder reads."""

    type: str = ""
    delta: str | None = None
    output_index: int | None = None
    item_id: str | None = None
    content_index: int | None = None
    summary_index: int | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    name: str | None = None
    code: str | int | None = None
    """The code of a code interpreter, or an error's code."""
    item: msgspec.Raw = msgspec.Raw()
    part: msgspec.Raw = msgspec.Raw()
    annotation: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Head(msgspec.Struct, gc=False):
    """What every object has, for a first look."""

    type: str = ""


class ItemHead(msgspec.Struct, gc=False):
    """What tells items apart."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    status: str | None = None


class Annotation(msgspec.Struct, gc=False):
    """A source of a text part; the fields of all its types."""

    type: str = ""
    url: str | None = None
    title: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Part(msgspec.Struct, gc=False):
    """A part of a message or of a reasoning item."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[msgspec.Raw] | None = None


class MessageItem(msgspec.Struct, gc=False):
    content: list[Part] | None = None


class ReasoningItem(msgspec.Struct, gc=False):
    id: str | None = None
    summary: list[Part] | None = None
    content: list[Part] | None = None
    encrypted_content: str | None = None


class CallItem(msgspec.Struct, gc=False):
    """`function_call` and `custom_tool_call`."""

    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class ImageItem(msgspec.Struct, gc=False):
    result: str | None = None
    output_format: str | None = None


class TokenDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: TokenDetails | None = None
    output_tokens_details: TokenDetails | None = None


class IncompleteDetails(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """A response object: a snapshot in a lifecycle event, or a whole answer."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: WireUsage | None = None
    incomplete_details: IncompleteDetails | None = None
    error: msgspec.Raw = msgspec.Raw()


STREAM_EVENT: Final = msgspec.json.Decoder(StreamEvent)
HEAD: Final = msgspec.json.Decoder(Head)
ITEM_HEAD: Final = msgspec.json.Decoder(ItemHead)
ANNOTATION: Final = msgspec.json.Decoder(Annotation)
PART: Final = msgspec.json.Decoder(Part)
MESSAGE_ITEM: Final = msgspec.json.Decoder(MessageItem)
REASONING_ITEM: Final = msgspec.json.Decoder(ReasoningItem)
CALL_ITEM: Final = msgspec.json.Decoder(CallItem)
IMAGE_ITEM: Final = msgspec.json.Decoder(ImageItem)
RESPONSE: Final = msgspec.json.Decoder(Response)
STRING: Final = msgspec.json.Decoder(str)
FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read(decoder: msgspec.json.Decoder[T], json: bytes | msgspec.Raw, what: str) -> T:
    """`json` typed; malformed UTF-8 and lone surrogates are mended first. Raises UpstreamProtocolError naming `what`."""
    try:
        return decoder.decode(json)
    except msgspec.ValidationError as fault:
        raise UpstreamProtocolError(f"{what} has a field of the wrong type: {fault}") from fault
    except RecursionError as fault:
        raise UpstreamProtocolError(f"{what} is nested too deeply") from fault
    except ValueError as fault:
        # DecodeError, and UnicodeDecodeError for bytes that are no UTF-8.
        whole = mended(bytes(json))
        if whole != bytes(json):
            return read(decoder, whole, what)
        raise UpstreamProtocolError(f"{what} is not valid JSON: {fault}") from fault


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a field was in the object, and not null."""
    return len(raw) > 4 or bytes(raw) not in (b"", b"null")
