"""Metrics as plain data: taken in small steps, added up over processes, written as text.

    families = await in_slices(take(metrics.instruments(), keys))
    pieces = await in_slices(write(families, Format.TEXT))

One call of the library's own writer takes as long as there are series, and every stream waits for it. Here all work is
generators that pause after each label set; `in_slices` lets the event loop go on whenever `SLICE_S` have passed. The
pieces are sent one by one as well (`proxy.server.admin`): the kernel copies a megabyte at once no faster.

What follows a series' name never changes, so it is written once and kept (`Keys`): that is most of a scrape's work.

Sums: counters and histograms of a process that has ended stay in `Totals`, so that no counter ever falls; its gauges go.
What is lost is what a killed process counted after it was last asked.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec
from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

from proxy.metrics_values import children, histogram_of, label_names, suffixes, value_of

T = TypeVar("T")

SLICE_S = 0.0002
"""How long the loop is kept at a stretch: a fifth of the millisecond that streams may be delayed. A slice overruns by the
step that is under way."""
MAX_SAMPLES = 200
MAX_LINES = 100
"""What is made in one step where the step cannot be cut: a message, a piece of text."""


class Format(StrEnum):
    """A way of writing, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Family(msgspec.Struct, gc=False):
    """An instrument with its series, or some of them."""

    name: str
    """Without a counter's `_total`."""
    documentation: str
    kind: str
    """counter, gauge or histogram."""
    samples: dict[str, float]
    """Values by what follows the name: suffix and labels, as they are written."""
    exemplars: dict[str, tuple[float, str]] = {}
    """By the same keys, of a histogram's buckets: Unix time, and what follows the value in OpenMetrics."""


Keys = dict[MetricWrapperBase, tuple[str, ...]]
"""The keys of each label set's samples, in the order of its values."""


GAUGE_RULES: Mapping[str, Callable[[float, float], float]] = {
    "llm_proxy_build_info": max,
    "llm_proxy_draining": max,
    "llm_proxy_config_last_reload_successful": min,
    "llm_proxy_config_last_reload_success_timestamp_seconds": min,
    "llm_proxy_config_info": max,
    "llm_proxy_limit_store_up": min,
    "llm_proxy_breaker_open": max,
}
"""What several processes' values of a gauge amount to; that of any other gauge is their sum."""


async def in_slices(pieces: Iterable[T | None]) -> list[T]:
    """All pieces; at a `None`, or after a piece, the loop may go on. It does so before the first."""
    loop = asyncio.get_running_loop()
    found: list[T] = []
    await asyncio.sleep(0)
    began = loop.time()
    for piece in pieces:
        if piece is not None:
            found.append(piece)
        if loop.time() - began > SLICE_S:
            await asyncio.sleep(0)
            began = loop.time()
    return found


def take(
    instruments: Iterable[MetricWrapperBase], keys: Keys | None = None, *, most_samples: int = MAX_SAMPLES
) -> Iterator[Family | None]:
    """The present values, a family at a time, in parts of about `most_samples`. A label set's series are of one moment.

    `keys`: what earlier calls have written already; grows with the label sets.
    """
    keys = {} if keys is None else keys
    for instrument in instruments:
        head = next(iter(instrument.describe()))
        family = Family(head.name, head.documentation, head.type, {})
        for values, child in children(instrument):
            if len(family.samples) >= most_samples:
                yield family
                family = Family(head.name, head.documentation, head.type, {})
            known = keys.get(child)
            if known is None:
                labels = dict(zip(label_names(instrument), values, strict=True))
                known = keys[child] = tuple(suffix + label_text({**labels, **more}) for suffix, more in suffixes(child))
            if isinstance(child, Histogram):
                for key, (value, exemplar) in zip(known, histogram_of(child), strict=True):
                    family.samples[key] = value
                    if exemplar is not None:
                        family.exemplars[key] = _written(exemplar)
            else:
                family.samples[known[0]] = value_of(child)
            yield None
        yield family


def _written(exemplar: Exemplar) -> tuple[float, str]:
    labels, value, at = exemplar
    seconds = float(at or 0)
    number = floatToGoString(value)  # type: ignore[no-untyped-call]
    return seconds, f" # {label_text(labels)} {number} {seconds}"


def label_text(labels: Mapping[str, str]) -> str:
    """`{name="value",…}` in the order of the names; empty without labels."""
    if not labels:
        return ""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())]
    return "{" + ",".join(pairs) + "}"


def write(families: Iterable[Family], how: Format) -> Iterator[bytes | None]:
    """The exposition in pieces of `MAX_LINES`. Parts of a family must follow each other."""
    before = ""
    for family in families:
        is_text = how is Format.TEXT
        shown = family.name + "_total" if is_text and family.kind == "counter" else family.name
        documentation = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        if not is_text:
            documentation = documentation.replace('"', r"\"")
        lines = [f"# HELP {shown} {documentation}\n# TYPE {shown} {family.kind}\n"] if family.name != before else []
        before = family.name
        exemplars = {} if is_text else family.exemplars
        name = family.name
        for position, (key, value) in enumerate(family.samples.items()):
            number = floatToGoString(value)  # type: ignore[no-untyped-call]
            if key in exemplars:
                number += exemplars[key][1]
            lines.append(f"{name}{key} {number}\n")
            if not position & 7:
                yield None
            if len(lines) >= MAX_LINES:
                yield "".join(lines).encode()
                lines.clear()
        yield "".join(lines).encode()
    if how is Format.OPENMETRICS:
        yield b"# EOF\n"


def format_of(accept: str) -> Format:
    """What a scraper that sends `accept` reads best."""
    return Format.OPENMETRICS if "application/openmetrics-text" in accept else Format.TEXT


class Totals:
    """The sum over processes, those that have ended among them."""

    def __init__(self) -> None:
        self._live: dict[int, dict[str, Family]] = {}
        self._ended: dict[str, Family] = {}

    def update(self, member: int, families: Iterable[Family]) -> None:
        """Process number `member` now has these values; families may come in parts."""
        known = self._live.setdefault(member, {})
        fresh: dict[str, Family] = {}
        for family in families:
            part = fresh.setdefault(family.name, family)
            if part is not family:
                part.samples.update(family.samples)
                part.exemplars.update(family.exemplars)
        known.update(fresh)

    def end(self, member: int) -> None:
        """Process number `member` is no more."""
        # A sum that is being made holds what was here: to add to it in place would count this process twice there.
        ended = {
            name: msgspec.structs.replace(family, samples=dict(family.samples), exemplars=dict(family.exemplars))
            for name, family in self._ended.items()
        }
        for family in self._live.pop(member, {}).values():
            if family.kind != "gauge":
                for _ in _add(ended, family):
                    pass
        self._ended = ended

    def sum(self) -> Iterator[Family | None]:
        """The present sums, a family at a time."""
        result: dict[str, Family] = {}
        for families in (self._ended, *list(self._live.values())):
            for family in list(families.values()):
                yield from _add(result, family)
        yield from result.values()


def _add(totals: dict[str, Family], family: Family) -> Iterator[None]:
    total = totals.get(family.name)
    if total is None:
        total = totals[family.name] = Family(family.name, family.documentation, family.kind, {})
    rule = GAUGE_RULES.get(family.name)
    samples = total.samples
    for position, (key, value) in enumerate(family.samples.items()):
        before = samples.get(key)
        if before is None:
            samples[key] = value
        else:
            samples[key] = before + value if rule is None else rule(before, value)
        if not position & 7:
            yield None
    for key, exemplar in family.exemplars.items():
        # The newest of all processes: the one whose trace is most likely still there.
        total.exemplars[key] = max(exemplar, total.exemplars.get(key, exemplar))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
