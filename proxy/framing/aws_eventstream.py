"""AWS event streams (`application/vnd.amazon.eventstream`): binary frames, each with headers, a payload and two checksums.

    uint32 total length | uint32 headers length | uint32 CRC32 of these eight bytes
    headers: uint8 name length, name, uint8 type, value         type 7 is a string: uint16 length, UTF-8
    payload
    uint32 CRC32 of everything before it

Numbers are big-endian. Both checksums are verified: a frame that fails is a protocol fault, because nothing after it
can be trusted. Source: docs.aws.amazon.com "Event stream encoding"; botocore 1.44 `eventstream.py`.

The headers of a stream's frames are the same few bytes again and again, so they are decoded once.
"""

import struct
import zlib
from collections.abc import Mapping

import msgspec

from proxy.framing.sse import DEFAULT_MAX_FRAME_BYTES
from proxy.hub.errors import UpstreamProtocolError

PRELUDE_BYTES = 12
LEAST_BYTES = 16
"""Prelude and final checksum, without headers and payload."""

MAX_KNOWN_HEADERS = 64
"""Different header blocks that are remembered; a stream has about six."""

VALUE_BYTES: dict[int, int] = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Sizes of the values whose type says it: booleans, integers, times, ids. 6 (bytes) and 7 (text) state their length."""

TEXT = 7

_PRELUDE = struct.Struct(">III")
_UINT32 = struct.Struct(">I")
_UINT16 = struct.Struct(">H")


class EventFrame(msgspec.Struct, frozen=True, gc=False):
    headers: Mapping[str, str]
    """Those of type text; names as they came (`:event-type`)."""
    payload: bytes


class AwsEventFramer:
    """Cuts a byte stream into frames."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._known: dict[bytes, Mapping[str, str]] = {}

    @property
    def is_between_frames(self) -> bool:
        """Whether nothing waits for its other half."""
        return not self._buffer

    def feed(self, data: bytes) -> list[EventFrame]:
        """Frames that `data` completes.

        Raises UpstreamProtocolError on a wrong checksum, on lengths that contradict each other, over the cap. Good
        frames before a bad one are lost: use `take` for them.
        """
        frames: list[EventFrame] = []
        self.take(data, frames)
        return frames

    def take(self, data: bytes, frames: list[EventFrame]) -> None:
        """Add the frames that `data` completes to `frames`, also those before a fault. Raises as `feed` does."""
        if self._buffer:
            self._buffer += data
            size = _total_length(self._buffer, 0, self._max_frame_bytes)
            if size is None or len(self._buffer) < size:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        start = 0
        while (size := _total_length(data, start, self._max_frame_bytes)) is not None and len(data) - start >= size:
            frames.append(self._frame(data, start, size))
            start += size
        self._buffer += data[start:]

    def _frame(self, data: bytes, start: int, size: int) -> EventFrame:
        end = start + size - 4
        if zlib.crc32(data[start:end]) != _UINT32.unpack_from(data, end)[0]:
            raise UpstreamProtocolError("a frame's checksum is wrong")
        payload_start = start + PRELUDE_BYTES + _UINT32.unpack_from(data, start + 4)[0]
        raw = data[start + PRELUDE_BYTES : payload_start]
        headers = self._known.get(raw)
        if headers is None:
            headers = read_headers(raw)
            if len(self._known) < MAX_KNOWN_HEADERS:
                self._known[raw] = headers
        return EventFrame(headers, data[payload_start:end])


class AwsEventSplitter:
    """Holds back a frame that is not whole and gives everything before it, byte for byte."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """All bytes up to the end of the last whole frame. Raises as `AwsEventFramer.feed` does, bodies unchecked."""
        buffer = self._buffer
        buffer += data
        end = 0
        while (size := _total_length(buffer, end, self._max_frame_bytes)) is not None and len(buffer) - end >= size:
            end += size
        whole = bytes(buffer[:end])
        del buffer[:end]
        return whole

    def finish(self) -> bytes:
        """What is left: a frame that never ended."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest


def _total_length(data: bytes | bytearray, start: int, max_frame_bytes: int) -> int | None:
    """How long the frame at `start` is, its prelude verified; `None` while the prelude is not whole."""
    if len(data) - start < PRELUDE_BYTES:
        return None
    total, headers, checksum = _PRELUDE.unpack_from(data, start)
    if zlib.crc32(data[start : start + 8]) != checksum:
        raise UpstreamProtocolError("a frame's prelude has a wrong checksum")
    if total < LEAST_BYTES + headers:
        raise UpstreamProtocolError("a frame is shorter than its headers")
    if total > max_frame_bytes:
        raise UpstreamProtocolError(f"one frame exceeds {max_frame_bytes} bytes")
    return int(total)


def read_headers(data: bytes) -> Mapping[str, str]:
    """The text headers in a header block. Raises UpstreamProtocolError where it is cut or of an unknown type."""
    found: dict[str, str] = {}
    position = 0
    while position < len(data):
        name_end = position + 1 + data[position]
        if name_end >= len(data):
            raise _cut()
        name, kind = data[position + 1 : name_end].decode("utf-8", "replace"), data[name_end]
        position = name_end + 1
        size = VALUE_BYTES.get(kind)
        if size is None:
            if kind not in (6, TEXT):
                raise UpstreamProtocolError(f"a frame's header has the unknown type {kind}")
            if position + 2 > len(data):
                raise _cut()
            size = int(_UINT16.unpack_from(data, position)[0])
            position += 2
        if position + size > len(data):
            raise _cut()
        if kind == TEXT:
            found[name] = data[position : position + size].decode("utf-8", "replace")
        position += size
    return found


def _cut() -> UpstreamProtocolError:
    return UpstreamProtocolError("a frame's headers are cut")
