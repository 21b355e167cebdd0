"""Bytes of no known format, relayed as they come: the transcoder of raw pass-through.

Without a format there is no terminator and no error event: HTTP's own end is the only one, and a fault can be said only
by breaking the connection.
"""

from proxy.hub.events import FinishReason, MessageEnd, StreamError
from proxy.hub.transcode import Summary


class Raw:
    """Implements `hub.transcode.Transcoder`."""

    def __init__(self) -> None:
        self.summary = Summary()
        self.is_holding = False
        self.relays_on = False

    def feed(self, data: bytes) -> bytes:
        """`data` itself; any byte counts as life."""
        self.summary.events += 1
        self.summary.content_events += 1
        return data

    def finish(self) -> bytes:
        """Nothing: the HTTP message was complete, so the answer is."""
        self.summary.end = MessageEnd(FinishReason.OTHER)
        return b""

    def fail(self, error: StreamError) -> bytes:
        """Nothing: see the module. The relay's owner breaks the connection."""
        if not self.summary.ended:
            self.summary.error = error
        return b""

    def ending(self) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b""
