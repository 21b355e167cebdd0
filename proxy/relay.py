"""The loop of one stream: upstream bytes are pushed in, caller bytes are pushed out, in the same turn of the event loop.

There is no task and no queue between the two sides. The upstream's protocol calls `body_received`; the transcoder turns
the bytes; the sink writes them to the caller's transport. The transport's own high-water mark pauses the upstream.

    upstream --body_received/ended/failed--> Relay --write/close--> Sink (caller)
    caller   --caller_paused/resumed/left--> Relay --pause/resume/abort--> Exchange (upstream)

A relay ends exactly once, in `_end`, with one outcome; the future `done` then holds it. Whatever ends it, the upstream
is released or aborted there, and nowhere else.

Deadlines need no timer per event: each event stores a time, and one timer per stream looks at the stored times when the
earliest of them could have passed.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.hub.events import StreamError
from proxy.hub.transcode import Transcoder
from proxy.record import OUTCOME_OF_STREAM_ERROR, CallRecord, Outcome, Phase, Progress

_LOG = logging.getLogger("proxy.relay")


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds. What each one measures is said in the configuration's documentation; `0` switches a heartbeat off."""

    first_event_s: float
    """From the upstream's response headers to its first content event."""
    idle_s: float
    """Between two content events. Comments, pings and usage are no content."""
    total_s: float
    """From the request's arrival."""
    caller_stall_s: float
    """While bytes wait for the caller and it takes none of them."""
    heartbeat_s: float


class Source(Protocol):
    """The upstream side, as the relay sees it (`upstream.connection.Exchange`)."""

    @property
    def is_complete(self) -> bool:
        """Whether the HTTP message is read to its end, so that `body_ended` or `body_failed` follows in this turn."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        """Close the socket now; it never returns to the pool."""
        ...

    def unread_bytes(self) -> int:
        """Bytes that have come and were not read yet, the kernel's included where it tells."""
        ...

    def finish_in_background(self) -> None:
        """The stream's terminator was seen: give the HTTP message a moment to end, for reuse, else close."""
        ...


class Sink(Protocol):
    """The caller's side, as the relay sees it."""

    @property
    def is_begun(self) -> bool:
        """Whether the response's status is out. Until then a fault is an HTTP error, afterwards an event."""
        ...

    def write(self, data: bytes) -> None:
        """Send whole frames; the response's headers go first, when they have not."""
        ...

    def write_last(self, data: bytes) -> None:
        """Send whole frames as the end of the response: nothing follows."""
        ...

    def waiting_bytes(self) -> int:
        """Bytes that the caller has not taken yet, the kernel's included where it tells."""
        ...

    def abort(self) -> None:
        """Break the connection, so that the caller cannot take what it has for the whole."""
        ...


RESCUABLE = frozenset(
    {
        ErrorKind.CUT,
        ErrorKind.PROTOCOL,
        ErrorKind.TIMEOUT,
        ErrorKind.OVERLOADED,
        ErrorKind.UPSTREAM_FAILED,
        ErrorKind.RATE_LIMIT,
    }
)
"""Faults of one upstream within its stream, after which another answer may go on."""

LINGER_S = 1.0
"""How long a byte-exact relay waits for the HTTP message to end after the stream's own terminator."""


class Relay:
    """One stream from its first upstream byte to its end."""

    def __init__(
        self,
        *,
        transcoder: Transcoder,
        source: Source,
        sink: Sink,
        deadlines: Deadlines,
        record: CallRecord,
        is_exact: bool,
        holds_cuts: bool = False,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.done: asyncio.Future[Outcome] = loop.create_future()
        self.failure: StreamError | None = None
        """Why the stream failed, when the caller was not told: its status was not out yet, or another answer may go
        on from here. The handler either tries again or says it."""
        self.on_first_content: Callable[[], None] | None = None
        """Called when the first content event has come, which most often rules out another attempt."""
        self._transcoder = transcoder
        self._summary = transcoder.summary
        self._source = source
        self._sink = sink
        self._deadlines = deadlines
        self._record = record
        self._is_exact = is_exact
        """Pass-through: bytes after the terminator are the provider's and still belong to the caller."""
        self._holds_cuts = holds_cuts
        """A stream that breaks after its first content event may still be rescued by the handler."""
        self._loop = loop
        now = loop.time()
        self._began_at = now
        self._last_content_at = now
        self._last_write_at = now
        self._content_seen = 0
        self._blocked_at: float | None = None
        self._waiting_bytes = 0
        self._progress_at = now
        self._ended_at: float | None = None
        self._ended_as = Outcome.COMPLETED
        self._last_out = b""
        """The end of a complete answer, until it is clear that nothing follows: it then leaves in one write."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_over = False
        self._schedule(now)
        self._outer = record.kill, record.end_drained
        """How the call is ended while it does not stream."""
        record.kill = self.kill
        record.end_drained = self.drain
        record.phase = Phase.ANSWERING
        record.streaming = self

    # --- the upstream's side

    def body_received(self, data: bytes) -> None:
        """Bytes from the upstream, as read. Writes what they complete before it returns."""
        record = self._record
        record.bytes_up += len(data)
        try:
            out = self._transcoder.feed(data)
        except Exception as bug:  # else asyncio takes it for a fault of the upstream's connection
            self._fail_by_bug(bug)
            return
        if self._ended_at is not None:
            self._write(out)
            return
        summary = self._summary
        now = self._loop.time()
        if summary.content_events != self._content_seen:
            self._note_content(now)
        if summary.error is not None:
            self._fail_in_band(out)
            return
        if summary.end is not None:
            self._terminator_received(out, now)
        elif out:
            self._last_write_at = now
            record.bytes_down += len(out)
            self._sink.write(out)
            # A sample, of the first event and about each 64th: to ask the clock for every one would cost what it measures.
            if not record.events & 63:
                record.added_s = self._loop.time() - now
        record.events = summary.events

    def body_ended(self) -> None:
        """The upstream's HTTP message is complete; whether its stream is, the transcoder knows."""
        if self._is_over:
            return
        try:
            out = self._transcoder.finish()
        except Exception as bug:
            self._fail_by_bug(bug)
            return
        if self._summary.error is not None and self._ended_at is None:
            self._fail_in_band(out, upstream_done=True)
            return
        if self._summary.error is None:
            self._write_last(self._last_out + out)
        else:
            self._write(out)
        self._end(self._ended_as, keep_source=True)

    def body_failed(self, error: UpstreamError) -> None:
        """The upstream's connection broke within its answer."""
        if self._is_over:
            return
        if self._ended_at is not None:
            self._write(self._last_out)
            self._end(self._ended_as)
            return
        self._fail(error.kind, error.message, OUTCOME_OF_STREAM_ERROR.get(error.kind, Outcome.CUT))

    def _note_content(self, now: float) -> None:
        record = self._record
        if record.first_event_s is None:
            record.first_event_s = now - record.started_at
            if self.on_first_content is not None:
                self.on_first_content()
        else:
            gap = now - self._last_content_at
            if gap > record.max_gap_s:
                record.max_gap_s = gap
        is_first = not self._content_seen
        self._content_seen = self._summary.content_events
        self._last_content_at = now
        if is_first:
            self._hasten(now)

    def _terminator_received(self, out: bytes, now: float) -> None:
        """The stream has its ending, in `out` or before it."""
        if not self._is_exact:
            self._write_last(out)
            if not self._is_over:
                self._source.finish_in_background()
                self._end(Outcome.COMPLETED, keep_source=True)
        elif self._source.is_complete:
            self._ended_at = now
            self._last_out = out
        else:
            self._write(out)
            if not self._is_over:
                self._linger(Outcome.COMPLETED, now)

    def _linger(self, outcome: Outcome, now: float) -> None:
        """The stream has its ending; what the provider sends after it still goes to the caller, for a moment."""
        self._ended_at = now
        self._ended_as = outcome
        self._schedule(now)

    def _fail_in_band(self, out: bytes, *, upstream_done: bool = False) -> None:
        """The upstream's own stream says that it failed, or is not what it should be. `out` came before."""
        error = self._summary.error
        if self._is_over or error is None:
            return
        self._record.error = error.kind
        if not self._keeps_quiet():
            self._write(out + self._transcoder.ending())
            if self._transcoder.relays_on and not upstream_done:
                self._linger(OUTCOME_OF_STREAM_ERROR.get(error.kind, Outcome.ERROR_EVENT), self._loop.time())
                return
        elif self._is_known_to_caller():
            self._write(out)
        self._end(OUTCOME_OF_STREAM_ERROR.get(error.kind, Outcome.ERROR_EVENT))

    # --- the caller's side

    def caller_paused(self) -> None:
        """The caller's transport is full: stop reading the upstream."""
        if self._is_over or self._blocked_at is not None:
            return
        now = self._loop.time()
        self._blocked_at = self._progress_at = now
        self._waiting_bytes = self._sink.waiting_bytes()
        self._source.pause()
        self._schedule(now)

    def caller_resumed(self) -> None:
        """The caller took enough: read on. Its slowness is not the upstream's silence."""
        if self._blocked_at is None:
            return
        now = self._loop.time()
        self._record.blocked_s += now - self._blocked_at
        self._blocked_at = None
        if not self._is_over:
            self._last_content_at = now
            self._hasten(now)
            self._source.resume()

    def caller_left(self) -> None:
        """The caller's connection is gone: close the upstream's at once."""
        if self._is_over:
            return
        left_at = self._loop.time()
        if self._ended_at is not None:
            self._end(self._ended_as)
            return
        first = self._record.first_event_s is None
        self._end(Outcome.CALLER_LEFT_BEFORE_FIRST if first else Outcome.CALLER_LEFT_MIDWAY)
        self._record.upstream_closed_s = self._loop.time() - left_at

    # --- the operator's side

    def kill(self) -> None:
        """End the stream in its dialect on an operator's order."""
        self._fail(ErrorKind.KILLED, "The stream was ended by the operator.", Outcome.KILLED)

    def drain(self) -> None:
        """End the stream in its dialect because the proxy is stopping."""
        self._fail(ErrorKind.DRAINED, "The proxy is shutting down; try again.", Outcome.DRAINED)

    def progress(self) -> Progress:
        """What the stream does now, computed for whoever looks."""
        now, summary = self._loop.time(), self._summary
        return Progress(
            has_content=self._content_seen > 0,
            is_paused=self._blocked_at is not None,
            is_ended=self._ended_at is not None,
            gap_s=now - self._last_content_at,
            blocked_s=0.0 if self._blocked_at is None else now - self._blocked_at,
            events=summary.events,
            content_events=summary.content_events,
            waiting_bytes=self._sink.waiting_bytes(),
            unread_bytes=self._source.unread_bytes(),
        )

    # --- deadlines

    def _next_due(self) -> float:
        deadlines = self._deadlines
        if self._ended_at is not None:
            return self._ended_at + LINGER_S
        due = self._record.started_at + deadlines.total_s
        if self._blocked_at is not None:
            return min(due, self._progress_at + deadlines.caller_stall_s)
        if self._content_seen:
            due = min(due, self._last_content_at + deadlines.idle_s)
        else:
            due = min(due, self._began_at + deadlines.first_event_s)
        if deadlines.heartbeat_s:
            due = min(due, self._last_write_at + deadlines.heartbeat_s)
        return due

    def _schedule(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = max(self._next_due(), now + 0.001)
        self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _hasten(self, now: float) -> None:
        """Another deadline counts from now on: look sooner, if the timer was set for a later one."""
        if self._next_due() < self._timer_at:
            self._schedule(now)

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_over:
            return
        now = self._loop.time()
        deadlines = self._deadlines
        if self._ended_at is not None:
            if now - self._ended_at >= LINGER_S:
                self._end(self._ended_as)
        elif now - self._record.started_at >= deadlines.total_s:
            self._fail(
                ErrorKind.TIMEOUT, f"The answer took longer than {deadlines.total_s:g} s.", Outcome.TOTAL_TIMEOUT
            )
        elif self._blocked_at is not None:
            self._check_stall(now)
        else:
            self._check_silence(now)
        if not self._is_over:
            self._schedule(now)

    def _check_stall(self, now: float) -> None:
        waiting = self._sink.waiting_bytes()
        if waiting < self._waiting_bytes:
            self._progress_at = now
        self._waiting_bytes = waiting
        if now - self._progress_at >= self._deadlines.caller_stall_s:
            self._record.error = ErrorKind.CALLER_TOO_SLOW
            self._end(Outcome.CALLER_TOO_SLOW, break_caller=True)

    def _check_silence(self, now: float) -> None:
        deadlines = self._deadlines
        if not self._content_seen:
            if now - self._began_at >= deadlines.first_event_s:
                self._fail(
                    ErrorKind.TIMEOUT,
                    f"The provider sent nothing within {deadlines.first_event_s:g} s.",
                    Outcome.FIRST_EVENT_TIMEOUT,
                )
                return
        elif now - self._last_content_at >= deadlines.idle_s:
            self._fail(
                ErrorKind.TIMEOUT,
                f"The provider was silent for {deadlines.idle_s:g} s within its answer.",
                Outcome.IDLE_TIMEOUT,
            )
            return
        if deadlines.heartbeat_s and now - self._last_write_at >= deadlines.heartbeat_s:
            self._last_write_at = now
            beat = self._transcoder.heartbeat()
            if beat:
                self._record.heartbeats += 1
                self._write(beat)

    # --- endings

    def _fail(self, kind: ErrorKind, message: str, outcome: Outcome) -> None:
        if self._is_over:
            return
        if self._ended_at is not None:
            # The caller has its ending; nothing that happens now is its stream's.
            self._end(self._ended_as)
            return
        self._record.error = kind
        out = self._transcoder.fail(StreamError(kind, message))
        if not self._keeps_quiet():
            self._write(out + self._transcoder.ending())
        self._end(outcome)

    def _fail_by_bug(self, bug: Exception) -> None:
        """A codec of ours has failed: end this stream, say whose fault it is, and leave a trace."""
        if self._is_over:
            return
        _LOG.error("unhandled fault in a stream", exc_info=bug, extra={"request_id": self._record.request_id})
        try:
            self._fail(ErrorKind.INTERNAL, "The proxy failed on this stream.", Outcome.INTERNAL_ERROR)
        except Exception:  # what has failed once may fail again at its ending
            self._record.error = ErrorKind.INTERNAL
            self._end(Outcome.INTERNAL_ERROR, break_caller=True)

    def _keeps_quiet(self) -> bool:
        """Whether the stream has failed and the caller need not know yet; sets `failure` then.

        Before the status is out a fault is an HTTP error: SDKs retry on a status, never on an event. Later, one that
        another answer may mend is held back: always before the first content event, afterwards if asked to.
        """
        error = self._summary.error
        if error is None:
            return False
        if self._is_known_to_caller() and not self._may_be_rescued(error):
            return False
        self.failure = error
        return True

    def _is_known_to_caller(self) -> bool:
        """Whether the status is out, or must go out for the content that came together with the fault."""
        return self._sink.is_begun or self._summary.content_events > 0

    def _may_be_rescued(self, error: StreamError) -> bool:
        if not self._transcoder.is_holding or error.kind not in RESCUABLE or self._is_past_total():
            return False
        return self._holds_cuts or not self._content_seen

    def _is_past_total(self) -> bool:
        return self._loop.time() - self._record.started_at >= self._deadlines.total_s

    def _write(self, out: bytes) -> None:
        if out:
            self._record.bytes_down += len(out)
            self._sink.write(out)

    def _write_last(self, out: bytes) -> None:
        """Write the end of the response. A response that has not begun is not begun for nothing."""
        if out or self._sink.is_begun:
            self._record.bytes_down += len(out)
            self._sink.write_last(out)

    def _end(self, outcome: Outcome, *, keep_source: bool = False, break_caller: bool = False) -> None:
        if self._is_over:
            return
        self._is_over = True
        if not self.done.done():
            self.done.set_result(outcome)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not keep_source:
            self._source.abort()
        now = self._loop.time()
        if self._blocked_at is not None:
            self._record.blocked_s += now - self._blocked_at
            self._blocked_at = None
        self._fill_record(outcome)
        if break_caller:
            self._sink.abort()

    def _fill_record(self, outcome: Outcome) -> None:
        record, summary = self._record, self._summary
        record.kill, record.end_drained = self._outer
        record.streaming = None
        if self.failure is None:
            record.phase = Phase.ENDING
        record.outcome = outcome
        record.answered_model = summary.model
        record.usage = summary.usage
        record.end = summary.end
        record.events = summary.events
        record.content_events = summary.content_events
        record.tap_failed = summary.tap_failed
        if record.first_event_s is not None:
            record.last_event_s = self._last_content_at - record.started_at
