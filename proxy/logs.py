"""Log lines: a constant message with structured fields, as JSON or as text, on standard error.

    _LOG = logging.getLogger("proxy.server")
    _LOG.info("listening", extra={"address": "127.0.0.1:8080"})

What never gets into a line: secrets (by value and by look), control characters, more than `MAX_VALUE_CHARACTERS` of
anything, the arguments of other libraries' messages, and the texts of exceptions that are not ours: they quote what a
peer sent. Exceptions are logged by class, with the places in the code.
"""

import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TypeAlias

import msgspec

from proxy.config import Log, LogFormat
from proxy.hub.errors import ConfigError, ProxyError
from proxy.line_writer import DirectWriter, LineWriter
from proxy.redaction import Redactor

LogValue: TypeAlias = "str | int | float | bool | list[LogValue] | dict[str, LogValue] | None"

MAX_VALUE_CHARACTERS = 2000
MAX_LINE_BYTES = 32 * 1024
MAX_FIELDS = 64
MAX_FRAMES = 30
MAX_CAUSES = 4
MAX_LISTED = 20
MAX_CLEAN = 1024
MAX_CLEAN_CHARACTERS = 64

_ACCESS = logging.getLogger("proxy.access")

_STANDARD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record has; anything else came by `extra`."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that break a line, drive a terminal, turn the direction of writing, or are no characters."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9._:/@*+-]+")


# --- starting and changing


class LogOutput(logging.Handler):
    """The handler of all loggers: formats a record at once, and hands the line to the writer's thread."""

    def __init__(self, descriptor: int, *, has_thread: bool = True) -> None:
        super().__init__()
        self._writer = LineWriter(descriptor, self._dropped_notice) if has_thread else DirectWriter(descriptor)
        self._redactor = Redactor()
        self._format = LogFormat.JSON
        self._clean: dict[str, str] = {}
        """Short texts that were looked at before: names come with every call."""
        self._second = 0, ""
        """The last second that was written, and how."""

    @property
    def dropped(self) -> int:
        """Lines lost so far, because nobody took them."""
        return self._writer.dropped

    def configure(self, settings: Log, secrets: Iterable[str]) -> None:
        """Take over new settings, and the secrets to mask. Safe while others log."""
        self._redactor = Redactor(secrets)
        self._clean = {}
        self._format = settings.format
        own = logging.getLogger("proxy")
        own.setLevel(settings.level.value.upper())
        _ACCESS.setLevel(logging.INFO if settings.access else logging.CRITICAL + 1)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line. Never blocks, never raises."""
        try:
            self._writer.offer(self.line(record))
        except Exception:  # a line that cannot be made must not break the call that it tells of
            self._writer.offer(self._line_of(record, {"message": "a log line could not be made"}))

    def offer_struct(self, logger: str, message: str, fields: msgspec.Struct) -> None:
        """Queue a line of level info, the same that a record with `fields` as its extra would give.

        Its texts are clean (`clean`), its names are none of the line's own.
        """
        if self._format is LogFormat.JSON:
            head = f'{{"ts":"{self._stamp(time.time())}","level":"info","logger":"{logger}","message":"{message}",'
            self._writer.offer(head.encode() + msgspec.json.encode(fields)[1:] + b"\n")
        else:
            given: dict[str, LogValue] = msgspec.to_builtins(fields)
            self._writer.offer(self._line_at(time.time(), "INFO", logger, {"message": message, **given}))

    def clean(self, text: str) -> str:
        """`text` as it may stand in a line: without secrets, control characters, and more of it than anybody reads."""
        return text and self._text(text)

    def line(self, record: logging.LogRecord) -> bytes:
        """The finished line of one record."""
        fields: dict[str, LogValue] = {"message": self._message(record)}
        given = [(name, value) for name, value in record.__dict__.items() if name not in _STANDARD_ATTRIBUTES]
        for name, value in given[:MAX_FIELDS]:
            fields[name if name not in ("ts", "level", "logger", "message") else f"{name}_"] = self._value(value)
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = self._exception(record.exc_info[1])
        line = self._line_of(record, fields)
        if len(line) <= MAX_LINE_BYTES:
            return line
        return self._line_of(record, {"message": fields["message"], "is_truncated": True})

    def close(self) -> None:
        """Write what waits, for at most a second."""
        self._writer.close(1.0)
        super().close()

    def _line_of(self, record: logging.LogRecord, fields: Mapping[str, LogValue]) -> bytes:
        return self._line_at(record.created, record.levelname, record.name, fields)

    def _line_at(self, created: float, level: str, logger: str, fields: Mapping[str, LogValue]) -> bytes:
        stamp = self._stamp(created)
        if self._format is LogFormat.JSON:
            head: dict[str, LogValue] = {"ts": stamp, "level": level.lower(), "logger": logger}
            return msgspec.json.encode({**head, **fields}) + b"\n"
        rest = " ".join(f"{name}={_as_word(value)}" for name, value in fields.items() if name != "message")
        return f"{stamp} {level:<7} {logger} {fields['message']} {rest}".rstrip().encode() + b"\n"

    def _stamp(self, created: float) -> str:
        second = int(created)
        stamped, text = self._second
        if second != stamped:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, text
        return f"{text}.{int((created - second) * 1000):03d}Z"

    def _message(self, record: logging.LogRecord) -> str:
        text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        if record.name == "proxy" or record.name.startswith("proxy."):
            return self._text(text)
        # Others put what a peer sent into the arguments, or behind the first line (asyncio).
        return self._text(text.partition("\n")[0])[:200]

    def _text(self, text: str) -> str:
        if len(text) > MAX_CLEAN_CHARACTERS:
            return self._cleaned(text)
        clean = self._clean.get(text)
        if clean is None:
            clean = self._cleaned(text)
            if len(self._clean) >= MAX_CLEAN:
                self._clean.clear()
            self._clean[text] = clean
        return clean

    def _cleaned(self, text: str) -> str:
        if len(text) > 2 * MAX_VALUE_CHARACTERS:
            # Cut before a word, so that no half of a secret escapes the redactor.
            text = text[: text.rfind(" ", 0, 2 * MAX_VALUE_CHARACTERS) + 1] + "…"
        text = self._redactor.redact(text)
        if len(text) > MAX_VALUE_CHARACTERS:
            text = text[:MAX_VALUE_CHARACTERS] + "…"
        return _UNSAFE.sub(_escaped, text)

    def _value(self, value: object, depth: int = 0) -> LogValue:
        if type(value) is int:
            return value
        match value:
            case None | bool() | int():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case str():
                return self._text(str(value))
            case list() | tuple() if depth < 3:
                items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]  # taken as objects
                return [self._value(item, depth + 1) for item in items[:MAX_LISTED]]
            case dict() if depth < 3:
                pairs: list[tuple[object, object]] = list(value.items())  # pyright: ignore[reportUnknownArgumentType]
                return {self._text(str(key)): self._value(item, depth + 1) for key, item in pairs[:MAX_LISTED]}
            case _:
                return type(value).__name__

    def _exception(self, fault: BaseException) -> LogValue:
        found: list[LogValue] = []
        current: BaseException | None = fault
        while current is not None and len(found) < MAX_CAUSES:
            found.append({"type": self._type_and_text(current), "trace": _places(current.__traceback__)})
            current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        return found[0] if len(found) == 1 else found

    def _type_and_text(self, fault: BaseException) -> str:
        """The class, and the text where it is one of ours: those hold nothing that a peer sent."""
        name = type(fault).__qualname__
        if isinstance(fault, ProxyError | ConfigError | AssertionError):
            return f"{name}: {self._text(str(fault))}"
        if isinstance(fault, OSError) and fault.strerror:
            return f"{name}: {fault.strerror}"
        return name

    def _dropped_notice(self, count: int) -> bytes:
        record = logging.makeLogRecord({"name": "proxy.logs", "levelname": "WARNING", "created": time.time()})
        return self._line_of(record, {"message": "log lines were dropped", "count": count})


def start_logging(
    settings: Log, secrets: Iterable[str], descriptor: int | None = None, *, has_thread: bool = True
) -> LogOutput:
    """Send every logger's lines to `descriptor` (standard error by default), in place of an earlier output.

    Without a thread, a line for which there is no room at once is lost: for a process that forks.
    """
    output = LogOutput(sys.stderr.fileno() if descriptor is None else descriptor, has_thread=has_thread)
    output.configure(settings, secrets)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, LogOutput):
            root.removeHandler(handler)
            handler.close()
    root.addHandler(output)
    root.setLevel(logging.WARNING)
    return output


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _as_word(value: LogValue) -> str:
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value):
        return value
    return msgspec.json.encode(value).decode()


def _places(trace: TracebackType | None) -> list[LogValue]:
    """Where an exception went through, outermost first: `file:line function`."""
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
