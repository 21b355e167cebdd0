"""Recognising the frames that need no whole reading: text deltas of a shape that was read before.

Most of a stream is one frame again and again, with another text in it. Once such a frame was read into exactly one
delta, what stands before and after its text is known. Two uses:

* `Skimmer`, for streams that are relayed: a later frame with the same beginning and the same end, and neither a quotation
  mark nor a line end between them, can only be another delta of the same kind. Telling that costs a tenth of reading it.
* `Rereader`, for streams that are converted: when exactly one JSON string stands between them, it is the delta's text.
"""

import msgspec

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


class Rereader:
    """Reads the deltas of one stream whose shape repeats that of the frame before.

    A decoder may use it for frames of which nothing but the text can change what it does:

        if not rereader.least or (delta := rereader.read(name, json)) is None:
            ...  # read it whole, into events[seen:]
            rereader.least = rereader.learn(name, json, events[seen]) if len(events) == seen + 1 else 0

    so that a frame that was anything but one delta ends what was learnt.
    """

    __slots__ = ("_after", "_before", "_index", "_is_text", "_lessons", "_name", "least")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._name = b""
        self.least = 0
        """Length of a frame without its text; 0: nothing learnt."""
        self._lessons = 0
        self._index = 0
        self._is_text = True

    def read(self, name: bytes, json: bytes) -> TextDelta | ReasoningDelta | None:
        """The delta that the event `name` with the data `json` is, or None: it must be read whole."""
        if len(json) <= self.least or not json.startswith(self._before) or not json.endswith(self._after):
            return None
        if name != self._name:
            return None
        try:
            text = _STRING.decode(json[len(self._before) - 1 : 1 - len(self._after)])
        except ValueError:
            return None
        self._lessons = 0
        return TextDelta(self._index, text) if self._is_text else ReasoningDelta(self._index, text)

    def learn(self, name: bytes, json: bytes, event: Event) -> int:
        """Take a lesson from a frame that was read whole, into `event` alone. The length for `least`."""
        if type(event) is not TextDelta and type(event) is not ReasoningDelta:
            return 0
        if self._lessons >= MAX_LESSONS:
            return 0
        self._lessons += 1
        text = event.text.encode()
        at = json.find(text)
        if len(text) < MIN_TEXT_BYTES or at < 1 or json.find(text, at + 1) >= 0 or b"\\" in json:
            return 0
        before, after = json[:at], json[at + len(text) :]
        if not before.endswith(b'"') or not after.startswith(b'"'):
            return 0
        # Without any escape in it, the frame has no other place from which this text can have come.
        self._before, self._after, self._name = before, after, name
        self._index, self._is_text = event.index, type(event) is TextDelta
        return len(before) + len(after)


_STRING = msgspec.json.Decoder(str)
