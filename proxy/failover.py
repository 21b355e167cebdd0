"""Which target to ask next, and after what wait: the decisions only, no I/O, so that every rule is a table in a test.

A `Plan` belongs to one call and ends with its first content event. Rules, in the order of their strength:

1. What the request is to blame for is asked of nobody else. Two exceptions: a prompt that is too long may go to targets
   declared larger, and a fault of our own account at one provider (credential, quota, model) goes to the others.
2. A target that was silent is not asked again in this call; nor is one that wants a longer wait than we honour.
3. Targets are asked in their configured order, each once, before any is asked a second time.
4. A second time comes after a back-off: `Retry-After` where given, else exponential with full jitter. Who is asked next
   follows from the configured order and from `Retry-After`, never from the jitter: chance decides about waits alone.
5. A target whose breaker is open is passed over; when all are, the one nearest to its recovery is asked.
6. A call makes `max_attempts` attempts at most, and begins none later than `budget_s`.
"""

from collections.abc import Callable, Sequence

import msgspec

from proxy.breaker import Breaker, Probe
from proxy.hub.errors import ErrorKind, UpstreamError


class RetrySettings(msgspec.Struct, frozen=True):
    """`attempts` counts the first one, per target; `max_attempts` those of all targets."""

    attempts: int = 2
    max_attempts: int = 10
    budget_s: float = 180.0
    """Since the call began, or since its answer was cut."""
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

    __slots__ = ("asked", "breaker", "context_tokens", "is_out", "not_before", "probe", "told_until")

    def __init__(self, breaker: Breaker, context_tokens: int | None) -> None:
        self.breaker = breaker
        self.context_tokens = context_tokens
        """The declared size of the model's context; `None`: not declared."""
        self.asked = 0
        self.is_out = False
        self.not_before = 0.0
        """When the back-off is over."""
        self.told_until = 0.0
        """The same, as far as the target itself asked for it."""
        self.probe: Probe | None = None
        """The newest attempt, when its breaker took it for one."""


class Step(msgspec.Struct, frozen=True):
    """Ask target number `index` after waiting `wait_s`."""

    index: int
    wait_s: float


class Plan:
    """The attempts of one call."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        settings: RetrySettings,
        random: Callable[[], float],
        *,
        began_at: float,
        answered_at: Callable[[], float | None],
    ) -> None:
        """`random` gives numbers in [0, 1); `answered_at`: when the first content event came, if one has come."""
        self._candidates = candidates
        self._settings = settings
        self._random = random
        self._answered_at = answered_at
        self._until = began_at + settings.budget_s
        self._left = settings.max_attempts

    def next(self, now: float) -> Step | None:
        """The next step, or `None` when nobody is left to ask. Counts the target as asked."""
        step = self._choose(now)
        if step is None:
            return None
        self._left -= 1
        candidate = self._candidates[step.index]
        candidate.asked += 1
        candidate.probe = candidate.breaker.begin(now + step.wait_s, self._answered_at)
        return step

    def renew_budget(self, now: float) -> None:
        """The answer was cut: what it took to come so far does not count against those who are to go on with it."""
        self._until = now + self._settings.budget_s

    def succeed(self, index: int) -> None:
        """The answer of target `index` is whole."""
        self._candidates[index].breaker.succeed()

    def release(self, index: int) -> None:
        """The attempt at target `index` has ended without a verdict on it."""
        candidate = self._candidates[index]
        candidate.breaker.release(candidate.probe)

    def break_off(self, index: int, now: float) -> None:
        """Target `index` failed within an answer that the caller was given, and nobody is asked to go on."""
        candidate = self._candidates[index]
        candidate.breaker.fail(now, candidate.probe)

    def fail(self, index: int, error: UpstreamError, now: float) -> None:
        """Target `index` failed before its first content event."""
        candidate = self._candidates[index]
        if error.kind in BREAKER_FAULTS:
            candidate.breaker.fail(now, candidate.probe)
        else:
            candidate.breaker.release(candidate.probe)
        if error.kind in REQUEST_FAULTS:
            self._give_up(error, candidate)
        elif error.kind in ACCOUNT_FAULTS or error.kind in SILENCE:
            candidate.is_out = True
        else:
            self._back_off(candidate, error, now)

    def pass_over(self, index: int) -> None:
        """Target `index`, which `next` named, was not asked after all: it has no place for the call."""
        self.release(index)
        self._candidates[index].is_out = True

    def _choose(self, now: float) -> Step | None:
        if self._left <= 0 or now > self._until:
            return None
        healthy = [
            (candidate.asked, max(candidate.told_until - now, 0.0), index)
            for index, candidate in enumerate(self._candidates)
            if self._is_left(candidate, now) and not candidate.breaker.is_open(now)
        ]
        if healthy:
            index = min(healthy)[2]
            return Step(index, max(self._candidates[index].not_before - now, 0.0))
        nearest = self._nearest_to_recovery()
        return Step(nearest, 0.0) if nearest is not None else None

    def _is_left(self, candidate: Candidate, now: float) -> bool:
        if candidate.is_out or candidate.asked >= self._settings.attempts:
            return False
        return max(candidate.not_before, now) <= self._until

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
            candidate.not_before = candidate.told_until = now + error.retry_after_s
            return
        ceiling = min(settings.max_s, settings.base_s * 2 ** (candidate.asked - 1))
        candidate.not_before = now + ceiling * self._random()
