"""AWS event frames, written and taken apart by `struct` and `zlib` alone: a second opinion on `framing.aws_eventstream`."""

import json
import struct
import zlib
from collections.abc import Iterator


def frame(payload: bytes, **headers: str) -> bytes:
    """One frame. Header names: `event_type` for `:event-type`."""
    head = b"".join(_header(key, text) for key, text in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return checked + struct.pack(">I", zlib.crc32(checked))


def _header(key: str, text: str) -> bytes:
    name, value = (":" + key.replace("_", "-")).encode(), text.encode()
    return bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value


def event(name: str, payload: object) -> bytes:
    """An event of this type with a JSON payload."""
    return frame(json.dumps(payload).encode(), message_type="event", event_type=name, content_type="application/json")


def exception(name: str, payload: object) -> bytes:
    """A modelled exception in the middle of a stream."""
    return frame(json.dumps(payload).encode(), message_type="exception", exception_type=name)


def split(body: bytes) -> Iterator[tuple[dict[str, str], bytes, int]]:
    """Headers, payload and end of each whole frame; stops at the first that is not."""
    start = 0
    while len(body) - start >= 16:
        total, head = struct.unpack_from(">II", body, start)
        if len(body) - start < total or total < 16 + head:
            return
        yield _headers(body[start + 12 : start + 12 + head]), body[start + 12 + head : start + total - 4], start + total
        start += total


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        size = data[at]
        name = data[at + 1 : at + 1 + size].decode()
        assert data[at + 1 + size] == 7, "only strings are expected"
        (length,) = struct.unpack_from(">H", data, at + 2 + size)
        at += 4 + size
        found[name] = data[at : at + length].decode()
        at += length
    return found


def event_types(body: bytes) -> list[str]:
    return [headers.get(":event-type", "") for headers, _, _ in split(body)]


def ends(body: bytes) -> list[int]:
    return [end for _, _, end in split(body)]
