"""`/streams` over real sockets: what is seen of a call at every stage, and how it ends when an operator says so."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
import yaml

from proxy.config.load import Sources, load
from proxy.server.app import Running, start
from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import BEFORE_HEADERS, Answer, json, sse
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer

FIRST = chat_chunk("one ")
HELD = sse(FIRST + chat_stream(3), holds=(len(FIRST),))
"""Waits after its first event."""
SILENT = sse(chat_stream(3), holds=(BEFORE_HEADERS,))
PATIENCE_S = 30.0
HI = {"messages": [{"role": "user", "content": "canary-prompt"}]}


@dataclass(frozen=True)
class Watched:
    """A proxy, its upstream, and somebody at its admin routes."""

    running: Running
    upstream: ReplayServer
    http: aiohttp.ClientSession

    async def get(self, path: str = "/streams", **options: Any) -> tuple[int, Any]:
        async with self.http.get(path, **options) as response:
            return response.status, await response.json()

    async def delete(self, stream_id: str, **options: Any) -> tuple[int, Any]:
        async with self.http.delete(f"/streams/{stream_id}", **options) as response:
            return response.status, await response.json()

    async def streams(self) -> list[dict[str, Any]]:
        status, found = await self.get()
        assert status == 200
        return list(found["streams"])

    async def until(self, **wanted: object) -> dict[str, Any]:
        """The only call, once it has these values."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.streams()
                if len(found) == 1 and found[0].items() >= wanted.items():
                    return found[0]
                await asyncio.sleep(0.01)  # the proxy tells nobody of changes

    async def until_idle(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.streams():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def call(self, dialect: str = "openai_chat", **options: Any) -> RawCall:
        call = RawCall(self.running.port, **options)
        await call.send(request_bytes(dialect, "chat"))
        return call

    async def metric(self, outcome: str) -> float:
        """Calls that ended so."""
        async with self.http.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        wanted = f'outcome="{outcome}"'
        return sum(
            float(line.split()[-1]) for line in lines if line.startswith("llm_proxy_streams_total") and wanted in line
        )


@contextlib.asynccontextmanager
async def watched(folder: Path, *, has_admin: bool = True, **more: Any) -> AsyncIterator[Watched]:
    async with ReplayServer(HELD) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        admin = {"admin": {"listen": "127.0.0.1:0"}} if has_admin else {}
        file = folder / "proxy.yaml"
        file.write_text(yaml.safe_dump({**settings([chat]), **admin, **more}))
        running = await start(load(Sources(file, environ={"KEY": "canary-key-0123456789"})).config)
        try:
            async with aiohttp.ClientSession(running.admin_url) as http:
                yield Watched(running, upstream, http)
        finally:
            await running.stop()


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as made:
        yield made


def header(received: bytes, name: str) -> str:
    head = received.partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
    return dict(line.lower().split(": ", 1) for line in head)[name]


# --- what is seen


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "canonical"])
async def test_a_stream_is_seen_with_its_names_and_numbers_and_without_its_texts(
    dialect: str, proxy: Watched, tmp_path: Path
) -> None:
    call = await proxy.call(dialect)
    received = await call.read_until(b"one")
    await asyncio.sleep(0.02)

    seen = (await proxy.streams())[0]
    _, alone = await proxy.get(f"/streams/{seen['id']}")

    assert seen["id"] == alone["id"] == header(received, "x-proxy-stream")
    assert seen["request_id"] == header(received, "x-request-id")
    shown = ("dialect", "provider", "model", "alias", "asked_model", "state", "caller_state", "upstream_state")
    assert [seen[name] for name in shown] == [
        *(dialect, "chat", "upstream-model", "chat", "chat", "streaming", "reading", "answering")
    ]
    assert (seen["is_stream"], seen["attempts"], seen["upstream_status"], seen["outcome"]) == (True, 1, 200, None)
    assert seen["content_events"] >= 1
    assert seen["bytes_up"] == len(FIRST)
    assert 0 < seen["first_event_s"] <= seen["age_s"] - seen["gap_s"] + 0.01
    assert 0.01 < seen["gap_s"] == seen["max_gap_s"]
    assert "one " not in str(seen)
    call.leave()
    await proxy.until_idle()


STAGES: dict[str, tuple[Answer, dict[str, object]]] = {
    "headers": (SILENT, {"state": "waiting_for_headers", "caller_state": "waiting", "upstream_state": "waiting"}),
    "first event": (
        sse(FIRST, holds=(1,)),
        {"state": "waiting_for_first_event", "caller_state": "waiting", "upstream_state": "answering", "gap_s": None},
    ),
    "streaming": (HELD, {"state": "streaming", "caller_state": "reading"}),
    "lingering": (
        sse(chat_stream(1), holds=(len(chat_stream(1)),)),
        {"state": "ending", "upstream_state": "ended"},
    ),
    "back-off": (
        json({"error": {"message": "busy"}}, status=503, headers=(("Retry-After", "9"),)),
        {"state": "backing_off", "attempts": 1, "faults": ["chat: overloaded"], "upstream_state": "none"},
    ),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_every_stage_has_its_state(stage: str, proxy: Watched) -> None:
    answer, wanted = STAGES[stage]
    proxy.upstream.respond_with(answer)
    call = await proxy.call()

    await proxy.until(**wanted)

    call.leave()
    await proxy.until_idle()


async def test_a_request_that_is_still_coming_is_seen(proxy: Watched) -> None:
    call = RawCall(proxy.running.port)
    await call.send(request_bytes("openai_chat", "chat")[:-1])

    await proxy.until(state="receiving", caller_state="sending", upstream_state="none", provider=None)

    call.leave()
    await proxy.until_idle()


async def test_a_call_that_connects_is_seen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        secure = provider("secure", "openai_chat", f"https://127.0.0.1:{silent.getsockname()[1]}/v1")
        async with watched(tmp_path, providers=[secure], models=[model("secure")]) as proxy:
            call = await proxy.call()

            await proxy.until(state="connecting", upstream_state="connecting", provider="secure")

            call.leave()
            await proxy.until_idle()


def model(*providers: str) -> dict[str, Any]:
    return {"name": "chat", "targets": [{"provider": name, "model": "upstream-model"} for name in providers]}


async def test_a_call_that_waits_to_be_let_in_is_seen(tmp_path: Path) -> None:
    async with watched(tmp_path, limits={"max_streams": 1, "queue_size": 1, "queue_wait_s": 30}) as proxy:
        first = await proxy.call()
        await first.read_until(b"one")
        second = await proxy.call()

        async with asyncio.timeout(PATIENCE_S):
            while [one["state"] for one in await proxy.streams()] != ["streaming", "queued"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        second.leave()
        first.leave()
        await proxy.until_idle()


async def test_a_caller_that_does_not_read_is_seen_with_what_waits_for_it(proxy: Watched) -> None:
    proxy.upstream.respond_with(sse(chat_stream(60_000, "word " * 20)))
    call = await proxy.call(receive_buffer_bytes=4096)

    seen = await proxy.until(state="caller_paused", caller_state="paused", upstream_state="paused")

    assert seen["waiting_bytes"] > 32 * 1024
    await (await proxy.upstream.exchange()).until_blocked()
    seen = (await proxy.streams())[0]
    assert seen["unread_bytes"] > 32 * 1024
    assert seen["blocked_s"] > 0
    call.leave()
    await proxy.until_idle()


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
async def test_calls_that_do_not_stream_are_seen_and_marked(dialect: str, proxy: Watched) -> None:
    path = {"openai_chat": "/v1/chat/completions", "anthropic": "/v1/messages"}[dialect]
    proxy.upstream.respond_with(SILENT)
    asking = proxy.http.post(f"{proxy.running.url}{path}", json={"model": "chat", "max_tokens": 9, **HI})
    task = asyncio.get_running_loop().create_task(asking._coro)

    seen = await proxy.until(state="waiting_for_headers", is_stream=False, dialect=dialect)

    assert "canary-prompt" not in str(seen)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await proxy.until_idle()


async def test_only_the_name_of_a_key_and_no_key_is_seen(tmp_path: Path) -> None:
    keys = {"keys": [{"name": "team-a", "key": "env:KEY"}]}
    models = [{"name": "*", "targets": [{"provider": "chat"}]}]
    async with watched(tmp_path, auth=keys, models=models) as proxy:
        headers = {"Authorization": "Bearer canary-key-0123456789"}
        typed = "m-模型 sk-abcdefghijklmnopqrstuvwxyz"
        async with proxy.http.post(
            f"{proxy.running.url}/chat", json={"model": typed, **HI}, headers=headers
        ) as response:
            assert response.status == 200, await response.text()
            seen = (await proxy.streams())[0]
            assert response.headers["x-proxy-stream"] == seen["id"]

        assert seen["caller"] == "team-a"
        assert seen["asked_model"] == seen["model"] == "m-模型 ***"
        assert "canary" not in str(seen)
        await proxy.until_idle()


# --- snapshots again and again


async def test_a_reader_of_events_gets_snapshots_until_it_leaves(proxy: Watched) -> None:
    call = await proxy.call()
    await call.read_until(b"one")
    sse_headers = {"Accept": "text/event-stream"}
    seen: list[Any] = []
    async with proxy.http.get("/streams", params={"interval_s": "0.2"}, headers=sse_headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                seen.append(yaml.safe_load(line[6:]))
            if len(seen) == 2:
                break

    first, second = (one["streams"][0] for one in seen)
    assert first["id"] == second["id"]
    assert 0.2 <= second["age_s"] - first["age_s"] < 20
    assert not seen[0]["is_draining"]
    call.leave()
    await proxy.until_idle()


@pytest.mark.parametrize("query", ["interval_s=0", "interval_s=x", "interval_s=nan", "interval_s=61", "intervals=1"])
async def test_a_query_that_means_nothing_is_said_to(query: str, proxy: Watched) -> None:
    for accept in ("text/event-stream", "application/json"):
        status, found = await proxy.get(f"/streams?{query}", headers={"Accept": accept})

        assert status == 400
        assert "interval_s" in found["error"]["message"]


# --- killing


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "canonical"])
async def test_a_killed_stream_ends_in_its_dialect_and_its_upstream_at_once(
    dialect: str, proxy: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "proxy.access")
    call = await proxy.call(dialect)
    received = await call.read_until(b"one")

    status, found = await proxy.delete(header(received, "x-proxy-stream"))
    await (await proxy.upstream.exchange()).until_left()
    await call.read_until(b"\r\n0\r\n\r\n")

    assert (status, found["outcome"]) == (200, "killed")
    body = bare_body(call.received)
    mark = {"openai_chat": b'data: {"error":', "anthropic": b"event: error", "canonical": b'"type":"error"'}[dialect]
    assert mark in body
    assert (b"[DONE]" in body) == (dialect == "canonical")
    await proxy.until_idle()
    assert await proxy.metric("killed") == 1
    assert [record.outcome for record in caplog.records if record.name == "proxy.access"] == ["killed"]
    assert (await proxy.delete(header(received, "x-proxy-stream")))[0] == 404
    call.leave()


async def test_the_sdks_raise_for_a_killed_stream(proxy: Watched) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{proxy.running.url}/v1", api_key="-", max_retries=0, timeout=30) as openai_client,
        anthropic.AsyncAnthropic(
            base_url=proxy.running.url, api_key="-", max_retries=0, timeout=30
        ) as anthropic_client,
    ):
        chat = await openai_client.chat.completions.create(model="chat", stream=True, **HI)  # type: ignore[call-overload]
        with pytest.raises(openai.APIError, match="operator"):
            async for _ in chat:
                await proxy.delete((await proxy.streams())[0]["id"])
        message = await anthropic_client.messages.create(  # type: ignore[call-overload]
            model="chat", max_tokens=9, stream=True, **HI
        )
        with pytest.raises(anthropic.APIStatusError, match="operator"):
            async for event in message:
                if event.type == "content_block_delta":
                    await proxy.delete((await proxy.streams())[0]["id"])

    await proxy.until_idle()
    assert await proxy.metric("killed") == 2


BEFORE: Mapping[str, Answer] = {
    "headers": SILENT,
    "first event": sse(FIRST, holds=(1,)),
    "back-off": STAGES["back-off"][0],
}


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
@pytest.mark.parametrize("stage", BEFORE)
async def test_a_call_that_is_killed_before_its_first_event_gets_a_status_and_nobody_else_is_asked(
    stage: str, dialect: str, tmp_path: Path
) -> None:
    async with ReplayServer(HELD) as other, watched(tmp_path) as one:
        providers = [
            provider("chat", "openai_chat", one.upstream.base_url + "/v1"),
            provider("other", "openai_chat", other.base_url + "/v1"),
        ]
        targets = model("chat") if stage == "back-off" else model("chat", "other")
        async with watched(tmp_path, providers=providers, models=[targets]) as proxy:
            one.upstream.respond_with(BEFORE[stage])
            call = await proxy.call(dialect)
            seen = await proxy.until(state=STAGES[stage][1]["state"])

            status, found = await proxy.delete(seen["id"])
            await call.read_until(b'"type"')

            assert (status, found["outcome"]) == (200, "killed")
            assert call.received.startswith(b"HTTP/1.1 5")
            assert header(call.received, "retry-after") == "1"
            await proxy.until_idle()
            assert await proxy.metric("killed") == 1
            assert (len(one.upstream.exchanges), len(other.exchanges)) == (1, 0)
            call.leave()


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
async def test_a_killed_call_that_does_not_stream_gets_a_status_and_is_not_asked_again(
    dialect: str, proxy: Watched
) -> None:
    path = {"openai_chat": "/v1/chat/completions", "anthropic": "/v1/messages"}[dialect]

    async def ask() -> int:
        body = {"model": "chat", "max_tokens": 9, **HI}
        async with proxy.http.post(f"{proxy.running.url}{path}", json=body) as response:
            return response.status

    task = asyncio.get_running_loop().create_task(ask())
    exchange = await proxy.upstream.exchange()
    await exchange.until_sent(len(FIRST))
    seen = await proxy.until(state="streaming", is_stream=False)

    status, _ = await proxy.delete(seen["id"])

    assert status == 200
    assert await task in (503, 529)
    await exchange.until_left()
    await proxy.until_idle()
    assert await proxy.metric("killed") == 1
    assert len(proxy.upstream.exchanges) == 1


async def test_a_killed_pass_through_breaks_off(proxy: Watched) -> None:
    async with proxy.http.post(f"{proxy.running.url}/passthrough/chat/v1/anything", data=b"x") as response:
        seen = await proxy.until(dialect="passthrough", state="streaming")
        assert response.headers["x-proxy-stream"] == seen["id"]

        assert (await proxy.delete(seen["id"]))[0] == 200

        with pytest.raises(aiohttp.ClientError):
            await response.read()
    await proxy.until_idle()
    assert await proxy.metric("killed") == 1


async def test_a_stream_that_has_its_ending_is_not_killed_any_more(proxy: Watched) -> None:
    proxy.upstream.respond_with(STAGES["lingering"][0])
    call = await proxy.call()
    received = await call.read_until(b"[DONE]")

    status, found = await proxy.delete(header(received, "x-proxy-stream"))
    await call.read_until(b"\r\n0\r\n\r\n")

    assert (status, found["error"]["code"]) == (409, "over")
    assert b"error" not in bare_body(call.received)
    await proxy.until_idle()
    assert (await proxy.metric("completed"), await proxy.metric("killed")) == (1, 0)
    call.leave()


@pytest.mark.parametrize("stream_id", ["0" * 24, "nobody"])
async def test_a_call_that_is_not_there_is_not_found(stream_id: str, proxy: Watched) -> None:
    for status, found in (await proxy.get(f"/streams/{stream_id}"), await proxy.delete(stream_id)):
        assert (status, found["error"]["code"]) == (404, "no_stream")


# --- who may


PAGES: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example:9090"},
]


@pytest.mark.parametrize("headers", PAGES, ids=str)
@pytest.mark.parametrize("has_admin", [True, False])
async def test_no_page_of_another_origin_sees_or_ends_calls(
    headers: dict[str, str], has_admin: bool, tmp_path: Path
) -> None:
    async with watched(tmp_path, has_admin=has_admin, cors={"origins": ["*"]}) as proxy:
        call = await proxy.call()
        stream_id = header(await call.read_until(b"one"), "x-proxy-stream")

        answers = [
            await proxy.get(headers=headers),
            await proxy.get(f"/streams/{stream_id}", headers=headers),
            await proxy.delete(stream_id, headers=headers),
        ]

        assert [status for status, _ in answers] == [403] * 3
        assert len(await proxy.streams()) == 1
        call.leave()
        await proxy.until_idle()


async def test_not_even_a_page_of_the_same_origin_ends_calls(proxy: Watched) -> None:
    origin = str(proxy.running.admin_url)
    for headers in ({"Origin": origin}, {"Sec-Fetch-Site": "same-origin"}):
        assert (await proxy.delete("0" * 24, headers=headers))[0] == 403
        assert (await proxy.get(headers=headers))[0] == 200


async def test_the_main_port_has_the_routes_only_where_there_is_no_admin_listener(tmp_path: Path) -> None:
    async with watched(tmp_path) as proxy:
        assert (await proxy.get(f"{proxy.running.url}/streams"))[0] == 404
    async with watched(tmp_path, has_admin=False) as proxy:
        assert (await proxy.get())[0] == 200
        assert (await proxy.get(headers={"Host": f"localhost:{proxy.running.port}"}))[0] == 200
        for name in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"):
            assert (await proxy.get(headers={name: "127.0.0.1"}))[0] == 404
