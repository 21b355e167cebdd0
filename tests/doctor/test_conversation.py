"""One request on a connection of its own, against servers that answer with fixed bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proxy.doctor.conversation import Conversation, Ending, Site, Unreachable, look_at_tls, parse_site
from tests.support.ports import refusing_socket

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CUT = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize(
    ("text", "site", "url"),
    [
        ("http://127.0.0.1:8080", Site("127.0.0.1", 8080, False, ""), "http://127.0.0.1:8080"),
        ("llm.example.com", Site("llm.example.com", 80, False, ""), "http://llm.example.com"),
        ("https://llm.example.com/v1/", Site("llm.example.com", 443, True, ""), "https://llm.example.com"),
        ("https://a.example/llm/v1", Site("a.example", 443, True, "/llm"), "https://a.example/llm"),
        ("http://[::1]:81/x/", Site("::1", 81, False, "/x"), "http://[::1]:81/x"),
    ],
)
def test_url_with_or_without_what_sdks_take(text: str, site: Site, url: str) -> None:
    assert parse_site(text) == site
    assert parse_site(text).url == url


@pytest.mark.parametrize("text", ["ftp://a", "http://", "http://key@a", "http://a?key=b", "http://a:port"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_site(text)


class Answering(asyncio.Protocol):
    """Answers any request's head with fixed bytes, and closes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if (b"\r\n\r\n" in self._received or self._received[:1] == b"\x16") and self._transport is not None:
            self._transport.write(self._data)
            self._transport.close()


@contextlib.asynccontextmanager
async def answering(data: bytes) -> AsyncIterator[Site]:
    """Where a server answers so. A TLS handshake is answered as well."""
    server = await asyncio.get_running_loop().create_server(lambda: Answering(data), "127.0.0.1", 0)
    with contextlib.closing(server):
        yield Site("127.0.0.1", server.sockets[0].getsockname()[1], False, "")


async def read_all(site: Site) -> tuple[bytes, Conversation]:
    conversation = await Conversation.open(site)
    body = b""
    try:
        conversation.send("POST", "/x", {}, b"")
        async with asyncio.timeout(30):
            while conversation.ending is None:
                body += (await conversation.read())[1]
    finally:
        await conversation.close()
    return body, conversation


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (WHOLE, Ending.WHOLE),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, Ending.WHOLE),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", Ending.WHOLE),
        (CUT, Ending.CUT),
    ],
)
async def test_how_an_answer_ends(data: bytes, ending: Ending) -> None:
    async with answering(data) as site:
        body, conversation = await read_all(site)

    assert (body, conversation.ending) == (b"hello", ending)
    assert conversation.was_told_to_go_on == (b"100 Continue" in data)


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n", b""])
async def test_what_is_no_http_is_said(data: bytes) -> None:
    async with answering(data) as site:
        with pytest.raises(Unreachable):
            await read_all(site)


async def test_nobody_there() -> None:
    with refusing_socket() as refusing:
        site = Site("127.0.0.1", refusing.getsockname()[1], False, "")

        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:\d+: "):
            await Conversation.open(site)


async def test_tls_against_a_plain_port_is_said() -> None:
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as plain:
        site = Site(plain.host, plain.port, True, "")

        with pytest.raises(Unreachable):
            await look_at_tls(site)
        with pytest.raises(Unreachable):
            await Conversation.open(site)


async def test_no_tls_no_look() -> None:
    assert await look_at_tls(Site("127.0.0.1", 1, False, "")) is None
