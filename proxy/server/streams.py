"""`/streams`: what every call in progress does, as JSON or as a stream of snapshots, and the order to end one.

    GET /streams                              all calls
    GET /streams  Accept: text/event-stream   the same again and again, every `interval_s` seconds
    GET /streams/{id}                         one call, by its response's `x-proxy-stream`
    DELETE /streams/{id}                      end it, in its dialect

These are admin routes, guarded as the others are (`server.admin`), and more: no page in a browser may use them.
"""

import asyncio
import ipaddress
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.dialects import DIALECTS
from proxy.hub.errors import CallerError, ErrorKind
from proxy.live import KillResult, LiveSource, Look
from proxy.server.admin import is_loopback
from proxy.server.answers import SERVER_NAME, error_answer, json_answer
from proxy.server.dispatch import Dispatcher, Handler
from proxy.server.gateway import request_id_of

T = TypeVar("T")
Refusal = Callable[[BaseRequest], CallerError | None]

STREAMS_PATH = "/streams"
ONE_STREAM_PATH = "/streams/{id:[0-9a-zA-Z_-]{1,64}}"

LEAST_INTERVAL_S, MOST_INTERVAL_S = 0.2, 60.0
READER_STALL_S = 30.0
"""How long a reader may take to make room for more of a snapshot."""
PIECE_BYTES = 64 * 1024

_HEADERS = {"Server": SERVER_NAME, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Ended(msgspec.Struct):
    """The answer to an order to end a call."""

    id: str
    outcome: str


def add_stream_routes(dispatcher: Dispatcher, source: Callable[[], LiveSource], refuse: Refusal | None = None) -> None:
    """Serve the routes of this module. `refuse`: says what is wrong with a request before anything is looked at."""

    async def answer_all(request: BaseRequest, _values: Mapping[str, str]) -> web.StreamResponse:
        return await _answer_all(source(), request)

    async def answer_one(_request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
        return await _answer_one(source(), values["id"])

    async def end_one(_request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
        return await _end_one(source(), values["id"])

    dispatcher.add("GET", STREAMS_PATH, _guarded(answer_all, refuse))
    dispatcher.add("GET", ONE_STREAM_PATH, _guarded(answer_one, refuse))
    dispatcher.add("DELETE", ONE_STREAM_PATH, _guarded(end_one, refuse))


def _guarded(handler: Handler, refuse: Refusal | None) -> Handler:
    """`handler`, its faults answered as JSON, and closed to pages in a browser."""

    async def handle(request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
        try:
            refusal = None if refuse is None else refuse(request)
            if refusal is not None:
                raise refusal
            refuse_page(request)
            return await handler(request, values)
        except CallerError as error:
            return error_answer(error, DIALECTS["openai_chat"], request_id_of(request), _HEADERS)

    return handle


def refuse_page(request: BaseRequest) -> None:
    """Raises CallerError for what a page of another origin could send, and for any page's order.

    A name that resolves to this machine makes any page one of "the same origin" (DNS rebinding): so whoever comes over
    loopback must ask for an address or `localhost`.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    is_order = request.method != "GET"
    if origin is not None and (is_order or origin.partition("://")[2] != request.headers.get("Host")):
        raise _forbidden("Pages in a browser may not ask this.")
    if site != "none" and (is_order or site != "same-origin"):
        raise _forbidden("Pages in a browser may not ask this.")
    if is_loopback(request.remote) and not _is_address(request.headers.get("Host", "")):
        raise _forbidden("From this machine, ask for an address or localhost, not for a name.")


def _is_address(host: str) -> bool:
    """Whether a `Host` header names an address or `localhost`; without one, nobody was named."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if name in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _forbidden(message: str) -> CallerError:
    return CallerError(ErrorKind.PERMISSION, message, code="forbidden")


# --- answers


async def _answer_all(source: LiveSource, request: BaseRequest) -> web.StreamResponse:
    interval_s = _interval(request)
    if "text/event-stream" in request.headers.get("Accept", ""):
        return await _follow(source, request, interval_s)
    look = _answered(await source.look(None))
    response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "application/json"})
    await _write(request, response, _body(look))
    return response


async def _answer_one(source: LiveSource, stream_id: str) -> web.StreamResponse:
    look = _answered(await source.look(stream_id))
    if not look.streams:
        raise _no_stream()
    return json_answer(look.streams[0], headers=_HEADERS)


async def _end_one(source: LiveSource, stream_id: str) -> web.StreamResponse:
    match _answered(await source.kill(stream_id)):
        case KillResult.KILLED:
            return json_answer(msgspec.json.encode(Ended(stream_id, "killed")), headers=_HEADERS)
        case KillResult.OVER:
            raise CallerError(ErrorKind.CONFLICT, "This call is over: its last bytes are on their way.", code="over")
        case KillResult.UNKNOWN:
            raise _no_stream()


async def _follow(source: LiveSource, request: BaseRequest, interval_s: float) -> web.StreamResponse:
    """Snapshots until the reader leaves, which cancels this."""
    headers = {**_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    while True:
        look = await source.look(None)
        pieces = [b"data: ", *_body(look), b"\n\n"] if look is not None else [b": nobody answers\n\n"]
        if not await _write(request, response, iter(pieces), is_whole=False):
            return response
        await asyncio.sleep(interval_s)


async def _write(
    request: BaseRequest, response: web.StreamResponse, pieces: Iterator[bytes], *, is_whole: bool = True
) -> bool:
    """Send `pieces` as fast as the reader takes them; false when it does not, and then its connection is gone."""
    try:
        async with asyncio.timeout(READER_STALL_S):
            if not response.prepared:
                await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
                # A fast reader never makes the write wait.
                await asyncio.sleep(0)
            if is_whole:
                await response.write_eof()
            return True
    except ConnectionError:
        return False
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False


def _body(look: Look) -> Iterator[bytes]:
    """The JSON of a snapshot, in pieces of about `PIECE_BYTES`."""
    piece = b'{"is_draining":%b,"streams":[' % (b"true" if look.is_draining else b"false")
    pending: list[bytes] = []
    size = 0
    for one in look.streams:
        pending.append(one)
        size += len(one)
        if size > PIECE_BYTES:
            yield piece + b",".join(pending)
            piece, pending, size = b",", [], 0
    # Without more calls, the comma before them must go as well.
    yield (piece if pending or piece != b"," else b"") + b",".join(pending) + b"]}"


def _interval(request: BaseRequest) -> float:
    """Seconds between snapshots. Raises CallerError for a query that says anything else."""
    query = request.query
    unknown = [name for name in query if name != "interval_s"]
    if unknown:
        raise _bad_query(unknown[0][:40], "There is only 'interval_s'.")
    text = query.get("interval_s", "1")
    try:
        interval_s = float(text)
    except ValueError:
        interval_s = math.nan
    if not LEAST_INTERVAL_S <= interval_s <= MOST_INTERVAL_S or len(query) > 1:
        raise _bad_query(
            "interval_s",
            f"'interval_s' is one number from {LEAST_INTERVAL_S:g} to {MOST_INTERVAL_S:g}, got {text[:40]!r}.",
        )
    return interval_s


def _bad_query(name: str, message: str) -> CallerError:
    return CallerError(ErrorKind.INVALID_REQUEST, message, param=name, code="bad_query")


def _answered(answer: T | None) -> T:
    if answer is None:
        raise CallerError(ErrorKind.OVERLOADED, "The admin process does not answer; try again.", retry_after_s=1)
    return answer


def _no_stream() -> CallerError:
    return CallerError(ErrorKind.NOT_FOUND, "No such call is in progress.", code="no_stream")
