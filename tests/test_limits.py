"""Places and rates: who is let in, who waits, who is refused, and that nothing is ever lost or counted twice."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.auth import ANONYMOUS, Caller
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Usage
from proxy.limits import LIMITS, WINDOW_S, Admission, Limiter, Wanted, Window

TEAM = Caller("team", max_streams=1)


@pytest.fixture
async def limiter() -> Limiter:
    return Limiter(asyncio.get_running_loop())


def wanted(caller: Caller = ANONYMOUS, max_streams: int = 100, **more: Any) -> Wanted:
    return Wanted(caller, max_streams, **more)


def entered(limiter: Limiter, want: Wanted) -> Admission:
    admission = limiter.enter(want)
    assert admission is not None
    return admission


async def queued(limiter: Limiter, want: Wanted, *, wait_s: float = 5.0) -> asyncio.Task[Admission]:
    """A call that waits, once it is in the queue."""
    before = limiter.waiting
    task = asyncio.get_running_loop().create_task(limiter.wait(want, queue_size=10, queue_wait_s=wait_s))
    while limiter.waiting == before:  # noqa: ASYNC110  the queue tells nobody
        await asyncio.sleep(0)
    return task


# --- places


async def test_a_place_is_free_again_when_its_call_ends(limiter: Limiter) -> None:
    first = entered(limiter, wanted(max_streams=1))
    assert limiter.enter(wanted(max_streams=1)) is None

    first.end(None)

    assert limiter.enter(wanted(max_streams=1)) is not None


async def test_a_key_has_its_own_places(limiter: Limiter) -> None:
    entered(limiter, wanted(TEAM))

    assert limiter.enter(wanted(TEAM)) is None
    assert limiter.enter(wanted(Caller("other", max_streams=1))) is not None


async def test_a_call_begins_at_the_first_provider_with_a_place(limiter: Limiter) -> None:
    want = wanted(providers=("small", "large"), provider_limits={"small": 1, "large": 1})
    first, second = entered(limiter, want), entered(limiter, want)
    assert limiter.enter(want) is None

    assert first.move_to("small")
    assert second.move_to("large")
    assert not second.move_to("small")
    assert second.move_to("large")


async def test_an_attempt_that_failed_leaves_its_place_to_others(limiter: Limiter) -> None:
    want = wanted(providers=("small",), provider_limits={"small": 1})
    first = entered(limiter, want)

    first.leave_provider()

    entered(limiter, want).end(None)
    assert first.move_to("small")
    first.end(None)
    assert limiter.in_use == 0


@pytest.mark.parametrize(
    ("want", "kind", "code"),
    [
        (wanted(max_streams=1), ErrorKind.OVERLOADED, "max_streams"),
        (wanted(TEAM), ErrorKind.RATE_LIMIT, "key_max_streams"),
        (wanted(providers=("p",), provider_limits={"p": 1}), ErrorKind.OVERLOADED, "provider_max_streams"),
    ],
)
async def test_without_a_queue_the_refusal_names_the_limit(
    limiter: Limiter, want: Wanted, kind: ErrorKind, code: str
) -> None:
    entered(limiter, want)

    with pytest.raises(CallerError) as refused:
        await limiter.wait(want, queue_size=0, queue_wait_s=5)

    assert (refused.value.kind, refused.value.code, refused.value.retry_after_s) == (kind, code, 1.0)
    assert limiter.refused == {code: 1}
    assert code in LIMITS


# --- the queue


async def test_those_who_wait_go_in_the_order_of_their_coming(limiter: Limiter) -> None:
    want = wanted(max_streams=1)
    running = entered(limiter, want)
    first, second = await queued(limiter, want), await queued(limiter, want)

    running.end(None)
    admitted = await first

    assert not second.done()
    assert limiter.enter(want) is None, "nobody overtakes"
    admitted.end(None)
    (await second).end(None)
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_one_who_waits_for_its_key_holds_up_nobody_else(limiter: Limiter) -> None:
    entered(limiter, wanted(TEAM, max_streams=2))
    blocked = await queued(limiter, wanted(TEAM, max_streams=2))

    other = entered(limiter, wanted(max_streams=2))
    waiting = await queued(limiter, wanted(max_streams=2))
    other.end(None)

    await waiting
    assert not blocked.done()
    blocked.cancel()


async def test_waiting_ends_with_the_refusal(limiter: Limiter) -> None:
    entered(limiter, wanted(TEAM))

    task = await queued(limiter, wanted(TEAM), wait_s=0.01)

    with pytest.raises(CallerError, match="This key"):
        await task
    assert limiter.waiting == 0


async def test_a_caller_who_leaves_the_queue_frees_its_place_in_it(limiter: Limiter) -> None:
    want = wanted(max_streams=1)
    running = entered(limiter, want)
    task = await queued(limiter, want)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert limiter.waiting == 0
    running.end(None)
    assert limiter.in_use == 0


async def test_a_caller_who_leaves_at_the_moment_of_its_admission_gives_it_back(limiter: Limiter) -> None:
    want = wanted(max_streams=1)
    running = entered(limiter, want)
    task, patient = await queued(limiter, want), await queued(limiter, want)

    running.end(None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    (await patient).end(None)
    assert limiter.in_use == 0


async def test_the_queue_is_bounded(limiter: Limiter) -> None:
    want = wanted(max_streams=1)
    entered(limiter, want)
    waiting = await queued(limiter, want)

    with pytest.raises(CallerError):
        await limiter.wait(want, queue_size=1, queue_wait_s=5)

    waiting.cancel()


# --- rates


@given(
    limit=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 40, allow_nan=False).map(lambda gap: round(gap, 3)), max_size=40),
)
@settings(deadline=None)
def test_no_minute_holds_more_than_the_limit_and_the_wait_is_exact(limit: int, gaps: list[float]) -> None:
    window = Window()
    now, taken = 0.0, list[float]()
    for gap in gaps:
        now += gap
        recent = [at for at in taken if at > now - WINDOW_S]

        wait_s = window.wait_s(limit, now)

        assert bool(wait_s) == (len(recent) >= limit)
        if wait_s:
            now += wait_s + 1e-6
            assert window.wait_s(limit, now) == 0
        window.add(1, now)
        taken.append(now)

    assert all(len([at for at in taken if start <= at < start + WINDOW_S]) <= limit for start in taken)


def test_what_was_taken_back_does_not_count() -> None:
    window = Window()
    window.add(1, 10.0)
    window.add(1, 11.0)

    window.take_back(1, 10.0)

    assert window.total == 1
    assert window.wait_s(1, 12.0) == pytest.approx(59.0)


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(limiter: Limiter) -> None:
    caller = Caller("team", requests_per_minute=2)
    limiter.count_rate(caller)
    counted_at = limiter.count_rate(caller)

    with pytest.raises(CallerError) as refused:
        limiter.count_rate(caller)

    assert (refused.value.kind, refused.value.code) == (ErrorKind.RATE_LIMIT, "requests_per_minute")
    assert refused.value.retry_after_s == 60
    limiter.uncount_rate(caller, counted_at)
    limiter.count_rate(caller)


async def test_reported_tokens_count_when_the_call_ends(limiter: Limiter) -> None:
    caller = Caller("team", tokens_per_minute=100)
    admission = entered(limiter, wanted(caller))
    limiter.count_rate(caller)

    admission.end(Usage(input=60, output=40, cached_input=50, reasoning=30))

    with pytest.raises(CallerError) as refused:
        limiter.count_rate(caller)
    assert refused.value.code == "tokens_per_minute"


async def test_tokens_that_nobody_reported_do_not_count(limiter: Limiter) -> None:
    caller = Caller("team", tokens_per_minute=1)

    entered(limiter, wanted(caller)).end(None)

    limiter.count_rate(caller)


# --- everything at once


@given(
    st.lists(st.tuples(st.sampled_from(["enter", "end", "move", "leave", "cancel"]), st.integers(0, 9)), max_size=60)
)
@settings(deadline=None, max_examples=60)
def test_places_are_never_lost_nor_given_twice(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int]]) -> None:
    limiter = Limiter(asyncio.get_running_loop())
    limits = {"p0": 1, "p1": 2}
    running: list[Admission] = []
    waiting: list[asyncio.Task[Admission]] = []
    for action, number in steps:
        want = wanted(Caller(f"k{number % 3}", max_streams=2), 4, providers=("p0", "p1"), provider_limits=limits)
        match action:
            case "enter":
                admission = limiter.enter(want)
                if admission is not None:
                    running.append(admission)
                else:
                    work = limiter.wait(want, queue_size=5, queue_wait_s=60)
                    waiting.append(asyncio.get_running_loop().create_task(work))
            case "end" if running:
                running.pop(number % len(running)).end(None)
            case "move" if running:
                running[number % len(running)].move_to(f"p{number % 2}")
            case "leave" if running:
                running[number % len(running)].leave_provider()
            case "cancel" if waiting:
                waiting[number % len(waiting)].cancel()
            case _:
                pass
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in [task for task in waiting if task.done()]:
            waiting.remove(task)
            if not task.cancelled() and task.exception() is None:
                running.append(task.result())
        assert limiter.in_use == len(running) <= 4
        assert all(limiter._providers.get(name, 0) <= limit for name, limit in limits.items())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for admission in running:
        admission.end(None)
    assert (limiter.in_use, limiter.waiting) == (0, 0)
    assert set(limiter._providers.values()) <= {0}
