"""Tool calls whose arguments are still arriving, for dialects that also give them whole at the end.

calls = OpenCalls()
calls.start(0, block); calls.add(0, '{"city":'); calls.add(0, '"Oslo"}')
calls.end(0).json()      b'{"city":"Oslo"}'
"""

from io import StringIO
from typing import Final

import msgspec

from proxy.hub.events import SignatureAdded, ToolCallBlock, ToolKind

MAX_ARGUMENTS_CHARS: Final = 16 * 1024 * 1024
"""Of all open calls of a stream, as large as the largest frame that is accepted. A call that exceeds it has none."""


WAITING_CHARS: Final = 300
"""What a call that waits for its result costs beside its arguments, roughly."""


class OpenCall:
    """One call and what it has had so far."""

    __slots__ = ("block", "pieces", "signature", "size")

    def __init__(self, block: ToolCallBlock) -> None:
        self.block = block
        self.pieces: StringIO | None = StringIO()
        """`None`: there was more than could be kept."""
        self.size = 0
        self.signature: SignatureAdded | None = None

    def text(self) -> str | None:
        """The arguments as they came; `{}` for a function without any. `None`: they were too long."""
        if self.pieces is None:
            return None
        return self.pieces.getvalue() or ("" if self.block.kind is ToolKind.CUSTOM else "{}")

    def json(self) -> bytes | None:
        """The arguments as one JSON value on one line; free text as a string. `None`: they are no JSON, or too long."""
        text = self.text()
        return None if text is None else arguments_json(self.block, text)

    def object_json(self) -> bytes | None:
        """`json`, and what is no object as the one member `input`: for clients that take objects only."""
        json = self.json()
        if json is None or json[:1] == b"{":
            return json
        return b'{"input":%b}' % json


def arguments_json(block: ToolCallBlock, text: str) -> bytes | None:
    """Whole arguments as one JSON value on one line; `None`: they are no JSON."""
    if block.kind is ToolKind.CUSTOM:
        return msgspec.json.encode(text)
    try:
        return msgspec.json.format(text.encode() or b"{}", indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return None


class OpenCalls:
    """The open calls of one stream, by block index."""

    def __init__(self) -> None:
        self._calls: dict[int, OpenCall] = {}
        self._waiting: dict[str, OpenCall] = {}
        """Calls of the provider's own tools, whole, by id."""
        self._size = 0

    def __contains__(self, index: int) -> bool:
        return index in self._calls

    def start(self, index: int, block: ToolCallBlock) -> None:
        self._calls[index] = OpenCall(block)

    def add(self, index: int, piece: str) -> None:
        call = self._calls[index]
        if call.pieces is None:
            return
        call.size += call.pieces.write(piece)
        self._size += len(piece)
        if self._size > MAX_ARGUMENTS_CHARS:
            self._size -= call.size
            call.pieces = None

    def sign(self, index: int, signature: SignatureAdded) -> None:
        self._calls[index].signature = signature

    def end(self, index: int) -> OpenCall:
        """The call, which is open no more."""
        call = self._calls.pop(index)
        if call.pieces is not None:
            self._size -= call.size
        return call

    def hold(self, index: int) -> None:
        """End the call, and keep it until `release`. One that is too long to keep with all others is forgotten."""
        call = self.end(index)
        self.release(call.block.id)
        call.size += WAITING_CHARS
        if call.pieces is not None and self._size + call.size <= MAX_ARGUMENTS_CHARS:
            self._size += call.size
            self._waiting[call.block.id] = call

    def release(self, id: str) -> OpenCall | None:
        """The held call of this id, once."""
        call = self._waiting.pop(id, None)
        if call is not None:
            self._size -= call.size
        return call
