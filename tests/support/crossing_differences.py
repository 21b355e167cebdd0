"""What a conversion cannot carry, by dialect and recording, and which dialects are proven elsewhere."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.support.corpus import Recording
from tests.support.reader import Reader

LOST: dict[str, str] = {"text_stream": "shows text alone: tests/e2e/test_ui_clients.py"}
"""Dialects and kinds whose readings are compared elsewhere, and where."""


@dataclass(frozen=True)
class Difference:
    recordings: str
    """A glob pattern of recording names."""
    readers: str
    """A glob pattern of reader names, or of `dialect:name`."""
    fields: frozenset[str]
    reason: str


DIFFERENCES: list[Difference] = [
    Difference(
        "openai-compat/vercel-gateway__testvercelcommon-gemini-3-pro-preview-simple__*",
        "gemini:*",
        frozenset({"tokens"}),
        "the vendor counts more reasoning than output, and Gemini's field is the difference of the two",
    ),
]


def crossing_difference(recording: Recording, reader: Reader) -> Difference | None:
    for row in DIFFERENCES:
        is_reader = fnmatchcase(reader.name, row.readers) or fnmatchcase(f"{reader.dialect}:{reader.name}", row.readers)
        if is_reader and fnmatchcase(recording.name, row.recordings):
            return row
    return None
