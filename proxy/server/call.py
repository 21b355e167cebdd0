"""What every call has, whatever it asks for: a record, an answer to every fault, and an end that is observed once."""

import asyncio
import logging
import os
from collections.abc import Mapping
from functools import partial

from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.access_log import log_access
from proxy.attempt import RefusedByUpstream
from proxy.auth import Caller
from proxy.dialects.base import CallParams, Dialect
from proxy.hub.errors import ErrorKind, ProxyError, UpstreamError
from proxy.limits import Admission, Wanted
from proxy.limits_redis import Refused
from proxy.record import CallRecord, Outcome, Phase
from proxy.server.answers import SERVER_NAME, error_answer, header_text, passed_headers
from proxy.server.gateway import SANE_REQUEST_ID, Gateway, lower_headers
from proxy.tracing import begin_trace

_LOG = logging.getLogger("proxy.server")

STOPPED_OUTCOME = {ErrorKind.KILLED: Outcome.KILLED, ErrorKind.DRAINED: Outcome.DRAINED}
"""The outcome of a call that the operator ended; no other kind does that."""

MAX_DROPPED_CHARACTERS = 2000
_NO_QUERY: Mapping[str, str] = {}


class CallHandler:
    """One call, from its request to its record. Subclasses answer it in `answer`."""

    def __init__(
        self,
        gateway: Gateway,
        request: BaseRequest,
        dialect: Dialect,
        values: Mapping[str, str],
        label: str | None = None,
    ) -> None:
        """`label`: what metrics and logs call it, where that is not the dialect's name."""
        self.gateway = gateway
        self.snapshot = gateway.snapshot
        self.request = request
        self.dialect = dialect
        headers = lower_headers(request)
        self.params = CallParams(values, request.query if request.query_string else _NO_QUERY, headers)
        asked_id = headers.get("x-request-id", "")
        random_id = os.urandom(24).hex()
        is_own_id = SANE_REQUEST_ID.fullmatch(asked_id) is None
        request_id = f"req_{random_id[:24]}" if is_own_id else asked_id
        self.record = CallRecord(request_id, label or dialect.name, gateway.loop.time())
        self.record.is_own_id = is_own_id
        self.stream_id = random_id[24:]
        self.trace = begin_trace(gateway.tracer, self.record, request.method, request.path, headers)
        self.admission: Admission | None = None
        """The call's places; `None` before it was let in."""
        self._stopped: ErrorKind | None = None

    async def answer(self) -> web.StreamResponse:
        """The response. Raises ProxyError for what is to be answered in the caller's dialect."""
        raise NotImplementedError

    async def answer_stopped(self, error: UpstreamError) -> web.StreamResponse:
        """The response to a call that the operator ended while it did not stream."""
        return self._error_answer(error)

    async def serve(self) -> web.StreamResponse:
        """The response; its record is observed and logged whatever happens."""
        record = self.record
        self.snapshot.metrics.begin(record.dialect)
        self.gateway.live[self.stream_id] = record
        task = asyncio.current_task()
        assert task is not None
        record.kill = partial(self._stop, task, ErrorKind.KILLED)
        record.end_drained = partial(self._stop, task, ErrorKind.DRAINED)
        try:
            response = await self.answer()
            record.status = response.status
            return response
        except ProxyError as error:
            response = self._error_answer(error)
            record.status = response.status
            return response
        except asyncio.CancelledError:
            if self._stopped is None:
                if record.outcome is None:
                    record.outcome = Outcome.CALLER_LEFT_BEFORE_FIRST
                raise
            task.uncancel()
            record.outcome = STOPPED_OUTCOME[self._stopped]
            response = await self.answer_stopped(
                UpstreamError(self._stopped, "The proxy ended this call; try again.", retry_after_s=1)
            )
            record.status = response.status
            return response
        except Exception:
            _LOG.exception("unhandled fault in a call", extra={"request_id": record.request_id})
            record.outcome = Outcome.INTERNAL_ERROR
            response = self._error_answer(ProxyError(ErrorKind.INTERNAL, "The proxy failed on this request."))
            record.status = response.status
            return response
        finally:
            del self.gateway.live[self.stream_id]
            if self.admission is not None:
                self.admission.end(record.usage)
            record.kill = record.end_drained = None
            del task  # Its result may be an exception, whose traceback keeps this frame.
            record.duration_s = self.gateway.loop.time() - record.started_at
            self.trace.end()
            self.snapshot.metrics.observe(record)
            log_access(record)

    async def admit(self, caller: Caller, providers: tuple[str, ...]) -> Admission:
        """Places for this call, which may be asked at any of `providers`. Raises CallerError: 429 or 503.

        Nothing is waited for when no limit is reached and none is shared with other replicas.
        """
        limiter, limits = self.gateway.limiter, self.snapshot.config.limits
        wanted = Wanted(caller, limits.max_streams, providers, self.snapshot.provider_limits)
        counted_at = limiter.count_rate(caller)
        self.record.phase = Phase.QUEUED
        admission = self.admission = limiter.enter(wanted) or await limiter.wait(
            wanted, queue_size=limits.queue_size, queue_wait_s=limits.queue_wait_s
        )
        if limiter.shared is not None and caller.has_limits:
            answer = await limiter.shared.ask(caller)
            if isinstance(answer, Refused):
                limiter.uncount_rate(caller, counted_at)
                raise limiter.refuse(answer.limit, answer.wait_s)
            admission.claim = answer
        return admission

    def _stop(self, task: asyncio.Task[object], kind: ErrorKind) -> None:
        """End a call that does not stream at the moment: it connects, waits for headers, or between two attempts.

        One that has its outcome is left alone: the caller takes its last bytes, and more would garble them.
        """
        if self._stopped is None and self.record.phase is not Phase.ENDING:
            self._stopped = kind
            task.cancel()

    def headers(self, upstream_headers: Mapping[str, str]) -> dict[str, str]:
        """The response headers of an answer from upstream."""
        record = self.record
        headers = {
            **self.gateway.cors_headers(self.request),
            **passed_headers(upstream_headers),
            "x-request-id": record.request_id,
            "x-proxy-provider": record.provider,
            "x-proxy-model": header_text(record.model),
            "x-proxy-attempts": str(record.attempts),
            "x-proxy-stream": self.stream_id,
        }
        if self.dialect.request_id_header != "x-request-id":
            headers[self.dialect.request_id_header] = record.request_id
        if record.dropped:
            headers["x-proxy-dropped"] = header_text(", ".join(record.dropped)[:MAX_DROPPED_CHARACTERS])
        return headers

    def _error_answer(self, error: ProxyError) -> web.StreamResponse:
        record = self.record
        record.error = error.kind
        if record.outcome is None:
            record.outcome = outcome_of(error)
        if isinstance(error, RefusedByUpstream) and error.verbatim is not None:
            verbatim = error.verbatim
            headers = {
                **passed_headers(verbatim.headers),
                "Content-Type": header_text(verbatim.headers.get("content-type", "application/json")),
                "Server": SERVER_NAME,
                **self.proxy_headers(),
            }
            return web.Response(status=verbatim.status, body=verbatim.body, headers=headers)
        response = error_answer(error, self.dialect, record.request_id, self.proxy_headers())
        if error.kind in (ErrorKind.REQUEST_TIMEOUT, ErrorKind.TOO_LARGE):
            response.force_close()
        return response

    def proxy_headers(self) -> dict[str, str]:
        record = self.record
        headers = {"x-request-id": record.request_id}
        if record.attempts:
            headers["x-proxy-provider"] = record.provider
            headers["x-proxy-model"] = header_text(record.model)
            headers["x-proxy-attempts"] = str(record.attempts)
        return headers


def outcome_of(error: ProxyError) -> Outcome:
    """The outcome of a call that ended with `error` before its stream began."""
    if not isinstance(error, UpstreamError):
        return Outcome.INTERNAL_ERROR if error.kind is ErrorKind.INTERNAL else Outcome.REFUSED
    if 400 <= error.status < 500:
        return Outcome.REJECTED
    if error.status:
        return Outcome.UPSTREAM_FAILED
    match error.kind:
        case ErrorKind.UNREACHABLE:
            return Outcome.UPSTREAM_FAILED if error.code in ("reset", "closed") else Outcome.CONNECT_FAILED
        case ErrorKind.TIMEOUT:
            return Outcome.HEADERS_TIMEOUT
        case ErrorKind.PROTOCOL:
            return Outcome.PROTOCOL_ERROR
        case ErrorKind.CUT:
            return Outcome.CUT
        case _:
            return Outcome.UPSTREAM_FAILED
