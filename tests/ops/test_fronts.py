"""The settings that the chart's README gives for nginx, taken from there and run."""

import asyncio
import contextlib
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.ops import load
from tests.support.proxy import proxy_process

README = Path(__file__).parents[2] / "helm/llm-stream-proxy/README.md"
START_S = 10.0

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed (Debian package: nginx)")


def nginx_settings() -> str:
    found = re.search(r"^```nginx\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@contextlib.asynccontextmanager
async def nginx(upstream_port: int, folder: Path) -> AsyncIterator[str]:
    """nginx with the README's settings in front of `upstream_port`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = nginx_settings().replace("127.0.0.1:8080", f"127.0.0.1:{upstream_port}")
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.err; events {{}}"
        f" http {{ access_log off; server {{ listen 127.0.0.1:{port}; {server} }} }}"
    )
    process = await asyncio.create_subprocess_exec(
        "nginx", "-c", str(config), "-p", str(folder), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_events_pass_nginx_one_by_one(tmp_path: Path) -> None:
    prompt = "[[demo tokens=10 rate=20]]"
    async with (
        proxy_process(load.config("http://127.0.0.1:9/v1"), tmp_path, environ={"NARROW_KEY": load.KEY}) as proxy,
        nginx(proxy.port, tmp_path) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/chat", json={"messages": [{"role": "user", "content": prompt}]}) as response,
    ):
        times = [time.monotonic() async for line in response.content if line.startswith(b"data: ")]

    assert response.status == 200
    assert len(times) > 10
    assert times[-1] - times[0] > 0.3, "the answer takes half a second; it came in one piece"


async def test_nginx_closes_the_way_to_us_when_the_caller_leaves(tmp_path: Path) -> None:
    prompt = "[[demo tokens=2000 rate=50]]"
    async with (
        proxy_process(load.config("http://127.0.0.1:9/v1"), tmp_path, environ={"NARROW_KEY": load.KEY}) as proxy,
        nginx(proxy.port, tmp_path) as url,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{url}/chat", json={"messages": [{"role": "user", "content": prompt}]}) as response:
            await response.content.readline()
            response.close()
        async with asyncio.timeout(5):
            while b"caller_left_midway" not in proxy.log.read_bytes():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
