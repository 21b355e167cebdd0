"""Prometheus instruments, and the one place that reads a finished `CallRecord` into them.

Label values come from the configuration or from closed enums, never from a request: what a caller types is looked up
first, and a name that is not configured never gets here. Children are bound when the configuration is loaded, so that
a call costs no label look-up and every rate starts at zero.

`gen_ai_*` names and buckets are OpenTelemetry's GenAI conventions (semantic-conventions-genai, gen-ai-metrics.md);
`error_type` is empty for calls that ended well.
"""

from collections.abc import Iterable
from typing import TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from proxy import __version__
from proxy.hub.events import Usage
from proxy.limits import LIMITS, Limiter
from proxy.metrics_sum import format_of, in_slices, take, write
from proxy.record import CallRecord, Outcome

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_DOUBLING = tuple(0.01 * 2**n for n in range(18))
_FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(15, 20, 30, 45, 60, 120),
)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_TOKENS = tuple(4**n for n in range(14))
_GAP = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300)
_ADDED = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3)
_CONNECT = tuple(0.001 * 2**n for n in range(16))
_CANCEL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

EXACT_CODES = frozenset({200, 400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 429, 500, 502, 503, 504, 529})
"""Statuses that are their own label value; any other is counted as its class (`4xx`)."""

OTHER = "_other"
"""The label value of a provider or model that the loaded configuration does not name."""

_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)


class Metrics:
    """All instruments of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("llm_proxy_requests", "Calls answered.", ("dialect", "code"), registry=registry)
        self.streams = Counter(
            "llm_proxy_streams", "Calls by how they ended.", ("dialect", "provider", "outcome"), registry=registry
        )
        self.active = Gauge("llm_proxy_active_streams", "Calls in progress.", ("dialect",), registry=registry)
        self.rejected = Counter(
            "llm_proxy_rejected", "Calls refused by the proxy itself.", ("reason",), registry=registry
        )
        self._add_latency(registry)
        self._add_volume(registry)
        self._add_limits(registry)
        self._add_process(registry)

    def _add_latency(self, registry: CollectorRegistry) -> None:
        self.duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request's arrival to its end.",
            (*_GEN_AI, "error_type"),
            buckets=_DOUBLING,
            registry=registry,
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request's arrival to the first content event written to the caller; reasoning counts.",
            _GEN_AI,
            buckets=_FIRST_TOKEN,
            registry=registry,
        )
        self.per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time between output tokens after the first, one observation a stream with reported usage.",
            _GEN_AI,
            buckets=_PER_TOKEN,
            registry=registry,
        )
        self.per_chunk = Histogram(
            "gen_ai_client_operation_time_per_output_chunk_seconds",
            "Mean gap between content events, one observation a stream.",
            _GEN_AI,
            buckets=_DOUBLING,
            registry=registry,
        )
        self.max_gap = Histogram(
            "llm_proxy_stream_max_gap_seconds",
            "The longest silence between content events of each stream.",
            ("provider",),
            buckets=_GAP,
            registry=registry,
        )
        self.connect = Histogram(
            "llm_proxy_upstream_connect_seconds",
            "Time to an upstream: connection made (new ones only), response headers received.",
            ("provider", "phase"),
            buckets=_CONNECT,
            registry=registry,
        )
        self.added = Histogram(
            "llm_proxy_overhead_seconds",
            "The proxy's own time from reading an event to writing it, sampled.",
            ("dialect",),
            buckets=_ADDED,
            registry=registry,
        )
        self.cancel = Histogram(
            "llm_proxy_cancel_propagation_seconds",
            "From the caller's leaving to the closing of the upstream socket.",
            ("dialect",),
            buckets=_CANCEL,
            registry=registry,
        )

    def _add_volume(self, registry: CollectorRegistry) -> None:
        self.tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call as the provider reported them; a call without a report is not observed.",
            (*_GEN_AI, "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=registry,
        )
        self.usage_missing = Counter(
            "llm_proxy_usage_missing", "Completed calls without reported usage.", ("provider",), registry=registry
        )
        self.events = Counter("llm_proxy_events", "Upstream events relayed.", ("provider",), registry=registry)
        self.bytes = Counter("llm_proxy_bytes", "Body bytes.", ("provider", "direction"), registry=registry)
        self.heartbeats = Counter("llm_proxy_heartbeats", "Heartbeats sent.", ("dialect",), registry=registry)
        self.blocked = Counter(
            "llm_proxy_caller_blocked_seconds", "Time waited for slow callers.", ("dialect",), registry=registry
        )
        self.attempts = Counter(
            "llm_proxy_upstream_attempts", "Upstream attempts by result.", ("provider", "result"), registry=registry
        )
        self.notes = Counter(
            "llm_proxy_conversion_notes",
            "What conversion could not carry, or had to repair.",
            ("provider", "kind"),
            registry=registry,
        )

    def _add_limits(self, registry: CollectorRegistry) -> None:
        self.limited = Counter("llm_proxy_limited", "Calls refused, by the limit.", ("limit",), registry=registry)
        for limit in LIMITS:
            self.limited.labels(limit)
        self.queued = Gauge("llm_proxy_queued_calls", "Calls that wait for a place.", registry=registry)
        self.store_up = Gauge(
            "llm_proxy_limit_store_up",
            "1 while replicas count limits together, 0 while the store is away; absent without a store.",
            ("store",),
            registry=registry,
        )
        self.store_failures = Counter(
            "llm_proxy_limit_store_failures", "Questions that the store did not answer.", registry=registry
        )

    def refresh_limits(self, limiter: Limiter) -> None:
        """Take over what the limiter counts for itself."""
        for limit, count in limiter.refused.items():
            child = self.limited.labels(limit)
            child.inc(count)
        limiter.refused.clear()
        self.queued.set(limiter.waiting)
        shared = limiter.shared
        if shared is not None:
            self.store_up.labels("limits").set(0 if shared.is_away else 1)
            self.store_failures.inc(shared.failures)
            shared.failures = 0

    def _add_process(self, registry: CollectorRegistry) -> None:
        self.loop_lag = Histogram(
            "llm_proxy_event_loop_lag_seconds",
            "How late the event loop runs a timer, sampled twice a second.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
            registry=registry,
        )
        self.draining = Gauge("llm_proxy_draining", "1 while the proxy is stopping.", registry=registry)
        self.reload_ok = Gauge(
            "llm_proxy_config_last_reload_successful", "1 if the newest configuration is in use.", registry=registry
        )
        self.reload_time = Gauge(
            "llm_proxy_config_last_reload_success_timestamp_seconds",
            "Unix time of the newest configuration in use.",
            registry=registry,
        )
        self.upstream_connections = Gauge(
            "llm_proxy_upstream_connections", "Open upstream connections.", ("state",), registry=registry
        )
        self.build = Gauge("llm_proxy_build_info", "Always 1.", ("version",), registry=registry)
        self.build.labels(__version__).set(1)

    def instruments(self) -> list[MetricWrapperBase]:
        """All of them, in the order of their making."""
        return [one for one in vars(self).values() if isinstance(one, MetricWrapperBase)]

    async def expose(self, accept: str) -> tuple[bytes, str]:
        """The scrape answer and its content type, in OpenMetrics when `accept` names it. Made in slices, so that no
        stream waits for it."""
        how = format_of(accept)
        families = await in_slices(take(self.instruments()))
        return b"".join(await in_slices(write(families, how))), how.value


class CallMetrics:
    """Metrics of calls for one loaded configuration: its names, with their children bound."""

    def __init__(
        self, metrics: Metrics, *, dialects: Iterable[str], providers: Iterable[str], models: Iterable[str]
    ) -> None:
        self._metrics = metrics
        self._providers = frozenset(providers)
        self._models = frozenset(models)
        self._by_dialect = {name: metrics.active.labels(name) for name in dialects}
        self._bound: dict[tuple[object, ...], Counter | Gauge | Histogram] = {}
        """Children by instrument and label values: a look-up here costs a third of `labels`."""
        for dialect in self._by_dialect:
            metrics.requests.labels(dialect, "200")
            for provider in self._providers:
                for outcome in Outcome:
                    metrics.streams.labels(dialect, provider, outcome.value)
        for provider in self._providers:
            metrics.usage_missing.labels(provider)

    def begin(self, dialect: str) -> None:
        """A call has come in."""
        self._by_dialect[dialect].inc()

    def observe(self, record: CallRecord) -> None:
        """A call has ended: `record` is complete."""
        metrics = self._metrics
        dialect = record.dialect
        self._by_dialect[dialect].dec()
        outcome = record.outcome or Outcome.INTERNAL_ERROR
        provider = record.provider if record.provider in self._providers else OTHER
        model = record.alias if record.alias in self._models else OTHER
        self._child(metrics.requests, dialect, code_label(record.status)).inc()
        self._child(metrics.streams, dialect, provider, outcome.value).inc()
        error_type = "" if outcome is Outcome.COMPLETED else outcome.value
        self._child(metrics.duration, "chat", provider, model, error_type).observe(record.duration_s)
        if outcome is Outcome.REFUSED:
            self._child(metrics.rejected, record.error.value if record.error is not None else "other").inc()
            return
        self._observe_attempts(record, provider)
        self._observe_times(record, provider, model)
        self._observe_volume(record, provider, model)

    def _observe_attempts(self, record: CallRecord, provider: str) -> None:
        """Each attempt that failed quietly by its fault; the one that the caller got as `ok`, however it ended."""
        attempts = self._metrics.attempts
        for name, kind in record.faults:
            self._child(attempts, name if name in self._providers else OTHER, kind.value).inc()
        if record.attempts > len(record.faults):
            self._child(attempts, provider, "ok").inc()

    def _child(self, instrument: _Instrument, *values: str) -> _Instrument:
        key = (instrument, values)
        child = self._bound.get(key)
        if child is None:
            child = self._bound[key] = instrument.labels(*values)
        return child  # type: ignore[return-value]  # a child is of its instrument's class

    def _observe_times(self, record: CallRecord, provider: str, model: str) -> None:
        metrics = self._metrics
        if record.connect_s is not None:
            self._child(metrics.connect, provider, "connect").observe(record.connect_s)
        if record.headers_s is not None:
            self._child(metrics.connect, provider, "headers").observe(record.headers_s)
        if record.added_s is not None:
            self._child(metrics.added, record.dialect).observe(record.added_s)
        if record.upstream_closed_s is not None:
            self._child(metrics.cancel, record.dialect).observe(record.upstream_closed_s)
        first, last = record.first_event_s, record.last_event_s
        if first is None or not record.is_stream:
            return
        self._child(metrics.first_token, "chat", provider, model).observe(first)
        self._child(metrics.max_gap, provider).observe(record.max_gap_s)
        if last is None or last <= first:
            return
        if record.content_events > 1:
            self._child(metrics.per_chunk, "chat", provider, model).observe(
                (last - first) / (record.content_events - 1)
            )
        tokens = record.usage.output if record.usage is not None else None
        if tokens is not None and tokens > 1:
            self._child(metrics.per_token, "chat", provider, model).observe((last - first) / (tokens - 1))

    def _observe_volume(self, record: CallRecord, provider: str, model: str) -> None:
        metrics = self._metrics
        self._child(metrics.events, provider).inc(record.events)
        self._child(metrics.bytes, provider, "up").inc(record.bytes_up)
        self._child(metrics.bytes, provider, "down").inc(record.bytes_down)
        if record.heartbeats:
            self._child(metrics.heartbeats, record.dialect).inc(record.heartbeats)
        if record.blocked_s:
            self._child(metrics.blocked, record.dialect).inc(record.blocked_s)
        if record.dropped:
            self._child(metrics.notes, provider, "field_dropped").inc(len(record.dropped))
        if record.tap_failed:
            self._child(metrics.notes, provider, "tap_failed").inc()
        if record.usage is not None:
            for token_type, count in token_counts(record.usage):
                self._child(metrics.tokens, "chat", provider, model, token_type).observe(count)
        elif record.outcome is Outcome.COMPLETED:
            self._child(metrics.usage_missing, provider).inc()


def token_counts(usage: Usage) -> list[tuple[str, int]]:
    """The counts that a usage report really holds, by token type."""
    counts = (
        ("input", usage.input),
        ("output", usage.output),
        ("cached_input", usage.cached_input),
        ("cache_creation_input", usage.cache_write),
        ("reasoning", usage.reasoning),
    )
    return [(name, count) for name, count in counts if count is not None]


def code_label(status: int) -> str:
    """The label value of a status; `none` when the caller left before it got one."""
    if status in EXACT_CODES:
        return str(status)
    return f"{status // 100}xx" if status else "none"
