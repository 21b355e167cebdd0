"""The Gemini API's answers as they are read: flat structs with the fields that matter, and the tables of its words.

One struct each for what the API calls GenerateContentResponse, Candidate, Part …; a streamed chunk is a whole response.
Fields that are rare or the caller's business stay `msgspec.Raw`. Unknown fields are ignored; a field of a wrong type is
an UpstreamProtocolError, except that numbers may come as strings, which proto3 JSON allows.

Source: ai.google.dev/api/generate-content, the types of google-genai 3.4.0, and the recordings.
"""

from typing import Final, TypeVar

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import FinishReason, Usage
from proxy.hub.json_text import mended

T = TypeVar("T")

FINISH_REASON: dict[str, FinishReason] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    # The answer reached the limit of one request; only a Gemini caller can continue it, with its token.
    "CONTINUATION": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    "ESCALATION": FinishReason.CONTENT_FILTER,
    "PUP_LIMITED_DISABLED": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "MALFORMED_FUNCTION_CALL": FinishReason.MALFORMED_CALL,
    "UNEXPECTED_TOOL_CALL": FinishReason.MALFORMED_CALL,
}
"""`finishReason`. There is no word for tool calls: a turn of function calls ends with STOP. Others: OTHER."""

UNSPECIFIED: Final = frozenset(
    {"", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"}
)
"""The zero values of the two enums: they say as little as an absent field."""


class PartialArg(msgspec.Struct, gc=False):
    """A piece of a streamed call's arguments (Vertex, `streamFunctionCallArguments`): one value, or more of a string."""

    jsonPath: str = ""
    stringValue: str | None = None
    numberValue: msgspec.Raw = msgspec.Raw()
    boolValue: bool | None = None
    nullValue: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Set: the value is null, whatever this holds (proto3 JSON writes `null` or `"NULL_VALUE"`)."""


class FunctionCall(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = msgspec.Raw()
    partialArgs: list[PartialArg] | None = None
    willContinue: bool | None = None


class Blob(msgspec.Struct, gc=False):
    mimeType: str | None = None
    data: str | None = None


class FileData(msgspec.Struct, gc=False):
    mimeType: str | None = None
    fileUri: str | None = None


class Part(msgspec.Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None
    functionCall: FunctionCall | None = None
    inlineData: Blob | None = None
    fileData: FileData | None = None
    executableCode: msgspec.Raw = msgspec.Raw()
    codeExecutionResult: msgspec.Raw = msgspec.Raw()
    toolCall: msgspec.Raw = msgspec.Raw()
    toolResponse: msgspec.Raw = msgspec.Raw()


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False):
    content: Content | None = None
    finishReason: str | None = None
    index: int | None = None
    groundingMetadata: msgspec.Raw = msgspec.Raw()
    citationMetadata: msgspec.Raw = msgspec.Raw()
    urlContextMetadata: msgspec.Raw = msgspec.Raw()


class PromptFeedback(msgspec.Struct, gc=False):
    blockReason: str | None = None
    blockReasonMessage: str | None = None


class UsageMetadata(msgspec.Struct, gc=False):
    promptTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None
    serviceTier: str | None = None


class Chunk(msgspec.Struct, gc=False):
    candidates: list[Candidate] | None = None
    usageMetadata: UsageMetadata | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    promptFeedback: PromptFeedback | None = None
    error: msgspec.Raw = msgspec.Raw()


class ServerCall(msgspec.Struct, gc=False):
    """What `executableCode` and `toolCall` have in common, for a first look."""

    id: str | None = None
    toolType: str | None = None
    args: msgspec.Raw = msgspec.Raw()


class ServerResult(msgspec.Struct, gc=False):
    """`codeExecutionResult` and `toolResponse`."""

    id: str | None = None
    outcome: str | None = None


class WebSource(msgspec.Struct, gc=False):
    """Where a grounding chunk comes from: `web`, `retrievedContext`, `maps`, `image`."""

    uri: str | None = None
    sourceUri: str | None = None
    title: str | None = None
    text: str | None = None


class GroundingChunk(msgspec.Struct, gc=False):
    web: WebSource | None = None
    retrievedContext: WebSource | None = None
    maps: WebSource | None = None
    image: WebSource | None = None


class Segment(msgspec.Struct, gc=False):
    """A range of the answer's text, in UTF-8 bytes (recording stream-with-tools-search-grounding-1)."""

    startIndex: int | None = None
    endIndex: int | None = None
    text: str | None = None


class GroundingSupport(msgspec.Struct, gc=False):
    segment: Segment | None = None
    groundingChunkIndices: list[int] | None = None


class GroundingMetadata(msgspec.Struct, gc=False):
    groundingChunks: list[GroundingChunk] | None = None
    groundingSupports: list[GroundingSupport] | None = None


class Citation(msgspec.Struct, gc=False):
    startIndex: int | None = None
    endIndex: int | None = None
    uri: str | None = None
    title: str | None = None


class CitationMetadata(msgspec.Struct, gc=False):
    citations: list[Citation] | None = None
    citationSources: list[Citation] | None = None
    """The field's older name."""


class UrlMetadata(msgspec.Struct, gc=False):
    retrievedUrl: str | None = None
    urlRetrievalStatus: str | None = None


class UrlContextMetadata(msgspec.Struct, gc=False):
    urlMetadata: list[UrlMetadata] | None = None


CHUNK: Final = msgspec.json.Decoder(Chunk, strict=False)
CHUNKS: Final = msgspec.json.Decoder(list[Chunk], strict=False)
SERVER_CALL: Final = msgspec.json.Decoder(ServerCall, strict=False)
SERVER_RESULT: Final = msgspec.json.Decoder(ServerResult, strict=False)
GROUNDING: Final = msgspec.json.Decoder(GroundingMetadata, strict=False)
CITATIONS: Final = msgspec.json.Decoder(CitationMetadata, strict=False)
URL_CONTEXT: Final = msgspec.json.Decoder(UrlContextMetadata, strict=False)


def read(decoder: msgspec.json.Decoder[T], json: bytes | msgspec.Raw, what: str) -> T:
    """`json` typed. Raises UpstreamProtocolError saying that `what` is malformed."""
    try:
        return decoder.decode(json)
    except msgspec.ValidationError as fault:
        raise UpstreamProtocolError(f"{what} has an unexpected shape: {fault}"[:500]) from fault
    except RecursionError as fault:
        raise UpstreamProtocolError(f"{what} is nested too deeply") from fault
    except ValueError as fault:
        # Malformed JSON, or (UnicodeDecodeError) malformed UTF-8 in one of its texts.
        whole = mended(bytes(json))
        if whole != bytes(json):
            return read(decoder, whole, what)
        raise UpstreamProtocolError(f"{what} is not valid JSON") from fault


def read_chunks(payload: bytes) -> list[Chunk]:
    """The responses in one event: one, but errors are known to come inside an array."""
    if payload[:1] == b"[":
        return read(CHUNKS, payload, "an event")
    return [read(CHUNK, payload, "an event")]


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a raw field is there and not null."""
    return bool(raw) and bytes(raw) != b"null"


def text_of(raw: msgspec.Raw) -> str:
    """A raw field as JSON text that every reader accepts."""
    return mended(bytes(raw)).decode()


def usage_of(reported: UsageMetadata) -> Usage | None:
    """The API's counts in the hub's terms: input with tool results, output with thoughts. `None`: it gave no count."""
    usage = Usage(
        input=_sum(reported.promptTokenCount, reported.toolUsePromptTokenCount),
        output=_sum(reported.candidatesTokenCount, reported.thoughtsTokenCount),
        cached_input=reported.cachedContentTokenCount,
        reasoning=reported.thoughtsTokenCount,
        service_tier=reported.serviceTier,
    )
    return None if usage.input is None and usage.output is None else usage


def _sum(one: int | None, other: int | None) -> int | None:
    """The sum of the counts that were reported: the API leaves out those that are zero."""
    return None if one is None and other is None else (one or 0) + (other or 0)
