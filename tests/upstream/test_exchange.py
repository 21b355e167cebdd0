"""What a holder of an exchange may do, and when."""

import asyncio
import gzip

import pytest

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.upstream import Exchange, FaultCode
from proxy.upstream.answer import AnswerHead, Framing
from proxy.upstream.exchange import ConnectTimings
from tests.upstream.offline import Recorder


class Connection:
    """Notes what the exchange asks of its connection."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")

    def drain(self, timeout_s: float) -> None:
        self.calls.append(f"drain {timeout_s}")


@pytest.fixture
def connection() -> Connection:
    return Connection()


def exchange_on(connection: Connection, **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = b"\n".join(text.encode() for item in named.items() for text in item)
    head = AnswerHead(200, "1.1", named, raw, Framing.CHUNKED)
    return Exchange(connection, head, connect=None, headers_s=0.5, peer="10.0.0.1:1")


def cut() -> UpstreamError:
    return UpstreamError(ErrorKind.CUT, "cut", code="truncated")


def test_pieces_are_pushed_as_they_come(connection: Connection) -> None:
    exchange, recorder = exchange_on(connection), Recorder()
    exchange.start(recorder)
    exchange.push(b"a")
    exchange.push(b"b")
    exchange.finish()

    assert (recorder.pieces, recorder.has_ended) == ([b"a", b"b"], True)


def test_what_came_before_the_start_is_pushed_within_it_as_one_piece(connection: Connection) -> None:
    exchange, recorder = exchange_on(connection), Recorder()
    exchange.push(b"a")
    assert connection.calls == []
    exchange.push(b"b")
    assert connection.calls == ["pause"]

    exchange.start(recorder)

    assert recorder.pieces == [b"ab"]
    assert connection.calls == ["pause", "resume"]


@pytest.mark.parametrize("error", [None, cut()])
def test_an_end_before_the_start_is_told_within_it(error: UpstreamError | None, connection: Connection) -> None:
    exchange, recorder = exchange_on(connection), Recorder()
    exchange.push(b"a")
    if error is None:
        exchange.finish()
    else:
        exchange.fail(error)

    exchange.start(recorder)

    assert (recorder.pieces, recorder.has_ended, recorder.error) == ([b"a"], error is None, error)
    assert connection.calls == []


def test_a_pause_before_the_start_holds(connection: Connection) -> None:
    exchange = exchange_on(connection)
    exchange.pause()
    exchange.start(Recorder())
    assert connection.calls == ["pause"]

    exchange.resume()
    assert connection.calls == ["pause", "resume"]


def test_resume_before_the_start_does_not_read(connection: Connection) -> None:
    exchange = exchange_on(connection)
    exchange.pause()
    exchange.resume()

    assert connection.calls == ["pause"]


def test_after_an_abort_nothing_is_told(connection: Connection) -> None:
    exchange, recorder = exchange_on(connection), Recorder()
    exchange.start(recorder)
    exchange.abort()
    exchange.abort()
    exchange.pause()
    exchange.resume()

    assert connection.calls == ["resume", "abort"]
    assert not recorder.is_over


def test_an_abort_before_the_start_drops_what_is_held(connection: Connection) -> None:
    exchange = exchange_on(connection)
    exchange.push(b"a")
    exchange.abort()

    assert connection.calls == ["abort"]
    with pytest.raises(RuntimeError):
        exchange.start(Recorder())


def test_a_receiver_that_aborts_in_the_start_hears_no_end(connection: Connection) -> None:
    exchange = exchange_on(connection)
    exchange.push(b"a")
    exchange.finish()

    class Leaving(Recorder):
        def body_received(self, data: bytes) -> None:
            super().body_received(data)
            exchange.abort()

    recorder = Leaving()
    exchange.start(recorder)

    assert recorder.pieces == [b"a"]
    assert not recorder.is_over


def test_finishing_in_the_background_hands_the_rest_to_the_connection(connection: Connection) -> None:
    exchange, recorder = exchange_on(connection), Recorder()
    exchange.start(recorder)

    exchange.finish_in_background()
    exchange.finish_in_background()
    exchange.abort()

    assert connection.calls == ["resume", "drain 1.0"]
    assert not recorder.is_over


def test_an_exchange_is_started_once(connection: Connection) -> None:
    exchange = exchange_on(connection)
    exchange.start(Recorder())

    with pytest.raises(RuntimeError):
        exchange.start(Recorder())


async def test_reading_whole_what_is_started_leaves_it_running(connection: Connection) -> None:
    exchange = exchange_on(connection)
    exchange.start(Recorder())

    with pytest.raises(RuntimeError):
        await exchange.read_whole(10)

    assert connection.calls == ["resume"]


async def test_reading_whole_fails_when_somebody_else_aborts(connection: Connection) -> None:
    exchange = exchange_on(connection)
    task = asyncio.get_running_loop().create_task(exchange.read_whole(10))
    await asyncio.sleep(0)

    exchange.abort()

    with pytest.raises(UpstreamError) as caught:
        await task
    assert caught.value.code == FaultCode.ABORTED


@pytest.mark.parametrize(("size", "fits"), [(10, True), (11, False)])
async def test_the_limit_of_reading_whole_counts_decoded_bytes(size: int, fits: bool, connection: Connection) -> None:
    exchange = exchange_on(connection, content_encoding="gzip", content_length="99")
    exchange.push(gzip.compress(b"x" * size))
    exchange.finish()

    if fits:
        assert await exchange.read_whole(10) == b"x" * size
    else:
        with pytest.raises(UpstreamError) as caught:
            await exchange.read_whole(10)
        assert caught.value.code == FaultCode.TOO_LARGE


def test_headers_describe_the_body_as_it_is_pushed(connection: Connection) -> None:
    exchange = exchange_on(connection, content_encoding="gzip", content_length="99", x_a="b")

    assert exchange.headers == {"x-a": "b"}
    assert exchange.raw_headers == [(b"content-encoding", b"gzip"), (b"content-length", b"99"), (b"x-a", b"b")]


def test_there_may_be_no_headers(connection: Connection) -> None:
    assert exchange_on(connection).raw_headers == []


def test_reads_that_decode_to_nothing_are_not_pushed(connection: Connection) -> None:
    exchange, recorder = exchange_on(connection, content_encoding="gzip"), Recorder()
    exchange.start(recorder)
    zipped = gzip.compress(b"hello")

    exchange.push(zipped[:5])
    exchange.push(zipped[5:])
    exchange.finish()

    assert (recorder.pieces, recorder.has_ended) == ([b"hello"], True)


def test_a_body_that_cannot_be_decoded_closes_the_connection(connection: Connection) -> None:
    exchange, recorder = exchange_on(connection, content_encoding="zstd"), Recorder()
    exchange.start(recorder)

    exchange.push(b"x")

    assert connection.calls == ["resume", "abort"]
    assert recorder.error is not None and recorder.error.code == FaultCode.BAD_ENCODING


def test_timings_of_a_new_connection_add_up() -> None:
    timings = ConnectTimings(0.25, 0.5, 1.0)

    assert timings.total_s == 1.75
