"""A conversation as Gemini's `contents`, with the system texts apart.

    user / assistant           role user / model; messages of one kind in a row become one content
    tool results               functionResponse parts in a content of role user, apart from what the user says
    a call's result            needs the function's name, which is looked up by the call's id
    a signature                goes back on the part that it came on (see `stream`): an empty reasoning part before a text
                               or a file is that part's, any other is an empty text of its own

Gemini 3 refuses a function call of the current turn without its signature. Calls of other models, and calls whose
caller could not keep the signature, get the word that Google documents for them
(ai.google.dev/gemini-api/docs/thought-signatures, "transferring history from a different model").
"""

from collections.abc import Sequence
from enum import Enum
from typing import assert_never

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    AudioPart,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.custom_tools import wrap
from proxy.providers.gemini.dropped import Dropped
from proxy.providers.gemini.models import GEMINI_3, Generation
from proxy.providers.gemini.names import sendable

NO_SIGNATURE = "skip_thought_signature_validator"
"""Stands where a signature is required and there is none."""

MEDIA_TYPE_BY_EXTENSION: dict[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
"""Of a URL's path. Others: no type is stated, and the API takes the server's."""

WirePart = dict[str, object] | msgspec.Raw

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Kind(Enum):
    USER = "user"
    MODEL = "model"
    TOOL = "tool"


class _Turn:
    """One content that is being written."""

    def __init__(self, kind: _Kind) -> None:
        self.kind = kind
        self.parts: list[WirePart] = []

    def content(self) -> dict[str, object]:
        return {"role": "model" if self.kind is _Kind.MODEL else "user", "parts": self.parts}


class Conversation:
    """Writes the messages of one request."""

    def __init__(self, generation: Generation, dropped: Dropped) -> None:
        self._generation = generation
        self._dropped = dropped
        self._turns: list[_Turn] = []
        self._system: list[WirePart] = []
        self._names: dict[str, str] = {}
        """The function of each call so far, by the call's id."""

    def add(self, messages: Sequence[Message]) -> None:
        """Raises CallerError for what cannot be sent and must not be lost."""
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            self._dropped.add_if(message.name, f"{path}.name")
            match message.role:
                case Role.SYSTEM:
                    self._add_system(message.parts, path)
                case Role.USER:
                    self._add_user(message.parts, path)
                case Role.ASSISTANT:
                    self._add_model(message.parts, path)
                case Role.TOOL:
                    self._add_results(message.parts, path)
                case _:
                    assert_never(message.role)

    def system_instruction(self) -> dict[str, object] | None:
        return {"parts": self._system} if self._system else None

    def contents(self) -> list[dict[str, object]]:
        if self._generation >= GEMINI_3:
            self._replace_missing_signatures()
        return [turn.content() for turn in self._turns if turn.parts]

    def _turn(self, kind: _Kind) -> list[WirePart]:
        """The parts of the content that a message of `kind` belongs to."""
        if not self._turns or self._turns[-1].kind is not kind:
            self._turns.append(_Turn(kind))
        return self._turns[-1].parts

    def _replace_missing_signatures(self) -> None:
        """The first call of each step since the user last spoke must be signed; older ones are not checked."""
        for turn in reversed(self._turns):
            if turn.kind is _Kind.USER:
                return
            calls = [part for part in turn.parts if isinstance(part, dict) and "functionCall" in part]
            if calls and turn.kind is _Kind.MODEL:
                calls[0].setdefault("thoughtSignature", NO_SIGNATURE)

    # --- messages

    def _add_system(self, parts: tuple[Part, ...], path: str) -> None:
        for number, part in enumerate(parts):
            match part:
                case TextPart(text) | RefusalPart(text):
                    self._dropped.add_if(isinstance(part, TextPart) and part.cache, "cache_control")
                    if text:
                        self._system.append({"text": text})
                case _:
                    self._drop(part, f"{path}.parts[{number}]")

    def _add_user(self, parts: tuple[Part, ...], path: str) -> None:
        turn = self._turn(_Kind.USER)
        for number, part in enumerate(parts):
            added = self._common_part(part, f"{path}.parts[{number}]")
            if added is not None:
                turn.append(added)
        if not turn:
            # A content must have a part, even if the user said nothing.
            turn.append({"text": ""})

    def _add_model(self, parts: tuple[Part, ...], path: str) -> None:
        turn = self._turn(_Kind.MODEL)
        waiting: str | None = None
        for number, part in enumerate(parts):
            added = self._model_part(part, f"{path}.parts[{number}]")
            if isinstance(part, ReasoningPart) and added is None and _is_signed(part):
                turn.extend(_bare_signature(waiting))
                waiting = part.signature
                continue
            if waiting is not None and isinstance(added, dict):
                if isinstance(part, TextPart | ImagePart | FilePart):
                    added["thoughtSignature"] = waiting
                else:
                    turn.extend(_bare_signature(waiting))
                waiting = None
            if added is not None:
                turn.append(added)
        turn.extend(_bare_signature(waiting))

    def _model_part(self, part: Part, path: str) -> WirePart | None:
        match part:
            case ReasoningPart(text, signature) if _is_signed(part):
                # Without text it is the signature of another part: the caller of this function sees to it.
                return {"text": text, "thought": True, "thoughtSignature": signature} if text else None
            case ToolCallPart():
                return self._call(part, path)
            case OpaquePart(Origin.GEMINI, _, json):
                return msgspec.Raw(json)
            case _:
                return self._common_part(part, path)

    def _common_part(self, part: Part, path: str) -> dict[str, object] | None:
        """A part that means the same whoever said it; `None` when it is empty or was dropped."""
        match part:
            case TextPart(text, cache):
                self._dropped.add_if(cache, "cache_control")
                return {"text": text} if text else None
            case RefusalPart(text):
                return {"text": text} if text else None
            case ImagePart() | FilePart() | AudioPart():
                return self._media(part, path)
            case _:
                self._drop(part, path)
                return None

    def _call(self, call: ToolCallPart, path: str) -> dict[str, object]:
        self._dropped.add_if(call.cache, "cache_control")
        name = sendable(call.name, f"{path}.name")
        self._names[call.id] = name
        part: dict[str, object] = {"functionCall": {"id": call.id, "name": name, "args": _arguments(call)}}
        if call.signature is not None and call.origin is Origin.GEMINI:
            part["thoughtSignature"] = call.signature
        return part

    # --- tool results

    def _add_results(self, parts: tuple[Part, ...], path: str) -> None:
        turn = self._turn(_Kind.TOOL)
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            if isinstance(part, ToolResultPart):
                turn.extend(self._result(part, where))
            else:
                self._drop(part, where)

    def _result(self, result: ToolResultPart, path: str) -> list[WirePart]:
        """The response part. Media stand inside it since Gemini 3, and behind it before."""
        self._dropped.add_if(result.cache, "cache_control")
        name = self._names.get(result.call_id) or (sendable(result.name, f"{path}.name") if result.name else None)
        if name is None:
            message = f"{path}: no tool call with the id {result.call_id[:100]!r} comes before its result"
            raise CallerError(ErrorKind.INVALID_REQUEST, message, param=path)
        texts: list[str] = []
        media: list[WirePart] = []
        for number, part in enumerate(result.parts):
            if isinstance(part, TextPart):
                self._dropped.add_if(part.cache, "cache_control")
                texts.append(part.text)
            else:
                media.append(self._media(part, f"{path}.parts[{number}]"))
        response: dict[str, object] = {
            "id": result.call_id,
            "name": name,
            "response": _response("\n".join(texts), is_error=result.is_error),
        }
        if media and self._generation >= GEMINI_3:
            response["parts"] = media
            media = []
        return [{"functionResponse": response}, *media]

    # --- media

    def _media(self, part: ImagePart | FilePart | AudioPart, path: str) -> dict[str, object]:
        match part:
            case AudioPart(data, format):
                return {"inlineData": {"mimeType": f"audio/{format}", "data": data}}
            case ImagePart(source, detail, cache):
                self._dropped.add_if(detail not in (None, "auto"), f"{path}.detail")
            case FilePart(source, name, context, citations, cache):
                self._dropped.add_if(name, f"{path}.name")
                self._dropped.add_if(context, f"{path}.context")
                self._dropped.add_if(citations, f"{path}.citations")
        self._dropped.add_if(cache, "cache_control")
        return _source(source, path)

    def _drop(self, part: Part, path: str) -> None:
        self._dropped.add(f"{path}: {_NAMES.get(type(part), 'part')}")


_NAMES: dict[type[Part], str] = {
    ReasoningPart: "reasoning",
    OpaquePart: "provider's own block",
    ToolCallPart: "tool call",
    ToolResultPart: "tool result",
    ImagePart: "image",
    FilePart: "file",
    AudioPart: "audio",
}


def _is_signed(part: ReasoningPart) -> bool:
    return part.origin is Origin.GEMINI and part.signature is not None and part.redacted is None


def _bare_signature(signature: str | None) -> list[WirePart]:
    return [] if signature is None else [{"text": "", "thoughtSignature": signature}]


def _source(source: Source, path: str) -> dict[str, object]:
    match source:
        case DataSource(media_type, data):
            return {"inlineData": {"mimeType": media_type, "data": data}}
        case UrlSource(url, media_type):
            return {"fileData": _file_data(url, media_type)}
        case FileSource(id, Origin.GEMINI):
            return {"fileData": _file_data(id)}
        case FileSource(id, origin):
            message = f"{path}: the file {id[:100]!r} is at {origin.value}, where this provider cannot read it"
            raise CallerError(ErrorKind.INVALID_REQUEST, message, param=path)
        case _:
            assert_never(source)


def _file_data(uri: str, media_type: str | None = None) -> dict[str, object]:
    extension = uri.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    media_type = media_type or MEDIA_TYPE_BY_EXTENSION.get(extension)
    return {"fileUri": uri} if media_type is None else {"mimeType": media_type, "fileUri": uri}


# --- JSON objects in texts


def _arguments(call: ToolCallPart) -> msgspec.Raw | dict[str, object]:
    """The call's arguments as an object. What is none (cut off by a token limit, free text) is kept as a text in one."""
    if call.kind is ToolKind.CUSTOM:
        return msgspec.Raw(wrap(call.arguments))
    if not call.arguments.strip():
        return {}
    return json_object(call.arguments) or {"input": call.arguments}


def _response(text: str, *, is_error: bool) -> msgspec.Raw | dict[str, object]:
    """A result as an object: as it is when it is one, else under `result`; errors under `error`."""
    whole = json_object(text)
    if not is_error:
        return whole if whole is not None else {"result": text}
    if whole is None:
        return {"error": text}
    return whole if set(_OBJECT.decode(whole)) == {"error"} else {"error": whole}


def json_object(text: str) -> msgspec.Raw | None:
    """`text` as raw JSON when it is an object; `None` when it is anything else."""
    encoded = text.encode("utf-8", "replace")
    try:
        _OBJECT.decode(encoded)
    except (ValueError, RecursionError):
        return None
    return msgspec.Raw(encoded)
