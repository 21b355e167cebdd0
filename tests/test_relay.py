"""The relay alone: a scripted transcoder, a source and a sink that note what they are told, and a clock in the test's hand."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.hub.events import FinishReason, MessageEnd, StreamError
from proxy.hub.transcode import Summary
from proxy.record import CallRecord, Outcome, Phase, Progress
from proxy.relay import LINGER_S, Deadlines, Relay

DEADLINES = Deadlines(first_event_s=10, idle_s=5, total_s=100, caller_stall_s=20, heartbeat_s=3)


class Clock:
    """Stands in for the event loop: time moves only in `advance`, which runs due timers in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "Timer":
        timer = Timer(when, callback)
        self._timers.append(timer)
        return timer

    def create_future(self) -> "asyncio.Future[Outcome]":
        return asyncio.get_running_loop().create_future()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((t for t in self._timers if not t.is_cancelled and t.when <= end), key=lambda t: t.when):
            timer = due[0]
            self._timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.callback()
        self.now = end

    @property
    def pending(self) -> int:
        return sum(not timer.is_cancelled for timer in self._timers)


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Script:
    """A transcoder for a toy format: `t` is content, `p` a ping, `.` the terminator, `!` an error event."""

    def __init__(self) -> None:
        self.summary = Summary()
        self.is_holding = False
        self.relays_on = False

    def feed(self, data: bytes) -> bytes:
        for byte in data.decode():
            match byte:
                case "t":
                    self.summary.events += 1
                    self.summary.content_events += 1
                case ".":
                    self.summary.end = MessageEnd(FinishReason.STOP)
                case "!":
                    self.summary.error = StreamError(ErrorKind.OVERLOADED, "busy")
        return data

    def finish(self) -> bytes:
        if self.summary.ended:
            return b""
        return self.fail(StreamError(ErrorKind.CUT, "cut"))

    def fail(self, error: StreamError) -> bytes:
        if self.summary.ended:
            return b""
        self.summary.error = error
        return f"<{error.kind.value}>".encode()

    def ending(self) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b"~"


class Source:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_complete = False
        self.unread = 0

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")

    def unread_bytes(self) -> int:
        return self.unread

    def finish_in_background(self) -> None:
        self.calls.append("finish")


class Sink:
    def __init__(self) -> None:
        self.data = b""
        self.is_begun = False
        self.is_aborted = False
        self.waiting = 0
        self.lasts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.is_begun = True
        self.data += data

    def write_last(self, data: bytes) -> None:
        self.lasts.append(data)
        self.write(data)

    def waiting_bytes(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.is_aborted = True


class Stage:
    def __init__(self, *, is_exact: bool = False, deadlines: Deadlines = DEADLINES) -> None:
        self.clock = Clock()
        self.source = Source()
        self.sink = Sink()
        self.record = CallRecord("r", "toy", self.clock.now)
        self.relay = Relay(
            transcoder=Script(),
            source=self.source,
            sink=self.sink,
            deadlines=deadlines,
            record=self.record,
            is_exact=is_exact,
            loop=self.clock,  # type: ignore[arg-type]
        )

    def assert_over(self, outcome: Outcome) -> None:
        assert self.relay.done.result() is outcome
        assert self.record.outcome is outcome
        assert self.clock.pending == 0


@pytest.fixture(params=[False, True], ids=["converted", "exact"])
async def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(is_exact=request.param)


async def test_events_leave_in_the_call_that_brought_them(stage: Stage) -> None:
    stage.relay.body_received(b"tt")

    assert stage.sink.data == b"tt"
    assert stage.record.first_event_s == 0


async def test_a_converted_stream_ends_at_its_terminator_and_leaves_the_connection_to_the_pool() -> None:
    stage = Stage()

    stage.relay.body_received(b"t.")

    stage.assert_over(Outcome.COMPLETED)
    assert stage.source.calls == ["finish"]


async def test_an_exact_stream_keeps_what_follows_the_terminator() -> None:
    stage = Stage(is_exact=True)

    stage.relay.body_received(b"t.")
    stage.relay.body_received(b"p")
    stage.relay.body_ended()

    stage.assert_over(Outcome.COMPLETED)
    assert stage.sink.data == b"t.p"
    assert stage.source.calls == []


async def test_the_end_of_an_exact_stream_and_of_its_message_leave_in_one_write() -> None:
    stage = Stage(is_exact=True)

    stage.relay.body_received(b"t")
    stage.source.is_complete = True
    stage.relay.body_received(b"t.")
    stage.relay.body_ended()

    stage.assert_over(Outcome.COMPLETED)
    assert stage.sink.data == b"tt."
    assert stage.sink.lasts == [b"t."]
    assert stage.record.bytes_down == 3


async def test_a_fault_behind_the_terminator_of_a_message_read_to_its_end_loses_nothing() -> None:
    stage = Stage(is_exact=True)

    stage.source.is_complete = True
    stage.relay.body_received(b"t.")
    stage.relay.body_failed(UpstreamError(ErrorKind.PROTOCOL, "truncated", code="truncated"))

    stage.assert_over(Outcome.COMPLETED)
    assert stage.sink.data == b"t."


async def test_an_exact_stream_whose_message_never_ends_is_complete_after_a_moment() -> None:
    stage = Stage(is_exact=True)

    stage.relay.body_received(b"t.")
    stage.clock.advance(LINGER_S)

    stage.assert_over(Outcome.COMPLETED)
    assert stage.source.calls == ["abort"]


async def test_a_body_that_ends_without_terminator_is_a_cut(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.relay.body_ended()

    stage.assert_over(Outcome.CUT)
    assert stage.sink.data == b"t<cut>"


async def test_a_broken_connection_is_a_cut(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.relay.body_failed(UpstreamError(ErrorKind.CUT, "reset", code="reset"))

    stage.assert_over(Outcome.CUT)
    assert stage.sink.data == b"t<cut>"
    assert stage.source.calls == ["abort"]


async def test_a_connection_that_breaks_after_the_terminator_changes_nothing() -> None:
    stage = Stage(is_exact=True)

    stage.relay.body_received(b"t.")
    stage.relay.body_failed(UpstreamError(ErrorKind.CUT, "reset", code="reset"))

    stage.assert_over(Outcome.COMPLETED)
    assert stage.sink.data == b"t."


async def test_an_error_event_midway_is_the_ending(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.relay.body_received(b"!")

    stage.assert_over(Outcome.ERROR_EVENT)
    assert stage.sink.data == b"t!"
    assert stage.record.error is ErrorKind.OVERLOADED


@pytest.mark.parametrize("ending", ["error event", "cut", "silence"])
async def test_a_failure_before_the_status_is_out_writes_nothing(ending: str) -> None:
    stage = Stage(deadlines=Deadlines(first_event_s=10, idle_s=5, total_s=100, caller_stall_s=20, heartbeat_s=0))
    match ending:
        case "error event":
            stage.relay.body_received(b"!")
        case "cut":
            stage.relay.body_ended()
        case _:
            stage.clock.advance(10)

    assert stage.sink.data == b""
    assert stage.relay.failure is not None


async def test_content_that_comes_together_with_an_error_is_not_lost(stage: Stage) -> None:
    stage.relay.body_received(b"tt!")

    stage.assert_over(Outcome.ERROR_EVENT)
    assert stage.sink.data == b"tt!"
    assert stage.relay.failure is None


@pytest.mark.parametrize(
    ("script", "seconds", "outcome"),
    [
        ([], 10, Outcome.FIRST_EVENT_TIMEOUT),
        ([(4.0, b"p"), (4.0, b"p")], 2, Outcome.FIRST_EVENT_TIMEOUT),
        ([(0.0, b"t")], 5, Outcome.IDLE_TIMEOUT),
        ([(0.0, b"t"), (4.0, b"p")], 1, Outcome.IDLE_TIMEOUT),
        ([(4.0, b"t")] * 24, 4, Outcome.TOTAL_TIMEOUT),
    ],
    ids=["silence", "pings are no first event", "idle", "pings are no life", "endless"],
)
async def test_each_deadline_has_its_outcome(
    stage: Stage, script: list[tuple[float, bytes]], seconds: float, outcome: Outcome
) -> None:
    for pause, data in script:
        stage.clock.advance(pause)
        stage.relay.body_received(data)
    stage.clock.advance(seconds - 0.01)
    assert not stage.relay.done.done()

    stage.clock.advance(0.02)

    stage.assert_over(outcome)
    assert stage.sink.data.endswith(b"<timeout>")
    assert stage.source.calls == ["abort"]


@pytest.mark.parametrize("heartbeat_s", [0, 15])
@pytest.mark.parametrize("is_paused", [False, True])
async def test_idle_deadline_is_kept_when_it_is_the_shortest(heartbeat_s: float, is_paused: bool) -> None:
    deadlines = Deadlines(first_event_s=60, idle_s=5, total_s=100, caller_stall_s=30, heartbeat_s=heartbeat_s)
    stage = Stage(deadlines=deadlines)
    stage.relay.body_received(b"t")
    if is_paused:
        stage.relay.caller_paused()
        stage.clock.advance(1)
        stage.relay.caller_resumed()
    stage.clock.advance(4.9)
    assert not stage.relay.done.done()

    stage.clock.advance(0.2)

    stage.assert_over(Outcome.IDLE_TIMEOUT)


async def test_heartbeats_fill_a_silence_and_only_that(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.clock.advance(2)
    stage.relay.body_received(b"t")
    stage.clock.advance(2.9)
    assert stage.sink.data == b"tt"

    stage.clock.advance(0.2)

    assert stage.sink.data == b"tt~"
    assert stage.record.heartbeats == 1


async def test_a_slow_caller_pauses_the_upstream_and_stops_the_idle_clock(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.sink.waiting = 100
    stage.relay.caller_paused()
    stage.clock.advance(19)
    stage.relay.caller_resumed()
    stage.clock.advance(4.9)

    assert not stage.relay.done.done()
    assert stage.source.calls == ["pause", "resume"]
    assert stage.record.blocked_s == pytest.approx(19)


async def test_a_caller_that_takes_nothing_is_too_slow(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.sink.waiting = 100
    stage.relay.caller_paused()

    stage.clock.advance(20)

    stage.assert_over(Outcome.CALLER_TOO_SLOW)
    assert stage.sink.is_aborted
    assert stage.source.calls == ["pause", "abort"]


async def test_a_caller_that_takes_a_little_is_not_too_slow(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.sink.waiting = 100
    stage.relay.caller_paused()
    for _ in range(4):
        stage.clock.advance(15)
        stage.sink.waiting -= 1

    assert not stage.relay.done.done()


@pytest.mark.parametrize(("data", "outcome"), [(b"", "before_first"), (b"p", "before_first"), (b"t", "midway")])
async def test_a_caller_that_leaves_takes_the_upstream_with_it(stage: Stage, data: bytes, outcome: str) -> None:
    if data:
        stage.relay.body_received(data)

    stage.relay.caller_left()

    stage.assert_over(Outcome(f"caller_left_{outcome}"))
    assert stage.source.calls == ["abort"]
    assert stage.record.upstream_closed_s == 0


@pytest.mark.parametrize(("end", "outcome"), [("kill", Outcome.KILLED), ("drain", Outcome.DRAINED)])
async def test_the_operator_ends_a_stream_in_its_dialect(stage: Stage, end: str, outcome: Outcome) -> None:
    stage.relay.body_received(b"t")

    getattr(stage.relay, end)()

    stage.assert_over(outcome)
    assert stage.sink.data.startswith(b"t<")


@pytest.mark.parametrize("end", ["kill", "drain"])
async def test_an_order_changes_nothing_of_a_stream_that_has_its_ending(end: str) -> None:
    stage = Stage(is_exact=True)
    stage.relay.body_received(b"t.")

    getattr(stage.relay, end)()

    stage.assert_over(Outcome.COMPLETED)
    assert stage.sink.data == b"t."


async def test_a_stream_says_what_it_does_as_long_as_it_does_it(stage: Stage) -> None:
    record, clock = stage.record, stage.clock
    assert record.streaming is stage.relay
    assert not stage.relay.progress().has_content

    clock.advance(1)
    stage.relay.body_received(b"tt")
    clock.advance(2)
    stage.sink.waiting, stage.source.unread = 7, 9
    stage.relay.caller_paused()
    clock.advance(1)

    assert stage.relay.progress() == Progress(
        has_content=True,
        is_paused=True,
        is_ended=False,
        gap_s=3,
        blocked_s=1,
        events=2,
        content_events=2,
        waiting_bytes=7,
        unread_bytes=9,
    )
    stage.relay.kill()
    assert (record.streaming, record.phase) == (None, Phase.ENDING)


async def test_a_stream_that_failed_unknown_to_its_caller_has_not_ended_the_call(stage: Stage) -> None:
    stage.relay.kill()

    assert stage.relay.failure is not None
    assert (stage.record.streaming, stage.record.phase) == (None, Phase.ANSWERING)


async def test_nothing_moves_after_the_end(stage: Stage) -> None:
    stage.relay.body_received(b"t")
    stage.relay.kill()
    before = stage.sink.data, list(stage.source.calls)

    stage.relay.body_ended()
    stage.relay.body_failed(UpstreamError(ErrorKind.CUT, "reset"))
    stage.relay.caller_paused()
    stage.relay.caller_left()
    stage.relay.drain()
    stage.clock.advance(500)

    assert (stage.sink.data, stage.source.calls) == before


async def test_the_longest_gap_is_kept(stage: Stage) -> None:
    for pause in (0.0, 1.0, 4.0, 2.0):
        stage.clock.advance(pause)
        stage.relay.body_received(b"t")

    assert stage.record.max_gap_s == pytest.approx(4)
