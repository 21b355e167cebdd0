"""Each event leaves when it came: the upstream sends the next one when the caller has this one. With and without nginx.

Whatever waits for more before it passes something on waits for ever here, on any machine. What a timer might hold back
for a moment is measured besides, by the monotonic clock inside each event; upstream and caller are both in this process.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support import fronts
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings

EVENTS = 15
STREAMS = 4
PATIENCE_S = 30.0
DIALECTS = ["openai_chat", "anthropic", "canonical"]
MAX_DELAY_S = 0.03
"""Of the fastest quarter: the rest may have waited for a processor. Shorter than Linux's shortest delayed
acknowledgement, 40 ms, for which a connection without TCP_NODELAY waits."""

_MARK = re.compile(rb"@(\d+):(\d+);")


class _MarkServer(asyncio.Protocol):
    """One answer: `EVENTS` deltas, each with its connection's number and the time at which it was written."""

    def __init__(self, others: "list[_MarkServer]") -> None:
        self._others = others
        self._request = b""
        self._sent = 0
        self._number = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._number = len(self._others)
        self._others.append(self)

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, blank, body = self._request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if blank and length is not None and len(body) == int(length[1]) and self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self.send()

    def send(self) -> None:
        """The next delta; the end, after the last one."""
        assert self._transport is not None
        if self._sent == EVENTS:
            self._transport.write(_chunk(CHAT_END) + b"0\r\n\r\n")
            self._transport.close()
            return
        self._sent += 1
        self._transport.write(_chunk(chat_chunk(f"@{self._number}:{time.monotonic_ns()};")))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class _Stage:
    proxy: ProxyProcess
    servers: list[_MarkServer]

    async def delays(self, port: int, dialect: str) -> list[float]:
        """Seconds from each event's write to its arrival here, of streams side by side, in ascending order."""
        async with asyncio.timeout(PATIENCE_S):
            streams = await asyncio.gather(*(self._delays(port, dialect) for _ in range(STREAMS)))
        return sorted(delay for stream in streams for delay in stream)

    async def _delays(self, port: int, dialect: str) -> list[float]:
        call = RawCall(port)
        await call.send(request_bytes(dialect, "chat"))
        delays: list[float] = []
        unread = b""
        try:
            while len(delays) < EVENTS:
                data = await call.read()
                now = time.monotonic_ns()
                assert data, "the stream ended early"
                unread += data
                if mark := _MARK.search(unread):
                    unread = unread[mark.end() :]
                    delays.append((now - int(mark[2])) / 1e9)
                    self.servers[int(mark[1])].send()
        finally:
            call.leave()
        return delays


@contextlib.asynccontextmanager
async def _stage(tmp_path: Path) -> AsyncIterator[_Stage]:
    servers: list[_MarkServer] = []
    upstream = await asyncio.get_running_loop().create_server(lambda: _MarkServer(servers), "127.0.0.1", 0)
    with contextlib.closing(upstream):
        port = upstream.sockets[0].getsockname()[1]
        chat = provider("chat", "openai_chat", f"http://127.0.0.1:{port}/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            yield _Stage(proxy, servers)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_events_leave_when_they_came(dialect: str, tmp_path: Path) -> None:
    async with _stage(tmp_path) as on:
        delays = await on.delays(on.proxy.port, dialect)

    assert delays[len(delays) // 4] < MAX_DELAY_S


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_events_pass_nginx_with_its_defaults_at_once(dialect: str, tmp_path: Path) -> None:
    """nginx speaks HTTP/1.0 to us by default and buffers, unless the answer forbids it."""
    fronts.need("nginx")
    async with _stage(tmp_path) as on, fronts.nginx(on.proxy.port, tmp_path, fronts.NGINX_PLAIN) as port:
        delays = await on.delays(port, dialect)

    assert delays[len(delays) // 4] < MAX_DELAY_S
