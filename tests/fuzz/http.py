"""Fuzz a proxy process with requests that are nearly HTTP.

    nice -n 15 python -m tests.fuzz.http [--minutes 30] [--seed N] [--out FOLDER] [--only SEED]

What must hold: every connection is answered or closed in bounded time, and what is answered is HTTP; no answer is a 500;
nothing but ordinary lines reaches standard error; after each batch of connections an ordinary request works in three
dialects and no descriptor is left; at the end, the memory in use is what it was after the first batches (the allocator
keeps more, as bodies of all sizes come and go). A connection that breaks
a promise is written to FOLDER with its seed (`--only` repeats it); the run goes on, and its exit status is 1.
"""

import argparse
import asyncio
import contextlib
import logging
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from proxy.demo import BASE_PATHS, DemoServer
from tests.e2e.calls import RawCall, request_bytes
from tests.fuzz.http_answers import Incomplete, statuses
from tests.fuzz.http_requests import KEY, MODELS, Case, Leaving, bodies, case
from tests.soak.mixed import ask_probe
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings

BATCH = 400
AT_ONCE = 50
WARM_BATCHES = 8
"""Before memory is looked at: the allocator and every cache have seen what there is."""
MAX_GROWTH = 0.10
MAX_GROWTH_BYTES = 6 << 20
"""What a tenth is of a process of the usual size: the smaller of a run's first levels may not fail it by noise."""
LATE_S = 30.0
"""Until an answer: the proxy's own deadlines are a second each, but this runs beside other work, and gives way to it."""
QUIET_S = 0.05
"""After the last byte of a whole answer, when no further one is expected."""
SUSPECT = re.compile(rb'Traceback|"level":"(?:error|critical)"|"exception"|never retrieved|Warning')
NO_ANSWER = 0


class Findings:
    """Broken promises, each kind written once."""

    def __init__(self, out: Path) -> None:
        self.count = 0
        self._out = out
        self._known: set[str] = set()

    def add(self, what: str, seed: int | None = None, data: bytes = b"", received: bytes = b"") -> None:
        self.count += 1
        place = re.sub(r"\d+", "N", what)[:80]
        if place in self._known:
            return
        self._known.add(place)
        self._out.mkdir(parents=True, exist_ok=True)
        print(f"find: {what} (seed {seed})", flush=True)
        if seed is not None:
            (self._out / f"{seed}.request").write_bytes(data)
            (self._out / f"{seed}.txt").write_bytes(what.encode("utf-8", "replace") + b"\n\n" + received[:10_000])


class Fuzzing:
    """One proxy under fire."""

    def __init__(self, proxy: ProxyProcess, findings: Findings) -> None:
        self.proxy = proxy
        self.findings = findings
        self.answers: Counter[int] = Counter()
        self.connections = 0
        self._good = bodies()
        self._log_read = 0

    async def batch(self, seeds: list[int]) -> None:
        """These connections, some at once; then an ordinary request, and a look at what is left."""
        waiting = list(seeds)

        async def work() -> None:
            while waiting:
                await self.one(waiting.pop())

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(AT_ONCE, len(waiting))):
                workers.create_task(work())
        for dialect in ("openai_chat", "anthropic", "canonical"):
            await self.ordinary(dialect)
        self.look_at_log()

    async def one(self, seed: int) -> None:
        tried = case(seed, self._good)
        self.connections += 1
        call = RawCall(self.proxy.port)
        try:
            async with asyncio.timeout(LATE_S * 2):
                await self._play(call, tried, seed)
        except TimeoutError:
            self.findings.add(f"no answer within {LATE_S:g} s", seed, tried.data, call.received)
        finally:
            call.close()

    async def _play(self, call: RawCall, tried: Case, seed: int) -> None:
        is_closed = await _send(call, tried)
        if tried.leaving in (Leaving.CLOSES, Leaving.RESETS):
            (call.reset if tried.leaving is Leaving.RESETS else call.close)()
            return
        if tried.leaving is Leaving.HALF_CLOSES and not is_closed:
            with contextlib.suppress(OSError):
                call.half_close()
        problem, is_closed = await _until_answered(call, tried, is_closed=is_closed)
        heads = tried.data.count(b"HEAD ")
        try:
            found = statuses(call.received, is_closed=is_closed, heads=heads)
        except Incomplete as part:
            # A reset that follows an answer can take its end away; one that we asked for can take anything.
            if not problem and not (is_closed and (part.status >= 400 or tried.leaving is not Leaving.STAYS)):
                problem = f"the connection ended {part}"
            found = [part.status]
        except ValueError as fault:
            problem, found = f"no HTTP: {fault}", []
        self.answers.update(found or [NO_ANSWER])
        if 500 in found:
            problem = "500"
        if problem:
            self.findings.add(problem, seed, tried.data, call.received)

    async def ordinary(self, dialect: str) -> None:
        """A good request on a connection of its own."""
        call = RawCall(self.proxy.port)
        good = request_bytes(dialect, MODELS[1]).replace(b"Host: proxy", b"Host: proxy\r\nx-api-key: " + KEY.encode())
        try:
            await call.send(good)
            await call.read_until(b"0\r\n\r\n", LATE_S)
        except (OSError, TimeoutError) as fault:
            self.findings.add(f"an ordinary request failed: {fault!r}")
            return
        finally:
            call.close()
        if not call.received.startswith(b"HTTP/1.1 200 ") or b"error" in call.received:
            self.findings.add(f"an ordinary request failed: {call.received[:300]!r}")

    def look_at_log(self) -> None:
        log = self.proxy.log.read_bytes()
        new, self._log_read = log[self._log_read :], len(log)
        for line in new.splitlines():
            if SUSPECT.search(line):
                self.findings.add(f"in the log: {line[:1500].decode('utf-8', 'replace')}")

    async def used_bytes(self) -> int:
        """Memory once the process has given back what it does not use."""
        self.proxy.process.send_signal(signal.SIGUSR2)
        await ask_probe(self.proxy, self.proxy.log.with_name("probe.json"))
        return self.proxy.resident_bytes()

    async def settled_files(self, most: int) -> int:
        """Open descriptors once those of gone callers are closed."""
        until = time.monotonic() + LATE_S
        while self.proxy.open_files() > most and time.monotonic() < until:  # noqa: ASYNC110  another process tells nobody
            await asyncio.sleep(0.1)
        return self.proxy.open_files()


async def _send(call: RawCall, tried: Case) -> bool:
    """Everything, as far as the proxy takes it; whether it has closed the connection."""
    try:
        await call.send(b"")
        for data in tried.sends:
            await call.send_more(data)
            await asyncio.sleep(0)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


async def _until_answered(call: RawCall, tried: Case, *, is_closed: bool) -> tuple[str, bool]:
    """Read until whole answers are there and no more comes, or the connection ends: a problem, and whether it ended."""
    until = time.monotonic() + LATE_S
    heads = tried.data.count(b"HEAD ")
    while True:
        is_whole = _is_whole(call.received, heads)
        patience_s = QUIET_S if is_whole else until - time.monotonic()
        if patience_s <= 0:
            return f"no whole answer within {LATE_S:g} s", False
        try:
            async with asyncio.timeout(patience_s):
                if not await call.read():
                    return "", True
        except TimeoutError:
            if is_whole:
                return "", False
        except ConnectionResetError:
            return "", True


def _is_whole(received: bytes, heads: int) -> bool:
    try:
        return bool(statuses(received, is_closed=False, heads=heads))
    except Incomplete:
        return False
    except ValueError:
        return True


@contextlib.asynccontextmanager
async def fuzzing(folder: Path, findings: Findings) -> AsyncIterator[Fuzzing]:
    """A proxy with brief deadlines in front of the simulated model."""
    demo = DemoServer(rate=0, delay_s=0)
    url = await demo.start()
    kinds = zip(MODELS, ("openai_chat", "anthropic", "gemini"), strict=True)
    config = settings(
        [provider(name, kind, url + BASE_PATHS[kind]) for name, kind in kinds],
        auth={"keys": [{"name": "fuzz", "key": "env:FUZZ_KEY"}]},
        limits={"header_timeout_s": 1, "body_timeout_s": 1, "max_body_bytes": 1 << 20},
        timeouts={"headers_s": 3, "first_event_s": 3, "idle_s": 3, "total_s": 5, "caller_stall_s": 3},
        retry={"attempts": 1},
        breaker={"failures": 0},
        cors={"origins": ["http://h"]},
    )
    try:
        environ = {"FUZZ_KEY": KEY, "PROBE_FILE": str(folder / "probe.json")}
        async with proxy_process(config, folder, environ=environ, module="tests.soak.probed_proxy") as proxy:
            yield Fuzzing(proxy, findings)
    finally:
        await demo.stop()


async def run(seconds: float, first_seed: int, findings: Findings) -> None:
    """Batches until the time is over."""
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        async with fuzzing(Path(folder), findings) as fuzzed:
            batches, memory, files = 0, 0, 0
            while time.monotonic() < until:
                start = first_seed + batches * BATCH
                await fuzzed.batch(list(range(start, start + BATCH)))
                batches += 1
                if batches == 1:
                    files = fuzzed.proxy.open_files() + AT_ONCE  # idle upstream connections, which are kept
                elif (left := await fuzzed.settled_files(files)) > files:
                    findings.add(f"{left} descriptors are open after a batch")
                if batches == WARM_BATCHES:
                    memory = await fuzzed.used_bytes()
                if batches % 20 == 0:
                    now = fuzzed.proxy.resident_bytes()
                    print(f"{fuzzed.connections} connections, memory {now / 1e6:.1f} MB", flush=True)
            now = await fuzzed.used_bytes()
            if memory and now > max(memory * (1 + MAX_GROWTH), memory + MAX_GROWTH_BYTES):
                findings.add(f"memory grew from {memory} to {now} bytes")
            answered = ", ".join(f"{status or 'none'}: {count}" for status, count in sorted(fuzzed.answers.items()))
            print(f"{fuzzed.connections} connections answered: {answered}")
            print(f"memory {memory / 1e6:.1f} MB after {WARM_BATCHES} batches, {now / 1e6:.1f} MB at the end")


async def repeat(seed: int, findings: Findings) -> None:
    """One connection again, and what it sent."""
    with tempfile.TemporaryDirectory() as folder:
        async with fuzzing(Path(folder), findings) as fuzzed:
            print(case(seed, bodies()))
            await fuzzed.batch([seed])
            print(fuzzed.answers)


def main() -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "proxy-fuzz" / "http")
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    findings = Findings(options.out)
    logging.getLogger("aiohttp.server").disabled = True  # the simulated model's words about what passes through to it
    if options.only is not None:
        asyncio.run(repeat(options.only, findings))
    else:
        print(f"seed {options.seed}", flush=True)
        asyncio.run(run(options.minutes * 60, options.seed, findings))
    print(f"{findings.count} broken promises")
    return 1 if findings.count else 0


if __name__ == "__main__":
    sys.exit(main())
