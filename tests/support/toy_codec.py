"""The smallest codec pair: hub events as JSON in server-sent events, so that tests of the seam need no real API.

The provider's stream is `data: <event as JSON>`; `data: !` is a protocol fault. The dialect's stream is the same for
content, `data: end` for success and `data: error <kind>` for failure.
"""

import contextlib
from collections.abc import Iterable

import msgspec

from proxy.framing.sse import SseFramer
from proxy.hub.codec import StreamDecoder, StreamEncoder
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import TERMINAL_EVENTS, Event, MessageEnd, StreamError

_DECODER = msgspec.json.Decoder(Event)

FAULT = b"data: !\n\n"
HEARTBEAT = b": ping\n\n"


def wire(events: Iterable[Event]) -> bytes:
    """The toy provider's stream of `events`."""
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events)


class ToyDecoder(StreamDecoder):
    def __init__(self) -> None:
        self._framer = SseFramer()
        self._ended = False

    def feed(self, data: bytes) -> list[Event]:
        try:
            return self._decode(payload for _, payload in self._framer.feed(data))
        except msgspec.DecodeError as fault:
            raise UpstreamProtocolError("no event") from fault

    def finish(self) -> list[Event]:
        rest = self._framer.finish()
        events: list[Event] = []
        if rest is not None:
            with contextlib.suppress(msgspec.DecodeError):  # Half an event: the cut says it all.
                events = self._decode([rest[1]])
        return events if self._ended else [*events, StreamError(ErrorKind.CUT, "cut")]

    def _decode(self, payloads: Iterable[bytes]) -> list[Event]:
        events: list[Event] = []
        for payload in payloads:
            if self._ended:
                break
            if payload == b"!":
                raise UpstreamProtocolError("bad frame")
            event = _DECODER.decode(payload)
            self._ended = type(event) in TERMINAL_EVENTS
            events.append(event)
        return events


class ToyEncoder(StreamEncoder):
    def encode(self, events: list[Event]) -> bytes:
        return b"".join(self._frame(event) for event in events)

    def heartbeat(self) -> bytes:
        return HEARTBEAT

    @staticmethod
    def _frame(event: Event) -> bytes:
        match event:
            case MessageEnd():
                return b"data: end\n\n"
            case StreamError(kind):
                return error_ending(kind)
            case _:
                return wire([event])


def error_ending(kind: ErrorKind) -> bytes:
    """The toy dialect's error frame."""
    return b"data: error %b\n\n" % kind.encode()


def is_toy_terminator(data: bytes) -> bool:
    """Whether raw bytes of the toy provider's stream hold its success terminator."""
    return b'"MessageEnd"' in data
