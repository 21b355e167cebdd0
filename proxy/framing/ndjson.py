"""Newline-delimited JSON: one value a line, ended by LF.

Two readers, as for server-sent events (`framing.sse`):

* `NdjsonFramer` gives the lines to a decoder.
* `NdjsonSplitter` gives back the raw bytes up to the end of the last whole line, for relaying them untouched.

A CR before the LF is white space to JSON and stays in the line; U+2028 and its like are data. Blank lines are nothing.
Each byte is scanned once, whatever the split.
"""

from proxy.framing.sse import DEFAULT_MAX_FRAME_BYTES
from proxy.hub.errors import UpstreamProtocolError


class NdjsonFramer:
    """Cuts a byte stream into lines without their ends."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        """The line that has begun and not ended."""

    def feed(self, data: bytes) -> list[bytes]:
        """Lines that `data` completes, blank ones left out. Raises UpstreamProtocolError when one exceeds the cap."""
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._buffer:
            lines[0] = bytes(self._buffer) + lines[0]
            self._buffer.clear()
        self._buffer += rest
        if len(self._buffer) > self._max_frame_bytes:
            raise _too_long(self._max_frame_bytes)
        return [line for line in lines if line and not line.isspace()]

    def finish(self) -> bytes | None:
        """The last line, where the body ended without its LF; `None`: the body ended between two lines."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest if rest and not rest.isspace() else None


class NdjsonSplitter:
    """Holds back a line that is not whole and gives everything before it, byte for byte."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """All bytes up to the end of the last whole line. Raises UpstreamProtocolError over the cap."""
        end = data.rfind(b"\n") + 1
        whole = b""
        if end:
            whole = bytes(self._buffer) + data[:end]
            self._buffer.clear()
        self._buffer += data[end:]
        if len(self._buffer) > self._max_frame_bytes:
            raise _too_long(self._max_frame_bytes)
        return whole

    def finish(self) -> bytes:
        """What is left: a line that never ended."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest


def _too_long(max_frame_bytes: int) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"one line exceeds {max_frame_bytes} bytes")
