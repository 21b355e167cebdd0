"""Recognising the frames of a relayed stream that need no reading: text deltas of a shape that was read before.

Most of a stream is one frame again and again, with another text in it. Once the tap has read such a frame into exactly
one delta, what stands before and after its text is known. A later frame with the same beginning and the same end, and
neither a quotation mark nor a line end between them, can only be another delta of the same kind. Telling that costs a
tenth of reading it.
"""

from proxy.hub.events import Event, ReasoningDelta, TextDelta

MAX_LESSONS = 16
"""Frames that are tried to learn from: a provider that pads each frame with random bytes never gives a lesson."""
MIN_TEXT_BYTES = 3
"""Shorter texts are likely to stand elsewhere in the frame as well."""


class Skimmer:
    """Learns the shape of a stream's deltas."""

    __slots__ = ("_after", "_before", "_least", "_lessons")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._least = 0
        """Length of a frame with an empty text; 0: nothing learnt."""
        self._lessons = 0

    def is_delta(self, frame: bytes) -> bool:
        """Whether `frame` is one more delta of the shape that was learnt, with some text."""
        least = self._least
        if not least or len(frame) <= least:
            return False
        before = self._before
        if not frame.startswith(before) or not frame.endswith(self._after):
            return False
        start, end = len(before), len(frame) - len(self._after)
        return frame.find(b'"', start, end) < 0 and frame.find(b"\n", start, end) < 0 and frame[end - 1] != 0x5C

    def learn(self, frame: bytes, events: list[Event]) -> None:
        """Take a lesson from a frame that was read."""
        if self._lessons >= MAX_LESSONS or len(events) != 1:
            return
        event = events[0]
        if type(event) is not TextDelta and type(event) is not ReasoningDelta:
            return
        self._lessons += 1
        text = event.text.encode()
        at = frame.find(text)
        if len(text) < MIN_TEXT_BYTES or at < 1 or frame.find(text, at + 1) >= 0:
            return
        before, after = frame[:at], frame[at + len(text) :]
        if before.endswith(b'"') and after.startswith(b'"') and b'"' not in text:
            self._before, self._after = before, after
            self._least = len(before) + len(after)
