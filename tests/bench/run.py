"""Start a target beside the simulated provider, put a scenario's load on it, and take its figures."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import machine
from tests.bench.machine import Placement
from tests.bench.native import Programs
from tests.bench.scenarios import Scenario
from tests.bench.targets import PROJECT, Ports, Target

PROBE = Scenario("probe", "whether it works", 1, 5)
WARM_UP = Scenario("warm-up", "160 streams of 20 events", 16, 20, streams=160)
SLOW_WARM_UP = Scenario("warm-up", "4 streams of 20 events", 2, 20, streams=4)
NOTICED_WITHIN_S = 5.0
SETTLE_S = 0.5
MOST_RUN_S = 330.0

Figures = dict[str, float]


class CannotRun(Exception):
    """A target did not start, or gave wrong answers."""


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    programs: Programs
    placement: Placement


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process and its descendants."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr, process.stdin):
        if pipe is not None:
            pipe.close()


class Upstream:
    """The simulated provider."""

    def __init__(self, bench: Bench) -> None:
        self.process = subprocess.Popen(
            [bench.programs.upstream, "0"], stdout=subprocess.PIPE, text=True, preexec_fn=bench.placement.upstream()
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split()[1])

    def ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def left(self) -> dict[int, int]:
        """When the upstream saw each stream's peer leave, in nanoseconds, by the stream's id."""
        return {int(number): int(at) for number, at in (line.split() for line in self.ask("/left").splitlines())}


class Session:
    """A target that runs."""

    def __init__(
        self, bench: Bench, target: Target, upstream: Upstream, process: subprocess.Popen[Any] | None, port: int
    ):
        self.bench = bench
        self.target = target
        self.upstream = upstream
        self.process = process
        self.port = port

    def loader(self, scenario: Scenario) -> subprocess.Popen[str]:
        """The load generator, at work."""
        target = self.target
        model = target.model + scenario.model
        command = [self.bench.programs.loader, "-p", str(self.port)]
        command += ["-u", target.path.replace("%s", model), "-b", target.body.replace("%s", model)]
        for header in target.headers:
            command += ["-H", header]
        pipe = subprocess.PIPE
        command += scenario.arguments()
        begin = self.bench.placement.loader()
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, preexec_fn=begin)

    def load(self, scenario: Scenario) -> dict[str, Any]:
        """What the load generator said about a scenario that runs to its end."""
        process = self.loader(scenario)
        try:
            out, _ = process.communicate(timeout=MOST_RUN_S)
        finally:
            stop(process)
        return json.loads(out)

    def cpu_s(self) -> float:
        return machine.cpu_s(self.process.pid) if self.process is not None else 0.0

    def memory_bytes(self) -> int:
        return machine.memory_bytes(self.process.pid) if self.process is not None else 0

    def measure(self, scenario: Scenario) -> Figures:
        """The figures of one run. Raises CannotRun when answers were wrong."""
        self.upstream.ask("/reset")
        foreign, began = machine.Foreign(), time.monotonic()
        figures = self._held(scenario) if scenario.holds else self._streamed(scenario)
        return {**figures, "foreign_cores": foreign.seconds() / (time.monotonic() - began)}

    def _streamed(self, scenario: Scenario) -> Figures:
        before, upstream_before = self.cpu_s(), machine.cpu_s(self.upstream.process.pid)
        said = self.load(scenario)
        used = self.cpu_s() - before
        if not said["good"] or said["good"] < 0.99 * said["finished"]:
            raise CannotRun(
                f"{said['finished'] - said['good']} of {said['finished']} streams were wrong: {said['fault']}"
            )
        load_s = said["cpu_s"] + machine.cpu_s(self.upstream.process.pid) - upstream_before
        latency, first = said["latency_us"], said["first_us"]
        return {
            "cpu_us_per_event": used * 1e6 / said["marks"],
            "cpu_us_per_stream": used * 1e6 / said["good"],
            "latency_us_p50": latency["p50"],
            "latency_us_p99": latency["p99"],
            "latency_us_p999": latency["p999"],
            "first_us_p50": first["p50"],
            "first_us_p99": first["p99"],
            "events_per_s": said["marks"] / said["wall_s"],
            "streams_per_s": said["good"] / said["wall_s"],
            "target_busy": used / said["wall_s"],
            "load_busy": load_s / said["wall_s"],
            "wrong_streams": said["finished"] - said["good"],
        }

    def _held(self, scenario: Scenario) -> Figures:
        before = self.memory_bytes()
        process = self.loader(scenario)
        try:
            assert process.stderr is not None
            if "READY" not in process.stderr.readline():
                raise CannotRun("not every stream had a first event")
            time.sleep(SETTLE_S)
            held = self.memory_bytes() - before
            out, _ = process.communicate("x", timeout=MOST_RUN_S)
        finally:
            stop(process)
        said = json.loads(out)
        closed = {number: at for number, at in said["closed"]}
        if len(closed) < 0.99 * scenario.connections:
            raise CannotRun(f"only {len(closed)} of {scenario.connections} streams were open: {said['fault']}")
        left = self._await_leaving(closed)
        delays = sorted((left[number] - at) / 1e6 for number, at in closed.items() if number in left)
        figures: Figures = {
            "kb_per_stream": held / 1024 / len(closed),
            "streams": len(closed),
            "never_noticed": len(closed) - len(delays),
        }
        if delays:
            figures["cancel_ms_p50"] = delays[len(delays) // 2]
            figures["cancel_ms_p99"] = delays[min(len(delays) - 1, len(delays) * 99 // 100)]
        return figures

    def _await_leaving(self, closed: dict[int, int]) -> dict[int, int]:
        deadline = time.monotonic() + NOTICED_WITHIN_S
        while True:
            left = self.upstream.left()
            if closed.keys() <= left.keys() or time.monotonic() > deadline:
                return left
            time.sleep(0.05)


@contextlib.contextmanager
def session(bench: Bench, target: Target) -> Iterator[Session]:
    """`target`, started, tried and warmed up. Raises CannotRun."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        upstream = Upstream(bench)
        process: subprocess.Popen[Any] | None = None
        port = upstream.port
        try:
            if target.command is not None:
                port = free_port()
                command = target.command(Ports(port, upstream.port, folder))
                with (folder / "log").open("wb") as log:
                    process = subprocess.Popen(
                        command,
                        cwd=PROJECT,
                        env={**os.environ, "HOME": name, **target.environ},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        preexec_fn=bench.placement.target(),
                    )
            running = Session(bench, target, upstream, process, port)
            _await_answers(running, folder / "log")
            running.load(SLOW_WARM_UP if target.is_slow else WARM_UP)
            yield running
        finally:
            for each in (process, upstream.process):
                if each is not None:
                    stop(each)


def _await_answers(running: Session, log: Path) -> None:
    deadline = time.monotonic() + running.target.boot_s
    fault = ""
    while time.monotonic() < deadline:
        if running.process is not None and running.process.poll() is not None:
            break
        said = running.load(PROBE)
        if said["good"]:
            return
        fault = said["fault"]
        time.sleep(0.1)
    end = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise CannotRun(f"{running.target.name} does not answer: {fault}\n{end}")
