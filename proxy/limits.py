"""Who may begin a call now: places for calls in progress, a short queue for them, and rates of each key.

Places are counted for all callers together, for each key and for each provider. A call takes all of them in one step or
none, so nobody waits while holding what another needs; the queue is first come, first served among those who could go.
A provider's place is left when its attempt has failed, and another one is taken for the next target.

Rates are exact: in no stretch of 60 seconds does a key begin more than its `requests_per_minute`, whatever becomes of
the calls. `tokens_per_minute` looks back: a call may begin while the tokens that providers reported within the last 60
seconds are below the limit, so that calls in progress can overshoot it; what nobody reported is not counted.

Nothing here waits but `Limiter.wait`; a call that finds its places free pays a few dictionary look-ups.
"""

import asyncio
from collections import deque
from collections.abc import Mapping

import msgspec

from proxy.auth import Caller
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Usage
from proxy.limits_redis import Claim, SharedLimits

WINDOW_S = 60.0

BUSY_RETRY_S = 1.0
"""What a refused caller is told to wait for a place: nobody knows when a stream ends."""


class Wanted(msgspec.Struct, frozen=True):
    """What a call needs to begin, by the configuration that it began with."""

    caller: Caller
    max_streams: int
    """Of all callers together."""
    providers: tuple[str, ...] = ()
    """Of its targets, in their order: a place at any one of them is enough to begin."""
    provider_limits: Mapping[str, int] = {}
    """Places at providers; one that is absent has no limit."""


class Window:
    """A sum over the last 60 seconds, exact to the entry."""

    __slots__ = ("_entries", "total")

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self.total = 0

    def wait_s(self, limit: int, now: float) -> float:
        """Until the sum is below `limit`; 0 when it is."""
        entries = self._entries
        while entries and entries[0][0] <= now - WINDOW_S:
            self.total -= entries.popleft()[1]
        if self.total < limit:
            return 0.0
        left = self.total
        for at, amount in entries:
            left -= amount
            if left < limit:
                return at + WINDOW_S - now
        return WINDOW_S

    def add(self, amount: int, now: float) -> None:
        """Count `amount`."""
        self._entries.append((now, amount))
        self.total += amount

    def take_back(self, amount: int, at: float) -> None:
        """Undo `add(amount, at)`: a recent one, so it is looked for from the end."""
        entries = self._entries
        for index in range(len(entries) - 1, -1, -1):
            if entries[index] == (at, amount):
                del entries[index]
                self.total -= amount
                return


class _Key:
    """The state of one key's name. Outlives reloads."""

    __slots__ = ("calls", "in_use", "tokens")

    def __init__(self) -> None:
        self.in_use = 0
        self.calls = Window()
        self.tokens = Window()


class Admission:
    """The places of one call. Made by `Limiter.enter` or `wait`; `end` gives them back."""

    __slots__ = ("_limiter", "_provider", "_wanted", "claim")

    def __init__(self, limiter: "Limiter", wanted: Wanted, provider: str | None) -> None:
        self._limiter = limiter
        self._wanted = wanted
        self._provider = provider
        self.claim: Claim | None = None
        """As what other replicas know of the call."""

    def move_to(self, provider: str) -> bool:
        """Take a place at `provider` and leave the one before. False, without any place, when it is full."""
        if provider == self._provider:
            return True
        self.leave_provider()
        if not self._limiter.take_provider(provider, self._wanted.provider_limits.get(provider)):
            return False
        self._provider = provider
        return True

    def leave_provider(self) -> None:
        """The attempt is over: another call may have the place."""
        if self._provider is not None:
            provider, self._provider = self._provider, None
            self._limiter.leave_provider(provider)

    def end(self, usage: Usage | None) -> None:
        """The call is over, and `usage` is what its provider reported."""
        tokens = (usage.input or 0) + (usage.output or 0) if usage is not None else 0
        provider, self._provider = self._provider, None
        self._limiter.release(self._wanted.caller, provider, tokens, self.claim)


class _Waiter(msgspec.Struct, eq=False):
    wanted: Wanted
    granted: asyncio.Future[Admission]


class Limiter:
    """The places and rates of one process. Limits come with each call, so that a reload changes them at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: SharedLimits | None = None) -> None:
        self.shared = shared
        """Counts that replicas have in common; `None`: this process counts for itself."""
        self.refused: dict[str, int] = {}
        """Calls refused since a scrape took the counts over, by the limit that refused them."""
        self.in_use = 0
        self._loop = loop
        self._keys: dict[str, _Key] = {}
        self._providers: dict[str, int] = {}
        self._waiters: dict[_Waiter, None] = {}

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._waiters)

    def count_rate(self, caller: Caller) -> float:
        """Count the call in its key's rates, at the time that is returned. Raises CallerError (429) when they are used up."""
        now = self._loop.time()
        if caller.requests_per_minute is None and caller.tokens_per_minute is None:
            return now
        key = self._key(caller.name)
        if caller.requests_per_minute is not None:
            wait_s = key.calls.wait_s(caller.requests_per_minute, now)
            if wait_s:
                raise self.refuse("requests_per_minute", wait_s)
        if caller.tokens_per_minute is not None:
            wait_s = key.tokens.wait_s(caller.tokens_per_minute, now)
            if wait_s:
                raise self.refuse("tokens_per_minute", wait_s)
        key.calls.add(1, now)
        return now

    def uncount_rate(self, caller: Caller, at: float) -> None:
        """Another replica's count refused the call that `count_rate` counted `at`."""
        self._key(caller.name).calls.take_back(1, at)

    def enter(self, wanted: Wanted) -> Admission | None:
        """All places for a call, or `None` when one of them is taken."""
        if self._blocked_by(wanted) is not None:
            return None
        self.in_use += 1
        if wanted.caller.name:
            self._key(wanted.caller.name).in_use += 1
        provider = self._free_provider(wanted)
        if provider is not None:
            self._providers[provider] = self._providers.get(provider, 0) + 1
        return Admission(self, wanted, provider)

    async def wait(self, wanted: Wanted, *, queue_size: int, queue_wait_s: float) -> Admission:
        """Wait for the places that `enter` did not find. Raises CallerError: 429 when the key's own limit is the cause, else 503.

        A caller who leaves meanwhile cancels the waiting, and leaves no trace.
        """
        if len(self._waiters) >= queue_size:
            raise self._full(wanted)
        waiter = _Waiter(wanted, self._loop.create_future())
        self._waiters[waiter] = None
        timer = self._loop.call_later(queue_wait_s, self._give_up, waiter)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                waiter.granted.result().end(None)
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def refuse(self, limit: str, retry_after_s: float) -> CallerError:
        """The refusal by a key's limit, counted."""
        self.refused[limit] = self.refused.get(limit, 0) + 1
        return CallerError(ErrorKind.RATE_LIMIT, _MESSAGES[limit], code=limit, retry_after_s=_whole(retry_after_s))

    def overload(self, limit: str) -> CallerError:
        """The refusal by a limit that is not the caller's own, counted."""
        self.refused[limit] = self.refused.get(limit, 0) + 1
        return CallerError(ErrorKind.OVERLOADED, _MESSAGES[limit], code=limit, retry_after_s=BUSY_RETRY_S)

    # --- what admissions give back

    def take_provider(self, provider: str, limit: int | None) -> bool:
        """A place at `provider`, if there is one."""
        taken = self._providers.get(provider, 0)
        if limit is not None and taken >= limit:
            return False
        self._providers[provider] = taken + 1
        return True

    def leave_provider(self, provider: str) -> None:
        """Give a provider's place back."""
        self._providers[provider] -= 1
        if self._waiters:
            self._grant()

    def release(self, caller: Caller, provider: str | None, tokens: int, claim: Claim | None) -> None:
        """A call is over."""
        self.in_use -= 1
        if caller.name:
            key = self._key(caller.name)
            key.in_use -= 1
            if tokens and caller.tokens_per_minute is not None:
                key.tokens.add(tokens, self._loop.time())
        if provider is not None:
            self._providers[provider] -= 1
        if claim is not None and self.shared is not None:
            self.shared.release(claim, tokens if caller.tokens_per_minute is not None else 0)
        if self._waiters:
            self._grant()

    # --- inside

    def _blocked_by(self, wanted: Wanted) -> str | None:
        """The limit that keeps the call out; `None`: it may go."""
        if self.in_use >= wanted.max_streams:
            return "max_streams"
        caller = wanted.caller
        if caller.max_streams is not None and self._key(caller.name).in_use >= caller.max_streams:
            return "key_max_streams"
        if wanted.providers and self._free_provider(wanted) is None:
            return "provider_max_streams"
        return None

    def _free_provider(self, wanted: Wanted) -> str | None:
        limits = wanted.provider_limits
        for provider in wanted.providers:
            limit = limits.get(provider)
            if limit is None or self._providers.get(provider, 0) < limit:
                return provider
        return None

    def _grant(self) -> None:
        """Let those in who can go, in the order of their coming."""
        for waiter in list(self._waiters):
            if waiter.granted.done():
                continue
            admission = self.enter(waiter.wanted)
            if admission is not None:
                del self._waiters[waiter]
                waiter.granted.set_result(admission)
            elif self.in_use >= waiter.wanted.max_streams:
                return

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.granted.done():
            waiter.granted.set_exception(self._full(waiter.wanted))

    def _full(self, wanted: Wanted) -> CallerError:
        limit = self._blocked_by(wanted) or "max_streams"
        return self.refuse(limit, BUSY_RETRY_S) if limit == "key_max_streams" else self.overload(limit)

    def _key(self, name: str) -> _Key:
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = _Key()
        return key


LIMITS = ("max_streams", "key_max_streams", "provider_max_streams", "requests_per_minute", "tokens_per_minute")
"""The names of all limits, as in `Limiter.refused`, in errors and in metrics."""

_MESSAGES = {
    "max_streams": "Too many calls are in progress; try again.",
    "key_max_streams": "This key has as many calls in progress as it may have.",
    "provider_max_streams": "The provider has as many calls in progress as it may have; try again.",
    "requests_per_minute": "This key has made as many requests as it may make in a minute.",
    "tokens_per_minute": "This key has used as many tokens as it may use in a minute.",
}


def _whole(seconds: float) -> float:
    """Up to the next whole second, the unit of `retry-after`: one who waits so long is let in."""
    return float(-(-seconds // 1))
