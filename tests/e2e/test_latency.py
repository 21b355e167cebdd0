"""Each event leaves when it came: measured with time marks inside the events, with and without nginx in front.

The upstream writes the monotonic clock into every delta just before it sends it; the caller compares on arrival. Both
run in this process, so the times are of one clock.
"""

import asyncio
import contextlib
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings

EVENTS = 15
INTERVAL_S = 0.1
STREAMS = 4
DIALECTS = ["openai_chat", "anthropic", "canonical"]
MAX_MEDIAN_S = 0.005
MAX_P99_S = INTERVAL_S / 2
"""On a machine that runs other tests beside this one. An event that waits for the next would show twice this; the
benchmark measures the tail undisturbed."""

_MARK = re.compile(rb"@(\d+);")


async def _serve_marks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer: `EVENTS` deltas, each with the time at which it was written."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    assert length is not None
    await reader.readexactly(int(length[1]))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(EVENTS):
        _write_chunk(writer, chat_chunk(f"@{time.monotonic_ns()};"))
        await writer.drain()
        await asyncio.sleep(INTERVAL_S)
    _write_chunk(writer, CHAT_END)
    writer.write(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


@contextlib.asynccontextmanager
async def _proxy(tmp_path: Path) -> AsyncIterator[ProxyProcess]:
    async with await asyncio.start_server(_serve_marks, "127.0.0.1", 0) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        chat = provider("chat", "openai_chat", f"http://127.0.0.1:{port}/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            yield proxy


async def _delays(port: int, dialect: str) -> list[float]:
    """Seconds from each event's write to its arrival here."""
    call = RawCall(port)
    await call.send(request_bytes(dialect, "chat"))
    delays: list[float] = []
    try:
        while len(delays) < EVENTS:
            data = await call.read()
            now = time.monotonic_ns()
            assert data, "the stream ended early"
            delays += [(now - int(mark)) / 1e9 for mark in _MARK.findall(data)]
    finally:
        call.leave()
    return delays


async def _all_delays(port: int, dialect: str) -> list[float]:
    streams = await asyncio.gather(*(_delays(port, dialect) for _ in range(STREAMS)))
    return sorted(delay for stream in streams for delay in stream)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_events_leave_when_they_came(dialect: str, tmp_path: Path) -> None:
    async with _proxy(tmp_path) as proxy:
        delays = await _all_delays(proxy.port, dialect)

    assert delays[len(delays) // 2] < MAX_MEDIAN_S
    assert delays[int(len(delays) * 0.99)] < MAX_P99_S


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_events_pass_nginx_with_its_defaults_at_once(dialect: str, tmp_path: Path) -> None:
    """nginx speaks HTTP/1.0 to us by default and buffers, unless the answer forbids it."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian package: nginx)")
    async with _proxy(tmp_path) as proxy, _nginx(proxy.port, tmp_path) as port:
        delays = await _all_delays(port, dialect)

    assert delays[len(delays) // 2] < MAX_MEDIAN_S
    assert delays[int(len(delays) * 0.99)] < MAX_P99_S


@contextlib.asynccontextmanager
async def _nginx(upstream_port: int, tmp_path: Path) -> AsyncIterator[int]:
    """nginx with nothing set but where to listen and where to pass on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.err; events {{}}"
        f"http {{ access_log off; {paths}"
        f" server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream_port}; }} }} }}"
    )
    process = await asyncio.create_subprocess_exec(
        "nginx", "-c", str(config), "-p", str(tmp_path), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _until_open(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _until_open(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
