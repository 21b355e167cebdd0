"""From an endpoint to a connection that is ready for a request: resolve, connect, tunnel, shake hands.

Everything here may be cancelled at every await, and then leaves no socket behind: a socket belongs to the coroutine that
made it until a transport takes it over, and a transport is closed by the connection that it belongs to.
"""

import asyncio
import re
import socket
from contextlib import suppress

from proxy.hub.errors import ConfigError, UpstreamError
from proxy.upstream.connection import Buffers, Connection, Owner
from proxy.upstream.endpoint import Endpoint, authority
from proxy.upstream.exchange import ConnectTimings
from proxy.upstream.faults import FaultCode, code_of, unreachable
from proxy.upstream.request import encode_connect
from proxy.upstream.resolve import Resolver, SocketAddress
from proxy.upstream.tls import TlsContexts, TlsFilter, TlsSessions

HAPPY_EYEBALLS_S = 0.25
"""How long an address may take before the next one is tried beside it (RFC 8305 section 5)."""
MAX_TUNNEL_HEAD_BYTES = 16 * 1024
TUNNEL_OPEN = re.compile(rb"HTTP/1\.[01] 2\d\d[ \r\n]")
KEEP_ALIVE_OPTIONS: dict[str, int] = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 4}
"""A model may think for minutes without a byte; NAT gateways forget flows after 350 s of silence (AWS)."""


class Connector:
    """Opens connections for one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolver: Resolver) -> None:
        self.contexts = TlsContexts()
        self._sessions = TlsSessions()
        self._loop = loop
        self._resolver = resolver
        self._buffers = Buffers()

    async def connect(self, endpoint: Endpoint, owner: Owner) -> Connection:
        """An idle connection to `endpoint`. Raises UpstreamError; has no deadline of its own."""
        clock = self._loop.time
        tls = self._tls_filter(endpoint)
        began = clock()
        server = endpoint.proxy or endpoint
        try:
            addresses = await self._resolver.resolve(server.host, server.port)
            resolved = clock()
            sock = await connect_first(self._loop, addresses)
            if endpoint.proxy is not None and endpoint.scheme == "https":
                await open_tunnel(self._loop, sock, endpoint)
        except UpstreamError as error:
            if endpoint.proxy is None:
                raise
            # Whatever keeps us from the proxy says nothing about the provider.
            raise unreachable(FaultCode.PROXY) from error
        connection = Connection(endpoint, owner, self._buffers, tls, self._loop)
        connection.peer = _peer_name(sock)
        await self._hand_over(sock, connection, owner)
        connected = clock()
        await connection.shake_hands()
        if not connection.is_idle:
            raise unreachable(FaultCode.CLOSED)
        connection.connect = ConnectTimings(resolved - began, connected - resolved, clock() - connected)
        return connection

    def settle(self, connection: Connection) -> None:
        """Tidy up after the first answer on a connection, when whatever belongs to the handshake has come."""
        tls = connection.tls
        if tls is not None:
            self._sessions.keep(connection.endpoint, tls, self._loop.time())
            tls.shed()

    async def _hand_over(self, sock: socket.socket, connection: Connection, owner: Owner) -> None:
        """Give the socket to a transport of `connection`."""
        try:
            await self._loop.create_connection(lambda: connection, sock=sock)
        except BaseException as error:
            # asyncio's transport closes itself; uvloop's as well, but never tells its protocol that it is lost.
            owner.socket_closed(connection)
            if isinstance(error, OSError):
                sock.close()
                raise unreachable(code_of(error)) from error
            raise

    def _tls_filter(self, endpoint: Endpoint) -> TlsFilter | None:
        if endpoint.scheme != "https":
            return None
        try:
            context = self.contexts.get(endpoint.tls)
        except ConfigError as error:
            raise unreachable(FaultCode.TLS) from error
        return TlsFilter(context, endpoint.tls_name, self._sessions.get(endpoint, context), self._buffers.plain)


async def connect_first(
    loop: asyncio.AbstractEventLoop, addresses: list[SocketAddress], delay_s: float = HAPPY_EYEBALLS_S
) -> socket.socket:
    """A socket connected to whichever address answers first, the families taking turns (RFC 8305).

    Raises UpstreamError with the fault of the most telling failure when none does.
    """
    if len(addresses) == 1:
        return await _connect_one(loop, addresses[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    failures: list[UpstreamError] = []
    waiting = interleave(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    try:
        while waiting or running:
            if waiting:
                attempt = loop.create_task(_connect_one(loop, waiting.pop(0)))
                attempts.append(attempt)
                running.add(attempt)
            done, running = await asyncio.wait(
                running, timeout=delay_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    winner = attempt
                    return attempt.result()
                if not isinstance(error, UpstreamError):
                    raise error
                failures.append(error)
    finally:
        for attempt in attempts:
            if attempt is not winner:
                _discard(attempt)
    raise _most_telling(failures)


def interleave(addresses: list[SocketAddress]) -> list[SocketAddress]:
    """The addresses with the families taking turns, beginning with the resolver's first choice."""
    first = [each for each in addresses if each.family == addresses[0].family]
    second = [each for each in addresses if each.family != addresses[0].family]
    turns: list[SocketAddress] = []
    while first or second:
        turns.extend(family.pop(0) for family in (first, second) if family)
    return turns


async def open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, endpoint: Endpoint) -> None:
    """Ask the proxy at the other end of `sock` for a tunnel. Raises UpstreamError; the socket is then closed."""
    try:
        await loop.sock_sendall(sock, encode_connect(endpoint))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(sock, 4096)
            if not piece or len(head) > MAX_TUNNEL_HEAD_BYTES:
                raise unreachable(FaultCode.PROXY)
            head += piece
        # The server behind the tunnel waits for our hello, so that nothing may follow the head.
        if TUNNEL_OPEN.match(head) is None or not head.endswith(b"\r\n\r\n"):
            raise unreachable(FaultCode.PROXY)
    except OSError as error:
        sock.close()
        raise unreachable(FaultCode.PROXY) from error
    except BaseException:
        sock.close()
        raise


async def _connect_one(loop: asyncio.AbstractEventLoop, address: SocketAddress) -> socket.socket:
    sock: socket.socket | None = None
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(sock)
        await loop.sock_connect(sock, address.address)
        return sock
    except OSError as error:
        if sock is not None:
            sock.close()
        raise unreachable(code_of(error)) from error
    except BaseException:
        if sock is not None:
            sock.close()
        raise


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE_OPTIONS.items():
        option: int | None = getattr(socket, name, None)  # macOS has no TCP_KEEPIDLE.
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    """Ends an attempt that lost, whether it is still running or came in second."""

    def close(done: asyncio.Task[socket.socket]) -> None:
        if not done.cancelled() and done.exception() is None:
            done.result().close()

    if attempt.done():
        close(attempt)
    else:
        attempt.cancel()
        attempt.add_done_callback(close)


TELLING: tuple[FaultCode, ...] = (FaultCode.RESOURCES, FaultCode.REFUSED, FaultCode.RESET, FaultCode.CONNECT_TIMEOUT)
"""Of several addresses that failed in different ways, the first of these is reported."""


def _most_telling(failures: list[UpstreamError]) -> UpstreamError:
    for code in TELLING:
        for failure in failures:
            if failure.code == code:
                return failure
    return failures[-1]


def _peer_name(sock: socket.socket) -> str:
    with suppress(OSError):  # Gone already; the first read will say so.
        host, port = sock.getpeername()[:2]
        return authority(host, port)
    return ""
