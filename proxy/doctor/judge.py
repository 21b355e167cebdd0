"""What the measurements mean: pure functions from symptoms to findings."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

import msgspec

from proxy.demo.fates import State
from proxy.doctor.remedies import Ailment
from proxy.doctor.symptoms import LeavingSeen, PressureSeen, Silence, StreamSeen, WholeSeen
from proxy.upstream.answer import Framing

LATE_S = 0.15
"""A delay within a stream that readers notice. HAProxy without `http-no-delay` holds events back for 200 ms (MSG_MORE)."""
SAME_LUMP_S = 0.002
"""Reads that follow each other this closely are one lump."""
LEAVING_S = 2.0
"""The provider must have been told by then."""
ONE_BY_ONE_SHARE = 0.7
"""Of the events of a stream that come alone: above it a late one is the machine's doing and no buffer's."""
SILENT_SHARE = 0.9
"""Of the wished silence: where less of it was heard, heartbeats filled it."""
_EVENT_STREAM = "text/event-stream"
_NO_TRANSFORM = "no-transform"
_OWN_HEADERS = ("x-request-id", "x-proxy-provider", "x-proxy-model")


Measured: TypeAlias = dict[str, float | int | str | bool | None]
"""Values by what they are; for programs."""


class Level(StrEnum):
    """How bad a finding is; only a problem makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    level: Level
    summary: str
    ailment: Ailment | None = None
    """What the remedies are listed under; only of a problem."""
    measured: Measured = {}


class Pace(msgspec.Struct, frozen=True):
    """How the events of a stream arrived, against their time stamps."""

    events: int
    lumps: int
    """Groups of events that arrived together."""
    largest_lump_bytes: int
    median_late_s: float
    worst_late_s: float
    """Later than the event that was least late: the way itself is not counted."""


def pace_of(seen: StreamSeen) -> Pace | None:
    """How even `seen` was; `None` without two stamped events."""
    stamped = [(event.at, float(event.text.split()[0])) for event in seen.events if _is_stamp(event.text)]
    if len(stamped) < 2:
        return None
    lateness = [at - stamp for at, stamp in stamped]
    late = sorted(each - min(lateness) for each in lateness)
    lumps = _lumps([at for at, _ in stamped])
    return Pace(len(stamped), len(lumps), _largest(seen), late[len(late) // 2], late[-1])


def judge_pace(seen: StreamSeen, padded: StreamSeen | None) -> Finding:
    """Whether events pass one by one. `padded`: another try with larger events, which shows the buffer's size."""
    check = "one by one"
    pace = pace_of(seen)
    if pace is None:
        return _broken(check, seen)
    measured: Measured = {
        "events": pace.events,
        "lumps": pace.lumps,
        "median_late_s": round(pace.median_late_s, 4),
        "worst_late_s": round(pace.worst_late_s, 4),
    }
    if pace.worst_late_s < LATE_S:
        text = f"{pace.events} events, the latest {_ms(pace.worst_late_s)} late"
        return Finding(check, Level.OK, text, None, measured)
    if pace.lumps > pace.events * ONE_BY_ONE_SHARE:
        text = f"events come one by one, but one of them {_ms(pace.worst_late_s)} late: a busy machine or network"
        return Finding(check, Level.NOTE, text, None, measured)
    large = pace_of(padded) if padded is not None else None
    if large is not None and large.worst_late_s < LATE_S:
        text = f"events were {_ms(pace.worst_late_s)} late once, and not when tried again: a busy machine or network"
        return Finding(check, Level.NOTE, text, None, measured)
    measured["lump_bytes"] = lump = _buffer_bytes(large, pace)
    what = "all at once, at the end" if pace.lumps == 1 else f"in {pace.lumps} lumps"
    size = f"; larger events come in lumps of about {lump} bytes" if lump else ""
    text = f"held back: {pace.events} events came {what}, up to {pace.worst_late_s:.1f} s late{size}"
    return Finding(check, Level.PROBLEM, text, Ailment.BUFFERED, measured)


def judge_compression(seen: StreamSeen) -> Finding:
    """Whether something compresses a stream for callers that accept it."""
    check = "compression"
    if seen.head is None:
        return _broken(check, seen)
    coding = seen.head.headers.get("content-encoding", "identity")
    reads = len(_lumps([read.at for read in seen.reads]))
    measured: Measured = {"content_encoding": coding, "reads": reads}
    if coding == "identity":
        return Finding(check, Level.OK, "offered, and not used", None, measured)
    pieces = "in one piece" if reads == 1 else f"in {reads} pieces"
    text = f"the stream is compressed ({coding}) by something in front, and came {pieces}"
    return Finding(check, Level.PROBLEM, text, Ailment.COMPRESSED, measured)


def judge_silence(silence: Silence, seen: StreamSeen, seconds: float) -> Finding:
    """Whether a stream outlives `seconds` without an event."""
    check = f"silence {silence}"
    quiet_s = _longest_quiet(seen)
    measured: Measured = {
        "asked_s": seconds,
        "longest_quiet_s": round(quiet_s, 2),
        "status": seen.head.status if seen.head is not None else None,
        "ending": seen.ending,
    }
    if seen.is_finished:
        return Finding(check, Level.OK, _survived(silence, quiet_s, seconds), None, measured)
    if seen.error or _is_own_error(seen):
        text = f"the proxy itself ended it ({seen.error or _own_error(seen.body)}): its own timeouts are shorter"
        return Finding(check, Level.NOTE, text, None, measured)
    if silence is Silence.PINGS:
        lasted_s = seen.ended_at - seen.sent_at
        text = f"cut after {lasted_s:.1f} s although something came all the time"
        return Finding(check, Level.PROBLEM, text, Ailment.TIME_CUT, {**measured, "lasted_s": round(lasted_s, 2)})
    how = f"answered {seen.head.status}" if seen.head is not None and seen.head.status != 200 else "cut"
    text = f"{how} after {quiet_s:.1f} s without a byte"
    return Finding(check, Level.PROBLEM, text, Ailment.IDLE_CUT, measured)


def judge_leaving(seen: LeavingSeen) -> Finding:
    """Whether the provider is let go when the caller has gone."""
    check = "disconnect"
    state = seen.told.state
    measured: Measured = {
        "state": state,
        "took_s": None if seen.took_s is None else round(seen.took_s, 3),
    }
    match state:
        case State.UNKNOWN:
            text = "not known: no request reached the process again that had the stream (many replicas?)"
            return Finding(check, Level.NOTE, text, None, measured)
        case State.LEFT if seen.took_s is not None and seen.took_s <= LEAVING_S:
            text = f"the provider was let go {_ms(seen.took_s)} after we left"
            return Finding(check, Level.OK, text, None, measured)
        case State.LEFT:
            text = f"the provider was let go only {seen.took_s or 0:.1f} s after we left"
        case _:
            text = f"{seen.waited_s:.0f} s after we left the provider still wrote: somebody reads on, and you pay"
    return Finding(check, Level.PROBLEM, text, Ailment.LEAVING_HIDDEN, measured)


def judge_pressure(seen: PressureSeen) -> Finding:
    """Whether a reader that stops stops the provider."""
    check = "backpressure"
    grown = seen.last.bytes - seen.earlier.bytes
    measured: Measured = {
        "taken_bytes": seen.last.bytes,
        "taken_at_last_bytes": grown,
        "state": seen.last.state,
    }
    if seen.last.state is State.UNKNOWN:
        text = "not known: no request reached the process again that had the stream (many replicas?)"
        return Finding(check, Level.NOTE, text, None, measured)
    if seen.last.state is State.COMPLETED or (seen.last.state is State.LIVE and grown > 0):
        text = f"something took {_mb(seen.last.bytes)} of an answer that nobody read for {seen.paused_s:.1f} s"
        return Finding(check, Level.PROBLEM, text, Ailment.SWALLOWED, measured)
    if seen.last.state is not State.LIVE:
        text = f"the answer was given up after {_mb(seen.last.bytes)}: caller_stall_s, or a timeout in front"
        return Finding(check, Level.NOTE, text, None, measured)
    text = f"a reader that stops stops the provider: {_mb(seen.last.bytes)} of {_mb(seen.total_bytes)} were taken"
    return Finding(check, Level.OK, text, None, measured)


def judge_headers(seen: StreamSeen, request_id: str) -> list[Finding]:
    """The response's head: type, caching, our own headers, and how the end of the body is marked."""
    head = seen.head
    if head is None:
        return [_broken("headers", seen)]
    content_type = head.headers.get("content-type", "")
    cache = head.headers.get("cache-control", "")
    lost = [name for name in _OWN_HEADERS if name not in head.headers]
    wrong = [] if content_type.startswith(_EVENT_STREAM) else [f"Content-Type is {content_type!r}"]
    wrong += [] if _NO_TRANSFORM in cache else [f"Cache-Control is {cache!r}"]
    wrong += [f"{', '.join(lost)} missing"] if lost else []
    wrong += [] if head.headers.get("x-request-id", request_id) == request_id else ["x-request-id is not ours"]
    measured: Measured = {
        "content_type": content_type,
        "cache_control": cache,
        "missing": ", ".join(lost),
    }
    changed = (
        Finding("headers", Level.PROBLEM, "; ".join(wrong), Ailment.HEADERS_CHANGED, measured)
        if wrong
        else Finding("headers", Level.OK, "as the proxy sends them", None, measured)
    )
    return [changed, _framing(head.http_version, head.framing)]


def judge_error(status: int, seen: WholeSeen) -> Finding:
    """Whether the provider's error reaches the caller in its dialect."""
    check = f"errors ({status})"
    got = seen.head.status if seen.head is not None else 0
    measured: Measured = {"status": got, "in_dialect": _has_error(seen.body)}
    if _has_error(seen.body) and got // 100 == status // 100:
        return Finding(check, Level.OK, "reach the caller in its dialect", None, measured)
    text = f"the provider's {status} arrived as {got} without an error that SDKs can read"
    return Finding(check, Level.PROBLEM, text, Ailment.ERRORS_REWRITTEN, measured)


def judge_size(what: str, size: int, seen: WholeSeen, ailment: Ailment) -> Finding:
    """Whether a request of this size passes. `what`: of which part."""
    text_size = _mb(size) if size >= 1_000_000 else f"{size // 1000} kB"
    check = f"request {what} of {text_size}"
    got = seen.head.status if seen.head is not None else 0
    measured: Measured = {"bytes": size, "status": got}
    if got == 200:
        return Finding(check, Level.OK, "passes", None, measured)
    if _has_error(seen.body):
        return Finding(check, Level.NOTE, f"refused by the proxy itself: {_own_error(seen.body)}", None, measured)
    if got in (408, 504):
        text = f"answered {got}: its handling took longer than something in front waits"
        return Finding(check, Level.PROBLEM, text, Ailment.IDLE_CUT, measured)
    how = f"answered {got}" if got else "the connection was broken"
    return Finding(check, Level.PROBLEM, f"{how} by something in front", ailment, measured)


def judge_continue(seen: WholeSeen) -> Finding:
    """Whether a caller that waits for 100 Continue gets on."""
    check = "100 Continue"
    got = seen.head.status if seen.head is not None else 0
    measured: Measured = {"status": got, "told": seen.was_told_to_go_on}
    if got != 200:
        text = f"a request with Expect: 100-continue was answered {got or 'not at all'}"
        return Finding(check, Level.PROBLEM, text, Ailment.CONTINUE_REFUSED, measured)
    if not seen.was_told_to_go_on:
        return Finding(check, Level.NOTE, "never came; clients wait a second, and go on", None, measured)
    return Finding(check, Level.OK, "comes", None, measured)


# --- parts


def _framing(version: str, framing: Framing) -> Finding:
    measured: Measured = {"http_version": version, "framing": framing.value}
    if framing is Framing.CHUNKED:
        return Finding("framing", Level.OK, f"HTTP/{version}, chunked", None, measured)
    text = (
        f"HTTP/{version}, the end of the connection ends the stream: one connection a call, a cut is seen only by SDKs"
    )
    return Finding("framing", Level.NOTE, text, None, measured)


def _broken(check: str, seen: StreamSeen) -> Finding:
    status = f"status {seen.head.status}" if seen.head is not None else "no answer"
    return Finding(check, Level.NOTE, f"could not be measured: {status}, {len(seen.events)} events")


def _survived(silence: Silence, quiet_s: float, seconds: float) -> str:
    if silence is Silence.PINGS:
        return f"lasted {seconds:g} s"
    if quiet_s < SILENT_SHARE * seconds:
        return f"heartbeats of the proxy came, at most {quiet_s:.1f} s apart: nothing in front saw more"
    return f"{quiet_s:.1f} s without a byte did no harm; longer ones were not tried"


def _longest_quiet(seen: StreamSeen) -> float:
    times = [seen.sent_at, *(read.at for read in seen.reads), seen.ended_at]
    return max(after - before for before, after in pairwise(times))


def _lumps(times: Sequence[float]) -> list[float]:
    """The beginning of each group of times that follow each other closely."""
    begins: list[float] = []
    last = float("-inf")
    for at in times:
        if at - last > SAME_LUMP_S:
            begins.append(at)
        last = at
    return begins


def _largest(seen: StreamSeen) -> int:
    largest = lump = 0
    last = float("-inf")
    for read in seen.reads:
        lump = read.size if read.at - last > SAME_LUMP_S else lump + read.size
        last = read.at
        largest = max(largest, lump)
    return largest


def _buffer_bytes(large: Pace | None, small: Pace) -> int | None:
    """The size of the lumps; `None`: everything came in one."""
    if large is not None and large.lumps > 1:
        return large.largest_lump_bytes
    return small.largest_lump_bytes if small.lumps > 1 else None


def _is_stamp(text: str) -> bool:
    first, _, _ = text.partition(" ")
    return first.replace(".", "", 1).isdigit()


class _ErrorBody(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _ErrorBody


def _read_error(body: bytes) -> _ErrorBody | None:
    try:
        return msgspec.json.decode(body, type=_Body).error
    except msgspec.DecodeError:
        return None


def _has_error(body: bytes) -> bool:
    return _read_error(body) is not None


def _own_error(body: bytes) -> str:
    error = _read_error(body)
    return str(error.code or error.type or "error")[:60] if error is not None else ""


def _is_own_error(seen: StreamSeen) -> bool:
    return seen.head is not None and seen.head.status != 200 and _has_error(seen.body)


def _ms(seconds: float) -> str:
    return f"{max(seconds, 0) * 1000:.0f} ms"


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"
