"""Patterns of model names: `*` stands for any characters, `?` for one; everything else, `[` too, for itself."""

import re
from collections.abc import Iterable

WILDCARDS = frozenset("*?")


def is_glob(name: str) -> bool:
    """Whether `name` is a pattern and not a name."""
    return not WILDCARDS.isdisjoint(name)


def compile_glob(glob: str) -> re.Pattern[str]:
    """For `fullmatch`."""
    parts = [".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", glob)]
    return re.compile("".join(parts), re.DOTALL)


def globs_meet(first: str, second: str) -> bool:
    """Whether some name matches both."""
    reached = _skip_stars(first, {0})
    for character in second:
        if character == "*":
            # Any further characters of the second: every later place of the first can be reached.
            reached = set(range(min(reached, default=len(first) + 1), len(first) + 1))
        else:
            reached = _skip_stars(first, _step(first, reached, character))
    return len(first) in reached


def _step(glob: str, places: Iterable[int], character: str) -> set[int]:
    """The places in `glob` after one more character, itself perhaps a `?`."""
    after: set[int] = set()
    for place in places:
        if place == len(glob):
            continue
        expected = glob[place]
        if expected == "*":
            after.add(place)
        elif expected == "?" or character in ("?", expected):
            after.add(place + 1)
    return after


def _skip_stars(glob: str, places: set[int]) -> set[int]:
    """`places`, and those behind the stars that they stand before."""
    found = set(places)
    for place in places:
        while place < len(glob) and glob[place] == "*":
            place += 1
            found.add(place)
    return found


class AllowList:
    """Which models a key may ask for. Decided on what the caller asked, which is also what its text makes of the target.

    A glob without a slash is about model names; one with a slash about `provider/model`. So `gpt-*` does not open every
    provider's models of that name, and `open*` does not open `openai/…`.
    """

    __slots__ = ("_names", "_patterns", "globs")

    def __init__(self, globs: tuple[str, ...]) -> None:
        self.globs = globs
        self._names = frozenset(glob for glob in globs if not is_glob(glob))
        self._patterns = [(compile_glob(glob), "/" in glob) for glob in globs if is_glob(glob)]

    def allows(self, asked: str, sent: str) -> bool:
        """Whether the caller may ask for `asked`, where that makes the provider's model `sent` (often the same text)."""
        if asked in self._names:
            return True
        for pattern, has_slash in self._patterns:
            if pattern.fullmatch(asked) is not None and (has_slash or pattern.fullmatch(sent) is not None):
                return True
        return False

    def meets(self, name: str) -> bool:
        """Whether `name`, perhaps a pattern, covers something that is allowed."""
        return any(globs_meet(name, glob) for glob in self.globs)
