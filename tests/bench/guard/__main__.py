"""Fail when an event costs notably more than it did.

    python -m tests.bench.guard [--write] [--print]

Counts the instructions of one delta (text, tool arguments, reasoning) in every pair of provider kind and dialect, by
valgrind, and compares with `baseline.json`: 15 % more in any pair is a failure. Instructions do not depend on what else
the machine does; a count takes half a minute. Not seen: sockets, the event loop, the cache (`python -m tests.bench`).

Exit status: 0 good, 1 an event became dearer or has no baseline, 2 nothing could be counted.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.guard import baseline
from tests.bench.guard.baseline import Costs

PROJECT = Path(__file__).parents[3]
MISSING = "valgrind is missing: apt-get install valgrind"
_TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class CannotCount(Exception):
    """Why there are no figures."""


def count() -> Costs:
    """The cost of an event of each pair. Raises CannotCount."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        names, dump = Path(folder, "names"), Path(folder, "counts")
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={dump}", "--dump-before=sched_yield"]
        command += [sys.executable, "-m", "tests.bench.guard.counted", str(names)]
        # A fixed seed: what a dictionary lookup costs depends on which names collide.
        environ = {**os.environ, "PYTHONHASHSEED": "0"}
        ran = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True)
        if ran.returncode != 0:
            raise CannotCount(ran.stderr[-3000:])
        return read(names.read_text().splitlines(), dump)


def read(names: list[str], dump: Path) -> Costs:
    """Costs out of callgrind's parts: part 1 ends where the first name begins, part 2 where it ends, and so on."""
    counts: list[int] = []
    for index in range(len(names)):
        found = _TOTAL.search(dump.with_name(f"{dump.name}.{2 * index + 2}").read_text())
        if found is None:
            raise CannotCount(f"callgrind wrote no total for {names[index]}")
        counts.append(int(found[1]))
    return {name: count / counts[0] for name, count in zip(names[1:], counts[1:], strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="accept what is counted now")
    parser.add_argument("--print", action="store_true", help="print every cost, as a multiple of the reference loop's")
    given = parser.parse_args()
    try:
        costs = count()
    except CannotCount as fault:
        print(fault, file=sys.stderr)
        return 2
    if given.print:
        print(*(f"{cost:7.2f}  {name}" for name, cost in costs.items()), sep="\n")
    if given.write:
        baseline.write(costs)
        print(f"{baseline.version()}: {len(costs)} pairs written")
        return 0
    verdict = baseline.judge(costs, baseline.load().get(baseline.version()))
    print(f"{len(costs)} pairs counted", *verdict.remarks, *verdict.faults, sep="\n")
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
