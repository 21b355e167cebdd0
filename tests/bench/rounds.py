"""Repetitions, interleaved: each round measures every target once, so that noise falls on all of them."""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.run import Bench, CannotRun, Figures, session
from tests.bench.scenarios import USUAL, Scenario, slow
from tests.bench.targets import Target

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """One scenario on one target, once."""

    target: str
    scenario: str
    repetition: int
    figures: Figures


@dataclass
class Results:
    """All runs, and what could not be run."""

    runs: list[Run] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def values(self, target: str, scenario: str, figure: str) -> list[float]:
        return [
            run.figures[figure]
            for run in self.runs
            if run.target == target and run.scenario == scenario and figure in run.figures
        ]

    def median(self, target: str, scenario: str, figure: str) -> float | None:
        """`None`: it was not measured."""
        values = self.values(target, scenario, figure)
        return statistics.median(values) if values else None

    def foreign_cores(self) -> float:
        """How many cores' time everything else took meanwhile, on average."""
        return statistics.fmean(run.figures["foreign_cores"] for run in self.runs) if self.runs else 0.0

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def measure(
    bench: Bench, targets: Sequence[Target], scenarios: Iterable[Scenario], repeat: int, say: Say, results: Results
) -> None:
    """Fill `results`, round by round; a target that fails in one round is tried again in the next."""
    chosen = list(scenarios)
    for repetition in range(repeat):
        for target in targets:
            wanted = [
                scenario for scenario in chosen if scenario.name not in USUAL or scenario.name in target.scenarios
            ]
            try:
                with session(bench, target) as running:
                    for scenario in wanted:
                        figures = running.measure(slow(scenario) if target.is_slow else scenario)
                        results.runs.append(Run(target.name, scenario.name, repetition, figures))
                        say(f"round {repetition + 1}: {target.name:24} {scenario.name:8} {_brief(figures)}")
            except CannotRun as fault:
                results.faults.append(f"{target.name}: {fault}")
                say(results.faults[-1])


BRIEF = {
    "cpu_us_per_event": "{:.1f} us/event",
    "cpu_us_per_stream": "{:.0f} us/stream",
    "streams_per_s": "{:.0f} streams/s",
    "latency_us_p50": "p50 {:.0f} us",
    "latency_us_p99": "p99 {:.0f} us",
    "kb_per_stream": "{:.1f} KB/stream",
    "cancel_ms_p99": "noticed p99 {:.0f} ms",
    "never_noticed": "never {:.0f}",
}


def _brief(figures: Figures) -> str:
    return ", ".join(form.format(figures[name]) for name, form in BRIEF.items() if name in figures)
