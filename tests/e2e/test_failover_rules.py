"""The rules of retries, breakers and budgets, on the wire: who is asked, how often, when, and who pays."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.fault_row import (
    ANTHROPIC,
    CHUNKED,
    WHOLE,
    Script,
    Steps,
    Then,
    Wire,
    always,
    chunk,
    good,
    sized,
    streamed,
)
from tests.e2e.pair import Pair, pair
from tests.e2e.streams import CHAT_END, chat_chunk

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN_S = 0.5
FAILS = always(sized("500 E", b"{}"))
SILENT = always()
USAGE = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
)


def refused(status: int, code: str, *lines: bytes) -> tuple[Script, ...]:
    body = f'{{"error":{{"message":"No.","type":"invalid_request_error","code":"{code}"}}}}'
    return always(sized(f"{status} No", body.encode(), *lines))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def touchy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """A breaker opens at the first failure; the first provider may be silent for long."""
    breaker = {"failures": 1, "window_s": 30, "open_s": OPEN_S}
    async with pair(tmp_path_factory.mktemp("touchy"), silence_s=20, breaker=breaker) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bounded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Three attempts, none of which begins after 3.5 seconds; an answer may take four."""
    more: dict[str, Any] = {
        "retry": {"attempts": 3, "max_attempts": 3, "budget_s": 3.5, "base_s": 0.02},
        "timeouts": {"total_s": 4},
        "breaker": {"failures": 0},
    }
    async with pair(
        tmp_path_factory.mktemp("bounded"), silence_s=2.5, context_tokens=(8000, 200_000), **more
    ) as running:
        yield running


# --- breakers


def _held(wire: Wire) -> Steps:
    """The beginning of an answer whose rest never comes: the upstream waits for the next request."""
    return (CHUNKED + chunk(wire.part),)


async def test_a_long_stream_that_has_begun_takes_the_others_back_to_its_target(touchy: Pair) -> None:
    model = "pair-probe"
    first, second = touchy.play(model, FAILS, (good,))
    assert (await touchy.hear(model)).headers["x-proxy-provider"] == "second"
    first.answers = SILENT
    await asyncio.sleep(OPEN_S)

    with contextlib.closing(RawCall(touchy.proxy.port)) as probe:
        await probe.send(request_bytes("openai_chat", model))
        silent = await first.attempt(1)
        others = [(await touchy.hear(model)).headers["x-proxy-provider"] for _ in range(3)]

    assert others == ["second"] * 3, "one probe at a time"
    assert len(first.attempts) == 2
    await silent.until_left()
    first.answers = (_held,)
    with contextlib.closing(RawCall(touchy.proxy.port)) as probe:
        await probe.send(request_bytes("openai_chat", model))
        await probe.read_until(b"two")
        first.answers = (good,)
        assert (await touchy.hear(model)).headers["x-proxy-provider"] == "first"
    assert len(second.attempts) == 4


async def test_when_every_target_is_left_alone_the_nearest_to_recovery_is_asked(touchy: Pair) -> None:
    model = "pair-all-open"
    first, second = touchy.play(model, FAILS, FAILS)
    assert (await touchy.hear(model)).status == 502
    second.answers = first.answers = (good,)

    heard = await touchy.hear(model)

    assert (heard.text, heard.headers["x-proxy-provider"]) == (WHOLE, "first")
    assert (len(first.attempts), len(second.attempts)) == (2, 1)


# --- what the request is to blame for


async def test_a_prompt_that_is_too_long_goes_to_the_larger_target(bounded: Pair) -> None:
    model = "pair-long"
    first, second = bounded.play(model, refused(400, "context_length_exceeded"), (good,))

    heard = await bounded.hear(model)

    assert (heard.text, heard.headers["x-proxy-attempts"]) == (WHOLE, "2")
    assert (len(first.attempts), len(second.attempts)) == (1, 1)


async def test_a_prompt_that_is_too_long_for_the_largest_goes_nowhere(bounded: Pair) -> None:
    model = "pair-longer"
    first, second = bounded.play(model, FAILS, refused(400, "context_length_exceeded"))

    assert (await bounded.hear(model)).status == 400
    assert (len(first.attempts), len(second.attempts)) == (1, 1)


async def test_a_rejected_content_goes_nowhere(bounded: Pair) -> None:
    model = "pair-rejected"
    _, second = bounded.play(model, refused(400, "content_filter"), (good,))

    assert (await bounded.hear(model)).status == 400
    assert second.attempts == []


# --- waits and budgets


async def test_retry_after_is_kept_to_the_second(bounded: Pair) -> None:
    for form, lines in (
        ("seconds", (b"Retry-After: 1",)),
        ("date", (b"Date: Sun, 06 Nov 1994 08:49:36 GMT", b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT")),
    ):
        model = f"alone-waits-{form}"
        scenario = bounded.first.play(model, (refused(429, "rate_limit_exceeded", *lines)[0], good))

        heard = await bounded.hear(model)

        assert heard.text == WHOLE
        between = scenario.attempts[1].arrived_at - scenario.attempts[0].arrived_at
        assert between > 0.95, form


async def test_a_retry_after_in_the_far_future_is_passed_on_and_not_waited_for(bounded: Pair) -> None:
    date = b"Retry-After: Sun, 06 Nov 2094 08:49:37 GMT"
    scenario = bounded.first.play("alone-far", refused(429, "rate_limit_exceeded", date))

    heard = await bounded.hear("alone-far")

    assert (heard.status, len(scenario.attempts)) == (429, 1)
    assert heard.duration_s < 3, "less than the budget"
    assert heard.headers["retry-after"] == "Sun, 06 Nov 2094 08:49:37 GMT"


async def test_all_targets_together_are_asked_no_more_than_the_budget_allows(bounded: Pair) -> None:
    first, second = bounded.play("pair-often", FAILS, FAILS)

    heard = await bounded.hear("pair-often")

    assert heard.headers["x-proxy-attempts"] == "3"
    assert (len(first.attempts), len(second.attempts)) == (2, 1)


async def test_a_wait_beyond_the_budget_is_not_begun(bounded: Pair) -> None:
    scenario = bounded.first.play("alone-late", refused(429, "rate_limit_exceeded", b"Retry-After: 4"))

    heard = await bounded.hear("alone-late")

    assert (heard.status, len(scenario.attempts)) == (429, 1)
    assert heard.duration_s < 3, "less than the budget"


async def test_the_total_deadline_ends_the_wait_for_headers(bounded: Pair) -> None:
    first, second = bounded.play("pair-endless", SILENT, SILENT)

    heard = await bounded.hear("pair-endless")

    assert heard.status == 504
    assert 3.9 < heard.duration_s < 20
    assert (len(first.attempts), len(second.attempts)) == (1, 1)
    assert '"outcome":"total_timeout"' in await bounded.log_line("pair-endless")


# --- who pays


async def test_a_failed_attempt_counts_no_tokens(tmp_path: Path) -> None:
    """Anthropic's first event reports input tokens, before there is any content."""
    async with pair(tmp_path, first_kind="anthropic", breaker={"failures": 0}) as targets:
        fails: Script = lambda wire: (CHUNKED + chunk(ANTHROPIC.begin), Then.RST)  # noqa: E731
        answers = streamed(chat_chunk(WHOLE) + USAGE + CHAT_END)
        targets.play("pair-paid", (fails,), (lambda wire: (answers,),))

        heard = await targets.hear("pair-paid")
        line = await targets.log_line("pair-paid")
        async with httpx.AsyncClient(timeout=30) as client:
            metrics = (await client.get(f"{targets.proxy.url}/metrics")).text

    assert heard.text == WHOLE, heard
    assert heard.of("usage")[-1]["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert '"input_tokens":7,"output_tokens":2' in line
    sums = re.findall(r"gen_ai_client_token_usage_sum\{[^}]*\} (\S+)", metrics)
    assert sorted(float(one) for one in sums if float(one)) == [2.0, 7.0]


@pytest.mark.parametrize("how", ["reset", "silent"])
async def test_a_block_that_was_only_begun_is_no_content(how: str, tmp_path: Path) -> None:
    """Anthropic's API begins a block before its model has said a word; its own callers have those bytes by then."""
    async with pair(tmp_path, first_kind="anthropic", second_kind="anthropic", breaker={"failures": 0}) as targets:
        then = (Then.RST,) if how == "reset" else ()
        targets.play("pair-begun", (lambda wire: (CHUNKED + chunk(wire.begin), *then),), (good,))

        body = await targets.raw("anthropic", "pair-begun")

    assert "".join(re.findall(r'"text":"([^"]+)"', body.decode())) == WHOLE
    assert [body.count(b"event: " + name) for name in (b"content_block_start", b"message_stop", b"error")] == [1, 1, 0]


async def test_a_caller_that_leaves_ends_the_wait_for_the_next_attempt(bounded: Pair) -> None:
    limited = refused(429, "rate_limit_exceeded", b"Retry-After: 1")
    scenario = bounded.first.play("alone-left", limited)
    with contextlib.closing(RawCall(bounded.proxy.port)) as call:
        await call.send(request_bytes("openai_chat", "alone-left"))
        await scenario.attempt()

    line = await bounded.log_line("alone-left")  # Written when the call is over: nothing of it can follow.

    assert '"outcome":"caller_left_before_first"' in line
    assert len(scenario.attempts) == 1
