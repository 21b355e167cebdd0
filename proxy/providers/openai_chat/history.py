"""An earlier turn of the assistant as one Chat Completions message: text, calls, and reasoning where the vendor wants it."""

import hashlib
import re
from typing import assert_never

import msgspec

from proxy.hub.events import Origin, ToolKind
from proxy.hub.reasoning_details import TEXT, ReasoningDetail, restored
from proxy.hub.request import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from proxy.providers.custom_tools import wrap
from proxy.providers.quirks import Quirks

Json = dict[str, object]

_NINE_ALPHANUMERIC = re.compile(r"[a-zA-Z0-9]{9}\Z")
_MAX_ID_CHARS = 40


def call_id(wanted: str, quirks: Quirks) -> str:
    """The id that a call and its result bear: `wanted`, or the same short hash of it for both."""
    match quirks.tool_call_ids:
        case "any":
            return wanted
        case "at_most_40":
            return wanted if len(wanted) <= _MAX_ID_CHARS else "call_" + _digest(wanted)[:32]
        case "nine_alphanumeric":
            return wanted if _NINE_ALPHANUMERIC.match(wanted) else _digest(wanted)[:9]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class AssistantTurn:
    """Collects the parts of one assistant message."""

    def __init__(self, quirks: Quirks, dropped: list[str], path: str) -> None:
        self._quirks = quirks
        self._dropped = dropped
        self._path = path
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: list[Json] = []
        self._reasoning: list[ReasoningPart] = []
        self._audio: msgspec.Raw | None = None

    def add(self, part: Part, number: int) -> None:
        """Take the part `number` of the message."""
        match part:
            case TextPart(text):
                self._texts.append(text)
            case ToolCallPart():
                self._add_call(part, number)
            case ReasoningPart():
                self._add_reasoning(part, number)
            case RefusalPart(text):
                self._refusals.append(text)
            case OpaquePart(Origin.OPENAI, "audio", json):
                self._audio = msgspec.Raw(json)
            case OpaquePart(_, name):
                self._drop(number, name)
            case ImagePart() | FilePart() | AudioPart() | ToolResultPart():
                self._drop(number, type(part).__name__.removesuffix("Part").lower())
            case _:
                assert_never(part)

    def written(self) -> Json | None:
        """The message; `None` if nothing of the turn is left."""
        message: Json = {"role": "assistant"}
        text = "".join(self._texts)
        reasoning = self._reasoning_fields(message)
        if reasoning is not None:
            message["content"] = [*reasoning, *([{"type": "text", "text": text}] if text else [])]
        elif text or not (self._calls or self._audio is not None or self._refusals):
            message["content"] = text
        elif self._quirks.empty_content != "absent":
            message["content"] = None if self._quirks.empty_content == "null" else ""
        if self._refusals:
            message["refusal"] = "".join(self._refusals)
        if self._audio is not None:
            message["audio"] = self._audio
        if self._calls:
            message["tool_calls"] = self._calls
        return None if message == {"role": "assistant", "content": ""} else message

    def _add_call(self, part: ToolCallPart, number: int) -> None:
        if part.kind is ToolKind.SERVER:
            self._drop(number, f"server tool {part.name}")
            return
        call: Json = {"id": call_id(part.id, self._quirks)}
        if part.kind is ToolKind.CUSTOM and self._quirks.custom_tools:
            call["type"] = "custom"
            call["custom"] = {"name": part.name, "input": part.arguments}
        else:
            arguments = wrap(part.arguments).decode() if part.kind is ToolKind.CUSTOM else part.arguments or "{}"
            call["type"] = "function"
            call["function"] = {"name": part.name, "arguments": arguments}
        if part.signature is not None:
            if self._quirks.thought_signatures and part.origin is Origin.GEMINI:
                call["extra_content"] = {"google": {"thought_signature": part.signature}}
            else:
                self._drop(number, "signature")
        self._calls.append(call)

    def _add_reasoning(self, part: ReasoningPart, number: int) -> None:
        replay = self._quirks.reasoning_replay
        if replay == "none":
            self._drop(number, "reasoning")
            return
        is_ours = replay == "details" and part.origin is Origin.OPENROUTER
        if part.redacted is not None and not is_ours:
            self._drop(number, "redacted reasoning")
            return
        if part.signature is not None and not is_ours:
            self._drop(number, "signature")
        self._reasoning.append(part)

    def _reasoning_fields(self, message: Json) -> list[Json] | None:
        """Put the reasoning into `message`; for a vendor that wants it in the content, give it back as chunks."""
        if not self._reasoning:
            return None
        text = "".join(part.text for part in self._reasoning)
        match self._quirks.reasoning_replay:
            case "none":
                pass
            case "reasoning":
                message["reasoning"] = text
            case "reasoning_content":
                message["reasoning_content"] = text
            case "with_tool_calls":
                if self._calls:
                    message["reasoning_content"] = text
                else:
                    self._dropped.append(f"{self._path}: reasoning")
            case "details":
                message["reasoning_details"] = [_detail(part) for part in self._reasoning]
            case "chunks":
                return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}] if text else None
        return None

    def _drop(self, number: int, what: str) -> None:
        self._dropped.append(f"{self._path}.content[{number}]: {what}")


def _detail(part: ReasoningPart) -> ReasoningDetail:
    """The detail that was given out, or a plain one for reasoning of other makers."""
    word = part.redacted if part.redacted is not None else part.signature
    detail = restored(word, part.text) if word is not None and part.origin is Origin.OPENROUTER else None
    return detail if detail is not None else ReasoningDetail(TEXT, text=part.text)
