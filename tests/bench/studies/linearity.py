"""Whether an event costs the same however many streams are open, and however long the answer has become."""

import json
import time
from functools import partial

from tests.bench.run import Bench, CannotRun, Figures, Session, session, stop
from tests.bench.scenarios import Scenario
from tests.bench.studies.rows import Rows
from tests.bench.targets import OURS

EVENTS_PER_S = 5_000
OPEN = (10, 100, 1_000, 5_000)
LENGTHS = (100, 1_000, 10_000)
AT_ONCE = 10
WINDOW_S = 4.0
ENDLESS = 1_000_000
TARGETS = [target for target in OURS if target.name in ("ours", "ours-anthropic-openai")]


def window(running: Session, scenario: Scenario, seconds: float) -> Figures:
    """CPU time of an event while streams flow: their set-up is over before, their ends come after."""
    running.upstream.ask("/reset")
    began = time.monotonic()
    process = running.loader(scenario)
    try:
        assert process.stderr is not None
        if "READY" not in process.stderr.readline():
            raise CannotRun("not every stream had a first event")
        time.sleep(max(0.5, began + scenario.warm_s - time.monotonic()))
        before, events, used = time.monotonic(), _events(running), running.cpu_s()
        time.sleep(seconds)
        used, events = running.cpu_s() - used, _events(running) - events
        seconds = time.monotonic() - before
        out, _ = process.communicate("x", timeout=60)
    finally:
        stop(process)
    latency = json.loads(out)["latency_us"]
    return {
        "cpu_us_per_event": used * 1e6 / events,
        "events_per_s": events / seconds,
        "latency_us_p50": latency["p50"],
        "latency_us_p99": latency["p99"],
        "target_busy": used / seconds,
    }


def _events(running: Session) -> int:
    """What the upstream has written."""
    written: int = json.loads(running.upstream.ask("/stats"))["events"]
    return written


def open_streams(bench: Bench, name: str, count: int, seconds: float) -> Figures:
    target = next(target for target in TARGETS if target.name == name)
    interval_us = 1_000_000 * count // EVENTS_PER_S
    ramp_ms = max(200, 2 * count)  # 500 streams/s: to begin them takes a fraction of the core
    warm_s = ramp_ms / 1000 + interval_us / 1e6
    scenario = Scenario("open", "", count, ENDLESS, interval_us, ramp_ms, warm_s, holds=True)
    with session(bench, target) as running:
        return window(running, scenario, seconds)


def length(bench: Bench, name: str, deltas: int, events: int) -> Figures:
    target = next(target for target in TARGETS if target.name == name)
    interval_us = 1_000_000 * AT_ONCE // EVENTS_PER_S
    streams = max(AT_ONCE, events // deltas)
    with session(bench, target) as running:
        return running.measure(Scenario("length", "", AT_ONCE, deltas, interval_us, streams=streams))


def run(bench: Bench, repeat: int, share: float) -> str:
    columns = {
        "cpu_us_per_event": "CPU µs an event",
        "latency_us_p50": "one-way µs p50",
        "latency_us_p99": "p99",
        "events_per_s": "events/s",
    }
    opened = Rows(f"Open streams, {EVENTS_PER_S:,} events/s in all", columns)
    long = Rows(f"Events of an answer, {AT_ONCE} answers at once, {EVENTS_PER_S:,} events/s in all", columns)
    long.notes.append("With the set-up of each stream, which many short answers need more often.")
    total = int(100_000 * share)
    with bench.placement.awake():
        opened.fill(
            {
                f"{target.says}, {count:,} open": partial(open_streams, bench, target.name, count, WINDOW_S * share)
                for target in TARGETS
                for count in OPEN
            },
            repeat,
        )
        long.fill(
            {
                f"{target.says}, {deltas:,} events": partial(length, bench, target.name, deltas, total)
                for target in TARGETS
                for deltas in LENGTHS
                if deltas * AT_ONCE <= total or share == 1
            },
            repeat,
        )
    return f"{opened.markdown()}\n\n{long.markdown()}"
