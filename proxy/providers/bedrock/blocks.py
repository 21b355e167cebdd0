"""Content blocks of a Converse request. Media that the API has no form for are refused here, with the field's name."""

import base64
import re

import msgspec

from proxy.hub.events import Origin
from proxy.hub.request import AudioPart, DataSource, FilePart, FileSource, ImagePart, ReasoningPart, UrlSource
from proxy.providers.request_parts import Json, cannot

IMAGE_FORMAT: dict[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}

DOCUMENT_FORMAT: dict[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "application/json": "txt",
    "application/xml": "txt",
}
"""Any other `text/*` is `txt`."""

AUDIO_FORMATS = frozenset({"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "mpeg", "pcm", "webm"})

MAX_NAME_CHARS = 200

_BAD_IN_NAME = re.compile(r"[^A-Za-z0-9\-()\[\]]+")


class _CacheControl(msgspec.Struct):
    ttl: str | None = None


_CACHE_CONTROL = msgspec.json.Decoder(_CacheControl)


def image_block(part: ImagePart, path: str) -> Json:
    match part.source:
        case DataSource(media_type, data):
            format = IMAGE_FORMAT.get(media_type.lower())
            if format is None:
                raise cannot(path, f"expected an image of type png, jpeg, gif or webp, got {media_type[:100]!r}")
            source: Json = {"bytes": data}
        case UrlSource(url):
            format = _format_of_url(url, IMAGE_FORMAT, path)
            source = {"s3Location": {"uri": url}}
        case FileSource():
            raise cannot(path, "the file was uploaded to another provider")
    return {"image": {"format": format, "source": source}}


def document_block(part: FilePart, name: str, path: str) -> Json:
    match part.source:
        case DataSource(media_type, data):
            kind = media_type.partition(";")[0].strip().lower()
            format = DOCUMENT_FORMAT.get(kind) or ("txt" if kind.startswith("text/") else None)
            if format is None:
                raise cannot(path, f"expected a PDF, an office document or a text, got {media_type[:100]!r}")
            source: Json = {"bytes": data}
        case UrlSource(url):
            format = _format_of_url(url, {**DOCUMENT_FORMAT, "text/plain": "txt"}, path)
            source = {"s3Location": {"uri": url}}
        case FileSource():
            raise cannot(path, "the file was uploaded to another provider")
    document: Json = {"format": format, "name": name, "source": source}
    if part.context:
        document["context"] = part.context
    if part.citations:
        document["citations"] = {"enabled": True}
    return {"document": document}


def document_name(wanted: str | None, number: int, used: set[str]) -> str:
    """A name as the API takes it (letters, digits, single blanks, `-()[]`), no two alike in a request."""
    base = _BAD_IN_NAME.sub(" ", wanted or "").strip()[:MAX_NAME_CHARS].strip() or f"document {number}"
    name, again = base, 2
    while name in used:
        name = f"{base[: MAX_NAME_CHARS - 8]} {again}"
        again += 1
    used.add(name)
    return name


def audio_block(part: AudioPart, path: str) -> Json:
    if part.format not in AUDIO_FORMATS:
        raise cannot(path, f"expected audio of a known format, got {part.format[:40]!r}")
    return {"audio": {"format": part.format, "source": {"bytes": part.data}}}


def reasoning_block(part: ReasoningPart, maker: Origin) -> Json | None:
    """Reasoning with its maker's proof, for a model of `maker`; `None` for any other."""
    if part.origin is not maker:
        return None
    if part.redacted is not None:
        data = part.redacted
        if maker is Origin.ANTHROPIC:
            # Their `data` is a text, which stands in this API's blob.
            data = base64.b64encode(data.encode("utf-8", "replace")).decode()
        return {"reasoningContent": {"redactedContent": data}}
    if part.signature:
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
    return None


def cache_point(cache: bytes) -> Json:
    """The mark behind a block that the caller wants cached up to there."""
    try:
        ttl = _CACHE_CONTROL.decode(cache).ttl
    except (ValueError, RecursionError):
        ttl = None
    point: Json = {"type": "default"}
    if ttl is not None:
        point["ttl"] = ttl
    return {"cachePoint": point}


def _format_of_url(url: str, formats: dict[str, str], path: str) -> str:
    """By the extension of an address that the service itself can read. Raises CallerError for any other."""
    extension = url.rpartition(".")[2].lower()
    known = {*formats.values()}
    extension = "jpeg" if extension == "jpg" else extension
    if not url.startswith("s3://"):
        raise cannot(path, "this provider takes the content itself or an s3:// address")
    if extension not in known:
        raise cannot(path, f"expected an address that ends in {', '.join(sorted(known))}")
    return extension
