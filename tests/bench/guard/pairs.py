"""What is counted: one delta, repeated, through each provider kind and dialect.

A stream is a fixture up to its first delta of a sort; then the frame that held this delta comes again and again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.dialects import DIALECTS
from proxy.dialects.base import StreamContext
from proxy.hub.events import ArgumentsDelta, Event, ReasoningDelta, TextDelta
from proxy.hub.transcode import Convert, Passthrough, Transcoder
from proxy.providers import PROVIDERS
from proxy.providers.base import Target

FIXTURES = Path(__file__).parents[2] / "fixtures"

TARGET = Target("vendor", "model")
CONTEXT = StreamContext("0123456789abcdefghijklmn", "model", 1)

DELTAS = {"text": TextDelta, "tool": ArgumentsDelta, "reasoning": ReasoningDelta}

STREAMS: dict[tuple[str, str], str] = {
    ("anthropic", "text"): "text.sse",
    ("anthropic", "tool"): "tool-call.sse",
    ("anthropic", "reasoning"): "reasoning.sse",
    ("bedrock", "text"): "text-tool.bin",
    ("bedrock", "tool"): "text-tool.bin",
    ("cohere", "text"): "text.sse",
    ("cohere", "tool"): "tool-call.sse",
    ("gemini", "text"): "text.sse",
    ("gemini", "tool"): "tool-call.sse",
    ("gemini", "reasoning"): "reasoning.sse",
    ("ollama", "text"): "text.ndjson",
    ("ollama", "tool"): "tool-call.ndjson",
    ("ollama", "reasoning"): "text.ndjson",
    ("openai_chat", "text"): "text.sse",
    ("openai_chat", "tool"): "tool-call.sse",
    ("openai_chat", "reasoning"): "reasoning.sse",
    ("openai_responses", "text"): "text.sse",
    ("openai_responses", "tool"): "tool-call.sse",
    ("openai_responses", "reasoning"): "reasoning.sse",
}
"""The fixture that holds each sort of delta of each kind; a sort that is absent has no fixture."""

UNCOUNTED = {"vertex": "its streams are read by the decoders of Gemini and Anthropic"}
"""Kinds without a count of their own, and why."""


@dataclass(frozen=True)
class Pair:
    """One stream through one transcoder."""

    kind: str
    dialect: str
    sort: str
    relays: bool
    """Whether the provider's own frames are relayed, not converted."""

    @property
    def name(self) -> str:
        return f"{self.kind} {'=' if self.relays else '>'} {self.dialect}: {self.sort}"

    def transcoder(self) -> Transcoder:
        provider = PROVIDERS[self.kind]
        encoder = DIALECTS[self.dialect].encoder(CONTEXT)
        if not self.relays:
            return Convert(provider.decoder(TARGET), encoder)
        return Passthrough(
            provider.splitter(TARGET), provider.decoder(TARGET), lambda _: encoder, provider.is_terminator
        )


def pairs() -> Iterator[Pair]:
    """All of them, in a fixed order."""
    for kind, sort in STREAMS:
        native = PROVIDERS[kind].native_dialect
        if native is not None:
            yield Pair(kind, native, sort, relays=True)
        for dialect in DIALECTS:
            yield Pair(kind, dialect, sort, relays=False)


def frames(kind: str, body: bytes) -> Iterator[bytes]:
    """The frames of `body`, whatever its framing."""
    splitter = PROVIDERS[kind].splitter(TARGET)
    for index in range(len(body)):
        if frame := splitter.feed(body[index : index + 1]):
            yield frame


def opening_and_delta(kind: str, sort: str) -> tuple[bytes, bytes]:
    """The frames before the first delta of `sort` that is not empty, and the frame that brings it."""
    body = (FIXTURES / kind / STREAMS[kind, sort]).read_bytes()
    decoder = PROVIDERS[kind].decoder(TARGET)
    opening = b""
    for frame in frames(kind, body):
        if any(type(event) is DELTAS[sort] and _content(event) for event in decoder.feed(frame)):
            return opening, frame
        opening += frame
    raise AssertionError(f"no {sort} in the fixture of {kind}")


def _content(event: Event) -> str:
    match event:
        case TextDelta(_, content) | ReasoningDelta(_, content) | ArgumentsDelta(_, content):
            return content
        case _:
            return ""


def repeated(pair: Pair, opening: bytes, delta: bytes) -> Callable[[int], None]:
    """What relays so many deltas of a stream that has begun."""
    feed = pair.transcoder().feed
    feed(opening)

    def relay(count: int) -> None:
        for _ in range(count):
            feed(delta)

    return relay
