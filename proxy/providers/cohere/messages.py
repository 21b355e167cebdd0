"""A conversation as Cohere's messages.

* The results of an assistant message's calls stand right behind it, one message each. A call without a result gets
  one that says so; a result without its call is told as user text, because the API refuses it.
* A result is text: images in one move to a user message behind the results.
* Reasoning goes back as plain text, whoever made it: as the plan of the calls beside it, else as thinking.
"""

from collections.abc import Sequence

from proxy.hub.events import ToolKind
from proxy.hub.request import (
    AudioPart,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.custom_tools import wrap
from proxy.providers.request_parts import NO_RESULT, Dropped, Json, cannot, plain_text, sendable_name

MAX_NAME_CHARS = 128


class Conversation:
    """Writes one request's messages. `documents` are those whose citations the caller wants."""

    def __init__(self, dropped: Dropped) -> None:
        self._dropped = dropped
        self._out: list[Json] = []
        self._pending: list[str] = []
        """Calls of the last assistant message that have no result yet."""
        self._moved: list[Json] = []
        """Images of results that wait for a user message to stand in."""
        self.documents: list[Json] = []

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The `messages` of the request. Raises CallerError for content that must not be lost and cannot be sent."""
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            self._dropped.add_if(message.name, f"{path}.name")
            if message.role is not Role.TOOL:
                self._end_results()
            match message.role:
                case Role.SYSTEM:
                    self._add_said("system", message.parts, path)
                case Role.USER:
                    self._add_said("user", message.parts, path)
                case Role.ASSISTANT:
                    self._add_assistant(message.parts, path)
                case Role.TOOL:
                    self._add_results(message.parts, path)
        if not messages or messages[-1].role is not Role.ASSISTANT:
            self._end_results()
        if not self._out:
            raise cannot("messages", "expected at least one message")
        return self._out

    def _end_results(self) -> None:
        for call_id in self._pending:
            self._out.append({"role": "tool", "tool_call_id": call_id, "content": NO_RESULT})
        self._pending = []
        if self._moved:
            self._out.append({"role": "user", "content": self._moved})
            self._moved = []

    def _add_said(self, role: str, parts: Sequence[Part], path: str) -> None:
        content: list[Json] = []
        for number, part in enumerate(parts):
            content += self._content(part, f"{path}.parts[{number}]")
        if all(one["type"] == "text" for one in content):
            self._out.append({"role": role, "content": "\n".join(str(one["text"]) for one in content)})
        elif role == "system":
            raise cannot(path, "a system message holds text only")
        else:
            self._out.append({"role": role, "content": content})

    def _add_assistant(self, parts: Sequence[Part], path: str) -> None:
        texts: list[Json] = []
        reasoning: list[str] = []
        calls: list[Json] = []
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            match part:
                case TextPart(text, cache):
                    self._dropped.add_if(cache, "cache_control")
                    texts.append({"type": "text", "text": text})
                case RefusalPart(text):
                    texts.append({"type": "text", "text": text})
                case ReasoningPart(text, redacted=None) if text:
                    reasoning.append(text)
                case ToolCallPart(kind=ToolKind.FUNCTION | ToolKind.CUSTOM):
                    calls.append(self._call(part, where))
                case _:
                    self._dropped.add_part(where, part)
        message: Json = {"role": "assistant"}
        if calls:
            message["tool_calls"] = calls
            if reasoning:
                message["tool_plan"] = "\n".join(reasoning)
        elif reasoning:
            texts.insert(0, {"type": "thinking", "thinking": "\n".join(reasoning)})
        texts = [one for one in texts if one.get("text") != ""]
        if texts:
            message["content"] = texts
        if len(message) > 1:
            self._out.append(message)

    def _call(self, part: ToolCallPart, path: str) -> Json:
        self._dropped.add_if(part.cache, "cache_control")
        self._pending.append(part.id)
        arguments = wrap(part.arguments).decode() if part.kind is ToolKind.CUSTOM else part.arguments or "{}"
        function: Json = {"name": sendable_name(part.name, f"{path}.name", MAX_NAME_CHARS), "arguments": arguments}
        return {"id": part.id, "type": "function", "function": function}

    # --- results

    def _add_results(self, parts: Sequence[Part], path: str) -> None:
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            if isinstance(part, ToolResultPart) and part.kind is not ToolKind.SERVER:
                self._add_result(part, where)
            else:
                self._dropped.add_part(where, part)

    def _add_result(self, part: ToolResultPart, path: str) -> None:
        self._dropped.add_if(part.cache, "cache_control")
        content: list[Json] = []
        for number, inner in enumerate(part.parts):
            content += self._content(inner, f"{path}.parts[{number}]")
        text = "\n".join(str(one["text"]) for one in content if one["type"] == "text")
        images = [one for one in content if one["type"] != "text"]
        text = f"Error: {text}" if part.is_error else text
        if part.call_id in self._pending:
            self._pending.remove(part.call_id)
            self._out.append({"role": "tool", "tool_call_id": part.call_id, "content": text})
        else:
            self._dropped.add(f"{path}.call_id")
            self._moved.append({"type": "text", "text": f"Result of the tool call {part.call_id!r}:\n{text}"})
        self._moved += images

    # --- content

    def _content(self, part: Part, path: str) -> list[Json]:
        """A part of what somebody other than the assistant says."""
        match part:
            case TextPart(text, cache):
                self._dropped.add_if(cache, "cache_control")
                return [{"type": "text", "text": text}] if text else []
            case RefusalPart(text):
                return [{"type": "text", "text": text}]
            case ImagePart():
                return [self._image(part, path)]
            case FilePart():
                return self._file(part, path)
            case AudioPart():
                raise cannot(path, "this provider takes no audio")
            case _:
                self._dropped.add_part(path, part)
                return []

    def _image(self, part: ImagePart, path: str) -> Json:
        self._dropped.add_if(part.cache, "cache_control")
        match part.source:
            case UrlSource(url):
                image: Json = {"url": url}
            case DataSource(media_type, data):
                image = {"url": f"data:{media_type};base64,{data}"}
            case FileSource():
                raise cannot(path, "this provider wants an image's content or URL, not an uploaded file")
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}

    def _file(self, part: FilePart, path: str) -> list[Json]:
        """A text: a document of the request where its citations are wanted, else a part of what is said."""
        self._dropped.add_if(part.cache, "cache_control")
        text = plain_text(part, path)
        if text is None:
            raise cannot(path, "this provider takes documents as text only")
        if not part.citations:
            return [{"type": "text", "text": "\n\n".join(one for one in (part.context, part.name, text) if one)}]
        data: Json = {"text": text}
        if part.name:
            data["title"] = part.name
        if part.context:
            data["context"] = part.context
        self.documents.append({"id": f"doc:{len(self.documents)}", "data": data})
        return []
