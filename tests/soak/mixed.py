"""Hundreds of streams at once for a long time: all dialects, faults, failover, joins, slow callers, leaving callers, reloads.

    python -m tests.soak.mixed [--minutes 20] [--streams 300]

Three processes: the simulated model, the proxy (with a probe, see `probed_proxy`), and this one with the callers. What
must hold, else the exit status is 1:

* no caller waits longer than the proxy's deadlines allow;
* every call that began has ended with one outcome, in the metrics and in one line of the log, and where the caller read
  to the end, outcome and reading agree;
* memory under load at the end is within 10 % of that after two minutes;
* when the callers have gone, no task and no descriptor is left but those of idle upstream connections; one that is
  left is named, with its side and what the process itself knows of it;
* the event loop is late by less than 20 ms at the 99th percentile. How much of that the processor was with other
  programs is shown beside it: on a machine with other work judge only the rest (`--shared-machine`),
  in which is still the work that piled up meanwhile;
* neither key nor prompt is in the log or the metrics, no traceback, and no socket that was left to the collector.

Needs a machine with two free cores for three hundred streams.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from proxy.demo import BASE_PATHS
from tests.soak.descriptors import connections, descriptors
from tests.soak.mixed_calls import KEY, SAID, Manner, Seen, Verdict, make_call
from tests.support.proxy import PROJECT, ProxyProcess, provider, proxy_process, settings

POLICIES = ("error", "continue", "restart")
"""Of `on_cut`; each reload takes the next one."""
RELOAD_S = 5.0
SAMPLE_S = 2.0
PATIENCE_S = 45.0
"""For one call: its total deadline is 20 s for each of two targets at most, and the machine may be busy."""
LEVEL_AT_S = 120.0
LEVEL_MINUTES = 3.0
"""Shorter runs say nothing about memory, nor about the lateness of a process that has just started."""
MAX_GROWTH = 0.10
MAX_LAG_MS = 20.0
SETTLE_S = 45.0
"""Longer than the last deadline of a connection whose caller is gone: `caller_stall_s` and the kernel's 30 s beyond it."""
OUTCOME = re.compile(r'^llm_proxy_streams_total\{[^}]*outcome="(\w+)"[^}]*\} (\S+)', re.MULTILINE)
ALIEN = re.compile(rb'Traceback|"exception"|"level":"error"|never retrieved|Fatal error|ResourceWarning')
"""A fault that nobody caught, or a socket that only the garbage collector closed."""
LEFT = {"caller_left_before_first", "caller_left_midway"}


@dataclass
class Soak:
    """What happened."""

    proxy: ProxyProcess
    probe: Path
    upstream_port: int
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By dialect and verdict."""
    manners: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, Seen] = field(default_factory=dict)
    """Of calls whose line in the log has not come yet, by request id."""
    lines: dict[str, str] = field(default_factory=dict)
    """Outcomes of calls whose caller has not come back yet."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of the lines in the log."""
    memory: list[tuple[float, int]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    logged: int = 0
    """Bytes of the log that were read."""

    def breach(self, what: str) -> None:
        self.breaches.append(what)
        if len(self.breaches) <= 30:
            print(f"BREACH {what}", flush=True)

    async def ask_probe(self) -> dict[str, Any]:
        return await ask_probe(self.proxy, self.probe)

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as session, session.get(self.proxy.url + "/metrics") as response:
            return await response.text()

    def read_log(self) -> None:
        """The lines since the last look; each ends one call."""
        with self.proxy.log.open("rb") as file:
            file.seek(self.logged)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.logged += len(whole)
        for mark in (KEY.encode(), SAID.encode()):
            if mark in whole:
                self.breach(f"{mark.decode()} is in the log")
        for line in whole.splitlines():
            if ALIEN.search(line):
                self.breach(f"in the log: {line[:1500].decode('utf-8', 'replace')}")
            elif b'"message":"call"' in line:
                self._judge(json.loads(line))

    def _judge(self, line: dict[str, Any]) -> None:
        outcome, call_id = line["outcome"], line["request_id"]
        self.outcomes[outcome] += 1
        if call_id in self.lines:
            self.breach(f"two lines of one call: {line}")
        seen = self.verdicts.pop(call_id, None)
        if seen is None:
            self.lines[call_id] = outcome
        else:
            self._compare(seen, outcome)

    def compare(self, seen: Seen) -> None:
        """What a caller saw, with the line about its call, which may come later."""
        outcome = self.lines.pop(seen.id, None)
        if outcome is not None:
            self._compare(seen, outcome)
        elif seen.verdict in (Verdict.WHOLE, Verdict.FAILED):
            self.verdicts[seen.id] = seen

    def _compare(self, seen: Seen, outcome: str) -> None:
        match seen.verdict:
            case Verdict.WHOLE:
                agrees = outcome == "completed"
            case Verdict.FAILED:
                agrees = outcome not in {"completed", *LEFT, "internal_error"}
            case _:
                agrees = outcome != "internal_error"
        if not agrees:
            self.breach(f"{seen} read, {outcome} logged: {seen.received[-600:]!r}")


async def ask_probe(proxy: ProxyProcess, file: Path) -> dict[str, Any]:
    """What only the process knows, now."""

    def written() -> dict[str, Any]:
        return json.loads(file.read_text()) if file.exists() else {}

    before = written().get("writes", 0)
    proxy.process.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(20):
        while written().get("writes", 0) == before:  # noqa: ASYNC110  another process tells nobody
            await asyncio.sleep(0.02)
    return written()


async def callers(soak: Soak, number: int, until: float) -> None:
    """One call after the other."""
    chance = random.Random(number)
    count = 0
    while time.monotonic() < until:
        count += 1
        prefix = f"soak-{number}-{count}"
        made = await make_call(soak.proxy.port, chance, prefix, PATIENCE_S)
        for one in made:
            soak.seen[one.dialect, one.verdict] += 1
            soak.manners[one.manner] += 1
            if one.verdict is Verdict.STUCK:
                soak.breach(f"stuck: {one} {one.received[-300:]!r}")
            soak.compare(one)
        if made[-1].manner is Manner.LEAVES_IN_HEAD:
            await asyncio.sleep(0.2)


async def watch(soak: Soak, config: dict[str, Any], file: Path, began: float) -> None:
    """Reload, scrape, look at memory and log until cancelled."""
    reloaded = time.monotonic()
    for number in range(1, 1_000_000):
        await asyncio.sleep(SAMPLE_S)
        now = time.monotonic()
        soak.memory.append((now - began, soak.proxy.resident_bytes()))
        soak.read_log()
        if now - reloaded >= RELOAD_S:
            reloaded = now
            file.write_text(yaml.safe_dump({**config, "on_cut": POLICIES[number % len(POLICIES)]}))
            soak.proxy.process.send_signal(signal.SIGHUP)
            text = await soak.metrics()
            if KEY in text or SAID in text:
                soak.breach("key or prompt in the metrics")
        if number % 15 == 0:
            probed = await soak.ask_probe()
            print(
                f"{now - began:6.0f} s  {soak.outcomes.total():>7} calls  {probed['live']:>4} live  "
                f"{soak.memory[-1][1] / 1e6:6.1f} MB  {soak.proxy.open_files():>5} files  {probed['tasks']:>5} tasks  "
                f"lag p99 {probed['lag_ms']['p99']:.1f} ms, own {probed['own_lag_ms']['p99']:.1f} ms",
                flush=True,
            )


def configuration(demo: str, total_s: float = 20) -> dict[str, Any]:
    """Three ways to the simulated model, one provider that cannot be reached, and models over several of them."""
    kinds = {"chat": "openai_chat", "claude": "anthropic", "gem": "gemini"}
    providers = [provider(name, kind, demo + BASE_PATHS[kind]) for name, kind in kinds.items()]
    base = settings([*providers, provider("dead", "openai_chat", "http://127.0.0.1:9/v1")])
    targets = {
        "failover": [{"provider": name, "model": "f"} for name in ("dead", "chat", "claude")],
        "joined": [{"provider": name, "model": "j", "prefill": name == "claude"} for name in ("chat", "claude", "gem")],
    }
    return {
        **base,
        "models": [*base["models"], *({"name": name, "targets": each} for name, each in targets.items())],
        "auth": {"keys": [{"name": "soak", "key": "env:SOAK_KEY"}]},
        "timeouts": {"headers_s": 3, "first_event_s": 3, "idle_s": 2, "total_s": total_s, "caller_stall_s": 3},
        "limits": {"header_timeout_s": 2, "body_timeout_s": 2, "max_frame_bytes": 1 << 20},
        "retry": {"attempts": 2, "base_s": 0.05},
        "breaker": {"failures": 30, "window_s": 2, "open_s": 1},
        "heartbeat_s": 1,
    }


@contextlib.asynccontextmanager
async def simulated_model() -> AsyncIterator[str]:
    """In a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy.demo"), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).split()[1].decode().removesuffix("/v1")
    finally:
        process.terminate()
        await process.communicate()


async def run(minutes: float, streams: int, *, is_shared: bool, total_s: float = 20) -> list[str]:
    """The breaches. `total_s`: the deadline of each call."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, probe = folder / "soak.yaml", folder / "probe.json"
        async with simulated_model() as demo:
            config = configuration(demo, total_s)
            file.write_text(yaml.safe_dump(config))
            environ = {"SOAK_KEY": KEY, "PROBE_FILE": str(probe), "PYTHONWARNINGS": "always::ResourceWarning"}
            async with proxy_process(
                config, folder, environ=environ, file=file, module="tests.soak.probed_proxy"
            ) as proxy:
                soak = Soak(proxy, probe, int(demo.rpartition(":")[2]))
                tasks = (await soak.ask_probe())["tasks"]
                files = set(descriptors(proxy.pid).values())
                began, cpu = time.monotonic(), cpu_s(proxy.pid)
                watching = asyncio.get_running_loop().create_task(watch(soak, config, file, began))
                until = began + minutes * 60
                async with asyncio.TaskGroup() as group:
                    for number in range(streams):
                        group.create_task(callers(soak, number, until))
                    await asyncio.sleep(minutes * 60)
                    loaded = await soak.ask_probe()
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                took_s, cpu = time.monotonic() - began, cpu_s(proxy.pid) - cpu
                await settle(soak, files, tasks)
                await check_counts(soak)
                if minutes >= LEVEL_MINUTES:
                    check_level(soak, minutes * 60, loaded, is_shared=is_shared)
                report(soak, loaded, took_s, cpu)
                return soak.breaches


async def settle(soak: Soak, files: set[str], tasks: int) -> None:
    """Until nothing is left of the callers; it is a breach when something stays."""
    until = time.monotonic() + SETTLE_S
    while left := await left_behind(soak, files, tasks):
        if time.monotonic() > until:
            soak.breach(f"left behind: {left}")
            return
        await asyncio.sleep(0.5)


async def left_behind(soak: Soak, files: set[str], tasks: int) -> list[str]:
    """What there is beyond what was there before the first caller, but for idle upstream connections."""
    probed = await soak.ask_probe()
    counts = {"live calls": probed["live"], "tasks": probed["tasks"] - tasks}
    left = [f"{count} {name}" for name, count in counts.items() if count > 0]
    found = {number: link for number, link in descriptors(soak.proxy.pid).items() if link not in files}
    tcp = connections(soak.proxy.pid)
    upstream: list[str] = []
    for number, link in found.items():
        known = probed["transports"].get(str(number), "no transport")
        side = tcp.get(link)
        what = f"descriptor {number}, {link} {side}, {known}"
        if side is not None and side.remote_port == soak.upstream_port:
            upstream.append(f"upstream's {what}")
        elif side is not None and side.local_port == soak.proxy.port:
            left.append(f"caller's {what}")
        else:
            left.append(what)
    if len(upstream) > probed["upstream_idle"]:
        left += [f"{probed['upstream_idle']} of these are idle", *upstream]
    return left


async def check_counts(soak: Soak) -> None:
    """Started, counted, logged: the same calls."""
    started = (await soak.ask_probe())["started"]
    counted = Counter[str]()
    for outcome, value in OUTCOME.findall(await soak.metrics()):
        counted[outcome] += int(float(value))
    until = time.monotonic() + 5
    while soak.outcomes.total() < counted.total() and time.monotonic() < until:
        await asyncio.sleep(0.1)
        soak.read_log()
    if not started == counted.total() == soak.outcomes.total() or +counted != +soak.outcomes:
        soak.breach(
            f"{started} began, {counted.total()} counted, {soak.outcomes.total()} logged: {counted - soak.outcomes}"
        )
    if soak.verdicts:
        soak.breach(f"{len(soak.verdicts)} calls are not in the log: {list(soak.verdicts.values())[:3]}")
    if counted["internal_error"]:
        soak.breach(f"{counted['internal_error']} internal errors")


def check_level(soak: Soak, seconds: float, loaded: dict[str, Any], *, is_shared: bool) -> None:
    """Memory against the level after two minutes, and the lateness of the loop."""
    count = max(int(seconds / 20 / SAMPLE_S), 5)
    loaded_memory = [(when, size) for when, size in soak.memory if when <= seconds]
    first = [size for when, size in loaded_memory if when >= LEVEL_AT_S][:count] or [soak.memory[-1][1]]
    last = [size for _, size in loaded_memory][-count:]
    before, after = statistics.mean(first), statistics.mean(last)
    print(f"memory under load: {before / 1e6:.1f} MB after {LEVEL_AT_S:.0f} s, {after / 1e6:.1f} MB at the end")
    if after > before * (1 + MAX_GROWTH):
        soak.breach(f"memory grew by {(after / before - 1) * 100:.1f} %")
    lag = loaded["own_lag_ms" if is_shared else "lag_ms"]["p99"]
    if lag >= MAX_LAG_MS:
        soak.breach(f"the loop was late by {lag:.1f} ms at the 99th percentile")


def report(soak: Soak, loaded: dict[str, Any], took_s: float, cpu: float) -> None:
    """The tables."""
    by_dialect: dict[str, dict[str, int]] = defaultdict(dict)
    for (dialect, seen), count in soak.seen.items():
        by_dialect[dialect][seen] = count
    print(f"\n{'dialect':<20}" + "".join(f"{verdict:>9}" for verdict in Verdict))
    for dialect, counts in sorted(by_dialect.items()):
        print(f"{dialect:<20}" + "".join(f"{counts.get(verdict, 0):>9}" for verdict in Verdict))
    print("\n" + ", ".join(f"{outcome} {count}" for outcome, count in soak.outcomes.most_common()))
    print(", ".join(f"{manner} {count}" for manner, count in soak.manners.most_common()))
    print(f"{soak.outcomes.total() / took_s:.1f} calls/s, proxy used {cpu / took_s * 100:.0f} % of a core")
    for what, name in (("late", "lag_ms"), ("late by itself", "own_lag_ms")):
        print(f"loop {what}: " + ", ".join(f"{key} {value:.2f} ms" for key, value in loaded[name].items()))
    print(f"waited for the processor {loaded['waited_s']:.1f} s of {took_s:.0f} s")
    print(f"{len(soak.breaches)} breaches")


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def main() -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument(
        "--shared-machine", action="store_true", help="judge only the lateness that is not the system's"
    )
    options = parser.parse_args()
    return 1 if asyncio.run(run(options.minutes, options.streams, is_shared=options.shared_machine)) else 0


if __name__ == "__main__":
    sys.exit(main())
