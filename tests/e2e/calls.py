"""Calls over raw sockets, for tests whose subject is the connection: who closes when, who reads how fast."""

import asyncio
import socket
import struct

import msgspec

from tests.support.canary import PROMPT

BODIES: dict[str, tuple[str, dict[str, object]]] = {
    "openai_chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": PROMPT}], "stream": True},
    ),
    "anthropic": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100, "stream": True},
    ),
    "canonical": ("/chat", {"messages": [{"role": "user", "content": PROMPT}]}),
}
"""Path and body of a streaming request in each dialect."""


def request_bytes(dialect: str, model: str) -> bytes:
    """A whole streaming request."""
    path, fields = BODIES[dialect]
    body = msgspec.json.encode({"model": model, **fields})
    head = (
        f"POST {path} HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class RawCall:
    """One request on a socket of its own. Reads only when told."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self._port = port
        self._socket = socket.socket()
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.setblocking(False)
        self.received = b""

    async def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await loop.sock_sendall(self._socket, data)

    async def send_more(self, data: bytes) -> None:
        """Bytes on the connection that `send` made."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def more(self, data: bytes) -> None:
        """Send on the open connection."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def read(self, size: int = 65536) -> bytes:
        """What is there, at most `size` bytes; empty at the end of the connection."""
        data = await asyncio.get_running_loop().sock_recv(self._socket, size)
        self.received += data
        return data

    async def read_until(self, mark: bytes, patience_s: float = 30.0) -> bytes:
        """Everything up to the read in which `mark` came."""
        async with asyncio.timeout(patience_s):
            while mark not in self.received:
                if not await self.read():
                    break
        return self.received

    async def read_to_end(self, patience_s: float = 30.0) -> bytes:
        """Everything until the connection ends."""
        async with asyncio.timeout(patience_s):
            while await self.read():
                pass
        return self.received

    def leave(self) -> None:
        """Close the socket: FIN, or RST when unread bytes wait."""
        self._socket.close()

    close = leave

    def half_close(self) -> None:
        """End the own half of the connection; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close the socket with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def bare_body(response: bytes) -> bytes:
    """The body of a raw response, its chunk framing undone. Raises ValueError for a message that is not whole."""
    head, blank, rest = response.partition(b"\r\n\r\n")
    if not blank:
        raise ValueError("no blank line after the head")
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    body = b""
    while True:
        size_text, line_end, rest = rest.partition(b"\r\n")
        if not line_end:
            raise ValueError("the body ends without its last chunk")
        size = int(size_text, 16)
        if size == 0:
            return body
        body += rest[:size]
        rest = rest[size + 2 :]
