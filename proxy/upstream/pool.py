"""Kept connections by endpoint, and `send`: one request, one exchange.

Connections are reused last in, first out, so that those not needed grow old and are closed; none lives longer than
`max_age_s`, so that a changed DNS answer is followed. A kept connection may have been closed by its peer while the
request was on its way: when it breaks before a byte of the answer, the request is sent once more on a new one.
"""

import asyncio
from collections.abc import Callable, Mapping

from proxy.hub.errors import UpstreamError
from proxy.upstream.connect import Connector
from proxy.upstream.connection import Connection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.exchange import Exchange
from proxy.upstream.faults import FaultCode, pool_closed, unreachable
from proxy.upstream.request import encode_request
from proxy.upstream.resolve import Lookup, Resolver

SWEEP_S = 5.0
"""How often idle connections are looked at."""
STALE_CODES = frozenset({FaultCode.CLOSED, FaultCode.RESET})
"""How a kept connection fails that its peer had given up."""


class UpstreamPool:
    """All connections of one event loop. Made, used and closed within it."""

    def __init__(
        self,
        *,
        idle_limit_s: float = 30.0,
        max_idle: int = 256,
        max_age_s: float = 300.0,
        lookup: Lookup | None = None,
    ) -> None:
        """`max_idle` counts per endpoint. `lookup` stands in for the operating system's resolver."""
        self._loop = asyncio.get_running_loop()
        self._idle_limit_s = idle_limit_s
        self._max_idle = max_idle
        self._max_age_s = max_age_s
        self._resolver = Resolver(self._loop, lookup)
        self._connector = Connector(self._loop, self._resolver)
        self._sockets: set[Connection] = set()
        self._idle: dict[Endpoint, list[Connection]] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._all_closed: asyncio.Future[None] | None = None
        self._is_closed = False
        self.connecting_count = 0
        """Connections being made."""
        self.opened_total = 0
        """Connections made so far."""
        self.stale_total = 0
        """Requests so far that were sent again because their kept connection was dead."""

    @property
    def open_count(self) -> int:
        """Open sockets, the idle ones included."""
        return len(self._sockets)

    @property
    def idle_count(self) -> int:
        return sum(map(len, self._idle.values()))

    def prepare(self, endpoint: Endpoint) -> None:
        """Read the certificates of `endpoint` now rather than at its first request. Raises ConfigError."""
        if endpoint.scheme == "https":
            self._connector.contexts.get(endpoint.tls)

    async def send(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect_timeout_s: float,
        headers_timeout_s: float,
        on_connecting: Callable[[bool], None] | None = None,
    ) -> Exchange:
        """Send a request and wait for the head of its answer.

        `on_connecting` is told when a new connection is being made (`True`) and when it is there.

        `path` follows the endpoint's `base_path` and may have a query. Cancelling closes the socket at once. Raises
        CallerError for what cannot be sent, UpstreamError for everything that the network and the peer do.
        """
        if self._is_closed:
            raise pool_closed()
        request = encode_request(endpoint, method, path, headers, body)
        connection = self._take_idle(endpoint)
        if connection is not None:
            try:
                return await self._ask(connection, request, method, headers_timeout_s)
            except UpstreamError as error:
                if connection.has_answered or error.code not in STALE_CODES:
                    raise
            self.stale_total += 1
        if on_connecting is not None:
            on_connecting(True)
        connection = await self._connect(endpoint, connect_timeout_s)
        if on_connecting is not None:
            on_connecting(False)
        return await self._ask(connection, request, method, headers_timeout_s)

    async def close(self) -> None:
        """Close every connection at once; running exchanges fail. Waits for the sockets, not for peers."""
        self._is_closed = True
        self._resolver.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for connection in list(self._sockets):
            if connection.is_idle:
                connection.close()
            else:
                connection.shut(pool_closed())
        if self._sockets:
            self._all_closed = self._loop.create_future()
            await self._all_closed

    async def _ask(self, connection: Connection, request: bytes, method: str, timeout_s: float) -> Exchange:
        waiter = connection.send(request, method)
        timer = self._loop.call_later(timeout_s, connection.headers_late)
        try:
            exchange = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Cancelled after the answer came. It may even be complete, and the connection somebody else's.
                waiter.result().abort()
            else:
                connection.abort()
            raise
        finally:
            timer.cancel()
            del waiter  # It keeps the fault, whose traceback keeps this frame.
        if not exchange.reused:
            self._connector.settle(connection)
        return exchange

    async def _connect(self, endpoint: Endpoint, timeout_s: float) -> Connection:
        self.connecting_count += 1
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connector.connect(endpoint, self)
        except TimeoutError as error:
            raise unreachable(FaultCode.CONNECT_TIMEOUT) from error
        finally:
            self.connecting_count -= 1
        self.opened_total += 1
        if self._is_closed:
            connection.abort()
            raise pool_closed()
        return connection

    def _take_idle(self, endpoint: Endpoint) -> Connection | None:
        kept = self._idle.pop(endpoint, None)
        now = self._loop.time()
        found: Connection | None = None
        while kept and found is None:
            connection = kept.pop()
            if connection.is_idle and not self._is_too_old(connection, now):
                found = connection
            else:
                connection.close()
        if kept:
            self._idle[endpoint] = kept
        return found

    def _is_too_old(self, connection: Connection, now: float) -> bool:
        limit_s = self._idle_limit_s
        hint_s = connection.keep_alive_s
        if hint_s is not None:
            # The peer counts from when it sent, we from when we received: leave before it does.
            limit_s = min(limit_s, max(hint_s - 1.0, hint_s / 2))
        return now - connection.idle_since >= limit_s or now - connection.opened_at >= self._max_age_s

    def _sweep(self) -> None:
        """Closes idle connections that have become too old."""
        self._sweep_timer = None
        now = self._loop.time()
        for kept in list(self._idle.values()):
            for connection in [each for each in kept if self._is_too_old(each, now)]:
                connection.close()
        self._schedule_sweep()

    def _schedule_sweep(self) -> None:
        if self._sweep_timer is None and self._idle and not self._is_closed:
            self._sweep_timer = self._loop.call_later(min(SWEEP_S, self._idle_limit_s), self._sweep)

    # --- for the connections

    def socket_opened(self, connection: Connection) -> None:
        self._sockets.add(connection)

    def connection_idle(self, connection: Connection) -> None:
        now = self._loop.time()
        if self._is_closed or self._is_too_old(connection, now):
            connection.close()
            return
        kept = self._idle.setdefault(connection.endpoint, [])
        kept.append(connection)
        if len(kept) > self._max_idle:
            kept[0].close()
        self._schedule_sweep()

    def connection_closed(self, connection: Connection) -> None:
        kept = self._idle.get(connection.endpoint)
        if kept is not None and connection in kept:
            kept.remove(connection)
            if not kept:
                del self._idle[connection.endpoint]

    def socket_closed(self, connection: Connection) -> None:
        self._sockets.discard(connection)
        if not self._sockets and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)
