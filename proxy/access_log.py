"""The line about a call that has ended: one `CallRecord`, read once.

The line is a struct that msgspec writes in one step, because every call pays for it: a dict of fields, each looked at,
would be a tenth of a short stream's calls into Python.
"""

import logging
from collections.abc import Callable

import msgspec

from proxy.logs import MAX_LISTED, LogOutput, LogValue
from proxy.record import CallRecord

_ACCESS = logging.getLogger("proxy.access")
MESSAGE = "call"
MAX_ASKED_CHARACTERS = 200
"""Of the model as the caller wrote it, which may be anything."""


class AccessLine(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What a call's line says; what is unknown or empty is left out."""

    request_id: str
    trace_id: str = ""
    dialect: str
    caller: str = ""
    asked_model: str = ""
    """The caller's word for the model, where the configured entry is another."""
    alias: str = ""
    provider: str = ""
    model: str = ""
    answered_model: str = ""
    is_stream: bool
    status: int
    upstream_status: int = 0
    outcome: str | None = None
    error: str | None = None
    finish_reason: str | None = None
    attempts: int
    faults: list[str] | None = None
    joins: int = 0
    duration_s: float
    connect_s: float | None = None
    headers_s: float | None = None
    first_event_s: float | None = None
    max_gap_s: float | None = None
    blocked_s: float | None = None
    upstream_closed_s: float | None = None
    events: int
    bytes_up: int
    bytes_down: int
    heartbeats: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    dropped: list[str] | None = None
    tap_failed: bool = False


def log_access(record: CallRecord) -> None:
    """One line about a call that has ended."""
    if not _ACCESS.isEnabledFor(logging.INFO):
        return
    outputs = logging.getLogger().handlers
    if len(outputs) == 1 and isinstance(output := outputs[0], LogOutput):
        # The usual case, without the record that the logging module would make.
        output.offer_struct(_ACCESS.name, MESSAGE, access_line(record, output.clean))
    else:
        _ACCESS.info(MESSAGE, extra=access_fields(record))


def access_fields(record: CallRecord) -> dict[str, LogValue]:
    """The fields of a call's line, as they are in the record."""
    fields: dict[str, LogValue] = msgspec.to_builtins(access_line(record, str))
    return fields


def access_line(record: CallRecord, clean: Callable[[str], str]) -> AccessLine:
    """The line of `record`. `clean` makes any text fit for a log; closed sets of words need it not."""
    usage, end = record.usage, record.end
    asked = record.asked_model
    return AccessLine(
        request_id=record.request_id if record.is_own_id else clean(record.request_id),
        trace_id=record.trace_id and clean(record.trace_id),
        dialect=record.dialect,
        caller=clean(record.caller),
        asked_model="" if asked == record.alias else clean(asked[:MAX_ASKED_CHARACTERS]),
        alias=clean(record.alias),
        provider=clean(record.provider),
        model=clean(record.model),
        answered_model=clean(record.answered_model),
        is_stream=record.is_stream,
        status=record.status,
        upstream_status=record.upstream_status,
        outcome=record.outcome.value if record.outcome is not None else None,
        error=record.error.value if record.error is not None else None,
        finish_reason=end.reason.value if end is not None else None,
        attempts=record.attempts,
        faults=[clean(f"{name}: {kind.value}") for name, kind in record.faults[:MAX_LISTED]] or None,
        joins=record.joins,
        duration_s=round(record.duration_s, 4),
        connect_s=_rounded(record.connect_s),
        headers_s=_rounded(record.headers_s),
        first_event_s=_rounded(record.first_event_s),
        max_gap_s=round(record.max_gap_s, 4) or None,
        blocked_s=round(record.blocked_s, 4) or None,
        upstream_closed_s=_rounded(record.upstream_closed_s),
        events=record.events,
        bytes_up=record.bytes_up,
        bytes_down=record.bytes_down,
        heartbeats=record.heartbeats,
        input_tokens=usage.input if usage is not None else None,
        output_tokens=usage.output if usage is not None else None,
        cached_input_tokens=usage.cached_input if usage is not None else None,
        cache_write_tokens=usage.cache_write if usage is not None else None,
        reasoning_tokens=usage.reasoning if usage is not None else None,
        dropped=[clean(name) for name in record.dropped[:MAX_LISTED]] or None,
        tap_failed=record.tap_failed,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
