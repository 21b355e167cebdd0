"""What became of answers that bore a name, so that who reads from afar can ask what was seen here.

A caller names an answer with `nonce=NAME` and asks with `fate=NAME` in another request. The name must be hard to guess:
whoever knows it learns how the answer ended, when, and how many bytes of it were sent. Only the newest are remembered.
"""

import re
from collections.abc import Callable
from enum import StrEnum

import msgspec

NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")

_MAX_REMEMBERED = 1000


class State(StrEnum):
    """Whether an answer still runs, and how it ended."""

    LIVE = "live"
    COMPLETED = "completed"
    FAILED = "failed"
    """By a fault that the prompt asked for."""
    LEFT = "left"
    """Whoever asked has closed the connection."""
    UNKNOWN = "unknown"
    """Nobody of this name was answered by this process."""


class Fate(msgspec.Struct):
    """One named answer. Times are of `clock`."""

    began: float
    state: State = State.LIVE
    tokens: int = 0
    bytes: int = 0
    """Of the body; what a connection holds back counts when it was taken."""
    ended: float | None = None


class Told(msgspec.Struct, omit_defaults=True):
    """What is answered about a fate."""

    state: State
    tokens: int = 0
    bytes: int = 0
    age_s: float = 0.0
    ended_ago_s: float | None = None


class Fates:
    """The named answers of one server."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._fates: dict[str, Fate] = {}

    def begin(self, name: str) -> Fate:
        """A new answer of this name; an older one of the same name is forgotten."""
        self._fates.pop(name, None)
        if len(self._fates) >= _MAX_REMEMBERED:
            del self._fates[next(iter(self._fates))]
        fate = self._fates[name] = Fate(self._clock())
        return fate

    def end(self, fate: Fate, state: State) -> None:
        """The answer runs no longer."""
        fate.state, fate.ended = state, self._clock()

    def tell(self, name: str) -> str:
        """What is known about `name`, as JSON text."""
        fate = self._fates.get(name)
        if fate is None:
            return msgspec.json.encode(Told(State.UNKNOWN)).decode()
        now = self._clock()
        ago = None if fate.ended is None else round(now - fate.ended, 4)
        told = Told(fate.state, fate.tokens, fate.bytes, round(now - fate.began, 4), ago)
        return msgspec.json.encode(told).decode()
