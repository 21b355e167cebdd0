"""A JSON array that arrives in pieces, element by element: how Gemini streams when it is not asked for events.

    [{…}          the bracket and the first element, as soon as there is one
    ,\\r\\n{…}      a comma and the next one, each time there is more
    ]             the end of a whole answer

Two readers over the same scanner:

* `JsonArrayFramer` gives the elements to a decoder, as JSON text.
* `JsonArraySplitter` gives back the raw bytes up to the end of the last whole element, for relaying them untouched.

A body that is one object instead of an array counts as an array of it: errors come that way. Elements are objects;
what is inside them is not checked. Each byte is scanned once, whatever the split.
"""

import re
from enum import IntEnum

from proxy.framing.sse import DEFAULT_MAX_FRAME_BYTES
from proxy.hub.errors import UpstreamProtocolError


class _Phase(IntEnum):
    START = 0
    """Nothing has come yet but white space."""
    FIRST = 1
    """After the opening bracket."""
    NEXT = 2
    """After a comma."""
    INSIDE = 3
    AFTER = 4
    """Between an element and the comma or bracket that must follow it."""
    OVER = 5


class _Mark(IntEnum):
    BEGIN = 0
    """An element begins at this offset."""
    END = 1
    """An element ends before this offset."""
    OVER = 2
    """The array ends before this offset."""


_BLANK = re.compile(rb"[ \t\r\n]*+")
_BLANK_AT_START = re.compile(rb"[ \t\r\n\xef\xbb\xbf]*+")
"""White space and a byte order mark, in any pieces."""
_PLAIN = re.compile(rb'[^"{}\[\]]*+')
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)

_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
_OPEN_ARRAY, _CLOSE_ARRAY, _OPEN_OBJECT = b"[]{"


class _Scanner:
    """Finds where elements begin and end. Knows only brackets and strings."""

    def __init__(self) -> None:
        self.phase = _Phase.START
        self._is_array = True
        self._depth = 0
        self._in_string = False
        self._escaped = False
        """The last byte scanned was a backslash in a string."""

    def scan(self, data: bytes) -> list[tuple[_Mark, int]]:
        """The marks in `data`, in order. Raises UpstreamProtocolError where no element can be."""
        marks: list[tuple[_Mark, int]] = []
        position = 0
        while position < len(data) and self.phase is not _Phase.OVER:
            if self.phase is _Phase.INSIDE:
                position = self._scan_element(data, position, marks)
            else:
                position = self._scan_between(data, position, marks)
        return marks

    def _scan_element(self, data: bytes, position: int, marks: list[tuple[_Mark, int]]) -> int:
        if self._in_string:
            return self._scan_string(data, position)
        position = _end(_PLAIN, data, position)
        if position == len(data):
            return position
        byte = data[position]
        position += 1
        if byte == _QUOTE:
            self._in_string = True
        elif byte in (_OPEN_OBJECT, _OPEN_ARRAY):
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth == 0:
                marks.append((_Mark.END, position))
                self.phase = _Phase.AFTER if self._is_array else _Phase.OVER
        return position

    def _scan_string(self, data: bytes, position: int) -> int:
        if self._escaped:
            self._escaped = False
            return position + 1
        position = _end(_STRING, data, position)
        if position == len(data):
            return position
        self._escaped = data[position] == _BACKSLASH
        self._in_string = self._escaped
        return position + 1

    def _scan_between(self, data: bytes, position: int, marks: list[tuple[_Mark, int]]) -> int:
        position = _end(_BLANK_AT_START if self.phase is _Phase.START else _BLANK, data, position)
        if position == len(data):
            return position
        byte = data[position]
        if byte == _OPEN_OBJECT and self.phase is not _Phase.AFTER:
            self._is_array = self.phase is not _Phase.START
            self.phase = _Phase.INSIDE
            self._depth = 1
            marks.append((_Mark.BEGIN, position))
        elif byte == _OPEN_ARRAY and self.phase is _Phase.START:
            self.phase = _Phase.FIRST
        elif byte == _COMMA and self.phase is _Phase.AFTER:
            self.phase = _Phase.NEXT
        elif byte == _CLOSE_ARRAY and self.phase is not _Phase.START:
            self.phase = _Phase.OVER
            marks.append((_Mark.OVER, position + 1))
        else:
            raise UpstreamProtocolError(f"a JSON array of objects was expected, found byte {byte:#04x} between them")
        return position + 1


def _end(pattern: re.Pattern[bytes], data: bytes, position: int) -> int:
    found = pattern.match(data, position)
    return found.end() if found is not None else position


class JsonArrayFramer:
    """Cuts an array into its elements."""

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._scanner = _Scanner()
        self._buffer = bytearray()
        """The element that has begun and not ended."""

    @property
    def is_whole(self) -> bool:
        """Whether the array has been closed (or the one object has ended)."""
        return self._scanner.phase is _Phase.OVER

    def feed(self, data: bytes) -> list[bytes]:
        """Elements that `data` completes. Raises UpstreamProtocolError on other JSON, or when an element exceeds the cap."""
        begin = 0 if self._scanner.phase is _Phase.INSIDE else -1
        elements: list[bytes] = []
        for mark, offset in self._scanner.scan(data):
            if mark is _Mark.BEGIN:
                begin = offset
            elif mark is _Mark.END:
                elements.append(bytes(self._buffer) + data[begin:offset])
                self._buffer.clear()
                begin = -1
        if begin >= 0:
            self._buffer += data[begin:]
            if len(self._buffer) > self._max_frame_bytes:
                raise UpstreamProtocolError(f"one element exceeds {self._max_frame_bytes} bytes")
        return elements


class JsonArraySplitter:
    """Holds back an element that is not whole, with the comma in front of it, and gives everything before it.

    The closing bracket is held back until the end of the body: before it, more elements may be added, such as an error.
    """

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._scanner = _Scanner()
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """All bytes up to the end of the last whole element. Raises as `JsonArrayFramer.feed` does."""
        cut = 0
        for mark, offset in self._scanner.scan(data):
            if mark is _Mark.END:
                cut = offset
        whole = b""
        if cut:
            whole = bytes(self._buffer) + data[:cut]
            self._buffer.clear()
        self._buffer += data[cut:]
        if len(self._buffer) > self._max_frame_bytes:
            raise UpstreamProtocolError(f"one element exceeds {self._max_frame_bytes} bytes")
        return whole

    def finish(self) -> bytes:
        """What is left: the end of the array, or an element that never ended."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest
