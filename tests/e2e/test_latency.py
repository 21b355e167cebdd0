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


class _MarkServer(asyncio.Protocol):
    """One answer: `EVENTS` deltas, each with the time at which it was written. Without tasks that a test could leave."""

    def __init__(self) -> None:
        self._request = b""
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, blank, body = self._request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if blank and length is not None and len(body) == int(length[1]) and self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if self._sent == EVENTS:
            self._transport.write(_chunk(CHAT_END) + b"0\r\n\r\n")
            self._transport.close()
            return
        self._sent += 1
        self._transport.write(_chunk(chat_chunk(f"@{time.monotonic_ns()};")))
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._send)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def _proxy(tmp_path: Path) -> AsyncIterator[ProxyProcess]:
    upstream = await asyncio.get_running_loop().create_server(_MarkServer, "127.0.0.1", 0)
    with contextlib.closing(upstream):
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
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            await asyncio.sleep(0.05)
