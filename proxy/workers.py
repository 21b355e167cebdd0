"""Several processes on one port: a parent that only starts, watches and stops, workers, and one admin process.

The parent has neither an event loop nor a thread, so that it can fork at any time. It waits for signals and deaths,
and gives orders over a socket of each child:

    D  drain, then end            N  end now            H  load the configuration again
    R  (from the child) it serves

Children do not act on signals of the terminal or of a service manager that go to the whole group: with those and the
parent's forwarding, one SIGTERM would count twice. A child whose parent is gone drains.

A child that ends unasked is replaced: soon when it lived for long, else after a pause that doubles. One that ends before
all of them have served means that the proxy cannot start: then everything stops.
"""

import heapq
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path

import msgspec

_LOG = logging.getLogger("proxy.workers")

DRAIN, NOW, RELOAD, READY = b"D", b"N", b"H", b"R"

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
LONG_LIFE_S = 10.0
"""A child that lived for so long did not die of its start."""
KILL_GRACE_S = 10.0
"""Beyond the time that draining may take."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

Main = Callable[[socket.socket], int]
"""What a child runs, with its end of the socket; its exit code."""


class _Child(msgspec.Struct):
    slot: int
    pid: int
    orders: socket.socket
    started_at: float
    is_ready: bool = False


class Slot(msgspec.Struct):
    """A place for one child."""

    name: str
    main: Main
    is_worker: bool = True
    """Whether it ends by itself when it has drained; else it is told to when the workers have ended."""
    deaths: int = 0
    """In a row, each after a short life."""


class Supervisor:
    """The parent. `run` returns when every child has ended."""

    def __init__(self, slots: list[Slot], on_ready: Callable[[], None], drain_s: float) -> None:
        """`on_ready` is called once, when every child serves; `drain_s`: what a worker may take to drain."""
        self._slots = slots
        self._on_ready = on_ready
        self._drain_s = drain_s
        self._children: dict[int, _Child] = {}
        self._due: list[tuple[float, int]] = []
        """When which slot is to be filled."""
        self._was_ready = False
        self._stops = 0
        self._kill_at: float | None = None
        self._exit_code = 0
        self._wake_in, self._wake_out = -1, -1

    def run(self) -> int:
        """Start the children and look after them; the parent's exit code."""
        self._catch_signals()
        for slot in range(len(self._slots)):
            self._start(slot)
        while self._children or (self._due and not self._stops):
            self._wait()
            self._reap()
            self._act_on_time()
        return self._exit_code

    # --- signals

    def _catch_signals(self) -> None:
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_in, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _nothing)

    def _wait(self) -> None:
        """Until something happens, or is due."""
        times = [due for due, _ in self._due] + ([self._kill_at] if self._kill_at is not None else [])
        timeout_s = max(min(times) - time.monotonic(), 0) if times else None
        unready = [child.orders for child in self._children.values() if not child.is_ready]
        watched: list[int | socket.socket] = [self._wake_out, *unready]
        readable, _, _ = select.select(watched, [], [], timeout_s)
        for child in self._children.values():
            if child.orders in readable:
                self._hear(child)
        if self._wake_out in readable:
            for number in os.read(self._wake_out, 4096):
                self._on_signal(signal.Signals(number))

    def _hear(self, child: _Child) -> None:
        child.is_ready = True
        try:
            is_serving = child.orders.recv(1) == READY
        except ConnectionResetError:
            is_serving = False
        if not is_serving:
            return  # it is dying: its death comes next
        if not self._was_ready and all(one.is_ready for one in self._children.values()):
            self._was_ready = True
            self._on_ready()

    def _on_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number is signal.SIGHUP:
            self._order(RELOAD)

    def _stop(self) -> None:
        self._stops += 1
        self._due.clear()
        self._order(DRAIN if self._stops == 1 else NOW)
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._drain_s + KILL_GRACE_S
        _LOG.info("stopping", extra={"at_once": self._stops > 1, "children": len(self._children)})

    def _order(self, order: bytes) -> None:
        for child in self._children.values():
            _tell(child, order)

    # --- deaths

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            child = self._children.pop(pid, None)
            if child is not None:
                child.orders.close()
                self._on_death(child, os.waitstatus_to_exitcode(status))
        if self._stops and not any(self._slots[child.slot].is_worker for child in self._children.values()):
            for child in self._children.values():
                _tell(child, NOW)

    def _on_death(self, child: _Child, code: int) -> None:
        slot = self._slots[child.slot]
        life_s = time.monotonic() - child.started_at
        how = {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
        if self._stops:
            _LOG.info("child ended", extra={"child": slot.name, "pid": child.pid, **how})
            return
        _LOG.error(
            "child ended unasked", extra={"child": slot.name, "pid": child.pid, "life_s": round(life_s, 1), **how}
        )
        if not self._was_ready:
            self._exit_code = code if code > 0 else 1
            self._stop()
            return
        slot.deaths = 0 if life_s >= LONG_LIFE_S else slot.deaths + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** max(slot.deaths - 1, 0), LONGEST_PAUSE_S)
        heapq.heappush(self._due, (time.monotonic() + pause_s, child.slot))

    def _act_on_time(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._start(heapq.heappop(self._due)[1])
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            for child in self._children.values():
                _LOG.error("child does not end: killed", extra={"pid": child.pid})
                os.kill(child.pid, signal.SIGKILL)

    # --- births

    def _start(self, slot: int) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._become_child(slot, ours, theirs)
        theirs.close()
        self._children[pid] = _Child(slot, pid, ours, time.monotonic())

    def _become_child(self, slot: int, ours: socket.socket, theirs: socket.socket) -> None:
        """Never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            os.close(self._wake_in)
            os.close(self._wake_out)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN if number in (signal.SIGINT, signal.SIGHUP) else signal.SIG_DFL)
            # What the parent tells others is not this child's: its open ends would keep their ends from showing.
            ours.close()
            for child in self._children.values():
                child.orders.close()
            code = self._slots[slot].main(theirs)
            sys.stdout.flush()
        except BaseException:
            _LOG.exception("child failed")
        finally:
            # No clean-up of the parent's may run here.
            os._exit(code)


def cpu_count() -> int:
    """CPUs that this process may use: those of its affinity, and no more than its control group pays for."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(min(count, ceil(int(quota) / int(period))), 1)
    except (OSError, ValueError):
        return count


def _tell(child: _Child, order: bytes) -> None:
    try:
        child.orders.send(order, socket.MSG_NOSIGNAL)
    except OSError:
        return  # it is dying: its death comes next


def _nothing(_number: int, _frame: object) -> None:
    """Only the wake-up descriptor counts."""
