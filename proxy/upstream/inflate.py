"""Undoes `content-encoding: gzip` and `deflate`, read by read, within bounds.

We ask for `identity`; some servers and CDNs compress all the same. Each call gives everything that the bytes so far can
give, so that no event waits for the next one inside the decompressor.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

from proxy.upstream.faults import FaultCode, cut, protocol

MAX_READ_BYTES = 4 * 1024 * 1024
"""Decompressed bytes of one read (64 KB). A stream of events stays below 100 KB; deflate itself could reach 64 MB."""
MAX_RATIO = 100
"""Decompressed to compressed, over the whole body; text and JSON stay below 40, deflate's own limit is 1030."""
FREE_BYTES = 1024 * 1024
"""Decompressed bytes for which the ratio does not matter."""

GZIP_BITS = 16 + zlib.MAX_WBITS
ZLIB_BITS = zlib.MAX_WBITS
RAW_BITS = -zlib.MAX_WBITS


class BodyDecoder(Protocol):
    """Undoes one content encoding. Dead after it raised."""

    def feed(self, data: bytes) -> bytes:
        """Everything that can be decoded by now, `b""` when that is nothing. Raises UpstreamError."""
        ...

    def finish(self) -> None:
        """Check that the body was whole. Raises UpstreamError when it was not."""
        ...


def body_decoder(content_encoding: str) -> BodyDecoder | None:
    """What reads a body with this `content-encoding` header; `None` for an identity body."""
    match content_encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Inflater(lambda head: GZIP_BITS, head_bytes=0)
        case "deflate":
            return Inflater(_deflate_bits, head_bytes=2)
        case _:
            return Unreadable()


def _deflate_bits(head: bytes) -> int:
    """RFC 9110 means zlib's format by `deflate`, and some servers send the bare one: zlib's header tells them apart."""
    is_zlib = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
    return ZLIB_BITS if is_zlib else RAW_BITS


class Unreadable:
    """Stands for an encoding that we cannot read (`br`, `zstd`, two on top of each other): any body is an error."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        raise protocol(FaultCode.BAD_ENCODING)

    def finish(self) -> None:
        pass


class Inflater:
    """Reads one gzip or deflate body."""

    __slots__ = ("_bits_of", "_decompressor", "_head", "_head_bytes", "_read_bytes", "_written_bytes")

    def __init__(self, bits_of: Callable[[bytes], int], *, head_bytes: int) -> None:
        self._bits_of = bits_of
        self._head_bytes = head_bytes
        """How many bytes `bits_of` must see before it can tell the format."""
        self._head: bytes = b""
        self._decompressor = None if head_bytes else zlib.decompressobj(bits_of(b""))
        self._read_bytes = 0
        self._written_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """As BodyDecoder; raises when `data` is not in the format, or grows beyond the bounds."""
        self._read_bytes += len(data)
        if self._decompressor is None:
            data = self._head + data
            if len(data) < self._head_bytes:
                self._head = data
                return b""
            self._head = b""
            self._decompressor = zlib.decompressobj(self._bits_of(data))
        try:
            out = self._inflate(data)
        except zlib.error as error:
            raise protocol(FaultCode.BAD_ENCODING) from error
        self._written_bytes += len(out)
        allowed = max(FREE_BYTES, self._read_bytes * MAX_RATIO)
        if len(out) > MAX_READ_BYTES or self._written_bytes > allowed:
            raise protocol(FaultCode.TOO_LARGE)
        return out

    def finish(self) -> None:
        """As BodyDecoder; an empty body is whole."""
        is_empty = not self._read_bytes
        is_whole = self._decompressor is not None and self._decompressor.eof
        if not is_empty and not is_whole:
            raise cut(FaultCode.TRUNCATED)

    def _inflate(self, data: bytes) -> bytes:
        assert self._decompressor is not None
        pieces: list[bytes] = []
        room = MAX_READ_BYTES + 1
        while data and room > 0:
            if self._decompressor.eof:
                # RFC 1952: members may follow each other, and the body is all of their contents.
                self._decompressor = zlib.decompressobj(self._bits_of(data))
            piece = self._decompressor.decompress(data, room)
            pieces.append(piece)
            room -= len(piece)
            data = self._decompressor.unused_data
        return b"".join(pieces)
