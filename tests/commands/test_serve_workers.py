"""Two workers under load, as an operator runs them: one is killed, all are reloaded, the port stays served."""

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import sse
from tests.support.ports import free_port
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

FIRST = chat_chunk("one ")
PATIENCE_S = 30.0


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(sse(chat_stream(3))) as server:
        yield server


def config(upstream: ReplayServer, **more: Any) -> dict[str, Any]:
    chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
    return settings([chat], **{"listen": f"127.0.0.1:{free_port()}", "workers": 2, **more})


@pytest.fixture(params=[True, False], ids=["admin_port", "main_port"])
async def proxy(
    request: pytest.FixtureRequest, upstream: ReplayServer, tmp_path: Path
) -> AsyncIterator[tuple[ProxyProcess, str]]:
    """The proxy, and where its admin routes are."""
    admin = {"admin": {"listen": f"127.0.0.1:{free_port()}"}} if request.param else {}
    async with proxy_process(config(upstream, **admin), tmp_path) as running:
        yield running, f"http://{admin['admin']['listen']}" if admin else running.url


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


def value(text: str, pattern: str) -> float:
    """The sum of the series that match."""
    return sum(float(line.split()[-1]) for line in text.splitlines() if re.match(pattern, line))


async def metrics_until(admin: str, pattern: str, wanted: float) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, text = await get(f"{admin}/metrics")
            if value(text, pattern) == wanted:
                return text
            await asyncio.sleep(0.05)


COMPLETED = r'llm_proxy_streams_total\{.*outcome="completed"'
ACTIVE = r"llm_proxy_active_streams"


def workers_with_streams(proxy: ProxyProcess) -> dict[int, int]:
    """Established connections to the proxy's port, by worker."""
    children = Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()
    held: dict[int, int] = {}
    local = f"0100007F:{proxy.port:04X}"
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1] == local and line.split()[3] == "01"
    }
    for child in children:
        links = [os.readlink(f"/proc/{child}/fd/{name}") for name in os.listdir(f"/proc/{child}/fd")]
        held[int(child)] = len([link for link in links if link.removeprefix("socket:[").removesuffix("]") in inodes])
    return held


async def test_a_killed_worker_takes_only_its_own_streams_and_the_sums_stay_right(
    proxy: tuple[ProxyProcess, str], upstream: ReplayServer
) -> None:
    running, admin = proxy
    done, live = 20, 40
    for _ in range(done):
        call = RawCall(running.port)
        await call.send(request_bytes("openai_chat", "chat"))
        await call.read_until(b"[DONE]")
        call.leave()
    await metrics_until(admin, COMPLETED, done)
    upstream.respond_with(sse(FIRST + chat_stream(3), holds=(len(FIRST),)))
    calls = [RawCall(running.port) for _ in range(live)]
    for call in calls:
        await call.send(request_bytes("openai_chat", "chat"))
    for call in calls:
        await call.read_until(b"one")
    assert value((await get(f"{admin}/metrics"))[1], ACTIVE) == live

    held = {pid: count for pid, count in workers_with_streams(running).items() if count}
    victim = min(held)
    os.kill(victim, signal.SIGKILL)
    text = await metrics_until(admin, r"llm_proxy_worker_exits_total", 1)
    for index in range(done, done + live):
        (await upstream.exchange(index)).release()
    for call in calls:
        with contextlib.suppress(ConnectionResetError):
            await call.read_until(b"[DONE]")
        call.leave()

    whole = sum(b"[DONE]" in call.received for call in calls)
    assert len(held) == 2
    assert whole == live - held[victim]
    assert value(text, COMPLETED) == done, "what the dead worker counted is kept"
    assert value(text, ACTIVE) == whole, "what it had open is not"
    text = await metrics_until(admin, COMPLETED, done + whole)
    assert value(text, "llm_proxy_build_info") == 1
    await metrics_until(admin, "llm_proxy_workers ", 2)
    assert "SIGKILL" in running.log.read_text()
    assert await get(f"{admin}/readyz") == (200, "ready\n")


async def streams(admin: str) -> list[dict[str, Any]]:
    status, text = await get(f"{admin}/streams")
    assert status == 200
    return list(yaml.safe_load(text)["streams"])


async def test_calls_of_all_workers_are_seen_and_ended(proxy: tuple[ProxyProcess, str], upstream: ReplayServer) -> None:
    running, admin = proxy
    upstream.respond_with(sse(FIRST + chat_stream(3), holds=(len(FIRST),)))
    calls = [RawCall(running.port) for _ in range(30)]
    ids: list[str] = []
    for call in calls:
        await call.send(request_bytes("openai_chat", "chat"))
        received = await call.read_until(b"one")
        ids.append(re.findall(rb"(?i)x-proxy-stream: ([0-9a-f]+)", received)[0].decode())

    seen = await streams(admin)
    of_worker = {one["id"]: one["worker"] for one in seen}
    assert set(of_worker) == set(ids)
    workers = sorted(set(of_worker.values()), key=list(of_worker.values()).count)
    assert len(workers) == 2

    async with aiohttp.ClientSession(admin) as session:
        for worker in workers:
            stream_id = next(name for name in ids if of_worker.get(name) == worker)
            async with session.delete(f"/streams/{stream_id}") as response:
                assert (response.status, (await response.json())["outcome"]) == (200, "killed")
            await calls[ids.index(stream_id)].read_until(b'data: {"error"')
            async with session.delete(f"/streams/{stream_id}") as response:
                assert response.status == 404
            del of_worker[stream_id]

    async with asyncio.timeout(PATIENCE_S):
        while running.log.read_text().count('"outcome":"killed"') < 2:  # noqa: ASYNC110  it is another process
            await asyncio.sleep(0.02)
    os.kill(workers[0], signal.SIGKILL)
    await metrics_until(admin, r"llm_proxy_worker_exits_total", 1)
    left = {name for name, worker in of_worker.items() if worker != workers[0]}
    assert {one["id"] for one in await streams(admin)} == left
    for call in calls:
        call.leave()


async def test_every_worker_reloads(upstream: ReplayServer, tmp_path: Path) -> None:
    before = config(upstream)
    async with proxy_process(before, tmp_path) as running:
        after = {**before, "models": [{"name": "new", "targets": before["models"][0]["targets"]}]}
        (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(after))
        running.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            while running.log.read_text().count("configuration reloaded") < 2:  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.02)

        names = set()
        for _ in range(20):
            _, text = await get(f"{running.url}/v1/models")
            names.add(tuple(re.findall(r'"id":\s*"([^"]+)"', text)))

    assert names == {("new",)}


async def test_a_port_that_is_taken_is_said(tmp_path: Path, upstream: ReplayServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AssertionError, match=f"cannot listen on {listen}: Address already in use"):
            async with proxy_process(config(upstream, listen=listen), tmp_path):
                pass


def counters(text: str) -> dict[str, float]:
    """Every counter and every part of a histogram by its series."""
    kinds = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    rising = {name for name, kind in kinds.items() if kind in ("counter", "histogram")}
    found: dict[str, float] = {}
    for line in text.splitlines():
        name = re.split(r"[{ ]", line, maxsplit=1)[0]
        if name in rising or re.sub(r"_(bucket|count|sum)$", "", name) in rising:
            series, _, number = line.rpartition(" ")
            found[series] = float(number)
    return found


async def busy_worker(proxy: ProxyProcess) -> int:
    """A worker that has a stream now. The admin process has none."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(FileNotFoundError):  # a descriptor was closed while we looked
                if held := [pid for pid, count in workers_with_streams(proxy).items() if count]:
                    return min(held)
            await asyncio.sleep(0)


async def test_no_counter_ever_falls_while_workers_are_killed_under_load(
    upstream: ReplayServer, tmp_path: Path
) -> None:
    admin = f"127.0.0.1:{free_port()}"
    config_of_two = config(upstream, admin={"listen": admin})
    async with proxy_process(config_of_two, tmp_path) as running:
        finished = 0
        fallen: list[tuple[str, float, float]] = []
        is_over = False

        async def call_on() -> None:
            nonlocal finished
            while not is_over:
                call = RawCall(running.port)
                with contextlib.suppress(ConnectionError):
                    await call.send(request_bytes("openai_chat", "chat"))
                    await call.read_until(b"[DONE]")
                    finished += b"[DONE]" in call.received
                call.leave()

        async def scrape_on() -> None:
            before: dict[str, float] = {}
            while not is_over:
                now = counters((await get(f"http://{admin}/metrics"))[1])
                fallen.extend((series, value, now.get(series, -1.0)) for series, value in before.items()
                              if now.get(series, -1.0) < value)  # fmt: skip
                before = now

        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(call_on())
            for _ in range(2):
                group.create_task(scrape_on())
            for kills in range(1, 4):
                await metrics_until(f"http://{admin}", r"llm_proxy_workers ", 2)
                seen = finished
                while finished < seen + 30:  # noqa: ASYNC110  load, not time, is what is waited for
                    await asyncio.sleep(0.01)
                os.kill(await busy_worker(running), signal.SIGKILL)
                await metrics_until(f"http://{admin}", r"llm_proxy_worker_exits_total", kills)
            is_over = True
        text = await metrics_until(f"http://{admin}", ACTIVE, 0)

    assert fallen == []
    assert finished > 90 and 0 < value(text, COMPLETED) <= finished + 6
    assert value(text, r"process_open_fds\{process=\"worker-") > 0
    assert text.count("process_start_time_seconds{") <= 3, "the dead are no processes"


async def test_exemplars_come_through_the_sum(upstream: ReplayServer, tmp_path: Path) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with proxy_process(config(upstream), tmp_path) as running:
        body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{running.url}/v1/chat/completions", json=body, headers=headers) as response:
                await response.read()
            await metrics_until(running.url, COMPLETED, 1)
            async with session.get(f"{running.url}/metrics", headers=accept) as response:
                text = await response.text()

    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["gen_ai_server_time_to_first_token_seconds"].samples
    assert [sample.exemplar.labels for sample in samples if sample.exemplar] == [{"trace_id": trace_id}]
