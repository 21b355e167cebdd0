"""The circuit breaker, moved by hand."""

import pytest

from proxy.breaker import MAX_TARGETS, Breaker, Breakers, BreakerSettings

SETTINGS = BreakerSettings(failures=3, window_s=10, open_s=5)


def silent() -> float | None:
    """The call has no content yet."""
    return None


def opened() -> Breaker:
    breaker = Breaker(SETTINGS)
    for now in (0.0, 1.0, 2.0):
        breaker.fail(now)
    return breaker


def test_failures_within_the_window_open_it() -> None:
    assert opened().is_open(2.0)


def test_failures_spread_over_more_than_the_window_do_not() -> None:
    breaker = Breaker(SETTINGS)
    for now in (0.0, 6.0, 12.0):
        breaker.fail(now)

    assert not breaker.is_open(12.0)


def test_a_success_forgets_earlier_failures() -> None:
    breaker = Breaker(SETTINGS)
    breaker.fail(0.0)
    breaker.fail(1.0)
    breaker.succeed()
    breaker.fail(2.0)

    assert not breaker.is_open(2.0)


def test_half_open_it_lets_one_probe_through() -> None:
    breaker = opened()
    assert not breaker.is_open(7.1)

    assert breaker.begin(7.1, silent) is not None

    assert breaker.is_open(7.2)
    assert breaker.begin(7.2, silent) is None


def test_neither_closed_nor_open_it_takes_a_probe() -> None:
    assert Breaker(SETTINGS).begin(1.0, silent) is None
    assert opened().begin(3.0, silent) is None


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.begin(7.1, silent)
    breaker.succeed()

    assert not breaker.is_open(7.2)
    assert breaker.recovers_at() == 0


@pytest.mark.parametrize(("answered_at", "is_open"), [(None, True), (6.9, True), (7.1, False), (7.3, False)])
def test_a_probe_succeeds_with_its_first_content_event(answered_at: float | None, is_open: bool) -> None:
    """Content from before the probe began is another target's, of an answer that was cut."""
    breaker = opened()
    breaker.begin(7.1, lambda: answered_at)

    assert breaker.is_open(7.4) is is_open


def test_a_probe_that_fails_opens_it_again_at_once() -> None:
    breaker = opened()
    probe = breaker.begin(7.1, silent)
    breaker.fail(7.5, probe)

    assert breaker.is_open(12.4)
    assert not breaker.is_open(12.6)


def test_a_probe_that_had_answered_fails_like_any_other_call() -> None:
    breaker = opened()
    probe = breaker.begin(7.1, lambda: 7.2)
    assert not breaker.is_open(7.3)

    breaker.fail(8.0, probe)

    assert not breaker.is_open(8.1)


def test_a_probe_without_verdict_makes_room_for_the_next() -> None:
    breaker = opened()
    breaker.release(breaker.begin(7.1, silent))

    assert not breaker.is_open(7.2)


def test_a_call_of_before_does_not_make_room_for_a_second_probe() -> None:
    breaker = Breaker(SETTINGS)
    earlier = breaker.begin(0.0, silent)
    for now in (0.0, 1.0, 2.0):
        breaker.fail(now)
    breaker.begin(7.1, silent)

    breaker.release(earlier)

    assert breaker.is_open(7.2)


def test_zero_failures_switch_it_off() -> None:
    breaker = Breaker(BreakerSettings(failures=0))
    for now in range(100):
        breaker.fail(float(now))

    assert not breaker.is_open(100.0)


def test_each_target_has_its_own() -> None:
    breakers = Breakers(SETTINGS)
    for now in (0.0, 1.0, 2.0):
        breakers.of(("acme", "a")).fail(now)

    assert {target: breaker.is_open(2.0) for target, breaker in breakers.items()} == {("acme", "a"): True}
    assert not breakers.of(("acme", "b")).is_open(2.0)


def test_models_that_callers_invent_fill_no_memory() -> None:
    breakers = Breakers(SETTINGS)
    for now in (0.0, 1.0, 2.0):
        breakers.of(("acme", "broken")).fail(now)

    for number in range(3 * MAX_TARGETS):
        breakers.of(("acme", f"invented-{number}"))

    assert len(breakers.items()) <= MAX_TARGETS
    assert breakers.of(("acme", "broken")).is_open(2.0)


def test_openings_are_counted_and_further_failures_of_an_open_one_are_not() -> None:
    breaker = Breaker(SETTINGS)
    for now in (0.0, 1.0, 2.0, 2.1, 2.2):
        breaker.fail(now)
    assert breaker.opened == 1

    probe = breaker.begin(2.2 + SETTINGS.open_s, lambda: None)
    breaker.fail(2.3 + SETTINGS.open_s, probe)

    assert probe is not None
    assert breaker.opened == 2
