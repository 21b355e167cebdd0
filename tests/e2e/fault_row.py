"""What a row of the fault matrix is made of: the wire formats, the steps of a peer that misbehaves, and what must follow.

A row says what goes wrong as steps on a raw socket, so that the same row runs on any upstream format: the steps are
built by a function of a `Wire`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support.canary import COMPLETION, SAID

WORDS = ("one ", f"two {COMPLETION} ", "three ")
WHOLE = "".join(WORDS)
PART = "".join(WORDS[:2])
MARK = SAID
"""What a peer says and no caller may read."""


@dataclass(frozen=True)
class Wire:
    """One upstream format: the pieces of an answer that says `WHOLE`."""

    kind: str
    begin: bytes
    words: tuple[bytes, ...]
    finish: bytes
    """The finish reason, without the terminator."""
    terminator: bytes
    ping: bytes
    error: bytes
    """An error event of an overloaded provider."""
    whole_json: bytes
    """The answer to a request that asks for no stream."""

    @property
    def part(self) -> bytes:
        """The first two thirds."""
        return self.begin + self.words[0] + self.words[1]

    @property
    def end(self) -> bytes:
        return self.finish + self.terminator

    @property
    def whole(self) -> bytes:
        return self.part + self.words[2] + self.end


def event(name: str, data: str) -> bytes:
    """One server-sent event with a name."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def _delta(text: str) -> bytes:
    return event(
        "content_block_delta",
        f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}',
    )


CHAT_FINISH, CHAT_DONE = CHAT_END.split(b"data: [DONE]")[0], b"data: [DONE]\n\n"
CHAT = Wire(
    kind="openai_chat",
    begin=b"",
    words=tuple(map(chat_chunk, WORDS)),
    finish=CHAT_FINISH,
    terminator=CHAT_DONE,
    ping=b": ping\n\n",
    error=b'data: {"error":{"message":"Too busy.","type":"server_error","code":503}}\n\n',
    whole_json=(
        f'{{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":'
        f'{{"role":"assistant","content":"{WHOLE}"}},"finish_reason":"stop"}}]}}'
    ).encode(),
)
ANTHROPIC = Wire(
    kind="anthropic",
    begin=event(
        "message_start",
        '{"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","model":"m","content":[],'
        '"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}',
    )
    + event(
        "content_block_start",
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    ),
    words=tuple(map(_delta, WORDS)),
    finish=event("content_block_stop", '{"type":"content_block_stop","index":0}')
    + event(
        "message_delta",
        '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}',
    ),
    terminator=event("message_stop", '{"type":"message_stop"}'),
    ping=event("ping", '{"type":"ping"}'),
    error=event("error", '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
    whole_json=(
        f'{{"id":"m1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{WHOLE}"}}],'
        '"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":3}}'
    ).encode(),
)


def _candidate(text: str, finish: str = "") -> bytes:
    candidate = f'{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},{finish}"index":0}}'
    return (
        f'data: {{"candidates":[{candidate}],"usageMetadata":{{"promptTokenCount":5,"candidatesTokenCount":1}},'
        '"modelVersion":"m","responseId":"g1"}\r\n\r\n'
    ).encode()


GEMINI = Wire(
    kind="gemini",
    begin=b"",
    words=tuple(map(_candidate, WORDS)),
    finish=_candidate("", '"finishReason":"STOP",'),
    terminator=b"",
    ping=b": ping\r\n\r\n",
    error=b'data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\r\n\r\n',
    whole_json=(
        f'{{"candidates":[{{"content":{{"parts":[{{"text":"{WHOLE}"}}],"role":"model"}},"finishReason":"STOP",'
        '"index":0}],"modelVersion":"m","responseId":"g1"}'
    ).encode(),
)
WIRES = {wire.kind: wire for wire in (CHAT, ANTHROPIC, GEMINI)}


class Then(Enum):
    """What the upstream does after its last byte."""

    LISTEN = "waits for the next request"
    FIN = "ends the connection"
    RST = "resets the connection"


@dataclass(frozen=True)
class Drip:
    """Small pieces with a pause after each."""

    data: bytes
    size: int = 1
    pause_s: float = 0.05


Step = bytes | Drip | Then
Steps = tuple[Step, ...]
Script = Callable[[Wire], Steps]


class Closed(Enum):
    """What must become of the upstream connection."""

    BY_PROXY = "by the proxy, at once"
    BY_UPSTREAM = "by the upstream"
    KEPT = "kept"
    ANY = "-"


@dataclass(frozen=True)
class Expect:
    """What must follow from a fault."""

    outcome: str
    status: int | None = None
    """Of the error answer; `None`: the stream had begun, or the call succeeded."""
    text: str = ""
    """What the caller reads before the ending."""
    attempts: int = 1
    closed: Closed = Closed.BY_UPSTREAM
    at_least_s: float = 0.0
    at_most_s: float = 15.0
    headers: tuple[tuple[str, str], ...] = ()
    """Response headers that the caller's SDK acts on."""
    says: str = ""
    """What the error must tell, so that somebody can act on it."""

    @property
    def is_success(self) -> bool:
        return self.outcome == "completed"

    def __str__(self) -> str:
        if self.is_success:
            return "whole answer"
        return f"HTTP {self.status}" if self.status is not None else "error in the stream"


def completed(**changes: object) -> Expect:
    """The caller gets the whole answer."""
    return _expect(outcome="completed", text=WHOLE, closed=Closed.KEPT, **changes)


def broken(outcome: str, **changes: object) -> Expect:
    """The caller gets two thirds, then an error in its dialect."""
    return _expect(outcome=outcome, text=PART, **changes)


def failed(status: int, outcome: str, **changes: object) -> Expect:
    """The caller gets an HTTP error; the target was asked twice."""
    return _expect(outcome=outcome, status=status, attempts=2, **changes)


def _expect(**fields: object) -> Expect:
    merged: dict[str, object] = {}
    merged.update(fields)
    return Expect(**merged)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Row:
    """A fault of an upstream."""

    name: str
    fault: str
    """What happens, for the printed table."""
    answers: tuple[Script, ...]
    """To the first request, the second …; the last one to all that follow."""
    expect: Expect
    converted: Expect | None = None
    """Where conversion must do otherwise than pass-through."""
    provider: str = "plain"
    """Which configured upstream: `plain`, one with a short deadline, or one that cannot be reached."""
    warm: bool = False
    """A call goes before, so that the fault meets a kept connection."""
    reverse: bool = False
    """Also run for an OpenAI caller of an Anthropic upstream."""
    is_raw: bool = False
    """The bytes that pass through break the SDK itself: there, look at the bytes."""
    group: str = field(default="")

    def __str__(self) -> str:
        return self.name

    def expectation(self, *, is_converted: bool) -> Expect:
        return self.converted if is_converted and self.converted is not None else self.expect


@dataclass(frozen=True)
class CallerRow:
    """A fault of a caller, as the bytes it sends."""

    name: str
    fault: str
    request: Callable[[str, str], Steps]
    """Built from the path and the JSON body of a good streaming request."""
    status: int | None
    """Of the answer; `None`: the caller gets none."""
    outcome: str | None
    """`None`: it never becomes a call, so nothing is counted."""
    requests: int = 0
    """How many reach the upstream."""
    says: str = ""
    """What the answer must say."""
    closes: bool = False
    """The proxy ends the caller's connection."""
    group: str = field(default="caller")

    def __str__(self) -> str:
        return self.name


# --- building answers

OK = b"HTTP/1.1 200 OK\r\n"
SSE = OK + b"Content-Type: text/event-stream\r\n"
CHUNKED = SSE + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
UNTIL_CLOSE = SSE + b"Connection: close\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def streamed(body: bytes, *lines: bytes) -> bytes:
    """A whole event stream, chunked."""
    head = SSE + b"".join(line + b"\r\n" for line in lines) + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + chunk(body) + LAST


def sized(status: str, body: bytes, *lines: bytes, media_type: bytes = b"application/json") -> bytes:
    """An answer with a length."""
    head = f"HTTP/1.1 {status}\r\n".encode() + b"Content-Type: %b\r\nContent-Length: %d\r\n" % (media_type, len(body))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def always(*steps: Step) -> tuple[Script, ...]:
    """The same steps for every request, in any format."""
    return (lambda wire: steps,)


def good(wire: Wire) -> Steps:
    """The answer without a fault."""
    return (streamed(wire.whole),)
