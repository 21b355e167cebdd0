"""From a finished call to its series: which are counted, with which labels, and what a scrape shows."""

import pytest

from proxy.hub.errors import ErrorKind
from proxy.hub.events import Usage
from proxy.metrics import OTHER, CallMetrics, Metrics, code_label, token_counts
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
        labels = {"dialect": "openai_chat", "provider": "acme", "outcome": outcome.value}
        assert value(metrics, "llm_proxy_streams_total", **labels) == 0


def test_a_call_is_active_from_its_beginning_to_its_end(metrics: Metrics, calls: CallMetrics) -> None:
    calls.begin("openai_chat")
    assert value(metrics, "llm_proxy_active_streams", dialect="openai_chat") == 1

    calls.observe(record())

    assert value(metrics, "llm_proxy_active_streams", dialect="openai_chat") == 0
    labels = {"dialect": "openai_chat", "provider": "acme", "outcome": "completed"}
    assert value(metrics, "llm_proxy_streams_total", **labels) == 1


def test_what_the_configuration_does_not_name_is_no_label(metrics: Metrics, calls: CallMetrics) -> None:
    calls.observe(record(provider="typed-by-somebody", alias="typed-as-well"))

    text = " ".join(str(family.samples) for family in metrics.registry.collect())
    assert "typed" not in text
    labels = {"dialect": "openai_chat", "provider": OTHER, "outcome": "completed"}
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


async def test_a_scrape_shows_every_instrument_once(metrics: Metrics, calls: CallMetrics) -> None:
    body, content_type = await metrics.expose("")

    names = [line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")]
    assert content_type.startswith("text/plain")
    assert len(names) == len(set(names)) == len(metrics.instruments()) > 20


def test_attempts_are_counted_by_what_became_of_them(metrics: Metrics, calls: CallMetrics) -> None:
    faults = [("acme", ErrorKind.RATE_LIMIT), ("gone-from-the-configuration", ErrorKind.TIMEOUT)]
    calls.observe(record(attempts=3, faults=faults))
    calls.observe(record(attempts=1, faults=faults[:1], outcome=Outcome.REJECTED))

    name = "llm_proxy_upstream_attempts_total"
    assert value(metrics, name, provider="acme", result="rate_limit") == 2
    assert value(metrics, name, provider=OTHER, result="timeout") == 1
    assert value(metrics, name, provider="acme", result="ok") == 1
