"""Bytes of no known format: relayed as they are, whole when HTTP says so."""

from proxy.hub.errors import ErrorKind
from proxy.hub.events import StreamError
from proxy.hub.raw import Raw


def test_bytes_pass_as_they_are() -> None:
    raw = Raw()

    assert raw.feed(b"\x00\xff") + raw.feed(b"rest") + raw.finish() == b"\x00\xffrest"
    assert raw.summary.ended
    assert raw.summary.error is None
    assert raw.summary.content_events == 2


def test_a_fault_has_no_words() -> None:
    raw = Raw()
    raw.feed(b"half")

    assert raw.fail(StreamError(ErrorKind.CUT, "cut")) + raw.ending() + raw.heartbeat() == b""
    assert raw.summary.error is not None
    assert raw.summary.end is None


def test_a_fault_after_the_end_changes_nothing() -> None:
    raw = Raw()
    raw.finish()
    raw.fail(StreamError(ErrorKind.CUT, "cut"))

    assert raw.summary.error is None
