"""Failover as a referee scores it: with a second target, the caller gets the whole answer whatever the first one does."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.fault_row import WHOLE, Row, always, good, sized
from tests.e2e.faults import UPSTREAM_FAULTS
from tests.e2e.pair import SILENCE_S, Pair, pair

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN_S = 1.0

OURS = {"status_400", "status_413", "status_415", "status_418", "status_422"}
"""The request is to blame: asked of nobody else."""
DELIVERED = {"endless_content", "only_terminator"}
"""The first answer is not the beginning of the second: they cannot be joined."""
FAULTS = [
    row for row in UPSTREAM_FAULTS if row.answers and not row.expect.is_success and row.name not in OURS | DELIVERED
]
RATE_LIMITED = always(sized("429 No", b'{"error":{"message":"Slow down."}}'))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def targets(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    breaker = {"failures": 3, "window_s": 30, "open_s": OPEN_S}
    async with pair(tmp_path_factory.mktemp("failover"), on_cut="restart", breaker=breaker) as running:
        yield running


@pytest.mark.parametrize("row", FAULTS, ids=str)
async def test_the_second_target_makes_the_answer_whole(row: Row, targets: Pair) -> None:
    model = f"pair-{row.name}"
    first, second = targets.play(model, row.answers, (good,))

    heard = await targets.hear(model)

    assert heard.text == WHOLE, heard
    assert heard.is_whole
    assert heard.status == 200
    assert len(first.attempts) == 1
    assert len(second.attempts) == 1


async def test_a_persistent_429_is_asked_twice_at_most_within_a_second_and_a_half(targets: Pair) -> None:
    scenario = targets.first.play("alone-limited", RATE_LIMITED)

    heard = await targets.hear("alone-limited")

    assert heard.status == 429
    assert len(scenario.attempts) <= 2
    assert heard.duration_s < 1.5


async def test_a_persistent_429_of_both_targets_is_asked_twice_of_each(targets: Pair) -> None:
    first, second = targets.play("pair-limited", RATE_LIMITED, RATE_LIMITED)

    heard = await targets.hear("pair-limited")

    assert heard.status == 429
    assert (len(first.attempts), len(second.attempts)) == (2, 2)
    assert heard.duration_s < 2.5


async def test_a_silent_target_is_asked_once(targets: Pair) -> None:
    scenario = targets.first.play("alone-silent", always())

    heard = await targets.hear("alone-silent")

    assert heard.status == 504
    assert len(scenario.attempts) == 1
    assert heard.duration_s < SILENCE_S + 1
    await scenario.attempts[0].until_left()


async def test_a_flapping_primary_is_left_alone_and_taken_back_within_one_breaker_period(targets: Pair) -> None:
    model = "pair-flapping"
    first, second = targets.play(model, always(sized("500 E", b"{}")), (good,))
    for _ in range(6):
        assert (await targets.hear(model)).text == WHOLE
    asked_in_outage = len(first.attempts)
    first.answers = (good,)
    recovered_at = time.monotonic()

    while (heard := await targets.hear(model)).headers["x-proxy-provider"] == "second":
        assert time.monotonic() - recovered_at < OPEN_S + 1
        assert heard.is_whole
        await asyncio.sleep(0.05)

    assert asked_in_outage == 3, "the breaker opens at the third failure"
    assert time.monotonic() - recovered_at < OPEN_S + 0.5
    assert heard.text == WHOLE
    asked = len(second.attempts)
    assert (await targets.hear(model)).headers["x-proxy-provider"] == "first"
    assert len(second.attempts) == asked
