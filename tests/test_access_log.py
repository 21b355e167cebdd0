"""The line of a call: what is known of it, in one step, and nothing that a caller should not be able to write there."""

import logging
from collections.abc import Iterator

import pytest

from proxy.access_log import access_fields, log_access
from proxy.config import Log, LogFormat, LogLevel
from proxy.hub.errors import ErrorKind
from proxy.hub.events import FinishReason, MessageEnd, Usage
from proxy.record import CallRecord, Outcome
from tests.support.log_output import SECRET, Output


@pytest.fixture
def output() -> Iterator[Output]:
    made = Output()
    yield made
    made.forget()


def configure(output: Output, settings: Log) -> None:
    output.configure(settings)


def record() -> CallRecord:
    made = CallRecord("req_1", "openai_chat", 100.0)
    made.caller, made.alias, made.provider, made.model = "team-a", "fast", "openai", "gpt-5-mini"
    made.is_stream, made.status, made.upstream_status, made.attempts = True, 200, 200, 2
    made.outcome = Outcome.COMPLETED
    made.faults = [("anthropic", ErrorKind.OVERLOADED)]
    made.duration_s, made.first_event_s, made.max_gap_s = 1.23456789, 0.2, 0.5
    made.events, made.bytes_up, made.bytes_down = 10, 1000, 900
    made.usage = Usage(input=5, output=7, reasoning=0)
    made.end = MessageEnd(FinishReason.STOP)
    made.dropped = ("seed",)
    return made


def test_a_call_is_one_line_with_what_is_known(output: Output) -> None:
    log_access(record())

    (entry,) = output.entries()
    del entry["ts"]
    assert entry == {
        "level": "info",
        "logger": "proxy.access",
        "message": "call",
        "request_id": "req_1",
        "dialect": "openai_chat",
        "caller": "team-a",
        "alias": "fast",
        "provider": "openai",
        "model": "gpt-5-mini",
        "is_stream": True,
        "status": 200,
        "upstream_status": 200,
        "outcome": "completed",
        "finish_reason": "stop",
        "attempts": 2,
        "faults": ["anthropic: overloaded"],
        "duration_s": 1.2346,
        "first_event_s": 0.2,
        "max_gap_s": 0.5,
        "events": 10,
        "bytes_up": 1000,
        "bytes_down": 900,
        "input_tokens": 5,
        "output_tokens": 7,
        "reasoning_tokens": 0,
        "dropped": ["seed"],
    }


def test_a_refused_call_says_little(output: Output) -> None:
    refused = CallRecord("req_2", "anthropic", 0.0)
    refused.outcome, refused.error, refused.status = Outcome.REFUSED, ErrorKind.AUTHENTICATION, 401

    fields = access_fields(refused)

    assert fields["error"] == "authentication"
    assert "provider" not in fields and "caller" not in fields and "input_tokens" not in fields


def test_a_line_tells_the_trace_and_which_model_was_asked_for_and_answered(output: Output) -> None:
    asked = record()
    asked.alias, asked.asked_model, asked.answered_model = "gpt-*", "gpt-5-mini", "gpt-5-mini-2026-01-01"
    asked.trace_id, asked.upstream_closed_s = "4bf92f3577b34da6a3ce929d0e0e4736", 0.00123

    fields = access_fields(asked)

    assert (fields["asked_model"], fields["alias"], fields["model"]) == ("gpt-5-mini", "gpt-*", "gpt-5-mini")
    assert fields["answered_model"] == "gpt-5-mini-2026-01-01"
    assert fields["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert fields["upstream_closed_s"] == 0.0012
    asked.asked_model = "gpt-*"
    assert "asked_model" not in access_fields(asked)


def test_a_model_name_that_is_no_name_is_short_and_masked(output: Output) -> None:
    odd = record()
    odd.asked_model = "sk-" + "abcdefghijklmnopqrstuvwx\n" + "x" * 5000

    log_access(odd)

    [line] = output.lines()
    assert "abcdefghijklmnop" not in line and len(line) < 1500


def test_access_lines_are_there_at_any_level_and_can_be_switched_off(output: Output) -> None:
    configure(output, Log(level=LogLevel.ERROR))
    log_access(record())
    configure(output, Log(access=False))
    log_access(record())

    assert len(output.lines()) == 1


def test_the_line_is_the_one_that_the_logging_module_would_make(output: Output) -> None:
    ended = record()

    log_access(ended)
    logging.getLogger("proxy.access").info("call", extra=access_fields(ended))

    ours, its = ({**entry, "ts": ""} for entry in output.entries())
    assert ours == its


def test_a_line_of_text_has_the_same_fields(output: Output) -> None:
    configure(output, Log(format=LogFormat.TEXT))

    log_access(record())

    [line] = output.lines()
    assert " proxy.access call request_id=req_1 dialect=openai_chat caller=team-a " in line
    assert " outcome=completed " in line and " duration_s=1.2346 " in line and "connect_s" not in line


def test_what_a_caller_names_is_masked_and_what_was_named_here_is_not_looked_at(output: Output) -> None:
    theirs, ours = record(), record()
    theirs.request_id = SECRET
    ours.request_id, ours.is_own_id = "req_0123", True

    log_access(theirs)
    log_access(ours)

    first, second = output.entries()
    assert SECRET not in str(first) and second["request_id"] == "req_0123"
