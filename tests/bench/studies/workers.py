"""Two workers against one. The load has its own core where there are three; with two it shares one, and says so."""

import os
from dataclasses import replace
from functools import partial

from tests.bench.machine import Placement
from tests.bench.run import Bench, Figures, session
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.studies.rows import Rows
from tests.bench.targets import OURS, proxy_command

COUNTS = (1, 2)
TARGETS = [target for target in OURS if target.name in ("ours", "ours-anthropic-openai")]


def measured(bench: Bench, name: str, count: int, scenario: Scenario) -> Figures:
    target = next(target for target in TARGETS if target.name == name)
    with session(bench, replace(target, command=proxy_command(workers=count))) as running:
        return running.measure(scenario)


def run(bench: Bench, repeat: int, share: float) -> str:
    cores = len(os.sched_getaffinity(0))
    placement = Placement.of_machine(realtime=bench.placement.is_realtime, target_cores=2)
    bench = Bench(bench.programs, placement)
    short, bulk = replace(SCENARIOS["short"], seconds=4 * share), SCENARIOS["bulk"]
    starts = Rows(
        "Workers: short streams",
        {"streams_per_s": "streams/s", "cpu_us_per_stream": "CPU µs a stream", "first_us_p99": "first event, µs p99"},
    )
    events = Rows("Workers: events, 16 a write", {"events_per_s": "events/s", "cpu_us_per_event": "CPU µs an event"})
    if cores < 3:
        events.notes.append(
            f"{cores} cores: the load takes its part of the second one, so that two workers cannot be twice one."
        )
    with placement.awake():
        for rows, scenario in ((starts, short), (events, bulk)):
            rows.fill(
                {
                    f"{target.says}, {count} worker{'s' * (count > 1)}": partial(
                        measured, bench, target.name, count, scenario
                    )
                    for target in TARGETS
                    for count in COUNTS
                },
                repeat,
            )
    return f"{starts.markdown()}\n\n{events.markdown()}"
