"""A conversation as Chat Completions messages, in the shape that a vendor takes.

Two things need care. The API wants the results of an assistant message's calls right behind it, each as a message of its
own, and text only: results are gathered from wherever they stand, missing ones are filled in, and images among them
move to a user message behind. And what earlier turns hold that only its maker understands (signed reasoning, server
tools) is left out and named.
"""

import base64
import binascii
from collections.abc import Sequence
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
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.openai_chat.history import AssistantTurn, call_id
from proxy.providers.quirks import Quirks

Json = dict[str, object]

NO_RESULT: Final = "Error: no result of this call was given."
MOVED: Final = "The result is in the next user message."


class Conversation:
    """Writes one request's messages. `dropped` collects what they could not hold."""

    def __init__(self, quirks: Quirks, dropped: list[str]) -> None:
        self._quirks = quirks
        self._dropped = dropped
        self._out: list[Json] = []
        self._drops_cache_marks = False

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The `messages` of the request. Raises CallerError for content that must not be lost and cannot be sent."""
        results = _results_by_call(messages)
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            match message.role:
                case Role.SYSTEM:
                    self._add("system", self._text_of(message, path), message)
                case Role.USER:
                    self._add("user", self._user_content(message.parts, path), message)
                case Role.ASSISTANT:
                    self._add_assistant(message, path)
                    is_last = number == len(messages) - 1
                    self._add_results(message, results, path, is_last=is_last)
                case Role.TOOL:
                    self._add_orphans(message, results, path)
        if self._drops_cache_marks:
            self._dropped.append("cache_control")
        return self._shaped()

    # --- messages of each role

    def _add(self, role: str, content: object, message: Message) -> None:
        written: Json = {"role": role, "content": content}
        if message.name:
            written["name"] = message.name
        self._out.append(written)

    def _text_of(self, message: Message, path: str) -> object:
        """The content of a message that holds text only."""
        for number, part in enumerate(message.parts):
            if not isinstance(part, TextPart):
                raise _cannot(f"{path}.content[{number}]", "a system message holds text only")
        return self._content([self._text(part) for part in message.parts if isinstance(part, TextPart)], "\n\n")

    def _user_content(self, parts: Sequence[Part], path: str) -> object:
        written: list[Json] = []
        for number, part in enumerate(parts):
            place = f"{path}.content[{number}]"
            match part:
                case TextPart():
                    written.append(self._text(part))
                case ImagePart():
                    written.append(self._marked(_image(part, place), part.cache))
                case FilePart():
                    written.extend(self._marked(piece, part.cache) for piece in self._file(part, place))
                case AudioPart(data, audio_format):
                    audio = {"data": data, "format": audio_format}
                    written.append({"type": "input_audio", "input_audio": audio})
                case _:
                    self._dropped.append(f"{place}: {_name_of(part)}")
        if self._quirks.string_content and any(part["type"] != "text" for part in written):
            raise _cannot(path, "this model takes text only")
        return self._content(written, "\n", is_array=len(written) > 1 and not self._quirks.string_content)

    def _add_assistant(self, message: Message, path: str) -> None:
        turn = AssistantTurn(self._quirks, self._dropped, path)
        for number, part in enumerate(message.parts):
            turn.add(part, number)
        written = turn.written()
        if written is None:
            return
        if message.name:
            written["name"] = message.name
        self._out.append(written)

    # --- results of tools

    def _add_results(
        self, message: Message, results: dict[str, list[ToolResultPart]], path: str, *, is_last: bool
    ) -> None:
        """The results of the calls in `message`, then what of them a tool message cannot hold."""
        moved: list[Json] = []
        for call in message.parts:
            if not isinstance(call, ToolCallPart) or call.kind is ToolKind.SERVER:
                continue
            waiting = results.get(call.id)
            if waiting:
                self._out.append(self._result(waiting.pop(0), call.name, path, moved))
            elif not is_last:
                self._out.append(self._tool_message(call.id, call.name, NO_RESULT))
        if moved:
            self._out.append({"role": "user", "content": moved})

    def _add_orphans(self, message: Message, results: dict[str, list[ToolResultPart]], path: str) -> None:
        """Results whose call is not in the conversation: sent where they stand, for the provider to judge."""
        moved: list[Json] = []
        for number, part in enumerate(message.parts):
            match part:
                case ToolResultPart(kind=ToolKind.SERVER) | OpaquePart():
                    self._dropped.append(f"{path}.content[{number}]: {_name_of(part)}")
                case ToolResultPart() if _take(results, part):
                    self._out.append(self._result(part, part.name, path, moved))
                case _:
                    pass
        if moved:
            self._out.append({"role": "user", "content": moved})

    def _result(self, part: ToolResultPart, name: str | None, path: str, moved: list[Json]) -> Json:
        texts: list[Json] = []
        media: list[Json] = []
        for number, piece in enumerate(part.parts):
            place = f"{path}.content[{number}]"
            match piece:
                case TextPart():
                    texts.append(self._text(piece))
                case ImagePart():
                    media.append(_image(piece, place))
                case FilePart():
                    for written in self._file(piece, place):
                        (texts if written["type"] == "text" else media).append(written)
        if media:
            if self._quirks.string_content:
                raise _cannot(path, "this model takes text only")
            moved.extend([{"type": "text", "text": f"Result of the tool call {part.call_id}:"}, *media])
            texts = texts or [{"type": "text", "text": MOVED}]
        if part.is_error:
            texts = _prefixed(texts)
        if part.cache is not None and texts:
            texts[-1] = self._marked(texts[-1], part.cache)
        return self._tool_message(part.call_id, name, self._content(texts, "\n"))

    def _tool_message(self, wanted_id: str, name: str | None, content: object) -> Json:
        written: Json = {"role": "tool", "tool_call_id": call_id(wanted_id, self._quirks), "content": content}
        if self._quirks.tool_names and name:
            written["name"] = name
        return written

    # --- parts

    def _text(self, part: TextPart) -> Json:
        return self._marked({"type": "text", "text": part.text}, part.cache)

    def _marked(self, written: Json, cache: bytes | None) -> Json:
        if cache is None:
            return written
        if not self._quirks.cache_marks:
            self._drops_cache_marks = True
            return written
        return {**written, "cache_control": msgspec.Raw(cache)}

    def _content(self, parts: list[Json], joint: str, *, is_array: bool = False) -> object:
        """A string where that says the same: every server takes it."""
        if is_array or any("cache_control" in part for part in parts):
            return parts
        if any(part["type"] != "text" for part in parts):
            return parts
        return joint.join(str(part["text"]) for part in parts)

    def _file(self, part: FilePart, place: str) -> list[Json]:
        if part.citations:
            self._dropped.append(f"{place}: citations")
        head = [part.context] if part.context else []
        match part.source:
            case DataSource("text/plain", data):
                if part.name:
                    head.append(part.name)
                return [{"type": "text", "text": "\n\n".join([*head, _plain_text(data, place)])}]
            case DataSource(media_type, data):
                if media_type.startswith("image/"):
                    return [_image(ImagePart(part.source), place)]
                file: Json = {"filename": part.name or _file_name(media_type), "file_data": _data_url(part.source)}
            case UrlSource(url):
                if not self._quirks.file_urls:
                    raise _cannot(place, "this provider wants a file's content, not its URL")
                file = {"filename": part.name or url.rsplit("/", 1)[-1] or "document", "file_data": url}
            case FileSource(file_id, Origin.OPENAI):
                file = {"file_id": file_id}
            case FileSource():
                raise _cannot(place, "the file was uploaded to another provider")
        before: list[Json] = [{"type": "text", "text": text} for text in head]
        return [*before, {"type": "file", "file": file}]

    # --- the shape of the whole

    def _shaped(self) -> list[Json]:
        quirks = self._quirks
        out = self._out
        if quirks.system_first:
            out = _system_first(out)
        if quirks.alternate_roles:
            out = _alternating(out)
        if quirks.system_role == "developer":
            for message in out:
                if message["role"] == "system":
                    message["role"] = "developer"
        return out


def _results_by_call(messages: Sequence[Message]) -> dict[str, list[ToolResultPart]]:
    """Results that answer a call before them. An id may come again in a later turn: first call, first result."""
    found: dict[str, list[ToolResultPart]] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolResultPart) and part.kind is not ToolKind.SERVER:
                found.setdefault(part.call_id, []).append(part)
    return found


def _take(results: dict[str, list[ToolResultPart]], part: ToolResultPart) -> bool:
    """Whether `part` is still to be sent; it is taken."""
    waiting = results.get(part.call_id, [])
    if any(one is part for one in waiting):
        results[part.call_id] = [one for one in waiting if one is not part]
        return True
    return False


def _image(part: ImagePart, place: str) -> Json:
    match part.source:
        case UrlSource(url):
            image: Json = {"url": url}
        case DataSource():
            image = {"url": _data_url(part.source)}
        case FileSource():
            raise _cannot(place, "this provider wants an image's content or URL, not an uploaded file")
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _data_url(source: DataSource) -> str:
    return f"data:{source.media_type};base64,{source.data}"


def _file_name(media_type: str) -> str:
    """OpenAI wants a name beside a file's content."""
    return "document." + media_type.rpartition("/")[2].rpartition(".")[2]


def _plain_text(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8", "replace")
    except binascii.Error as fault:
        raise _cannot(place, "the document is not valid base64") from fault


def _prefixed(texts: list[Json]) -> list[Json]:
    """The API has no flag for a failed call: its text says so."""
    if not texts:
        return [{"type": "text", "text": "Error"}]
    return [{**texts[0], "text": f"Error: {texts[0]['text']}"}, *texts[1:]]


def _system_first(messages: list[Json]) -> list[Json]:
    leading = 0
    while leading < len(messages) and messages[leading]["role"] == "system":
        leading += 1
    rest = [{**message, "role": "user"} if message["role"] == "system" else message for message in messages[leading:]]
    if leading == 0:
        return rest
    joined = messages[0]
    for message in messages[1:leading]:
        joined = {**joined, "content": _joined(joined["content"], message["content"])}
    return [joined, *rest]


def _alternating(messages: list[Json]) -> list[Json]:
    out: list[Json] = []
    for message in messages:
        before = out[-1] if out else None
        is_same = before is not None and before["role"] == message["role"] and message["role"] in ("user", "assistant")
        if before is None or not is_same or "tool_calls" in before or "tool_calls" in message:
            out.append(message)
        else:
            out[-1] = {**before, "content": _joined(before["content"], message["content"])}
    return out


def _joined(first: object, second: object) -> object:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_as_parts(first), *_as_parts(second)]


def _as_parts(content: object) -> list[object]:
    if isinstance(content, list):
        return [*content]
    return [{"type": "text", "text": content}] if content else []


def _name_of(part: Part) -> str:
    if isinstance(part, RefusalPart):
        return "refusal"
    return part.type if isinstance(part, OpaquePart) else type(part).__name__.removesuffix("Part").lower()


def _cannot(param: str, reason: str) -> CallerError:
    return CallerError(ErrorKind.INVALID_REQUEST, f"{param}: {reason}", param=param)
