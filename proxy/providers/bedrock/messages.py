"""The caller's messages as Converse's.

The API's rules (docs.aws.amazon.com "Converse", "tool use"), kept here for every input: user and assistant take turns,
the user first; every call is answered in the very next user message, once, before anything else in it; no text is
blank; a document has a text beside it. What cannot be carried is named; what must not be lost is a CallerError.
"""

from collections.abc import Sequence

from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    AudioPart,
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
from proxy.providers.bedrock.blocks import (
    audio_block,
    cache_point,
    document_block,
    document_name,
    image_block,
    reasoning_block,
)
from proxy.providers.request_parts import NO_RESULT, CallIds, Dropped, Json, arguments_object, cannot, sendable_name

MAX_NAME_CHARS = 64
MAX_ID_CHARS = 64

FIRST_TURN = "(The conversation begins.)"
"""Stands where the user's first turn would: the API refuses a conversation that the assistant begins."""
EMPTY_TURN = "(empty)"
"""Stands for a message without content, and beside a document without a text: the API refuses both."""


class _Turn:
    """One message as it will be sent: `results` first, then `blocks`."""

    __slots__ = ("blocks", "pending", "results", "role")

    def __init__(self, role: str) -> None:
        self.role = role
        self.results: list[Json] = []
        self.blocks: list[Json] = []
        self.pending: list[tuple[str, str]] = []
        """Calls of this turn that are not answered yet: the caller's id and the id sent."""

    def as_json(self) -> Json:
        content = [*self.results, *self.blocks]
        has_text = any("text" in block for block in content)
        if not content or (not has_text and any("document" in block for block in content)):
            content.append({"text": EMPTY_TURN})
        return {"role": self.role, "content": content}


class Conversation:
    """Writes the messages of one request."""

    def __init__(self, maker: Origin, dropped: Dropped, *, has_cache_points: bool) -> None:
        """`maker`: whose proofs of reasoning the model takes."""
        self.system: list[Json] = []
        self.has_tool_blocks = False
        """The API wants the tools' definitions wherever calls or results stand."""
        self._maker = maker
        self._dropped = dropped
        self._has_cache_points = has_cache_points
        self._turns: list[_Turn] = []
        self._ids = CallIds(MAX_ID_CHARS)
        self._document_names: set[str] = set()

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The `messages` of the request; `system` is filled as well. Raises CallerError."""
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            self._dropped.add_if(message.name, f"{path}.name")
            match message.role:
                case Role.SYSTEM:
                    self._add_system(message.parts, path)
                case Role.USER:
                    for place, part in enumerate(message.parts):
                        self._turn("user").blocks += self._content(part, f"{path}.parts[{place}]")
                case Role.ASSISTANT:
                    self._add_assistant(message.parts, path)
                case Role.TOOL:
                    self._add_results(message.parts, path)
        if not self._turns:
            raise cannot("messages", "expected at least one user message")
        self._finish()
        return [turn.as_json() for turn in self._turns]

    def _turn(self, role: str) -> _Turn:
        """The last turn, if it is of this role, or a new one."""
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role))
        return self._turns[-1]

    def _finish(self) -> None:
        if self._turns[0].role == "assistant":
            first = _Turn("user")
            first.blocks.append({"text": FIRST_TURN})
            self._turns.insert(0, first)
        for turn, following in zip(tuple(self._turns), (*self._turns[1:], None), strict=True):
            if not turn.pending:
                continue
            if following is None:
                following = _Turn("user")
                self._turns.append(following)
            for _, id in turn.pending:
                result: Json = {"toolUseId": id, "content": [{"text": NO_RESULT}], "status": "error"}
                following.results.append({"toolResult": result})
        last = self._turns[-1]
        text = last.blocks[-1].get("text") if last.blocks else None
        if last.role == "assistant" and isinstance(text, str):
            last.blocks[-1]["text"] = text.rstrip()

    def _add_system(self, parts: Sequence[Part], path: str) -> None:
        blocks: list[Json] = []
        for number, part in enumerate(parts):
            if isinstance(part, TextPart):
                blocks += self._text(part.text, part.cache)
            else:
                self._dropped.add_part(f"{path}.parts[{number}]", part)
        if self._turns:
            self._dropped.add(f"{path}.role")
            self._turn("user").blocks += blocks
        else:
            self.system += blocks

    def _add_assistant(self, parts: Sequence[Part], path: str) -> None:
        blocks: list[Json] = []
        calls: list[tuple[str, str]] = []
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            match part:
                case TextPart(text, cache):
                    blocks += self._text(text, cache)
                case RefusalPart(text):
                    blocks += self._text(text, None)
                case ReasoningPart() if (block := reasoning_block(part, self._maker)) is not None:
                    blocks.append(block)
                case ToolCallPart(kind=ToolKind.FUNCTION | ToolKind.CUSTOM):
                    calls.append((part.id, self._ids.fresh(part.id)))
                    name = sendable_name(part.name, f"{where}.name", MAX_NAME_CHARS)
                    use: Json = {"toolUseId": calls[-1][1], "name": name, "input": arguments_object(part)}
                    blocks.append({"toolUse": use})
                    blocks += self._cached(part.cache)
                    self.has_tool_blocks = True
                case _:
                    self._dropped.add_part(where, part)
        if blocks:
            turn = self._turn("assistant")
            turn.blocks += blocks
            turn.pending += calls

    # --- results

    def _add_results(self, parts: Sequence[Part], path: str) -> None:
        for number, part in enumerate(parts):
            where = f"{path}.parts[{number}]"
            if isinstance(part, ToolResultPart) and part.kind is not ToolKind.SERVER:
                self._add_result(part, where)
            else:
                self._dropped.add_part(where, part)

    def _add_result(self, part: ToolResultPart, path: str) -> None:
        """Answer the call, if it stands in the assistant turn just before; else tell it as text."""
        turn = self._turn("user")
        caller = self._turns[-2] if len(self._turns) > 1 else None
        content: list[Json] = []
        for number, inner in enumerate(part.parts):
            content += self._content(inner, f"{path}.parts[{number}]")
        pending = caller.pending if caller is not None else []
        found = next((each for each in pending if each[0] == part.call_id), None)
        if found is None:
            self._dropped.add(f"{path}.call_id")
            turn.blocks.append({"text": f"Result of the tool call {part.call_id!r}:"})
            turn.blocks += content
            return
        pending.remove(found)
        result: Json = {"toolUseId": found[1], "content": content or [{"text": EMPTY_TURN}]}
        if part.is_error:
            result["status"] = "error"
        turn.results.append({"toolResult": result})
        turn.results += self._cached(part.cache)

    # --- content

    def _text(self, text: str, cache: bytes | None) -> list[Json]:
        """None for blank text, which the API refuses."""
        return [{"text": text}, *self._cached(cache)] if text.strip() else []

    def _cached(self, cache: bytes | None) -> list[Json]:
        if cache is not None and self._has_cache_points:
            return [cache_point(cache)]
        self._dropped.add_if(cache, "cache_control")
        return []

    def _content(self, part: Part, path: str) -> list[Json]:
        """A part of what somebody other than the assistant says."""
        match part:
            case TextPart(text, cache):
                return self._text(text, cache)
            case RefusalPart(text):
                return self._text(text, None)
            case ImagePart():
                self._dropped.add_if(part.detail not in (None, "auto"), f"{path}.detail")
                return [image_block(part, path), *self._cached(part.cache)]
            case FilePart():
                name = document_name(part.name, len(self._document_names) + 1, self._document_names)
                return [document_block(part, name, path), *self._cached(part.cache)]
            case AudioPart():
                return [audio_block(part, path)]
            case _:
                self._dropped.add_part(path, part)
                return []
