"""Writes `input`: the conversation as the flat list of items of the Responses API.

* System texts stay where they are, as messages of role `system`. The API's `instructions` would say the same, but LM
  Studio, OpenRouter and others ignore that field without a word (lmstudio-bug-tracker issue 1154, OpenRouter
  typescript-sdk issue 156); `developer` is a role of OpenAI's own.
* One assistant message becomes several items, in the order of its parts. Its text is a plain string: the typed parts
  `output_text` and `refusal` belong to items with an id and a status, which servers that check types insist on, and
  which we would have to make up.
* Reasoning must stand directly before what it produced: a reasoning item with nothing behind it is refused by the API,
  so it is dropped and named.
* Only OpenAI's own reasoning goes back, as its encrypted content; no other API's signature means anything here.
"""

import base64
import hashlib
from typing import Final

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
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

Json = dict[str, object]
Wire = Json | msgspec.Raw

MAX_CALL_ID_CHARS: Final = 64
"""Longer call ids are refused by the API. They become a hash, the same in the call and in its result."""

ERROR_PREFIX: Final = "Error: "
"""The API has no flag for a failed tool."""


class InputWriter:
    """Writes the messages of one request; names what it leaves out in `dropped`."""

    def __init__(self, messages: tuple[Message, ...], dropped: list[str]) -> None:
        self._messages = messages
        self._dropped = dropped
        self._items: list[Wire] = []
        self._custom_calls: set[str] = set()

    def items(self) -> list[Wire]:
        """All messages as items. Raises CallerError for what must not be lost and cannot be said."""
        for index in range(len(self._messages)):
            self._write_message(index)
        return self._items

    def _write_message(self, index: int) -> None:
        message = self._messages[index]
        path = f"messages[{index}]"
        if message.name is not None:
            self._dropped.append(f"{path}.name")
        match message.role:
            case Role.SYSTEM | Role.USER:
                self._write_input(message, path)
            case Role.ASSISTANT:
                following = self._messages[index + 1 : index + 2]
                self._write_output(message, path, any(other.role is Role.ASSISTANT for other in following))
            case Role.TOOL:
                for position, part in enumerate(message.parts):
                    place = f"{path}.parts[{position}]"
                    if isinstance(part, ToolResultPart):
                        self._write_result(part, place)
                    else:
                        self._drop(place, part)

    def _drop(self, path: str, part: Part) -> None:
        self._dropped.append(f"{path}: {PART_NAME[type(part)]}")

    # --- what the caller says

    def _write_input(self, message: Message, path: str) -> None:
        """A user or system message; opaque items among its parts stand in the list by themselves."""
        content: list[Wire] = []
        for index, part in enumerate(message.parts):
            place = f"{path}.parts[{index}]"
            if isinstance(part, OpaquePart):
                self._flush_input(message.role, content)
                content = []
                self._write_opaque(part, place)
            else:
                content.extend(self._content_of(part, place))
        self._flush_input(message.role, content)

    def _flush_input(self, role: Role, content: list[Wire]) -> None:
        if content:
            self._items.append({"role": role.value, "content": content})

    def _content_of(self, part: Part, path: str) -> list[Wire]:
        """The part as input content; empty when it cannot stand there."""
        match part:
            case TextPart(text):
                return [{"type": "input_text", "text": text}] if text else []
            case ImagePart():
                return [_image(part, path)]
            case FilePart():
                return [self._file(part, path)]
            case AudioPart(data, format):
                return [{"type": "input_audio", "input_audio": {"data": data, "format": format}}]
            case _:
                self._drop(path, part)
                return []

    def _file(self, part: FilePart, path: str) -> Json:
        if part.context is not None:
            self._dropped.append(f"{path}.context")
        if part.citations:
            self._dropped.append(f"{path}.citations")
        match part.source:
            case UrlSource(url):
                return {"type": "input_file", "file_url": url}
            case FileSource(id):
                _check_origin(part.source, path)
                return {"type": "input_file", "file_id": id}
            case DataSource("text/plain", data):
                return {"type": "input_text", "text": _document(part.name, data, path)}
            case DataSource(media_type, data):
                name = part.name or FILE_NAME.get(media_type, "file")
                return {"type": "input_file", "filename": name, "file_data": f"data:{media_type};base64,{data}"}

    # --- what the model said

    def _write_output(self, message: Message, path: str, is_continued: bool) -> None:
        texts: list[str] = []
        product = len(message.parts) if is_continued else _last_product(message.parts)
        for index, part in enumerate(message.parts):
            item: Wire
            match part:
                case TextPart(text) | RefusalPart(text):
                    texts.append(text)
                    continue
                case ToolCallPart(kind=ToolKind.FUNCTION | ToolKind.CUSTOM):
                    item = self._call(part)
                case OpaquePart(Origin.OPENAI):
                    item = msgspec.Raw(part.json)
                case ReasoningPart(origin=Origin.OPENAI) if index < product and _proof(part):
                    item = _reasoning(part)
                case _:
                    self._drop(f"{path}.parts[{index}]", part)
                    continue
            texts = self._flush_output(texts)
            self._items.append(item)
        self._flush_output(texts)

    def _flush_output(self, texts: list[str]) -> list[str]:
        """Write the text collected so far as one message, and give an empty collection."""
        text = "".join(texts)
        if text:
            self._items.append({"role": "assistant", "content": text})
        return []

    def _call(self, part: ToolCallPart) -> Json:
        call_id = _call_id(part.id)
        if part.kind is ToolKind.CUSTOM:
            self._custom_calls.add(part.id)
            return {"type": "custom_tool_call", "call_id": call_id, "name": part.name, "input": part.arguments}
        return {"type": "function_call", "call_id": call_id, "name": part.name, "arguments": part.arguments or "{}"}

    def _write_opaque(self, part: OpaquePart, path: str) -> None:
        if part.origin is Origin.OPENAI:
            self._items.append(msgspec.Raw(part.json))
        else:
            self._drop(path, part)

    # --- what tools said

    def _write_result(self, part: ToolResultPart, path: str) -> None:
        is_custom = part.kind is ToolKind.CUSTOM or part.call_id in self._custom_calls
        self._items.append(
            {
                "type": "custom_tool_call_output" if is_custom else "function_call_output",
                "call_id": _call_id(part.call_id),
                "output": self._result(part, path),
            }
        )

    def _result(self, part: ToolResultPart, path: str) -> str | list[Wire]:
        """Text as a string, which every server takes; a list where there is more than text."""
        prefix = ERROR_PREFIX if part.is_error else ""
        texts = [item.text for item in part.parts if isinstance(item, TextPart)]
        if len(texts) == len(part.parts):
            return prefix + "\n".join(texts)
        content: list[Wire] = [{"type": "input_text", "text": prefix.rstrip()}] if prefix else []
        for index, item in enumerate(part.parts):
            content.extend(self._content_of(item, f"{path}.parts[{index}]"))
        return content


PART_NAME: Final[dict[type[Part], str]] = {
    TextPart: "text",
    ImagePart: "image",
    FilePart: "file",
    AudioPart: "audio",
    ReasoningPart: "reasoning",
    RefusalPart: "refusal",
    ToolCallPart: "tool call",
    ToolResultPart: "tool result",
    OpaquePart: "block of another API",
}

FILE_NAME: Final[dict[str, str]] = {"application/pdf": "file.pdf"}
"""The API tells a file's type by its name, and wants one. Others: `file`."""


def _last_product(parts: tuple[Part, ...]) -> int:
    """The index of the last part that reasoning can have produced; -1: there is none."""
    for index in range(len(parts) - 1, -1, -1):
        match parts[index]:
            case TextPart(text) | RefusalPart(text) if text:
                return index
            case ToolCallPart() | OpaquePart(Origin.OPENAI):
                return index
            case _:
                continue
    return -1


def _proof(part: ReasoningPart) -> str | None:
    return part.redacted or part.signature


def _reasoning(part: ReasoningPart) -> Json:
    item: Json = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": part.text}] if part.text else [],
        "encrypted_content": _proof(part),
    }
    if part.id is not None:
        item["id"] = part.id
    return item


def _image(part: ImagePart, path: str) -> Json:
    wire: Json = {"type": "input_image", "detail": part.detail or "auto"}
    match part.source:
        case UrlSource(url):
            wire["image_url"] = url
        case DataSource(media_type, data):
            wire["image_url"] = f"data:{media_type};base64,{data}"
        case FileSource(id):
            _check_origin(part.source, path)
            wire["file_id"] = id
    return wire


def _check_origin(source: FileSource, path: str) -> None:
    if source.origin is not Origin.OPENAI:
        message = f"{path}: a file uploaded to {source.origin.value} cannot be read by this model"
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param=path)


def _document(name: str | None, data: str, path: str) -> str:
    """A plain text document as text: the API's file parts are for formats that need a reader."""
    try:
        text = base64.b64decode(data, validate=True).decode()
    except ValueError as fault:
        message = f"{path}: expected base64 of UTF-8 text"
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param=path) from fault
    return text if name is None else f"{name}\n\n{text}"


def _call_id(id: str) -> str:
    if len(id) <= MAX_CALL_ID_CHARS:
        return id
    return "call_" + hashlib.sha256(id.encode()).hexdigest()[:40]
