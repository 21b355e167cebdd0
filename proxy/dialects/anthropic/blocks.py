"""Content blocks of a request as parts.

A block that has no counterpart in other APIs stays whole (`OpaquePart`), so that only Anthropic's family sees it again.
"""

import base64

import msgspec

from proxy.dialects.anthropic.wire import (
    Document,
    Image,
    Kind,
    RedactedThinking,
    SearchResult,
    Source,
    Text,
    ThinkingBlock,
    ToolResult,
    ToolUse,
    given,
)
from proxy.dialects.data_url import plain_base64
from proxy.dialects.json_body import missing, read, wrong
from proxy.hub.carried import MARK, unpack
from proxy.hub.events import Origin
from proxy.hub.identifiers import read_back
from proxy.hub.request import (
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

MediaPart = TextPart | ImagePart | FilePart

_KIND = msgspec.json.Decoder(Kind)
_TEXT = msgspec.json.Decoder(Text)
_IMAGE = msgspec.json.Decoder(Image)
_DOCUMENT = msgspec.json.Decoder(Document)
_SEARCH_RESULT = msgspec.json.Decoder(SearchResult)
_TOOL_USE = msgspec.json.Decoder(ToolUse)
_TOOL_RESULT = msgspec.json.Decoder(ToolResult)
_THINKING = msgspec.json.Decoder(ThinkingBlock)
_REDACTED = msgspec.json.Decoder(RedactedThinking)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

Signatures = dict[str, tuple[str, Origin]]
"""Proofs of calls that came back in `redacted_thinking` blocks, by the call's id."""


def kind_of(raw: msgspec.Raw, path: str) -> str:
    """The type of a block. Raises CallerError."""
    return read(_KIND, raw, path).type


def text_part(raw: msgspec.Raw, path: str) -> TextPart:
    """A text block. Raises CallerError."""
    block = read(_TEXT, raw, path)
    return TextPart(block.text, given(block.cache_control))


def media_parts(kind: str, raw: msgspec.Raw, path: str) -> list[MediaPart] | None:
    """A text, image, document or search result; `None` for any other block. Raises CallerError."""
    match kind:
        case "text":
            return [text_part(raw, path)]
        case "image":
            image = read(_IMAGE, raw, path)
            return [ImagePart(_source(image.source, f"{path}.source"), cache=given(image.cache_control))]
        case "document":
            return _document(read(_DOCUMENT, raw, path), path)
        case "search_result":
            return [_search_result(read(_SEARCH_RESULT, raw, path))]
        case _:
            return None


def opaque_part(kind: str, raw: msgspec.Raw) -> OpaquePart:
    """A block kept as it came."""
    return OpaquePart(Origin.ANTHROPIC, kind, bytes(raw))


def tool_result(raw: msgspec.Raw, path: str) -> ToolResultPart:
    """A result. Content that only Anthropic knows becomes text. Raises CallerError."""
    block = read(_TOOL_RESULT, raw, path)
    parts: list[MediaPart] = []
    if isinstance(block.content, str):
        parts.append(TextPart(block.content))
    else:
        for index, inner in enumerate(block.content or ()):
            place = f"{path}.content[{index}]"
            found = media_parts(kind_of(inner, place), inner, place)
            parts += found if found is not None else [TextPart(bytes(inner).decode())]
    return ToolResultPart(
        read_back(block.tool_use_id),
        tuple(parts),
        is_error=bool(block.is_error),
        cache=given(block.cache_control),
    )


def assistant_parts(content: list[msgspec.Raw], path: str) -> list[Part]:
    """The blocks of an assistant's turn, proofs of calls at their calls. Raises CallerError."""
    signatures: Signatures = {}
    parts: list[Part] = []
    for index, raw in enumerate(content):
        place = f"{path}[{index}]"
        parts += _assistant_parts(kind_of(raw, place), raw, place, signatures)
    return [_signed(part, signatures) for part in parts] if signatures else parts


def _signed(part: Part, signatures: Signatures) -> Part:
    if not isinstance(part, ToolCallPart) or part.id not in signatures:
        return part
    signature, origin = signatures[part.id]
    return msgspec.structs.replace(part, signature=signature, origin=origin)


def _assistant_parts(kind: str, raw: msgspec.Raw, path: str, signatures: Signatures) -> list[Part]:
    match kind:
        case "thinking":
            return [_reasoning(read(_THINKING, raw, path))]
        case "redacted_thinking":
            return _redacted(read(_REDACTED, raw, path).data, signatures)
        case "tool_use":
            return [_call(read(_TOOL_USE, raw, path), path)]
        case _:
            found = media_parts(kind, raw, path)
            return [*found] if found is not None else [opaque_part(kind, raw)]


def _call(block: ToolUse, path: str) -> ToolCallPart:
    read(_OBJECT, block.input, f"{path}.input")
    arguments = bytes(block.input).decode()
    return ToolCallPart(read_back(block.id), block.name, arguments, cache=given(block.cache_control))


def _reasoning(block: ThinkingBlock) -> ReasoningPart:
    signature = block.signature or ""
    carried = unpack(signature)
    if carried is not None:
        return ReasoningPart(block.thinking, carried.proof, carried.origin)
    if not signature or signature.startswith(MARK):
        return ReasoningPart(block.thinking)
    return ReasoningPart(block.thinking, signature, Origin.ANTHROPIC)


def _redacted(data: str, signatures: Signatures) -> list[Part]:
    carried = unpack(data)
    if carried is None:
        return [] if data.startswith(MARK) else [ReasoningPart("", redacted=data, origin=Origin.ANTHROPIC)]
    if carried.call_id is not None:
        signatures[carried.call_id] = (carried.proof, carried.origin)
        return []
    return [ReasoningPart("", redacted=carried.proof, origin=carried.origin)]


# --- media


def _source(source: Source, path: str) -> UrlSource | DataSource | FileSource:
    match source.type:
        case "base64":
            media_type = source.media_type
            if media_type is None:
                raise missing(f"{path}.media_type")
            if source.data is None:
                raise missing(f"{path}.data")
            return DataSource(media_type, plain_base64(source.data, f"{path}.data"))
        case "text":
            if source.data is None:
                raise missing(f"{path}.data")
            return _plain_text(source.data)
        case "url":
            if source.url is None:
                raise missing(f"{path}.url")
            return UrlSource(source.url)
        case "file":
            if source.file_id is None:
                raise missing(f"{path}.file_id")
            return FileSource(source.file_id, Origin.ANTHROPIC)
        case other:
            raise wrong(f"{path}.type", "'base64', 'text', 'url' or 'file'", other)


def _plain_text(text: str) -> DataSource:
    return DataSource("text/plain", base64.b64encode(text.encode()).decode())


def _document(block: Document, path: str) -> list[MediaPart]:
    """A document; one that is made of blocks becomes a text document, its images following."""
    images: list[MediaPart] = []
    if block.source.type == "content":
        texts: list[str] = []
        for part in _content(block.source, f"{path}.source"):
            if isinstance(part, TextPart):
                texts.append(part.text)
            else:
                images.append(part)
        source: UrlSource | DataSource | FileSource = _plain_text("\n".join(texts))
    else:
        source = _source(block.source, f"{path}.source")
    citations = block.citations is not None and bool(block.citations.enabled)
    cache = given(block.cache_control)
    return [FilePart(source, block.title, block.context, citations, cache), *images]


def _content(source: Source, path: str) -> list[MediaPart]:
    if source.content is None:
        raise missing(f"{path}.content")
    if isinstance(source.content, str):
        return [TextPart(source.content)]
    parts: list[MediaPart] = []
    for index, raw in enumerate(source.content):
        place = f"{path}.content[{index}]"
        kind = kind_of(raw, place)
        found = media_parts(kind, raw, place)
        if found is None:
            raise wrong(f"{place}.type", "'text' or 'image'", kind)
        parts += found
    return parts


def _search_result(block: SearchResult) -> TextPart:
    """Text with its title and source: other APIs have no such block, and its words must not be lost."""
    texts = "\n".join(text.text for text in block.content)
    return TextPart(f"{block.title}\n{block.source}\n\n{texts}", given(block.cache_control))
