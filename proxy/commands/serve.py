"""`llm-stream-proxy serve`: run until a signal says to stop.

SIGTERM drains: not ready at once, new calls are still taken for `lame_duck_s`, then the listener closes, streams may
finish until `deadline_s`, and what is left then ends in its dialect. SIGINT, which a person sends, leaves out the
`lame_duck_s`. A second signal skips the waiting.

With `workers: 1` this is the whole proxy; else see `proxy.commands.serve_workers`.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Protocol

from proxy import event_loop
from proxy.config import Config, Loaded, Sources
from proxy.event_loop import loop_factory
from proxy.hub.errors import ConfigError
from proxy.logs import LogOutput, start_logging
from proxy.reload import Reloader
from proxy.server.app import Running, start

_LOG = logging.getLogger("proxy.server")

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD = 2


class Options(Protocol):
    """What the command line gives beside the configuration."""

    @property
    def sources(self) -> Sources: ...

    @property
    def loaded(self) -> Loaded: ...


def run(config: Config, options: Options) -> int:
    """Serve `config`; the process's exit code."""
    try:
        loop_factory(config.event_loop)
    except ConfigError as fault:
        return refused(fault)
    if config.workers != 1:
        from proxy.commands import serve_workers

        return serve_workers.run(config, options)
    output = start_logging(config.log, options.loaded.secrets)
    for warning in options.loaded.warnings:
        _LOG.warning("configuration", extra={"warning": warning})
    try:
        return event_loop.run(_serve(config, options, output), config.event_loop)
    except ConfigError as fault:
        return refused(fault)
    except OSError as fault:
        print(f"cannot listen on {config.listen}: {os.strerror(fault.errno or 0)}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        output.close()


def refused(fault: ConfigError) -> int:
    """Tell what is wrong with the configuration; the process's exit code."""
    for problem in fault.problems:
        print(problem, file=sys.stderr)
    return EXIT_BAD


async def _serve(config: Config, options: Options, output: LogOutput) -> int:
    running = await start(config)
    watch = Watch(running, options, output)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, watch.reloader.request)
    stops = Stops(running)
    loop.add_signal_handler(signal.SIGTERM, stops.stop)
    loop.add_signal_handler(signal.SIGINT, stops.interrupt)
    try:
        print(banner(config, running.url, running.admin_url), flush=True)
        freeze()
        await stops.wait()
    finally:
        await watch.close()
        await running.stop()
    return EXIT_OK


class Watch:
    """Reloads the configuration of a running proxy."""

    def __init__(self, running: Running, options: Options, output: LogOutput) -> None:
        async def apply(loaded: Loaded) -> None:
            await running.replace(loaded.config)
            output.configure(loaded.config.log, loaded.secrets)

        self.reloader = Reloader(options.sources, options.loaded, running.gateway.metrics, apply)
        self._task = asyncio.get_running_loop().create_task(self.reloader.run())

    async def close(self) -> None:
        """Watch no longer."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Stops:
    """The stop of a proxy: the first demand drains, the second ends at once."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._first = asyncio.Event()
        self._second = asyncio.Event()
        self._has_lame_duck = True

    def interrupt(self) -> None:
        """One demand by a person at the terminal: no load balancer has to hear of it first."""
        self._has_lame_duck = False
        self.stop()

    def stop(self) -> None:
        """One demand."""
        (self._second if self._first.is_set() else self._first).set()

    def drain(self) -> None:
        """The first demand, however often it comes."""
        self._first.set()

    def stop_now(self) -> None:
        """Both demands."""
        self._first.set()
        self._second.set()

    async def wait(self) -> None:
        """Until a demand has come and the drain is over, or a second one has cut it short."""
        await self._first.wait()
        loop = asyncio.get_running_loop()
        drain = loop.create_task(self._running.drain(has_lame_duck=self._has_lame_duck))
        second = loop.create_task(self._second.wait())
        try:
            await asyncio.wait((drain, second), return_when=asyncio.FIRST_COMPLETED)
            if not drain.done():
                _LOG.warning("second signal: stopping at once")
                await self._running.end_now()
        finally:
            for task in (drain, second):
                task.cancel()
            await asyncio.gather(drain, second, return_exceptions=True)


def freeze() -> None:
    """What exists now lives as long as the process: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def banner(config: Config, url: str, admin_url: str) -> str:
    """What a person needs next: where it listens, which models it serves, and what to give to which SDK."""
    models = "\n".join(
        f"  {model.name:<24} {', '.join(_target_name(target.provider, target.model) for target in model.targets)}"
        for model in config.models
    )
    lines = [
        f"listening on {url}",
        f"models\n{models}",
        "base URLs",
        f"  OpenAI SDK               {url}/v1",
        f"  Anthropic SDK            {url}",
        f"  Gemini SDK               {url}",
        f"  EventSource, fetch       {url}/chat",
        f"playground                 {url}/",
        f"metrics, health            {admin_url}/metrics  {admin_url}/readyz",
        f"live view                  llm-stream-proxy top {admin_url}",
    ]
    return "\n".join(lines)


def _target_name(provider: str, model: str | None) -> str:
    return f"{provider}/{model}" if model is not None else f"{provider}/*"
