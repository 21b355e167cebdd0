"""A proxy's life as a platform sees it: stopped, reloaded and replaced while streams run."""

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import BEFORE_HEADERS, sse
from tests.support.ports import free_port
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

FIRST = chat_chunk("one ")
HELD = sse(FIRST + chat_stream(3), holds=(len(FIRST),))
"""Waits after its first event."""
SILENT = sse(chat_stream(3), holds=(BEFORE_HEADERS,))
PATIENCE_S = 30.0


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(HELD) as server:
        yield server


def config(upstream: ReplayServer, **more: Any) -> dict[str, Any]:
    return settings([provider("chat", "openai_chat", upstream.base_url + "/v1")], **more)


async def held_stream(proxy: ProxyProcess, dialect: str = "openai_chat") -> RawCall:
    """A stream whose first event has come, and no more."""
    call = RawCall(proxy.port)
    await call.send(request_bytes(dialect, "chat"))
    await call.read_until(b"one")
    return call


async def release(upstream: ReplayServer, count: int, start: int = 0) -> None:
    for index in range(start, start + count):
        (await upstream.exchange(index)).release()


async def status(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


async def text(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def until(condition: Callable[[], bool]) -> None:
    """Once something outside this process is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  another process tells nobody
            await asyncio.sleep(0.02)


async def until_logged(proxy: ProxyProcess, mark: str, count: int = 1) -> None:
    await until(lambda: proxy.log.read_text().count(mark) >= count)


def outcomes(proxy: ProxyProcess) -> list[str]:
    return sorted(re.findall(r'"outcome":"([a-z_]+)"', proxy.log.read_text()))


# --- stopping


async def test_a_stop_finishes_what_it_can_and_says_so_to_the_rest(upstream: ReplayServer, tmp_path: Path) -> None:
    drain = {"lame_duck_s": 1.5, "deadline_s": 1.5}
    admin = {"listen": f"127.0.0.1:{free_port()}"}
    async with proxy_process(config(upstream, drain=drain, admin=admin), tmp_path) as proxy:
        finishing, cut, cut_anthropic = (
            await held_stream(proxy),
            await held_stream(proxy),
            await held_stream(proxy, "anthropic"),
        )
        upstream.respond_with(SILENT)
        waiting = RawCall(proxy.port)
        await waiting.send(request_bytes("anthropic", "chat"))
        await upstream.exchange(3)

        proxy.process.terminate()
        await until_logged(proxy, '"draining"')
        assert await status(f"http://{admin['listen']}/readyz") == 503
        assert await status(f"http://{admin['listen']}/healthz") == 200
        upstream.respond_with(HELD)
        late = await held_stream(proxy)
        await until(lambda: is_refused(proxy.port))
        await release(upstream, 1)
        await release(upstream, 1, start=4)
        answers = [await call.read_to_end() for call in (finishing, late, cut, cut_anthropic, waiting)]

        assert await proxy.process.wait() == 0
        for call in (finishing, late, cut, cut_anthropic, waiting):
            call.leave()
    assert [b"[DONE]" in bare_body(answer) for answer in answers[:2]] == [True, True]
    assert b'"error"' in bare_body(answers[2])
    assert b"[DONE]" not in bare_body(answers[2]).partition(b'"error"')[0]
    assert b"event: error" in bare_body(answers[3])
    head = answers[4].partition(b"\r\n\r\n")[0].lower()
    assert head.startswith((b"http/1.1 503", b"http/1.1 529"))
    assert b"\r\nretry-after: 1" in head
    assert b'"type":"error"' in answers[4]
    assert outcomes(proxy) == ["completed"] * 2 + ["drained"] * 3


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_every_stream_at_once_in_its_dialect(
    second: signal.Signals, upstream: ReplayServer, tmp_path: Path
) -> None:
    drain = {"lame_duck_s": 60, "deadline_s": 60}
    async with proxy_process(config(upstream, drain=drain), tmp_path) as proxy:
        calls = [await held_stream(proxy, dialect) for dialect in ("openai_chat", "anthropic", "canonical")]
        proxy.process.terminate()
        await until_logged(proxy, '"draining"')

        began = time.monotonic()
        proxy.process.send_signal(second)
        answers = [bare_body(await call.read_to_end()) for call in calls]

        assert await proxy.process.wait() == 0
        assert time.monotonic() - began < 30, "half of what draining may take"
        for call in calls:
            call.leave()
    assert all(b"error" in answer for answer in answers)
    assert outcomes(proxy) == ["drained"] * 3


async def test_a_person_s_stop_waits_for_streams_and_not_for_load_balancers(
    upstream: ReplayServer, tmp_path: Path
) -> None:
    drain = {"lame_duck_s": 60, "deadline_s": 60}
    async with proxy_process(config(upstream, drain=drain), tmp_path) as proxy:
        call = await held_stream(proxy, "openai_chat")

        proxy.process.send_signal(signal.SIGINT)
        await until_logged(proxy, '"draining"')
        upstream.exchanges[0].release()
        answer = await call.read_to_end()

        assert await proxy.process.wait() == 0
        assert b"[DONE]" in answer
        call.leave()


# --- reloading


def as_mounted(folder: Path, config: Mapping[str, Any]) -> Path:
    """A file as Kubernetes mounts it: `proxy.yaml` -> `..data/proxy.yaml`, `..data` -> a folder of this version."""
    swap(folder, config, "..1")
    (folder / "proxy.yaml").symlink_to(Path("..data") / "proxy.yaml")
    return folder / "proxy.yaml"


def swap(folder: Path, config: Mapping[str, Any], version: str) -> None:
    """Another version takes the first one's place, in one step."""
    (folder / version).mkdir()
    (folder / version / "proxy.yaml").write_text(yaml.safe_dump(dict(config)))
    (folder / "..new").symlink_to(version)
    os.replace(folder / "..new", folder / "..data")


async def test_reloads_cut_no_stream(upstream: ReplayServer, tmp_path: Path) -> None:
    count = 50
    first = config(upstream)
    changed = [
        {**first, "models": [{"name": f"chat-{number}", "targets": first["models"][0]["targets"]}] + first["models"]}
        for number in range(2)
    ]
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    file = as_mounted(mounted, first)
    async with proxy_process(first, tmp_path, file=file) as proxy:
        calls = [await held_stream(proxy) for _ in range(count)]

        swap(mounted, changed[0], "..2")
        await until_logged(proxy, '"configuration reloaded"')
        assert "chat-0" in await text(f"{proxy.url}/v1/models")
        swap(mounted, changed[1], "..3")
        proxy.process.send_signal(signal.SIGHUP)
        await until_logged(proxy, '"configuration reloaded"', 2)
        assert "chat-1" in await text(f"{proxy.url}/v1/models")
        proxy.process.send_signal(signal.SIGHUP)
        await until_logged(proxy, '"configuration unchanged"')
        await release(upstream, count)

        received = [await call.read_until(b"[DONE]") for call in calls]
        for call in calls:
            call.leave()
    assert sum(b"[DONE]" in one for one in received) == count
    assert outcomes(proxy).count("completed") >= count
    assert set(outcomes(proxy)) == {"completed"}


async def test_a_bad_file_changes_nothing_and_is_said_where_it_is_wrong(upstream: ReplayServer, tmp_path: Path) -> None:
    good = config(upstream)
    async with proxy_process(good, tmp_path) as proxy:
        file = tmp_path / "proxy.yaml"
        gauge = "llm_proxy_config_last_reload_successful"
        assert f"{gauge} 1.0" in await text(f"{proxy.url}/metrics")

        file.write_text("listen: 127.0.0.1:0\non_cut: contine\n")
        await until_logged(proxy, '"configuration refused')

        assert f"{file}:2:9: on_cut" in proxy.log.read_text()
        assert f"{gauge} 0.0" in await text(f"{proxy.url}/metrics")
        assert '"chat"' in await text(f"{proxy.url}/v1/models")
        file.write_text(yaml.safe_dump(good))
        proxy.process.send_signal(signal.SIGHUP)
        await until_logged(proxy, '"configuration unchanged"')
        assert f"{gauge} 1.0" in await text(f"{proxy.url}/metrics")


async def test_a_reload_that_first_names_the_simulated_model_starts_it(upstream: ReplayServer, tmp_path: Path) -> None:
    first = config(upstream)
    demo = {"name": "demo", "targets": [{"provider": "demo"}]}
    named = {**first, "providers": [*first["providers"], {"name": "demo"}], "models": [*first["models"], demo]}
    async with proxy_process(first, tmp_path) as proxy:
        calls = [await held_stream(proxy) for _ in range(20)]

        for wanted, count in ((named, 1), (first, 2), (named, 3)):
            (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(wanted))
            proxy.process.send_signal(signal.SIGHUP)
            await until_logged(proxy, '"configuration reloaded"', count)
        asked = RawCall(proxy.port)
        await asked.send(request_bytes("openai_chat", "demo"))
        answered = await asked.read_until(b"[DONE]")
        await release(upstream, 20)
        received = [await call.read_until(b"[DONE]") for call in calls]

        for call in (*calls, asked):
            call.leave()
    assert answered.startswith(b"HTTP/1.1 200")
    assert b"[DONE]" in answered
    assert all(b"[DONE]" in one for one in received)
    assert "refused" not in proxy.log.read_text()
    assert outcomes(proxy) == ["completed"] * 21


async def test_a_stream_outlives_the_provider_that_a_reload_removes(upstream: ReplayServer, tmp_path: Path) -> None:
    async with proxy_process(config(upstream), tmp_path) as proxy:
        call = await held_stream(proxy)

        other = settings([provider("other", "openai_chat", upstream.base_url + "/v1")])
        (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(other))
        proxy.process.send_signal(signal.SIGHUP)
        await until_logged(proxy, '"configuration reloaded"')
        refused = RawCall(proxy.port)
        await refused.send(request_bytes("openai_chat", "chat"))
        await refused.read_until(b"\r\n\r\n")
        await release(upstream, 1)

        assert refused.received.startswith(b"HTTP/1.1 404")
        assert b"[DONE]" in await call.read_until(b"[DONE]")
        call.leave()
        refused.leave()


# --- replacing


async def test_a_new_process_takes_the_port_over_and_nobody_is_refused(upstream: ReplayServer, tmp_path: Path) -> None:
    count = 100
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    shared = config(
        upstream, listen=f"127.0.0.1:{free_port()}", reuse_port=True, drain={"lame_duck_s": 0.5, "deadline_s": 20}
    )
    async with proxy_process(shared, folders[0]) as old:
        streams = [await held_stream(old) for _ in range(count)]
        upstream.respond_with(sse(chat_stream(1)))
        async with proxy_process(shared, folders[1]) as new:
            callers = asyncio.gather(*(keep_calling(new.port, old) for _ in range(4)))
            old.process.terminate()
            await until_logged(old, '"draining"')
            await release(upstream, count)
            ended = [await call.read_until(b"[DONE]") for call in streams]
            for call in streams:
                call.leave()
            assert await old.process.wait() == 0
            answered = sum(await callers)

    assert sum(b"[DONE]" in one for one in ended) == count
    assert answered > 20
    assert set(outcomes(old)) == set(outcomes(new)) == {"completed"}


async def keep_calling(port: int, old: ProxyProcess) -> int:
    """Call, each time on a new connection, until the old process has ended; how many calls were answered whole."""
    answered = 0
    while old.process.returncode is None or answered < 10:
        call = RawCall(port)
        await call.send(request_bytes("openai_chat", "chat"))
        assert b"[DONE]" in await call.read_until(b"[DONE]")
        call.leave()
        answered += 1
    return answered
