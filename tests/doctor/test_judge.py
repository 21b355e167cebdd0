"""What measurements mean, without a network."""

import json

import pytest

from proxy.demo.fates import State, Told
from proxy.doctor import judge
from proxy.doctor.conversation import Ending
from proxy.doctor.judge import Level
from proxy.doctor.remedies import Ailment
from proxy.doctor.symptoms import Event, LeavingSeen, PressureSeen, Read, Silence, StreamSeen, WholeSeen
from proxy.upstream.answer import AnswerHead, Framing

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-request-id": "doctor-1",
    "x-proxy-provider": "demo",
    "x-proxy-model": "demo",
}
ERROR = b'{"error":{"message":"no","type":"invalid_request_error","code":"too_large"}}'


def head(status: int = 200, framing: Framing = Framing.CHUNKED, **headers: str) -> AnswerHead:
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return AnswerHead(status, "1.1", {**STREAM_HEADERS, **changed}, b"", framing)


def stream(arrivals: list[float], interval_s: float = 0.1, size: int = 200) -> StreamSeen:
    """Events that were sent every `interval_s` and arrived at these times."""
    events = [Event(at, f"{index * interval_s:.4f} ") for index, at in enumerate(arrivals)]
    return StreamSeen(0.0, head(), [Read(at, size) for at in arrivals], events, is_finished=True, ending=Ending.WHOLE)


def whole(status: int, body: bytes = b"{}", *, told: bool = False) -> WholeSeen:
    return WholeSeen(0.01, head(status), body, Ending.WHOLE, told)


# --- pace


def test_even_stream_is_fine_however_long_the_way_is() -> None:
    found = judge.judge_pace(stream([3.0 + index * 0.1 for index in range(20)]), None)

    assert (found.level, found.measured["worst_late_s"]) == (Level.OK, 0.0)


def test_everything_at_the_end_is_buffered() -> None:
    found = judge.judge_pace(stream([5.0] * 20), stream([5.0] * 20))

    assert (found.level, found.ailment) == (Level.PROBLEM, Ailment.BUFFERED)
    assert "all at once" in found.summary and found.measured["lump_bytes"] is None


def test_lumps_are_measured() -> None:
    lumps = stream([(index // 5 + 1) * 0.5 for index in range(20)], size=800)

    found = judge.judge_pace(lumps, lumps)

    assert found.ailment is Ailment.BUFFERED
    assert (found.measured["lumps"], found.measured["lump_bytes"]) == (4, 4000)


def test_one_late_event_among_even_ones_is_no_buffer() -> None:
    arrivals = [index * 0.1 for index in range(20)]
    arrivals[10] = arrivals[11] = arrivals[12] = arrivals[13] = 1.35

    assert judge.judge_pace(stream(arrivals), None).level is Level.NOTE


def test_lumps_that_do_not_come_again_are_a_busy_machine() -> None:
    even = stream([index * 0.1 for index in range(20)])

    assert judge.judge_pace(stream([5.0] * 20), even).level is Level.NOTE


def test_stream_without_stamps_is_not_judged() -> None:
    assert judge.judge_pace(StreamSeen(0.0), None).level is Level.NOTE


# --- silence


def quiet(until: float, *, finished: bool = False, **fields: object) -> StreamSeen:
    """A stream that was silent from 1.0 on, and ended at `until`."""
    seen = StreamSeen(0.9, head(), [Read(1.0, 100)], [Event(1.0, "a")], is_finished=finished, ended_at=until)
    for name, value in fields.items():
        setattr(seen, name, value)
    return seen


def test_silence_that_is_survived() -> None:
    found = judge.judge_silence(Silence.MIDDLE, quiet(11.0, finished=True), 10)

    assert found.level is Level.OK and "10.0 s without a byte" in found.summary


def test_heartbeats_are_told_from_silence() -> None:
    seen = quiet(11.0, finished=True, reads=[Read(1.0 + beat, 10) for beat in range(10)])

    assert "heartbeats of the proxy came, at most 1.0 s apart" in judge.judge_silence(Silence.MIDDLE, seen, 10).summary


def test_cut_silence_says_after_what_time() -> None:
    found = judge.judge_silence(Silence.MIDDLE, quiet(6.0, ending=Ending.CUT), 10)

    assert (found.ailment, found.summary) == (Ailment.IDLE_CUT, "cut after 5.0 s without a byte")


def test_gateway_timeout_before_the_first_event_is_an_idle_cut() -> None:
    seen = StreamSeen(0.0, head(504), body=b"<html>", ending=Ending.WHOLE, ended_at=5.0)

    found = judge.judge_silence(Silence.FIRST, seen, 10)

    assert (found.ailment, found.summary) == (Ailment.IDLE_CUT, "answered 504 after 5.0 s without a byte")


def test_cut_among_keep_alives_is_a_limit_on_the_whole_answer() -> None:
    seen = quiet(6.0, reads=[Read(1.0 + beat, 10) for beat in range(5)], ending=Ending.CUT)

    assert judge.judge_silence(Silence.PINGS, seen, 10).ailment is Ailment.TIME_CUT


@pytest.mark.parametrize(
    "seen", [quiet(6.0, error="idle_timeout"), StreamSeen(0.0, head(504), body=ERROR, ended_at=5.0)]
)
def test_timeouts_of_the_proxy_itself_are_no_fault_of_a_front(seen: StreamSeen) -> None:
    assert judge.judge_silence(Silence.MIDDLE, seen, 10).level is Level.NOTE


# --- leaving and pressure


@pytest.mark.parametrize(
    ("state", "took_s", "level"),
    [
        (State.LEFT, 0.01, Level.OK),
        (State.LEFT, 3.0, Level.PROBLEM),
        (State.LIVE, None, Level.PROBLEM),
        (State.COMPLETED, 1.0, Level.PROBLEM),
        (State.UNKNOWN, None, Level.NOTE),
    ],
)
def test_leaving_must_reach_the_provider_soon(state: State, took_s: float | None, level: Level) -> None:
    assert judge.judge_leaving(LeavingSeen(Told(state), took_s, 4.0)).level is level


@pytest.mark.parametrize(
    ("state", "earlier", "last", "level"),
    [
        (State.LIVE, 9_100_000, 9_100_000, Level.OK),
        (State.LEFT, 9_100_000, 9_100_000, Level.NOTE),
        (State.LIVE, 9_000_000, 20_000_000, Level.PROBLEM),
        (State.COMPLETED, 32_000_000, 32_000_000, Level.PROBLEM),
        (State.UNKNOWN, 0, 0, Level.NOTE),
    ],
)
def test_answer_that_nobody_reads_must_stop(state: State, earlier: int, last: int, level: Level) -> None:
    seen = PressureSeen(32_000_000, Told(state, bytes=earlier), Told(state, bytes=last), 3.0)

    assert judge.judge_pressure(seen).level is level


# --- heads, errors, sizes


def test_untouched_head_is_fine() -> None:
    changed, framing = judge.judge_headers(stream([1.0, 2.0]), "doctor-1")

    assert (changed.level, framing.level) == (Level.OK, Level.OK)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"content_type": "text/plain"}, "Content-Type is 'text/plain'"),
        ({"cache_control": "public"}, "Cache-Control is 'public'"),
        ({"x_request_id": "other"}, "x-request-id is not ours"),
    ],
)
def test_changed_head_is_named(headers: dict[str, str], said: str) -> None:
    seen = stream([1.0, 2.0])
    seen.head = head(**headers)

    changed, _ = judge.judge_headers(seen, "doctor-1")

    assert (changed.ailment, changed.summary) == (Ailment.HEADERS_CHANGED, said)


def test_close_delimited_stream_is_noted() -> None:
    seen = stream([1.0, 2.0])
    seen.head = head(framing=Framing.CLOSE)

    assert judge.judge_headers(seen, "doctor-1")[1].level is Level.NOTE


def test_compression_is_a_problem() -> None:
    seen = stream([1.0, 2.0])
    seen.head = head(content_encoding="gzip")

    found = judge.judge_compression(seen)

    assert found.ailment is Ailment.COMPRESSED and "gzip" in found.summary and "2 pieces" in found.summary


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        (whole(503, ERROR), Level.OK),
        (whole(502, ERROR), Level.OK),
        (whole(503, b"<html>"), Level.PROBLEM),
        (whole(200, ERROR), Level.PROBLEM),
    ],
)
def test_errors_must_arrive_in_the_dialect(seen: WholeSeen, level: Level) -> None:
    assert judge.judge_error(503, seen).level is level


def test_who_refused_a_large_body_is_told_apart() -> None:
    front = judge.judge_size("body", 2_000_000, whole(413, b"<html>413</html>"), Ailment.BODY_REFUSED)
    own = judge.judge_size("body", 2_000_000, whole(413, ERROR), Ailment.BODY_REFUSED)
    broken = judge.judge_size("body", 2_000_000, WholeSeen(1, None, b"", Ending.CUT), Ailment.BODY_REFUSED)

    assert (front.ailment, own.level, broken.ailment) == (Ailment.BODY_REFUSED, Level.NOTE, Ailment.BODY_REFUSED)
    assert "too_large" in own.summary and "broken" in broken.summary


def test_large_body_that_takes_too_long_is_not_too_large() -> None:
    found = judge.judge_size("body", 8_000_000, whole(504, b"<html>"), Ailment.BODY_REFUSED)

    assert found.ailment is Ailment.IDLE_CUT


def test_expectations() -> None:
    levels = [judge.judge_continue(seen).level for seen in (whole(200, told=True), whole(200), whole(417))]

    assert levels == [Level.OK, Level.NOTE, Level.PROBLEM]


def test_findings_are_plain_json() -> None:
    found = judge.judge_leaving(LeavingSeen(Told(State.LIVE), None, 4.0))

    assert json.dumps(found.measured)
