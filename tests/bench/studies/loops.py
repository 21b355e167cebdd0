"""Event loops and the collector."""

import importlib.util
from dataclasses import replace
from functools import partial

from tests.bench.launch import COLLECTORS, LOOPS
from tests.bench.run import Bench, Figures, session
from tests.bench.scenarios import SCENARIOS, Scenario, quick
from tests.bench.studies.rows import Rows
from tests.bench.targets import OURS, proxy_command

TARGETS = [target for target in OURS if target.name in ("ours", "ours-anthropic-openai")]
COLUMNS = {
    "cpu_us_per_event": "CPU µs an event",
    "latency_us_p50": "one-way µs p50",
    "latency_us_p99": "p99",
    "latency_us_p999": "p99.9",
    "short_us": "CPU µs a short stream",
}


def measured(bench: Bench, name: str, loop: str, collector: str, scenarios: tuple[Scenario, Scenario]) -> Figures:
    target = next(target for target in TARGETS if target.name == name)
    command = proxy_command("-m", "tests.bench.launch", loop, collector)
    with session(bench, replace(target, command=command)) as running:
        events, short = (running.measure(scenario) for scenario in scenarios)
    return {**events, "short_us": short["cpu_us_per_stream"]}


def run(bench: Bench, repeat: int, share: float) -> str:
    scenarios = SCENARIOS["events"], SCENARIOS["short"]
    if share < 1:
        scenarios = quick(scenarios[0]), quick(scenarios[1])
    rows = Rows("Event loop, and whether what exists at the start is hidden from the collector", COLUMNS)
    loops = [loop for loop in LOOPS if loop != "uvloop" or importlib.util.find_spec("uvloop")]
    if len(loops) < len(LOOPS):
        rows.notes.append("uvloop is not installed (pip install -e '.[uvloop]').")
    with bench.placement.awake():
        rows.fill(
            {
                f"{target.says}, {loop}, {collector}": partial(measured, bench, target.name, loop, collector, scenarios)
                for target in TARGETS
                for loop in loops
                for collector in COLLECTORS
            },
            repeat,
        )
    return rows.markdown()
