"""A whole JSON answer read as a stream: nothing until its end, then everything, or the provider's error."""

import pytest

from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import FinishReason, MessageEnd, StreamError, TextBlock
from proxy.hub.grammar import check
from proxy.hub.whole import WholeDecoder


def decode(body: bytes) -> Completion:
    match body:
        case b"fault":
            raise UpstreamError(ErrorKind.OVERLOADED, "busy", code="slow_down")
        case b"garbage":
            raise UpstreamProtocolError("no JSON")
        case _:
            text = CompletedBlock(TextBlock(), body.decode())
            return Completion("i", "m", [text], None, MessageEnd(FinishReason.STOP))


def test_all_events_come_at_the_end_whatever_the_pieces() -> None:
    decoder = WholeDecoder(decode, 100)

    assert [decoder.feed(bytes([byte])) for byte in b"hello"] == [[]] * 5
    events = decoder.finish()

    assert check(events) == []
    assert events[-1] == MessageEnd(FinishReason.STOP)
    assert "hello" in repr(events)


def test_an_error_object_is_the_streams_error() -> None:
    decoder = WholeDecoder(decode, 100)
    decoder.feed(b"fault")

    assert decoder.finish() == [StreamError(ErrorKind.OVERLOADED, "busy", "slow_down")]


def test_what_is_no_answer_stays_a_protocol_fault() -> None:
    decoder = WholeDecoder(decode, 100)
    decoder.feed(b"garbage")

    with pytest.raises(UpstreamProtocolError):
        decoder.finish()


def test_a_body_over_the_cap_is_a_protocol_fault() -> None:
    decoder = WholeDecoder(decode, 4)

    with pytest.raises(UpstreamProtocolError):
        decoder.feed(b"hello")
