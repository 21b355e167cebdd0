"""A whole JSON answer read as if it were a stream, so that one path serves upstreams that ignore `stream: true`."""

from collections.abc import Callable

from proxy.hub.completion import Completion, unfold
from proxy.hub.errors import UpstreamError, UpstreamProtocolError
from proxy.hub.events import Event, StreamError


class WholeDecoder:
    """Keeps the body until it is complete, then gives all its events. Implements `hub.codec.StreamDecoder`."""

    def __init__(self, decode: Callable[[bytes], Completion], max_bytes: int) -> None:
        """`decode` reads a whole answer; it raises UpstreamError for an error object."""
        self._decode = decode
        self._max_bytes = max_bytes
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing yet. Raises UpstreamProtocolError over the cap."""
        self._body += data
        if len(self._body) > self._max_bytes:
            raise UpstreamProtocolError("The provider's answer is too long.")
        return []

    def finish(self) -> list[Event]:
        """All events of the answer; one `StreamError` when the body is the provider's error object."""
        body, self._body = bytes(self._body), bytearray()
        try:
            return unfold(self._decode(body))
        except UpstreamProtocolError:
            raise
        except UpstreamError as error:
            return [StreamError(error.kind, error.message, error.code)]
