"""What the operating system says of this process, under the names that Prometheus clients share.

Every process of the proxy shows its own series by the label `process`: a sum would hide the one worker that leaks. Read
in a thread, because older kernels count open files only by naming each.
"""

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics import MetricWrapperBase

from proxy.metrics_values import raise_to

ALONE = "main"
"""Name of a process that is the whole proxy; others are `worker-1` … and `admin`."""

_PROC = Path("/proc/self")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_START_TICKS_FIELD = 19
"""Of `/proc/self/stat`, counted from behind the program's name (proc(5): field 22)."""


class Reading(NamedTuple):
    """Values of one moment."""

    cpu_s: float
    resident_bytes: int
    virtual_bytes: int
    open_files: int
    max_files: float
    started_at: float


class ProcessMetrics:
    """The `process_*` instruments of this process. Without `/proc` they have no series."""

    def __init__(self, registry: CollectorRegistry, name: str = ALONE) -> None:
        self._name = name
        self.cpu = Counter(
            "process_cpu_seconds", "User and system CPU time of each process.", ("process",), registry=registry
        )
        self.resident = _gauge("process_resident_memory_bytes", "Memory held, shared pages included.", registry)
        self.virtual = _gauge("process_virtual_memory_bytes", "Address space.", registry)
        self.open_files = _gauge("process_open_fds", "Open file descriptors: sockets, mostly.", registry)
        self.max_files = _gauge("process_max_fds", "File descriptors that the process may open.", registry)
        self.started_at = _gauge("process_start_time_seconds", "Unix time of the process's start.", registry)

    def instruments(self) -> list[MetricWrapperBase]:
        """All of them."""
        return [self.cpu, self.resident, self.virtual, self.open_files, self.max_files, self.started_at]

    def rename(self, name: str) -> None:
        """The process is this one of several; before the first `refresh`."""
        self._name = name

    async def refresh(self) -> None:
        """Bring all up to date."""
        reading = await asyncio.get_running_loop().run_in_executor(None, read_process)
        if reading is None:
            return
        raise_to(self.cpu.labels(self._name), reading.cpu_s)
        self.resident.labels(self._name).set(reading.resident_bytes)
        self.virtual.labels(self._name).set(reading.virtual_bytes)
        self.open_files.labels(self._name).set(reading.open_files)
        self.max_files.labels(self._name).set(reading.max_files)
        self.started_at.labels(self._name).set(reading.started_at)


def read_process() -> Reading | None:
    """The present values; `None` where there is no `/proc`."""
    try:
        virtual_pages, resident_pages = (_PROC / "statm").read_text().split()[:2]
        start_ticks = (_PROC / "stat").read_text().rpartition(")")[2].split()[_START_TICKS_FIELD]
        open_files = _open_files()
    except OSError:
        return None
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Reading(
        cpu_s=time.process_time(),
        resident_bytes=int(resident_pages) * _PAGE_BYTES,
        virtual_bytes=int(virtual_pages) * _PAGE_BYTES,
        open_files=open_files,
        max_files=float("inf") if limit == resource.RLIM_INFINITY else limit,
        started_at=round(booted_at + int(start_ticks) / _TICKS, 2),
    )


def _open_files() -> int:
    # Linux 6.2 and newer tell the number as the directory's size; reading the directory opens one more.
    return os.stat(_PROC / "fd").st_size or len(os.listdir(_PROC / "fd")) - 1


def _gauge(name: str, documentation: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, documentation, ("process",), registry=registry)
