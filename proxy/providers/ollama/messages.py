"""A conversation as Ollama's messages: texts are strings, images are bare base64 beside them.

* A tool result names the tool, which is looked up by the call's id. Images in a result move to a user message behind
  the results: chat templates render none in a tool message.
* Thinking goes back as plain text, whoever made it: templates put it where the model wants it.
* An image must be in the request: the server fetches nothing. Documents can be sent as text only.
"""

from collections.abc import Mapping, Sequence

from proxy.hub.events import ToolKind
from proxy.hub.request import (
    AudioPart,
    DataSource,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from proxy.providers.request_parts import Dropped, Json, arguments_object, cannot, plain_text


class Conversation:
    """Writes one request's messages."""

    def __init__(self, names: Mapping[str, str], dropped: Dropped) -> None:
        """`names`: the tool of each call, by the call's id."""
        self._names = names
        self._dropped = dropped
        self._out: list[Json] = []
        self._moved: list[str] = []
        """Images of results that wait for a user message to stand in."""

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The `messages` of the request. Raises CallerError for content that must not be lost and cannot be sent."""
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            self._dropped.add_if(message.name, f"{path}.name")
            if message.role is not Role.TOOL:
                self._place_moved()
            match message.role:
                case Role.SYSTEM:
                    self._add_said("system", message.parts, path)
                case Role.USER:
                    self._add_said("user", message.parts, path)
                case Role.ASSISTANT:
                    self._add_assistant(message.parts, path)
                case Role.TOOL:
                    self._add_results(message.parts, path)
        self._place_moved()
        return self._out

    def _place_moved(self) -> None:
        if self._moved:
            self._out.append({"role": "user", "content": "", "images": self._moved})
            self._moved = []

    def _add_said(self, role: str, parts: Sequence[Part], path: str) -> None:
        texts: list[str] = []
        images: list[str] = []
        for number, part in enumerate(parts):
            self._take(part, texts, images, f"{path}.parts[{number}]")
        message: Json = {"role": role, "content": "\n".join(texts)}
        if images:
            message["images"] = images
        self._out.append(message)

    def _add_assistant(self, parts: Sequence[Part], path: str) -> None:
        texts: list[str] = []
        thinking: list[str] = []
        calls: list[Json] = []
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            match part:
                case TextPart(text, cache):
                    self._dropped.add_if(cache, "cache_control")
                    texts.append(text)
                case RefusalPart(text):
                    texts.append(text)
                case ReasoningPart(text, redacted=None) if text:
                    thinking.append(text)
                case ToolCallPart(kind=ToolKind.FUNCTION | ToolKind.CUSTOM):
                    self._dropped.add_if(part.cache, "cache_control")
                    calls.append({"function": {"name": part.name, "arguments": arguments_object(part)}})
                case _:
                    self._dropped.add_part(where, part)
        message: Json = {"role": "assistant", "content": "".join(texts)}
        if thinking:
            message["thinking"] = "".join(thinking)
        if calls:
            message["tool_calls"] = calls
        if len(message) > 2 or message["content"]:
            self._out.append(message)

    def _add_results(self, parts: Sequence[Part], path: str) -> None:
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            if not isinstance(part, ToolResultPart) or part.kind is ToolKind.SERVER:
                self._dropped.add_part(where, part)
                continue
            self._dropped.add_if(part.cache, "cache_control")
            texts: list[str] = []
            for inner_number, inner in enumerate(part.parts):
                self._take(inner, texts, self._moved, f"{where}.parts[{inner_number}]")
            content = "\n".join(texts)
            message: Json = {"role": "tool", "content": f"Error: {content}" if part.is_error else content}
            name = self._names.get(part.call_id) or part.name
            if name:
                message["tool_name"] = name
            self._out.append(message)

    def _take(self, part: Part, texts: list[str], images: list[str], path: str) -> None:
        """A part of what somebody other than the assistant says."""
        match part:
            case TextPart(text, cache):
                self._dropped.add_if(cache, "cache_control")
                texts.append(text)
            case RefusalPart(text):
                texts.append(text)
            case ImagePart(source, detail, cache):
                self._dropped.add_if(cache, "cache_control")
                self._dropped.add_if(detail not in (None, "auto"), f"{path}.detail")
                if not isinstance(source, DataSource):
                    raise cannot(path, "this provider takes an image's content, not its address")
                images.append(source.data)
            case FilePart(name=name, context=context, citations=citations, cache=cache):
                self._dropped.add_if(cache, "cache_control")
                self._dropped.add_if(citations, f"{path}.citations")
                document = plain_text(part, path)
                if document is None:
                    raise cannot(path, "this provider takes documents as text only")
                texts.append("\n\n".join(piece for piece in (context, name, document) if piece))
            case AudioPart():
                raise cannot(path, "this provider takes no audio")
            case _:
                self._dropped.add_part(path, part)
