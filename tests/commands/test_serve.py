"""Starting and stopping one process. Signals, reloads and streams are in tests/e2e/test_life.py."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from proxy.commands import ServeOptions
from proxy.commands.serve import EXIT_BAD, EXIT_FAILED, Stops, banner, run
from proxy.config import Flag, Loaded, Sources, load
from proxy.hub.errors import ConfigError
from proxy.server.app import Running, start


def loaded(folder: Path, listen: str = "127.0.0.1:0") -> tuple[Sources, Loaded]:
    file = folder / "proxy.yaml"
    file.write_text("providers: [{name: demo}]\ndrain: {lame_duck_s: 30, deadline_s: 30}\n")
    sources = Sources(file, (Flag("--listen", "listen", listen),), environ={})
    return sources, load(sources)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    proxy = await start(loaded(tmp_path)[1].config)
    yield proxy
    await proxy.stop()


def test_a_port_that_is_taken_is_said_and_ends_the_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        sources, found = loaded(tmp_path, listen)

        code = run(found.config, ServeOptions(sources, found))

    assert code == EXIT_FAILED
    assert capfd.readouterr().err == f"cannot listen on {listen}: Address already in use\n"


def test_the_banner_says_what_to_give_to_which_sdk(tmp_path: Path) -> None:
    text = banner(loaded(tmp_path)[1].config, "http://127.0.0.1:8080", "http://127.0.0.1:9090")

    assert text.splitlines()[0] == "listening on http://127.0.0.1:8080"
    for part in ("demo", "OpenAI SDK", "http://127.0.0.1:8080/v1", "http://127.0.0.1:9090/readyz"):
        assert part in text


async def ready(running: Running) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{running.admin_url}/readyz") as response:
        return response.status


async def test_the_first_demand_drains_and_the_second_one_ends_it(running: Running) -> None:
    stops = Stops(running)
    waiting = asyncio.get_running_loop().create_task(stops.wait())
    assert await ready(running) == 200

    stops.stop()
    assert await ready(running) == 503
    stops.drain()
    assert await ready(running) == 503, "a drain asked for twice is still a drain"
    stops.stop()

    async with asyncio.timeout(30):
        await waiting


async def test_an_order_to_end_now_needs_no_drain_before(running: Running) -> None:
    stops = Stops(running)
    stops.stop_now()

    async with asyncio.timeout(30):
        await stops.wait()


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """They are read before the first call, so that no stream waits for them."""
    file = tmp_path / "proxy.yaml"
    file.write_text(
        "listen: 127.0.0.1:0\nproviders:\n"
        f"  - {{name: x, kind: openai_chat, base_url: 'https://127.0.0.1:9/v1', api_key: none, tls: {{ca_file: {file}}}}}\n"
    )
    sources = Sources(file, environ={})
    found = load(sources)

    code = run(found.config, ServeOptions(sources, found))

    assert code == EXIT_BAD
    assert "tls.ca_file" in capfd.readouterr().err


async def test_a_reload_whose_certificates_cannot_be_read_changes_nothing(running: Running, tmp_path: Path) -> None:
    before = running.gateway.snapshot
    file = tmp_path / "other.yaml"
    file.write_text(
        "providers:\n"
        f"  - {{name: x, kind: openai_chat, base_url: 'https://127.0.0.1:9/v1', api_key: none, tls: {{ca_file: {file}}}}}\n"
    )

    with pytest.raises(ConfigError, match="ca_file"):
        await running.replace(load(Sources(file, environ={})).config)

    assert running.gateway.snapshot is before


async def test_who_has_connected_before_the_listener_closes_is_served(running: Running) -> None:
    """The kernel made the connections, and the loop has not seen them: nobody yields in between."""
    waiting = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(3)]
    for each in waiting:
        each.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    running.stop_listening()

    loop = asyncio.get_running_loop()
    for each in waiting:
        each.setblocking(False)
        async with asyncio.timeout(30):
            assert (await loop.sock_recv(each, 1000)).startswith(b"HTTP/1.1 200 OK")
        each.close()
