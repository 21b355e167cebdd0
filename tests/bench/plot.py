"""The same figures as bars. Needs matplotlib (`pip install -e '.[bench]'`)."""

import math
from collections.abc import Sequence
from pathlib import Path

from tests.bench.report import COLUMNS
from tests.bench.rounds import Results
from tests.bench.targets import Target

MISSING = "no plot: matplotlib is missing (pip install -e '.[bench]'); the table holds the same figures"
SHOWN = ("cpu_us_per_event", "latency_us_p99", "cpu_us_per_stream", "streams_per_s", "kb_per_stream", "cancel_ms_p99")
TITLES = {"latency_us_p99": "one-way µs of an event, p99", "cancel_ms_p99": "ms until a leaving caller is noticed, p99"}

MOST_LINEAR = 30
"""Bars whose lengths differ by more are drawn on a logarithmic scale, which begins at a power of ten."""


def draw(results: Results, targets: Sequence[Target], file: Path) -> bool:
    """Write a PNG. False: matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = [column for column in COLUMNS if column.figure in SHOWN]
    figure, axes = pyplot.subplots(math.ceil(len(columns) / 2), 2, figsize=(14, 3 + len(targets)), layout="constrained")
    for axis, column in zip(axes.flat, columns, strict=False):
        rows = [
            (target, values)
            for target in reversed(targets)
            if (values := results.values(target.name, column.scenario, column.figure)) and max(values) > 0
        ]
        middles = [results.median(target.name, column.scenario, column.figure) or 0.0 for target, _ in rows]
        spread = [
            [middle - min(values) for middle, (_, values) in zip(middles, rows, strict=True)],
            [max(values) - middle for middle, (_, values) in zip(middles, rows, strict=True)],
        ]
        colours = ["tab:orange" if target.is_ours else "tab:grey" for target, _ in rows]
        bars = axis.barh([target.says for target, _ in rows], middles, xerr=spread, color=colours)
        axis.bar_label(bars, [f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}" for middle in middles], padding=4)
        if middles and max(middles) > MOST_LINEAR * min(middles):
            axis.set_xscale("log")
            axis.set_xlim(10 ** math.floor(math.log10(min(middles))), 5 * max(middles))
        axis.set_title(TITLES.get(column.figure, column.title))
        axis.margins(x=0.25)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return True
