"""Health, readiness and metrics. On their own listener when `admin.listen` is set, else on the main port for loopback only."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Mapping

from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.hub.errors import CallerError, ErrorKind
from proxy.metrics_sum import format_of, in_slices, write
from proxy.server.answers import SERVER_NAME
from proxy.server.gateway import Gateway
from proxy.worker_link import SHARED_PATHS, Answered

ADMIN_PATHS = ("/metrics", "/healthz", "/livez", "/readyz")

MAX_ADMIN_HEADER_BYTES = 8190
"""The largest request line or header of the admin listener, as of most web servers."""

_RELAY_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via")
"""What nginx, HAProxy, Caddy and Envoy tell of the caller they relay for."""


async def answer_admin(gateway: Gateway, request: BaseRequest) -> web.StreamResponse:
    """One of `ADMIN_PATHS`."""
    headers = {"Server": SERVER_NAME, "Cache-Control": "no-store"}
    if gateway.ask_admin is not None and request.path in SHARED_PATHS:
        answer = await gateway.ask_admin(request.path, request.headers.get("Accept", ""))
        if answer is not None:
            return await send_pieces(request, answer, headers)
        if request.path == "/metrics":
            return web.Response(status=503, text="the admin process does not answer\n", headers=headers)
    match request.path:
        case "/metrics":
            how = format_of(request.headers.get("Accept", ""))
            pieces = await in_slices(write(await gateway.metric_families(), how))
            return await send_pieces(request, Answered(200, how.value, pieces), headers)
        case "/readyz":
            # An upstream that is down does not make us unready: else one provider's outage empties the whole fleet.
            if gateway.is_draining:
                return web.Response(status=503, text="draining\n", headers=headers)
            return web.Response(text="ready\n", headers=headers)
        case _:
            return web.Response(text="ok\n", headers=headers)


async def send_pieces(request: BaseRequest, answer: Answered, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer with a body that is sent piece by piece: the loop goes on after each."""
    response = web.StreamResponse(status=answer.status, headers={**headers, "Content-Type": answer.content_type})
    response.content_length = sum(map(len, answer.pieces))
    await asyncio.sleep(0)
    # Who asked may have left in the meantime: that is no fault of ours to be logged.
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        if request.method != "HEAD":
            for piece in answer.pieces:
                await response.write(piece)
                await asyncio.sleep(0)
        await response.write_eof()
    return response


def refuse_remote(request: BaseRequest) -> CallerError | None:
    """On the main port, admin paths answer to this machine alone.

    A web server in front, on the same machine, asks for somebody else: it says so in a header.
    """
    is_relayed = any(name in request.headers for name in _RELAY_HEADERS)
    if is_loopback(request.remote) and not is_relayed:
        return None
    return CallerError(ErrorKind.NOT_FOUND, f"There is no route {request.path[:200]!r} here.", code="no_route")


def is_loopback(host: str | None) -> bool:
    """Whether `host` is an address of this machine's own; `None`, where the peer is not known, is not."""
    try:
        return ipaddress.ip_address((host or "").partition("%")[0]).is_loopback
    except ValueError:
        return False
