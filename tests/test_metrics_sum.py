"""Metrics as data: the text is the library's own, sums are right, and nothing keeps the event loop."""

import asyncio
import gc
import time

import prometheus_client
import pytest
from prometheus_client.exposition import generate_latest as text_of
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of

from proxy.metrics_sum import Family, Format, Keys, Totals, format_of, in_slices, take, write


def instruments(children: int = 3) -> tuple[prometheus_client.CollectorRegistry, list[MetricWrapperBase]]:
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("calls", 'Calls "so far",\nall.', ("outcome", "dialect"), registry=registry)
    gauge = prometheus_client.Gauge("open", "Open.", registry=registry)
    histogram = prometheus_client.Histogram("wait_seconds", "Wait.", ("n",), registry=registry, buckets=(0.1, 1, 1e7))
    counter.labels('it\'s \\ "odd"\n', "a").inc(1234567)
    gauge.set(float("inf"))
    for number in range(children):
        histogram.labels(str(number)).observe(0.5 + number, {"trace_id": f"{number:032x}"} if number & 1 else None)
    return registry, [counter, gauge, histogram]


async def text(families: list[Family], how: Format = Format.TEXT) -> bytes:
    return b"".join(await in_slices(write(families, how)))


async def test_the_text_is_what_the_library_writes() -> None:
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry, all_of_them = instruments()

    families = await in_slices(take(all_of_them))

    assert (await text(families)).decode() == text_of(registry).decode()
    openmetrics = await text(families, Format.OPENMETRICS)
    assert openmetrics.decode() == openmetrics_of(registry).decode()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("accept", "how"),
    [
        ("", Format.TEXT),
        ("text/plain;version=0.0.4", Format.TEXT),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", Format.OPENMETRICS),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, how: Format) -> None:
    assert format_of(accept) is how


async def test_parts_of_a_family_are_put_together() -> None:
    _, all_of_them = instruments(50)
    whole, parts = Totals(), Totals()
    whole.update(1, await in_slices(take(all_of_them)))
    split = await in_slices(take(all_of_them, most_samples=7))

    parts.update(1, split)

    assert len(split) > 10
    assert await in_slices(parts.sum()) == await in_slices(whole.sum())


def family(name: str, kind: str, value: float) -> Family:
    return Family(name, "", kind, {"": value})


async def sums(totals: Totals) -> dict[str, float]:
    return {one.name: one.samples[""] for one in await in_slices(totals.sum())}


async def test_counters_of_a_process_that_ended_stay_and_its_gauges_go() -> None:
    totals = Totals()
    totals.update(1, [family("calls", "counter", 5), family("open", "gauge", 2), family("took", "histogram", 3)])
    totals.update(2, [family("calls", "counter", 7), family("open", "gauge", 1), family("took", "histogram", 4)])
    assert await sums(totals) == {"calls": 12, "open": 3, "took": 7}

    totals.end(1)
    totals.update(3, [family("calls", "counter", 1)])

    assert await sums(totals) == {"calls": 13, "took": 7, "open": 1}


async def test_of_the_exemplars_of_a_bucket_the_newest_is_shown() -> None:
    totals = Totals()
    for member, at in ((1, 5.0), (2, 7.0), (3, 6.0)):
        newest = {"_bucket{}": (at, f" # of {member}")}
        totals.update(member, [Family("took", "", "histogram", {"_bucket{}": 1}, newest)])

    assert "took_bucket{} 3.0 # of 2\n" in (await text(await in_slices(totals.sum()), Format.OPENMETRICS)).decode()
    assert "#" not in (await text(await in_slices(totals.sum()))).decode().partition("took_bucket")[2]


async def test_keys_are_written_once() -> None:
    _, all_of_them = instruments(5)
    keys: Keys = {}
    first = await in_slices(take(all_of_them, keys))

    second = await in_slices(take(all_of_them, keys))

    assert second == first and len(keys) == 7
    assert all(
        a is b for one, two in zip(first, second, strict=True) for a, b in zip(one.samples, two.samples, strict=True)
    )


async def test_a_process_that_ends_while_a_sum_is_made_counts_once() -> None:
    for steps in range(12):
        totals = Totals()
        for member in (1, 2):
            totals.update(member, [family(name, "counter", 1) for name in ("a", "b", "c")])
        totals.end(1)
        making = totals.sum()
        made = [next(making, None) for _ in range(steps)]

        totals.end(2)

        made += list(making)
        assert {one.name: one.samples[""] for one in made if one is not None} == {"a": 2, "b": 2, "c": 2}


async def test_gauges_that_are_no_amounts_are_not_added() -> None:
    totals = Totals()
    for member, draining, reload_ok in ((1, 1, 1), (2, 1, 0)):
        totals.update(
            member,
            [
                family("llm_proxy_build_info", "gauge", 1),
                family("llm_proxy_draining", "gauge", draining),
                family("llm_proxy_config_last_reload_successful", "gauge", reload_ok),
            ],
        )

    assert set((await sums(totals)).items()) == {
        ("llm_proxy_build_info", 1),
        ("llm_proxy_draining", 1),
        ("llm_proxy_config_last_reload_successful", 0),
    }


async def test_other_work_goes_on_between_slices() -> None:
    _, all_of_them = instruments(500)
    turns = 0
    longest = 0.0

    async def count_turns() -> None:
        nonlocal turns, longest
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest = max(longest, now - before)
            before = now
            turns += 1

    # The collector's time depends on what all other tests of this process have left.
    gc.disable()
    try:
        counting = asyncio.get_running_loop().create_task(count_turns())
        began = time.thread_time()

        body = await text(await in_slices(take(all_of_them)))

        in_all = time.thread_time() - began
        counting.cancel()
    finally:
        gc.enable()
    assert len(body) > 50_000
    assert turns > 10
    # CPU time, so that other processes on the machine do not count.
    assert longest < in_all / 4
