"""What a scripted upstream answers, as data: status, headers, body, and how the body travels.

How it travels is three independent choices: into which pieces the body is cut (each piece is one send, and one chunk of
the chunked coding), how HTTP marks the body's end, and whether the body is cut off on the way.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

Pieces = Callable[[bytes], list[bytes]]
"""Cuts a body; the pieces concatenate to it."""

BEFORE_HEADERS = -1
"""A position in the answer that lies before its first byte, for `Cut.at` and `Answer.holds`."""

HOP_BY_HOP = frozenset({"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"})
"""Recorded headers that belong to the recorder's connection, not to the answer."""


class BodyEnd(StrEnum):
    """How HTTP tells where the body ends."""

    CHUNKED = "chunked"
    LENGTH = "length"
    CLOSE = "close"


class CutHow(StrEnum):
    """How the peer sees an early end."""

    CLEAN = "clean"
    """HTTP says that the body is whole: the last chunk, or a length that was short from the start."""
    FIN = "fin"
    """The connection closes in the middle of the body. With `BodyEnd.CLOSE` this is the same bytes as CLEAN."""
    RST = "rst"


@dataclass(frozen=True)
class Cut:
    """Only the first `at` bytes of the body leave; `BEFORE_HEADERS`: nothing does."""

    at: int
    how: CutHow = CutHow.CLEAN


def whole(body: bytes) -> list[bytes]:
    """The body in one send."""
    return [body] if body else []


def one_byte(body: bytes) -> list[bytes]:
    """Each byte by itself."""
    return [body[index : index + 1] for index in range(len(body))]


def sized(size: int) -> Pieces:
    """Pieces of `size` bytes."""
    return lambda body: [body[start : start + size] for start in range(0, len(body), size)]


def random_pieces(seed: int, largest: int = 200) -> Pieces:
    """Pieces of 1 to `largest` bytes, the same for the same seed."""

    def cut(body: bytes) -> list[bytes]:
        chance = random.Random(seed)
        pieces: list[bytes] = []
        start = 0
        while start < len(body):
            size = chance.randint(1, largest)
            pieces.append(body[start : start + size])
            start += size
        return pieces

    return cut


def sse_events(body: bytes) -> list[bytes]:
    """One piece for each event of a server-sent stream with LF or CRLF line ends."""
    blank = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    parts = body.split(blank)
    rest = parts.pop()
    return [part + blank for part in parts] + ([rest] if rest else [])


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    """Without content-length and transfer-encoding: `body_end` writes those."""
    body: bytes = b""
    pieces: Pieces = whole
    body_end: BodyEnd = BodyEnd.CHUNKED
    cut: Cut | None = None
    interval_s: float = 0.0
    """The pause after each piece. 0: only so long that a peer on the same event loop reads each alone."""
    holds: tuple[int, ...] = field(default=())
    """Body positions where the answer waits for `Exchange.release()`: rising, at most `BEFORE_HEADERS` once."""
    keep_alive: bool = True

    def but(self, **changes: object) -> "Answer":
        """The same answer with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def segments(self) -> list[bytes]:
        """The pieces that leave: cut off at `cut`, and cut anew where a hold stands."""
        limit = len(self.body) if self.cut is None else max(self.cut.at, 0)
        stops = sorted({position for position in self.holds if 0 < position < limit} | {limit})
        segments: list[bytes] = []
        start = 0
        for stop in stops:
            segments.extend(self.pieces(self.body[start:stop]))
            start = stop
        return segments


def sse(body: bytes, **changes: object) -> Answer:
    """A stream of server-sent events."""
    return Answer(headers=(("content-type", "text/event-stream; charset=utf-8"),), body=body).but(**changes)


def json(value: object, status: int = 200, **changes: object) -> Answer:
    """A whole JSON answer, with a content-length as providers send it."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    answer = Answer(status, (("content-type", "application/json"),), body, body_end=BodyEnd.LENGTH)
    return answer.but(**changes)
