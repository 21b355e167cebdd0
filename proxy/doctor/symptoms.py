"""What was measured, as plain data. Times are seconds of one clock, or durations where the name ends in `_s`."""

from enum import StrEnum

import msgspec

from proxy.demo.fates import Told
from proxy.doctor.conversation import Ending
from proxy.upstream.answer import AnswerHead


class Event(msgspec.Struct, frozen=True):
    """One event of a stream."""

    at: float
    text: str
    """Of its delta; empty where it has none."""


class Read(msgspec.Struct, frozen=True):
    """What one read brought of the body."""

    at: float
    size: int


class StreamSeen(msgspec.Struct):
    """One stream, from its request to its end."""

    sent_at: float
    head: AnswerHead | None = None
    """`None`: the connection ended, or the time was over, before the answer's head came."""
    reads: list[Read] = []
    events: list[Event] = []
    is_finished: bool = False
    """The dialect's own terminator came."""
    error: str = ""
    """The code, else the type, of an error event in the dialect."""
    body: bytes = b""
    """Of an answer that is no stream, its beginning."""
    ending: Ending = Ending.LATE
    ended_at: float = 0.0


class WholeSeen(msgspec.Struct):
    """One answer that is no stream."""

    took_s: float
    head: AnswerHead | None
    body: bytes
    ending: Ending
    was_told_to_go_on: bool = False


class LeavingSeen(msgspec.Struct):
    """What the model knew after the reader of an endless answer had left."""

    told: Told
    took_s: float | None
    """From the leaving to the end of the answer; `None`: it still ran, or is not known."""
    waited_s: float


class PressureSeen(msgspec.Struct):
    """What the model had sent of a large answer while its reader did not read."""

    total_bytes: int
    """Of the whole answer."""
    earlier: Told
    """Half a pause before `last`."""
    last: Told
    paused_s: float


class Silence(StrEnum):
    """Where nothing comes for a while."""

    MIDDLE = "in the middle of an answer"
    FIRST = "before the first event"
    PINGS = "with keep-alives of the provider"
