"""This proxy on another event loop, or with the collector looking at everything: for the studies.

    python -m tests.bench.launch LOOP COLLECTOR serve --config FILE

LOOP: asyncio or uvloop. COLLECTOR: frozen (as it is), or unfrozen.
"""

import os
import sys

from proxy.__main__ import main
from proxy.commands import serve

LOOPS = ("asyncio", "uvloop")
COLLECTORS = ("frozen", "unfrozen")


def prepare(loop: str, collector: str) -> None:
    """Change what the command will use."""
    os.environ["LLM_STREAM_PROXY_EVENT_LOOP"] = loop
    if collector == "unfrozen":
        serve.freeze = lambda: None


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2])
    sys.exit(main(sys.argv[3:]))
