"""What several APIs need of a canonical request: its parts named, its tools chosen, its JSON as objects.

Only meanings stand here that are the hub's own; whatever a vendor wants differently is in the vendor's folder.
"""

import base64
import binascii
import re
from collections.abc import Iterable

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.identifiers import write_out
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    ReasoningRequest,
    RefusalPart,
    ServerTool,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)
from proxy.providers.custom_tools import wrap

Json = dict[str, object]

NO_RESULT = "Error: no result of this call was given."
"""Stands for the result of a call that the caller left unanswered."""

EFFORT_OF_BUDGET: tuple[tuple[int, Effort], ...] = (
    (1536, Effort.MINIMAL),
    (4096, Effort.LOW),
    (12288, Effort.MEDIUM),
    (24576, Effort.HIGH),
)
"""Upper bounds of thinking tokens for each effort; more is XHIGH. The inverse of the usual budgets per effort."""

TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
"""Types beside `text/*` whose documents are text."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BAD_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


class Dropped:
    """What a request asked for and the API cannot carry: names in the caller's words, each once, in order."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self._names[name] = None

    def add_if(self, condition: object, name: str) -> None:
        """Name it when the request holds it."""
        if condition:
            self.add(name)

    def add_all(self, names: Iterable[str]) -> None:
        for name in names:
            self.add(name)

    def add_part(self, path: str, part: Part) -> None:
        """Name a part that cannot be sent. `path`: where it stands."""
        self.add(f"{path}: {part_name(part)}")

    def names(self) -> tuple[str, ...]:
        return tuple(self._names)


def foreign_proofs(request: ChatRequest, origin: Origin | None, *, with_reasoning: bool = False) -> list[str]:
    """The proofs of calls that another family than `origin` made, as paths: they are not sent, though their calls are.

    `origin` is None for an API without proofs.

    `with_reasoning`: of an API that takes earlier reasoning as plain text, its proofs as well.
    """
    proven = (ToolCallPart, ReasoningPart) if with_reasoning else (ToolCallPart,)
    return [
        f"messages[{place}].parts[{number}].signature"
        for place, message in enumerate(request.messages)
        for number, part in enumerate(message.parts)
        if isinstance(part, proven) and part.signature is not None and part.origin is not origin
    ]


def part_name(part: Part | ServerTool) -> str:
    """What a part is, in one or two words."""
    match part:
        case OpaquePart(type=type) | ServerTool(type=type):
            return type
        case ReasoningPart():
            return "reasoning"
        case RefusalPart():
            return "refusal"
        case TextPart():
            return "text"
        case ImagePart():
            return "image"
        case FilePart():
            return "file"
        case AudioPart():
            return "audio"
        case ToolCallPart():
            return "tool call"
        case ToolResultPart():
            return "tool result"


def cannot(path: str, reason: str) -> CallerError:
    """The refusal of what must not be lost and cannot be sent."""
    return CallerError(ErrorKind.INVALID_REQUEST, f"{path}: {reason}", param=path)


def refuse_several_answers(request: ChatRequest) -> None:
    """Raises CallerError where more than one answer is asked for."""
    if request.sampling.n != 1:
        raise cannot("n", "this model gives one answer a request")


def arguments_object(part: ToolCallPart) -> msgspec.Raw:
    """A call's arguments as a JSON object. What is none (cut off by a token limit, free text) is a text in one."""
    if part.kind is ToolKind.CUSTOM:
        return msgspec.Raw(wrap(part.arguments))
    if not part.arguments.strip():
        return msgspec.Raw(b"{}")
    encoded = part.arguments.encode("utf-8", "replace")
    try:
        _OBJECT.decode(encoded)
    except (ValueError, RecursionError):
        return msgspec.Raw(wrap(part.arguments))
    return msgspec.Raw(encoded)


def plain_text(part: FilePart, path: str) -> str | None:
    """The words of a text document; `None`: it is none. Raises CallerError for base64 that holds no text."""
    source = part.source
    if not isinstance(source, DataSource):
        return None
    media_type = source.media_type.partition(";")[0].strip().lower()
    if not media_type.startswith("text/") and media_type not in TEXT_TYPES:
        return None
    try:
        return base64.b64decode(source.data, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError) as fault:
        raise cannot(path, "expected base64 of a text") from fault


def offered_tools(request: ChatRequest) -> list[ToolDefinition]:
    """The tools that may be called: all, or those that `tool_choice` allows."""
    allowed = request.tool_choice.allowed if request.tool_choice is not None else None
    return [tool for tool in request.tools if allowed is None or tool.name in allowed]


def effort_of(wanted: ReasoningRequest) -> Effort | None:
    """The effort asked for, derived from the budget where that was given; `None`: the model is to decide."""
    if wanted.effort is not None or wanted.budget_tokens is None:
        return wanted.effort
    if wanted.budget_tokens <= 0:
        return Effort.NONE
    return next((effort for bound, effort in EFFORT_OF_BUDGET if wanted.budget_tokens < bound), Effort.XHIGH)


def call_names(request: ChatRequest) -> dict[str, str]:
    """The tool of each call in the conversation, by the call's id."""
    parts = (part for message in request.messages for part in message.parts)
    return {part.id: part.name for part in parts if isinstance(part, ToolCallPart)}


def sendable_name(name: str, path: str, most_chars: int) -> str:
    """`name` in letters, digits, `_` and `-`; the decoder reads it back. Raises CallerError: empty, or too long."""
    sent = write_out(name)
    if not 0 < len(sent) <= most_chars:
        raise cannot(
            path, f"expected a tool name of 1 to {most_chars} letters, digits, '_' and '-', got {name[:200]!r}"
        )
    return sent


class CallIds:
    """The ids of one request's calls in good characters, no two alike.

    They only tie a result to its call within the request, so nothing has to be read back from them.
    """

    def __init__(self, most_chars: int) -> None:
        self._most_chars = most_chars
        self._used: set[str] = set()

    def fresh(self, id: str) -> str:
        """The id to send for the next call that the caller knows as `id`."""
        good = _BAD_IN_ID.sub("_", id)[-self._most_chars :] or "call"
        sent, number = good, 2
        while sent in self._used:
            tail = f"_{number}"
            sent = good[: self._most_chars - len(tail)] + tail
            number += 1
        self._used.add(sent)
        return sent
