"""The parent of several processes: started, replaced, told, stopped. Its children here are a few lines each."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from proxy.workers import cpu_count
from tests.support.proxy import PROJECT

SCRIPT = """
import os, sys
from proxy.workers import READY, Slot, Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece, whoever else writes

def child(name, is_worker):
    def main(orders):
        say(name, os.getpid())
        if {fails}:
            return 7
        orders.send(READY)
        while True:
            order = orders.recv(1).decode() or "orphan"
            say(name, order)
            if order in ("orphan", "N") or (order == "D" and is_worker and not {is_deaf}):
                return 0
    return main

slots = [Slot("admin", child("admin", False), is_worker=False), Slot("one", child("one", True)), Slot("two", child("two", True))]
code = Supervisor(slots, lambda: say("ready"), drain_s=0.0).run()
say("over")
sys.exit(code)
"""


class Parent:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, *wanted: str) -> None:
        """Once each of these lines has come (from the start on)."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while not all(line in self.lines for line in wanted):
                line = await self.process.stdout.readline()
                assert line, (wanted, self.lines)
                self.lines.append(line.decode().strip())

    def pids(self, name: str) -> list[int]:
        words = [line.split() for line in self.lines]
        return [int(pid) for who, pid in (pair for pair in words if len(pair) == 2) if who == name and pid.isdigit()]


@contextlib.asynccontextmanager
async def parent(*, fails: bool = False, is_deaf: bool = False) -> AsyncIterator[Parent]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT.format(fails=fails, is_deaf=is_deaf)),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Parent(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_stop_lets_the_workers_drain_and_ends_the_admin_process_last() -> None:
    async with parent() as running:
        await running.until("ready")
        running.process.terminate()

        await running.until("over")

        assert await running.process.wait() == 0
        assert {"one D", "two D", "admin D"} <= set(running.lines)
        assert running.lines.index("admin N") > running.lines.index("one D")


async def test_a_second_signal_is_passed_on_as_at_once() -> None:
    async with parent(is_deaf=True) as running:
        await running.until("ready")
        running.process.terminate()
        await running.until("one D", "two D")

        running.process.send_signal(signal.SIGINT)

        await running.until("one N", "two N", "over")


async def test_a_reload_is_passed_on() -> None:
    async with parent() as running:
        await running.until("ready")

        running.process.send_signal(signal.SIGHUP)

        await running.until("one H", "two H", "admin H")


async def test_a_dead_worker_is_replaced_and_the_others_are_left_alone() -> None:
    async with parent() as running:
        await running.until("ready")
        (first,), (other,) = running.pids("one"), running.pids("two")

        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            while len(running.pids("one")) < 2:
                assert running.process.stdout is not None
                running.lines.append((await running.process.stdout.readline()).decode().strip())

        assert running.pids("one")[1] != first
        assert running.pids("two") == [other]


async def test_children_without_a_parent_end() -> None:
    async with parent() as running:
        await running.until("ready")

        running.process.kill()

        await running.until("one orphan", "two orphan", "admin orphan")


async def test_a_proxy_that_cannot_start_does_not_try_for_ever() -> None:
    async with parent(fails=True) as running:
        await running.until("over")

        assert await running.process.wait() == 7


def test_at_least_one_cpu_is_there() -> None:
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_the_parent_has_no_thread() -> None:
    async with parent() as running:
        await running.until("ready")

        assert len(os.listdir(f"/proc/{running.process.pid}/task")) == 1
