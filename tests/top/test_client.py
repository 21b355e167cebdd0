"""The asking end of `top` against real sockets: addresses, refusals, proxies that go and come back."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from proxy.top import client as module
from proxy.top.client import BadUrl, Client, Poller, ProxyFault, Told
from tests.support.answers import BEFORE_HEADERS, Answer, json, sse
from tests.support.ports import refusing_socket
from tests.support.replay import ReplayServer

SEEN = json({"is_draining": True, "streams": [{"id": "a", "state": "streaming"}], "more": 1})
PATIENCE_S = 30.0


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(SEEN) as running:
        yield running


async def test_a_snapshot_is_read(server: ReplayServer) -> None:
    live = await asyncio.to_thread(Client(server.base_url).snapshot)

    assert (live.is_draining, [call.id for call in live.streams]) == (True, ["a"])
    assert server.exchanges[0].path == "/streams"


async def test_a_call_is_killed_by_its_id(server: ReplayServer) -> None:
    server.respond_with(json({"id": "a/b", "outcome": "killed"}))

    assert await asyncio.to_thread(Client(server.base_url).kill, "a/b") == "killed"
    assert (server.exchanges[0].method, server.exchanges[0].path) == ("DELETE", "/streams/a%2Fb")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("http://[::1]:9090/", "http://[::1]:9090"),
        ("https://host/admin/", "https://host/admin"),
    ],
)
def test_addresses_may_be_written_short(given: str, url: str) -> None:
    assert Client(given).url == url


@pytest.mark.parametrize("given", ["", "ftp://host", "http://", "http://host:x", "http://u:p@host", "http://host?x=1"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(BadUrl):
        Client(given)


REFUSALS: list[tuple[Answer, str]] = [
    (json({"error": {"message": "No such call is in progress."}}, status=404), "404: No such call is in progress."),
    (json(["?"], status=503), f"503: {HTTPStatus(503).phrase}"),
    (json({"streams": 7}), "answered something else than calls"),
    (sse(b"<html>"), "answered something else than calls"),
]


@pytest.mark.parametrize(("answer", "said"), REFUSALS, ids=[said for _, said in REFUSALS])
async def test_what_is_no_answer_is_said(answer: Answer, said: str, server: ReplayServer) -> None:
    server.respond_with(answer)

    with pytest.raises(ProxyFault, match=said):
        await asyncio.to_thread(Client(server.base_url).snapshot)


async def test_a_proxy_that_is_silent_is_left(server: ReplayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    server.respond_with(sse(b"", holds=(BEFORE_HEADERS,)))

    with pytest.raises(ProxyFault, match=r"nothing came for 0\.1 s"):
        await asyncio.to_thread(Client(server.base_url).snapshot)


async def news(poller: Poller) -> Told:
    return await asyncio.to_thread(poller.news.get, timeout=PATIENCE_S)


async def test_the_poller_asks_again_and_carries_out_orders_in_between(server: ReplayServer) -> None:
    poller = Poller(Client(server.base_url), interval_s=0.05)
    poller.start()
    for _ in range(2):
        told = await news(poller)
        assert told.snapshot is not None

    server.respond_with(
        lambda exchange: json({"id": "a", "outcome": "killed"}) if exchange.method == "DELETE" else SEEN
    )
    poller.kill("a")
    while not (told := await news(poller)).message:
        pass
    poller.stop()

    assert told.message == "a: outcome killed"
    await asyncio.to_thread(poller.join)


async def test_the_poller_waits_for_a_proxy_that_is_not_there() -> None:
    with refusing_socket() as refusing:
        poller = Poller(Client(f"127.0.0.1:{refusing.getsockname()[1]}"), interval_s=0.05)
        poller.start()
        poller.kill("a")

        told = [await news(poller) for _ in range(3)]
        poller.stop()
        await asyncio.to_thread(poller.join)

    assert all("does not answer: Connection refused" in one.trouble + one.message for one in told)
