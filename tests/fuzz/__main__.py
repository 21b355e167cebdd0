"""Fuzz every codec, guided by coverage.

    python -m tests.fuzz [--seconds N] [--target NAME] [--out FOLDER]

Needs the extra `fuzz` (`pip install -e '.[fuzz]'`). N seconds in all, shared evenly by the targets, each in a process of
its own. An input that breaks a promise is written to FOLDER once for each place that it fails at; the run goes on, and
its exit status is 1. A find belongs, made small, into tests/fuzz/finds/<target>, where a test keeps it.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

DEFAULT_SECONDS = 600
MOST_INPUT_BYTES = 64_000
INPUT_SECONDS = 10
"""An input that takes longer is a find: libFuzzer ends the target's process with it."""
JSON_SHARE = 0.6
"""How many of the mutations know JSON."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, default=DEFAULT_SECONDS)
    options.add_argument("--target")
    options.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "proxy-fuzz")
    given = options.parse_args()
    if given.target:
        run(given.target, given.seconds, given.out)
        return 0
    return run_all(given.seconds, given.out)


def run_all(seconds: int, out: Path) -> int:
    """One process after another; 1 if anything was found."""
    from tests.fuzz.targets import targets

    out.mkdir(parents=True, exist_ok=True)
    before = set(out.glob("*/*"))
    names = list(targets())
    ended_badly = []
    for name in names:
        share = max(1, seconds // len(names))
        command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--seconds", str(share), "--out", str(out)]
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace")
        lines = [line for line in ran.stderr.splitlines() if line.startswith(("Done", "find:", "==")) or "cov:" in line]
        print(name, ran.returncode, *lines[-1:], sep="\t", flush=True)
        if ran.returncode != 0:
            ended_badly.append(name)
            print("\n".join(ran.stderr.splitlines()[-20:]), flush=True)
    found = sorted(set(out.glob("*/*")) - before)
    print(f"{len(found)} finds", *found, sep="\n")
    return 1 if found or ended_badly else 0


def run(name: str, seconds: int, out: Path) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["proxy"]):
        from tests.fuzz.targets import targets

        fuzzed = targets()[name]
    from tests.fuzz.mutation import mutated
    from tests.fuzz.seeds import seeds

    finds = out / name.replace(":", "-")
    known: set[str] = set()

    def once(data: bytes) -> None:
        try:
            fuzzed(data)
        except Exception as fault:  # whatever escapes is a find
            _keep(fault, data, finds, known)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() > JSON_SHARE:
            return atheris.Mutate(data, most)
        return mutated(data, chance)[:most]

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / f"{number}").write_bytes(seed)
        finds.parent.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={seconds}", f"-max_len={MOST_INPUT_BYTES}", f"-timeout={INPUT_SECONDS}"]
        artifacts = f"-artifact_prefix={finds.parent}/{finds.name}-"
        atheris.Setup([sys.argv[0], corpus, *limits, artifacts, "-rss_limit_mb=2048"], once, custom_mutator=mutate)
        atheris.Fuzz()


def _keep(fault: Exception, data: bytes, finds: Path, known: set[str]) -> None:
    """Write the input, unless one that fails at the same place was written in this run."""
    frames = traceback.extract_tb(fault.__traceback__)
    last = next((frame for frame in reversed(frames) if "/proxy/" in frame.filename), frames[-1])
    place = f"{type(fault).__name__} {Path(last.filename).name}:{last.lineno} {last.name}"
    if place in known:
        return
    known.add(place)
    finds.mkdir(parents=True, exist_ok=True)
    file = finds / hashlib.sha256(place.encode()).hexdigest()[:12]
    file.write_bytes(data)
    file.with_suffix(".txt").write_text("".join(traceback.format_exception(fault)[-12:]))
    print(f"find: {place}: {str(fault)[:200]!r}: {file}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
