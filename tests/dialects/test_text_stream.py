import json

from proxy.dialects.base import BreaksOnError, CallParams, StreamContext
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.dialects.text_stream import TextStreamDialect, TextStreamEncoder
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import (
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    ReasoningBlock,
    ReasoningDelta,
    RefusalBlock,
    RefusalDelta,
    StreamError,
    TextBlock,
    TextDelta,
)

DIALECT = TextStreamDialect(read_chat)
CONTEXT = StreamContext(id="abc", model="m", created=1)


def test_stream_is_the_text_and_nothing_else() -> None:
    events: list[Event] = [
        MessageStart("p", "m"),
        BlockStart(0, ReasoningBlock()),
        ReasoningDelta(0, "Hm."),
        BlockEnd(0),
        BlockStart(1, TextBlock()),
        TextDelta(1, "Grüße 東"),
        BlockEnd(1),
        BlockStart(2, RefusalBlock()),
        RefusalDelta(2, " No."),
        BlockEnd(2),
        MessageEnd(FinishReason.STOP),
    ]

    assert DIALECT.encoder(CONTEXT).encode(events) == "Grüße 東 No.".encode()


def test_error_cannot_be_said_so_it_must_break_the_connection() -> None:
    assert TextStreamEncoder().encode([StreamError(ErrorKind.CUT, "Cut.")]) == b""
    assert TextStreamEncoder().heartbeat() == b""
    assert isinstance(DIALECT, BreaksOnError) and DIALECT.breaks_on_error


def test_whole_answer_has_its_text() -> None:
    blocks = [
        CompletedBlock(ReasoningBlock(), "Hm."),
        CompletedBlock(TextBlock(), "A"),
        CompletedBlock(TextBlock(), "B"),
    ]

    assert json.loads(DIALECT.encode_completion(Completion("p", "m", blocks), CONTEXT)) == {"text": "AB"}


def test_requests_and_errors_are_those_of_the_ai_sdk() -> None:
    body = b'{"prompt":"hi","stream":false}'
    error = CallerError(ErrorKind.INVALID_REQUEST, "No.")

    assert DIALECT.envelope(body, CallParams()).stream is False
    assert len(DIALECT.decode_request(body, CallParams()).messages) == 1
    assert (DIALECT.status(error), b"No." in DIALECT.encode_error(error, "r")) == (400, True)
