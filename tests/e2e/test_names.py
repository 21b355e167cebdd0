"""Provider host names on the wire: a changed answer is followed, and no answer leads where nobody may go."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from proxy.config.load import Sources, load
from proxy.server.app import Running, start
from proxy.upstream import UpstreamPool
from tests.e2e.fault_row import CHAT, streamed
from tests.support.proxy import provider, settings
from tests.upstream.raw_server import RawServer, keeping

NAME = "provider.example"
BODY = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class Names:
    """What the system's resolver says of `NAME`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address = "127.0.0.1"
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: Any, *more: Any, **named: Any) -> Any:
        return self._real(self.address if host == NAME else host, *more, **named)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    monkeypatch.setattr("proxy.upstream.resolve.FRESH_S", 0.0)
    return Names(monkeypatch)


@contextlib.asynccontextmanager
async def proxied(port: int, tmp_path: Path) -> AsyncIterator[Running]:
    file = tmp_path / "proxy.yaml"
    chat = provider("chat", "openai_chat", f"http://{NAME}:{port}/v1")
    file.write_text(yaml.safe_dump(settings([chat], retry={"attempts": 1}, breaker={"failures": 0})))
    running = await start(load(Sources(file, environ={})).config)
    try:
        yield running
    finally:
        await running.stop()


async def ask(running: Running) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(f"{running.url}/v1/chat/completions", json=BODY)


async def test_a_changed_address_is_followed_and_old_connections_are_not_used_for_ever(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = UpstreamPool(max_age_s=300)
    monkeypatch.setattr("proxy.server.app.UpstreamPool", lambda: pool)
    answer = keeping(streamed(CHAT.whole))
    async with RawServer(answer) as old, contextlib.AsyncExitStack() as resources:
        new = RawServer(answer, host="127.0.0.2", port=old.port)
        await resources.enter_async_context(new)
        running = await resources.enter_async_context(proxied(old.port, tmp_path))
        assert (await ask(running)).status_code == 200
        names.address = "127.0.0.2"
        assert (await ask(running)).status_code == 200
        assert (len(old.requests), len(new.requests)) == (2, 0), "the kept connection is still good"

        for connection in pool._sockets:
            connection.opened_at -= 301
        assert (await ask(running)).status_code == 200

        assert (len(old.requests), len(new.requests)) == (2, 1)


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"])
async def test_a_name_that_comes_to_lead_to_a_metadata_service_is_not_followed(
    address: str, names: Names, tmp_path: Path
) -> None:
    async with RawServer(keeping(streamed(CHAT.whole))) as server, proxied(server.port, tmp_path) as running:
        names.address = address

        response = await ask(running)

        assert response.status_code == 502
        assert "not allowed" in response.json()["error"]["message"]
        assert address not in response.text
        assert server.requests == []
