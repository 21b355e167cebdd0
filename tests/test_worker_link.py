"""Workers and the admin process over a real Unix socket, in one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import prometheus_client
import pytest

from proxy.live import KillResult, LiveCalls, Look, StreamView
from proxy.metrics_sum import Family, in_slices, take
from proxy.record import CallRecord
from proxy.worker_link import Collector, Worker


class Member:
    """A worker with one counter and one gauge."""

    def __init__(self, path: str) -> None:
        registry = prometheus_client.CollectorRegistry()
        self.calls = prometheus_client.Counter("calls", "Calls.", registry=registry)
        self.open = prometheus_client.Gauge("open", "Open.", registry=registry)
        self.is_draining = False
        self.live: dict[str, CallRecord] = {}
        calls = LiveCalls(self.live, lambda: 0.0, lambda: self.is_draining)
        self.link = Worker(path, self.families, lambda: self.is_draining, calls)

    async def families(self) -> list[Family]:
        return await in_slices(take([self.calls, self.open]))


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    running = Collector()
    await running.start(str(tmp_path / "link"))
    yield running
    await running.close()


@contextlib.asynccontextmanager
async def members(collector: Collector, path: Path, count: int = 2) -> AsyncIterator[list[Member]]:
    found = [Member(str(path)) for _ in range(count)]
    await until(collector, f"llm_proxy_workers {count}.0")
    async with asyncio.timeout(30):
        while await status(collector, "/readyz") != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield found
    for member in found:
        await member.link.close()


async def until(collector: Collector, line: str) -> str:
    async with asyncio.timeout(30):
        while line not in (text := b"".join((await collector.answer("/metrics", "")).pieces).decode()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return text


async def status(collector: Collector, path: str) -> int:
    return (await collector.answer(path, "")).status


async def test_a_scrape_shows_the_present_sum(collector: Collector, tmp_path: Path) -> None:
    async with members(collector, tmp_path / "link") as (one, two):
        one.calls.inc(2)
        two.calls.inc(3)
        one.open.set(1)

        text = b"".join((await collector.answer("/metrics", "")).pieces).decode()

        assert "calls_total 5.0\n" in text
        assert "open 1.0\n" in text


async def test_every_worker_gives_the_same_answer(collector: Collector, tmp_path: Path) -> None:
    async with members(collector, tmp_path / "link") as (one, two):
        one.calls.inc(2)

        answer = await two.link.ask("/metrics", "application/openmetrics-text")

        assert answer is not None
        assert b"calls_total 2.0\n" in b"".join(answer.pieces)
        assert answer.pieces[-1].endswith(b"# EOF\n")


async def test_what_a_worker_counted_last_is_not_lost_when_it_ends_in_order(
    collector: Collector, tmp_path: Path
) -> None:
    async with members(collector, tmp_path / "link") as (one, _):
        one.calls.inc(7)
        one.open.set(4)

        await one.link.close()

        text = await until(collector, "llm_proxy_workers 1.0")
        assert "calls_total 7.0\n" in text
        assert "open 0.0\n" in text
        assert "llm_proxy_worker_exits_total 1.0" in text


async def test_the_admin_process_shows_itself_beside_the_workers(collector: Collector, tmp_path: Path) -> None:
    async with members(collector, tmp_path / "link"):
        text = await until(collector, 'process_open_fds{process="admin"}')

        assert text.count("# TYPE process_open_fds gauge") == 1


def names(look: Look | None) -> set[str]:
    assert look is not None
    return {msgspec.json.decode(one, type=StreamView).id for one in look.streams}


async def test_calls_of_all_workers_are_seen_and_ended_wherever_one_asks(collector: Collector, tmp_path: Path) -> None:
    async with members(collector, tmp_path / "link") as (one, two):
        killed: list[str] = []
        for member, name in ((one, "a"), (two, "b")):
            record = member.live[name] = CallRecord("r", "canonical", 0.0)
            record.kill = partial(killed.append, name)

        assert names(await collector.calls.look(None)) == names(await one.link.look(None)) == {"a", "b"}
        assert names(await one.link.look("b")) == {"b"}
        assert await two.link.kill("a") is KillResult.KILLED
        assert await collector.calls.kill("b") is KillResult.KILLED
        assert await one.link.kill("c") is KillResult.UNKNOWN
        assert killed == ["a", "b"]


async def test_the_calls_of_a_worker_that_ended_are_gone(collector: Collector, tmp_path: Path) -> None:
    async with members(collector, tmp_path / "link") as (one, two):
        one.live["a"] = two.live["b"] = CallRecord("r", "canonical", 0.0)

        await one.link.close()
        await until(collector, "llm_proxy_workers 1.0")

        assert names(await collector.calls.look(None)) == {"b"}
        assert await collector.calls.kill("a") is KillResult.UNKNOWN


async def test_without_an_admin_process_nobody_answers_for_all(tmp_path: Path) -> None:
    member = Member(str(tmp_path / "link"))

    assert await member.link.look(None) is None
    assert await member.link.kill("a") is None
    await member.link.close()


async def test_ready_means_that_a_worker_is_and_none_is_draining(collector: Collector, tmp_path: Path) -> None:
    assert (await status(collector, "/readyz"), await status(collector, "/healthz")) == (503, 503)
    async with members(collector, tmp_path / "link") as (one, _):
        assert (await status(collector, "/readyz"), await status(collector, "/healthz")) == (200, 200)

        one.is_draining = True
        await collector.collect()

        assert (await status(collector, "/readyz"), await status(collector, "/healthz")) == (503, 200)


async def test_a_worker_finds_an_admin_process_that_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "link")
    first = Collector()
    await first.start(path)
    member = Member(path)
    member.calls.inc(3)
    await until(first, "calls_total 3.0")
    await first.close()
    assert await member.link.ask("/metrics", "") is None

    second = Collector()
    await second.start(path)

    await until(second, "calls_total 3.0")
    await member.link.close()
    await second.close()


async def test_what_only_a_worker_knows_is_not_answered_for_all(collector: Collector) -> None:
    assert await status(collector, "/streams") == 404
