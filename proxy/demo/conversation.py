"""What the simulated model is asked and what it answers, in no API's words. Each API module reads and writes these."""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from proxy.demo.schema import JsonObject


class BadRequest(Exception):
    """A request that the real API would refuse with 400; the text is for the caller."""


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class ToolResult(msgspec.Struct):
    """`id` or, where the API has none, `name` says whose result it is."""

    text: str
    id: str = ""
    name: str = ""


class Turn(msgspec.Struct):
    """One message. A message of tool results is a USER turn with `results`."""

    role: Role
    text: str = ""
    calls: list[str] = []
    """Ids of the calls that an assistant made."""
    results: list[ToolResult] = []


class Tool(msgspec.Struct):
    name: str
    schema: JsonObject | None = None


class ToolUse(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


class Prompt(msgspec.Struct):
    """One request."""

    model: str
    turns: list[Turn]
    stream: bool = False
    tools: list[Tool] = []
    tool_use: ToolUse = ToolUse.AUTO
    only_tools: list[str] | None = None
    """The tools that may be called; `None`: all."""
    parallel: bool = True
    max_tokens: int | None = None
    stop: list[str] = []
    reasoning: int = 0
    """How many tokens of reasoning the API's fields ask for."""
    shows_reasoning: bool = True
    wants_json: bool = False
    schema: JsonObject | None = None
    """Of the answer; `None` with `wants_json`: any object."""
    reports_usage: bool = True


class Finish(StrEnum):
    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PROMPT_REFUSED = "prompt_refused"


class Kind(StrEnum):
    """What a delta is a piece of."""

    REASONING = "reasoning"
    TEXT = "text"
    REFUSAL = "refusal"
    CALL = "call"


class Call(msgspec.Struct):
    id: str
    name: str
    pieces: list[str]
    """Of the arguments' JSON text."""


class Delta(msgspec.Struct):
    """One token. `call` counts the tool calls of the answer."""

    kind: Kind
    text: str
    is_first: bool
    """Of its block: the text, the reasoning, one call."""
    is_last: bool
    call: int = 0


class Source(msgspec.Struct):
    """A citation of the text's characters `start` to `end`."""

    url: str
    title: str
    cited_text: str
    start: int
    end: int


class Usage(msgspec.Struct):
    """`input` includes `cached`, `output` includes `reasoning`."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


class Answer(msgspec.Struct):
    """All that the model will say, before pace and faults."""

    seed: str
    """24 hexadecimal digits; ids are made from it."""
    model: str
    finish: Finish
    usage: Usage
    reasoning: list[str] = []
    refusal: list[str] = []
    text: list[str] = []
    calls: list[Call] = []
    sources: list[Source] = []
    stop_sequence: str | None = None
    shows_reasoning: bool = True
    reports_usage: bool = True

    def deltas(self) -> Iterator[Delta]:
        """The answer token by token, in the order in which models write."""
        if self.shows_reasoning:
            yield from _deltas(Kind.REASONING, self.reasoning)
        yield from _deltas(Kind.TEXT, self.text)
        yield from _deltas(Kind.REFUSAL, self.refusal)
        for index, call in enumerate(self.calls):
            yield from _deltas(Kind.CALL, call.pieces or [""], index)


def _deltas(kind: Kind, pieces: list[str], call: int = 0) -> Iterator[Delta]:
    last = len(pieces) - 1
    for index, piece in enumerate(pieces):
        yield Delta(kind, piece, index == 0, index == last, call)
