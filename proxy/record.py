"""Plain data about one call: filled while it runs, read once at its end by metrics, log and live view."""

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Protocol

import msgspec

from proxy.hub.errors import ErrorKind
from proxy.hub.events import MessageEnd, Usage


class Outcome(StrEnum):
    """How a call ended. Closed: the same words in logs, metrics, the live view and tests."""

    COMPLETED = "completed"
    CALLER_LEFT_BEFORE_FIRST = "caller_left_before_first"
    CALLER_LEFT_MIDWAY = "caller_left_midway"
    CALLER_TOO_SLOW = "caller_too_slow"
    CONNECT_FAILED = "connect_failed"
    REJECTED = "rejected"
    """The upstream answered with a 4xx."""
    UPSTREAM_FAILED = "upstream_failed"
    """The upstream answered with a 5xx, or with nothing usable before its stream began."""
    HEADERS_TIMEOUT = "headers_timeout"
    FIRST_EVENT_TIMEOUT = "first_event_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    CUT = "cut"
    ERROR_EVENT = "error_event"
    PROTOCOL_ERROR = "protocol_error"
    REFUSED = "refused"
    """Never sent upstream: authentication, limits, bad request."""
    DRAINED = "drained"
    KILLED = "killed"
    INTERNAL_ERROR = "internal_error"


OUTCOME_OF_STREAM_ERROR: dict[ErrorKind, Outcome] = {
    ErrorKind.CUT: Outcome.CUT,
    ErrorKind.PROTOCOL: Outcome.PROTOCOL_ERROR,
}
"""What an error ending that a decoder produced means; any other kind came as the provider's own error event."""


class Phase(Enum):
    """How far a call is. What its stream does meanwhile, the relay knows (`CallRecord.streaming`)."""

    RECEIVING = "receiving"
    """The caller's request is coming in."""
    QUEUED = "queued"
    """It waits to be let in."""
    BACKING_OFF = "backing_off"
    """It waits before the next attempt."""
    CONNECTING = "connecting"
    ASKING = "asking"
    """The request is sent; the upstream's response headers have not come."""
    ANSWERING = "answering"
    ENDING = "ending"
    """The outcome is known; the caller takes its last bytes."""


class Progress(msgspec.Struct, frozen=True, gc=False):
    """What a stream does at one moment."""

    has_content: bool
    is_paused: bool
    """The caller does not take what is there for it, and the upstream is not read."""
    is_ended: bool
    """The stream has its ending; only the HTTP message lacks one."""
    gap_s: float
    """Since the last content event, or since the upstream's response headers when none has come."""
    blocked_s: float
    """How long the caller has taken nothing, this time."""
    events: int
    content_events: int
    waiting_bytes: int
    unread_bytes: int


class Streaming(Protocol):
    """A stream under way (`relay.Relay`), for whoever wants to look at it."""

    def progress(self) -> Progress: ...


class CallRecord:
    """One call. Times are seconds of the event loop's monotonic clock, or durations where the name ends in `_s`."""

    __slots__ = (
        "added_s",
        "alias",
        "answered_model",
        "asked_model",
        "attempt_at",
        "attempts",
        "blocked_s",
        "bytes_down",
        "bytes_up",
        "caller",
        "connect_s",
        "content_events",
        "dialect",
        "dropped",
        "duration_s",
        "end",
        "end_drained",
        "error",
        "events",
        "faults",
        "first_event_s",
        "headers_s",
        "headers_sent",
        "heartbeats",
        "is_own_id",
        "is_sampled",
        "is_stream",
        "joins",
        "kill",
        "last_event_s",
        "max_gap_s",
        "model",
        "operation",
        "outcome",
        "phase",
        "provider",
        "request_id",
        "started_at",
        "status",
        "streaming",
        "tap_failed",
        "trace_id",
        "upstream_closed_s",
        "upstream_status",
        "usage",
    )

    def __init__(self, request_id: str, dialect: str, started_at: float) -> None:
        self.request_id = request_id
        self.is_own_id = False
        """The request id was made here, and is no text of the caller's."""
        self.dialect = dialect
        self.started_at = started_at
        self.caller = ""
        """Configured name of the caller's key; empty when anonymous."""
        self.asked_model = ""
        """The model as the caller wrote it: any text. For the live view and the log, which mask it; never a label."""
        self.alias = ""
        """The configured model entry that matched, never the caller's own text."""
        self.provider = ""
        self.model = ""
        """The upstream model that answered."""
        self.answered_model = ""
        """What the upstream itself said, which may be longer: any text. Empty: it did not say."""
        self.operation = "chat"
        """Or `count_tokens`, `passthrough`: as OpenTelemetry's GenAI conventions name what was asked for."""
        self.trace_id = ""
        """Of the trace that the call belongs to, 32 hexadecimal digits; empty: of none."""
        self.is_sampled = False
        """Whether somebody keeps that trace."""
        self.is_stream = False
        self.joins = 0
        """How often a second answer went on with one that was cut."""
        self.attempts = 0
        self.attempt_at: float | None = None
        """When the upstream was asked that the first content event came from, or that was asked last."""
        self.faults: list[tuple[str, ErrorKind]] = []
        """Provider and fault of each attempt that failed before its first content event, in order."""
        self.status = 0
        """The HTTP status that the caller got; 0: none was sent."""
        self.upstream_status = 0
        self.outcome: Outcome | None = None
        self.error: ErrorKind | None = None
        self.connect_s: float | None = None
        """`None`: a pooled connection was used, or none was made."""
        self.headers_s: float | None = None
        self.headers_sent = False
        self.first_event_s: float | None = None
        """From the request's arrival to the first content event written to the caller."""
        self.last_event_s: float | None = None
        self.max_gap_s = 0.0
        """The longest silence between two content events."""
        self.duration_s = 0.0
        self._start_volume()
        self.phase = Phase.RECEIVING
        self.streaming: Streaming | None = None
        """The stream, while there is one."""
        self.kill: Callable[[], None] | None = None
        """Ends the call in its dialect on an operator's order; `None` once it is over."""
        self.end_drained: Callable[[], None] | None = None
        """The same because the proxy is stopping."""

    def _start_volume(self) -> None:
        self.events = 0
        self.content_events = 0
        self.bytes_up = 0
        """Body bytes read from the upstream."""
        self.bytes_down = 0
        """Body bytes written to the caller, without chunk framing."""
        self.heartbeats = 0
        self.blocked_s = 0.0
        """Time that the caller did not take what was there for it."""
        self.added_s: float | None = None
        """The proxy's own time from an upstream read to the caller's write, of one sampled event."""
        self.upstream_closed_s: float | None = None
        """From the caller's leaving to the closing of the upstream socket."""
        self.usage: Usage | None = None
        self.end: MessageEnd | None = None
        self.dropped: tuple[str, ...] = ()
        self.tap_failed = False

    def answered_at(self) -> float | None:
        """When the first content event came; `None`: not yet."""
        return self.started_at + self.first_event_s if self.first_event_s is not None else None

    def begin_attempt(self, now: float, *, is_joining: bool) -> None:
        """Another upstream is asked. Unless it goes on with a begun stream, what an earlier one showed counts no more."""
        self.attempts += 1
        self.phase = Phase.ASKING
        self.outcome = None
        self.error = None
        self.upstream_status = 0
        self.connect_s = self.headers_s = None
        if not is_joining:
            self.first_event_s = self.last_event_s = None
            self.attempt_at = now
        self.usage = None
        self.dropped = ()

    def note_connecting(self, is_connecting: bool) -> None:
        """A new connection to the upstream is being made, or was made."""
        self.phase = Phase.CONNECTING if is_connecting else Phase.ASKING
