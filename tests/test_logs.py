"""Log lines: structured, bounded, free of secrets and of what peers sent, and never in the way."""

import logging
import os
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.config import Log, LogFormat, LogLevel
from proxy.hub.errors import CallerError, ErrorKind
from proxy.logs import LogOutput, start_logging
from tests.support.log_output import SECRET, Output

LOG = logging.getLogger("proxy.test")


@pytest.fixture
def output() -> Iterator[Output]:
    made = Output()
    yield made
    made.forget()


def configure(output: Output, settings: Log) -> None:
    output.configure(settings)


def test_a_line_is_an_object_with_its_fields(output: Output) -> None:
    LOG.info("listening", extra={"address": "127.0.0.1:8080", "workers": 2, "ratio": 0.5, "ready": True, "none": None})

    (entry,) = output.entries()
    assert str(entry.pop("ts")).endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "proxy.test",
        "message": "listening",
        "address": "127.0.0.1:8080",
        "workers": 2,
        "ratio": 0.5,
        "ready": True,
        "none": None,
    }


def test_a_line_of_text_quotes_what_is_no_word(output: Output) -> None:
    configure(output, Log(format=LogFormat.TEXT))

    LOG.warning("odd request", extra={"path": "/v1/chat", "reason": "two words", "count": 3})

    (line,) = output.lines()
    assert line[23:] == 'Z WARNING proxy.test odd request path=/v1/chat reason="two words" count=3'


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize(
    "text", ["a\nlevel=error forged", "a\r\n", "\x1b[31mred", "\x00", "\x85", "\u2028", "\u202eabc", "\udc80"]
)
def test_control_characters_cannot_forge_lines_or_drive_terminals(
    text: str, log_format: LogFormat, output: Output
) -> None:
    configure(output, Log(format=log_format))

    LOG.info("odd", extra={"value": text, "list": [text], "map": {text: text}})

    (line,) = output.lines()
    assert line.isprintable()
    assert "\\u" in line


SINKS: dict[str, Callable[[str], None]] = {
    "message": lambda text: LOG.error(text),
    "field": lambda text: LOG.error("x", extra={"value": text}),
    "list": lambda text: LOG.error("x", extra={"value": [text]}),
    "map": lambda text: LOG.error("x", extra={"value": {"deep": {"deeper": text}}}),
    "map_key": lambda text: LOG.error("x", extra={"value": {text: 1}}),
    "arguments": lambda text: LOG.error("x %s", text),
    "another_library": lambda text: logging.getLogger("aiohttp.server").error("bad bytes %r", text),
    "another_librarys_later_lines": lambda text: logging.getLogger("asyncio").error("never retrieved\nfuture: " + text),
    "object": lambda text: LOG.error("x", extra={"value": {"object": Exception(text), "bytes": text.encode()}}),
    "exception": lambda text: log_exception(ValueError(text)),
    "our_exception": lambda text: log_exception(CallerError(ErrorKind.INTERNAL, f"with {text}")),
    "cause": lambda text: log_exception(RuntimeError("outer"), cause=KeyError(text)),
    "group": lambda text: log_exception(ExceptionGroup(text, [ValueError(text)])),
    "note": lambda text: log_noted(text),
}


def log_exception(fault: Exception, cause: Exception | None = None) -> None:
    try:
        raise fault from cause
    except Exception:
        LOG.exception("unhandled fault")


def log_noted(text: str) -> None:
    fault = ValueError("x")
    fault.add_note(text)
    log_exception(fault)


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize("write", SINKS.values(), ids=SINKS)
def test_no_secret_reaches_a_line(write: Callable[[str], None], log_format: LogFormat, output: Output) -> None:
    configure(output, Log(format=log_format))

    for text in (SECRET, f"x{SECRET}y", "sk-abcdefghijklmnopqrstuvwx", "Authorization: Bearer abcdef-123456"):
        write(text)

    lines = output.lines()
    assert len(lines) == 4
    for line in lines:
        for part in (SECRET, "abcdefghijklmnop", "abcdef-123456"):
            assert part not in line


def test_exceptions_are_logged_by_class_and_place_and_only_ours_by_text(output: Output) -> None:
    log_exception(ValueError("a prompt of a caller"))
    log_exception(CallerError(ErrorKind.INTERNAL, "said by us"))
    log_exception(ConnectionResetError(104, "Connection reset by peer"))
    log_exception(RuntimeError("outer"), cause=KeyError("a prompt"))

    first, second, third, fourth = output.entries()
    exception = first["exception"]
    assert isinstance(exception, dict)
    assert exception["type"] == "ValueError"
    assert exception["trace"][-1].endswith(" log_exception")
    assert second["exception"]["type"] == "CallerError: said by us"  # type: ignore[index]
    assert third["exception"]["type"] == "ConnectionResetError: Connection reset by peer"  # type: ignore[index]
    assert [one["type"] for one in fourth["exception"]] == ["RuntimeError", "KeyError"]  # type: ignore[attr-defined]


def test_values_lists_and_lines_are_bounded(output: Output) -> None:
    LOG.info("long", extra={"value": "x " * 100_000})
    LOG.info("many", extra={"value": list(range(1000))})
    LOG.info("huge", extra={f"field{number}": "x" * 1900 for number in range(60)})

    long, many, huge = output.entries()
    assert len(str(long["value"])) <= 2001
    assert many["value"] == list(range(20))
    assert huge["message"] == "huge"
    assert huge["is_truncated"] is True


def test_a_secret_across_the_cut_of_a_long_value_is_not_shown_in_half(output: Output) -> None:
    for padding in range(3990, 4001):
        LOG.info("long", extra={"value": "x" * (padding - 2000) + " " * 1999 + SECRET + "y" * 1000})
        LOG.info("long", extra={"value": f"{SECRET} " * 1000})

    assert not any("canary" in line for line in output.lines())


def test_levels_are_respected_and_others_start_at_warning(output: Output) -> None:
    configure(output, Log(level=LogLevel.WARNING))
    LOG.info("no")
    LOG.warning("yes")
    logging.getLogger("aiohttp.client").info("no")
    configure(output, Log(level=LogLevel.DEBUG))
    LOG.debug("yes as well")

    assert [entry["message"] for entry in output.entries()] == ["yes", "yes as well"]


def test_a_record_that_cannot_be_formatted_breaks_nobody(output: Output) -> None:
    class Hostile(dict[str, str]):
        def items(self) -> object:  # type: ignore[override]
            raise RuntimeError("no")

    LOG.info("fine", extra={"value": Hostile(a="b")})
    LOG.info({"no": "text"})
    # Not through a logger: pytest's own handler would format the arguments.
    output.handler.emit(logging.makeLogRecord({"name": "proxy.test", "msg": "wrong %d arguments", "args": ("x", "y")}))

    assert [entry["message"] for entry in output.entries()] == [
        "a log line could not be made",
        "dict",
        "wrong %d arguments",
    ]


def test_a_blocked_pipe_does_not_stop_who_logs() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(write_end, True)
    handler = start_logging(Log(), [], write_end)

    started = time.monotonic()
    for _ in range(20_000):
        handler.emit(logging.makeLogRecord({"name": "proxy.test", "msg": "call", "levelname": "INFO"}))
    elapsed_s = time.monotonic() - started

    assert elapsed_s < 10
    assert handler.dropped > 0
    os.close(read_end)
    logging.getLogger().removeHandler(handler)
    handler.close()


def test_starting_again_replaces_the_output() -> None:
    first_end, first_write = os.pipe()
    second_end, second_write = os.pipe()
    start_logging(Log(), [], first_write)

    handler = start_logging(Log(), [], second_write)
    LOG.info("once")
    logging.getLogger().removeHandler(handler)
    handler.close()

    assert [one for one in logging.getLogger().handlers if isinstance(one, LogOutput)] == []
    assert b"once" in os.read(second_end, 65536)
    for descriptor in (first_end, first_write, second_end, second_write):
        os.close(descriptor)
