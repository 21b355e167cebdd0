"""What we read of the metrics library's insides is what its public way shows."""

import prometheus_client

from proxy.metrics_values import (
    add,
    children,
    histogram_of,
    label_names,
    label_sets,
    name_of,
    observe,
    raise_to,
    suffixes,
    value_of,
)


def test_a_histogram_s_values_are_those_of_its_samples() -> None:
    histogram = prometheus_client.Histogram("wait", "Wait.", ("n",), registry=None, buckets=(1, 2))
    for wait in (0.5, 1.5, 1.6, 9):
        histogram.labels("a").observe(wait)

    [(values, child)] = children(histogram)

    samples = [sample for family in histogram.collect() for sample in family.samples]
    assert values == ("a",) and label_names(histogram) == ("n",) and name_of(histogram) == "wait"
    assert isinstance(child, prometheus_client.Histogram)
    assert [value for value, _ in histogram_of(child)] == [sample.value for sample in samples]
    assert [f"wait{suffix}" for suffix, _ in suffixes(child)] == [sample.name for sample in samples]


def test_an_exemplar_stays_with_its_bucket() -> None:
    histogram = prometheus_client.Histogram("wait", "Wait.", registry=None, buckets=(1, 2))
    histogram.observe(1.5, {"trace_id": "ab"})

    exemplars = [exemplar.labels if exemplar else None for _, exemplar in histogram_of(histogram)]

    assert exemplars == [None, {"trace_id": "ab"}, None, None, None]


def test_a_counter_is_raised_and_never_lowered() -> None:
    counter = prometheus_client.Counter("calls", "Calls.", ("n",), registry=None)
    child = counter.labels("a")

    raise_to(child, 5)
    raise_to(child, 3)

    assert value_of(child) == 5
    assert set(label_sets(counter)) == {("a",)}


def test_what_is_added_here_is_what_the_library_would_have_added() -> None:
    waits = (-1, 0, 0.5, 1, 1.0000001, 2, 3, 1e9)
    ours, its = (prometheus_client.Histogram("wait", "Wait.", registry=None, buckets=(1, 2)) for _ in range(2))
    calls = prometheus_client.Counter("calls", "Calls.", registry=None)
    active = prometheus_client.Gauge("active", "Active.", registry=None)

    for wait in waits:
        observe(ours, wait)
        its.observe(wait)
    observe(ours, 1.5, {"trace_id": "ab"})
    its.observe(1.5, {"trace_id": "ab"})
    add(calls)
    add(calls, 2)
    add(active, -1)

    assert [value for value, _ in histogram_of(ours)] == [value for value, _ in histogram_of(its)]
    assert [exemplar and exemplar.labels for _, exemplar in histogram_of(ours)] == [
        None,
        {"trace_id": "ab"},
        None,
        None,
        None,
    ]
    assert (value_of(calls), value_of(active)) == (3, -1)
