"""`llm-stream-proxy doctor`: does something between callers and a running proxy do harm to streams?"""

import asyncio
import os
import sys

import msgspec

from proxy.doctor.checks import Unexaminable, Wishes, examine
from proxy.doctor.conversation import Unreachable, parse_site
from proxy.doctor.report import as_json, as_text

EXIT_HEALTHY = 0
EXIT_ILL = 1
EXIT_BAD = 2


class DoctorOptions(msgspec.Struct, frozen=True):
    """What the command line says."""

    url: str
    key_variable: str | None
    model: str
    silence_s: float
    pause_s: float
    is_json: bool


def run(options: DoctorOptions) -> int:
    """Measure and report; the process's exit code. Raises OSError when standard output is gone."""
    try:
        site = parse_site(options.url)
    except ValueError as fault:
        print(f"doctor: {fault}", file=sys.stderr)
        return EXIT_BAD
    key = os.environ.get(options.key_variable) if options.key_variable is not None else None
    if options.key_variable is not None and not key:
        print(f"doctor: the variable {options.key_variable} of --key-env is not set", file=sys.stderr)
        return EXIT_BAD
    wishes = Wishes(site, key, options.model, options.silence_s, options.pause_s)
    try:
        diagnosis = asyncio.run(examine(wishes))
    except (Unexaminable, Unreachable) as fault:
        print(f"doctor: {fault}", file=sys.stderr)
        return EXIT_ILL
    except BaseExceptionGroup as faults:
        # The connection was lost for good in the middle of the checks.
        unreachable, rest = faults.split(Unreachable)
        if rest is not None or unreachable is None:
            raise
        print(f"doctor: {unreachable.exceptions[0]}", file=sys.stderr)
        return EXIT_ILL
    sys.stdout.write(as_json(diagnosis).decode() if options.is_json else as_text(diagnosis))
    return EXIT_HEALTHY if diagnosis.is_healthy else EXIT_ILL
