"""A running proxy: built from a configuration, listening, and stopped without cutting streams.

running = await start(config)        # listens; `running.port`
await running.drain()                # not ready, lame duck, stop listening, wait, end the rest in-dialect
await running.stop()                 # everything closed; at once when nothing was drained
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

from proxy.auth import Authenticator
from proxy.breaker import Breakers, BreakerSettings
from proxy.config import Config
from proxy.config.settings import NO_STORE
from proxy.dialects import DIALECTS
from proxy.failover import RetrySettings
from proxy.limits_redis import open_store
from proxy.metrics import Metrics
from proxy.metrics_calls import CallMetrics
from proxy.routing import Router
from proxy.server import passthrough
from proxy.server.admin import MAX_ADMIN_HEADER_BYTES
from proxy.server.embedded import Embedded
from proxy.server.gateway import Gateway, Snapshot
from proxy.server.listener import LackOfDescriptors, open_listener
from proxy.server.protocol import CallerProtocol
from proxy.server.routes import add_routes
from proxy.tracing import open_tracer
from proxy.upstream import UpstreamPool

_LOG = logging.getLogger("proxy.server")

RequestHandlerFunction = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

KEEPALIVE_S = 75.0
"""Idle time of a caller's connection: longer than the 60 s of common load balancers, which must close first."""
LAG_INTERVAL_S = 0.5
_REACHABLE: dict[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}

ENDING_S = 2.0
"""Time for the last frames of drained streams to leave."""


class ProxyServer(Server):
    """aiohttp's low-level server with our connection class. No `Application`: its routing and hooks cost every call."""

    def __init__(
        self,
        handler: RequestHandlerFunction,
        *,
        header_timeout_s: float,
        max_header_bytes: int,
        caller_stall_s: float,
    ) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=0,  # `body.take_rest` does it
            max_line_size=max_header_bytes,
            max_field_size=max_header_bytes,
            logger=_LOG,
        )
        self._header_timeout_s = header_timeout_s
        self._caller_stall_s = caller_stall_s

    def __call__(self) -> CallerProtocol:
        return CallerProtocol(
            self,
            loop=self._loop,
            header_timeout_s=self._header_timeout_s,
            caller_stall_s=self._caller_stall_s,
            **self._kwargs,
        )


def configured_server(config: Config, handler: RequestHandlerFunction, max_header_bytes: int) -> ProxyServer:
    """A server with the deadlines of `config`."""
    return ProxyServer(
        handler,
        header_timeout_s=config.limits.header_timeout_s,
        max_header_bytes=max_header_bytes,
        caller_stall_s=config.timeouts.caller_stall_s,
    )


def build_snapshot(config: Config, metrics: Metrics, earlier: Snapshot | None = None) -> Snapshot:
    """Everything that follows from `config`. Breakers outlive a reload that leaves them as they are set.

    Raises ConfigError.
    """
    settings = msgspec.convert(config.breaker, BreakerSettings, from_attributes=True)
    breakers = earlier.breakers if earlier is not None and earlier.breakers.settings == settings else Breakers(settings)
    return Snapshot(
        config=config,
        router=Router(config),
        auth=Authenticator(config),
        metrics=CallMetrics(
            metrics,
            dialects=[*DIALECTS, passthrough.LABEL],
            providers=[provider.name for provider in config.providers],
            models=[*(model.name for model in config.models), *(f"{provider.name}/*" for provider in config.providers)],
            targets=[(one.provider, one.model) for model in config.models for one in model.targets if one.model],
            keys=[key.name for key in config.auth.keys] if config.metrics.label_keys else None,
            max_label_sets=config.metrics.max_label_sets,
        ),
        breakers=breakers,
        retry=msgspec.convert(config.retry, RetrySettings, from_attributes=True),
        provider_limits={p.name: p.max_streams for p in config.providers if p.max_streams is not None},
    )


def prepare_tls(pool: UpstreamPool, router: Router) -> None:
    """Read certificates now: the first call would else wait for them, and every stream with it. Raises ConfigError."""
    for endpoint in router.endpoints():
        pool.prepare(endpoint)


class Running:
    """A proxy that listens. Made by `start`."""

    def __init__(self, gateway: Gateway, demo: Embedded, resources: contextlib.AsyncExitStack) -> None:
        self.gateway = gateway
        self.demo = demo
        self._resources = resources
        self._servers: list[tuple[Server, asyncio.Server]] = []
        self._late: set[asyncio.Task[None]] = set()
        self._lag_timer: asyncio.TimerHandle | None = None
        self._measure_lag(gateway.loop.time())
        gateway.loop.set_exception_handler(LackOfDescriptors())

    @property
    def port(self) -> int:
        """The main port really bound."""
        return int(self._servers[0][1].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Of the main port, as a caller on this machine writes it."""
        return self._url(0)

    @property
    def admin_url(self) -> str:
        """Where the admin routes are."""
        return self._url(1) if len(self._servers) > 1 else self._url(0)

    def _url(self, index: int) -> str:
        address = self._servers[index][1].sockets[0].getsockname()
        return reachable_url(str(address[0]), int(address[1]))

    async def listen(self, server: Server, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Add a listener. Raises OSError when the address cannot be bound."""
        listener = await open_listener(server, host, port, family=family_of(host), reuse_port=reuse_port)
        self._servers.append((server, listener))

    async def replace(self, config: Config) -> None:
        """Serve new calls by `config`. Raises ConfigError, and then nothing has changed."""
        gateway = self.gateway
        await self.demo.prepare(config)
        snapshot = build_snapshot(self.demo.fill(config), gateway.metrics, gateway.snapshot)
        prepare_tls(gateway.pool, snapshot.router)
        gateway.snapshot = snapshot

    async def drain(self, *, has_lame_duck: bool = True) -> None:
        """Stop without cutting: see the module. Returns when no call is left."""
        gateway = self.gateway
        settings = gateway.snapshot.config.drain
        gateway.is_draining = True
        gateway.metrics.draining.set(1)
        _LOG.info("draining", extra={"live_calls": len(gateway.live), "lame_duck_s": settings.lame_duck_s})
        if settings.lame_duck_s and has_lame_duck:
            await asyncio.sleep(settings.lame_duck_s)
        self.stop_listening()
        if not await gateway.wait_idle(settings.deadline_s):
            _LOG.warning("drain deadline passed", extra={"live_calls": len(gateway.live)})
            await self.end_now()

    async def end_now(self) -> None:
        """End every live stream in its dialect, without waiting for answers."""
        self.stop_listening()
        self.gateway.end_all()
        await self.gateway.wait_idle(ENDING_S)

    def stop_listening(self) -> None:
        """Close the listeners; connections stay. The admin listener answers until `stop`."""
        for server, listener in self._servers[:1]:
            for sock in listener.sockets:
                self._take_waiting(sock.fileno(), server)
            listener.close()

    async def stop(self) -> None:
        """Close everything. Calls still in progress end with their connection."""
        if self._lag_timer is not None:
            self._lag_timer.cancel()
        self.gateway.loop.set_exception_handler(None)
        for server, listener in self._servers:
            listener.close()
            server.pre_shutdown()
        for server, _listener in self._servers:
            await server.shutdown(0)
        await self._resources.aclose()

    def _take_waiting(self, descriptor: int, server: Server) -> None:
        """Serve who has connected and was not accepted yet: closing the listener would break those connections."""
        loop = self.gateway.loop
        with socket.socket(fileno=os.dup(descriptor)) as listening:
            listening.setblocking(False)
            with contextlib.suppress(OSError):
                while True:
                    connected, _ = listening.accept()
                    task = loop.create_task(self._serve_late(server, connected))
                    self._late.add(task)
                    task.add_done_callback(self._late.discard)

    async def _serve_late(self, server: Server, connected: socket.socket) -> None:
        try:
            connected.setblocking(False)
            await self.gateway.loop.connect_accepted_socket(server, connected)
        except OSError:
            connected.close()

    def _measure_lag(self, due: float) -> None:
        loop = self.gateway.loop
        now = loop.time()
        self.gateway.metrics.loop_lag.observe(max(now - due, 0))
        self._lag_timer = loop.call_at(now + LAG_INTERVAL_S, self._measure_lag, now + LAG_INTERVAL_S)


async def start(config: Config, *, is_worker: bool = False) -> Running:
    """A proxy that listens on the configured addresses. Raises ConfigError, or OSError when an address is taken.

    `is_worker`: others share the port, and the admin listener is not this process's.
    """
    async with contextlib.AsyncExitStack() as resources:
        demo = Embedded()
        resources.push_async_callback(demo.stop)
        await demo.prepare(config)
        metrics = Metrics()
        pool = UpstreamPool()
        resources.push_async_callback(pool.close)
        shared = None
        if config.limits.store_url() != NO_STORE:
            shared = open_store(config.limits.store_url())
            resources.push_async_callback(shared.close)
            await shared.connect()
        gateway = Gateway(build_snapshot(demo.fill(config), metrics), pool, metrics, shared)
        prepare_tls(pool, gateway.snapshot.router)
        gateway.tracer = open_tracer(config.traces)
        if gateway.tracer is not None:
            resources.push_async_callback(gateway.tracer.close)
        add_routes(gateway, has_admin_listener=config.admin is not None)
        running = Running(gateway, demo, resources.pop_all())
    try:
        main = configured_server(config, gateway.handle, config.limits.max_header_bytes)
        await running.listen(main, *split_address(config.listen), reuse_port=is_worker or config.reuse_port)
        if config.admin is not None and not is_worker:
            admin = configured_server(config, gateway.handle_admin, MAX_ADMIN_HEADER_BYTES)
            await running.listen(admin, *split_address(config.admin.listen))
    except BaseException:
        await running.stop()
        raise
    return running


def reachable_url(host: str, port: int) -> str:
    """What listens on `host`, as one on this machine writes it."""
    host = _REACHABLE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[IPv6]:PORT` or `:PORT` (all addresses)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_UNSPEC
