"""Streams over TLS: the same table of cases, and what only a network without TLS can do unseen."""

import asyncio
import os
from contextlib import suppress

import pytest

from proxy.hub.errors import ErrorKind
from proxy.upstream import FaultCode, TlsSettings, UpstreamPool, parse_endpoint
from tests.upstream.cases import CASES, CHUNKED, OK, Case, End, chunked, of_length
from tests.upstream.certificates import Pem, server_context
from tests.upstream.client import Receiver, ask, until
from tests.upstream.raw_server import Peer, RawServer, answering
from tests.upstream.test_connection import flooding, play_over, stands_still

PLAIN_CASES = [case for case in CASES if case.end is not End.RST and len(case.answer) < 100_000]


@pytest.mark.parametrize("case", PLAIN_CASES, ids=str)
async def test_a_case_over_tls(case: Case, pool: UpstreamPool, pem: Pem, trusting: TlsSettings) -> None:
    """The server ends its streams with close_notify, so that an end means what it means without TLS."""
    size = 1 if len(case.answer) < 200 else 5000
    await play_over(case, pool, size, tls=server_context(pem), settings=trusting)


class Wire:
    """Stands between client and server, and does what a network may do to the bytes."""

    def __init__(self, port: int) -> None:
        self.to_client: asyncio.StreamWriter | None = None
        self._port = port

    async def carry(self, peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.to_client = peer.writer
        up = asyncio.get_running_loop().create_task(self._copy(peer.reader, writer))
        try:
            await self._copy(reader, peer.writer)
        finally:
            up.cancel()
            writer.transport.abort()
            await asyncio.gather(up, return_exceptions=True)

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()


@pytest.mark.parametrize(
    ("answer", "body"),
    [(OK + b"\r\nhello", b"hello"), (CHUNKED + chunked(b"hello"), b"hello")],
    ids=["close", "chunked"],
)
async def test_an_end_without_close_notify_is_a_cut(
    answer: bytes, body: bytes, pool: UpstreamPool, pem: Pem, trusting: TlsSettings
) -> None:
    """RFC 9112 section 9.8: anybody on the way can send a FIN, only the server a close_notify."""
    async with RawServer(answering(answer, close=False), tls=server_context(pem)) as server:
        wire = Wire(server.port)
        async with RawServer(wire.carry) as between:
            exchange = await ask(pool, parse_endpoint(f"https://127.0.0.1:{between.port}", tls=trusting))
            receiver = Receiver()
            exchange.start(receiver)
            await receiver.has(body)

            assert wire.to_client is not None
            wire.to_client.close()

            await receiver.over()
            assert receiver.error is not None
            assert (receiver.error.kind, receiver.error.code) == (ErrorKind.CUT, FaultCode.TRUNCATED)


async def test_damaged_records_are_a_cut(pool: UpstreamPool, pem: Pem, trusting: TlsSettings) -> None:
    async with RawServer(answering(CHUNKED + chunked(b"hello"), close=False), tls=server_context(pem)) as server:
        wire = Wire(server.port)
        async with RawServer(wire.carry) as between:
            exchange = await ask(pool, parse_endpoint(f"https://127.0.0.1:{between.port}", tls=trusting))
            receiver = Receiver()
            exchange.start(receiver)
            await receiver.has(b"hello")

            assert wire.to_client is not None
            wire.to_client.write(b"\x17\x03\x03\x00\x20" + b"\0" * 32)

            await receiver.over()
            assert receiver.error is not None
            assert (receiver.error.kind, receiver.error.code) == (ErrorKind.CUT, FaultCode.TLS)
            await until(lambda: pool.open_count == 0)


async def test_a_close_notify_while_idle_closes_the_connection(
    pool: UpstreamPool, pem: Pem, trusting: TlsSettings
) -> None:
    async with RawServer(answering(of_length(b"hi")), tls=server_context(pem)) as server:
        exchange = await ask(pool, parse_endpoint(server.url, tls=trusting))
        assert await exchange.read_whole(10) == b"hi"

        await until(lambda: pool.open_count == 0)

        assert pool.idle_count == 0


async def test_large_bodies_pass_both_ways(pool: UpstreamPool, pem: Pem, trusting: TlsSettings) -> None:
    large = os.urandom(3_000_000)

    async def script(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(of_length(request.body))
        await peer.gone()

    async with RawServer(script, tls=server_context(pem)) as server:
        exchange = await ask(pool, parse_endpoint(server.url, tls=trusting), body=large)

        assert await exchange.read_whole(len(large)) == large
        assert pool.idle_count == 1


async def test_a_pause_stops_the_server_over_tls(pool: UpstreamPool, pem: Pem, trusting: TlsSettings) -> None:
    sent = [0]
    async with RawServer(flooding(sent), tls=server_context(pem)) as server:
        exchange = await ask(pool, parse_endpoint(server.url, tls=trusting))
        receiver = Receiver()
        exchange.start(receiver)
        exchange.pause()
        await stands_still(sent)
        received_at = len(receiver.body)

        exchange.resume()
        await until(lambda: len(receiver.body) > received_at + 500_000)
        exchange.abort()
        assert set(receiver.body) == set(b"x")


async def test_an_end_that_comes_during_a_pause_loses_nothing(
    pool: UpstreamPool, pem: Pem, trusting: TlsSettings
) -> None:
    body = b"0123456789" * 40_000

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\n" + body)

    async with RawServer(script, tls=server_context(pem)) as server:
        exchange = await ask(pool, parse_endpoint(server.url, tls=trusting))
        receiver = Receiver()
        exchange.pause()
        exchange.start(receiver)
        await asyncio.sleep(0.05)

        exchange.resume()

        await receiver.over()
        assert receiver.has_ended and receiver.body == body
