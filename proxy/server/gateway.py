"""What all calls of one process share, and the entry of every request: `Gateway.handle`.

A `Snapshot` is everything that follows from one loaded configuration. It is immutable; a reload builds a new one and
swaps the reference, and calls that run keep the snapshot that they began with.
"""

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.web_request import BaseRequest

from proxy.auth import Authenticator
from proxy.breaker import Breakers
from proxy.config import Config
from proxy.dialects import DIALECTS
from proxy.dialects.base import Dialect
from proxy.failover import Candidate, Plan, RetrySettings
from proxy.header_names import LIST_HEADERS
from proxy.hub.errors import CallerError, ErrorKind
from proxy.limits import Limiter
from proxy.limits_redis import SharedLimits
from proxy.live import LiveCalls, LiveSource
from proxy.metrics import Metrics
from proxy.metrics_calls import CallMetrics
from proxy.metrics_sum import Family
from proxy.record import CallRecord
from proxy.routing import ResolvedTarget, Router
from proxy.server.answers import error_answer
from proxy.server.cors import answer_preflight, cors_headers
from proxy.server.dispatch import Dispatcher
from proxy.tracing import Tracer
from proxy.upstream import UpstreamPool
from proxy.worker_link import Answered

_DIALECT_OF_PREFIX = (
    ("/v1/messages", "anthropic"),
    ("/anthropic", "anthropic"),
    ("/v1beta", "gemini"),
    ("/gemini", "gemini"),
    ("/chat", "canonical"),
    ("/ui/", "ui_message_stream"),
    ("/ag-ui", "ag_ui"),
    ("/ollama", "ollama"),
)
"""In which dialect a path that is no route is refused; any other path in OpenAI's."""

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A caller's own id of a request is taken over when it looks like this."""

_VERSIONS = (HttpVersion11, HttpVersion10)


class Snapshot(msgspec.Struct, frozen=True):
    """What follows from one configuration."""

    config: Config
    router: Router
    auth: Authenticator
    metrics: CallMetrics
    breakers: Breakers
    retry: RetrySettings
    provider_limits: Mapping[str, int]
    """`max_streams` of the providers that have one."""


class Gateway:
    """Owns what outlives a call: the pool, the metrics, and the register of live calls."""

    def __init__(
        self, snapshot: Snapshot, pool: UpstreamPool, metrics: Metrics, shared_limits: SharedLimits | None = None
    ) -> None:
        self.snapshot = snapshot
        self.pool = pool
        self.metrics = metrics
        self.dispatcher = Dispatcher()
        """Routes of the main port; filled by `server.routes` before the first request."""
        self.admin_dispatcher = Dispatcher()
        self.live: dict[str, CallRecord] = {}
        """Calls in progress by stream id."""
        self.is_draining = False
        self.ask_admin: Callable[[str, str], Awaitable[Answered | None]] | None = None
        """Answers an admin path (with an `Accept`) for all workers; `None`: this process is the only one."""
        self.tracer: Tracer | None = None
        """Makes spans of calls; `None`: there is no collector."""
        self.loop = asyncio.get_running_loop()
        self.limiter = Limiter(self.loop, shared_limits)
        self.calls = LiveCalls(self.live, self.loop.time, lambda: self.is_draining)
        """The calls of this process, for whoever wants to look at them."""
        self.all_calls: LiveSource = self.calls
        """Those of all workers."""

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request. The host part of an absolute URI is ignored: the path alone decides."""
        refusal = refuse_framing(request)
        if refusal is not None:
            return self.refuse(request, refusal)
        cors = self.cors_headers(request)
        found = self.dispatcher.find(request.method, request.rel_url.raw_path)
        if not isinstance(found, frozenset):
            handler, values = found
            # A route for every method has OPTIONS too, but a browser asks us, and without a key.
            preflight = answer_preflight(request, cors) if cors else None
            response = preflight or await handler(request, values)
        else:
            preflight = answer_preflight(request, cors) if found else None
            response = preflight or self.refuse(request, self._no_route(request, found))
        if cors and not response.prepared:
            response.headers.update(cors)
        if self.is_draining:
            response.force_close()
        return response

    def cors_headers(self, request: BaseRequest) -> Mapping[str, str]:
        """What lets the asking page read the answer; mostly nothing."""
        origins = self.snapshot.config.cors.origins
        return cors_headers(request, origins) if origins else {}

    async def handle_admin(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request of the admin listener."""
        refusal = refuse_framing(request)
        if refusal is not None:
            return self.refuse(request, refusal)
        found = self.admin_dispatcher.find(request.method, request.rel_url.raw_path)
        if isinstance(found, frozenset):
            return self.refuse(request, self._no_route(request, found))
        handler, values = found
        return await handler(request, values)

    def plan(self, snapshot: Snapshot, targets: tuple[ResolvedTarget, ...], record: CallRecord) -> Plan:
        """The attempts of one call."""
        breakers = snapshot.breakers
        candidates = [
            Candidate(breakers.of((target.target.provider, target.target.model)), target.context_tokens)
            for target in targets
        ]
        began_at, answered_at = record.started_at, record.answered_at
        return Plan(candidates, snapshot.retry, random.random, began_at=began_at, answered_at=answered_at)

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no call is in progress; false when `timeout_s` passed first."""
        deadline = self.loop.time() + timeout_s
        while self.live:
            left = deadline - self.loop.time()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, 0.05))
        return True

    def end_all(self) -> None:
        """End every live stream in its dialect, as drained."""
        for record in list(self.live.values()):
            if record.end_drained is not None:
                record.end_drained()

    async def metric_families(self) -> list[Family]:
        """The present values of all metrics, in parts; those that nobody sets when they change are looked up."""
        opened, idle = self.pool.open_count, self.pool.idle_count
        self.metrics.upstream_connections.labels("busy").set(opened - idle)
        self.metrics.upstream_connections.labels("idle").set(idle)
        self.metrics.refresh_limits(self.limiter)
        self.snapshot.metrics.refresh_breakers(self.snapshot.breakers, self.loop.time())
        return await self.metrics.families()

    def _no_route(self, request: BaseRequest, allowed: frozenset[str]) -> CallerError:
        if not allowed:
            return CallerError(ErrorKind.NOT_FOUND, f"There is no route {request.path[:200]!r} here.", code="no_route")
        methods = ", ".join(sorted(allowed))
        return CallerError(
            ErrorKind.METHOD_NOT_ALLOWED,
            f"{request.method[:20]!r} is not allowed here; use {methods}.",
            headers={"allow": methods},
        )

    def refuse(self, request: BaseRequest, error: CallerError) -> web.StreamResponse:
        """`error` in the dialect that the path suggests, for requests that reached no handler."""
        response = error_answer(error, dialect_of_path(request.path), request_id_of(request))
        if error.kind is not ErrorKind.NOT_FOUND:
            response.force_close()
        return response


def refuse_framing(request: BaseRequest) -> CallerError | None:
    """What aiohttp's parser accepts and we do not: other versions, transfer codings other than chunked alone, and any on
    HTTP/1.0."""
    if request._version not in _VERSIONS:
        # aiohttp would answer in the version of the request, whatever that is; `request.version` keeps what it read first.
        request._version = HttpVersion11
        return CallerError(ErrorKind.INVALID_REQUEST, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    coding = request.headers.get("Transfer-Encoding")
    if coding is None:
        return None
    if coding.strip().lower() != "chunked" or request.version < (1, 1):
        return CallerError(ErrorKind.INVALID_REQUEST, "Only 'Transfer-Encoding: chunked' on HTTP/1.1 is accepted.")
    return None


def request_id_of(request: BaseRequest) -> str:
    """The caller's own id of its request, if it sent a sane one; for answers of which there is no `CallRecord`."""
    asked = request.headers.get("X-Request-Id", "")
    return asked if SANE_REQUEST_ID.fullmatch(asked) else f"req_{os.urandom(12).hex()}"


def dialect_of_path(path: str) -> Dialect:
    """The dialect that a caller of `path` most likely speaks."""
    for prefix, name in _DIALECT_OF_PREFIX:
        if path.startswith(prefix) and name in DIALECTS:
            return DIALECTS[name]
    return DIALECTS["openai_chat"]


def lower_headers(request: BaseRequest) -> Mapping[str, str]:
    """The request's headers by lower-case name; of repeated ones the first, as the header's reader expects, or all of a
    list."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        # aiohttp keeps bytes that are no UTF-8 as half surrogates, which no JSON and no header can hold.
        text = value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        lower = name.lower()
        if headers.setdefault(lower, text) is not text and lower in LIST_HEADERS:
            headers[lower] += f", {text}"
    return headers
