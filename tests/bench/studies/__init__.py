"""What the comparison does not show, of this proxy: one table for each question."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.run import Bench
from tests.bench.studies import linearity, loops, tls, workers


@dataclass(frozen=True)
class Study:
    """A question. `run` takes the bench, the number of rounds, and the share of the usual time, and gives Markdown."""

    says: str
    run: Callable[[Bench, int, float], str]


STUDIES = {
    "linearity": Study(
        "study: does an event cost the same with more streams open, and in longer answers?", linearity.run
    ),
    "workers": Study("study: two workers on two cores against one", workers.run),
    "tls": Study(
        "study: a provider behind TLS, this proxy against nginx, asyncio against uvloop, session reuse", tls.run
    ),
    "loops": Study("study: asyncio against uvloop, the collector frozen or not", loops.run),
}
