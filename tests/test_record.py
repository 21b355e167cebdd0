"""The record of a call over several attempts."""

from proxy.hub.errors import ErrorKind
from proxy.hub.events import Usage
from proxy.record import OUTCOME_OF_STREAM_ERROR, CallRecord, Outcome


def failed() -> CallRecord:
    """A call whose first upstream broke in the middle."""
    record = CallRecord("req_1", "openai_chat", 10.0)
    record.begin_attempt(10.0, is_joining=False)
    record.first_event_s, record.last_event_s = 0.5, 0.9
    record.outcome, record.error, record.upstream_status = Outcome.CUT, ErrorKind.CUT, 200
    record.usage, record.dropped = Usage(input=1), ("seed",)
    return record


def test_another_attempt_forgets_what_the_first_one_showed() -> None:
    record = failed()

    record.begin_attempt(10.0, is_joining=False)

    assert record.attempts == 2
    assert (record.outcome, record.error, record.upstream_status, record.usage) == (None, None, 0, None)
    assert (record.first_event_s, record.last_event_s, record.dropped) == (None, None, ())


def test_an_answer_that_is_continued_keeps_its_first_event() -> None:
    record = failed()

    record.begin_attempt(10.0, is_joining=True)

    assert (record.first_event_s, record.last_event_s) == (0.5, 0.9)
    assert record.usage is None


def test_only_faults_of_the_stream_itself_have_an_outcome_of_their_own() -> None:
    assert OUTCOME_OF_STREAM_ERROR == {ErrorKind.CUT: Outcome.CUT, ErrorKind.PROTOCOL: Outcome.PROTOCOL_ERROR}
