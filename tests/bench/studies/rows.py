"""Tables of studies: variants measured in interleaved rounds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.machine import Foreign
from tests.bench.report import BUSY_TARGET
from tests.bench.run import CannotRun, Figures

Measure = Callable[[], Figures]


@dataclass
class Rows:
    """Figures of each variant, one entry a round."""

    title: str
    columns: Mapping[str, str]
    """Heading of each figure that is shown."""
    found: dict[str, list[Figures]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fill(self, variants: Mapping[str, Measure], repeat: int) -> None:
        """Measure every variant once a round."""
        foreign = Foreign()
        for number in range(repeat):
            for name, measure in variants.items():
                try:
                    figures = measure()
                except CannotRun as fault:
                    self.notes.append(f"{name}: {fault}")
                    continue
                self.found.setdefault(name, []).append(figures)
                if "latency_us_p99" in self.columns and figures.get("target_busy", 0) > BUSY_TARGET:
                    self.notes.append(f"{name}, round {number + 1}: at its limit, so latencies are those of a queue.")
                shown = ", ".join(
                    f"{title} {figures[key]:.1f}" for key, title in self.columns.items() if key in figures
                )
                print(f"round {number + 1}: {name}: {shown}", flush=True)
        self.notes.append(f"Other programs took {foreign.seconds():.1f} s of CPU time meanwhile.")

    def markdown(self) -> str:
        lines = [
            f"### {self.title}",
            "",
            "| | " + " | ".join(self.columns.values()) + " |",
            "|---" * (len(self.columns) + 1) + "|",
        ]
        for name, rounds in self.found.items():
            cells = (_cell([figures[key] for figures in rounds if key in figures]) for key in self.columns)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", *self.notes])


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = statistics.median(values)
    text = f"{middle:,.1f}" if middle < 1000 else f"{middle:,.0f}"
    if len(values) > 1 and middle > 0:
        text += f" ±{100 * (max(values) - min(values)) / 2 / middle:.0f} %"
    return text
