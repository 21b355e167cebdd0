"""A listener that survives a lack of descriptors.

asyncio accepts as often in one turn as the listener's backlog is long, and goes on when the process has no descriptor
left: with a backlog of 2048 that is as many failed calls, log records and timers in each second, in which no stream
moves (CPython's selector_events._accept_connection). So asyncio is told of few, and the kernel of the whole backlog.
"""

import asyncio
import logging
import os
import resource
import socket

from aiohttp.web_server import Server

_LOG = logging.getLogger("proxy.server")

BACKLOG = 2048
"""Connections that may wait in the kernel."""
ACCEPTS_A_TURN = 16
"""Taken before streams have their turn again."""
QUIET_S = 60.0
"""A lack that comes back within this time is the same one, and is not said again."""
_OUT_OF_RESOURCES = "socket.accept() out of system resource"
"""asyncio's own words."""


async def open_listener(
    server: Server, host: str, port: int, *, family: socket.AddressFamily, reuse_port: bool
) -> asyncio.Server:
    """Raises OSError when the address cannot be bound."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        server, host, port, backlog=ACCEPTS_A_TURN, reuse_port=reuse_port or None, family=family
    )
    for sock in listener.sockets:
        with socket.socket(fileno=os.dup(sock.fileno())) as listening:
            listening.listen(BACKLOG)
    return listener


class LackOfDescriptors:
    """An exception handler of the loop, which says the lack once. Every other fault is logged as ever."""

    def __init__(self) -> None:
        self._seen_at: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if context.get("message") != _OUT_OF_RESOURCES:
            loop.default_exception_handler(context)
            return
        seen_at, self._seen_at = self._seen_at, loop.time()
        if seen_at is None or self._seen_at - seen_at > QUIET_S:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            _LOG.error("no file descriptor is left: new callers wait", extra={"limit": limit})
