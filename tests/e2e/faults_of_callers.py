"""Faults of callers: how they send a request. How they leave and how slowly they read is in `LEAVING`."""

from collections.abc import Callable

from tests.e2e.fault_row import CallerRow, Drip, Steps, Then

HOST = b"Host: proxy\r\n"
TYPE = b"Content-Type: application/json\r\n"
MAX_BODY_BYTES = 1 << 20
HEADER_TIMEOUT_S = 0.5
BODY_TIMEOUT_S = 0.5
COMPLETED = {"status": 200, "outcome": "completed", "requests": 1}

Build = Callable[[str, str], Steps]


def post(path: str, body: bytes, *lines: bytes, start: bytes = b"", length: bool = True) -> bytes:
    """A POST with these further header lines."""
    head = (start or f"POST {path} HTTP/1.1".encode()) + b"\r\n" + HOST + TYPE
    head += b"".join(line + b"\r\n" for line in lines)
    if length:
        head += b"Content-Length: %d\r\n" % len(body)
    return head + b"\r\n" + body


def _with(*lines: bytes, length: bool = True) -> Build:
    return lambda path, body: (post(path, body.encode(), *lines, length=length),)


def _body(change: Callable[[str], bytes]) -> Build:
    return lambda path, body: (post(path, change(body)),)


def _chunked(*pieces: bytes) -> Build:
    return lambda path, body: (post(path, b"".join(pieces), b"Transfer-Encoding: chunked", length=False),)


def _broken_head(name: str, fault: str, request: Build, status: int = 400) -> CallerRow:
    """Refused by the HTTP parser: answered, closed, and no call."""
    return CallerRow(name, fault, request, status, None, closes=True)


def _refused(name: str, fault: str, request: Build, status: int = 400, says: str = "", **more: bool) -> CallerRow:
    return CallerRow(name, fault, request, status, "refused", says=says, **more)


FRAMING = [
    _broken_head("length_and_chunked", "a length and a transfer coding", _with(b"Transfer-Encoding: chunked")),
    _broken_head("two_lengths", "two lengths", _with(b"Content-Length: 7")),
    _broken_head("plus_length", "a length with a sign", _with(b"Content-Length: +4", length=False)),
    _broken_head("space_before_colon", "a space before a header's colon", _with(b"X-A : b")),
    _broken_head("folded_header", "a header over two lines", _with(b"X-A: one\r\n two")),
    _broken_head("nul_in_header", "NUL in a header", _with(b"X-A: b\x00c")),
    _broken_head("bare_cr", "a bare CR in a header", _with(b"X-A: b\rX-B: c")),
    _broken_head("no_host", "no Host", lambda path, body: (post(path, body.encode()).replace(HOST, b""),)),
    _broken_head("two_hosts", "two Hosts", _with(b"Host: other")),
    _broken_head("long_header", "a header of 64 KB", _with(b"X-A: " + b"a" * 65536)),
    _broken_head("many_headers", "a thousand headers", _with(*[b"X-A: b"] * 1000)),
    _broken_head("long_path", "a path of 64 KB", lambda path, body: (post(path + "a" * 65536, body.encode()),)),
    _broken_head(
        "coding_before_chunked", "gzip before chunked", _with(b"Transfer-Encoding: gzip, chunked", length=False)
    ),
    _broken_head(
        "coding_in_http_1_0",
        "a transfer coding in HTTP/1.0",
        lambda path, body: (
            post(
                path,
                b"0\r\n\r\n",
                b"Transfer-Encoding: chunked",
                start=b"POST %b HTTP/1.0" % path.encode(),
                length=False,
            ),
        ),
    ),
    *(
        _broken_head(
            f"http_{version.replace('.', '_')}",
            f"a request of HTTP/{version}, which is not spoken here",
            lambda path, body, version=version: (
                post(path, body.encode(), start=f"POST {path} HTTP/{version}".encode()),
            ),
        )
        for version in ("0.9", "1.2", "2.0")
    ),
    _broken_head("http_2", "the preface of HTTP/2", lambda path, body: (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",)),
    _broken_head(
        "tls",
        "a TLS hello",
        lambda path, body: (bytes.fromhex("16030100c8010000c40303") + b"\x01" * 100 + b"\r\n\r\n",),
    ),
    _broken_head("garbage", "bytes that are no HTTP", lambda path, body: (b"\x00\x01\x02\xff\r\n\r\n",)),
    CallerRow("chunk_size_0x", "a chunk size with 0x", _chunked(b"0x4\r\nabcd\r\n0\r\n\r\n"), 400, None, closes=True),
    CallerRow("chunk_size_zz", "a chunk size that is no number", _chunked(b"zz\r\nabcd\r\n"), 400, None, closes=True),
    CallerRow(
        "lf_in_extension", "LF in a chunk extension", _chunked(b"4;a\nb\r\nabcd\r\n0\r\n\r\n"), 400, None, closes=True
    ),
    CallerRow(
        "connect_method",
        "CONNECT",
        lambda path, body: (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",),
        404,
        None,
    ),
    CallerRow(
        "unknown_route", "a path that is no route", lambda path, body: (post("/nope", body.encode()),), 404, None
    ),
    CallerRow(
        "wrong_method",
        "a method that the route has not",
        lambda path, body: (b"DELETE %b HTTP/1.1\r\nHost: proxy\r\n\r\n" % path.encode(),),
        405,
        None,
        says="POST",
    ),
    CallerRow(
        "unknown_expectation",
        "an Expect that is not known, which RFC 9110 lets a server ignore",
        lambda path, body: (post(path, body.encode(), b"Expect: 1e6-dollars"),),
        **COMPLETED,  # type: ignore[arg-type]
    ),
    CallerRow(
        "absolute_uri",
        "an absolute URI with another host: the path alone decides",
        lambda path, body: (post("http://evil.example" + path, body.encode()),),
        **COMPLETED,  # type: ignore[arg-type]
    ),
    CallerRow(
        "expect_continue",
        "waits for 100 before it sends its body",
        lambda path, body: (
            post(path, b"", b"Expect: 100-continue", b"Content-Length: %d" % len(body), length=False),
            Drip(b"", pause_s=0.05),
            body.encode(),
        ),
        **COMPLETED,  # type: ignore[arg-type]
    ),
    CallerRow(
        "chunked_request",
        "a body in chunks of one byte",
        lambda path, body: (
            post(path, b"", b"Transfer-Encoding: chunked", length=False),
            b"".join(b"1\r\n%c\r\n" % byte for byte in body.encode()) + b"0\r\n\r\n",
        ),
        **COMPLETED,  # type: ignore[arg-type]
    ),
    CallerRow(
        "http_1_0",
        "a request of HTTP/1.0: the end of the connection is the end of the stream",
        lambda path, body: (post(path, body.encode(), start=b"POST %b HTTP/1.0" % path.encode()),),
        **COMPLETED,  # type: ignore[arg-type]
        closes=True,
    ),
    CallerRow(
        "request_in_bytes",
        "a request in packets of one byte",
        lambda path, body: (Drip(post(path, body.encode()), pause_s=0),),
        **COMPLETED,  # type: ignore[arg-type]
    ),
]

BODIES = [
    _refused("no_body", "no body", _body(lambda body: b""), says="JSON"),
    _refused("no_json", "a body that is no JSON", _body(lambda body: b"hello"), says="JSON"),
    _refused("half_a_body", "half a JSON text", _body(lambda body: body[:-5].encode()), says="JSON"),
    _refused(
        "no_utf8",
        "a body that is no UTF-8",
        _body(lambda body: body.encode().replace(b"canary", b"\xff\xfe")),
        says="UTF-8",
    ),
    _refused("deep", "a body of 100,000 levels", _body(lambda body: b"[" * 100_000), says=""),
    _refused("huge_number", "a number of 5,000 digits", _body(lambda body: body.replace("true", "9" * 5000).encode())),
    _refused("not_a_number", "NaN", _body(lambda body: body.replace("true", "NaN").encode())),
    _refused(
        "wrong_type", 'stream: "true"', _body(lambda body: body.replace("true", '"true"').encode()), says="stream"
    ),
    _refused(
        "two_models",
        "the model twice: a front that reads the other one would be deceived",
        _body(lambda body: body.replace("{", '{"model":"other",', 1).encode()),
        says="once",
    ),
    _refused(
        "unknown_model",
        "a model that is not configured",
        _body(lambda body: body.replace("plain-", "nope-").encode()),
        404,
    ),
    _refused("compressed", "a compressed body", _with(b"Content-Encoding: gzip"), 415, says="ompressed"),
    _refused(
        "too_large",
        "a length over the limit",
        _body(lambda body: b"x" * (MAX_BODY_BYTES + 1)),
        413,
        "bytes",
        closes=True,
    ),
    _refused(
        "too_large_chunked",
        "more chunks than the limit",
        lambda path, body: (
            post(path, b"", b"Transfer-Encoding: chunked", length=False),
            b"10000\r\n" + b"x" * 65536 + b"\r\n",
            *(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(16)),
        ),
        413,
        "bytes",
        closes=True,
    ),
]

SLOW = [
    _broken_head("says_nothing", "connects and says nothing", lambda path, body: (), 408),
    _broken_head("head_stalls", "half a head, then nothing", lambda path, body: (post(path, b"")[:40],), 408),
    _broken_head(
        "head_drips",
        "a head that comes byte by byte",
        lambda path, body: (Drip(post(path, b"", b"X-A: " + b"a" * 500), pause_s=0.02),),
        408,
    ),
    _refused(
        "body_stalls",
        "half a body, then nothing",
        lambda path, body: (post(path, body.encode())[:-9],),
        408,
        "body",
        closes=True,
    ),
    _refused(
        "body_drips",
        "a body that comes byte by byte",
        lambda path, body: (post(path, b"", b"Content-Length: 5000", length=False), Drip(b" " * 200, pause_s=0.02)),
        408,
        "body",
        closes=True,
    ),
    CallerRow(
        "leaves_in_head",
        "leaves within its request's head",
        lambda path, body: (post(path, b"")[:40], Then.FIN),
        None,
        None,
        closes=True,
    ),
    CallerRow(
        "leaves_in_body",
        "leaves within its request's body",
        lambda path, body: (post(path, body.encode())[:-9], Then.RST),
        None,
        "caller_left_before_first",
    ),
]


def _leaving(name: str, fault: str, outcome: str) -> CallerRow:
    return CallerRow(
        name, fault, lambda path, body: (post(path, body.encode()),), None, outcome, requests=1, group="caller leaves"
    )


LEAVING = [
    _leaving("before_headers", "leaves before the upstream's headers", "caller_left_before_first"),
    _leaving("before_first_event", "leaves before the first event", "caller_left_before_first"),
    _leaving("midway", "leaves in the middle of the answer", "caller_left_midway"),
    _leaving("midway_by_reset", "resets its connection in the middle of the answer", "caller_left_midway"),
    _leaving("half_closes", "ends its half of the connection in the middle of the answer", "caller_left_midway"),
    _leaving("between_attempts", "leaves while the proxy waits to ask again", "caller_left_before_first"),
    _leaving("reads_nothing", "takes nothing of a long answer", "caller_too_slow"),
]
"""The upstream of each is in `test_faults`: it answers as far as the name says, then waits for the proxy to close."""
