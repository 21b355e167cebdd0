"""Conversion without a server: a recording through a provider's decoder into a dialect's encoder."""

import json
import random
import re
from collections.abc import Iterable

from proxy.dialects import DIALECTS
from proxy.dialects.base import StreamContext
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import TERMINAL_EVENTS, Event, StreamError
from proxy.hub.transcode import Convert
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support import aws_frames
from tests.support.corpus import Recording, recordings
from tests.support.eventsource import interpret
from tests.support.readers import OWN_READER

LINES = frozenset({"ollama"})
"""Kinds whose streams are lines of JSON."""

BINARY = frozenset({"bedrock"})
"""Kinds whose streams are AWS event frames."""

CONTEXT = StreamContext(id="0123456789abcdefghijklmn", model="m", created=1_790_000_000)


def crossing_recordings() -> list[Recording]:
    """Every streamed recording of a kind that exists and whose vendor's SDK can be the measure."""
    kinds = [kind for kind in OWN_READER if kind in PROVIDERS]
    return [recording for kind in kinds for recording in recordings(kind=kind, stream=True, ok=True)]


def has_own_dialect(recording: Recording) -> bool:
    """Whether callers speak the recorded API, so that its bytes may pass untouched."""
    return recording.kind in DIALECTS


def convert(recording: Recording, dialect: str, pieces: Iterable[bytes]) -> bytes:
    """The dialect's stream of `pieces` of the recording's body, ended as if the body ended cleanly after them."""
    assert recording.kind is not None
    decoder = PROVIDERS[recording.kind].decoder(Target(provider=recording.kind, model="m"))
    transcoder = Convert(decoder, DIALECTS[dialect].encoder(CONTEXT))
    return b"".join([transcoder.feed(piece) for piece in pieces]) + transcoder.finish()


def decode(recording: Recording, body: bytes) -> list[Event]:
    """The canonical events of a body that ended cleanly; a protocol fault is an error event, as in `Convert`."""
    assert recording.kind is not None
    decoder = PROVIDERS[recording.kind].decoder(Target(provider=recording.kind, model="m"))
    events: list[Event] = []
    try:
        events += decoder.feed(body)
        if not any(type(event) in TERMINAL_EVENTS for event in events):
            events += decoder.finish()
    except UpstreamProtocolError as fault:
        events.append(StreamError(ErrorKind.PROTOCOL, fault.message))
    return events


def says_complete(kind: str, body: bytes) -> bool:
    """Whether the whole events of a provider's stream say that the answer is complete.

    A stream of Chat Completions is complete with a finish reason (some vendors send no `[DONE]`) or with `[DONE]` (some
    send no reason).
    """
    if kind in BINARY:
        return any(_ends(kind, json.dumps({name: 0})) for name in aws_frames.event_types(body))
    if kind in LINES:
        return any(_ends(kind, line.decode("utf-8", "replace")) for line in body.split(b"\n"))
    seen = interpret(body)
    rest = [line.removeprefix("data:").strip() for line in seen.rest.splitlines() if line.startswith("data:")]
    return any(_ends(kind, data) for data in [*(event.data for event in seen.events), *rest])


def _ends(kind: str, data: str) -> bool:
    if data == "[DONE]":
        return kind == "openai_chat"
    try:
        frame = json.loads(data)
    except ValueError:
        return False
    match kind:
        case "openai_chat":
            return any(choice.get("finish_reason") for choice in frame.get("choices") or [])
        case "openai_responses":
            return frame.get("type") in ("response.completed", "response.incomplete")
        case "anthropic":
            return frame.get("type") == "message_stop"
        case "gemini":
            blocked = (frame.get("promptFeedback") or {}).get("blockReason")
            return bool(blocked) or any("finishReason" in one for one in frame.get("candidates") or [])
        case "ollama":
            return frame.get("done") is True
        case "cohere":
            return frame.get("type") == "message-end"
        case "bedrock":
            return "messageStop" in frame
        case _:
            raise AssertionError(f"no rule for {kind}")


def boundaries(kind: str | None, body: bytes) -> set[int]:
    """Where the frames of a stream end."""
    if kind in BINARY:
        return set(aws_frames.ends(body))
    between = rb"\n" if kind in LINES else rb"\r\n\r\n|\n\n|\r\r"
    return {match.end() for match in re.finditer(between, body)}


MOST_CUT_BYTES = 1_500_000
"""What the cuts of one recording may add up to: every event of all but the longest recordings."""


def cuts(recording: Recording, most: int | None = None) -> list[int]:
    """Where to cut: at every event boundary and at 50 random bytes; evenly chosen among them where that is too much."""
    body = recording.response
    ends = boundaries(recording.kind, body) - {len(body)}
    chance = random.Random(recording.name)
    places = sorted(ends | {chance.randrange(len(body)) for _ in range(50)})
    if most is None:
        most = max(60, 2 * MOST_CUT_BYTES // len(body))
    step = max(1, -(-len(places) // most))
    return places[::step]
