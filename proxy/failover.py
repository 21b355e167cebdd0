"""Which target to ask next, and after what wait: the decisions only, no I/O, so that every rule is a table in a test.

A `Plan` belongs to one call and ends with its first content event. Rules, in the order of their strength:

1. What the request is to blame for is asked of nobody else. Two exceptions: a prompt that is too long may go to targets
   declared larger, and a fault of our own account at one provider (credential, quota, model) goes to the others.
2. A target that was silent is not asked again in this call; nor is one that wants a longer wait than we honour.
3. Targets are asked in their configured order, each once, before any is asked a second time.
4. A second time comes after a back-off: `Retry-After` where given, else exponential with full jitter.
5. A target whose breaker is open is passed over; when all are, the one nearest to its recovery is asked.
"""

from collections.abc import Callable, Sequence

import msgspec

from proxy.breaker import Breaker
from proxy.hub.errors import ErrorKind, UpstreamError


class RetrySettings(msgspec.Struct, frozen=True):
    """`attempts` counts the first one, per target."""

    attempts: int = 2
    base_s: float = 0.3
    max_s: float = 5.0
    honour_retry_after_s: float = 20.0


REQUEST_FAULTS = frozenset(
    {
        ErrorKind.INVALID_REQUEST,
        ErrorKind.CONTEXT_TOO_LONG,
        ErrorKind.CONTENT_REJECTED,
        ErrorKind.TOO_LARGE,
        ErrorKind.UNSUPPORTED_MEDIA,
    }
)
"""The request is to blame: asking again is wrong."""

ACCOUNT_FAULTS = frozenset(
    {
        ErrorKind.AUTHENTICATION,
        ErrorKind.BILLING,
        ErrorKind.PERMISSION,
        ErrorKind.NOT_FOUND,
        ErrorKind.METHOD_NOT_ALLOWED,
    }
)
"""Our account at this provider is to blame: another provider may do."""

SILENCE = frozenset({ErrorKind.TIMEOUT})
"""The target took the request and said nothing: it may be working on it, so it is never asked twice."""

BREAKER_FAULTS = frozenset(
    {
        ErrorKind.RATE_LIMIT,
        ErrorKind.UPSTREAM_FAILED,
        ErrorKind.UNREACHABLE,
        ErrorKind.OVERLOADED,
        ErrorKind.TIMEOUT,
        ErrorKind.CUT,
        ErrorKind.PROTOCOL,
    }
)
"""Faults that speak against the target itself."""


class Candidate:
    """One target of the call and how it fared."""

    __slots__ = ("asked", "breaker", "context_tokens", "is_out", "not_before")

    def __init__(self, breaker: Breaker, context_tokens: int | None) -> None:
        self.breaker = breaker
        self.context_tokens = context_tokens
        """The declared size of the model's context; `None`: not declared."""
        self.asked = 0
        self.is_out = False
        self.not_before = 0.0


class Step(msgspec.Struct, frozen=True):
    """Ask target number `index` after waiting `wait_s`."""

    index: int
    wait_s: float


class Plan:
    """The attempts of one call."""

    def __init__(self, candidates: Sequence[Candidate], settings: RetrySettings, random: Callable[[], float]) -> None:
        """`random` gives numbers in [0, 1)."""
        self._candidates = candidates
        self._settings = settings
        self._random = random

    def next(self, now: float) -> Step | None:
        """The next step, or `None` when nobody is left to ask. Counts the target as asked."""
        open_ones = [
            (candidate.asked, max(candidate.not_before - now, 0.0), index)
            for index, candidate in enumerate(self._candidates)
            if self._is_left(candidate) and not candidate.breaker.is_open(now)
        ]
        if open_ones:
            _, wait_s, index = min(open_ones)
        else:
            nearest = self._nearest_to_recovery()
            if nearest is None:
                return None
            index, wait_s = nearest, 0.0
        candidate = self._candidates[index]
        candidate.asked += 1
        candidate.breaker.begin(now + wait_s)
        return Step(index, wait_s)

    def fail(self, index: int, error: UpstreamError, now: float) -> None:
        """Target `index` failed before its first content event."""
        candidate = self._candidates[index]
        if error.kind in BREAKER_FAULTS:
            candidate.breaker.fail(now)
        else:
            candidate.breaker.release()
        if error.kind in REQUEST_FAULTS:
            self._give_up(error, candidate)
        elif error.kind in ACCOUNT_FAULTS or error.kind in SILENCE:
            candidate.is_out = True
        else:
            self._back_off(candidate, error, now)

    def pass_over(self, index: int) -> None:
        """Target `index`, which `next` named, was not asked after all: it has no place for the call."""
        candidate = self._candidates[index]
        candidate.breaker.release()
        candidate.is_out = True

    def _is_left(self, candidate: Candidate) -> bool:
        return not candidate.is_out and candidate.asked < self._settings.attempts

    def _nearest_to_recovery(self) -> int | None:
        """Of the targets not asked yet, all of them left alone: the one whose breaker closes first."""
        unasked = [
            (candidate.breaker.recovers_at(), index)
            for index, candidate in enumerate(self._candidates)
            if not candidate.asked and not candidate.is_out
        ]
        asked_any = any(candidate.asked for candidate in self._candidates)
        return min(unasked)[1] if unasked and not asked_any else None

    def _give_up(self, error: UpstreamError, failed: Candidate) -> None:
        for candidate in self._candidates:
            candidate.is_out = candidate.is_out or not (
                error.kind is ErrorKind.CONTEXT_TOO_LONG
                and failed.context_tokens is not None
                and candidate.context_tokens is not None
                and candidate.context_tokens > failed.context_tokens
            )

    def _back_off(self, candidate: Candidate, error: UpstreamError, now: float) -> None:
        settings = self._settings
        if error.retry_after_s is not None:
            if error.retry_after_s > settings.honour_retry_after_s:
                candidate.is_out = True
            candidate.not_before = now + error.retry_after_s
            return
        ceiling = min(settings.max_s, settings.base_s * 2 ** (candidate.asked - 1))
        candidate.not_before = now + ceiling * self._random()
