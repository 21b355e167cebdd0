"""Views of calls at every stage, from records as the server leaves them; and that a look at thousands is made in slices."""

import asyncio
import time

import msgspec
import pytest

from proxy.hub.errors import ErrorKind
from proxy.live import SIDES, STATE_OF_PHASE, CallState, KillResult, LiveCalls, LiveSnapshot, StreamView, shown, view
from proxy.record import CallRecord, Outcome, Phase, Progress


class Stream:
    """A stream under way that says what it is told to."""

    def __init__(self, **changes: object) -> None:
        self._progress = msgspec.structs.replace(
            Progress(
                has_content=True,
                is_paused=False,
                is_ended=False,
                gap_s=0.5,
                blocked_s=0.0,
                events=7,
                content_events=5,
                waiting_bytes=11,
                unread_bytes=13,
            ),
            **changes,
        )

    def progress(self) -> Progress:
        return self._progress


def record(phase: Phase = Phase.ANSWERING, stream: Stream | None = None) -> CallRecord:
    made = CallRecord("req_1", "openai_chat", 100.0)
    made.phase, made.streaming = phase, stream
    return made


def seen(made: CallRecord) -> StreamView:
    return view("id", made, 103.0, 42)


@pytest.mark.parametrize("phase", Phase)
def test_a_call_without_a_stream_is_in_the_state_of_its_phase(phase: Phase) -> None:
    found = seen(record(phase))

    assert found.state == STATE_OF_PHASE[phase]
    assert (found.caller_state, found.upstream_state) == SIDES[STATE_OF_PHASE[phase]]
    assert (found.age_s, found.gap_s, found.worker) == (3.0, None, 42)


@pytest.mark.parametrize(
    ("changes", "state", "sides"),
    [
        ({"has_content": False}, CallState.WAITING_FOR_FIRST_EVENT, ("waiting", "answering")),
        ({}, CallState.STREAMING, ("reading", "answering")),
        ({"is_paused": True}, CallState.CALLER_PAUSED, ("paused", "paused")),
        ({"is_ended": True}, CallState.ENDING, ("reading", "ended")),
    ],
)
def test_a_stream_says_what_it_does(changes: dict[str, object], state: CallState, sides: tuple[str, str]) -> None:
    found = seen(record(stream=Stream(**changes)))

    assert (found.state, (found.caller_state, found.upstream_state)) == (state, sides)
    assert (found.events, found.content_events, found.waiting_bytes, found.unread_bytes) == (7, 5, 11, 13)


@pytest.mark.parametrize(
    ("changes", "gap_s", "max_gap_s"),
    [
        ({"gap_s": 0.5}, 0.5, 2.0),
        ({"gap_s": 9.0}, 9.0, 9.0),
        ({"gap_s": 9.0, "is_paused": True}, 9.0, 2.0),
        ({"gap_s": 9.0, "has_content": False}, None, 2.0),
    ],
)
def test_the_longest_gap_includes_the_present_one_of_the_upstream(
    changes: dict[str, object], gap_s: float | None, max_gap_s: float
) -> None:
    made = record(stream=Stream(**changes))
    made.max_gap_s = 2.0

    assert (seen(made).gap_s, seen(made).max_gap_s) == (gap_s, max_gap_s)


def test_the_outcome_is_said_only_of_a_call_that_is_ending() -> None:
    made = record(Phase.BACKING_OFF)
    made.outcome, made.faults = Outcome.CUT, [("one", ErrorKind.CUT)]

    assert (seen(made).outcome, seen(made).faults) == (None, ["one: cut"])
    made.phase = Phase.ENDING
    assert seen(made).outcome == "cut"


def test_what_the_caller_typed_is_shown_without_keys_and_control_characters() -> None:
    key = "sk-" + "a1b2" * 10

    assert shown(f"\x1b[2Jmodel {key}") == "?[2Jmodel ***"
    assert key[:20] not in str(shown("x" * 110 + " " + key * 40))
    assert shown("m" * 5000) == "m" * 120 + "…"
    assert shown("") is None


def calls(live: dict[str, CallRecord]) -> LiveCalls:
    return LiveCalls(live, lambda: 103.0, lambda: False)


async def test_a_look_at_one_call_finds_it_or_nothing() -> None:
    source = calls({"a": record(), "b": record()})

    assert [msgspec.json.decode(one, type=StreamView).id for one in (await source.look("b")).streams] == ["b"]
    assert (await source.look("c")).streams == []


async def test_an_order_to_end_says_what_became_of_it() -> None:
    streaming, connecting, ending, finished = (
        record(stream=Stream()),
        record(Phase.CONNECTING),
        record(Phase.ENDING),
        record(stream=Stream(is_ended=True)),
    )
    orders: list[str] = []

    def end(made: CallRecord, outcome: Outcome) -> None:
        orders.append("end")
        made.outcome = outcome

    streaming.kill = lambda: end(streaming, Outcome.KILLED)
    connecting.kill = lambda: orders.append("end")
    ending.kill = lambda: orders.append("never")
    finished.kill = lambda: end(finished, Outcome.COMPLETED)
    source = calls({"streaming": streaming, "connecting": connecting, "ending": ending, "finished": finished})

    found = [await source.kill(name) for name in ("streaming", "connecting", "ending", "finished", "absent")]

    assert found == [KillResult.KILLED, KillResult.KILLED, KillResult.OVER, KillResult.OVER, KillResult.UNKNOWN]
    assert orders == ["end"] * 3


async def test_a_look_at_thousands_lets_the_loop_go_on() -> None:
    source = calls({f"{number:024x}": record(stream=Stream()) for number in range(5000)})
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.get_running_loop().create_task(tick())
    look = await source.look(None)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)

    assert len(look.streams) == 5000
    assert turns > 20


async def test_calls_that_end_during_a_look_are_left_out() -> None:
    live = {f"{number}": record(stream=Stream()) for number in range(3000)}
    source = calls(live)

    async def end() -> None:
        live.clear()

    look, _ = await asyncio.gather(source.look(None), end())

    assert len(look.streams) < 3000


def test_a_view_of_another_version_can_be_read() -> None:
    body = b'{"streams":[{"id":"a","new_field":1}],"workers":3}'

    assert msgspec.json.decode(body, type=LiveSnapshot).streams == [StreamView("a")]


def test_a_view_costs_little() -> None:
    made = record(stream=Stream())
    began = time.thread_time()
    for _ in range(2000):
        msgspec.json.encode(seen(made))

    assert (time.thread_time() - began) / 2000 < 0.0005
