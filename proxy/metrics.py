"""Prometheus instruments: all metrics of one process. What calls add to them: `metrics_calls`.

There is no series by dialect, provider and outcome at once: that product would be nine tenths of a fresh scrape.

`gen_ai_*` names and buckets are OpenTelemetry's GenAI conventions (semantic-conventions-genai, gen-ai-metrics.md);
`error_type` is empty for calls that ended well.
"""

import logging
import platform

import aiohttp
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from proxy import __version__
from proxy.limits import LIMITS, Limiter
from proxy.logs import LogOutput
from proxy.metrics_process import ProcessMetrics
from proxy.metrics_sum import Family, Keys, in_slices, take
from proxy.metrics_values import raise_to

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

_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


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
