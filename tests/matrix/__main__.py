"""Check every dialect against every provider kind, live, and print what passed as Markdown.

    python -m tests.matrix [--write]

Needs the recordings and the packages of tests/node. `--write` puts the page into the README. The exit status is 1, and
nothing is written, when a check failed.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import warnings
from pathlib import Path

from tests.matrix.page import render, write
from tests.matrix.survey import Survey, survey
from tests.support import node
from tests.support.corpus import ABSENT, all_recordings
from tests.support.proxied import proxied


async def surveyed() -> Survey:
    with tempfile.TemporaryDirectory() as folder:
        async with proxied(Path(folder)) as running:
            return await survey(running, Path(folder))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    if not all_recordings() or not node.is_ready():
        print(ABSENT if not all_recordings() else node.MISSING, file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # of SDKs about answers that they did not expect
    logging.disable()
    try:
        found = asyncio.run(surveyed())
    finally:
        node.stop()
    print(*found.faults, sep="\n", file=sys.stderr)
    page = render(found)
    print(page)
    if given.write and not found.faults:
        write(page)
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
