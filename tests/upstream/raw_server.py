"""A server of raw bytes: one coroutine per connection decides everything that is sent, and sees how the peer leaves."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

PATIENCE_S = 30.0
"""How long anything that must happen may take; only a failing test waits for it."""


@dataclass
class RawRequest:
    method: str
    target: str
    headers: dict[str, str]
    """Lower-case names; a repeated name fails."""
    body: bytes
    raw: bytes


@dataclass
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[RawRequest] = field(default_factory=list)

    async def request(self) -> RawRequest:
        """The next request. Raises IncompleteReadError when the client closes instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = lines[0].split(" ")
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers
            headers[name.lower()] = value
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = RawRequest(method, target, headers, body, head + body)
        self.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> bytes:
        """Waits until the client has closed (FIN or RST); what it sent before."""
        seen = b""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError, ssl.SSLError):
                while data := await self.reader.read(65536):
                    seen += data
        return seen

    def reset(self) -> None:
        """Closes with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs `script` for each connection and closes it afterwards. What a script raises, the test raises."""

    def __init__(
        self, script: Script, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """`port` 0: any free one."""
        self.peers: list[Peer] = []
        self.port = port
        self.host = host
        self._script = script
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = asyncio.Condition()

    async def __aenter__(self) -> "RawServer":
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)
        for result in results:
            if kind is None and isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def requests(self) -> list[RawRequest]:
        """Of all connections, in the order of connecting."""
        return [request for peer in self.peers for request in peer.requests]

    async def peer(self, index: int = 0) -> Peer:
        """The connection number `index`, when it is there."""
        async with asyncio.timeout(PATIENCE_S), self._connected:
            await self._connected.wait_for(lambda: len(self.peers) > index)
        return self.peers[index]

    async def settled(self) -> None:
        """Waits until every script so far has ended."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._serve(Peer(reader, writer))))

    async def _serve(self, peer: Peer) -> None:
        self.peers.append(peer)
        async with self._connected:
            self._connected.notify_all()
        try:
            await self._script(peer)
        finally:
            peer.writer.close()


def answering(*answers: bytes, close: bool = True) -> Script:
    """A script that gives one of `answers` to each request, then closes or waits for the client to leave."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.send(answer)
        if not close:
            await peer.gone()

    return script


def keeping(answer: bytes) -> Script:
    """A script that gives `answer` to every request, until the client leaves."""

    async def script(peer: Peer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await peer.request()
                await peer.send(answer)

    return script
