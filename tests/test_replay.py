"""The scripted upstream itself: every claim that tests build on it is checked here with a plain socket."""

import asyncio
import socket
import time

import pytest

from tests.support.answers import (
    BEFORE_HEADERS,
    Answer,
    BodyEnd,
    Cut,
    CutHow,
    Pieces,
    one_byte,
    random_pieces,
    sized,
    sse,
    sse_events,
    whole,
)
from tests.support.exchange import Exchange
from tests.support.replay import ReplayServer

BODY = b"data: one\n\ndata: two\n\ndata: [DONE]\n\n"

REQUEST = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: h\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}"


async def reads_until_eof(upstream: ReplayServer, request: bytes = REQUEST) -> tuple[list[bytes], str]:
    """Each read of one connection, and how it ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    reads: list[bytes] = []
    ending = "fin"
    try:
        writer.write(request)
        while data := await reader.read(65536):
            reads.append(data)
    except ConnectionResetError:
        ending = "rst"
    finally:
        writer.close()
    return reads, ending


def dechunked(raw: bytes) -> tuple[bytes, bool]:
    """The body of a chunked answer, and whether its last chunk came."""
    body, rest = b"", raw.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if size == b"0":
            return body, True
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body, False


@pytest.mark.parametrize("pieces", [whole, one_byte, sized(7), random_pieces(3), sse_events])
def test_pieces_concatenate_to_the_body(pieces: Pieces) -> None:
    assert b"".join(pieces(BODY)) == BODY


@pytest.mark.parametrize("end", BodyEnd)
@pytest.mark.parametrize("pieces", [whole, one_byte, random_pieces(1)])
async def test_body_arrives_unchanged(end: BodyEnd, pieces: Pieces) -> None:
    async with ReplayServer(sse(BODY, body_end=end, pieces=pieces, keep_alive=False)) as upstream:
        reads, ending = await reads_until_eof(upstream)

    raw = b"".join(reads)
    body, complete = dechunked(raw) if end is BodyEnd.CHUNKED else (raw.partition(b"\r\n\r\n")[2], True)
    assert (body, complete, ending) == (BODY, True, "fin")


async def test_single_bytes_arrive_in_single_reads() -> None:
    async with ReplayServer(sse(BODY, body_end=BodyEnd.CLOSE, pieces=one_byte)) as upstream:
        reads, _ = await reads_until_eof(upstream)

    assert sum(len(read) == 1 for read in reads) > 0.9 * len(BODY)


async def test_request_is_recorded() -> None:
    async with ReplayServer(sse(BODY, keep_alive=False)) as upstream:
        await reads_until_eof(upstream)

    exchange = upstream.exchanges[0]
    assert (exchange.method, exchange.path, exchange.query, exchange.body) == ("POST", "/v1/x", {"a": "1"}, b"{}")
    assert exchange.headers["x-a"] == "b"
    assert upstream.connections == 1


async def test_chunked_request_body_is_put_together() -> None:
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1;x=y\r\n \r\n0\r\n\r\n"
    async with ReplayServer(sse(BODY, keep_alive=False)) as upstream:
        await reads_until_eof(upstream, request)

    assert upstream.exchanges[0].body == b"{} "


async def test_connection_is_reused_and_answers_come_in_order() -> None:
    async with ReplayServer([sse(b"first"), sse(b"second", keep_alive=False)]) as upstream:
        reads, _ = await reads_until_eof(upstream, REQUEST + REQUEST)

    assert b"".join(reads).index(b"first") < b"".join(reads).index(b"second")
    assert (upstream.connections, [exchange.connection for exchange in upstream.exchanges]) == (1, [0, 0])


@pytest.mark.parametrize(
    ("end", "how", "ending", "complete"),
    [
        (BodyEnd.CHUNKED, CutHow.CLEAN, "fin", True),
        (BodyEnd.CHUNKED, CutHow.FIN, "fin", False),
        (BodyEnd.CHUNKED, CutHow.RST, "rst", False),
        (BodyEnd.LENGTH, CutHow.CLEAN, "fin", True),
        (BodyEnd.LENGTH, CutHow.FIN, "fin", False),
        (BodyEnd.LENGTH, CutHow.RST, "rst", False),
        (BodyEnd.CLOSE, CutHow.CLEAN, "fin", True),
        (BodyEnd.CLOSE, CutHow.RST, "rst", False),
    ],
)
async def test_cut_ends_the_answer_where_and_how_it_says(
    end: BodyEnd, how: CutHow, ending: str, complete: bool
) -> None:
    answer = sse(BODY, body_end=end, cut=Cut(15, how), keep_alive=False)
    async with ReplayServer(answer) as upstream:
        reads, seen = await reads_until_eof(upstream)

    raw = b"".join(reads)
    head, _, rest = raw.partition(b"\r\n\r\n")
    body, last_chunk = dechunked(raw) if end is BodyEnd.CHUNKED else (rest, complete)
    assert (body, last_chunk, seen) == (BODY[:15], complete, ending)
    if end is BodyEnd.LENGTH:
        assert (b"content-length: 15" in head) == complete


@pytest.mark.parametrize("how", [CutHow.FIN, CutHow.RST])
async def test_cut_before_the_headers_sends_nothing(how: CutHow) -> None:
    async with ReplayServer(sse(BODY, cut=Cut(BEFORE_HEADERS, how))) as upstream:
        reads, ending = await reads_until_eof(upstream)

    assert (reads, ending) == ([], how.value)


async def test_answer_waits_at_each_hold() -> None:
    async with ReplayServer(sse(BODY, holds=(BEFORE_HEADERS, 11), keep_alive=False)) as upstream:
        task = asyncio.get_running_loop().create_task(reads_until_eof(upstream))
        exchange = await upstream.exchange()
        before_headers = exchange.wire_sent

        exchange.release()
        await exchange.until_sent(11)
        at_eleven = exchange.sent
        exchange.release()
        reads, _ = await task

    assert (before_headers, at_eleven) == (0, 11)
    assert dechunked(b"".join(reads)) == (BODY, True)


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_departure_of_the_peer_is_noticed_while_held(how: str) -> None:
    async with ReplayServer(sse(BODY, holds=(11,))) as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(REQUEST)
        exchange = await upstream.exchange()
        await exchange.until_sent(11)
        if how == "fin":
            await reader.read(65536)

        left_at = time.monotonic()
        # Unread bytes make the kernel answer a close with RST.
        writer.transport.abort() if how == "rst" else writer.close()
        departure = await exchange.until_left()

    assert departure.how == how or how == "rst"
    assert 0 <= departure.at - left_at < 1
    assert not exchange.completed


async def test_peer_that_does_not_read_is_seen_as_pause() -> None:
    size = 4_000_000
    async with ReplayServer(sse(b"x" * size), send_buffer_bytes=32768) as upstream:
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            peer.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(peer, ("127.0.0.1", upstream.port))
            await loop.sock_sendall(peer, REQUEST)
            exchange = await upstream.exchange()
            taken = await exchange.until_blocked()

            received = 0
            while received < size:
                received += len(await loop.sock_recv(peer, 1_000_000))
            await exchange.until(lambda: exchange.completed)

    assert 0 < taken < 1_000_000
    assert exchange.pauses[0].ended is not None


async def test_fault_in_a_scripted_answer_reaches_the_test() -> None:
    def respond(exchange: Exchange) -> Answer:
        raise LookupError(exchange.path)

    with pytest.raises(LookupError, match="/v1/x"):
        async with ReplayServer(respond) as upstream:
            await reads_until_eof(upstream)
