"""Reads one HTTP/1.x answer out of bytes, however they are split. No socket, no clock.

llhttp (through httptools) parses; this module decides what llhttp leaves open: which answers have a body, where a body
without a length ends, what an end of the connection means, and how much of everything is too much.

    HEAD --headers complete--> BODY --message complete, or a clean end of a close-delimited body--> DONE
      ^ |
      +-+ informational (1xx) answers, which are dropped

Rules come from RFC 9112. We are stricter in one place: `chunked` is the only transfer coding that is taken, never beside
a length (llhttp sees to that) and never in HTTP/1.0 (section 6.1 calls both an attack). We are laxer in two that it
allows: lines of the head may end in a bare LF (section 2.2), and folded header lines are joined (section 5.2).
"""

import re
from enum import Enum
from functools import lru_cache
from typing import NoReturn

import httptools
import msgspec

from proxy.hub.errors import UpstreamError
from proxy.upstream.faults import FaultCode, cut, protocol, unreachable

MAX_HEAD_BYTES = 64 * 1024
"""Of all heads of an answer, the informational ones included. Node takes 16 KB, nginx 4 or 8."""
MAX_HEADERS = 256
MAX_TRAILERS = 64
MAX_INFORMATIONAL = 32
MAX_FRAMING_BYTES = 64 * 1024
"""Bytes of chunk extensions and trailers without a byte of body between them."""

CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
"""What a header value must not have, LF excepted: llhttp has to be lenient about values to join folded lines."""


class Phase(Enum):
    HEAD = "head"
    BODY = "body"
    DONE = "done"


class Framing(Enum):
    """How the end of the body is found (RFC 9112 section 6.3)."""

    NONE = "none"
    CHUNKED = "chunked"
    LENGTH = "length"
    CLOSE = "close"


class AnswerHead(msgspec.Struct, frozen=True):
    """The final answer's status line and headers."""

    status: int
    http_version: str
    """`1.0` or `1.1`."""
    headers: dict[str, str]
    """Lower-case names. Repeated ones are joined by `, `; of `set-cookie`, which has no list form, only the first."""
    raw_headers: bytes
    """Names and values in turn, joined by LF, in the peer's order and case; one piece, because many streams keep it."""
    framing: Framing


class AnswerReader:
    """One answer. Dead after it raised; after `is_done`, `feed` only notes that more came."""

    __slots__ = (
        "_framing",
        "_framing_bytes",
        "_head_bytes",
        "_informational",
        "_is_head_request",
        "_parser",
        "_peer_stays",
        "_phase",
        "_raw",
        "_refusal",
        "has_extra_bytes",
        "head",
        "is_done",
        "on_body",
        "pieces",
    )

    def __init__(self, method: str) -> None:
        self.head: AnswerHead | None = None
        """Set as soon as the head of the final answer is complete; whoever takes it may clear it."""
        self.is_done = False
        """The message is complete."""
        self.pieces: list[bytes] = []
        """Body that `feed` found, in order. Whoever takes it clears the list."""
        self.has_extra_bytes = False
        """Bytes came after the message: the connection cannot be trusted with another request."""
        self.on_body = self.pieces.append
        self._is_head_request = method == "HEAD"
        self._framing: Framing | None = None
        self._peer_stays = False
        self._phase = Phase.HEAD
        self._raw: list[bytes] = []
        """Names and values in turn: of the head that is being read, then of the trailers."""
        self._head_bytes = 0
        self._framing_bytes = 0
        self._informational = 0
        self._refusal: UpstreamError | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            # Joins folded lines; what else it lets through is caught by CONTROL.
            lenient_headers=True,
            # Only keeps llhttp from refusing what follows `connection: close`; reuse is decided here.
            lenient_keep_alive=True,
            lenient_optional_cr_before_lf=True,
        )

    @property
    def can_keep_alive(self) -> bool:
        """Whether the connection may serve another request: the message is complete, and the peer stays."""
        if self._phase is not Phase.DONE or self.has_extra_bytes or self._framing is Framing.CLOSE:
            return False
        # Of HEAD, llhttp takes what follows for the body that is announced, so that it cannot be noticed.
        return self._peer_stays and not self._is_head_request

    def feed(self, data: memoryview) -> None:
        """Read `data`: sets `head`, fills `pieces`, gets done.

        Raises UpstreamError for what is no acceptable HTTP; `pieces` then has what came before it.
        """
        if self._phase is Phase.BODY:
            self._parse(data)
            if self.pieces:
                self._framing_bytes = 0
                return
            self._framing_bytes += len(data)
            if self._framing_bytes > MAX_FRAMING_BYTES:
                raise protocol(FaultCode.BAD_RESPONSE)
            return
        room = MAX_HEAD_BYTES - self._head_bytes
        self._head_bytes += len(data)
        self._parse(data[:room])
        if len(data) > room:
            if self._phase is Phase.HEAD:
                raise protocol(FaultCode.HEAD_TOO_LARGE)
            self._parse(data[room:])
        if self.pieces and self._phase is Phase.DONE and self._framing is Framing.NONE:
            self.pieces.clear()
            self.has_extra_bytes = True

    def finish(self, *, is_clean: bool) -> None:
        """The connection ended; `is_clean`: by its peer's own wish (FIN, or TLS's close_notify).

        Raises UpstreamError unless the message is complete with that.
        """
        if self._phase is Phase.HEAD:
            raise unreachable(FaultCode.CLOSED)
        if self._phase is Phase.BODY:
            if self._framing is not Framing.CLOSE or not is_clean:
                raise cut(FaultCode.TRUNCATED)
            self._phase = Phase.DONE
            self.is_done = True

    def close(self) -> None:
        """Let go of the parser, which holds this reader in a reference cycle."""
        self._parser = None

    def _parse(self, data: memoryview) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._phase is Phase.DONE:
                self.has_extra_bytes = True
                return
            raise self._refusal or protocol(FaultCode.BAD_RESPONSE) from error
        if len(self._raw) > 2 * MAX_TRAILERS and self._framing is Framing.CHUNKED:
            raise protocol(FaultCode.BAD_RESPONSE)

    # --- llhttp's callbacks. What they raise stops the parser; `_parse` then raises the refusal.

    def on_message_begin(self) -> None:
        if self._phase is Phase.DONE:
            self.has_extra_bytes = True
            raise StopParsing

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw += (name, value)

    def on_headers_complete(self) -> None:
        if self._phase is Phase.DONE:
            return
        assert self._parser is not None
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        # 101 answers an upgrade that we never ask for.
        if version not in ("1.0", "1.1") or status < 100 or status == 101:
            self._refuse(FaultCode.BAD_RESPONSE)
        raw, self._raw = self._raw, []
        if status < 200:
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                self._refuse(FaultCode.BAD_RESPONSE)
            return
        if len(raw) > 2 * MAX_HEADERS:
            self._refuse(FaultCode.HEAD_TOO_LARGE)
        lines = b"\n".join(raw)
        if CONTROL.search(lines) is not None or lines.count(b"\n") >= max(1, len(raw)):
            self._refuse(FaultCode.BAD_RESPONSE)
        headers = _header_dict(raw)
        framing = self._framing = self._framing_of(status, version, headers)
        self._peer_stays = _peer_stays(version, headers.get("connection", ""))
        self.head = AnswerHead(status, version, headers, lines, framing)
        self.is_done = framing is Framing.NONE
        self._phase = Phase.DONE if self.is_done else Phase.BODY

    def on_message_complete(self) -> None:
        if self._phase is Phase.BODY:
            self._phase = Phase.DONE
            self.is_done = True

    def _framing_of(self, status: int, version: str, headers: dict[str, str]) -> Framing:
        if self._is_head_request or status in (204, 304):
            return Framing.NONE
        coding = headers.get("transfer-encoding")
        if coding is None:
            return Framing.LENGTH if "content-length" in headers else Framing.CLOSE
        if coding.lower() != "chunked" or version == "1.0":
            self._refuse(FaultCode.BAD_RESPONSE)
        return Framing.CHUNKED

    def _refuse(self, code: FaultCode) -> NoReturn:
        self._refusal = protocol(code)
        raise StopParsing


class StopParsing(Exception):
    """Makes llhttp stop; never leaves this module."""


def _peer_stays(version: str, connection: str) -> bool:
    """Whether the peer keeps the connection after its answer, by the answer's version and `Connection` header."""
    if not connection:
        return version == "1.1"
    options = {option.strip().lower() for option in connection.split(",")}
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def keep_alive_seconds(header: str) -> float | None:
    """How long the peer will wait for the next request: `timeout=5, max=100` says 5, or 0 when `max` is used up."""
    seconds: float | None = None
    for parameter in header.split(","):
        name, _, value = parameter.strip().lower().partition("=")
        value = value.strip().strip('"')
        if not value.isascii() or not value.isdigit():
            continue
        if name == "max" and int(value) == 0:
            return 0.0
        if name == "timeout":
            seconds = float(value)
    return seconds


def _header_dict(raw: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in zip(raw[::2], raw[1::2], strict=True):
        key = _lower_name(name)
        text = value.strip().decode("latin-1")
        if key not in headers:
            headers[key] = text
        elif key != "set-cookie":
            headers[key] = f"{headers[key]}, {text}"
    return headers


@lru_cache(maxsize=1024)
def _lower_name(name: bytes) -> str:
    """One string for the same name in every stream: many streams keep their headers."""
    return name.decode("ascii").lower()
