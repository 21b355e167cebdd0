"""What is wrong with a configuration: collected, sorted by place, and said all at once."""

from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import urlsplit

import msgspec

from proxy.hub.errors import ConfigError
from proxy.redaction import mask_key_like, mask_recognisable

MAX_SHOWN = 60
"""Characters of a foreign value that a message repeats."""

MAX_PROBLEMS = 100


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from: a place in a file, an environment variable, a flag, a preset, or the defaults."""

    source: str
    line: int = 0
    """From 1; 0: the source has no lines."""
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, as one line."""

    origin: Origin
    path: str
    """The key, as `providers[0].timeouts.idle_s`; empty for the file as a whole."""
    message: str

    def __str__(self) -> str:
        where = f"{self.origin}: {self.path}" if self.path else str(self.origin)
        return mask_recognisable(f"{where}: {self.message}")


class Problems:
    """The problems found so far."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, origin: Origin, path: str, message: str) -> None:
        """Note a problem, once."""
        problem = Problem(origin, path, message)
        if problem not in self.found:
            self.found.append(problem)

    def lines(self) -> list[str]:
        """One line each, in the order of the file."""
        ordered = sorted(self.found, key=lambda one: (one.origin.source, one.origin.line, one.origin.column, one.path))
        lines = [str(problem) for problem in ordered[:MAX_PROBLEMS]]
        if len(ordered) > MAX_PROBLEMS:
            lines.append(f"and {len(ordered) - MAX_PROBLEMS} more problems")
        return lines

    def raise_if_any(self) -> None:
        """Raises ConfigError with every problem so far."""
        if self.found:
            raise ConfigError(self.lines())


def shown(value: object) -> str:
    """`value` for a message: quoted when text, shortened, without anything that looks like a key."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            text = mask_key_like(value)
            return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")
        case _:
            return str(value)[:MAX_SHOWN]


def did_you_mean(wrong: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """`; did you mean 'x'?` when something known is close to `wrong`, else `otherwise`."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(wrong.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else otherwise


def listed(names: Iterable[str], limit: int = 20) -> str:
    """`a, b, c` with at most `limit` names."""
    all_names = list(names)
    text = ", ".join(all_names[:limit])
    return text + (f" and {len(all_names) - limit} more" if len(all_names) > limit else "")


def has_password(url: str) -> bool:
    """Whether a URL holds a user name or a password. An unreadable one counts as if it did."""
    try:
        parts = urlsplit(url)
        return parts.username is not None or parts.password is not None
    except ValueError:
        return True
