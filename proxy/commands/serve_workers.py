"""`serve` with several workers: what the parent, a worker and the admin process each do (`proxy.workers`)."""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy import event_loop
from proxy.commands.serve import EXIT_FAILED, EXIT_OK, Options, Stops, Watch, banner, freeze
from proxy.config import Config, Loaded, load
from proxy.hub.errors import ConfigError
from proxy.logs import LogOutput, start_logging
from proxy.server.admin import ADMIN_PATHS, MAX_ADMIN_HEADER_BYTES, send_pieces
from proxy.server.answers import SERVER_NAME
from proxy.server.app import (
    ENDING_S,
    ProxyServer,
    configured_server,
    family_of,
    reachable_url,
    split_address,
    start,
)
from proxy.server.dispatch import Dispatcher
from proxy.server.streams import add_stream_routes
from proxy.worker_link import Collector, Worker
from proxy.workers import DRAIN, NOW, READY, RELOAD, Slot, Supervisor, cpu_count

_LOG = logging.getLogger("proxy.workers")


def run(config: Config, options: Options) -> int:
    """Serve `config` with as many workers as it says; the exit code."""
    # Without the thread that writes log lines elsewhere: this process forks.
    output = start_logging(config.log, options.loaded.secrets, has_thread=False)
    for warning in options.loaded.warnings:
        _LOG.warning("configuration", extra={"warning": warning})
    try:
        reserved = _reserve(*split_address(config.listen))
    except OSError as fault:
        print(f"cannot listen on {config.listen}: {os.strerror(fault.errno or 0)}", file=sys.stderr)
        return EXIT_FAILED
    with reserved, tempfile.TemporaryDirectory(prefix="llm-stream-proxy-") as folder:
        link = str(Path(folder) / "link")
        slots = [Slot("admin", lambda orders: _run_admin(config, options.loaded, link, orders), is_worker=False)]
        slots += [
            Slot(f"worker {number}", partial(_run_worker, config, options, link, f"worker-{number}"))
            for number in range(1, (config.workers or cpu_count()) + 1)
        ]
        drain_s = config.drain.lame_duck_s + config.drain.deadline_s + ENDING_S
        freeze()
        code = Supervisor(slots, lambda: print(_banner(config, reserved), flush=True), drain_s).run()
    output.close()
    return code


def _reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the address without listening: nobody else takes it while no worker is there.

    Raises OSError when the address is taken.
    """
    family = family_of(host) or socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((host, port))
    except OSError:
        reserved.close()
        raise
    return reserved


def _banner(config: Config, reserved: socket.socket) -> str:
    address = reserved.getsockname()
    url = reachable_url(str(address[0]), int(address[1]))
    return banner(config, url, reachable_url(*split_address(config.admin.listen)) if config.admin is not None else url)


def _run(config: Config, loaded: Loaded, main: Callable[[LogOutput], Coroutine[None, None, None]]) -> int:
    """A child's whole life."""
    output = start_logging(loaded.config.log, loaded.secrets)
    try:
        event_loop.run(main(output), config.event_loop)
        return EXIT_OK
    except OSError as fault:
        _LOG.error("cannot serve", extra={"fault": os.strerror(fault.errno or 0)})
        return EXIT_FAILED
    finally:
        output.close()


def _obey(orders: socket.socket, actions: Mapping[bytes, Callable[[], None]], orphaned: Callable[[], None]) -> None:
    """Do from now on what the parent orders; without a parent, `orphaned`."""
    loop = asyncio.get_running_loop()
    orders.setblocking(False)

    def hear() -> None:
        heard = orders.recv(64)
        for position in range(len(heard)):
            actions[heard[position : position + 1]]()
        if not heard:
            loop.remove_reader(orders)
            orphaned()

    loop.add_reader(orders, hear)
    orders.send(READY)


def _nothing() -> None:
    """An order that does not concern this child."""


# --- a worker


def _run_worker(config: Config, options: Options, link: str, name: str, orders: socket.socket) -> int:
    loaded = _newest(options)
    # What cannot change while the parent runs, whatever the file says by now.
    fixed = msgspec.structs.replace(
        loaded.config, listen=config.listen, admin=config.admin, event_loop=config.event_loop
    )
    return _run(fixed, loaded, lambda output: _serve_worker(fixed, options, link, name, orders, output))


def _newest(options: Options) -> Loaded:
    """The configuration of the moment; the parent's own when that cannot be used."""
    try:
        return load(options.sources)
    except ConfigError as fault:
        _LOG.error("configuration refused, the first one is used", extra={"problems": fault.problems})
        return options.loaded


async def _serve_worker(
    config: Config, options: Options, link: str, name: str, orders: socket.socket, output: LogOutput
) -> None:
    running = await start(config, is_worker=True)
    gateway = running.gateway
    gateway.metrics.process.rename(name)

    worker = Worker(link, gateway.metric_families, lambda: gateway.is_draining, gateway.calls)
    gateway.ask_admin = worker.ask
    gateway.all_calls = worker
    watch = Watch(running, options, output)
    stops = Stops(running)
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stops.drain)
        actions = {DRAIN: stops.drain, NOW: stops.stop_now, RELOAD: watch.reloader.request}
        _obey(orders, actions, orphaned=stops.drain)
        freeze()
        await stops.wait()
    finally:
        await watch.close()
        await worker.close()
        await running.stop()


# --- the admin process


def _run_admin(config: Config, loaded: Loaded, link: str, orders: socket.socket) -> int:
    return _run(config, loaded, lambda _output: _serve_admin(config, link, orders))


async def _serve_admin(config: Config, link: str, orders: socket.socket) -> None:
    collector = Collector()
    await collector.start(link)
    loop = asyncio.get_running_loop()
    server: ProxyServer | None = None
    listener: asyncio.Server | None = None
    over = asyncio.Event()

    def drain() -> None:
        collector.is_draining = True

    try:
        if config.admin is not None:
            host, port = split_address(config.admin.listen)
            server = configured_server(config, _admin_handler(collector), MAX_ADMIN_HEADER_BYTES)
            listener = await loop.create_server(server, host, port, family=family_of(host))
        loop.add_signal_handler(signal.SIGTERM, drain)
        _obey(orders, {DRAIN: drain, NOW: over.set, RELOAD: _nothing}, orphaned=over.set)
        await over.wait()
    finally:
        if listener is not None and server is not None:
            listener.close()
            await server.shutdown(0)
        await collector.close()


def _admin_handler(collector: Collector) -> Callable[[BaseRequest], Coroutine[None, None, web.StreamResponse]]:
    streams = Dispatcher()
    add_stream_routes(streams, lambda: collector.calls)

    async def handle(request: BaseRequest) -> web.StreamResponse:
        found = streams.find(request.method, request.rel_url.raw_path)
        if not isinstance(found, frozenset):
            answer_streams, values = found
            return await answer_streams(request, values)
        headers = {"Server": SERVER_NAME, "Cache-Control": "no-store"}
        if request.path not in ADMIN_PATHS or request.method not in ("GET", "HEAD"):
            return web.Response(status=404, text="no such admin route\n", headers=headers)
        answer = await collector.answer(request.path, request.headers.get("Accept", ""))
        return await send_pieces(request, answer, headers)

    return handle
