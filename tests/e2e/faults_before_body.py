"""Faults of reaching an upstream, and of what it says before the first event of its answer."""

from dataclasses import replace

from proxy.upstream.answer import MAX_HEAD_BYTES, MAX_HEADERS, MAX_INFORMATIONAL
from tests.e2e.fault_row import (
    CHUNKED,
    LAST,
    MARK,
    OK,
    SSE,
    UNTIL_CLOSE,
    Closed,
    Drip,
    Expect,
    Row,
    Steps,
    Then,
    Wire,
    always,
    chunk,
    completed,
    failed,
    good,
    sized,
    streamed,
)

UNREACHED = failed(502, "connect_failed", closed=Closed.ANY)
NOT_HTTP = failed(502, "protocol_error", closed=Closed.BY_PROXY)
NO_ANSWER = failed(502, "upstream_failed")
USELESS = failed(502, "upstream_failed", closed=Closed.BY_PROXY)
DEADLINE_S = 0.3
"""Of the provider `brief`, for headers, first event and idle."""


def _refused(status: int, text: str = "Bad luck.", *lines: bytes) -> bytes:
    body = f'{{"error":{{"message":"{text}","type":"some_error","code":"c"}}}}'.encode()
    return sized(f"{status} No", body, *lines)


REFUSED = b'{"error":{"message":"Bad luck.","type":"invalid_request_error","param":"messages","code":"%b"}}'

BARE_ERROR = b'{"error":{"message":"Too busy.","type":"server_error","code":503}}\n\n'

ANTHROPIC_STATUS = {408: 504, 418: 400, 422: 400, 500: 502, 503: 529, 599: 502}
"""Where Anthropic's API has no such status: what its callers get instead."""


def _status(number: int, *lines: bytes, name: str = "", expect: Expect) -> Row:
    converted = replace(expect, status=ANTHROPIC_STATUS.get(number, expect.status))
    return Row(
        name or f"status_{number}",
        f"answers {number}" + (" with " + b", ".join(lines).decode() if lines else ""),
        always(_refused(number, "Bad luck.", *lines)),
        expect,
        converted if converted != expect else None,
    )


def _once(name: str, fault: str, *steps: object) -> Row:
    """Fails the first time, then answers."""

    def first(wire: Wire) -> Steps:
        return steps  # type: ignore[return-value]

    return Row(name, fault + ", once", (first, good), completed(attempts=2))


def _rejected(status: int) -> Expect:
    return Expect("rejected", status, closed=Closed.KEPT)


def _timely(outcome: str) -> Expect:
    return Expect(outcome, 504, closed=Closed.BY_PROXY, at_least_s=DEADLINE_S, at_most_s=DEADLINE_S + 1)


REACHING = [
    Row("refused", "nobody listens", (), replace(UNREACHED, says="refused the connection"), provider="refused"),
    Row(
        "unknown_host",
        "the host name does not exist",
        (),
        replace(UNREACHED, says="could not be resolved"),
        provider="unknown_host",
    ),
    Row(
        "blackhole",
        "no answer to the SYN",
        (),
        replace(UNREACHED, at_least_s=0.6),
        provider="blackhole",
    ),
    Row(
        "tls_to_plain_port",
        "TLS is asked of a port that speaks none",
        (),
        replace(UNREACHED, says="not established in time"),
        provider="tls_to_plain_port",
    ),
    Row(
        "tls_untrusted",
        "the certificate's authority is unknown",
        (),
        replace(UNREACHED, says="is signed by an authority that is not trusted"),
        provider="tls_untrusted",
    ),
    Row(
        "tls_wrong_host",
        "the certificate is for another host",
        (),
        replace(UNREACHED, says="is for another"),
        provider="tls_wrong_host",
    ),
    Row(
        "tls_expired", "the certificate has expired", (), replace(UNREACHED, says="has expired"), provider="tls_expired"
    ),
    Row(
        "tls_silent",
        "no answer to the TLS hello",
        (),
        replace(UNREACHED, at_least_s=0.6),
        provider="tls_silent",
    ),
    Row("tls_hangs_up", "the connection ends in the TLS handshake", (), UNREACHED, provider="tls_hangs_up"),
    Row(
        "no_tunnel",
        "the HTTP proxy on the way opens no tunnel",
        (),
        replace(UNREACHED, says="HTTP proxy"),
        provider="no_tunnel",
    ),
    Row(
        "kept_connection_closed",
        "a kept connection ends when the request comes",
        (good, lambda wire: (Then.FIN,), good),
        completed(),
        warm=True,
    ),
    Row(
        "kept_connection_reset",
        "a kept connection is reset when the request comes",
        (good, lambda wire: (Then.RST,), good),
        completed(),
        warm=True,
    ),
    Row(
        "kept_connection_breaks_in_head",
        "a kept connection ends within the head of the answer: no silent second request",
        (good, lambda wire: (SSE, Then.FIN), good),
        completed(attempts=2),
        warm=True,
    ),
]

HEADS = [
    Row("rst_before_head", "reset in place of an answer", always(Then.RST), NO_ANSWER),
    Row("fin_before_head", "the end in place of an answer", always(Then.FIN), NO_ANSWER),
    Row("fin_in_status_line", "the end within the status line", always(b"HTTP/1.1 2", Then.FIN), NO_ANSWER),
    Row("fin_in_headers", "the end within the headers", always(SSE, Then.FIN), NO_ANSWER),
    Row("rst_in_headers", "a reset within the headers", always(SSE, Then.RST), NO_ANSWER),
    _once("rst_before_head_once", "reset in place of an answer", Then.RST),
    Row("silent", "takes the request and says nothing", always(), _timely("headers_timeout"), provider="brief"),
    Row("silent_in_head", "half a head, then nothing", always(SSE), _timely("headers_timeout"), provider="brief"),
    Row(
        "head_drips",
        "a head that comes byte by byte, for ever",
        always(Drip(SSE + b"X-A: " + b"a" * 200, pause_s=0.02)),
        _timely("headers_timeout"),
        provider="brief",
    ),
    Row("garbage", "bytes that are no HTTP", always(MARK.encode() * 9 + b"\r\n\r\n"), NOT_HTTP),
    Row("http_0_9", "text without a head", always(b"hello, this is HTTP/0.9\r\n"), NOT_HTTP),
    Row("http_2", "a status line of HTTP/2", always(b"HTTP/2.0 200 OK\r\n\r\n"), NOT_HTTP),
    Row("tls_answer", "TLS bytes on a plain connection", always(b"\x15\x03\x01\x00\x02\x02\x46" * 9), NOT_HTTP),
    Row("status_of_letters", "a status that is no number", always(b"HTTP/1.1 2xx OK\r\n\r\n"), NOT_HTTP),
    Row("head_too_large", "a header over the limit", always(OK + b"X-A: " + b"a" * MAX_HEAD_BYTES), NOT_HTTP),
    Row(
        "too_many_headers",
        "more headers than the limit",
        always(OK + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n"),
        NOT_HTTP,
    ),
    Row("nul_in_header", "NUL in a header", always(OK + b"X-A: b\x00c\r\n\r\n"), NOT_HTTP),
    Row(
        "length_and_chunked",
        "both a length and a transfer coding",
        always(SSE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST),
        NOT_HTTP,
    ),
    Row("two_lengths", "two lengths", always(SSE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!"), NOT_HTTP),
    Row("negative_length", "a negative length", always(SSE + b"Content-Length: -2\r\n\r\n"), NOT_HTTP),
    Row(
        "unknown_coding", "a transfer coding that nobody knows", always(SSE + b"Transfer-Encoding: x\r\n\r\n"), NOT_HTTP
    ),
    Row(
        "unknown_encoding",
        "a content encoding that was not asked for",
        always(SSE + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc"),
        failed(502, "protocol_error", closed=Closed.ANY),
    ),
    Row("switching", "101, to another protocol", always(b"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n"), NOT_HTTP),
    Row(
        "too_many_informational",
        "1xx without end",
        always(b"HTTP/1.1 102 P\r\n\r\n" * (MAX_INFORMATIONAL + 1)),
        NOT_HTTP,
    ),
    Row(
        "informational",
        "100 and 103 before the answer",
        (lambda wire: (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: </a>\r\n\r\n" + streamed(wire.whole),),),
        completed(),
        reverse=True,
    ),
    Row(
        "lf_only_head",
        "a head with LF line ends",
        (lambda wire: (streamed(wire.whole).replace(b"\r\n", b"\n", 4),),),
        completed(),
    ),
    Row(
        "folded_header",
        "a header over two lines",
        (lambda wire: (streamed(wire.whole, b"X-A: one\r\n two"),),),
        completed(),
    ),
    Row(
        "head_in_bytes",
        "a head in packets of one byte",
        (lambda wire: (Drip(CHUNKED, pause_s=0), chunk(wire.whole) + LAST),),
        completed(),
    ),
]

STATUSES = [
    Row(
        "redirect",
        "a redirect, which would carry the credential elsewhere",
        always(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n"),
        failed(502, "upstream_failed", closed=Closed.ANY),
    ),
    Row("not_modified", "304", always(b"HTTP/1.1 304 N\r\n\r\n"), failed(502, "upstream_failed", closed=Closed.ANY)),
    Row("no_content", "204", always(b"HTTP/1.1 204 N\r\n\r\n"), failed(502, "upstream_failed", closed=Closed.ANY)),
    Row(
        "created",
        "201 with a stream",
        (lambda wire: (streamed(wire.whole).replace(b"200 OK", b"201 Created"),),),
        failed(502, "upstream_failed", closed=Closed.ANY),
    ),
    *(_status(number, expect=_rejected(number)) for number in (400, 401, 402, 403, 404, 405, 408, 413, 415, 418, 422)),
    _status(409, expect=failed(409, "rejected", closed=Closed.KEPT)),
    _status(429, expect=failed(429, "rejected", closed=Closed.KEPT, at_most_s=1.5)),
    _status(
        429,
        b"Retry-After: 1",
        name="retry_after",
        expect=failed(429, "rejected", closed=Closed.KEPT, at_least_s=0.9, headers=(("retry-after", "1"),)),
    ),
    _status(
        429,
        b"Retry-After: 3600",
        name="retry_after_too_long",
        expect=Expect("rejected", 429, closed=Closed.KEPT, headers=(("retry-after", "3600"),)),
    ),
    _status(
        429,
        b"Date: Sun, 06 Nov 1994 08:49:36 GMT",
        b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT",
        name="retry_after_date",
        expect=failed(
            429,
            "rejected",
            closed=Closed.KEPT,
            at_least_s=0.9,
            headers=(("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),),
        ),
    ),
    _status(
        429,
        b"Retry-After: Sun, 06 Nov 2094 08:49:37 GMT",
        name="retry_after_date_too_late",
        expect=Expect("rejected", 429, closed=Closed.KEPT, at_most_s=1),
    ),
    _once("rate_limited_once", "429", _refused(429)),
    Row(
        "too_long",
        "400: the prompt is too long",
        always(sized("400 No", REFUSED % b"context_length_exceeded")),
        _rejected(400),
    ),
    Row(
        "content_rejected",
        "400: a filter refuses the prompt",
        always(sized("400 No", REFUSED % b"content_filter")),
        _rejected(400),
    ),
    *(_status(number, expect=failed(number, "upstream_failed", closed=Closed.KEPT)) for number in (500, 502, 503)),
    _status(504, expect=Expect("upstream_failed", 504, closed=Closed.KEPT)),
    _status(529, expect=failed(529, "upstream_failed", closed=Closed.KEPT)),
    _status(599, expect=failed(599, "upstream_failed", closed=Closed.KEPT)),
    _once("failed_once", "500", _refused(500)),
    _once("overloaded_once", "503", _refused(503)),
    Row(
        "key_in_error",
        "a 401 that quotes the proxy's key",
        always(_refused(401, "Incorrect API key provided: configured-key-" + "0123456789.")),
        _rejected(401),
    ),
    Row(
        "error_page",
        "a 502 with a web page",
        always(sized("502 Bad Gateway", b"<html>nginx</html>", media_type=b"text/html")),
        failed(502, "upstream_failed", closed=Closed.KEPT),
    ),
    Row(
        "error_without_body",
        "a 500 without a body",
        always(sized("500 E", b"")),
        failed(502, "upstream_failed", closed=Closed.KEPT),
    ),
    Row(
        "error_body_too_large",
        "a 500 with a body of 3 MB",
        always(sized("500 E", b"x" * (3 << 20))),
        USELESS,
    ),
    Row(
        "error_body_cut",
        "a 500 whose body is cut",
        always(b"HTTP/1.1 500 E\r\nContent-Length: 99\r\n\r\n{", Then.FIN),
        NO_ANSWER,
    ),
    Row(
        "error_body_stalls",
        "a 500 whose body never ends",
        always(b"HTTP/1.1 500 E\r\nContent-Length: 99\r\n\r\n{"),
        failed(502, "upstream_failed", closed=Closed.BY_PROXY, at_most_s=4),
        provider="brief",
    ),
]

OPENINGS = [
    Row(
        "json", "one JSON answer in place of a stream", (lambda wire: (sized("200 OK", wire.whole_json),),), completed()
    ),
    Row(
        "json_cut",
        "one JSON answer, cut",
        (lambda wire: (sized("200 OK", wire.whole_json)[:-9], Then.FIN),),
        failed(502, "cut"),
    ),
    Row(
        "json_invalid",
        "JSON that is none",
        always(sized("200 OK", b'{"id":')),
        failed(502, "protocol_error", closed=Closed.KEPT),
    ),
    Row(
        "json_error",
        "200, and an error as JSON",
        always(sized("200 OK", b'{"error":{"message":"Too busy.","type":"server_error","code":503}}')),
        failed(503, "error_event", closed=Closed.KEPT),
        failed(529, "error_event", closed=Closed.KEPT),
    ),
    Row(
        "web_page",
        "200, and a web page",
        always(sized("200 OK", b"<html>Welcome</html>", media_type=b"text/html")),
        failed(502, "protocol_error", closed=Closed.ANY),
    ),
    Row(
        "empty_length",
        "200, and a stream of no bytes",
        always(SSE + b"Content-Length: 0\r\n\r\n"),
        failed(502, "cut", closed=Closed.KEPT),
    ),
    Row(
        "empty_chunked",
        "200, and a stream of no chunks",
        always(CHUNKED + LAST),
        failed(502, "cut", closed=Closed.KEPT),
    ),
    Row("empty_until_close", "200, and the end", always(UNTIL_CLOSE, Then.FIN), failed(502, "cut")),
    Row("rst_after_head", "200, and a reset", always(CHUNKED, Then.RST), failed(502, "cut")),
    Row(
        "fin_in_first_event",
        "the end within the first event",
        (lambda wire: (UNTIL_CLOSE, (wire.begin + wire.words[0])[:-9], Then.FIN),),
        failed(502, "cut"),
    ),
    Row(
        "only_terminator",
        "a stream of nothing but its terminator",
        (lambda wire: (streamed(wire.terminator),),),
        failed(502, "error_event", closed=Closed.ANY, says="without an answer"),
    ),
    Row(
        "silent_after_head",
        "200, and nothing",
        always(CHUNKED),
        _timely("first_event_timeout"),
        provider="brief",
        reverse=True,
    ),
    Row(
        "only_pings",
        "200, and pings without end",
        (lambda wire: (CHUNKED, Drip(chunk(wire.ping) * 60, len(chunk(wire.ping)))),),
        replace(_timely("first_event_timeout"), status=None),
        _timely("first_event_timeout"),
        provider="brief",
    ),
    Row(
        "silent_past_heartbeat",
        "200, and nothing, for longer than a heartbeat",
        always(CHUNKED),
        replace(_timely("first_event_timeout"), status=None, at_most_s=3),
        provider="patient",
        reverse=True,
    ),
    Row(
        "error_event_first",
        "200, and an error event",
        (lambda wire: (streamed(wire.error),),),
        failed(503, "error_event", closed=Closed.ANY),
        failed(529, "error_event", closed=Closed.ANY),
    ),
    Row(
        "bare_error_first",
        "200, and an error as bare JSON and a blank line in place of events",
        always(streamed(BARE_ERROR)),
        failed(503, "error_event", closed=Closed.ANY, says="Too busy."),
        failed(529, "error_event", closed=Closed.ANY, says="Too busy."),
    ),
    Row(
        "bare_error_in_pieces",
        "the same in pieces, and the connection's end",
        always(UNTIL_CLOSE + BARE_ERROR[:9], BARE_ERROR[9:-1], BARE_ERROR[-1:], Then.FIN),
        failed(503, "error_event", closed=Closed.ANY, says="Too busy."),
        failed(529, "error_event", closed=Closed.ANY, says="Too busy."),
    ),
    _once("bare_error_once", "200, and an error as bare JSON and a blank line", streamed(BARE_ERROR)),
    Row(
        "bare_json_first",
        "JSON that is no event before the events",
        (lambda wire: (streamed(b'{"hello":"you"}\n\n' + wire.whole),),),
        completed(),
        is_raw=True,
    ),
    Row(
        "first_event_invalid",
        "200, and an event that is no JSON",
        (lambda wire: (streamed(b"data: {nonsense\n\n" + wire.whole),),),
        completed(),
        failed(502, "protocol_error", closed=Closed.ANY),
        is_raw=True,
    ),
    Row(
        "error_event_once",
        "200, and an error event, once",
        (lambda wire: (streamed(wire.error),), good),
        completed(attempts=2),
        reverse=True,
    ),
    Row(
        "rst_after_head_once",
        "200, and a reset, once",
        (lambda wire: (CHUNKED, Then.RST), good),
        completed(attempts=2),
        reverse=True,
    ),
]
