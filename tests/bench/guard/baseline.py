"""The costs that were accepted: one table for each minor version of Python, in `baseline.json`.

Another version has other instructions under the same code, so it needs a table of its own. A patch release, another
processor or another build is close enough: costs are multiples of a reference loop.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "baseline.json"

MOST_GROWTH = 0.15

Costs = dict[str, float]
"""Instructions of an event as a multiple of the reference loop's, by the name of its pair."""


def version() -> str:
    return f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"


def load(file: Path = FILE) -> dict[str, Costs]:
    """All tables, by version."""
    return json.loads(file.read_text()) if file.exists() else {}


def write(costs: Costs, file: Path = FILE) -> None:
    """Accept `costs` for the running version."""
    tables = {**load(file), version(): {name: round(cost, 2) for name, cost in costs.items()}}
    file.write_text(json.dumps(dict(sorted(tables.items())), indent=1) + "\n")


@dataclass(frozen=True)
class Verdict:
    """What a comparison found."""

    faults: list[str]
    remarks: list[str]


def judge(costs: Costs, accepted: Costs | None) -> Verdict:
    """Compare what was counted now with what was accepted. `None`: nothing was, for this version."""
    again = "python -m tests.bench.guard --write"
    if accepted is None:
        return Verdict([f"there is no baseline for {version()}: write one with {again}"], [])
    faults: list[str] = []
    cheaper = 0
    for name, cost in costs.items():
        before = accepted.get(name)
        if before is None:
            faults.append(f"{name}: {cost:.2f}, and nothing to compare with: {again}")
        elif cost > before * (1 + MOST_GROWTH):
            faults.append(f"{name}: {before:.2f} -> {cost:.2f}, {cost / before - 1:+.0%}")
        elif cost < before * (1 - MOST_GROWTH):
            cheaper += 1
    faults += [f"{name}: is counted no more: {again}" for name in accepted if name not in costs]
    grown = [(cost / accepted[name] - 1, name) for name, cost in costs.items() if name in accepted]
    remarks = ["largest growth: {:+.1%} ({})".format(*max(grown))] if grown else []
    if cheaper:
        remarks.append(f"{cheaper} pairs are more than {MOST_GROWTH:.0%} cheaper: keep that with {again}")
    return Verdict(faults, remarks)
