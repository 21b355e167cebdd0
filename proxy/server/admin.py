"""Health, readiness and metrics. On their own listener when `admin.listen` is set, else on the main port for loopback only."""

import ipaddress

from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.hub.errors import CallerError, ErrorKind
from proxy.server.answers import SERVER_NAME
from proxy.server.gateway import Gateway
from proxy.worker_link import SHARED_PATHS

ADMIN_PATHS = ("/metrics", "/healthz", "/livez", "/readyz")


async def answer_admin(gateway: Gateway, request: BaseRequest) -> web.StreamResponse:
    """One of `ADMIN_PATHS`."""
    headers = {"Server": SERVER_NAME, "Cache-Control": "no-store"}
    if gateway.ask_admin is not None and request.path in SHARED_PATHS:
        answer = await gateway.ask_admin(request.path, request.headers.get("Accept", ""))
        if answer is not None:
            headers["Content-Type"] = answer.content_type
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        if request.path == "/metrics":
            return web.Response(status=503, text="the admin process does not answer\n", headers=headers)
    match request.path:
        case "/metrics":
            gateway.refresh_gauges()
            body, content_type = await gateway.metrics.expose(request.headers.get("Accept", ""))
            return web.Response(body=body, headers={**headers, "Content-Type": content_type})
        case "/readyz":
            # An upstream that is down does not make us unready: else one provider's outage empties the whole fleet.
            if gateway.is_draining:
                return web.Response(status=503, text="draining\n", headers=headers)
            return web.Response(text="ready\n", headers=headers)
        case _:
            return web.Response(text="ok\n", headers=headers)


def refuse_remote(request: BaseRequest) -> CallerError | None:
    """On the main port, admin paths answer to this machine alone."""
    if request.remote is not None and _is_loopback(request.remote):
        return None
    return CallerError(ErrorKind.NOT_FOUND, f"There is no route {request.path[:200]!r} here.", code="no_route")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
