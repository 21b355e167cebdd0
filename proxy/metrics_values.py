"""What the metrics library keeps to itself and we need: the children of an instrument, and their values.

Its public way (`collect`) makes a whole instrument's samples in one call and writes every label again: 40 ms for a
hundred histograms. Only this module knows its insides.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import time
from bisect import bisect_left
from collections.abc import Iterable, KeysView, Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Exemplar


def name_of(instrument: MetricWrapperBase) -> str:
    """Without a counter's `_total`."""
    return str(instrument._name)


def label_names(instrument: MetricWrapperBase) -> tuple[str, ...]:
    """Empty for an instrument that has one value only."""
    return tuple(instrument._labelnames)


def label_sets(instrument: MetricWrapperBase) -> KeysView[Sequence[str]]:
    """The values of the labels, in the order of their names, of each child."""
    return instrument._metrics.keys()


def children(instrument: MetricWrapperBase) -> Iterable[tuple[Sequence[str], MetricWrapperBase]]:
    """Each child with its label values; the instrument itself when it has no labels."""
    return instrument._metrics.copy().items() if instrument._labelnames else [((), instrument)]


def suffixes(child: MetricWrapperBase) -> list[tuple[str, dict[str, str]]]:
    """What a child's series add to name and labels, in the order of `value_of` or `histogram_of`."""
    return [(suffix, labels) for suffix, labels, *_ in child._child_samples() if suffix != "_created"]


def add(child: Counter | Gauge, amount: float = 1) -> None:
    """Like the child's `inc`, at a fifth of its cost: without its checks and its lock. For the thread of the loop alone."""
    child._value._value += amount  # pyright: ignore[reportAttributeAccessIssue]


def observe(child: Histogram, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
    """Like the child's own `observe`, on the terms of `add`. The exemplar's labels are short and checked by its maker."""
    bucket = child._buckets[bisect_left(child._upper_bounds, amount)]
    bucket._value += 1  # pyright: ignore[reportAttributeAccessIssue]
    child._sum._value += amount  # pyright: ignore[reportAttributeAccessIssue]
    if exemplar is not None:
        bucket.set_exemplar(Exemplar(dict(exemplar), amount, time.time()))


def value_of(child: MetricWrapperBase) -> float:
    """The value of a counter's or a gauge's child."""
    return float(child._value.get())  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def histogram_of(child: Histogram) -> list[tuple[float, Exemplar | None]]:
    """The counts up to each bound with the exemplars of the buckets, then count and sum."""
    total = 0.0
    values: list[tuple[float, Exemplar | None]] = []
    for bucket in child._buckets:
        total += bucket.get()
        values.append((total, bucket.get_exemplar()))
    values += [(total, None), (float(child._sum.get()), None)]
    return values


def raise_to(counter: Counter, total: float) -> None:
    """Bring a counter up to what somebody else has counted."""
    counter.inc(max(total - value_of(counter), 0))
