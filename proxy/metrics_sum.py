"""Metrics as plain data: taken in small steps, added up over processes, written as text.

    families = await in_slices(take(metrics.instruments()))
    body = b"".join(await in_slices(write(families, Format.TEXT)))

One call of the library's own writer takes as long as there are series, and every stream waits for it. Here all work is
generators that pause after each series; `in_slices` lets the event loop go on whenever `SLICE_S` have passed.

Sums: counters and histograms of a process that has ended stay in `Totals`, so that no counter ever falls; its gauges go.
What is lost is what a killed process counted after it was last asked.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

T = TypeVar("T")

SLICE_S = 0.0003
"""How long the loop is kept at a stretch: a third of the millisecond that streams may be delayed."""
MAX_SAMPLES = 200
MAX_LINES = 200
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


GAUGE_RULES: Mapping[str, Callable[[float, float], float]] = {
    "llm_proxy_build_info": max,
    "llm_proxy_draining": max,
    "llm_proxy_config_last_reload_successful": min,
    "llm_proxy_config_last_reload_success_timestamp_seconds": min,
    "llm_proxy_limit_store_up": min,
}
"""What several processes' values of a gauge amount to; that of any other gauge is their sum."""


async def in_slices(pieces: Iterable[T | None]) -> list[T]:
    """All pieces; at a `None`, or after a piece, the loop may go on."""
    loop = asyncio.get_running_loop()
    found: list[T] = []
    began = loop.time()
    for piece in pieces:
        if piece is not None:
            found.append(piece)
        if loop.time() - began > SLICE_S:
            await asyncio.sleep(0)
            began = loop.time()
    return found


def take(instruments: Iterable[MetricWrapperBase], *, most_samples: int = MAX_SAMPLES) -> Iterator[Family | None]:
    """The present values, a family at a time, in parts of about `most_samples`. A histogram's series are of one moment."""
    for instrument in instruments:
        head = next(iter(instrument.describe()))
        family = Family(head.name, head.documentation, head.type, {})
        # The library's public way collects a whole instrument in one call.
        for suffix, labels, value, *_ in instrument._samples():
            if suffix == "_created":
                continue
            if len(family.samples) >= most_samples:
                yield family
                family = Family(head.name, head.documentation, head.type, {})
            family.samples[suffix + label_text(labels)] = value
            yield None
        yield family


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
        for key, value in family.samples.items():
            number = floatToGoString(value)  # type: ignore[no-untyped-call]
            lines.append(f"{family.name}{key} {number}\n")
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
        known.update(fresh)

    def end(self, member: int) -> None:
        """Process number `member` is no more."""
        for family in self._live.pop(member, {}).values():
            if family.kind != "gauge":
                for _ in _add(self._ended, family):
                    pass

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
    for key, value in family.samples.items():
        before = samples.get(key)
        if before is None:
            samples[key] = value
        else:
            samples[key] = before + value if rule is None else rule(before, value)
        yield None


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
