"""`llm-stream-proxy check`: every problem of a configuration at once, or what it amounts to."""

import sys

from proxy.config import Loaded, Sources, load
from proxy.config.printing import print_config
from proxy.hub.errors import ConfigError

EXIT_OK = 0
EXIT_BAD = 2


def run(sources: Sources, *, shows_effective: bool) -> int:
    """Check and report; the process's exit code. Raises OSError when standard output is gone."""
    name = str(sources.file) if sources.file is not None else "the embedded default"
    try:
        loaded = load(sources)
    except ConfigError as fault:
        for problem in fault.problems:
            print(problem, file=sys.stderr)
        count = len(fault.problems)
        print(f"{name}: {count} {'problem' if count == 1 else 'problems'}", file=sys.stderr)
        return EXIT_BAD
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if shows_effective:
        sys.stdout.write(print_config(loaded))
    else:
        print(f"{name}: good ({_counts(loaded)})")
    return EXIT_OK


def _counts(loaded: Loaded) -> str:
    config = loaded.config
    parts = (("provider", len(config.providers)), ("model", len(config.models)), ("key", len(config.auth.keys)))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in parts)
