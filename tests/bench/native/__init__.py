"""The simulated provider and the load generator, C programs that are compiled where they are needed."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = ("wire.h", "upstream.c", "loader.c")
PROGRAMS = ("upstream", "loader")
MISSING = "a C compiler is missing (cc): apt-get install gcc libc6-dev"


class CannotBuild(Exception):
    """Why there are no programs."""


@dataclass(frozen=True)
class Programs:
    """Paths of the compiled programs."""

    upstream: str
    loader: str


def build() -> Programs:
    """Compile, once for each state of the sources. Raises CannotBuild."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise CannotBuild(MISSING)
    state = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"llm-stream-proxy-bench-{os.getuid()}-{state}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise CannotBuild(f"{folder} belongs to somebody else")
    for program in PROGRAMS:
        if (folder / program).exists():
            continue
        fresh = folder / f"{program}.{os.getpid()}"
        command = [compiler, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-o", str(fresh), str(HERE / f"{program}.c")]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode != 0:
            raise CannotBuild(f"{' '.join(command)}\n{ran.stderr[-2000:]}")
        fresh.replace(folder / program)
    return Programs(str(folder / "upstream"), str(folder / "loader"))
