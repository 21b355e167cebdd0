"""Short words for what most tests of the client do."""

import asyncio
from collections.abc import Callable

from proxy.hub.errors import UpstreamError
from proxy.upstream import Endpoint, Exchange, UpstreamPool, parse_endpoint
from tests.upstream.offline import Recorder
from tests.upstream.raw_server import PATIENCE_S, RawServer


async def ask(
    pool: UpstreamPool,
    server: RawServer | Endpoint,
    *,
    method: str = "POST",
    path: str = "/chat",
    body: bytes = b"{}",
    connect_timeout_s: float = PATIENCE_S,
    headers_timeout_s: float = PATIENCE_S,
) -> Exchange:
    """An exchange with `server`, its head complete."""
    endpoint = server if isinstance(server, Endpoint) else parse_endpoint(server.url)
    return await pool.send(
        endpoint,
        method,
        path,
        {"content-type": "application/json"},
        body,
        connect_timeout_s=connect_timeout_s,
        headers_timeout_s=headers_timeout_s,
    )


class Receiver(Recorder):
    """A recorder that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._wake = asyncio.Event()

    def body_received(self, data: bytes) -> None:
        super().body_received(data)
        self._wake.set()

    def body_ended(self) -> None:
        super().body_ended()
        self._wake.set()

    def body_failed(self, error: UpstreamError) -> None:
        super().body_failed(error)
        self._wake.set()

    async def over(self) -> None:
        """Waits for the end, whichever it is."""
        await self._until(lambda: self.is_over)

    async def has(self, body: bytes) -> None:
        """Waits until exactly `body` has come."""
        await self._until(lambda: len(self.body) >= len(body))
        assert self.body == body

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._wake.clear()
                await self._wake.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Waits, a turn of the loop at a time, for something that is on its way."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  conditions of many kinds, none of which tells anybody
            await asyncio.sleep(0.001)
