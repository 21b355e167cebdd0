"""Spans of calls in OpenTelemetry's GenAI conventions, exported by OTLP over HTTP. Needs the extra `otel`.

One server span for the call, one client span for each attempt under it. Nothing is done per event: a span's events are
written at its end, from the record. Spans wait in a bounded queue, and a thread of the SDK sends them; a collector that
is slow or dead costs spans, and one log line a minute.

Conventions: semantic-conventions-genai, gen-ai-spans.md (development stability, read 2026-11). What they have no word
for is named `llm_proxy.*`. `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_EXPORTER_OTLP_HEADERS` are the SDK's
own to read.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from proxy import __version__
from proxy.config.settings import Traces
from proxy.hub.completion import Completion
from proxy.hub.continuation import Delivered
from proxy.hub.errors import ErrorKind, ProxyError
from proxy.hub.request import ChatRequest
from proxy.record import CallRecord, Outcome
from proxy.routing import ResolvedTarget
from proxy.tracing import TRACEPARENT, TRACESTATE, TraceContext
from proxy.tracing_content import answer_json, request_json

_LOG = logging.getLogger("proxy.tracing")

SERVICE = "llm-stream-proxy"
TRACES_PATH = "/v1/traces"

CONTENT_BYTES = 32 * 1024
"""Of prompt and answer each, where `traces.content` is set."""
QUEUE_SPANS = 2048
BATCH_SPANS = 128
"""Small: a batch is written by Python code, and while that runs in its thread the event loop waits for its turn."""
SEND_EVERY_MS = 1000
SEND_TIMEOUT_S = 5.0
FLUSH_S = 2.0
"""What the stop of the proxy waits for spans to leave."""
NOTICE_EVERY_S = 60.0
SWITCH_S = 0.0005
"""The interpreter's thread switch interval: the default of 5 ms is what a stream would wait for the sending thread."""

_UNBLAMED = frozenset(
    {
        Outcome.COMPLETED,
        Outcome.CALLER_LEFT_BEFORE_FIRST,
        Outcome.CALLER_LEFT_MIDWAY,
        Outcome.REJECTED,
        Outcome.REFUSED,
        Outcome.KILLED,
    }
)
"""Outcomes for which a server is not to blame: as in HTTP, where only 5xx makes a server span an error."""

_PROVIDER_NAMES: Mapping[str, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "deepseek": "deepseek",
    "groq": "groq",
    "xai": "x_ai",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "moonshot": "moonshot_ai",
}
"""The conventions' names of presets' names; any other provider has its configured name."""


class OtelTracer:
    """See the module. Made in the process that serves, after any fork."""

    def __init__(self, settings: Traces) -> None:
        assert settings.otlp_endpoint is not None
        _hear_exporter()
        self._exporter = OTLPSpanExporter(traces_url(settings.otlp_endpoint.reveal()), timeout=SEND_TIMEOUT_S)
        resource = {SERVICE_VERSION: __version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            resource[SERVICE_NAME] = SERVICE
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
            resource=Resource.create(resource),
            # Every end of the proxy flushes by `close`, within its deadline.
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_events=64),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=QUEUE_SPANS,
                max_export_batch_size=BATCH_SPANS,
                schedule_delay_millis=SEND_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("proxy", __version__)
        self._content_bytes = CONTENT_BYTES if settings.content else 0
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_S, self._switch_s))

    def begin(self, record: CallRecord, method: str, path: str, context: TraceContext | None) -> "OtelCall":
        """The spans of a call; gives `record` their trace."""
        parent = _remote(context) if context is not None else Context()
        attributes = {"http.request.method": method, "url.path": path, "llm_proxy.dialect": record.dialect}
        began_ns = time.time_ns()
        span = self._tracer.start_span(
            f"{method} {record.dialect}",
            parent,
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=began_ns,
        )
        of = span.get_span_context()
        record.trace_id, record.is_sampled = format_trace_id(of.trace_id), of.trace_flags.sampled
        return OtelCall(self._tracer, span, record, began_ns, self._content_bytes)

    async def close(self) -> None:
        """Send what waits, for at most `FLUSH_S`."""
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop did not wait any longer
                loop.call_soon_threadsafe(sent.set)

        # A thread of its own: the loop's executor is joined at its end, however long that takes.
        threading.Thread(target=send, name="traces-flush", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_S):
                await sent.wait()
        except TimeoutError:
            _LOG.warning("traces could not be sent before the stop")
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
        sys.setswitchinterval(self._switch_s)


class OtelCall:
    """The spans of one call."""

    def __init__(self, tracer: Tracer, span: Span, record: CallRecord, began_ns: int, content_bytes: int) -> None:
        self.content_bytes = content_bytes if span.is_recording() else 0
        self._tracer = tracer
        self._span = span
        self._record = record
        self._began_ns = began_ns
        self._attempt: Span | None = None
        self._last_fault = ""

    def begin_attempt(self, target: ResolvedTarget, *, is_joining: bool) -> Mapping[str, str]:
        """A client span for `target`; the headers that make it the parent of what the upstream does."""
        record = self._record
        provider, model = target.target.provider, target.target.model
        if record.attempts > 1:
            what = "llm_proxy.join" if is_joining else "llm_proxy.retry"
            self._span.add_event(what, {"llm_proxy.provider": provider, "error.type": self._last_fault})
        self._attempt = self._tracer.start_span(
            f"{record.operation} {model}",
            set_span_in_context(self._span, Context()),
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": record.operation,
                "gen_ai.provider.name": _PROVIDER_NAMES.get(provider, provider),
                "gen_ai.request.model": model,
                "gen_ai.request.stream": record.is_stream,
                "server.address": target.endpoint.host,
                "server.port": target.endpoint.port,
                "llm_proxy.provider": provider,
                "llm_proxy.attempt": record.attempts,
            },
        )
        return _headers(self._attempt.get_span_context())

    def end_attempt(self, fault: BaseException | None) -> None:
        """The client span's end; what it was comes from the record, and from `fault` when it failed quietly."""
        span, record = self._attempt, self._record
        self._attempt = None
        if span is None:
            return
        error_type = _error_type(fault, record)
        if error_type:
            self._last_fault = error_type
            span.set_attribute("error.type", error_type)
            if fault is None and record.outcome in _UNBLAMED:
                span.set_attribute("llm_proxy.outcome", error_type)
            else:
                span.set_status(StatusCode.ERROR, error_type)
        if span.is_recording():
            span.set_attributes(_attempt_attributes(record))
            self._mark(span)
        span.end()

    def show(self, request: ChatRequest, answer: Delivered | Completion) -> None:
        """Prompt and answer as attributes of the attempt under way."""
        if self._attempt is None or not self.content_bytes:
            return
        self._attempt.set_attributes(
            {
                "gen_ai.input.messages": request_json(request, self.content_bytes),
                "gen_ai.output.messages": answer_json(answer, self.content_bytes),
            }
        )

    def end(self) -> None:
        """The server span's end."""
        span, record = self._span, self._record
        if not span.is_recording():
            return
        outcome = record.outcome or Outcome.INTERNAL_ERROR
        span.set_attributes(_call_attributes(record, outcome))
        if outcome is not Outcome.COMPLETED:
            span.set_attribute("error.type", outcome.value)
            if outcome not in _UNBLAMED:
                span.set_status(StatusCode.ERROR, outcome.value)
        span.end()

    def _mark(self, span: Span) -> None:
        """The moments of an attempt: its first content event, and its cut."""
        record = self._record
        first_at = record.answered_at()
        if first_at is not None and record.attempt_at is not None and first_at >= record.attempt_at:
            span.add_event("llm_proxy.first_event", timestamp=self._at(first_at))
        if record.outcome is Outcome.CUT or record.error is ErrorKind.CUT:
            span.add_event("llm_proxy.cut", {"llm_proxy.events": record.events})

    def _at(self, loop_time: float) -> int:
        return self._began_ns + int((loop_time - self._record.started_at) * 1e9)


def traces_url(endpoint: str) -> str:
    """Where spans go: the collector's base URL is enough."""
    base = endpoint.rstrip("/")
    return base if base.endswith(TRACES_PATH) else base + TRACES_PATH


def _remote(context: TraceContext) -> Context:
    parent = SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([context.state]) if context.state else TraceState(),
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _headers(of: SpanContext) -> Mapping[str, str]:
    flags = TraceFlags.SAMPLED if of.trace_flags.sampled else TraceFlags.DEFAULT
    headers = {TRACEPARENT: f"00-{format_trace_id(of.trace_id)}-{format_span_id(of.span_id)}-{flags:02x}"}
    if of.trace_state:
        headers[TRACESTATE] = of.trace_state.to_header()
    return headers


def _error_type(fault: BaseException | None, record: CallRecord) -> str:
    """The fault of an attempt; empty when it went well."""
    match fault:
        case None:
            outcome = record.outcome
            return "" if outcome is None or outcome is Outcome.COMPLETED else outcome.value
        case ProxyError():
            return fault.kind.value
        case asyncio.CancelledError():
            return (record.outcome or Outcome.CALLER_LEFT_BEFORE_FIRST).value
        case _:
            return Outcome.INTERNAL_ERROR.value


def _attempt_attributes(record: CallRecord) -> dict[str, AttributeValue]:
    usage, end = record.usage, record.end
    attributes: dict[str, AttributeValue | None] = {
        "http.response.status_code": record.upstream_status or None,
        "gen_ai.response.model": record.answered_model or None,
        "gen_ai.response.finish_reasons": [end.reason.value] if end is not None else None,
        "llm_proxy.connect_s": record.connect_s,
        "llm_proxy.headers_s": record.headers_s,
    }
    first_at = record.answered_at()
    if first_at is not None and record.attempt_at is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = max(first_at - record.attempt_at, 0.0)
    if usage is not None:
        attributes |= {
            "gen_ai.usage.input_tokens": usage.input,
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_input,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
        }
    return _known(attributes)


def _call_attributes(record: CallRecord, outcome: Outcome) -> dict[str, AttributeValue]:
    return _known(
        {
            "http.response.status_code": record.status or None,
            "gen_ai.operation.name": record.operation,
            "llm_proxy.request_id": record.request_id,
            "llm_proxy.caller": record.caller or None,
            "llm_proxy.alias": record.alias or None,
            "llm_proxy.provider": record.provider or None,
            "llm_proxy.outcome": outcome.value,
            "llm_proxy.attempts": record.attempts,
            "llm_proxy.joins": record.joins or None,
            "llm_proxy.events": record.events,
            "llm_proxy.bytes_up": record.bytes_up,
            "llm_proxy.bytes_down": record.bytes_down,
            "llm_proxy.max_gap_s": record.max_gap_s or None,
            "llm_proxy.blocked_s": record.blocked_s or None,
        }
    )


def _known(attributes: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


class _Notices(logging.Handler):
    """Says once in a while that the SDK has something to say; its own words may hold what the collector answered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next_at = 0.0
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._count += 1
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + NOTICE_EVERY_S
        _LOG.warning("traces are not exported", extra={"reason": str(record.msg)[:200], "count": self._count})
        self._count = 0


def _hear_exporter() -> None:
    """Hand what the SDK logs to one `_Notices`."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_Notices()]
