"""What fuzzing starts from: recordings of providers, fixtures, and requests in the words of each dialect."""

import json
from pathlib import Path

from tests.support.corpus import ROOT, recordings

SEEDS = Path(__file__).parent / "seeds"
"""One folder for each target (`:` is `-` there): what recordings do not have."""

FINDS = Path(__file__).parent / "finds"
"""Inputs that once broke a promise, by target in the same way. `test_targets` runs them all."""

MOST_BYTES = 24_000
"""Larger seeds make mutations slow and rarely show more."""

MOST_SEEDS = 60

REQUESTED_AS = {"openai_chat": ("openai_chat", "canonical", "data_stream", "text_stream", "ui_message_stream", "ag_ui")}
"""Kind of a recorded request, and the dialects whose requests resemble it. Any other kind: the dialect of that name."""


def seeds(target: str) -> list[bytes]:
    """The inputs to start from, the committed ones first."""
    what, name = target.split(":")
    found = [file.read_bytes() for folder in (SEEDS, FINDS) for file in sorted(folder.glob(f"{what}-{name}/*"))]
    match what:
        case "stream":
            files = sorted((ROOT / "tests/fixtures" / name).glob("*"))
            found += [file.read_bytes() for file in files if file.is_file()]
            found += [one.response for one in recordings(kind=name, stream=True, ok=True)]
        case "answer":
            found += [one.response for one in recordings(kind=name, stream=False)]
        case _:
            found += [file.read_bytes() for file in sorted((ROOT / "tests/fixtures/requests" / name).glob("*.json"))]
            found += requests_like(name)
    small = [one for one in found if len(one) <= MOST_BYTES]
    return small[:: max(1, len(small) // MOST_SEEDS)]


def requests_like(dialect: str) -> list[bytes]:
    kinds = [kind for kind, dialects in REQUESTED_AS.items() if dialect in dialects] or [dialect]
    asked = [one.request for kind in kinds for one in recordings(kind=kind) if one.request is not None]
    return [json.dumps(one["body"]).encode() for one in asked if isinstance(one.get("body"), dict)]
