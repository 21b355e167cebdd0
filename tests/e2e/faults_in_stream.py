"""Faults within a stream that has begun, and oddities that are no faults."""

import gzip
import zlib
from functools import cache

from tests.e2e.fault_row import (
    CHAT_DONE,
    CHUNKED,
    LAST,
    OK,
    PART,
    SSE,
    UNTIL_CLOSE,
    Closed,
    Drip,
    Expect,
    Row,
    Script,
    Steps,
    Then,
    Wire,
    broken,
    chunk,
    completed,
    event,
    streamed,
)
from tests.e2e.faults_before_body import DEADLINE_S
from tests.e2e.streams import chat_chunk

MAX_FRAME_BYTES = 256 * 1024
TOTAL_S = 0.8
"""Of the provider `short`, for the whole answer."""
PROXY = Closed.BY_PROXY
PAUSE = Drip(b"", pause_s=0.05)
"""So that what follows is a read of its own: what comes in one read with an error is withdrawn with it."""
CUT = broken("cut")
BAD = broken("protocol_error", closed=PROXY)
BAD_WHOLE = broken("protocol_error", closed=Closed.ANY)
"""The stream is bad, its HTTP message is whole."""
IDLE = broken("idle_timeout", closed=PROXY, at_least_s=DEADLINE_S, at_most_s=DEADLINE_S + 1)


def _after_part(*steps: bytes | Drip | Then) -> Script:
    """Two thirds as a chunked stream, then `steps` as raw bytes."""
    return lambda wire: (CHUNKED + chunk(wire.part), PAUSE, *steps)


def _inserted(data: bytes) -> Script:
    """A whole stream with `data` in its middle."""
    return lambda wire: (streamed(wire.part + data + wire.words[2] + wire.end),)


def _body(change: object) -> Script:
    """A whole stream whose body is rewritten."""

    def script(wire: Wire) -> Steps:
        return (streamed(change(wire.whole)),)  # type: ignore[operator]

    return script


def _gzipped(wire: Wire) -> Steps:
    zipped = gzip.compress(wire.whole)
    middle = len(zipped) // 2
    head = SSE + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + chunk(zipped[:middle]), chunk(zipped[middle:]) + LAST)


def _deflated(wbits: int) -> Script:
    """A whole stream, compressed: with zlib's frame, as the RFC says, or without, as some servers do."""

    def script(wire: Wire) -> Steps:
        compressor = zlib.compressobj(wbits=wbits)
        body = compressor.compress(wire.whole) + compressor.flush()
        return (streamed(body, b"Content-Encoding: deflate"),)

    return script


def _gzip_flushed(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _gzip_damaged(wire: Wire) -> Steps:
    head = SSE + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + chunk(_gzip_flushed(wire.part)), chunk(b"\xff" * 50))


@cache
def _gzip_bomb(wire: Wire) -> Steps:
    compressor = zlib.compressobj(6, wbits=31)
    first = compressor.compress(wire.part) + compressor.flush(zlib.Z_SYNC_FLUSH)
    bomb = compressor.compress(b": " + b"\0" * (16 << 20)) + compressor.flush()
    head = SSE + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + chunk(first), Drip(b"", pause_s=0.05), chunk(bomb) + LAST)


CUTS = [
    Row("reset", "a reset", (_after_part(Then.RST),), CUT, reverse=True),
    Row("fin_between_chunks", "the end without the last chunk", (_after_part(Then.FIN),), CUT, reverse=True),
    Row("fin_in_chunk", "the end within a chunk", (_after_part(b"fff\r\ndata: ", Then.FIN),), CUT),
    Row("fin_in_chunk_size", "the end within a chunk's size", (_after_part(b"ff", Then.FIN),), CUT),
    Row("fin_in_trailers", "the end within the trailers", (_after_part(b"0\r\nX-A: b", Then.FIN),), CUT),
    Row(
        "short_of_length",
        "less than the length says",
        (lambda wire: (SSE + b"Content-Length: 99999\r\n\r\n" + wire.part, Then.FIN),),
        CUT,
    ),
    Row(
        "close_between_events",
        "the end after an event, where the end is the end of the body",
        (lambda wire: (UNTIL_CLOSE + wire.part, Then.FIN),),
        CUT,
        reverse=True,
    ),
    Row(
        "close_in_event",
        "the end within an event, where the end is the end of the body",
        (lambda wire: (UNTIL_CLOSE + wire.part + wire.words[2][:-20], Then.FIN),),
        CUT,
        reverse=True,
    ),
    Row(
        "close_in_blank_line",
        "the end before an event's blank line is complete",
        (lambda wire: (UNTIL_CLOSE + wire.part + wire.words[2][:-2], Then.FIN),),
        CUT,
        Expect("cut", text=PART + "three "),
    ),
    Row(
        "no_terminator",
        "a body that is whole, a stream that is not",
        (lambda wire: (streamed(wire.part),),),
        broken("cut", closed=Closed.KEPT),
        reverse=True,
    ),
    Row(
        "length_cuts_event",
        "a length that ends within an event",
        (lambda wire: (SSE + b"Content-Length: %d\r\n\r\n" % (len(wire.part) + 9) + wire.part + wire.words[2][:9],),),
        broken("cut", closed=Closed.KEPT),
    ),
]

ENDINGS = [
    Row(
        "done_missing",
        "a finish reason and no terminator, as compatible servers do",
        (lambda wire: (streamed(wire.part + wire.words[2] + wire.finish),),),
        completed(),
    ),
    Row(
        "terminator_cut",
        "the end within the terminator",
        (lambda wire: (UNTIL_CLOSE + wire.part + wire.words[2] + wire.finish + b"data: [DO", Then.FIN),),
        Expect("cut", text=completed().text),
    ),
    Row(
        "twice_ended",
        "the terminator twice, and events after it",
        (lambda wire: (streamed(wire.whole + wire.words[0] + wire.end),),),
        completed(),
    ),
    Row(
        "reset_after_end",
        "a reset after the terminator",
        (lambda wire: (CHUNKED + chunk(wire.whole), Then.RST),),
        completed(),
        reverse=True,
    ),
    Row(
        "no_end_after_end",
        "silence after the terminator: the HTTP message never ends",
        (lambda wire: (CHUNKED + chunk(wire.whole),),),
        completed(),
        reverse=True,
    ),
    Row(
        "bytes_after_message",
        "bytes after the end of the message",
        (lambda wire: (streamed(wire.whole) + b"HTTP/1.1 200 OK\r\n",),),
        completed(),
    ),
    Row(
        "error_event",
        "an error event",
        (lambda wire: (CHUNKED + chunk(wire.part), PAUSE, chunk(wire.error) + LAST),),
        broken("error_event", closed=Closed.ANY),
        reverse=True,
    ),
    Row(
        "json_tail",
        "an error as bare JSON after events, and the end",
        (
            lambda wire: (
                CHUNKED + chunk(wire.part),
                PAUSE,
                chunk(b'{"error":{"message":"Too busy.","type":"server_error","code":503}}\n') + LAST,
            ),
        ),
        broken("error_event", closed=Closed.ANY, says="Too busy."),
        reverse=True,
    ),
    Row(
        "json_tail_as_event",
        "an error as bare JSON and a blank line after events, and the end",
        (
            lambda wire: (
                CHUNKED + chunk(wire.part),
                PAUSE,
                chunk(b'{"error":{"message":"Too busy.","type":"server_error","code":503}}\n\n') + LAST,
            ),
        ),
        broken("error_event", closed=Closed.ANY, says="Too busy."),
        reverse=True,
    ),
    Row(
        "json_tail_and_done",
        "an error as bare JSON after events, and a terminator",
        (
            lambda wire: (
                CHUNKED + chunk(wire.part),
                PAUSE,
                chunk(b'{"error":{"message":"Too busy.","type":"server_error","code":503}}\n\n' + CHAT_DONE) + LAST,
            ),
        ),
        broken("error_event", closed=Closed.ANY, says="Too busy."),
    ),
    Row(
        "json_tail_cut",
        "half an error as bare JSON after events, and the end",
        (
            lambda wire: (
                CHUNKED + chunk(wire.part),
                PAUSE,
                chunk(b'{"error":{"message":"Too busy.","type":"server_er') + LAST,
            ),
        ),
        broken("cut", closed=Closed.ANY),
        reverse=True,
    ),
    Row(
        "error_event_without_blank_line",
        "an error event without its blank line, and the end",
        (lambda wire: (CHUNKED + chunk(wire.part), PAUSE, chunk(wire.error[:-1]) + LAST),),
        broken("error_event", closed=Closed.ANY),
        reverse=True,
    ),
    Row(
        "error_event_then_silence",
        "an error event, and no end",
        (lambda wire: (CHUNKED + chunk(wire.part), PAUSE, chunk(wire.error)),),
        broken("error_event", closed=PROXY),
    ),
]

SILENCES = [
    Row("stall", "silence between events", (_after_part(),), IDLE, provider="brief", reverse=True),
    Row(
        "stall_in_event",
        "silence within an event",
        (lambda wire: (CHUNKED + chunk(wire.part + wire.words[2][:-9]),),),
        IDLE,
        provider="brief",
        reverse=True,
    ),
    Row(
        "pings_without_end",
        "pings in place of events",
        (lambda wire: (CHUNKED + chunk(wire.part), Drip(chunk(wire.ping) * 60, len(chunk(wire.ping)))),),
        IDLE,
        provider="brief",
        reverse=True,
    ),
    Row(
        "drip_in_event",
        "an event that comes byte by byte and never ends",
        (lambda wire: (UNTIL_CLOSE + wire.part, Drip(b"data: " + b" " * 200, pause_s=0.02)),),
        IDLE,
        provider="brief",
    ),
    Row(
        "slow_but_alive",
        "events with pauses just within the deadline",
        (
            lambda wire: (
                CHUNKED + chunk(wire.part),
                Drip(b"", pause_s=0.15),
                chunk(wire.words[2]),
                Drip(b"", pause_s=0.15),
                chunk(wire.end) + LAST,
            ),
        ),
        completed(),
        provider="brief",
    ),
    Row(
        "bytes_one_by_one",
        "every byte in a packet of its own",
        (lambda wire: (UNTIL_CLOSE, Drip(wire.whole, pause_s=0), Then.FIN),),
        Expect("completed", text=completed().text, at_most_s=10),
        reverse=True,
    ),
    Row(
        "endless",
        "events without end",
        (
            lambda wire: (
                (CHUNKED + chunk(wire.part), Drip(chunk(chat_chunk("")) * 200, len(chunk(chat_chunk("")))))
                if wire.kind == "openai_chat"
                else (CHUNKED + chunk(wire.part),)
            ),
        ),
        broken("idle_timeout", closed=PROXY),
        provider="brief",
    ),
    Row(
        "endless_content",
        "content without end",
        (lambda wire: (CHUNKED + chunk(wire.part), Drip(chunk(chat_chunk("x")) * 200, len(chunk(chat_chunk("x"))))),),
        Expect("total_timeout", text=PART + "x…", closed=PROXY, at_least_s=TOTAL_S, at_most_s=TOTAL_S + 1),
        provider="short",
    ),
]

MALFORMED = [
    Row("bad_chunk_size", "a chunk size that is no number", (_after_part(b"zz\r\n"),), BAD, reverse=True),
    Row("negative_chunk_size", "a negative chunk size", (_after_part(b"-5\r\nhello"),), BAD),
    Row("huge_chunk_size", "a chunk size of 17 digits", (_after_part(b"fffffffffffffffff\r\nhello"),), BAD),
    Row("chunk_too_long", "a chunk longer than its size", (_after_part(b"5\r\n: abcX\r\n"),), BAD),
    Row("endless_extension", "a chunk extension without end", (_after_part(b"5;" + b"a" * 200_000),), BAD),
    Row("endless_trailer", "a trailer without end", (_after_part(b"0\r\nX-A: " + b"a" * 200_000),), BAD),
    Row(
        "frame_too_large",
        "an event over the limit",
        (_after_part(chunk(b'data: {"x":"' + b"x" * (MAX_FRAME_BYTES + 1024))),),
        BAD,
        reverse=True,
    ),
    Row(
        "large_frame",
        "an event just within the limit",
        (_inserted(b": " + b"x" * (MAX_FRAME_BYTES - 1024) + b"\n\n"),),
        completed(),
    ),
    Row(
        "invalid_json",
        "an event that is no JSON",
        (_inserted(b"data: {nonsense\n\n"),),
        completed(),
        BAD_WHOLE,
        reverse=True,
        is_raw=True,
    ),
    Row(
        "wrong_type",
        "a field of a wrong type",
        (_inserted(b'data: {"choices":[{"index":0,"delta":"text"}]}\n\n'),),
        completed(),
        BAD_WHOLE,
        is_raw=True,
    ),
    Row(
        "not_a_number",
        "NaN, which is no JSON",
        (_inserted(b'data: {"choices":[{"index":NaN,"delta":{}}]}\n\n'),),
        completed(),
        BAD_WHOLE,
        is_raw=True,
    ),
    Row(
        "lone_surrogate",
        "half a surrogate pair",
        (_body(lambda body: body.replace(b"three ", b"three \\ud800")),),
        Expect("completed", text=completed().text + "\ufffd", closed=Closed.KEPT),
        provider="plain",
    ),
    Row(
        "invalid_utf8",
        "bytes that are no UTF-8, in a comment",
        (_inserted(b": \xff\xfe\n\n"),),
        completed(),
        is_raw=True,
    ),
    Row("gzip_damaged", "a compressed body that breaks", (_gzip_damaged,), BAD),
    Row("gzip_bomb", "16 MB in a few bytes", (_gzip_bomb,), BAD),
]

ODDITIES = [
    Row("gzip", "a compressed stream", (_gzipped,), completed(), reverse=True),
    Row("deflate", "a stream compressed with deflate", (_deflated(15),), completed()),
    Row("raw_deflate", "a stream compressed with deflate, without its frame", (_deflated(-15),), completed()),
    Row("flood", "100,000 comments at once", (_inserted(b": x\n\n" * 100_000),), completed(), is_raw=True),
    Row(
        "chunk_extensions",
        "chunk extensions and trailers",
        (lambda wire: (CHUNKED + chunk(wire.whole).replace(b"\r\n", b';a="b"\r\n', 1) + b"0;z\r\nX-Sum: 1\r\n\r\n",),),
        completed(),
    ),
    Row("crlf", "CRLF line ends", (_body(lambda body: body.replace(b"\n", b"\r\n")),), completed(), reverse=True),
    Row("cr", "CR line ends", (_body(lambda body: body.replace(b"\n", b"\r")),), completed()),
    Row("bom", "a byte order mark", (_body(lambda body: b"\xef\xbb\xbf" + body),), completed(), is_raw=True),
    Row(
        "no_space",
        "no space after the colon",
        (_body(lambda body: body.replace(b"data: ", b"data:")),),
        completed(),
        reverse=True,
    ),
    Row(
        "odd_fields",
        "comments, ids, retry times and unknown fields",
        (_inserted(b": x\nid: 7\nretry: 10\nfoo: bar\n\n"),),
        completed(),
        reverse=True,
        is_raw=True,
    ),
    Row(
        "unknown_event",
        "an event of a type that is not known",
        (_inserted(event("brand_new", '{"type":"brand_new","object":"brand.new","choices":[],"x":{"y":[1]}}')),),
        completed(),
        reverse=True,
    ),
    Row(
        "no_choices",
        "a chunk without choices",
        (_inserted(b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'),),
        completed(),
    ),
    Row(
        "usage_twice",
        "usage in two chunks",
        (
            _inserted(
                b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
                b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n' * 2
            ),
        ),
        completed(),
    ),
    Row(
        "changing_id",
        "an id that changes on the way",
        (lambda wire: (streamed(wire.part + (wire.words[2] + wire.end).replace(b'"c1"', b'"c2"')),),),
        completed(),
    ),
    Row(
        "odd_clock",
        "a time of creation in the far future",
        (_body(lambda body: body.replace(b'"created":1,', b'"created":99999999999999,')),),
        completed(),
    ),
    Row(
        "split_code_point",
        "a character split over two packets",
        (
            lambda wire: (
                CHUNKED + chunk(wire.part.replace(b"two", "tw\u00f6".encode())[: wire.part.index(b"two") + 3]),
                chunk(wire.part.replace(b"two", "tw\u00f6".encode())[wire.part.index(b"two") + 3 :]),
                chunk(wire.words[2] + wire.end) + LAST,
            ),
        ),
        Expect("completed", text=completed().text.replace("two", "tw\u00f6"), closed=Closed.KEPT),
        reverse=True,
    ),
    Row("one_packet", "head, stream and end in one packet", (lambda wire: (streamed(wire.whole),),), completed()),
    Row(
        "wrong_media_type",
        "a stream that says it is plain text",
        (
            lambda wire: (
                OK + b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(wire.whole) + LAST,
            ),
        ),
        completed(),
    ),
    Row(
        "no_media_type",
        "a stream without a content type",
        (lambda wire: (OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(wire.whole) + LAST,),),
        completed(),
    ),
    Row(
        "http_1_0",
        "an answer of HTTP/1.0",
        (lambda wire: (b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + wire.whole, Then.FIN),),
        Expect("completed", text=completed().text),
    ),
    Row(
        "early_answer",
        "an answer with a length, and the connection is to close",
        (lambda wire: (SSE + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(wire.whole) + wire.whole,),),
        Expect("completed", text=completed().text, closed=PROXY),
    ),
]
