"""Runs under valgrind: relays each pair's deltas between two calls of `sched_yield`, at which the counter is read.

    python -m tests.bench.guard.counted NAMES

Writes the names of what was counted, in order, into the file NAMES.
"""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.guard import reference
from tests.bench.guard.pairs import opening_and_delta, pairs, repeated

WARM_UP = 24
"""More than the calls after which CPython specialises a function's instructions."""
EVENTS = 40
REFERENCE = "reference"


def main(names: Path) -> None:
    counted = [REFERENCE]
    work: list[Callable[[int], None]] = [reference.repeated]
    streams: dict[tuple[str, str], tuple[bytes, bytes]] = {}
    for pair in pairs():
        stream = pair.kind, pair.sort
        if stream not in streams:
            streams[stream] = opening_and_delta(*stream)
        counted.append(pair.name)
        work.append(repeated(pair, *streams[stream]))
    gc.freeze()
    for relay in work:
        relay(WARM_UP)
    for relay in work:
        gc.collect()  # each starts with the same counters of the collector
        os.sched_yield()
        relay(EVENTS)
        os.sched_yield()
    names.write_text("\n".join(counted))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
