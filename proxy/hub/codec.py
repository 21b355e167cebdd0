"""The two halves of a codec. Both are sans-IO: bytes in, events out, and back; no clock, no await, no log."""

from typing import Protocol, runtime_checkable

from proxy.hub.events import Event


class StreamDecoder(Protocol):
    """Reads one upstream answer. One instance per answer; dead after it raised."""

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`, in wire order; an incomplete frame waits for the next call.

        Nothing follows a terminal event: bytes after it are ignored.
        Raises UpstreamProtocolError on bytes that the API does not allow.
        """
        ...

    def finish(self) -> list[Event]:
        """Events still owed when the answer's body ended cleanly: `StreamError(CUT)` unless it was whole.

        Called once, and not after a terminal event.
        """
        ...


@runtime_checkable
class TellsFinish(Protocol):
    """A decoder of an API that gives its reason to end before its terminator."""

    @property
    def has_finish_reason(self) -> bool:
        """Whether the reason was read, and is none that says that the answer failed."""
        ...


class StreamEncoder(Protocol):
    """Writes one caller's stream. One instance per stream; relies on the grammar of `hub.events`."""

    def encode(self, events: list[Event]) -> bytes:
        """The dialect's bytes for `events`: whole frames only, `b""` when the dialect has nothing to say.

        `MessageEnd` yields the dialect's success terminator; `StreamError` closes what is open where the dialect
        needs it and yields its error ending, never the success terminator.
        """
        ...

    def heartbeat(self) -> bytes:
        """A frame that every client of the dialect ignores; `b""` where the dialect has none."""
        ...


@runtime_checkable
class AdoptsStream(Protocol):
    """An encoder that must do more than encode and discard to go on with a stream that somebody else wrote."""

    def adopt(self, events: list[Event]) -> None:
        """Take over a stream of which the caller has `events`; writes nothing."""
        ...


@runtime_checkable
class EndsOnce(Protocol):
    """An encoder whose finish reason stands apart from its terminator, and must not come twice."""

    def note_finish_reason(self) -> None:
        """The caller has it already: the success terminator alone is to be written."""
        ...
