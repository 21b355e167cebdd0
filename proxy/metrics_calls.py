"""The one place that reads a finished `CallRecord` into metrics.

Label values come from the configuration or from closed enums, never from a request: what a caller types is looked up
first, and a name that is not configured never gets here. Children are bound when the configuration is loaded, so that
a call costs no label look-up and every rate starts at zero.

A metric has at most `max_label_sets` of those that calls make (what is bound at the load does not count: it follows from
the configuration alone). Beyond, providers, models and keys become `_other`, and `llm_proxy_label_overflow_total` says
so.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from proxy.breaker import Breakers
from proxy.hub.events import Usage
from proxy.metrics import Metrics
from proxy.metrics_values import add, label_names, label_sets, name_of, observe
from proxy.record import CallRecord, Outcome

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

_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)


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
