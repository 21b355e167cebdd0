"""Loading the configuration again while streams run: on SIGHUP, and when the file or a secret's file has changed.

Files are looked at by polling what their path leads to (real path, change time, size): a ConfigMap is updated by
swapping a symlink of the directory above, which a watch on the file itself does not see. A configuration that cannot be
used changes nothing and is said in the log and the metrics. Calls that run keep the snapshot that they began with.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from pathlib import Path

from proxy.config import Config, Loaded, Sources, load
from proxy.hub.errors import ConfigError
from proxy.metrics import Metrics

_LOG = logging.getLogger("proxy.reload")

POLL_S = 2.0

Stamp = tuple[tuple[str, int, int] | None, ...]
"""Real path, change time in ns and size of each file; `None`: it is not there."""

FIXED_KEYS = ("listen", "workers", "reuse_port", "event_loop", "admin", "limits.store", "traces")
"""Settings that a running process cannot change: they need a restart."""


class Reloader:
    """Owns the reloading of one process. `apply` puts a good configuration to work; it may raise ConfigError."""

    def __init__(
        self, sources: Sources, loaded: Loaded, metrics: Metrics, apply: Callable[[Loaded], Awaitable[None]]
    ) -> None:
        self._sources = sources
        self._loaded = loaded
        self._metrics = metrics
        self._apply = apply
        self._stamp = stamp_of(loaded.files)
        self._wake = asyncio.Event()
        metrics.reload_ok.set(1)
        metrics.reload_time.set(time.time())
        metrics.use_config(loaded.digest)

    def request(self) -> None:
        """Reload now, whether or not anything changed (SIGHUP)."""
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            was_asked = await self._until_due()
            stamp = stamp_of(self._loaded.files)
            if not was_asked and stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                # Reading files and checking may take longer than streams should wait.
                loaded = await loop.run_in_executor(None, load, self._sources)
                await self._take(loaded)
            except ConfigError as fault:
                self._metrics.reload_ok.set(0)
                _LOG.error("configuration refused, the old one stays", extra={"problems": fault.problems})

    async def _until_due(self) -> bool:
        """Whether a reload was asked for, rather than the poll being due."""
        try:
            async with asyncio.timeout(POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _take(self, loaded: Loaded) -> None:
        if loaded.digest != self._loaded.digest:
            fixed = changed_fixed_keys(self._loaded.config, loaded.config)
            await self._apply(loaded)
            self._loaded = loaded
            self._stamp = stamp_of(loaded.files)
            _LOG.info("configuration reloaded", extra={"digest": loaded.digest})
            if fixed:
                _LOG.warning("a restart is needed for some of the changes", extra={"keys": fixed})
        else:
            _LOG.info("configuration unchanged", extra={"digest": loaded.digest})
        self._metrics.reload_ok.set(1)
        self._metrics.reload_time.set(time.time())
        self._metrics.use_config(loaded.digest)


def stamp_of(files: Sequence[Path]) -> Stamp:
    """What tells one version of `files` from the next."""
    return tuple(_stamp_of_one(file) for file in files)


def _stamp_of_one(file: Path) -> tuple[str, int, int] | None:
    try:
        real = os.path.realpath(file)
        status = os.stat(real)
    except OSError:
        return None
    return real, status.st_mtime_ns, status.st_size


def changed_fixed_keys(old: Config, new: Config) -> list[str]:
    """Which of the settings that need a restart differ."""
    return [key for key in FIXED_KEYS if attrgetter(key)(old) != attrgetter(key)(new)]
