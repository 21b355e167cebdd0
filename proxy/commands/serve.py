"""`llm-stream-proxy serve`: run until a signal says to stop.

SIGTERM and SIGINT drain: not ready at once, new calls are still taken for `lame_duck_s`, then the listener closes,
streams may finish until `deadline_s`, and what is left then ends in its dialect. A second signal skips the waiting.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Protocol

from proxy.config import Config, Loaded, Sources
from proxy.logs import LogOutput, start_logging
from proxy.reload import Reloader
from proxy.server.app import Running, start

_LOG = logging.getLogger("proxy.server")

EXIT_OK = 0
EXIT_FAILED = 1


class Options(Protocol):
    """What the command line gives beside the configuration."""

    @property
    def sources(self) -> Sources: ...

    @property
    def loaded(self) -> Loaded: ...


def run(config: Config, options: Options) -> int:
    """Serve `config`; the process's exit code."""
    output = start_logging(config.log, options.loaded.secrets)
    for warning in options.loaded.warnings:
        _LOG.warning("configuration", extra={"warning": warning})
    try:
        return asyncio.run(_serve(config, options, output))
    except OSError as fault:
        print(f"cannot listen on {config.listen}: {os.strerror(fault.errno or 0)}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        output.close()


async def _serve(config: Config, options: Options, output: LogOutput) -> int:
    running = await start(config)

    def apply(loaded: Loaded) -> None:
        running.replace(loaded.config)
        output.configure(loaded.config.log, loaded.secrets)

    reloader = Reloader(options.sources, options.loaded, running.gateway.metrics, apply)
    watch = asyncio.get_running_loop().create_task(reloader.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.request)
    try:
        print(banner(config, running), flush=True)
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await _until_stopped(running)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await running.stop()
    return EXIT_OK


async def _until_stopped(running: Running) -> None:
    """Until a signal has come and the drain is over, or a second signal has cut it short."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    await signals.get()
    drain = loop.create_task(running.drain())
    second = loop.create_task(signals.get())
    try:
        await asyncio.wait((drain, second), return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            _LOG.warning("second signal: stopping at once")
            await running.end_now()
    finally:
        for task in (drain, second):
            task.cancel()
        await asyncio.gather(drain, second, return_exceptions=True)


def banner(config: Config, running: Running) -> str:
    """What a person needs next: where it listens, which models it serves, and what to give to which SDK."""
    url = running.url
    admin = running.admin_url
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
        f"metrics, health            {admin}/metrics  {admin}/readyz",
    ]
    return "\n".join(lines)


def _target_name(provider: str, model: str | None) -> str:
    return f"{provider}/{model}" if model is not None else f"{provider}/*"
