"""The caller's trace: what is one, and what is handed on when the proxy makes no spans itself."""

import subprocess
import sys

import pytest

from proxy.config.secret import Secret
from proxy.config.settings import Traces
from proxy.hub.errors import ConfigError
from proxy.record import CallRecord
from proxy.tracing import MAX_STATE_CHARACTERS, begin_trace, open_tracer, read_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_context_is_read_and_handed_on_as_it_came() -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1,other=2", "baggage": "user=7"}

    context = read_context(headers)

    assert context is not None
    assert (context.trace_id, context.span_id, context.is_sampled) == (TRACE, SPAN, True)
    assert context.headers == {name: headers[name] for name in ("traceparent", "tracestate")}


@pytest.mark.parametrize(
    ("traceparent", "is_one"),
    [
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"cc-{TRACE}-{SPAN}-01-what-a-later-version-adds", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
        ("typed by somebody", False),
    ],
)
def test_only_what_w3c_calls_a_context_is_one(traceparent: str, is_one: bool) -> None:
    assert (read_context({"traceparent": traceparent}) is not None) is is_one


def test_an_odd_state_is_dropped_whole() -> None:
    for state in ("x" * (MAX_STATE_CHARACTERS + 1), "a=\x00b"):
        context = read_context({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": state})

        assert context is not None and "tracestate" not in context.headers


@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False), ("03", True)])
def test_without_spans_a_call_still_bears_the_caller_s_trace(flags: str, is_sampled: bool) -> None:
    record = CallRecord("req_1", "openai_chat", 0.0)

    begin_trace(None, record, "POST", "/chat", {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})

    assert (record.trace_id, record.is_sampled) == (TRACE, is_sampled)


def test_a_call_without_context_has_no_trace() -> None:
    record = CallRecord("req_1", "openai_chat", 0.0)

    begin_trace(None, record, "POST", "/chat", {})

    assert (record.trace_id, record.is_sampled) == ("", False)


def test_a_collector_without_the_extra_is_a_problem_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "proxy.tracing_otel", None)

    with pytest.raises(ConfigError) as refused:
        open_tracer(Traces(otlp_endpoint=Secret("http://127.0.0.1:9", "http://127.0.0.1:9")))

    assert "pip install 'llm-stream-proxy[otel]'" in refused.value.problems[0]


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    assert open_tracer(Traces()) is None

    script = "import sys, proxy.server.app; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
