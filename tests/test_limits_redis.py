"""Limits that replicas share, against a real Redis server; and that a call never waits for one that is away."""

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.auth import Caller
from proxy.limits_redis import ASK_TIMEOUT_S, Claim, Refused, SharedLimits, open_store
from tests.support.ports import free_port

pytest.importorskip("redis", reason="needs the extra: pip install '.[redis]'")

SERVER = next((found for name in ("redis-server", "valkey-server") if (found := shutil.which(name))), None)
needs_server = pytest.mark.skipif(SERVER is None, reason="needs redis-server: apt-get install redis-server")


class RedisServer:
    """A server on a port that stays the same when it stops and starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        assert SERVER is not None
        self._process = await asyncio.create_subprocess_exec(
            *(SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.01)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    running = RedisServer(tmp_path)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting is the subject, on a machine that is busy with other tests: wait for the server."""
    monkeypatch.setattr("proxy.limits_redis.ASK_TIMEOUT_S", 30.0)
    monkeypatch.setattr("proxy.limits_redis.PING_TIMEOUT_S", 30.0)


@contextlib.asynccontextmanager
async def replicas(url: str, count: int = 2) -> AsyncIterator[list[SharedLimits]]:
    """Several stores, each connected and asked once, as those of running replicas."""
    opened = [open_store(url) for _ in range(count)]
    for store in opened:
        await store.connect()
    yield opened
    for store in opened:
        await store.close()


async def settled(store: SharedLimits) -> None:
    """Once the store has been told of everything."""
    await asyncio.gather(*store._tasks)


@needs_server
@pytest.mark.usefixtures("patience")
async def test_replicas_count_the_calls_of_a_key_together(server: RedisServer) -> None:
    caller = Caller("team", requests_per_minute=10)
    async with replicas(server.url) as (one, two):
        answers = await asyncio.gather(*(store.ask(caller) for _ in range(10) for store in (one, two)))

        assert sum(isinstance(answer, Claim) for answer in answers) == 10
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        assert {refused.limit for refused in refusals} == {"requests_per_minute"}
        assert all(30 < refused.wait_s <= 60 for refused in refusals)


@needs_server
@pytest.mark.usefixtures("patience")
async def test_replicas_count_calls_in_progress_together(server: RedisServer) -> None:
    caller = Caller("team", max_streams=1)
    async with replicas(server.url) as (one, two):
        claim = await one.ask(caller)
        assert isinstance(claim, Claim)
        assert await two.ask(caller) == Refused("key_max_streams", 1.0)

        one.release(claim, 0)
        await settled(one)

        assert isinstance(await two.ask(caller), Claim)


@needs_server
@pytest.mark.usefixtures("patience")
async def test_leases_are_renewed_while_a_call_runs_and_lapse_with_their_replica(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.limits_redis.LEASE_S", 2.0)
    monkeypatch.setattr("proxy.limits_redis.RENEW_S", 0.0)
    monkeypatch.setattr("proxy.limits_redis.PING_S", 0.05)
    caller = Caller("team", max_streams=1)
    async with replicas(server.url, 3) as (one, two, _):
        await one.ask(caller)
        await asyncio.sleep(2.2)
        assert isinstance(await two.ask(caller), Refused)

        one._keeper.cancel()

        async with asyncio.timeout(30):
            while not isinstance(await two.ask(caller), Claim):  # noqa: ASYNC110  the store tells nobody
                await asyncio.sleep(0.05)


@needs_server
@pytest.mark.usefixtures("patience")
async def test_replicas_count_reported_tokens_together(server: RedisServer) -> None:
    caller = Caller("team", tokens_per_minute=100)
    async with replicas(server.url) as (one, two):
        for tokens in (60, 40):
            claim = await one.ask(caller)
            assert isinstance(claim, Claim)
            one.release(claim, tokens)
            await settled(one)

        refused = await two.ask(caller)

    assert isinstance(refused, Refused)
    assert refused.limit == "tokens_per_minute"
    assert 30 < refused.wait_s <= 60


@needs_server
@pytest.mark.usefixtures("patience")
async def test_a_store_that_comes_back_is_used_again_and_each_change_is_said_once(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.limits_redis.PING_S", 0.02)
    caplog.set_level(logging.INFO, "proxy.limits")
    caller = Caller("team", requests_per_minute=10)
    async with replicas(server.url, 1) as (store,):
        assert isinstance(await store.ask(caller), Claim)

        await server.stop()
        assert [await store.ask(caller) for _ in range(3)] == [None, None, None]
        await server.start()
        async with asyncio.timeout(30):
            while store.is_away:  # noqa: ASYNC110  nobody is told but the log
                await asyncio.sleep(0.01)

        assert isinstance(await store.ask(caller), Claim)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@needs_server
async def test_a_single_slow_answer_does_not_put_the_store_away_for_long(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.limits_redis.PING_S", 60.0)
    monkeypatch.setattr("proxy.limits_redis.PING_TIMEOUT_S", 10.0)
    async with replicas(server.url, 1) as (store,):
        server.pause()
        assert await store.ask(Caller("team", requests_per_minute=10)) is None
        assert store.is_away

        server.go_on()

        async with asyncio.timeout(30):
            while store.is_away:  # noqa: ASYNC110  nobody is told but the log
                await asyncio.sleep(0.01)


async def test_a_call_never_waits_long_for_a_store_that_is_silent() -> None:
    caller = Caller("team", requests_per_minute=10)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with replicas_of_silence(silent.getsockname()[1]) as store:
            began = time.monotonic()

            answers = [await store.ask(caller) for _ in range(100)]

            took = time.monotonic() - began
    assert answers == [None] * 100
    assert took < 50 * ASK_TIMEOUT_S, "one timeout for all of them, on a busy machine"


@contextlib.asynccontextmanager
async def replicas_of_silence(port: int) -> AsyncIterator[SharedLimits]:
    store = open_store(f"redis://127.0.0.1:{port}/0")
    yield store
    await store.close()
