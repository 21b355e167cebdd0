"""An EventSource parser that owes nothing to the proxy: the standard's algorithm, one character class at a time.

html.spec.whatwg.org, "Interpreting an event stream". Slow and plain on purpose; tests hold the proxy's framer and its
output against it.
"""

import re
from dataclasses import dataclass

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True)
class ServerSentEvent:
    type: str
    data: str
    last_event_id: str = ""


@dataclass(frozen=True)
class Interpretation:
    """What a whole byte stream means."""

    events: tuple[ServerSentEvent, ...]
    last_event_id: str
    retry_ms: int | None
    rest: str
    """What stands after the last blank line: an event that the standard discards."""


def interpret(stream: bytes) -> Interpretation:
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    events: list[ServerSentEvent] = []
    data, kind, pending_id, last_id = "", "", "", ""
    retry_ms: int | None = None
    start = dispatched = 0
    for match in _LINE_END.finditer(text):
        line, start = text[start : match.start()], match.end()
        if not line:
            last_id = pending_id
            if data:
                events.append(ServerSentEvent(kind or "message", data[:-1], last_id))
            data, kind, dispatched = "", "", start
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                data += value + "\n"
            case "event":
                kind = value
            case "id" if "\0" not in value:
                pending_id = value
            case "retry" if re.fullmatch("[0-9]+", value):
                retry_ms = int(value)
            case _:
                pass  # A comment (its name is empty) or a field that the standard does not know.
    return Interpretation(tuple(events), last_id, retry_ms, text[dispatched:])
