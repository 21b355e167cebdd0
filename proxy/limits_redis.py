"""Limits of keys that replicas have in common, in Redis or Valkey: one script, one round trip, the server's clock.

For each key's name there are a sorted set of the calls of the last minute, one of reported tokens with their sum, and
one of calls in progress. The last holds leases: a replica renews its own, and what a dead one held lapses after
`LEASE_S`. All three are asked and counted in one script, so that replicas cannot overrun a limit together.

Redis is never in the way: an answer that takes longer than `ASK_TIMEOUT_S`, or none, means that this process's own
counts decide, which are always kept. From then on nobody asks until a ping in the background has been answered: one is
sent at once, so that a single slow answer means little, and then every `PING_S`.

Needs the extra `redis`, which is imported only when a store is configured.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Protocol, cast

import msgspec

from proxy.auth import Caller
from proxy.hub.errors import ConfigError

_LOG = logging.getLogger("proxy.limits")

ASK_TIMEOUT_S = 0.05
"""The longest that a call waits for the store."""
PING_S = 1.0
PING_TIMEOUT_S = 1.0
LEASE_S = 30.0
RENEW_S = 10.0
MAX_CONNECTIONS = 32
MAX_PENDING_REPORTS = 1000
"""Ends of calls on their way to the store; more are dropped: their leases lapse, their tokens stay uncounted there."""

_ADMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local calls, tokens, sum, live = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local rpm, tpm, streams, id = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
if rpm > 0 then
  redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - 60000)
  local count = redis.call('ZCARD', calls)
  if count >= rpm then
    local oldest = redis.call('ZRANGE', calls, count - rpm, count - rpm, 'WITHSCORES')
    return {'requests_per_minute', oldest[2] + 60000 - now}
  end
end
if tpm > 0 then
  local old = redis.call('ZRANGEBYSCORE', tokens, '-inf', now - 60000)
  for _, entry in ipairs(old) do redis.call('DECRBY', sum, string.match(entry, '^%d+')) end
  redis.call('ZREMRANGEBYSCORE', tokens, '-inf', now - 60000)
  local left = tonumber(redis.call('GET', sum) or '0')
  if left >= tpm then
    local entries = redis.call('ZRANGE', tokens, 0, -1, 'WITHSCORES')
    for index = 1, #entries, 2 do
      left = left - tonumber(string.match(entries[index], '^%d+'))
      if left < tpm then return {'tokens_per_minute', entries[index + 1] + 60000 - now} end
    end
  end
end
if streams > 0 then
  redis.call('ZREMRANGEBYSCORE', live, '-inf', now)
  if redis.call('ZCARD', live) >= streams then return {'key_max_streams', 1000} end
  redis.call('ZADD', live, now + tonumber(ARGV[5]), id)
  redis.call('PEXPIRE', live, ARGV[5])
end
if rpm > 0 then
  redis.call('ZADD', calls, now, id)
  redis.call('PEXPIRE', calls, 61000)
end
return {'', 0}
"""

_REPORT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tokens, sum, live = KEYS[2], KEYS[3], KEYS[4]
redis.call('ZREM', live, ARGV[1])
if tonumber(ARGV[2]) > 0 then
  redis.call('ZADD', tokens, now, ARGV[2] .. ':' .. ARGV[1])
  redis.call('INCRBY', sum, ARGV[2])
  redis.call('PEXPIRE', tokens, 3600000)
  redis.call('PEXPIRE', sum, 3600000)
end
return 1
"""
"""Tokens and their sum expire together, long after they count for anything: neither may outlive the other."""

_RENEW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for index = 2, #ARGV do redis.call('ZADD', KEYS[4], now + ARGV[1], ARGV[index]) end
redis.call('PEXPIRE', KEYS[4], ARGV[1])
return 1
"""


class Client(Protocol):
    """What is used of `redis.asyncio.Redis`."""

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> Awaitable[object]: ...

    def ping(self) -> Awaitable[object]: ...

    def aclose(self) -> Awaitable[None]: ...


class Claim(msgspec.Struct, frozen=True):
    """A call as the store knows it."""

    caller: str
    id: str


class Refused(msgspec.Struct, frozen=True):
    """The store's no."""

    limit: str
    wait_s: float


class SharedLimits:
    """The store of one process. `start` before use, `close` at the end."""

    def __init__(self, client: Client, prefix: str = "llm-stream-proxy") -> None:
        self.is_away = False
        """The store does not answer: this process's own counts decide."""
        self.failures = 0
        self._client = client
        self._prefix = prefix
        self._me = secrets.token_hex(6)
        self._number = 0
        self._held: dict[Claim, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._doubt = asyncio.Event()
        self._keeper = self._loop.create_task(self._keep())

    async def connect(self) -> None:
        """Make the first connection, which takes longer than a question may; without success the store is away."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._client.ping()
        except Exception as fault:  # as in `ask`
            self._lost(fault)

    async def ask(self, caller: Caller) -> Claim | Refused | None:
        """Count a call of `caller` for all replicas. `None`: the store is away, and nothing was counted.

        Takes `ASK_TIMEOUT_S` at most.
        """
        if self.is_away:
            return None
        self._number += 1
        claim = Claim(caller.name, f"{self._me}-{self._number}")
        arguments = (
            *(str(caller.requests_per_minute or 0), str(caller.tokens_per_minute or 0), str(caller.max_streams or 0)),
            *(claim.id, _milliseconds(LEASE_S)),
        )
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                answer = await self._eval(_ADMIT, caller.name, arguments)
        except asyncio.CancelledError:
            # The caller has left, and nobody knows whether it was counted.
            self.release(claim, 0)
            raise
        except Exception as fault:  # whatever the client raises means the same: the store did not answer
            self._lost(fault)
            return None
        # The script returns a name and milliseconds; the client's type says nothing about scripts.
        limit, wait_ms = cast("tuple[bytes | str, int | bytes]", answer)
        name = limit.decode() if isinstance(limit, bytes) else limit
        if name:
            return Refused(name, float(wait_ms) / 1000)
        if caller.max_streams is not None:
            self._held[claim] = None
        return claim

    def release(self, claim: Claim, tokens: int) -> None:
        """A call is over. Told to the store in the background."""
        self._held.pop(claim, None)
        if len(self._tasks) < MAX_PENDING_REPORTS and not self.is_away:
            self._start(self._report(claim, tokens))

    async def close(self) -> None:
        """Tell what is still to be told, for a moment, and disconnect."""
        self._keeper.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PING_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._keeper, *self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # closing a connection that is broken anyway
            await self._client.aclose()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, claim: Claim, tokens: int) -> None:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._eval(_REPORT, claim.caller, (claim.id, str(tokens)))
        except Exception as fault:  # as in `ask`
            self._lost(fault)

    async def _keep(self) -> None:
        """Renew leases, and look for a store that is away."""
        renewed_at = self._loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await self._doubt.wait()
            self._doubt.clear()
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    if self.is_away:
                        await self._client.ping()
                        self._found()
                        renewed_at = 0.0
                    if self._loop.time() - renewed_at >= RENEW_S:
                        await self._renew()
                        renewed_at = self._loop.time()
            except Exception as fault:  # as in `ask`
                self._lost(fault)

    async def _renew(self) -> None:
        by_caller: dict[str, list[str]] = {}
        for claim in self._held:
            by_caller.setdefault(claim.caller, []).append(claim.id)
        for caller, ids in by_caller.items():
            await self._eval(_RENEW, caller, (_milliseconds(LEASE_S), *ids))

    def _eval(self, script: str, caller: str, arguments: Sequence[str]) -> Awaitable[object]:
        # One hash tag for the keys of a caller: a cluster keeps them together, as a script demands.
        tag = f"{self._prefix}:{{{caller}}}:"
        return self._client.eval(script, 4, f"{tag}calls", f"{tag}tokens", f"{tag}tokens-sum", f"{tag}live", *arguments)

    def _lost(self, fault: Exception) -> None:
        self.failures += 1
        if not self.is_away:
            self.is_away = True
            self._doubt.set()
            _LOG.warning(
                "the store of limits does not answer: each process counts for itself",
                extra={"fault": type(fault).__name__},
            )

    def _found(self) -> None:
        self.is_away = False
        _LOG.info("the store of limits answers again: replicas count together")


def open_store(url: str) -> SharedLimits:
    """The store at `url` (`redis://…`, `rediss://…`). Connects when first asked. Raises ConfigError without the extra."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
    except ImportError as missing:
        raise ConfigError(["limits.store: needs the extra 'redis': pip install 'llm-stream-proxy[redis]'"]) from missing
    # The library's own types are looser than what is used of it here.
    pool = cast("Callable[..., object]", BlockingConnectionPool.from_url)  # pyright: ignore[reportUnknownMemberType]
    connect = cast("Callable[[object], Client]", Redis.from_pool)
    return SharedLimits(connect(pool(url, max_connections=MAX_CONNECTIONS, timeout=PING_TIMEOUT_S)))


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
