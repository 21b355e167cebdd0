"""The plan of a call's attempts: each rule of the module as cases of a scripted call."""

from itertools import cycle

import pytest

from proxy.breaker import Breaker, BreakerSettings
from proxy.failover import ACCOUNT_FAULTS, REQUEST_FAULTS, Candidate, Plan, RetrySettings, Step
from proxy.hub.errors import ErrorKind, UpstreamError

BREAKER = BreakerSettings(failures=3, window_s=10, open_s=5)
SETTINGS = RetrySettings(attempts=2, base_s=0.4, max_s=5, honour_retry_after_s=20)


class Stage:
    """A plan over some targets, and a clock that the waits move."""

    def __init__(
        self,
        count: int = 2,
        *,
        contexts: tuple[int | None, ...] = (),
        settings: RetrySettings = SETTINGS,
        chance: tuple[float, ...] = (0.5,),
    ):
        sizes = contexts or (None,) * count
        self.now = 100.0
        self.candidates = [Candidate(Breaker(BREAKER), size) for size in sizes]
        self.plan = Plan(self.candidates, settings, cycle(chance).__next__, began_at=self.now, answered_at=lambda: None)

    def run(self, error: UpstreamError) -> list[tuple[int, float]]:
        """Every step when each attempt fails with `error`."""
        steps: list[tuple[int, float]] = []
        while (step := self.plan.next(self.now)) is not None:
            steps.append((step.index, round(step.wait_s, 6)))
            self.now += step.wait_s
            self.plan.fail(step.index, error, self.now)
        return steps


def fault(kind: ErrorKind, retry_after_s: float | None = None) -> UpstreamError:
    return UpstreamError(kind, "x", retry_after_s=retry_after_s)


def test_every_target_is_asked_once_before_any_is_asked_again() -> None:
    assert Stage().run(fault(ErrorKind.OVERLOADED)) == [(0, 0), (1, 0), (0, 0.2), (1, 0)]


@pytest.mark.parametrize("chance", [(0.0, 0.9), (0.9, 0.0), (0.5, 0.5)])
def test_chance_decides_about_waits_and_never_about_whom_to_ask(chance: tuple[float, ...]) -> None:
    steps = Stage(chance=chance).run(fault(ErrorKind.OVERLOADED))

    assert [index for index, _ in steps] == [0, 1, 0, 1]


def test_who_asked_for_the_shorter_wait_is_asked_again_first() -> None:
    stage = Stage()
    for index, wait_s in ((0, 9.0), (1, 1.0)):
        step = stage.plan.next(stage.now)
        assert step is not None
        assert step.index == index
        stage.plan.fail(index, fault(ErrorKind.RATE_LIMIT, wait_s), stage.now)

    assert stage.plan.next(stage.now) == Step(1, 1.0)


def test_a_call_makes_no_more_attempts_than_its_budget() -> None:
    settings = RetrySettings(attempts=2, max_attempts=3, base_s=0.4)

    assert [index for index, _ in Stage(settings=settings).run(fault(ErrorKind.OVERLOADED))] == [0, 1, 0]


def test_no_attempt_begins_after_the_budgets_end() -> None:
    stage = Stage(3, settings=RetrySettings(attempts=3, base_s=0.4, budget_s=5))
    taken: list[int] = []
    while (step := stage.plan.next(stage.now)) is not None:
        taken.append(step.index)
        stage.now += step.wait_s + 2
        stage.plan.fail(step.index, fault(ErrorKind.OVERLOADED), stage.now)

    assert taken == [0, 1, 2]


def test_a_wait_beyond_the_budget_is_not_begun_and_a_shorter_one_is() -> None:
    stage = Stage(settings=RetrySettings(budget_s=5))
    for index, wait_s in ((0, 4.0), (1, 9.0)):
        stage.plan.next(stage.now)
        stage.plan.fail(index, fault(ErrorKind.RATE_LIMIT, wait_s), stage.now)

    assert stage.plan.next(stage.now) == Step(0, 4.0)
    stage.plan.fail(0, fault(ErrorKind.RATE_LIMIT, 4.0), stage.now + 4)
    assert stage.plan.next(stage.now + 4) is None


def test_an_answer_that_was_cut_late_may_still_be_gone_on_with() -> None:
    stage = Stage(settings=RetrySettings(budget_s=5))
    stage.plan.next(stage.now)
    stage.plan.fail(0, fault(ErrorKind.CUT), stage.now + 60)
    assert stage.plan.next(stage.now + 60) is None

    stage.plan.renew_budget(stage.now + 60)

    assert stage.plan.next(stage.now + 60) == Step(1, 0.0)


def test_a_single_target_is_asked_again_after_a_jittered_back_off() -> None:
    assert Stage(1).run(fault(ErrorKind.RATE_LIMIT)) == [(0, 0), (0, 0.2)]


def test_the_back_off_doubles_up_to_its_ceiling() -> None:
    settings = RetrySettings(attempts=6, base_s=1, max_s=3, honour_retry_after_s=20)

    waits = [wait for _, wait in Stage(1, settings=settings).run(fault(ErrorKind.CONFLICT))]

    assert waits == [0, 0.5, 1, 1.5, 1.5, 1.5]


def test_retry_after_is_honoured() -> None:
    assert Stage(1).run(fault(ErrorKind.RATE_LIMIT, 7)) == [(0, 0), (0, 7)]


def test_a_longer_retry_after_than_we_honour_ends_the_target() -> None:
    assert Stage(1).run(fault(ErrorKind.RATE_LIMIT, 21)) == [(0, 0)]


def test_a_silent_target_is_asked_once() -> None:
    assert Stage().run(fault(ErrorKind.TIMEOUT)) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("kind", sorted(REQUEST_FAULTS))
def test_what_the_request_is_to_blame_for_goes_nowhere_else(kind: ErrorKind) -> None:
    assert Stage().run(fault(kind)) == [(0, 0)]


@pytest.mark.parametrize("kind", sorted(ACCOUNT_FAULTS))
def test_a_fault_of_one_account_goes_to_the_others(kind: ErrorKind) -> None:
    assert Stage().run(fault(kind)) == [(0, 0), (1, 0)]


def test_a_prompt_that_is_too_long_goes_only_to_larger_targets() -> None:
    stage = Stage(contexts=(8_000, 8_000, 200_000, None))

    assert stage.run(fault(ErrorKind.CONTEXT_TOO_LONG)) == [(0, 0), (2, 0)]


def test_an_open_target_is_passed_over() -> None:
    stage = Stage()
    for _ in range(3):
        stage.candidates[0].breaker.fail(stage.now)

    assert stage.plan.next(stage.now) is not None
    assert stage.candidates[1].asked == 1


def test_when_all_are_open_the_nearest_to_recovery_is_asked_once() -> None:
    stage = Stage()
    for index, at in ((0, 100.0), (1, 99.0)):
        for _ in range(3):
            stage.candidates[index].breaker.fail(at)

    assert stage.run(fault(ErrorKind.OVERLOADED)) == [(1, 0)]


def test_a_primary_that_recovers_is_asked_first_again() -> None:
    stage = Stage()
    for _ in range(3):
        stage.candidates[0].breaker.fail(stage.now)

    step = stage.plan.next(stage.now + BREAKER.open_s + 0.1)

    assert step is not None
    assert step.index == 0


def test_a_probe_under_way_sends_the_others_on() -> None:
    stage = Stage()
    for _ in range(3):
        stage.candidates[0].breaker.fail(stage.now)
    recovered_at = stage.now + BREAKER.open_s + 0.1
    other = Stage()
    other.candidates[0].breaker = stage.candidates[0].breaker

    assert stage.plan.next(recovered_at) == Step(0, 0.0)
    assert other.plan.next(recovered_at) == Step(1, 0.0)
    stage.plan.release(0)

    assert other.candidates[0].breaker.is_open(recovered_at) is False


def test_a_callers_fault_does_not_open_the_breaker() -> None:
    stage = Stage(1)
    for _ in range(5):
        stage.plan.fail(0, fault(ErrorKind.INVALID_REQUEST), stage.now)

    assert not stage.candidates[0].breaker.is_open(stage.now)
