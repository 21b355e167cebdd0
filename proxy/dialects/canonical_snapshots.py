"""How often a canonical stream writes the value of a JSON text that is still arriving."""

from proxy.hub.partial_json import PartialJson

FREE_SNAPSHOT_CHARS = 64 * 1024
SNAPSHOT_CHARS_PER_CHAR = 8


class Snapshots:
    """When the value of a growing JSON text is written, so that the bytes written stay linear in the text's length.

    Writing the whole value after every delta is quadratic. So each snapshot is paid from a credit that the stream
    shares: `FREE_SNAPSHOT_CHARS` to begin with (short answers show every change), and `SNAPSHOT_CHARS_PER_CHAR` for every
    character that arrives (a long answer shows a snapshot each time it has grown by an eighth). The last value is
    always written. All snapshots together are at most 64 KiB + 9 times the text.
    """

    def __init__(self) -> None:
        self._credit = FREE_SNAPSHOT_CHARS

    def next(self, text: "GrowingJson", arrived: str) -> bytes | None:
        """The value to write after `arrived` came, `None`: it did not change, or it is too early."""
        self._credit += SNAPSHOT_CHARS_PER_CHAR * len(arrived)
        text.machine.feed(arrived)
        size = text.machine.size
        if size == text.written or size > self._credit:
            return None
        self._credit -= size
        return text.take()


class GrowingJson:
    """One JSON text and how much of its value the caller has seen."""

    def __init__(self) -> None:
        self.machine = PartialJson()
        self.written = 0

    def take(self) -> bytes:
        """The value so far, which counts as seen from now on."""
        self.written = self.machine.size
        value = self.machine.value()
        assert value is not None, "a size above zero has a value"
        return value.encode()

    def last(self) -> bytes | None:
        """The value when the text has ended, if the caller has not seen it."""
        self.machine.finish()
        return self.take() if self.machine.size != self.written else None
