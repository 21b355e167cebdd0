"""A circuit breaker per target: a target that keeps failing is left alone for a while, then probed by one call.

    CLOSED --failures within the window--> OPEN --open_s passed--> one probe --success--> CLOSED
                                             ^------------------------probe fails-----------'

Only the target's own faults count. A caller that leaves says nothing about the target, so a call that was given up
must be reported with `release`, else its probe would block the target for ever.

A probe has succeeded with its first content event, not with its last: a stream may go on for minutes, and others need
not wait for that. The breaker looks for it when the next call comes, so that no stream has to report it.
"""

from collections import deque
from collections.abc import Callable, ItemsView

import msgspec


class BreakerSettings(msgspec.Struct, frozen=True):
    """`failures` within `window_s` open the breaker for `open_s`; `failures` 0 switches breakers off."""

    failures: int = 5
    window_s: float = 30.0
    open_s: float = 15.0


MAX_TARGETS = 1000
"""With patterns, callers name the upstream's models: what is remembered of those that work is bounded."""


class Probe(msgspec.Struct, eq=False):
    """The one call that a half-open breaker lets through."""

    began_at: float
    answered_at: Callable[[], float | None]
    """When the call's first content event came; `None`: not yet."""

    @property
    def has_answered(self) -> bool:
        """Whether content came from this very target: a call that goes on with a cut answer had some before."""
        answered_at = self.answered_at()
        return answered_at is not None and answered_at >= self.began_at


class Breaker:
    """The state of one target. Times are of one monotonic clock."""

    __slots__ = ("_failed_at", "_open_until", "_probe", "_settings", "opened")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self.opened = 0
        """How often it opened since somebody last took note (and set this to 0)."""
        self._failed_at: deque[float] = deque(maxlen=max(settings.failures, 1))
        self._open_until: float | None = None
        """`None`: closed. In the past: half open."""
        self._probe: Probe | None = None

    def is_open(self, now: float) -> bool:
        """Whether calls should go elsewhere: open, or half open with its probe under way."""
        if self._open_until is None:
            return False
        if self._probe is not None and self._probe.has_answered:
            self.succeed()
            return False
        return now < self._open_until or self._probe is not None

    @property
    def is_pristine(self) -> bool:
        """Whether it knows nothing that a new one does not."""
        return self._open_until is None and not self._failed_at and not self.opened

    def recovers_at(self) -> float:
        """When a probe is due; 0 when the breaker is closed."""
        return self._open_until or 0.0

    def begin(self, now: float, answered_at: Callable[[], float | None]) -> Probe | None:
        """A call goes to the target: a half-open breaker takes it as its probe, unless another one is on its way."""
        if self._open_until is None or now < self._open_until or self._probe is not None:
            return None
        self._probe = Probe(now, answered_at)
        return self._probe

    def succeed(self) -> None:
        """The target answered."""
        self._open_until = None
        self._probe = None
        self._failed_at.clear()

    def fail(self, now: float, probe: Probe | None = None) -> None:
        """The target failed by its own fault, in the call that `begin` made its `probe`, or in any other."""
        settings = self._settings
        if not settings.failures:
            return
        if probe is not None and probe is self._probe:
            self._probe = None
            self._open(now)
            return
        self._failed_at.append(now)
        is_full = len(self._failed_at) == settings.failures
        if is_full and now - self._failed_at[0] <= settings.window_s:
            self._open(now)

    def _open(self, now: float) -> None:
        if self._open_until is None or now >= self._open_until:
            self.opened += 1
        self._open_until = now + self._settings.open_s

    def release(self, probe: Probe | None) -> None:
        """The call ended without a verdict on the target. Any but the probe itself leaves the probe alone."""
        if probe is not None and probe is self._probe:
            self._probe = None


class Breakers:
    """The breakers of all targets (provider and model), made when a target is first used."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self._by_target: dict[tuple[str, str], Breaker] = {}

    def of(self, target: tuple[str, str]) -> Breaker:
        """The breaker of `target`."""
        breaker = self._by_target.get(target)
        if breaker is None:
            if len(self._by_target) >= MAX_TARGETS:
                self._forget_healthy()
            breaker = self._by_target[target] = Breaker(self.settings)
        return breaker

    def items(self) -> ItemsView[tuple[str, str], Breaker]:
        """All of them, for whoever shows them."""
        return self._by_target.items()

    def _forget_healthy(self) -> None:
        """Make room: a breaker without a failure is no different from a new one. Without such, the oldest goes."""
        self._by_target = {target: one for target, one in self._by_target.items() if not one.is_pristine}
        if len(self._by_target) >= MAX_TARGETS:
            del self._by_target[next(iter(self._by_target))]
