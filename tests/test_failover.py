"""The plan of a call's attempts: each rule of the module as cases of a scripted call."""

import pytest

from proxy.breaker import Breaker, BreakerSettings
from proxy.failover import ACCOUNT_FAULTS, REQUEST_FAULTS, Candidate, Plan, RetrySettings
from proxy.hub.errors import ErrorKind, UpstreamError

BREAKER = BreakerSettings(failures=3, window_s=10, open_s=5)
SETTINGS = RetrySettings(attempts=2, base_s=0.4, max_s=5, honour_retry_after_s=20)


class Stage:
    """A plan over some targets, and a clock that the waits move."""

    def __init__(self, count: int = 2, *, contexts: tuple[int | None, ...] = (), settings: RetrySettings = SETTINGS):
        sizes = contexts or (None,) * count
        self.candidates = [Candidate(Breaker(BREAKER), size) for size in sizes]
        self.plan = Plan(self.candidates, settings, lambda: 0.5)
        self.now = 100.0

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


def test_a_callers_fault_does_not_open_the_breaker() -> None:
    stage = Stage(1)
    for _ in range(5):
        stage.plan.fail(0, fault(ErrorKind.INVALID_REQUEST), stage.now)

    assert not stage.candidates[0].breaker.is_open(stage.now)
