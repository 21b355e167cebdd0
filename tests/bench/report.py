"""The table: medians with their spread, facts about the machine, doubts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rounds import Results
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.targets import PROJECT, Target

README = PROJECT / "README.md"
BEGIN, END = "<!-- figures: written by `python -m tests.bench --readme` -->", "<!-- end of the figures -->"

NOISY_CORES = 0.1
BUSY_LOAD = 0.85
BUSY_TARGET = 0.9


@dataclass(frozen=True)
class Column:
    """A figure of a scenario."""

    title: str
    scenario: str
    figure: str
    form: str = "{:.0f}"
    has_spread: bool = False


COLUMNS = (
    Column("CPU µs an event", "events", "cpu_us_per_event", "{:.1f}", has_spread=True),
    Column("one-way µs p50", "events", "latency_us_p50"),
    Column("p99", "events", "latency_us_p99"),
    Column("p99.9", "events", "latency_us_p999"),
    Column("CPU µs a short stream", "short", "cpu_us_per_stream", has_spread=True),
    Column("streams/s", "short", "streams_per_s"),
    Column("KB an open stream", "memory", "kb_per_stream", "{:.1f}", has_spread=True),
    Column("callers leave: ms p50", "cancel", "cancel_ms_p50"),
    Column("p99", "cancel", "cancel_ms_p99"),
    Column("never noticed", "cancel", "never_noticed"),
)


def cell(results: Results, target: str, column: Column) -> str:
    """Median, and half the range where there is one."""
    values = results.values(target, column.scenario, column.figure)
    middle = results.median(target, column.scenario, column.figure)
    if middle is None or (target == "direct" and column.figure.startswith(("cpu_us", "kb_"))):
        return ""
    text = column.form.format(middle)
    if column.has_spread and len(values) > 1 and middle > 0:
        text += f" ±{(max(values) - min(values)) / 2 / middle:.0%}".replace("%", " %")
    return text


def table(results: Results, targets: Sequence[Target]) -> str:
    """Markdown: one row for each target; columns of scenarios that were not run are left out."""
    ran = {run.scenario for run in results.runs}
    columns = [column for column in COLUMNS if column.scenario in ran]
    lines = ["| | " + " | ".join(column.title for column in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for target in targets:
        if any(run.target == target.name for run in results.runs):
            cells = " | ".join(cell(results, target.name, column) for column in columns)
            lines.append(f"| {target.says}{'<sup>1</sup>' if target.is_slow else ''} | {cells} |")
    return "\n".join(lines)


def extra_tables(results: Results, targets: Sequence[Target]) -> str:
    """Of the scenarios that have no column: each figure, smallest to largest."""
    shown = {column.scenario for column in COLUMNS}
    parts: list[str] = []
    for scenario in dict.fromkeys(run.scenario for run in results.runs if run.scenario not in shown):
        figures = ("cpu_us_per_event", "latency_us_p50", "latency_us_p99", "latency_us_p999", "events_per_s")
        lines = [f"{scenario}: {SCENARIOS[scenario].says}", "", "| | " + " | ".join(figures) + " |", "|---" * 6 + "|"]
        for target in targets:
            middles = [results.median(target.name, scenario, figure) for figure in figures]
            if middles[0] is not None:
                lines.append(
                    f"| {target.says} | "
                    + " | ".join(f"{middle:.1f}" for middle in middles if middle is not None)
                    + " |"
                )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def ratios(results: Results) -> str:
    """This proxy's costs as multiples of nginx's."""
    lines: list[str] = []
    for scenario, figure, word in (
        ("events", "cpu_us_per_event", "an event"),
        ("short", "cpu_us_per_stream", "a short stream"),
    ):
        base = results.median("nginx", scenario, figure)
        for target in dict.fromkeys(run.target for run in results.runs if base and run.target != "nginx"):
            cost = results.median(target, scenario, figure)
            if base and cost:
                lines.append(f"{target}: {cost / base:.2f} x nginx for {word}")
    return "\n".join(lines)


def noise_of(results: Results) -> str:
    """A warning, where other programs disturbed; else nothing."""
    cores = results.foreign_cores()
    return (
        f"The machine was not quiet: other programs took {cores:.2f} cores. Read ratios." if cores > NOISY_CORES else ""
    )


def doubts(results: Results) -> list[str]:
    """What speaks against the figures."""
    found = list(results.faults)
    if noise := noise_of(results):
        found.append(noise)
    for run in results.runs:
        figures = run.figures
        if figures.get("load_busy", 0) > BUSY_LOAD > figures.get("target_busy", 1) and run.target != "direct":
            found.append(
                f"{run.target}, {run.scenario}, round {run.repetition + 1}: the measuring core was the limit "
                f"({figures['load_busy']:.0%} busy), not the target"
            )
        if run.scenario == "events" and figures.get("target_busy", 0) > BUSY_TARGET:
            found.append(f"{run.target}, round {run.repetition + 1}: at its limit, so latencies are those of a queue")
    return found


def explanation(facts: Mapping[str, str], scenarios: Sequence[Scenario], repeat: int, has_slow: bool) -> str:
    """What was measured, on what."""
    says = "; ".join(f"{scenario.name}: {scenario.says}" for scenario in scenarios)
    lines = [
        ", ".join(f"{name} {value}" for name, value in facts.items()) + ".",
        f"Median of {repeat} interleaved rounds, ± half the range. {says[:1].upper()}{says[1:]}. One-way: from the upstream's "
        "write to the caller's read, by a mark in the event.",
    ]
    if has_slow:
        lines.append(
            "<sup>1</sup> With fewer streams (5 at once, 250 events/s; 200 held open), because it cannot do more."
        )
    return "\n".join(lines)


def put_into_readme(text: str, file: Path = README) -> None:
    """Replace what stands between the markers. Raises ValueError where there are none."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file.name} has no place for the figures: {BEGIN} … {END}")
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
