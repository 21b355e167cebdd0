"""Reading answers strictly: what a proxy writes on a socket is HTTP/1.1 messages, one after the other, and nothing else."""

import re

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [ -~]*")
FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\t -~]*")
WITHOUT_BODY = {204, 304}


class Incomplete(Exception):
    """The bytes end within a message."""

    def __init__(self, status: int) -> None:
        super().__init__(f"within an answer {status}")
        self.status = status
        """Of the message; 0: its head is not there."""


def statuses(data: bytes, *, is_closed: bool, heads: int = 0) -> list[int]:
    """The status of each whole message in `data`, interim ones left out.

    Raises Incomplete, or ValueError for what is no HTTP. `is_closed`: the connection has ended, which can be the end of
    a body. `heads`: how many answers may be without their body because HEAD was asked.
    """
    found: list[int] = []
    while data:
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not blank:
            raise Incomplete(0)
        status, fields = _head(head)
        if status < 200:
            data = rest
            continue
        if heads and (not rest or STATUS_LINE.match(rest)):
            heads -= 1
            data = rest
        else:
            data = _after_body(status, fields, rest, is_closed=is_closed)
        found.append(status)
    return found


def _head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    first, *lines = head.split(b"\r\n")
    matched = STATUS_LINE.fullmatch(first)
    if matched is None:
        raise ValueError(f"no status line: {first[:200]!r}")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        if not FIELD_LINE.fullmatch(line):
            raise ValueError(f"no header line: {line[:200]!r}")
        name, _, value = line.partition(b":")
        if name.lower() in fields and name.lower() in (b"content-length", b"transfer-encoding", b"content-type"):
            raise ValueError(f"twice: {name!r}")
        fields[name.lower()] = value.strip()
    if b"content-length" in fields and b"transfer-encoding" in fields:
        raise ValueError("a length and a transfer coding")
    return int(matched[1]), fields


def _after_body(status: int, fields: dict[bytes, bytes], rest: bytes, *, is_closed: bool) -> bytes:
    if status in WITHOUT_BODY:
        return rest
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        if len(rest) < length:
            raise Incomplete(status)
        return rest[length:]
    if b"transfer-encoding" in fields:
        return _after_chunks(status, rest)
    if not is_closed:
        raise Incomplete(status)
    return b""


def _after_chunks(status: int, rest: bytes) -> bytes:
    while True:
        size_text, line_end, rest = rest.partition(b"\r\n")
        if not line_end:
            raise Incomplete(status)
        size = int(size_text, 16)
        if len(rest) < size + 2:
            raise Incomplete(status)
        if rest[size : size + 2] != b"\r\n":
            raise ValueError(f"a chunk without its end: {rest[size : size + 10]!r}")
        rest = rest[size + 2 :]
        if not size:
            return rest
