"""Inline `<think>…</think>` as reasoning, for servers that leave a model's thinking in its text (quirk `think_tags`)."""

OPEN = "<think>"
CLOSE = "</think>"


class ThinkTags:
    """Tells reasoning from text, whatever the split. At most a part of one tag is held back for the next piece."""

    __slots__ = ("_held", "_inside")

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def feed(self, piece: str) -> list[tuple[bool, str]]:
        """Pieces without tags, none empty; True: the piece is reasoning."""
        pieces: list[tuple[bool, str]] = []
        rest = self._held + piece
        self._held = ""
        while rest:
            tag = CLOSE if self._inside else OPEN
            before, found, after = rest.partition(tag)
            if not found:
                held = _beginning_of(tag, rest)
                self._held = rest[len(rest) - held :]
                before = rest[: len(rest) - held]
            if before:
                pieces.append((self._inside, before))
            if not found:
                break
            self._inside = not self._inside
            rest = after
        return pieces

    def finish(self) -> tuple[bool, str] | None:
        """What was held back and turned out to be no tag."""
        held, self._held = self._held, ""
        return (self._inside, held) if held else None


def _beginning_of(tag: str, text: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
