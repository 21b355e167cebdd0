"""`ANY /passthrough/{provider}/{path}`: whatever a provider offers beside generations, relayed untouched and measured.

The path is appended to the provider's `base_url`. Credentials are swapped as everywhere; bodies pass as bytes in both
directions. No retries: what an unknown request does to the provider is unknown too.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import unquote

from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.attempt import CREDENTIAL_REFUSED, MAX_ERROR_BYTES, names_credential, signed_headers
from proxy.credentials import upstream_headers
from proxy.dialects import DIALECTS
from proxy.header_names import goes_raw_to_caller, goes_raw_upstream
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError
from proxy.hub.raw import Raw
from proxy.record import Outcome, Phase
from proxy.relay import Deadlines, Relay
from proxy.routing import ResolvedTarget
from proxy.server.answers import SERVER_NAME, header_text
from proxy.server.body import read_body
from proxy.server.call import CallHandler
from proxy.server.gateway import Gateway
from proxy.server.session import failure, follow
from proxy.server.stream import CallerStream, StreamSink
from proxy.upstream import Exchange

LABEL = "passthrough"
"""In metrics and logs, where a generation has its dialect."""

MAX_UNQUOTINGS = 3
"""How often a path is read as a server behind a server behind a server would read it."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Relayed, the caller's client would take the caller's key to whatever host the provider names."""

INERT = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
"""A browser that is led to a raw answer runs nothing of it on the proxy's own origin."""


async def pass_through(gateway: Gateway, request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
    """Relay one request of any kind."""
    return await PassThrough(gateway, request, DIALECTS["openai_chat"], values, LABEL).serve()


class PassThrough(CallHandler):
    """One raw request."""

    async def answer(self) -> web.StreamResponse:
        snapshot, record = self.snapshot, self.record
        caller = snapshot.auth.authenticate(self.params.headers, self.params.query)
        record.caller = caller.name
        limits = snapshot.config.limits
        provider = self.params.path["provider"]
        # A key that may use only some models may not go round them: it needs one for `provider/*`.
        target = snapshot.router.resolve_provider(provider, caller)
        record.alias, record.provider, record.attempts = f"{provider}/*", provider, 1
        body = await read_body(self.request, max_bytes=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        await self.admit(caller, (provider,))
        record.phase = Phase.ASKING
        record.operation = LABEL
        try:
            response = await self._ask(target, body)
        except BaseException as fault:
            self.trace.end_attempt(fault)
            raise
        self.trace.end_attempt(None)
        return response

    async def _ask(self, target: ResolvedTarget, body: bytes) -> web.StreamResponse:
        record = self.record
        record.attempt_at = self.gateway.loop.time()
        exchange = await self._send(target, upstream_path(self.request), body)
        record.upstream_status = exchange.status
        record.connect_s, record.headers_s = exchange.connect_s, exchange.headers_s
        try:
            if exchange.status in REDIRECTS:
                raise UpstreamError(ErrorKind.UPSTREAM_FAILED, "The provider redirected, which is not followed.")
            if exchange.status in (401, 403):
                return await self._relay_refusal(exchange, target)
            return await self._relay(exchange, target)
        except BaseException:
            exchange.abort()
            raise

    async def _send(self, target: ResolvedTarget, path: str, body: bytes) -> Exchange:
        params = self.params
        own = {name: value for name, value in params.headers.items() if goes_raw_upstream(name)}
        headers = upstream_headers(target, own, params.headers, params.query, is_native=True)
        headers.update(self.trace.begin_attempt(target, is_joining=False))
        headers |= await signed_headers(target, self.request.method, path, headers, body)
        return await self.gateway.pool.send(
            target.endpoint,
            self.request.method,
            path,
            headers,
            body,
            connect_timeout_s=target.timeouts.connect_s,
            headers_timeout_s=target.timeouts.total_s,
            on_connecting=self.record.note_connecting,
        )

    def _answer_headers(self, exchange: Exchange) -> dict[str, str]:
        record = self.record
        passed = {name: header_text(value) for name, value in exchange.headers.items() if goes_raw_to_caller(name)}
        return {
            **self.gateway.cors_headers(self.request),
            **passed,
            **INERT,
            "x-request-id": record.request_id,
            "x-proxy-provider": record.provider,
            "x-proxy-stream": self.stream_id,
            "Server": SERVER_NAME,
        }

    async def _relay_refusal(self, exchange: Exchange, target: ResolvedTarget) -> web.StreamResponse:
        """An answer in which vendors quote the key, masked or not: then it stays here. Raises UpstreamError."""
        record = self.record
        try:
            async with asyncio.timeout(target.timeouts.idle_s):
                body = await exchange.read_whole(MAX_ERROR_BYTES)
        except TimeoutError as late:
            raise UpstreamError(ErrorKind.TIMEOUT, "The provider's refusal took too long.") from late
        if names_credential(body.decode("utf-8", "replace"), target.credential_value()):
            raise UpstreamError(ErrorKind.AUTHENTICATION, CREDENTIAL_REFUSED, status=exchange.status)
        record.bytes_up = record.bytes_down = len(body)
        record.outcome = Outcome.REJECTED
        return web.Response(status=exchange.status, body=body, headers=self._answer_headers(exchange))

    async def _relay(self, exchange: Exchange, target: ResolvedTarget) -> web.StreamResponse:
        record, timeouts = self.record, target.timeouts
        headers = self._answer_headers(exchange)
        response = CallerStream(
            content_type=headers.get("content-type", "application/octet-stream"),
            headers=headers,
            caller_stall_s=timeouts.caller_stall_s,
            status=exchange.status,
        )
        sink = StreamSink(self.request, response)
        relay = Relay(
            transcoder=Raw(),
            source=exchange,
            sink=sink,
            deadlines=Deadlines(
                first_event_s=timeouts.total_s,
                idle_s=timeouts.total_s,
                total_s=timeouts.total_s,
                caller_stall_s=timeouts.caller_stall_s,
                heartbeat_s=0,
            ),
            record=record,
            is_exact=False,
            loop=self.gateway.loop,
        )
        await follow(relay, exchange, self.request)
        if relay.failure is not None and not sink.is_begun:
            raise failure(relay)
        if record.outcome is not Outcome.COMPLETED:
            # There is no format in which the fault could be said: only a broken connection tells that this is not all.
            sink.abort()
        elif not sink.is_begun:
            sink.begin()
        record.outcome = outcome_of_status(exchange.status, record.outcome)
        return response


def upstream_path(request: BaseRequest) -> str:
    """Path and query for upstream, as the caller wrote them but for a `key`. Raises CallerError for one that climbs."""
    raw = request.rel_url.raw_path.split("/", 3)
    path = "/" + (raw[3] if len(raw) > 3 else "")
    if _climbs(path):
        raise CallerError(ErrorKind.INVALID_REQUEST, "The path may not hold '.' or '..' segments.", code="bad_path")
    query = request.rel_url.without_query_params("key").raw_query_string
    return f"{path}?{query}" if query else path


def _climbs(path: str) -> bool:
    """Whether some server would find a way up in `path`.

    Servers differ: nginx decodes `%2f` before it resolves `..`, a server behind another may decode once more, and Java's
    read `..;x` as `..`.
    """
    for _ in range(MAX_UNQUOTINGS):
        if "\\" in path or any(part.partition(";")[0] in (".", "..") for part in path.split("/")):
            return True
        path = unquote(path)
    return False


def outcome_of_status(status: int, outcome: Outcome | None) -> Outcome | None:
    """A relayed error answer is the upstream's refusal, whole as it may be."""
    if outcome is not Outcome.COMPLETED or status < 400:
        return outcome
    return Outcome.REJECTED if status < 500 else Outcome.UPSTREAM_FAILED
