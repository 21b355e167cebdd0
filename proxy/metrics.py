"""Prometheus instruments, and the one place that reads a finished `CallRecord` into them.

Label values come from the configuration or from closed enums, never from a request: what a caller types is looked up
first, and a name that is not configured never gets here. Children are bound when the configuration is loaded, so that
a call costs no label look-up and every rate starts at zero.

A metric has at most `max_label_sets` of those that calls make (what is bound at the load does not count: it follows from
the configuration alone). Beyond, providers, models and keys become `_other`, and `llm_proxy_label_overflow_total` says
so. There is no series by dialect, provider and outcome at once: that product would be nine tenths of a fresh scrape.

`gen_ai_*` names and buckets are OpenTelemetry's GenAI conventions (semantic-conventions-genai, gen-ai-metrics.md);
`error_type` is empty for calls that ended well.
"""

import logging
import platform
from collections.abc import Iterable, Iterator
from typing import TypeVar

import aiohttp
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from proxy import __version__
from proxy.breaker import Breakers
from proxy.hub.events import Usage
from proxy.limits import LIMITS, Limiter
from proxy.logs import LogOutput
from proxy.metrics_process import ProcessMetrics
from proxy.metrics_sum import Family, Keys, in_slices, take
from proxy.metrics_values import add, label_names, label_sets, name_of, observe, raise_to
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
"""The label value of a provider or model that the loaded configuration does not name, or for which there is no room."""

ANONYMOUS = "_anonymous"
"""The label value of the key of a caller without one."""

ANY_MODEL = "*"
"""The label value of models that only callers name: of a pattern, or of `provider/model`."""

MAX_LABEL_SETS = 200

_OPEN_LABELS = frozenset({"provider", "model", "key", "gen_ai_provider_name", "gen_ai_request_model"})
"""Labels whose values come from the configuration; those of all others are closed enums."""

_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)


class Metrics:
    """All instruments of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("llm_proxy_requests", "Calls answered.", ("dialect", "code"), registry=registry)
        self.streams = Counter(
            "llm_proxy_streams", "Calls by how they ended.", ("provider", "outcome"), registry=registry
        )
        self.active = Gauge("llm_proxy_active_streams", "Calls in progress.", ("dialect",), registry=registry)
        self.rejected = Counter(
            "llm_proxy_rejected", "Calls refused by the proxy itself.", ("reason",), registry=registry
        )
        self._add_latency(registry)
        self._add_volume(registry)
        self._add_limits(registry)
        self._add_process(registry)
        self._add_optional(registry)
        self.process = ProcessMetrics(registry)
        self._keys: Keys = {}

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
        self.first_chunk = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From the asking of the upstream that answered to its first content event.",
            _GEN_AI,
            buckets=_DOUBLING,
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
        self._add_own_latency(registry)

    def _add_own_latency(self, registry: CollectorRegistry) -> None:
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

        self.breaker_open = Gauge(
            "llm_proxy_breaker_open",
            "1 while a target is left alone, or is being probed.",
            ("provider", "model"),
            registry=registry,
        )
        self.breaker_opened = Counter(
            "llm_proxy_breaker_opened",
            "How often a target began to be left alone, failed probes included.",
            ("provider", "model"),
            registry=registry,
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
        self.config = Gauge(
            "llm_proxy_config_info",
            "1, by the beginning of the digest of what is in use.",
            ("digest",),
            registry=registry,
        )
        self.log_dropped = Counter(
            "llm_proxy_log_lines_dropped", "Log lines lost because nobody took them.", registry=registry
        )
        self.overflow = Counter(
            "llm_proxy_label_overflow",
            "Observations for which a metric had no room for their own labels.",
            ("metric",),
            registry=registry,
        )
        self.build = Gauge("llm_proxy_build_info", "Always 1.", ("version", "python", "aiohttp"), registry=registry)
        self.build.labels(__version__, platform.python_version(), aiohttp.__version__).set(1)

    def _add_optional(self, registry: CollectorRegistry) -> None:
        """Without series unless `metrics.label_keys` is set."""
        self.calls_of_keys = Counter(
            "llm_proxy_key_calls",
            "Calls by the caller's key, and how they ended.",
            ("key", "outcome"),
            registry=registry,
        )
        self.tokens_of_keys = Counter(
            "llm_proxy_key_tokens",
            "Tokens by the caller's key, as providers reported them.",
            ("key", "gen_ai_token_type"),
            registry=registry,
        )

    def instruments(self) -> list[MetricWrapperBase]:
        """All of them, in the order of their making."""
        own = [one for one in vars(self).values() if isinstance(one, MetricWrapperBase)]
        return own + self.process.instruments()

    def use_config(self, digest: str) -> None:
        """A configuration is in use from now on."""
        self.config.clear()
        self.config.labels(digest[:12]).set(1)

    async def families(self) -> list[Family]:
        """The present values of all instruments, in parts. Taken in slices, so that no stream waits for it."""
        await self.process.refresh()
        dropped = sum(output.dropped for output in logging.getLogger().handlers if isinstance(output, LogOutput))
        raise_to(self.log_dropped, dropped)
        return await in_slices(take(self.instruments(), self._keys))


class CallMetrics:
    """Metrics of calls for one loaded configuration: its names, with their children bound."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        dialects: Iterable[str],
        providers: Iterable[str],
        models: Iterable[str],
        targets: Iterable[tuple[str, str]] = (),
        keys: Iterable[str] | None = None,
        max_label_sets: int = MAX_LABEL_SETS,
    ) -> None:
        """`targets`: the configured pairs of provider and model; `keys`: names of callers' keys, `None` where calls are
        not counted by them."""
        self._metrics = metrics
        self._providers = frozenset(providers)
        self._models = frozenset(models)
        self._targets = frozenset({*targets, *((provider, ANY_MODEL) for provider in self._providers)})
        self._were_open: dict[tuple[str, str], bool] = {}
        self._keys = None if keys is None else frozenset(keys)
        self._max_label_sets = max_label_sets
        self._by_dialect = {name: metrics.active.labels(name) for name in dialects}
        self._bound: dict[tuple[object, ...], Counter | Gauge | Histogram] = {}
        """Children by instrument and label values: a look-up here costs a third of `labels`."""
        for gone in label_sets(metrics.breaker_open) - self._targets:
            metrics.breaker_open.remove(*gone)
        for instrument, values in self._known_beforehand():
            child = instrument.labels(*values)
            if isinstance(child, Counter | Histogram):
                self._bound[instrument, values] = child

    def _known_beforehand(self) -> Iterator[tuple[MetricWrapperBase, tuple[str, ...]]]:
        """What dashboard and alerts take the rate of, and so has to be there before it first happens."""
        metrics = self._metrics
        for dialect in self._by_dialect:
            yield metrics.requests, (dialect, "200")
        for provider in (*self._providers, OTHER):
            for outcome in Outcome:
                yield metrics.streams, (provider, outcome.value)
        for provider in self._providers:
            yield metrics.usage_missing, (provider,)
            yield metrics.notes, (provider, "tap_failed")
        for target in self._targets:
            yield metrics.breaker_open, target
            yield metrics.breaker_opened, target
        for key in self._keys or ():
            yield metrics.calls_of_keys, (key, Outcome.COMPLETED.value)

    def begin(self, dialect: str) -> None:
        """A call has come in."""
        add(self._by_dialect[dialect])

    def observe(self, record: CallRecord) -> None:
        """A call has ended: `record` is complete."""
        metrics = self._metrics
        dialect = record.dialect
        add(self._by_dialect[dialect], -1)
        outcome = record.outcome or Outcome.INTERNAL_ERROR
        provider = record.provider if record.provider in self._providers else OTHER
        model = record.alias if record.alias in self._models else OTHER
        add(self._child(metrics.requests, dialect, code_label(record.status)))
        add(self._child(metrics.streams, provider, outcome.value))
        if self._keys is not None:
            self._observe_key(record, outcome)
        error_type = "" if outcome is Outcome.COMPLETED else outcome.value
        observe(
            self._child(metrics.duration, record.operation, provider, model, error_type),
            record.duration_s,
            exemplar_of(record),
        )
        if outcome is Outcome.REFUSED:
            add(self._child(metrics.rejected, record.error.value if record.error is not None else "other"))
            return
        self._observe_attempts(record, provider)
        self._observe_times(record, provider, model)
        self._observe_volume(record, provider, model)

    def _observe_attempts(self, record: CallRecord, provider: str) -> None:
        """Each attempt that failed quietly by its fault; the one that the caller got as `ok`, however it ended."""
        attempts = self._metrics.attempts
        for name, kind in record.faults:
            add(self._child(attempts, name if name in self._providers else OTHER, kind.value))
        if record.attempts > len(record.faults):
            add(self._child(attempts, provider, "ok"))

    def _child(self, instrument: _Instrument, *values: str) -> _Instrument:
        key = (instrument, values)
        child = self._bound.get(key)
        if child is None:
            return self._bind(instrument, values)
        return child  # type: ignore[return-value]  # a child is of its instrument's class

    def _bind(self, instrument: _Instrument, values: tuple[str, ...]) -> _Instrument:
        known = label_sets(instrument)
        if values not in known and len(known) >= self._max_label_sets:
            self._metrics.overflow.labels(name_of(instrument)).inc()
            pairs = zip(label_names(instrument), values, strict=True)
            # Not bound: the next one is counted as well.
            return instrument.labels(*(OTHER if name in _OPEN_LABELS else value for name, value in pairs))
        child = self._bound[instrument, values] = instrument.labels(*values)
        return child

    def _observe_key(self, record: CallRecord, outcome: Outcome) -> None:
        assert self._keys is not None
        key = record.caller if record.caller in self._keys else OTHER if record.caller else ANONYMOUS
        add(self._child(self._metrics.calls_of_keys, key, outcome.value))
        if record.usage is not None:
            for token_type, count in token_counts(record.usage):
                add(self._child(self._metrics.tokens_of_keys, key, token_type), count)

    def refresh_breakers(self, breakers: Breakers, now: float) -> None:
        """Take over what the breakers count for themselves."""
        metrics = self._metrics
        is_open = dict.fromkeys(self._targets, False)
        for target, breaker in breakers.items():
            labels = target if target in is_open else (target[0], ANY_MODEL)
            is_open[labels] = is_open.get(labels, False) or breaker.is_open(now)
            if breaker.opened:
                metrics.breaker_opened.labels(*labels).inc(breaker.opened)
                breaker.opened = 0
        for labels, value in is_open.items() - self._were_open.items():
            metrics.breaker_open.labels(*labels).set(value)
        self._were_open = is_open

    def _observe_times(self, record: CallRecord, provider: str, model: str) -> None:
        metrics = self._metrics
        if record.connect_s is not None:
            observe(self._child(metrics.connect, provider, "connect"), record.connect_s)
        if record.headers_s is not None:
            observe(self._child(metrics.connect, provider, "headers"), record.headers_s)
        if record.added_s is not None:
            observe(self._child(metrics.added, record.dialect), record.added_s)
        if record.upstream_closed_s is not None:
            observe(self._child(metrics.cancel, record.dialect), record.upstream_closed_s)
        first, last = record.first_event_s, record.last_event_s
        if first is None or not record.is_stream:
            return
        operation, exemplar = record.operation, exemplar_of(record)
        observe(self._child(metrics.first_token, operation, provider, model), first, exemplar)
        if record.attempt_at is not None:
            waited_s = record.started_at + first - record.attempt_at
            observe(self._child(metrics.first_chunk, operation, provider, model), waited_s, exemplar)
        observe(self._child(metrics.max_gap, provider), record.max_gap_s)
        if last is None or last <= first:
            return
        if record.content_events > 1:
            observe(
                self._child(metrics.per_chunk, operation, provider, model), (last - first) / (record.content_events - 1)
            )
        tokens = record.usage.output if record.usage is not None else None
        if tokens is not None and tokens > 1:
            observe(self._child(metrics.per_token, operation, provider, model), (last - first) / (tokens - 1))

    def _observe_volume(self, record: CallRecord, provider: str, model: str) -> None:
        metrics = self._metrics
        add(self._child(metrics.events, provider), record.events)
        add(self._child(metrics.bytes, provider, "up"), record.bytes_up)
        add(self._child(metrics.bytes, provider, "down"), record.bytes_down)
        if record.heartbeats:
            add(self._child(metrics.heartbeats, record.dialect), record.heartbeats)
        if record.blocked_s:
            add(self._child(metrics.blocked, record.dialect), record.blocked_s)
        if record.dropped:
            add(self._child(metrics.notes, provider, "field_dropped"), len(record.dropped))
        if record.tap_failed:
            add(self._child(metrics.notes, provider, "tap_failed"))
        if record.usage is not None:
            for token_type, count in token_counts(record.usage):
                observe(self._child(metrics.tokens, record.operation, provider, model, token_type), count)
        elif record.outcome is Outcome.COMPLETED:
            add(self._child(metrics.usage_missing, provider))


def exemplar_of(record: CallRecord) -> dict[str, str] | None:
    """What leads from a bucket to the call's trace; `None` when nobody keeps that."""
    return {"trace_id": record.trace_id} if record.is_sampled else None


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
