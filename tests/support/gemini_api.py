"""Answers of the Gemini API, made by hand, and the files with whole ones."""

import json
from pathlib import Path
from typing import Any

from proxy.hub.events import Event, StreamError
from proxy.providers.base import Target
from proxy.providers.gemini.stream import GeminiDecoder

FIXTURES = Path(__file__).parents[1] / "fixtures" / "gemini"
EXAMPLES = sorted(path.name for path in FIXTURES.iterdir())

TARGET = Target("google", "gemini-3-pro-preview")


def body_of(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def sse(*chunks: object) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks)


def chunk(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One response; `fields` are the candidate's."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **fields}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r"}


def streamed_call(*pieces: list[dict[str, Any]], name: str = "f") -> list[dict[str, Any]]:
    """The responses of a call whose arguments come in pieces."""
    parts: list[dict[str, Any]] = [{"functionCall": {"name": name, "willContinue": True}}]
    parts += [{"functionCall": {"partialArgs": each, "willContinue": True}} for each in pieces]
    return [chunk(part) for part in [*parts, {"functionCall": {}}]]


END = chunk({"text": ""}, finish="STOP")


def decode(pieces: list[bytes], target: Target = TARGET) -> list[Event]:
    """The events of a stream that arrives in `pieces` and then ends."""
    decoder = GeminiDecoder(target)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events if events and isinstance(events[-1], StreamError) else events + decoder.finish()
