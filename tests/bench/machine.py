"""The machine: facts to print, cores to place processes on, time and memory that the kernel counts."""

import contextlib
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Priority(IntEnum):
    """Real-time priorities: what measures may not wait for what is measured."""

    TARGET = 5
    UPSTREAM = 10
    LOADER = 20


@dataclass(frozen=True)
class Placement:
    """Where processes run. `None`: there is one core for everything."""

    target_cores: frozenset[int] | None
    load_core: int | None
    is_realtime: bool

    @classmethod
    def of_machine(cls, realtime: bool = True, target_cores: int = 1) -> "Placement":
        """The target alone on the first core(s), everything else on the last."""
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            return cls(None, None, False)
        return cls(frozenset(cores[: max(1, min(target_cores, len(cores)))]), cores[-1], realtime and may_realtime())

    def target(self) -> Callable[[], None]:
        return self._begin(self.target_cores, Priority.TARGET)

    def upstream(self) -> Callable[[], None]:
        return self._begin(self._load_cores(), Priority.UPSTREAM)

    def loader(self) -> Callable[[], None]:
        return self._begin(self._load_cores(), Priority.LOADER)

    def _load_cores(self) -> frozenset[int] | None:
        return None if self.load_core is None else frozenset({self.load_core})

    def _begin(self, cores: frozenset[int] | None, priority: Priority) -> Callable[[], None]:
        """What a new process does before it becomes the program."""

        def begin() -> None:
            os.setsid()
            if cores is not None:
                os.sched_setaffinity(0, cores)
            if self.is_realtime:
                policy = os.SCHED_RR if priority is Priority.TARGET else os.SCHED_FIFO
                os.sched_setscheduler(0, policy, os.sched_param(int(priority)))

        return begin

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Keep the cores from sleeping, by loops that run only when nothing else wants to: a virtual core that halts
        takes up to a millisecond to wake, which would be measured as the target's."""
        spinners = []
        if self.is_realtime:
            program = (
                "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(1000000): pass"
            )
            for core in sorted({*(self.target_cores or ()), self.load_core or 0}):
                spinners.append(subprocess.Popen([sys.executable, "-c", program], preexec_fn=_idle_on(core)))
        try:
            yield
        finally:
            for spinner in spinners:
                spinner.kill()
                spinner.wait()

    def __str__(self) -> str:
        if self.target_cores is None:
            return "one core for everything: figures show the whole, not the target"
        cores = ", ".join(map(str, sorted(self.target_cores)))
        how = "real-time priorities, cores kept awake" if self.is_realtime else "ordinary priorities"
        return f"target on core {cores}, upstream and load on core {self.load_core}; {how}"


def _idle_on(core: int) -> Callable[[], None]:
    def begin() -> None:
        os.sched_setaffinity(0, {core})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return begin


def may_realtime() -> bool:
    """Whether this process may give real-time priorities (root, or CAP_SYS_NICE)."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, policy, parameters)
    return True


# --- what processes use


def family(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for child, fields in _stats():
        children.setdefault(int(fields[1]), []).append(child)
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def _stats() -> Iterator[tuple[int, list[str]]]:
    """The fields of each process's `stat` from its state on."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                text = (folder / "stat").read_text()
                yield int(folder.name), text[text.rindex(")") + 2 :].split()


def cpu_s(pid: int) -> float:
    """CPU time of a process and its descendants, in seconds, exact to nanoseconds."""
    total_ns = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for thread in (PROC / str(member) / "task").iterdir():
                total_ns += int((thread / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and its descendants."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in (PROC / str(member) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class Foreign:
    """CPU time of everything that is none of ours, since this was made."""

    def __init__(self) -> None:
        self._before = self._used()

    @staticmethod
    def _used() -> dict[int, float]:
        ours = set(family(os.getpid()))
        return {pid: (int(fields[11]) + int(fields[12])) * TICK_S for pid, fields in _stats() if pid not in ours}

    def seconds(self) -> float:
        return sum(max(0.0, used - self._before.get(pid, 0.0)) for pid, used in self._used().items())


# --- facts


def facts() -> dict[str, str]:
    """What a reader needs to judge figures."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {_processor()}",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        **{name: _package(name) for name in ("aiohttp", "msgspec", "httptools")},
        "the proxy's event loop": f"uvloop {_package('uvloop')}" if find_spec("uvloop") else "asyncio's own",
    }


def _processor() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def program_version(name: str, flag: str = "-v") -> str:
    """The version that a program says it has."""
    path = shutil.which(name)
    if path is None:
        return "not installed"
    ran = subprocess.run([path, flag], capture_output=True, text=True)
    found = re.search(r"\d+\.\d[\w.+-]*", ran.stdout + ran.stderr)
    return found[0] if found else "of an unknown version"
