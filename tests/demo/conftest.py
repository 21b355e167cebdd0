import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.demo import DemoServer
from proxy.demo.delivery import Stats

PATIENCE_S = 30.0
"""How long anything may take here before the test fails."""


class Demo:
    """A running server and its URL."""

    def __init__(self, server: DemoServer, url: str) -> None:
        self.server = server
        self.url = url

    async def until(self, fact: Callable[[Stats], bool]) -> None:
        """Wait for a fact about the server's counters, which have no event to wait for."""
        async with asyncio.timeout(PATIENCE_S):
            while not fact(self.server.stats):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """A simulated model that does not wait."""
    server = DemoServer(rate=0, delay_s=0)
    url = await server.start()
    yield Demo(server, url)
    await server.stop()
