"""Server-sent events, read by the WHATWG rules (html.spec.whatwg.org, "9.2.6 Interpreting an event stream").

Two readers over the same rules:

* `SseFramer` gives the events to a decoder: `(event name, data)` pairs.
* `SseSplitter` gives back the raw bytes up to the last complete event, for relaying them untouched.

A line ends with LF, CRLF or a lone CR, and with nothing else: U+2028 and U+0085 are data. One leading BOM is dropped.
Each byte is scanned once, whatever the split: `_scanned` remembers how far the search for an event's end has gone.
The fast path is what providers send nearly always: LF line ends, one `data:` line an event, whole events a read.
"""

import re

from proxy.hub.errors import UpstreamProtocolError

Frame = tuple[bytes, bytes]
"""Event name (`b""`: the default) and data (its lines joined with LF)."""

DEFAULT_MAX_FRAME_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_OPENS_JSON = (b"{", b"[")
_ERROR_FIELD = b"error:"


class SseFramer:
    """Cuts a byte stream into events. An event without any `data` field is none, by the standard."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._at_start = True
        self._swallow_lf = False
        """The last byte fed was a CR, taken as a line end: an LF that follows is its other half."""
        self.bare_json = b""
        """The last that stood outside of any event and looks like JSON: nothing by the standard, and the way in which
        some gateways say that a stream has failed; llama.cpp did as a field `error`. To be read when a stream has no
        ending, after `finish`."""

    def feed(self, data: bytes) -> list[Frame]:
        """Events that `data` completes. Raises UpstreamProtocolError when one event exceeds the cap."""
        if self._at_start or self._swallow_lf or b"\r" in data:
            data = self._normalise(data)
        if not self._buffer:
            if data[:6] == b"data: " and data.find(b"\n", 6) == len(data) - 2 and data[-1:] == b"\n":
                return [(b"", data[6:-2])]
            blocks = data.split(b"\n\n")
            rest = blocks.pop()
        else:
            blocks, rest = self._complete(data)
        if rest:
            self._keep(rest)
        frames: list[Frame] = []
        for block in blocks:
            if block[:6] == b"data: " and b"\n" not in block:
                frames.append((b"", block[6:]))
            elif block[:7] == b"event: " and (cut := block.find(b"\ndata: ")) > 0 and block.find(b"\n", cut + 1) < 0:
                if block.find(b"\n", 0, cut) < 0:
                    frames.append((block[7:cut], block[cut + 7 :]))
                elif (frame := parse_event(block)) is not None:
                    frames.append(frame)
            elif (frame := parse_event(block)) is not None:
                frames.append(frame)
            else:
                self._keep_json(block)
        return frames

    def finish(self) -> Frame | None:
        """The unterminated event at the end of the body, if it is one.

        The standard discards it; an LLM's last event is worth a look, because some servers omit the final blank line.
        """
        rest, self._buffer = bytes(self._buffer), bytearray()
        frame = parse_event(rest) if rest else None
        if frame is None:
            self._keep_json(rest)
        return frame

    def _keep_json(self, block: bytes) -> None:
        json = block.strip()
        if json.startswith(_ERROR_FIELD):
            json = json[len(_ERROR_FIELD) :].lstrip()
        if json[:1] in _OPENS_JSON:
            self.bare_json = json

    @property
    def is_between_events(self) -> bool:
        """Whether nothing waits for its other half: what is left, if anything, is blank lines and comments."""
        return all(not line or line.startswith(b":") for line in self._buffer.split(b"\n"))

    def _complete(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Blocks and rest when an incomplete event waits: search only what is new."""
        buffer = self._buffer
        buffer += data
        last = buffer.rfind(b"\n\n", max(self._scanned - 1, 0))
        if last < 0:
            self._scanned = len(buffer)
            self._check_size(len(buffer))
            return [], b""
        blocks = bytes(buffer[:last]).split(b"\n\n")
        rest = bytes(buffer[last + 2 :])
        self._buffer = bytearray()
        self._scanned = 0
        return blocks, rest

    def _keep(self, rest: bytes) -> None:
        self._check_size(len(rest))
        self._buffer += rest
        self._scanned = len(self._buffer)

    def _check_size(self, size: int) -> None:
        if size > self._max_frame_bytes:
            raise UpstreamProtocolError(f"one event exceeds {self._max_frame_bytes} bytes")

    def _normalise(self, data: bytes) -> bytes:
        """`data` with every line end as LF. A BOM at the very start goes; it may arrive in pieces."""
        if self._swallow_lf and data:
            self._swallow_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if self._at_start and data:
            data = self._strip_bom(data)
        if b"\r" in data:
            self._swallow_lf = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _strip_bom(self, data: bytes) -> bytes:
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer = bytearray()
            self._scanned = 0
        if data[:3] == _BOM:
            data = data[3:]
        elif _BOM.startswith(data):
            self._buffer += data
            return b""
        self._at_start = False
        return data


def parse_event(block: bytes) -> Frame | None:
    """The event in `block` (its lines, LF between them, no blank line at the end), or `None` if it has no data."""
    name = b""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        if not line or line[:1] == b":":
            continue
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    if not lines:
        return None
    return name, lines[0] if len(lines) == 1 else b"\n".join(lines)


_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_BLANK_LINE = re.compile(_LINE_END + _LINE_END)


class SseSplitter:
    """Holds back an incomplete event and gives everything before it, byte for byte."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._scanned = 0

    def feed(self, data: bytes) -> bytes:
        """All bytes up to the end of the last complete event. Raises UpstreamProtocolError over the cap."""
        if not self._buffer:
            if data[-2:] == b"\n\n":
                return data
            end = self._last_end(data, 0)
            if end < len(data):
                self._buffer += data[end:]
                self._scanned = len(data) - end
                self._check_size()
            return data[:end]
        buffer = self._buffer
        buffer += data
        # Three bytes back: the longest part of a blank line that can lie before the new bytes is CR LF CR.
        end = self._last_end(buffer, max(self._scanned - 3, 0))
        if end == 0:
            self._scanned = len(buffer)
            self._check_size()
            return b""
        whole = bytes(buffer[:end])
        del buffer[:end]
        self._scanned = len(buffer)
        self._check_size()
        return whole

    def finish(self) -> bytes:
        """What is left: an event that never got its blank line."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest

    def _check_size(self) -> None:
        if len(self._buffer) > self._max_frame_bytes:
            raise UpstreamProtocolError(f"one event exceeds {self._max_frame_bytes} bytes")

    @staticmethod
    def _last_end(data: bytes | bytearray, start: int) -> int:
        """Where the last complete event of `data` ends, 0 if none does."""
        if data.find(b"\r", start) < 0:
            found = data.rfind(b"\n\n", start)
            return found + 2 if found >= 0 else 0
        end = 0
        for match in _BLANK_LINE.finditer(data, start):
            end = match.end()
        return end
