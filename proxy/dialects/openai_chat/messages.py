"""Messages of a Chat Completions request as hub messages."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from proxy.dialects.data_url import source_of
from proxy.dialects.json_body import missing, wrong
from proxy.dialects.openai_chat.reasoning import reasoning_parts
from proxy.dialects.openai_chat.wire import Function, JsonObject, Part, ToolCall, WireMessage
from proxy.hub import request as hub
from proxy.hub.events import Origin, ToolKind

Value = TypeVar("Value")

ROLES: Final = "'system', 'developer', 'user', 'assistant', 'tool' or 'function'"

EPHEMERAL: Final = b'{"type":"ephemeral"}'
"""What OpenAI's `prompt_cache_breakpoint` is in the hub's terms."""


class MessageReader:
    """Reads the messages of one request in order: a deprecated `function` message answers the call before it."""

    def __init__(self) -> None:
        self._legacy_calls: dict[str, str] = {}
        """Ids given to `function_call`s, by the function's name."""
        self._legacy_count = 0

    def read(self, messages: Sequence[WireMessage]) -> tuple[hub.Message, ...]:
        """The hub's messages. Raises CallerError naming the field."""
        return tuple(self._message(message, f"messages[{number}]") for number, message in enumerate(messages))

    def _message(self, message: WireMessage, path: str) -> hub.Message:
        match message.role:
            case "user":
                return hub.Message(hub.Role.USER, self._user_parts(message, path), message.name)
            case "assistant":
                return hub.Message(hub.Role.ASSISTANT, self._assistant_parts(message, path), message.name)
            case "system" | "developer":
                return hub.Message(hub.Role.SYSTEM, _texts(message, path), message.name)
            case "tool":
                if not message.tool_call_id:
                    raise missing(f"{path}.tool_call_id")
                return self._result(message, message.tool_call_id, path)
            case "function":
                if not message.name:
                    raise missing(f"{path}.name")
                return self._result(message, self._legacy_calls.get(message.name, message.name), path)
            case role:
                raise wrong(f"{path}.role", ROLES, role)

    # --- user

    def _user_parts(self, message: WireMessage, path: str) -> tuple[hub.Part, ...]:
        if message.content is None:
            raise missing(f"{path}.content")
        return _marked([_media(part, place) for part, place in _parts(message, path)], message.cache_control)

    # --- assistant

    def _assistant_parts(self, message: WireMessage, path: str) -> tuple[hub.Part, ...]:
        texts: list[hub.Part] = []
        thoughts: list[hub.Part] = []
        for part, place in _parts(message, path):
            match part.type:
                case "text" | "output_text":
                    texts.append(_text(part, place))
                case "refusal":
                    texts.append(hub.RefusalPart(_given(part.refusal, f"{place}.refusal")))
                case "thinking":
                    thoughts.append(hub.ReasoningPart(_thinking(part)))
                case kind:
                    raise wrong(f"{place}.type", "'text', 'refusal' or 'thinking'", kind)
        if message.refusal:
            texts.append(hub.RefusalPart(message.refusal))
        if message.audio is not None:
            texts.append(hub.OpaquePart(Origin.OPENAI, "audio", msgspec.json.encode(message.audio)))
        reasoning, signatures = reasoning_parts(message)
        calls = self._calls(message, path)
        signed = [
            call if call.signature or (found := signatures.get(call.id)) is None else _signed(call, *found)
            for call in calls
        ]
        return _marked([*reasoning, *thoughts, *texts, *signed], message.cache_control)

    def _calls(self, message: WireMessage, path: str) -> list[hub.ToolCallPart]:
        calls = [_call(call, f"{path}.tool_calls[{number}]") for number, call in enumerate(message.tool_calls or ())]
        if message.function_call is not None:
            self._legacy_count += 1
            made_id = f"call_function_{self._legacy_count}"
            self._legacy_calls[message.function_call.name] = made_id
            call = message.function_call
            calls.append(hub.ToolCallPart(made_id, call.name, _arguments(call)))
        return calls

    # --- results

    def _result(self, message: WireMessage, call_id: str, path: str) -> hub.Message:
        parts: list[hub.TextPart | hub.ImagePart | hub.FilePart] = []
        for part, place in _parts(message, path):
            found = _media(part, place)
            if isinstance(found, hub.AudioPart):
                raise wrong(f"{place}.type", "'text', 'image_url' or 'file'", part.type)
            parts.append(found)
        cache = None if message.cache_control is None else msgspec.json.encode(message.cache_control)
        result = hub.ToolResultPart(call_id, tuple(parts), message.name, cache=cache)
        return hub.Message(hub.Role.TOOL, (result,))


def _parts(message: WireMessage, path: str) -> list[tuple[Part, str]]:
    """The entries of `content`, each with its path; a string is one of type text."""
    content = message.content
    if content is None:
        return []
    if isinstance(content, str):
        # An assistant's empty content beside tool calls says nothing.
        return [(Part("text", content), f"{path}.content")] if content or message.role != "assistant" else []
    return [(part, f"{path}.content[{number}]") for number, part in enumerate(content)]


def _texts(message: WireMessage, path: str) -> tuple[hub.Part, ...]:
    if message.content is None:
        raise missing(f"{path}.content")
    for part, place in _parts(message, path):
        if part.type != "text":
            raise wrong(f"{place}.type", "'text'", part.type)
    return _marked([_text(part, place) for part, place in _parts(message, path)], message.cache_control)


def _text(part: Part, place: str) -> hub.TextPart:
    return hub.TextPart(_given(part.text, f"{place}.text"), _cache(part))


def _media(part: Part, place: str) -> hub.TextPart | hub.ImagePart | hub.FilePart | hub.AudioPart:
    match part.type:
        case "text" | "input_text":
            return _text(part, place)
        case "image_url":
            return _image(part, f"{place}.image_url")
        case "input_audio":
            audio = _given(part.input_audio, f"{place}.input_audio")
            return hub.AudioPart(audio.data, audio.format)
        case "file":
            return _file(part, f"{place}.file")
        case kind:
            raise wrong(f"{place}.type", "'text', 'image_url', 'input_audio' or 'file'", kind)


def _image(part: Part, place: str) -> hub.ImagePart:
    image = part.image_url
    if image is None:
        raise missing(place)
    url, detail = (image, None) if isinstance(image, str) else (image.url, image.detail)
    return hub.ImagePart(source_of(url, f"{place}.url"), detail, _cache(part))


def _file(part: Part, place: str) -> hub.FilePart:
    file = _given(part.file, place)
    if file.file_id:
        return hub.FilePart(hub.FileSource(file.file_id, Origin.OPENAI), file.filename, cache=_cache(part))
    data = _given(file.file_data, f"{place}.file_data")
    return hub.FilePart(source_of(data, f"{place}.file_data"), file.filename, cache=_cache(part))


def _call(call: ToolCall, path: str) -> hub.ToolCallPart:
    if not call.id:
        raise wrong(f"{path}.id", "the id of a call", call.id)
    if call.custom is not None:
        made = hub.ToolCallPart(call.id, call.custom.name, call.custom.input, ToolKind.CUSTOM)
    else:
        function = _given(call.function, f"{path}.function")
        made = hub.ToolCallPart(call.id, function.name, _arguments(function))
    google = call.extra_content.google if call.extra_content is not None else None
    if google is not None and google.thought_signature:
        return _signed(made, google.thought_signature, Origin.GEMINI)
    return made


def _signed(call: hub.ToolCallPart, signature: str, origin: Origin) -> hub.ToolCallPart:
    return msgspec.structs.replace(call, signature=signature, origin=origin)


def _arguments(function: Function) -> str:
    arguments = function.arguments
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def _thinking(part: Part) -> str:
    if isinstance(part.thinking, list):
        return "".join(piece.text for piece in part.thinking)
    return part.thinking or ""


def _cache(part: Part) -> bytes | None:
    if part.cache_control is not None:
        return msgspec.json.encode(part.cache_control)
    return EPHEMERAL if part.prompt_cache_breakpoint is not None else None


def _marked(parts: Sequence[hub.Part], mark: JsonObject | None) -> tuple[hub.Part, ...]:
    """`parts` with the message's own mark on the last of them: that is where it would stand in an array."""
    if mark is None or not parts:
        return tuple(parts)
    last = parts[-1]
    if not isinstance(last, hub.TextPart | hub.ImagePart | hub.FilePart | hub.ToolCallPart):
        return tuple(parts)
    return (*parts[:-1], msgspec.structs.replace(last, cache=msgspec.json.encode(mark)))


def _given(value: Value | None, path: str) -> Value:
    if value is None:
        raise missing(path)
    return value
