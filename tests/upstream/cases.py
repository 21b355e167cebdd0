"""Answers and faults as bytes, with what they must come to. Every case runs whole, in pieces and in random splits."""

import gzip
import zlib
from dataclasses import dataclass, field
from enum import Enum

from proxy.hub.errors import ErrorKind
from proxy.upstream import FaultCode
from proxy.upstream.answer import MAX_HEAD_BYTES, MAX_HEADERS, MAX_INFORMATIONAL, MAX_TRAILERS


class End(Enum):
    """What the server does after the last byte."""

    STAY = "stay"
    FIN = "fin"
    RST = "rst"


class Stage(Enum):
    """Where an error comes out."""

    HEAD = "head"
    BODY = "body"


@dataclass(frozen=True)
class Error:
    stage: Stage
    kind: ErrorKind
    code: FaultCode


@dataclass(frozen=True)
class Case:
    name: str
    answer: bytes
    body: bytes = b""
    """What the receiver gets, errors or not."""
    error: Error | None = None
    end: End = End.STAY
    is_kept: bool = False
    """Whether the connection may serve another request."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """Some of the headers."""
    method: str = "POST"

    def __str__(self) -> str:
        return self.name


BAD_HEAD = Error(Stage.HEAD, ErrorKind.PROTOCOL, FaultCode.BAD_RESPONSE)
LARGE_HEAD = Error(Stage.HEAD, ErrorKind.PROTOCOL, FaultCode.HEAD_TOO_LARGE)
CLOSED = Error(Stage.HEAD, ErrorKind.UNREACHABLE, FaultCode.CLOSED)
RESET = Error(Stage.HEAD, ErrorKind.UNREACHABLE, FaultCode.RESET)
BAD_BODY = Error(Stage.BODY, ErrorKind.PROTOCOL, FaultCode.BAD_RESPONSE)
BAD_ENCODING = Error(Stage.BODY, ErrorKind.PROTOCOL, FaultCode.BAD_ENCODING)
TOO_LARGE = Error(Stage.BODY, ErrorKind.PROTOCOL, FaultCode.TOO_LARGE)
TRUNCATED = Error(Stage.BODY, ErrorKind.CUT, FaultCode.TRUNCATED)
BODY_RESET = Error(Stage.BODY, ErrorKind.CUT, FaultCode.RESET)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TEXT = b"data: {}\n\n" * 20
ZIPPED = gzip.compress(TEXT)


def chunked(*pieces: bytes) -> bytes:
    """`pieces` as chunks, without the last one."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def of_length(body: bytes, *lines: bytes) -> bytes:
    """A 200 with a length and more header lines."""
    return OK + b"".join(line + b"\r\n" for line in lines) + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def head_of_size(size: int) -> bytes:
    """A 200 without a body whose head has exactly `size` bytes."""
    start, end = OK + b"Content-Length: 0\r\nX-Fill: ", b"\r\n\r\n"
    return start + b"f" * (size - len(start) - len(end)) + end


LAST = b"0\r\n\r\n"

FRAMING = [
    Case("length", of_length(b"hello"), b"hello", is_kept=True),
    Case("length_zero", of_length(b""), is_kept=True),
    Case("length_with_zeros_before", OK + b"Content-Length: 005\r\n\r\nhello", b"hello", is_kept=True),
    Case("chunked", CHUNKED + chunked(b"hello, ", b"world") + LAST, b"hello, world", is_kept=True),
    Case("chunked_empty", CHUNKED + LAST, is_kept=True),
    Case(
        "chunk_size_in_capitals_with_zeros", CHUNKED + b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789", is_kept=True
    ),
    Case("chunk_extensions", CHUNKED + b'5;a=b;c="d;e"\r\nhello\r\n0;z\r\n\r\n', b"hello", is_kept=True),
    Case("trailers", CHUNKED + chunked(b"hi") + b"0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n", b"hi", is_kept=True),
    Case(
        "coding_name_in_capitals",
        OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n" + chunked(b"hi") + LAST,
        b"hi",
        is_kept=True,
    ),
    Case("close_delimited", OK + b"X-A: b\r\n\r\nhello", b"hello", end=End.FIN, headers={"x-a": "b"}),
    Case("close_delimited_empty", OK + b"X-A: b\r\n\r\n", end=End.FIN),
    Case("no_headers_at_all", OK + b"\r\nhello", b"hello", end=End.FIN),
    Case("no_reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", is_kept=True),
    Case("http_1_0", b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", end=End.FIN),
    Case("http_1_0_with_length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Case(
        "http_1_0_kept",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi",
        b"hi",
        is_kept=True,
    ),
    Case("connection_close", of_length(b"hi", b"Connection: close"), b"hi"),
    Case("connection_close_among_others", of_length(b"hi", b"Connection: x, Close"), b"hi"),
    Case("keep_alive_used_up", of_length(b"hi", b"Keep-Alive: timeout=5, max=0"), b"hi"),
    Case("keep_alive_zero_seconds", of_length(b"hi", b"Keep-Alive: timeout=0"), b"hi"),
    Case("keep_alive_nonsense", of_length(b"hi", b"Keep-Alive: timeout=\xb2, max"), b"hi", is_kept=True),
    Case("no_content", b"HTTP/1.1 204 No Content\r\n\r\n", status=204, is_kept=True),
    Case("not_modified_with_length", b"HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n", status=304, is_kept=True),
    Case("no_content_with_coding", b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", status=204, is_kept=True),
    Case("head_request", OK + b"Content-Length: 99\r\n\r\n", method="HEAD"),
    Case("head_request_chunked", CHUNKED, method="HEAD"),
    Case("head_request_close_delimited", OK + b"\r\n", method="HEAD"),
    Case("error_status", b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nhi", b"hi", status=503, is_kept=True),
    Case(
        "redirect_is_not_followed",
        b"HTTP/1.1 302 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        status=302,
        is_kept=True,
        headers={"location": "/"},
    ),
]

INFORMATIONAL = [
    Case("continue", b"HTTP/1.1 100 Continue\r\n\r\n" + of_length(b"hi"), b"hi", is_kept=True),
    Case(
        "early_hints",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-A: early\r\n\r\n" + of_length(b"hi", b"X-A: late"),
        b"hi",
        is_kept=True,
        headers={"x-a": "late"},
    ),
    Case(
        "informational_with_length",
        b"HTTP/1.1 102 P\r\nContent-Length: 3\r\n\r\n" + of_length(b"hi"),
        b"hi",
        is_kept=True,
    ),
    Case(
        "informational_with_close",
        b"HTTP/1.1 100 C\r\nConnection: close\r\n\r\n" + of_length(b"hi"),
        b"hi",
        is_kept=True,
    ),
    Case("informational_http_1_0", b"HTTP/1.0 100 C\r\n\r\n" + of_length(b"hi"), b"hi", is_kept=True),
    Case("many_informational", b"HTTP/1.1 102 P\r\n\r\n" * MAX_INFORMATIONAL + of_length(b"hi"), b"hi", is_kept=True),
    Case("too_many_informational", b"HTTP/1.1 102 P\r\n\r\n" * (MAX_INFORMATIONAL + 1), error=BAD_HEAD),
    Case("fin_after_informational", b"HTTP/1.1 100 C\r\n\r\n", error=CLOSED, end=End.FIN),
    Case(
        "switching_protocols",
        b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
        error=BAD_HEAD,
    ),
    Case("switching_protocols_without_upgrade", b"HTTP/1.1 101 S\r\n\r\n", error=BAD_HEAD),
    Case(
        "upgrade_offered",
        of_length(b"hi", b"Upgrade: h2c", b"Connection: upgrade"),
        b"hi",
        is_kept=True,
    ),
]

HEADERS = [
    Case(
        "folded_lines",
        of_length(b"hi", b"X-A: one\r\n two\r\n\tthree", b"X-B: 2 "),
        b"hi",
        is_kept=True,
        headers={"x-a": "one two\tthree", "x-b": "2"},
    ),
    Case(
        "lf_only_head", b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nhi", b"hi", is_kept=True, headers={"x-a": "b"}
    ),
    Case("empty_lines_before", b"\r\n\r\n" + of_length(b"hi"), b"hi", is_kept=True),
    Case(
        "repeated_headers",
        of_length(b"", b"Via: a", b"X: 1", b"via: b", b"Set-Cookie: c=1", b"Set-Cookie: d=2"),
        is_kept=True,
        headers={"via": "a, b", "x": "1", "set-cookie": "c=1"},
    ),
    Case("latin_1_value", of_length(b"", b"X-A: caf\xe9"), is_kept=True, headers={"x-a": "caf\xe9"}),
    Case("empty_value", of_length(b"", b"X-A:"), is_kept=True, headers={"x-a": ""}),
    Case("head_at_the_limit", head_of_size(MAX_HEAD_BYTES), is_kept=True),
    Case("head_over_the_limit", head_of_size(MAX_HEAD_BYTES + 1), error=LARGE_HEAD),
    Case("endless_header", OK + b"X-A: " + b"a" * (2 * MAX_HEAD_BYTES), error=LARGE_HEAD),
    Case("endless_reason", b"HTTP/1.1 200 " + b"a" * (2 * MAX_HEAD_BYTES), error=LARGE_HEAD),
    Case("headers_at_the_limit", of_length(b"", *[b"A: b"] * (MAX_HEADERS - 1)), is_kept=True),
    Case("too_many_headers", of_length(b"", *[b"A: b"] * MAX_HEADERS), error=LARGE_HEAD),
    Case("space_before_colon", of_length(b"hi", b"X-A : b"), error=BAD_HEAD),
    Case("no_colon", of_length(b"hi", b"X-A"), error=BAD_HEAD),
    Case("no_name", of_length(b"hi", b": b"), error=BAD_HEAD),
    Case("nul_in_value", of_length(b"hi", b"X-A: b\x00c"), error=BAD_HEAD),
    Case("control_in_value", of_length(b"hi", b"X-A: b\x01c"), error=BAD_HEAD),
    Case("cr_in_value", of_length(b"hi", b"X-A: b\rc"), error=BAD_HEAD),
    Case("non_ascii_name", of_length(b"hi", b"X-\xe9: b"), error=BAD_HEAD),
]

REFUSED = [
    Case("length_then_coding", OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST, error=BAD_HEAD),
    Case("coding_then_length", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + LAST, error=BAD_HEAD),
    Case("two_lengths", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", error=BAD_HEAD),
    Case("list_of_lengths", OK + b"Content-Length: 2, 2\r\n\r\nhi", error=BAD_HEAD),
    Case("negative_length", OK + b"Content-Length: -2\r\n\r\nhi", error=BAD_HEAD),
    Case("plus_length", OK + b"Content-Length: +2\r\n\r\nhi", error=BAD_HEAD),
    Case("folded_length", OK + b"Content-Length: 1\r\n 0\r\n\r\nhi", error=BAD_HEAD),
    Case("empty_length", OK + b"Content-Length:\r\n\r\nhi", error=BAD_HEAD),
    Case("huge_length", OK + b"Content-Length: 99999999999999999999\r\n\r\nhi", error=BAD_HEAD),
    Case("coding_before_chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + LAST, error=BAD_HEAD),
    Case("coding_after_chunked", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + LAST, error=BAD_HEAD),
    Case("coding_unknown", OK + b"Transfer-Encoding: identity\r\n\r\nhi", error=BAD_HEAD),
    Case("coding_twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + LAST, error=BAD_HEAD),
    Case(
        "coding_in_two_headers",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        error=BAD_HEAD,
    ),
    Case("coding_folded_apart", OK + b"Transfer-Encoding: x,\r\n chunked\r\n\r\n" + LAST, error=BAD_HEAD),
    Case("coding_in_http_1_0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST, error=BAD_HEAD),
    Case("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01", error=BAD_HEAD),
    Case("text_without_head", b"hello, this is HTTP/0.9\r\n", error=BAD_HEAD),
    Case("version_2", b"HTTP/2.0 200 OK\r\n\r\n", error=BAD_HEAD),
    Case("version_0_9", b"HTTP/0.9 200 OK\r\n\r\n", error=BAD_HEAD),
    Case("version_1_2", b"HTTP/1.2 200 OK\r\n\r\n", error=BAD_HEAD),
    Case("status_of_two_digits", b"HTTP/1.1 20 OK\r\n\r\n", error=BAD_HEAD),
    Case("status_under_100", b"HTTP/1.1 099 OK\r\n\r\n", error=BAD_HEAD),
    Case("status_of_letters", b"HTTP/1.1 2xx OK\r\n\r\n", error=BAD_HEAD),
]

BROKEN = [
    Case("fin_at_once", b"", error=CLOSED, end=End.FIN),
    Case("fin_in_status_line", b"HTTP/1.1 2", error=CLOSED, end=End.FIN),
    Case("fin_in_headers", OK + b"X-A: b\r\n", error=CLOSED, end=End.FIN),
    Case("fin_before_last_lf_of_head", OK + b"X-A: b\r\n\r", error=CLOSED, end=End.FIN),
    Case("rst_at_once", b"", error=RESET, end=End.RST),
    Case("rst_in_headers", OK + b"X-A: b\r\n", error=RESET, end=End.RST),
    Case("fin_before_body", CHUNKED, error=TRUNCATED, end=End.FIN),
    Case("fin_in_chunk_size", CHUNKED + chunked(b"hi") + b"5", b"hi", TRUNCATED, End.FIN),
    Case("fin_in_chunk", CHUNKED + b"5\r\nhel", b"hel", TRUNCATED, End.FIN),
    Case("fin_after_chunk_data", CHUNKED + b"5\r\nhello", b"hello", TRUNCATED, End.FIN),
    Case("fin_between_chunks", CHUNKED + chunked(b"hello"), b"hello", TRUNCATED, End.FIN),
    Case("fin_after_last_chunk_size", CHUNKED + chunked(b"hello") + b"0\r\n", b"hello", TRUNCATED, End.FIN),
    Case("fin_in_trailers", CHUNKED + chunked(b"hello") + b"0\r\nX-A: b", b"hello", TRUNCATED, End.FIN),
    Case("fin_short_of_length", OK + b"Content-Length: 9\r\n\r\nhello", b"hello", TRUNCATED, End.FIN),
    Case("rst_in_chunk", CHUNKED + b"5\r\nhel", b"hel", BODY_RESET, End.RST),
    Case("rst_short_of_length", OK + b"Content-Length: 9\r\n\r\nhello", b"hello", BODY_RESET, End.RST),
    Case("rst_in_close_delimited", OK + b"X-A: b\r\n\r\nhello", b"hello", BODY_RESET, End.RST),
    Case("chunk_size_of_letters", CHUNKED + chunked(b"hi") + b"zz\r\n", b"hi", BAD_BODY),
    Case("chunk_size_with_0x", CHUNKED + chunked(b"hi") + b"0x5\r\nhello", b"hi", BAD_BODY),
    Case("chunk_size_negative", CHUNKED + b"-5\r\nhello", error=BAD_BODY),
    Case("chunk_size_overflow", CHUNKED + b"fffffffffffffffff\r\nhello", error=BAD_BODY),
    Case("chunk_size_missing", CHUNKED + b"\r\nhello", error=BAD_BODY),
    Case("chunk_size_with_bare_lf", CHUNKED + b"5\nhello\r\n", error=BAD_BODY),
    Case("chunk_longer_than_its_size", CHUNKED + b"5\r\nhelloX\r\n", b"hello", BAD_BODY),
    Case("endless_chunk_extension", CHUNKED + chunked(b"hi") + b"5;" + b"a" * 200_000, b"hi", BAD_BODY),
    Case("endless_trailer", CHUNKED + chunked(b"hi") + b"0\r\nX-A: " + b"a" * 200_000, b"hi", BAD_BODY),
    Case("too_many_trailers", CHUNKED + chunked(b"hi") + b"0\r\n" + b"A: b\r\n" * (MAX_TRAILERS + 2), b"hi", BAD_BODY),
]

EXTRA = [
    Case("garbage_after_length", of_length(b"hi") + b"X", b"hi"),
    Case("garbage_after_chunked", CHUNKED + chunked(b"hi") + LAST + b"0\r\n\r\n", b"hi"),
    Case("second_answer", of_length(b"hi") + of_length(b"evil"), b"hi"),
    Case("body_after_no_content", b"HTTP/1.1 204 N\r\nContent-Length: 3\r\n\r\nabc", status=204),
    Case("body_after_head_request", of_length(b"hi"), method="HEAD"),
    Case("trailers_after_head_request", CHUNKED + b"0\r\n" + b"A: b\r\n" * (MAX_TRAILERS + 2), method="HEAD"),
    Case("garbage_after_close", of_length(b"hi", b"Connection: close") + b"X", b"hi"),
]

ENCODED = [
    Case(
        "gzip",
        of_length(ZIPPED, b"Content-Encoding: gzip", b"X-A: b"),
        TEXT,
        is_kept=True,
        headers={"x-a": "b"},
    ),
    Case("gzip_by_its_old_name", of_length(ZIPPED, b"Content-Encoding: X-GZip"), TEXT, is_kept=True),
    Case(
        "gzip_chunked",
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(ZIPPED[:9], ZIPPED[9:]) + LAST,
        TEXT,
        is_kept=True,
    ),
    Case("gzip_close_delimited", OK + b"Content-Encoding: gzip\r\n\r\n" + ZIPPED, TEXT, end=End.FIN),
    Case("gzip_of_nothing", of_length(gzip.compress(b""), b"Content-Encoding: gzip"), is_kept=True),
    Case("gzip_without_body", of_length(b"", b"Content-Encoding: gzip"), is_kept=True),
    Case("gzip_two_members", of_length(ZIPPED + ZIPPED, b"Content-Encoding: gzip"), TEXT * 2, is_kept=True),
    Case("deflate_zlib", of_length(zlib.compress(TEXT), b"Content-Encoding: deflate"), TEXT, is_kept=True),
    Case("deflate_raw", of_length(raw_deflate(TEXT), b"Content-Encoding: deflate"), TEXT, is_kept=True),
    Case("identity", of_length(TEXT, b"Content-Encoding: identity"), TEXT, is_kept=True),
    Case("brotli_without_body", of_length(b"", b"Content-Encoding: br"), is_kept=True),
    Case("brotli", OK + b"Content-Encoding: br\r\nContent-Length: 9\r\n\r\nabc", error=BAD_ENCODING),
    Case("two_encodings", OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: 9\r\n\r\nabc", error=BAD_ENCODING),
    Case("gzip_damaged", OK + b"Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\nnot gzip!!", error=BAD_ENCODING),
]
"""Those without an error of their own kind; what breaks off is in UNEVEN."""

UNEVEN = [
    Case("gzip_truncated", of_length(ZIPPED[:-4], b"Content-Encoding: gzip"), TEXT, TRUNCATED),
    Case("gzip_wrong_checksum", of_length(ZIPPED[:-8] + b"\0" * 8, b"Content-Encoding: gzip"), TEXT, BAD_ENCODING),
    Case(
        "deflate_truncated_to_a_byte", of_length(zlib.compress(TEXT)[:1], b"Content-Encoding: deflate"), b"", TRUNCATED
    ),
    Case("gzip_bomb", of_length(gzip.compress(b"\0" * (32 << 20)), b"Content-Encoding: gzip"), b"", TOO_LARGE),
]
"""How much of the body is out when the error is found depends on where the reads end."""

CASES = [*FRAMING, *INFORMATIONAL, *HEADERS, *REFUSED, *BROKEN, *EXTRA, *ENCODED]
