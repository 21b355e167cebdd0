"""Upstream bytes in, caller bytes out: the seam between codecs and I/O.

`Convert` decodes and encodes; `Passthrough` relays whole frames untouched while a tap reads along. The relay knows
only `Transcoder`. A transcoder goes through `feed*`, then exactly one of `finish` and `fail`; `summary` says at any
time what was seen. Once `summary.ended` is true the stream has its ending, and later bytes are ignored.
"""

from collections.abc import Callable
from typing import Protocol

from proxy.hub.codec import StreamDecoder, StreamEncoder, TellsFinish
from proxy.hub.completion import Completion, Fold
from proxy.hub.continuation import Delivered
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import (
    CONTENT_EVENTS,
    EMPTY_AT_START,
    BlockStart,
    Event,
    MessageEnd,
    MessageStart,
    StreamError,
    Usage,
)
from proxy.hub.skim import Skimmer

_HOT = CONTENT_EVENTS


class Summary:
    """What one answer has shown so far. Read by the relay for deadlines, by the record for metrics."""

    __slots__ = ("content_events", "end", "error", "events", "model", "tap_failed", "usage")

    def __init__(self) -> None:
        self.events = 0
        """Upstream events relayed (canonical events for `Convert`)."""
        self.content_events = 0
        """Those that are life: see `CONTENT_EVENTS` and `EMPTY_AT_START`."""
        self.model = ""
        self.usage: Usage | None = None
        self.end: MessageEnd | None = None
        self.error: StreamError | None = None
        self.tap_failed = False

    @property
    def ended(self) -> bool:
        return self.end is not None or self.error is not None

    def observe(self, events: list[Event]) -> None:
        """Count `events` and keep what matters."""
        self.events += len(events)
        for event in events:
            if type(event) in _HOT:
                self.content_events += 1
            else:
                self._keep(event)

    def _keep(self, event: Event) -> None:
        match event:
            case BlockStart(_, block):
                self.content_events += not isinstance(block, EMPTY_AT_START)
            case Usage():
                self.usage = event
            case MessageStart(_, model):
                self.model = model
            case MessageEnd():
                self.end = event
            case StreamError():
                self.error = event
            case _:
                pass


class Transcoder(Protocol):
    """All that the relay knows of formats."""

    summary: Summary
    is_holding: bool
    """Whether an error ending is held back: the stream has failed and the caller does not know."""
    relays_on: bool
    """Whether the error ending is the provider's own: what it sends after it still belongs to the caller."""

    def feed(self, data: bytes) -> bytes:
        """The caller's bytes for the upstream's. Never raises: a protocol fault becomes the dialect's error ending."""
        ...

    def finish(self) -> bytes:
        """The ending, when the upstream's body ended cleanly: success only if it had its own terminator."""
        ...

    def fail(self, error: StreamError) -> bytes:
        """The error ending, for a fault that only the relay can see (reset, deadline, drain)."""
        ...

    def ending(self) -> bytes:
        """The error ending that was held back, once. `b""` unless the transcoder was told to hold errors back."""
        ...

    def heartbeat(self) -> bytes: ...


CUT_MESSAGE = "The provider's stream ended before it was complete."

Tellable = Callable[[StreamError, bytes], StreamError]
"""What the caller may be told in place of a provider's fault that came in the given bytes; mostly the fault itself. The
bytes are empty where nothing but the fault can reach the caller."""


def as_it_is(error: StreamError, _said: bytes) -> StreamError:
    """A `Tellable` for providers that hold no secret."""
    return error


class Convert:
    """Decode with the provider's codec, encode with the dialect's.

    With `delivered`, errors are held back until `ending`, so that the stream may go on with a second answer.
    """

    def __init__(
        self,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        delivered: Delivered | None = None,
        tellable: Tellable = as_it_is,
    ) -> None:
        self.summary = Summary()
        self._tellable = tellable
        self.encoder = encoder
        self._decoder = decoder
        self._delivered = delivered
        self.is_holding = False
        self.relays_on = False

    def feed(self, data: bytes) -> bytes:
        if self.summary.ended:
            return b""
        try:
            events = self._decoder.feed(data)
        except UpstreamProtocolError as fault:
            return self.fail(StreamError(ErrorKind.PROTOCOL, fault.without_frames().message))
        return self._encode(events) if events else b""

    def finish(self) -> bytes:
        if self.summary.ended:
            return b""
        try:
            events = self._decoder.finish()
        except UpstreamProtocolError as fault:
            return self.fail(StreamError(ErrorKind.PROTOCOL, fault.without_frames().message))
        out = self._encode(events)
        if not self.summary.ended:
            out += self.fail(StreamError(ErrorKind.CUT, CUT_MESSAGE))
        return out

    def fail(self, error: StreamError) -> bytes:
        return b"" if self.summary.ended else self._encode([error])

    def ending(self) -> bytes:
        if not self.is_holding or self.summary.error is None:
            return b""
        self.is_holding = False
        return self.encoder.encode([self.summary.error])

    def heartbeat(self) -> bytes:
        return self.encoder.heartbeat()

    def _encode(self, events: list[Event]) -> bytes:
        self.summary.observe(events)
        if self.summary.error is not None:
            # A terminal event is the last one, by the grammar.
            self.summary.error = events[-1] = self._tellable(self.summary.error, b"")
        delivered = self._delivered
        if delivered is not None:
            if delivered.is_complete:
                delivered.observe(events)
            if self.summary.error is not None:
                self.is_holding = True
                events = events[:-1]
        return self.encoder.encode(events)


class Splitter(Protocol):
    """Cuts raw bytes at the end of the last complete frame (`framing.sse.SseSplitter` and its like)."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


MOST_OPENING_BYTES = 65536
"""Of JSON outside of any event that is held back at a stream's beginning: far more than an error says."""


class Passthrough:
    """Relay whole frames untouched, and read along.

    The tap is the provider's own decoder. If it fails, it is dropped and the bytes go on: from then on only
    `is_terminator`, a look at the raw bytes, tells whether the answer was whole. The encoder that `make_encoder` gives
    writes heartbeats and the error ending; most streams need none. It is told whether the provider's own frames have
    gone to the caller.

    With `delivered`, errors are held back until `ending`, the provider's own error event among them.

    JSON with which a stream begins and that is no event waits for the first event: where none comes, it is the way in
    which some gateways say an error under a status of 200, and its caller shall get one with a status of its own.
    """

    def __init__(
        self,
        splitter: Splitter,
        tap: StreamDecoder,
        make_encoder: Callable[[bool], StreamEncoder],
        is_terminator: Callable[[bytes], bool],
        delivered: Delivered | None = None,
        tellable: Tellable = as_it_is,
    ) -> None:
        self.summary = Summary()
        self._tellable = tellable
        self._delivered = delivered
        self._held = b""
        """The provider's own error event, while it is held back."""
        self.is_holding = False
        self.relays_on = False
        self.has_relayed = False
        """Frames of the provider's have gone to the caller."""
        self._splitter = splitter
        self._tap: StreamDecoder | None = tap
        self._skimmer = Skimmer()
        self._last_read = b""
        """What the tap read last: a fault that it kept for the next call is in there."""
        self._make_encoder = make_encoder
        self._encoder_made: StreamEncoder | None = None
        self._encoder_follows = False
        """The encoder was made after frames of the provider's."""
        self._is_terminator = is_terminator
        self._saw_terminator = False
        self._opening = b""
        """JSON with which the stream begins and in which the tap saw no event."""
        self._is_steady = False
        """Whether bytes go straight through: the stream has begun and not failed. One question for each read."""

    def feed(self, data: bytes) -> bytes:
        if not self._is_steady:
            return self._feed_unsteady(data)
        try:
            whole = self._splitter.feed(data)
        except UpstreamProtocolError as fault:
            return self.fail(StreamError(ErrorKind.PROTOCOL, fault.without_frames().message))
        if whole:
            self._observe(whole)
            if self.summary.error is not None and not self.relays_on:
                return self._end_with_error(whole, self.summary.error)
            self.has_relayed = True
        return whole

    def _end_with_error(self, whole: bytes, error: StreamError) -> bytes:
        """What of `whole`, in which the provider's error is, goes to the caller now."""
        told = self.summary.error = self._tellable(error, whole)
        if told is error and self._delivered is None:
            self.relays_on = self.has_relayed = True
            return whole
        self._is_steady = False
        if self._delivered is not None:
            self._note_finish(self._delivered)
        whole = self._hold_back(whole)
        self.has_relayed = self.has_relayed or bool(whole)
        if told is not error:
            self._held = b""
        return whole if self._delivered is not None else whole + self.ending()

    def _feed_unsteady(self, data: bytes) -> bytes:
        """`feed` at the stream's beginning and after its failure."""
        if self.summary.error is not None and not self.relays_on:
            return b""
        self._is_steady = True
        opening, self._opening = self._opening, b""
        has_relayed = self.has_relayed
        whole = self.feed(data)
        if self.summary.error is not None:
            return whole
        opening += whole
        if self.summary.events:
            return opening
        self._is_steady = False
        if opening.lstrip()[:1] not in (b"{", b"[") or len(opening) > MOST_OPENING_BYTES:
            return opening
        self._opening = opening
        self.has_relayed = has_relayed
        return b""

    def finish(self) -> bytes:
        summary = self.summary
        if summary.error is not None and not self.relays_on:
            return b""
        rest = self._splitter.finish()
        if summary.ended:
            # What follows the terminator (comments, an unterminated line) belongs to the provider's bytes.
            return rest
        if rest:
            self._observe(rest)
        if self._tap is not None and not summary.ended:
            self._finish_tap(self._tap)
        if self._tap is None and self._saw_terminator:
            return rest
        if summary.end is not None:
            return self._opening + rest
        # An error of the provider's that shows only now stood in no whole event: no SDK would see it in `rest`.
        error, summary.error = summary.error or StreamError(ErrorKind.CUT, CUT_MESSAGE), None
        return self.fail(error)

    def fail(self, error: StreamError) -> bytes:
        if self.summary.ended:
            return b""
        self.summary.error = error
        self._is_steady = False
        if self._delivered is not None:
            self._note_finish(self._delivered)
            self.is_holding = True
            return b""
        return self._encoder.encode([error])

    def ending(self) -> bytes:
        if not self.is_holding or self.summary.error is None:
            return b""
        self.is_holding = False
        self.relays_on = bool(self._held)
        return self._held or self._encoder.encode([self.summary.error])

    def heartbeat(self) -> bytes:
        return self._encoder.heartbeat()

    @property
    def _encoder(self) -> StreamEncoder:
        if self._encoder_made is None or self._encoder_follows is not self.has_relayed:
            self._encoder_follows = self.has_relayed
            self._encoder_made = self._make_encoder(self.has_relayed)
        return self._encoder_made

    def _note_finish(self, delivered: Delivered) -> None:
        tap = self._tap
        delivered.has_finish_reason = isinstance(tap, TellsFinish) and tap.has_finish_reason

    def _hold_back(self, whole: bytes) -> bytes:
        """`whole` up to the provider's error: behind it there may be comments and a terminator.

        Where a terminator of success alone ends an answer that has failed, the error has no event yet.
        """
        end = len(whole)
        start = start_of_last_event(whole)
        while start and (whole.startswith(b":", start) or self._is_terminator(whole[start:end])):
            end = start
            start = start_of_last_event(whole[:end])
        held = whole[start:]
        is_event = not self._is_terminator(held) or (end < len(whole) and not whole.startswith(b"{", start))
        self._held = held if is_event else b""
        self.is_holding = True
        return whole[:start]

    def _observe(self, whole: bytes) -> None:
        tap = self._tap
        if tap is None:
            self.summary.events += 1
            self.summary.content_events += 1
            self._saw_terminator = self._saw_terminator or self._is_terminator(whole)
            return
        summary = self.summary
        if summary.ended:
            return
        self._last_read = whole
        delivered = self._delivered
        if self._skimmer.is_delta(whole) and (delivered is None or not delivered.is_complete):
            summary.events += 1
            summary.content_events += 1
            return
        try:
            events = tap.feed(whole)
        except UpstreamProtocolError as fault:
            fault.without_frames()  # Its decoder may keep it.
            self._tap = None
            self.summary.tap_failed = True
            self._delivered = None
            self._observe(whole)
            return
        summary.observe(events)
        self._skimmer.learn(whole, events)
        if delivered is not None and delivered.is_complete:
            delivered.observe(events)

    def _finish_tap(self, tap: StreamDecoder) -> None:
        try:
            self.summary.observe(tap.finish())
        except UpstreamProtocolError as fault:
            fault.without_frames()  # Its decoder may keep it.
            self._tap = None
            self.summary.tap_failed = True
            self._saw_terminator = self._is_terminator(self._last_read)


_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


def start_of_last_event(whole: bytes) -> int:
    """Where the last event of some whole ones begins: server-sent events, lines of JSON, or elements of an array.

    An array's elements are found where each begins with a line of its own, as Gemini's do.
    """
    body = whole.rstrip(b"\r\n ]")
    start = max(at + len(blank) if (at := body.rfind(blank)) >= 0 else 0 for blank in _BLANK_LINES)
    if start:
        return start
    if body.lstrip()[:1] == b"{":
        return body.rfind(b"\n") + 1
    return max(body.rfind(b"\n,"), 0)


class Collect:
    """Fold the stream into a whole answer, for callers that asked for none. Gives no bytes.

    `max_bytes` bounds the memory: a larger upstream body is a protocol fault.
    """

    def __init__(self, decoder: StreamDecoder, max_bytes: int) -> None:
        self.summary = Summary()
        self.is_holding = False
        self.relays_on = False
        self._decoder = decoder
        self._fold = Fold()
        self._left_bytes = max_bytes

    def feed(self, data: bytes) -> bytes:
        if self.summary.ended:
            return b""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            return self.fail(StreamError(ErrorKind.PROTOCOL, "The provider's answer is too long."))
        try:
            events = self._decoder.feed(data)
        except UpstreamProtocolError as fault:
            return self.fail(StreamError(ErrorKind.PROTOCOL, fault.without_frames().message))
        self._add(events)
        return b""

    def finish(self) -> bytes:
        if self.summary.ended:
            return b""
        try:
            self._add(self._decoder.finish())
        except UpstreamProtocolError as fault:
            return self.fail(StreamError(ErrorKind.PROTOCOL, fault.without_frames().message))
        if not self.summary.ended:
            self.fail(StreamError(ErrorKind.CUT, CUT_MESSAGE))
        return b""

    def fail(self, error: StreamError) -> bytes:
        if not self.summary.ended:
            self._add([error])
        return b""

    def ending(self) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b""

    def completion(self) -> Completion:
        """The whole answer; call once, after the end."""
        return self._fold.finish()

    def _add(self, events: list[Event]) -> None:
        self.summary.observe(events)
        self._fold.add(events)
