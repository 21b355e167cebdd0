"""From a finished call to its series: which are counted, and with which labels."""

import pytest

from proxy.breaker import Breakers, BreakerSettings
from proxy.hub.errors import ErrorKind
from proxy.hub.events import Usage
from proxy.metrics import Metrics
from proxy.metrics_calls import ANONYMOUS, ANY_MODEL, OTHER, CallMetrics, code_label, token_counts
from proxy.record import CallRecord, Outcome


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def calls(metrics: Metrics) -> CallMetrics:
    return CallMetrics(metrics, dialects=["openai_chat"], providers=["acme"], models=["fast"])


def record(**changes: object) -> CallRecord:
    made = CallRecord("req_1", "openai_chat", 10.0)
    made.provider, made.alias, made.outcome, made.status = "acme", "fast", Outcome.COMPLETED, 200
    made.is_stream = True
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_outcome_of_every_provider_starts_at_zero(metrics: Metrics, calls: CallMetrics) -> None:
    for outcome in Outcome:
        labels = {"provider": "acme", "outcome": outcome.value}
        assert value(metrics, "llm_proxy_streams_total", **labels) == 0


def test_a_call_is_active_from_its_beginning_to_its_end(metrics: Metrics, calls: CallMetrics) -> None:
    calls.begin("openai_chat")
    assert value(metrics, "llm_proxy_active_streams", dialect="openai_chat") == 1

    calls.observe(record())

    assert value(metrics, "llm_proxy_active_streams", dialect="openai_chat") == 0
    labels = {"provider": "acme", "outcome": "completed"}
    assert value(metrics, "llm_proxy_streams_total", **labels) == 1


def test_what_the_configuration_does_not_name_is_no_label(metrics: Metrics, calls: CallMetrics) -> None:
    calls.observe(record(provider="typed-by-somebody", alias="typed-as-well"))

    text = " ".join(str(family.samples) for family in metrics.registry.collect())
    assert "typed" not in text
    labels = {"provider": OTHER, "outcome": "completed"}
    assert value(metrics, "llm_proxy_streams_total", **labels) == 1


def test_a_refused_call_counts_as_refused_and_not_as_a_stream_of_a_provider(
    metrics: Metrics, calls: CallMetrics
) -> None:
    calls.observe(record(outcome=Outcome.REFUSED, error=ErrorKind.RATE_LIMIT, status=429, provider=""))

    assert value(metrics, "llm_proxy_rejected_total", reason="rate_limit") == 1
    assert value(metrics, "llm_proxy_requests_total", dialect="openai_chat", code="429") == 1
    assert value(metrics, "llm_proxy_events_total", provider="acme") in (None, 0)


def test_usage_that_nobody_reported_is_missing_and_not_zero(metrics: Metrics, calls: CallMetrics) -> None:
    calls.observe(record())

    assert value(metrics, "llm_proxy_usage_missing_total", provider="acme") == 1
    assert token_counts(Usage(input=3)) == [("input", 3)]


@pytest.mark.parametrize(("status", "label"), [(200, "200"), (418, "4xx"), (529, "529"), (599, "5xx"), (0, "none")])
def test_statuses_are_a_closed_set(status: int, label: str) -> None:
    assert code_label(status) == label


def test_attempts_are_counted_by_what_became_of_them(metrics: Metrics, calls: CallMetrics) -> None:
    faults = [("acme", ErrorKind.RATE_LIMIT), ("gone-from-the-configuration", ErrorKind.TIMEOUT)]
    calls.observe(record(attempts=3, faults=faults))
    calls.observe(record(attempts=1, faults=faults[:1], outcome=Outcome.REJECTED))

    name = "llm_proxy_upstream_attempts_total"
    assert value(metrics, name, provider="acme", result="rate_limit") == 2
    assert value(metrics, name, provider=OTHER, result="timeout") == 1
    assert value(metrics, name, provider="acme", result="ok") == 1


def test_a_metric_without_room_counts_under_other_and_says_so(metrics: Metrics) -> None:
    models = [f"m{number}" for number in range(30)]
    calls = CallMetrics(metrics, dialects=["openai_chat"], providers=["acme"], models=models, max_label_sets=20)

    for model in models:
        calls.begin("openai_chat")
        calls.observe(record(alias=model))
    calls.observe(record(alias=models[0]))

    name = "gen_ai_server_request_duration_seconds"
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "acme", "error_type": ""}
    assert value(metrics, f"{name}_count", **labels, gen_ai_request_model="m0") == 2
    other = {**labels, "gen_ai_provider_name": OTHER, "gen_ai_request_model": OTHER}
    assert value(metrics, f"{name}_count", **other) == 10
    assert value(metrics, "llm_proxy_label_overflow_total", metric=name) == 10


def test_what_is_known_beforehand_has_always_room(metrics: Metrics) -> None:
    providers = [f"p{number}" for number in range(40)]
    calls = CallMetrics(metrics, dialects=["openai_chat"], providers=providers, models=[], max_label_sets=20)

    calls.observe(record(provider="p39", outcome=Outcome.CUT))

    assert value(metrics, "llm_proxy_streams_total", provider="p39", outcome="cut") == 1


def test_calls_are_counted_by_key_only_where_asked(metrics: Metrics, calls: CallMetrics) -> None:
    calls.observe(record(caller="team-a"))
    assert value(metrics, "llm_proxy_key_calls_total", key="team-a", outcome="completed") is None

    named = CallMetrics(metrics, dialects=["openai_chat"], providers=["acme"], models=["fast"], keys=["team-a"])
    assert value(metrics, "llm_proxy_key_calls_total", key="team-a", outcome="completed") == 0
    for caller in ("team-a", "", "gone-from-the-configuration"):
        named.observe(record(caller=caller, usage=Usage(input=3, output=4)))

    for key in ("team-a", ANONYMOUS, OTHER):
        assert value(metrics, "llm_proxy_key_calls_total", key=key, outcome="completed") == 1
        assert value(metrics, "llm_proxy_key_tokens_total", key=key, gen_ai_token_type="output") == 4


def test_breakers_show_configured_targets_and_never_a_model_that_a_caller_named(metrics: Metrics) -> None:
    breakers = Breakers(BreakerSettings(failures=1, open_s=10))
    calls = CallMetrics(
        metrics, dialects=[], providers=["acme"], models=[], targets=[("acme", "big"), ("acme", "small")]
    )
    breakers.of(("acme", "big")).fail(0.0)
    breakers.of(("acme", "typed-by-somebody")).fail(0.0)

    def shown() -> dict[str, float | None]:
        return {model: value(metrics, "llm_proxy_breaker_open", provider="acme", model=model)
                for model in ("big", "small", ANY_MODEL, "typed-by-somebody")}  # fmt: skip

    calls.refresh_breakers(breakers, 1.0)
    assert shown() == {"big": 1, "small": 0, ANY_MODEL: 1, "typed-by-somebody": None}

    calls.refresh_breakers(breakers, 11.0)
    assert shown() == {"big": 0, "small": 0, ANY_MODEL: 0, "typed-by-somebody": None}
    assert value(metrics, "llm_proxy_breaker_opened_total", provider="acme", model="big") == 1

    CallMetrics(metrics, dialects=[], providers=["acme"], models=[], targets=[("acme", "big")])
    assert shown()["small"] is None, "a target that the configuration names no more"


def test_the_way_to_the_first_chunk_starts_with_the_attempt_that_answered(metrics: Metrics, calls: CallMetrics) -> None:
    calls.observe(record(first_event_s=5.0, attempt_at=14.0))

    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "acme", "gen_ai_request_model": "fast"}
    assert value(metrics, "gen_ai_client_operation_time_to_first_chunk_seconds_sum", **labels) == pytest.approx(1.0)
