"""Failover as a referee scores it: with a second target, the caller gets the whole answer whatever the first one does."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.e2e.calls import BODIES
from tests.e2e.fault_row import CHAT, WHOLE, Row, always, good, sized
from tests.e2e.faults import UPSTREAM_FAULTS
from tests.e2e.pair import Pair, pair

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN_S = 1.0

OURS = {"status_400", "status_413", "status_415", "status_418", "status_422", "too_long", "content_rejected"}
"""The request is to blame: asked of nobody else."""
DELIVERED = {"endless_content", "only_terminator"}
"""The first answer is not the beginning of the second: they cannot be joined."""
WAITS = {"silent", "silent_in_head", "head_drips"}
"""A whole answer has its head when it is complete: until then no silence can be told from work."""


def _is_fault(row: Row, *, is_converted: bool) -> bool:
    return bool(row.answers) and not row.expectation(is_converted=is_converted).is_success


FAULTS = [row for row in UPSTREAM_FAULTS if _is_fault(row, is_converted=True) and row.name not in OURS | DELIVERED]
RATE_LIMITED = always(sized("429 No", b'{"error":{"message":"Slow down."}}'))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def targets(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    breaker = {"failures": 3, "window_s": 30, "open_s": OPEN_S}
    async with pair(tmp_path_factory.mktemp("failover"), on_cut="restart", breaker=breaker) as running:
        yield running


@pytest.mark.parametrize("row", FAULTS, ids=str)
async def test_the_second_target_makes_the_answer_whole(row: Row, targets: Pair) -> None:
    """For those whose answers are converted, streamed and whole, and for one whose bytes are the upstream's."""
    calls: dict[str, Callable[[str], Awaitable[bool]]] = {
        "canonical": lambda model: _is_whole_canonical(targets, model),
        "anthropic": lambda model: _is_whole_anthropic(targets, model),
    }
    if _is_fault(row, is_converted=False):
        calls["openai_chat"] = lambda model: _is_whole_openai(targets, model)
        if row.name not in WAITS:
            calls["openai_chat_whole"] = lambda model: _is_whole_answer(targets, model)
    models = {name: f"pair-{row.name}-{name}" for name in calls}
    scenarios = {name: targets.play(model, row.answers, (good,)) for name, model in models.items()}

    # All at once: what is waited for is waited for once.
    whole = await asyncio.gather(*(call(models[name]) for name, call in calls.items()))

    assert dict(zip(calls, whole, strict=True)) == dict.fromkeys(calls, True)
    attempts = {name: (len(first.attempts), len(second.attempts)) for name, (first, second) in scenarios.items()}
    assert attempts == dict.fromkeys(calls, (1, 1))


async def _is_whole_canonical(targets: Pair, model: str) -> bool:
    heard = await targets.hear(model)
    return heard.is_whole and heard.text == WHOLE and heard.status == 200


async def _is_whole_openai(targets: Pair, model: str) -> bool:
    body = await targets.raw("openai_chat", model)
    text = b"".join(re.findall(rb'"content":"([^"]*)"', body)).decode()
    has_end = body.count(b'"finish_reason":"stop"') == body.count(b"[DONE]") == 1 and body.endswith(CHAT.terminator)
    # JSON that is no event was relayed before anybody knew what it meant.
    return text == WHOLE and has_end and b'data: {"error"' not in body


async def _is_whole_anthropic(targets: Pair, model: str) -> bool:
    body = await targets.raw("anthropic", model)
    text = b"".join(re.findall(rb'"text_delta","text":"([^"]*)"', body)).decode()
    names = (b"message_start", b"message_delta", b"message_stop")
    return (
        text == WHOLE and all(body.count(b"event: %b\n" % name) == 1 for name in names) and b"event: error" not in body
    )


async def _is_whole_answer(targets: Pair, model: str) -> bool:
    messages = BODIES["openai_chat"][1]["messages"]
    answer = await targets.http.post("/v1/chat/completions", json={"model": model, "messages": messages})
    choice = answer.json()["choices"][0]
    return (choice["message"]["content"], choice["finish_reason"]) == (WHOLE, "stop")


@pytest.mark.parametrize("row", [row for row in FAULTS if row.group == "before the body: status"], ids=str)
async def test_the_answer_names_who_gave_it(row: Row, targets: Pair) -> None:
    model = f"pair-named-{row.name}"
    targets.play(model, row.answers, (good,))

    heard = await targets.hear(model)

    assert heard.is_whole
    assert (heard.headers["x-proxy-provider"], heard.headers["x-proxy-model"]) == ("second", model)
    assert heard.headers["x-proxy-attempts"] == "2"


async def test_a_persistent_429_is_asked_twice_at_most(targets: Pair) -> None:
    scenario = targets.first.play("alone-limited", RATE_LIMITED)

    heard = await targets.hear("alone-limited")

    assert heard.status == 429
    assert len(scenario.attempts) <= 2


async def test_a_persistent_429_of_both_targets_is_asked_twice_of_each(targets: Pair) -> None:
    first, second = targets.play("pair-limited", RATE_LIMITED, RATE_LIMITED)

    heard = await targets.hear("pair-limited")

    assert heard.status == 429
    assert (len(first.attempts), len(second.attempts)) == (2, 2)


async def test_a_silent_target_is_asked_once(targets: Pair) -> None:
    scenario = targets.first.play("alone-silent", always())

    heard = await targets.hear("alone-silent")

    assert heard.status == 504
    assert len(scenario.attempts) == 1
    await scenario.attempts[0].until_left()


async def test_a_flapping_primary_is_left_alone_and_taken_back_within_one_breaker_period(targets: Pair) -> None:
    model = "pair-flapping"
    first, second = targets.play(model, always(sized("500 E", b"{}")), (good,))
    for _ in range(3):
        assert (await targets.hear(model)).text == WHOLE
    opened_at = time.monotonic()
    for _ in range(3):
        assert (await targets.hear(model)).text == WHOLE
    asked_in_outage = len(first.attempts)
    recovered_at = asked_at = time.monotonic()
    probes = (recovered_at - opened_at) / OPEN_S
    first.answers = (good,)

    while (heard := await targets.hear(model)).headers["x-proxy-provider"] == "second":
        assert heard.is_whole
        assert asked_at - recovered_at < OPEN_S
        await asyncio.sleep(0.05)
        asked_at = time.monotonic()

    assert 3 <= asked_in_outage <= 3 + probes, "the breaker opens at the third failure"
    assert heard.text == WHOLE
    asked = len(second.attempts)
    assert (await targets.hear(model)).headers["x-proxy-provider"] == "first"
    assert len(second.attempts) == asked
