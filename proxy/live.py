"""The live view: what every call in progress does now, computed when somebody looks.

Calls pay one entry in a register and a few attributes for it (`record.CallRecord`); there are no timers and no copies.
A view is made in slices, so that thousands of calls can be looked at while they stream.

What may be seen: names, states, times and counts. Never a prompt, a completion or a key. The one text that a caller
chose, the model it asked for, is shown without whatever looks like a key or could drive a terminal.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import msgspec

from proxy.metrics_sum import in_slices
from proxy.plain_text import CUT, plain
from proxy.record import CallRecord, Outcome, Phase, Progress
from proxy.redaction import mask_key_like

MAX_TEXT_CHARACTERS = 120
MAX_MASKED_CHARACTERS = 1000
MAX_FAULTS = 20


class CallState(StrEnum):
    """What a call does, in the order of its life."""

    RECEIVING = "receiving"
    """The caller's request is coming in."""
    QUEUED = "queued"
    BACKING_OFF = "backing_off"
    """It waits before the next attempt."""
    CONNECTING = "connecting"
    WAITING_FOR_HEADERS = "waiting_for_headers"
    WAITING_FOR_FIRST_EVENT = "waiting_for_first_event"
    STREAMING = "streaming"
    CALLER_PAUSED = "caller_paused"
    """The caller does not take what is there for it, so the upstream is not read."""
    ENDING = "ending"
    """The outcome is known; the caller takes its last bytes."""


class CallerState(StrEnum):
    """The caller's side."""

    SENDING = "sending"
    WAITING = "waiting"
    READING = "reading"
    PAUSED = "paused"


class UpstreamState(StrEnum):
    """The upstream's side."""

    NONE = "none"
    CONNECTING = "connecting"
    WAITING = "waiting"
    ANSWERING = "answering"
    PAUSED = "paused"
    ENDED = "ended"


STATE_OF_PHASE: dict[Phase, CallState] = {
    Phase.RECEIVING: CallState.RECEIVING,
    Phase.QUEUED: CallState.QUEUED,
    Phase.BACKING_OFF: CallState.BACKING_OFF,
    Phase.CONNECTING: CallState.CONNECTING,
    Phase.ASKING: CallState.WAITING_FOR_HEADERS,
    Phase.ANSWERING: CallState.STREAMING,
    Phase.ENDING: CallState.ENDING,
}
"""Of a call that has no stream at the moment: `ANSWERING` then is a whole answer that comes in."""

SIDES: dict[CallState, tuple[CallerState, UpstreamState]] = {
    CallState.RECEIVING: (CallerState.SENDING, UpstreamState.NONE),
    CallState.QUEUED: (CallerState.WAITING, UpstreamState.NONE),
    CallState.BACKING_OFF: (CallerState.WAITING, UpstreamState.NONE),
    CallState.CONNECTING: (CallerState.WAITING, UpstreamState.CONNECTING),
    CallState.WAITING_FOR_HEADERS: (CallerState.WAITING, UpstreamState.WAITING),
    CallState.WAITING_FOR_FIRST_EVENT: (CallerState.WAITING, UpstreamState.ANSWERING),
    CallState.STREAMING: (CallerState.READING, UpstreamState.ANSWERING),
    CallState.CALLER_PAUSED: (CallerState.PAUSED, UpstreamState.PAUSED),
    CallState.ENDING: (CallerState.READING, UpstreamState.ENDED),
}


class StreamView(msgspec.Struct, gc=False):
    """One call at one moment. Names are those of the access log; `None`: not known, or not yet.

    Every field but `id` has a default, so that a view of another version can be read.
    """

    id: str
    """The response's `x-proxy-stream`."""
    request_id: str = ""
    worker: int = 0
    """Its process."""
    caller: str | None = None
    """Configured name of the caller's key."""
    dialect: str = ""
    is_stream: bool = False
    asked_model: str | None = None
    """As the caller wrote it; it may be any text."""
    alias: str | None = None
    provider: str | None = None
    model: str | None = None
    """The upstream model."""
    attempts: int = 0
    faults: list[str] = []
    joins: int = 0
    state: str = ""
    """A `CallState`."""
    caller_state: str = ""
    upstream_state: str = ""
    upstream_status: int | None = None
    outcome: str | None = None
    """Set when the call is ending."""
    age_s: float = 0.0
    connect_s: float | None = None
    headers_s: float | None = None
    first_event_s: float | None = None
    gap_s: float | None = None
    """Since the last content event; `None` before the first."""
    max_gap_s: float = 0.0
    """The longest, the present one included."""
    blocked_s: float = 0.0
    """Time that the caller did not take what was there for it."""
    events: int = 0
    content_events: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    heartbeats: int = 0
    waiting_bytes: int = 0
    """Written, and not taken by the caller."""
    unread_bytes: int = 0
    """Come from the upstream, and not read."""


class LiveSnapshot(msgspec.Struct):
    """All calls at one moment, as `GET /streams` answers."""

    is_draining: bool = False
    streams: list[StreamView] = []


class Look(msgspec.Struct):
    """What a look found: each view as JSON, ready to be sent on."""

    is_draining: bool
    streams: list[bytes]


class KillResult(StrEnum):
    """What became of an order to end a call."""

    KILLED = "killed"
    UNKNOWN = "unknown"
    """No such call is in progress."""
    OVER = "over"
    """It has its outcome already; only last bytes are on their way."""


class LiveSource(Protocol):
    """Whoever knows the calls in progress: this process, or all workers together."""

    async def look(self, stream_id: str | None) -> Look | None:
        """All calls, or the one that is named. `None`: those who know do not answer."""
        ...

    async def kill(self, stream_id: str) -> KillResult | None:
        """End a call in its dialect. `None`: those who know do not answer."""
        ...


class LiveCalls:
    """The calls of this process. Implements `LiveSource`, and always answers."""

    def __init__(
        self, live: Mapping[str, CallRecord], clock: Callable[[], float], is_draining: Callable[[], bool]
    ) -> None:
        self._live = live
        self._clock = clock
        self._is_draining = is_draining
        self._worker = os.getpid()

    async def look(self, stream_id: str | None) -> Look:
        """See `LiveSource`."""
        chosen = list(self._live.items()) if stream_id is None else self._named(stream_id)
        return Look(self._is_draining(), await in_slices(self._encoded(chosen)))

    async def kill(self, stream_id: str) -> KillResult:
        """See `LiveSource`. A stream has its last frame before this returns."""
        record = self._live.get(stream_id)
        if record is None:
            return KillResult.UNKNOWN
        if record.kill is None or record.phase is Phase.ENDING:
            return KillResult.OVER
        was_streaming = record.streaming is not None
        record.kill()
        if was_streaming and record.outcome is not Outcome.KILLED:
            return KillResult.OVER
        return KillResult.KILLED

    def _named(self, stream_id: str) -> list[tuple[str, CallRecord]]:
        record = self._live.get(stream_id)
        return [] if record is None else [(stream_id, record)]

    def _encoded(self, chosen: Iterable[tuple[str, CallRecord]]) -> Iterator[bytes]:
        # One moment for all ages, however long the look takes: viewers sort by them.
        now = self._clock()
        for stream_id, record in chosen:
            # It may have ended since the look began.
            if stream_id in self._live:
                yield msgspec.json.encode(view(stream_id, record, now, self._worker))


def view(stream_id: str, record: CallRecord, now: float, worker: int) -> StreamView:
    """What `record` says `now`."""
    progress = None if record.streaming is None else record.streaming.progress()
    state = state_of(record, progress)
    caller_state, upstream_state = SIDES[state]
    has_content = progress is not None and progress.has_content
    gap_s = progress.gap_s if progress is not None and has_content else None
    return StreamView(
        id=stream_id,
        request_id=record.request_id,
        worker=worker,
        caller=shown(record.caller),
        dialect=record.dialect,
        is_stream=record.is_stream,
        asked_model=shown(record.asked_model),
        alias=shown(record.alias),
        provider=shown(record.provider),
        model=shown(record.model),
        attempts=record.attempts,
        faults=[f"{provider}: {kind.value}" for provider, kind in record.faults[-MAX_FAULTS:]],
        joins=record.joins,
        state=state,
        caller_state=caller_state,
        upstream_state=upstream_state,
        upstream_status=record.upstream_status or None,
        outcome=record.outcome.value if state is CallState.ENDING and record.outcome is not None else None,
        age_s=_seconds(now - record.started_at),
        connect_s=_known_seconds(record.connect_s),
        headers_s=_known_seconds(record.headers_s),
        first_event_s=_known_seconds(record.first_event_s),
        gap_s=_known_seconds(gap_s),
        max_gap_s=_seconds(_longest_gap(record, gap_s, progress)),
        blocked_s=_seconds(record.blocked_s + (progress.blocked_s if progress is not None else 0.0)),
        events=record.events if progress is None else progress.events,
        content_events=record.content_events if progress is None else progress.content_events,
        bytes_up=record.bytes_up,
        bytes_down=record.bytes_down,
        heartbeats=record.heartbeats,
        waiting_bytes=0 if progress is None else progress.waiting_bytes,
        unread_bytes=0 if progress is None else progress.unread_bytes,
    )


def state_of(record: CallRecord, progress: Progress | None) -> CallState:
    """What the call does; `progress`: of its stream, when it has one."""
    if progress is None:
        return STATE_OF_PHASE[record.phase]
    if progress.is_ended:
        return CallState.ENDING
    if progress.is_paused:
        return CallState.CALLER_PAUSED
    return CallState.STREAMING if progress.has_content else CallState.WAITING_FOR_FIRST_EVENT


def _longest_gap(record: CallRecord, gap_s: float | None, progress: Progress | None) -> float:
    # While the caller is paused, the silence is its own and not the upstream's.
    if gap_s is None or (progress is not None and (progress.is_paused or progress.is_ended)):
        return record.max_gap_s
    return max(record.max_gap_s, gap_s)


@lru_cache(maxsize=4096)
def shown(text: str) -> str | None:
    """A name as it may be seen; `None` for an empty one."""
    if not text:
        return None
    # Cut before it is masked, far behind what is shown: a key that begins there is masked whole.
    seen = plain(mask_key_like(text[:MAX_MASKED_CHARACTERS]))
    return seen if len(seen) <= MAX_TEXT_CHARACTERS else seen[:MAX_TEXT_CHARACTERS] + CUT


def _seconds(duration_s: float) -> float:
    return round(duration_s, 4)


def _known_seconds(duration_s: float | None) -> float | None:
    return None if duration_s is None else round(duration_s, 4)
