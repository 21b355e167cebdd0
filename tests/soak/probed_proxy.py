"""The proxy's own command with a probe inside: SIGUSR1 writes what only the process itself knows to `$PROBE_FILE`.

    PROBE_FILE=probe.json python -m tests.soak.probed_proxy serve --config proxy.yaml

The probe counts calls as they begin, independently of how they are counted at their end, and looks at the event loop
every 10 ms: how late it is, and for how much of that the system had given the processor to somebody else. SIGUSR2 makes
the process give back what it does not use, so that memory can be compared without what the allocator keeps.
"""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Any

from proxy import __main__
from proxy.commands import serve
from proxy.config import Config
from proxy.metrics_calls import CallMetrics
from proxy.server.app import Running

INTERVAL_S = 0.01
BUCKETS_PER_MS = 4
MOST_MS = 2000


class Lag:
    """A histogram, because a list of all values would be growing memory."""

    def __init__(self) -> None:
        self._counts = [0] * (MOST_MS * BUCKETS_PER_MS + 1)
        self.count = 0

    def add(self, seconds: float) -> None:
        self._counts[min(max(int(seconds * 1000 * BUCKETS_PER_MS), 0), len(self._counts) - 1)] += 1
        self.count += 1

    def percentile(self, share: float) -> float:
        """In milliseconds, the upper bound of the bucket."""
        left = self.count * share
        for index, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return (index + 1) / BUCKETS_PER_MS
        return float(MOST_MS)

    def summary(self) -> dict[str, float]:
        return {name: self.percentile(share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


class Probe:
    """Of one running proxy."""

    def __init__(self, running: Running, file: Path) -> None:
        self._gateway = running.gateway
        self._loop = running.gateway.loop
        self._file = file
        self._lag, self._own = Lag(), Lag()
        self._waited_s = _waited_s()
        self._writes = 0
        self._loop.add_signal_handler(signal.SIGUSR1, self.write)
        self._loop.add_signal_handler(signal.SIGUSR2, give_back)
        self._look(self._loop.time())

    def _look(self, due: float) -> None:
        now, waited_s = self._loop.time(), _waited_s()
        self._lag.add(now - due)
        self._own.add(now - due - (waited_s - self._waited_s))
        self._waited_s = waited_s
        self._loop.call_at(now + INTERVAL_S, self._look, now + INTERVAL_S)

    def write(self) -> None:
        """Replace the file."""
        self._writes += 1
        pool = self._gateway.pool
        found: dict[str, Any] = {
            "writes": self._writes,
            "started": STARTED[0],
            "live": len(self._gateway.live),
            "tasks": len(asyncio.all_tasks(self._loop)),
            "upstream_idle": pool.idle_count,
            # Naming hundreds of them would hold up the streams that are measured.
            "transports": {} if self._gateway.live else transports(self._loop),
            "lag_ms": self._lag.summary(),
            "own_lag_ms": self._own.summary(),
            "waited_s": self._waited_s,
        }
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(self._file)


def transports(loop: asyncio.AbstractEventLoop) -> dict[int, str]:
    """What asyncio's own loop has at each descriptor, its protocol included; of another loop nothing."""
    return {
        number: f"{transport!r} {transport.get_protocol()!r} {slots(transport.get_protocol())}"
        for number, transport in dict(getattr(loop, "_transports", {})).items()
    }


def slots(thing: object) -> dict[str, str]:
    """Its own plain values."""
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    values = {name: getattr(thing, name, None) for name in names}
    return {name: str(value)[:80] for name, value in values.items() if isinstance(value, bool | int | float | Enum)}


def give_back() -> None:
    """Free what nothing refers to, and return whole pages of it to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _waited_s() -> float:
    """How long this thread was ready to run and did not get the processor."""
    with open("/proc/thread-self/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


STARTED = [0]


def main() -> int:
    """The proxy's exit code."""
    start, begin = serve.start, CallMetrics.begin
    probes: list[Probe] = []

    async def start_probed(config: Config) -> Running:
        running = await start(config)
        probes.append(Probe(running, Path(os.environ["PROBE_FILE"])))
        return running

    def begin_counted(metrics: CallMetrics, dialect: str) -> None:
        STARTED[0] += 1
        begin(metrics, dialect)

    serve.start = start_probed  # type: ignore[attr-defined]
    CallMetrics.begin = begin_counted  # type: ignore[method-assign]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
