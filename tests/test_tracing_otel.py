"""Spans as a collector gets them: through the real exporter, over loopback, decoded from its protobuf."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.config.load import Sources, load
from proxy.config.secret import Secret
from proxy.config.settings import Traces
from proxy.record import CallRecord
from proxy.server.app import Running, start
from proxy.tracing_otel import FLUSH_S, OtelTracer, traces_url
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import Answer, Cut, CutHow, sse
from tests.support.answers import json as json_answer
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
USAGE = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-2026","choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
)
STREAM = sse(chat_stream(3).replace(b"data: [DONE]", USAGE + b"data: [DONE]"))
QUESTION = "an ordinary question"


class Collected:
    """What came to a collector."""

    def __init__(self, collector: ReplayServer) -> None:
        requests = [ExportTraceServiceRequest.FromString(exchange.body) for exchange in collector.exchanges]
        self.paths = {exchange.path for exchange in collector.exchanges}
        self.resources = [resource.resource for request in requests for resource in request.resource_spans]
        scopes = [
            scope for request in requests for resource in request.resource_spans for scope in resource.scope_spans
        ]
        self.spans = [span for scope in scopes for span in scope.spans]

    @property
    def server(self) -> Span:
        [one] = [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]
        return one

    @property
    def clients(self) -> list[Span]:
        found = [span for span in self.spans if span.kind == Span.SPAN_KIND_CLIENT]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


def attributes(of: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        return [plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)

    return {pair.key: plain(pair.value) for pair in of.attributes}


def events(span: Span) -> list[str]:
    return [event.name for event in span.events]


class Stage:
    """A proxy between a caller, an upstream and a collector."""

    def __init__(self, running: Running, upstream: ReplayServer, collector: ReplayServer) -> None:
        self.running = running
        self.upstream = upstream
        self._collector = collector

    async def call(self, path: str = "/v1/chat/completions", *, stream: bool = True, **headers: str) -> bytes:
        body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.running.url + path, json=body, headers=headers) as response,
        ):
            return await response.read()

    async def collected(self) -> Collected:
        """After the proxy's stop, which sends what waits."""
        await self.running.stop()
        return Collected(self._collector)

    def traceparents(self) -> list[str | None]:
        return [exchange.headers.get("traceparent") for exchange in self.upstream.exchanges]


@contextlib.asynccontextmanager
async def stage(
    folder: Path, answers: Any, *, traces: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Stage]:
    async with ReplayServer(answers) as upstream, ReplayServer(sse(b"")) as collector:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        config = settings([chat], retry={"attempts": 2, "base_s": 0.001, "max_s": 0.001}, **more)
        config["models"] = [{"name": "m", "targets": [{"provider": "chat", "model": "upstream-model"}]}]
        config["traces"] = {"otlp_endpoint": collector.base_url, **(traces or {})}
        file = folder / "proxy.yaml"
        file.write_text(yaml.safe_dump(config))
        running = await start(load(Sources(file, environ={})).config)
        try:
            yield Stage(running, upstream, collector)
        finally:
            await running.stop()


async def test_a_call_is_a_server_span_with_a_client_span_in_the_caller_s_trace(tmp_path: Path) -> None:
    async with stage(tmp_path, STREAM) as on:
        before = time.time_ns()
        await on.call(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=1", baggage="user=7")
        got = await on.collected()

    [client] = got.clients
    assert got.paths == {"/v1/traces"}
    assert attributes(got.resources[0])["service.name"] == "llm-stream-proxy"
    assert {span.trace_id.hex() for span in got.spans} == {TRACE}
    assert got.server.parent_span_id.hex() == SPAN
    assert client.parent_span_id == got.server.span_id
    [exchange] = on.upstream.exchanges
    assert exchange.headers["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert exchange.headers["tracestate"] == "vendor=1"
    assert "baggage" not in exchange.headers
    assert before <= got.server.start_time_unix_nano <= client.start_time_unix_nano
    assert client.end_time_unix_nano <= got.server.end_time_unix_nano <= time.time_ns()
    [first] = client.events
    assert first.name == "llm_proxy.first_event"
    assert client.start_time_unix_nano <= first.time_unix_nano <= client.end_time_unix_nano


async def test_a_client_span_bears_what_the_conventions_name(tmp_path: Path) -> None:
    async with stage(tmp_path, STREAM) as on:
        await on.call()
        got = await on.collected()

    [client] = got.clients
    seen = attributes(client)
    assert client.name == "chat upstream-model"
    assert 0 < seen.pop("gen_ai.response.time_to_first_chunk") < 10
    assert seen.pop("llm_proxy.headers_s") > 0 and seen.pop("llm_proxy.connect_s") > 0
    assert seen == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "chat",
        "gen_ai.request.model": "upstream-model",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": on.upstream.port,
        "llm_proxy.provider": "chat",
        "llm_proxy.attempt": 1,
    }
    server = attributes(got.server)
    assert server["llm_proxy.outcome"] == "completed" and "error.type" not in server
    assert server["llm_proxy.alias"] == "m" and server["http.response.status_code"] == 200


async def test_each_attempt_has_a_span_and_the_upstream_its_own_parent(tmp_path: Path) -> None:
    answers = [json_answer({"error": {"message": "busy"}}, status=503), STREAM]
    async with stage(tmp_path, answers) as on:
        await on.call()
        got = await on.collected()

    first, second = got.clients
    assert [parent.split("-")[2] for parent in on.traceparents() if parent] == [
        first.span_id.hex(),
        second.span_id.hex(),
    ]
    assert attributes(first)["error.type"] == "overloaded" and first.status.code == first.status.STATUS_CODE_ERROR
    assert "error.type" not in attributes(second) and second.status.code == second.status.STATUS_CODE_UNSET
    assert got.server.status.code == got.server.status.STATUS_CODE_UNSET
    [retry] = got.server.events
    assert retry.name == "llm_proxy.retry"
    assert attributes(retry) == {"llm_proxy.provider": "chat", "error.type": "overloaded"}


async def test_a_cut_and_the_answer_that_goes_on_are_seen(tmp_path: Path) -> None:
    part = len(chat_chunk("word "))
    answers = [Answer(**{**vars(STREAM), "cut": Cut(part, CutHow.RST)}), STREAM]
    async with stage(tmp_path, answers, on_cut="restart") as on:
        received = await on.call()
        got = await on.collected()

    first, second = got.clients
    assert received.count(b"word ") == 3
    assert events(first) == ["llm_proxy.first_event", "llm_proxy.cut"]
    assert attributes(first)["error.type"] == "cut"
    assert events(got.server) == ["llm_proxy.join"]
    assert attributes(got.server)["llm_proxy.joins"] == 1
    assert "error.type" not in attributes(second)


async def test_a_broken_answer_is_an_error_and_a_refused_request_is_not(tmp_path: Path) -> None:
    cut = Answer(**{**vars(STREAM), "cut": Cut(len(chat_chunk("word ")), CutHow.RST)})
    async with stage(tmp_path, cut) as on:
        await on.call()
        broken = await on.collected()
    async with stage(tmp_path, json_answer({"error": {"message": "no"}}, status=400)) as on:
        await on.call()
        refused = await on.collected()

    assert attributes(broken.server)["error.type"] == "cut"
    assert broken.server.status.code == broken.server.status.STATUS_CODE_ERROR
    assert broken.clients[0].status.code == broken.clients[0].status.STATUS_CODE_ERROR
    assert attributes(refused.server)["error.type"] == "rejected"
    assert refused.server.status.code == refused.server.status.STATUS_CODE_UNSET
    assert attributes(refused.clients[0])["http.response.status_code"] == 400


async def test_content_is_told_only_where_asked(tmp_path: Path) -> None:
    async with stage(tmp_path, STREAM) as on:
        await on.call()
        quiet = await on.collected()
    async with stage(tmp_path, STREAM, traces={"content": True}) as on:
        received = await on.call()
        await on.call("/anthropic/v1/messages", stream=True)
        told = await on.collected()

    assert QUESTION not in str(quiet.spans) and "word" not in str(quiet.spans)
    seen = attributes(told.clients[0])
    assert json.loads(seen["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
    ]
    assert json.loads(seen["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "word word word "}]
    assert received.count(b"word ") == 3


async def test_content_of_a_whole_answer_is_told_as_well(tmp_path: Path) -> None:
    answer = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all of it"}, "finish_reason": "stop"}],
    }
    async with stage(tmp_path, json_answer(answer), traces={"content": True}) as on:
        await on.call(stream=False)
        got = await on.collected()

    assert "all of it" in attributes(got.clients[0])["gen_ai.output.messages"]


async def test_a_trace_that_the_caller_does_not_keep_is_handed_on_and_not_sent(tmp_path: Path) -> None:
    async with stage(tmp_path, STREAM) as on:
        await on.call(traceparent=f"00-{TRACE}-{SPAN}-00")
        got = await on.collected()

    [parent] = on.traceparents()
    assert got.spans == []
    assert parent is not None and parent.startswith(f"00-{TRACE}-") and parent.endswith("-00") and SPAN not in parent


async def test_a_sample_of_none_sends_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, STREAM, traces={"sample_ratio": 0}) as on:
        await on.call()
        got = await on.collected()

    assert got.spans == []


async def test_raw_requests_have_spans_too(tmp_path: Path) -> None:
    async with stage(tmp_path, json_answer({"data": []})) as on:
        await on.call("/passthrough/chat/embeddings", baggage="user=7")
        got = await on.collected()

    [client] = got.clients
    assert client.name == "passthrough *"
    [exchange] = on.upstream.exchanges
    assert exchange.headers["traceparent"].split("-")[2] == client.span_id.hex()
    assert "baggage" not in exchange.headers


async def test_without_spans_a_caller_s_context_goes_upstream_as_it_came(tmp_path: Path) -> None:
    async with stage(tmp_path, STREAM, traces={"otlp_endpoint": None}) as on:
        await on.call(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=1", baggage="user=7")
        await on.call(traceparent="no context")
        await on.call("/passthrough/chat/models", traceparent=f"00-{TRACE}-{SPAN}-01", baggage="user=7")

    assert on.traceparents() == [f"00-{TRACE}-{SPAN}-01", None, f"00-{TRACE}-{SPAN}-01"]
    assert all("baggage" not in exchange.headers for exchange in on.upstream.exchanges)


async def test_a_dead_collector_costs_one_line_and_a_moment_at_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(tmp_path, STREAM, traces={"otlp_endpoint": "http://127.0.0.1:9"}) as on:
        for _ in range(300):
            await on.call()
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            await on.running.stop()
        took_s = time.monotonic() - began

    notices = [record for record in caplog.records if record.message == "traces are not exported"]
    assert len(notices) <= 1
    assert took_s < FLUSH_S + 15
    await until_threads_end()


async def until_threads_end() -> None:
    """Threads of the exporter that a stop did not wait for end soon after."""
    async with asyncio.timeout(30):
        while any("Otel" in thread.name or "traces" in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_spans_that_wait_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    tracer = OtelTracer(Traces(otlp_endpoint=Secret("http://127.0.0.1:9", "http://127.0.0.1:9")))
    try:
        began = time.thread_time()
        for _ in range(10_000):
            tracer.begin(CallRecord("r", "openai_chat", 0.0), "POST", "/chat", None).end()
        a_call_s = (time.thread_time() - began) / 10_000
    finally:
        await tracer.close()

    assert a_call_s < 0.002
    assert len([record for record in caplog.records if record.message == "traces are not exported"]) <= 1
    await until_threads_end()


@pytest.mark.parametrize("given", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"])
def test_the_collector_s_base_url_is_enough(given: str) -> None:
    assert traces_url(given) == "http://c:4318/v1/traces"
