"""What stands beside generations: lists, health, raw pass-through, token counts, and HTTP as odd callers speak it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_request import BaseRequest

from proxy.server.admin import ADMIN_PATHS, refuse_remote
from proxy.server.app import ProxyServer
from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import chat_stream
from tests.support.answers import Answer, sse
from tests.support.answers import json as json_answer
from tests.support.eventsource import interpret
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

UPSTREAM_KEY = "upstream-key-0123456789"


@dataclass
class Stage:
    proxy: ProxyProcess
    upstream: ReplayServer

    @property
    def url(self) -> str:
        return self.proxy.url


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with ReplayServer(sse(chat_stream(2))) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1", api_key="env:UPSTREAM_KEY")
        claude = provider("claude", "anthropic", upstream.base_url, api_key="env:UPSTREAM_KEY")
        config = settings([chat, claude], limits={"header_timeout_s": 1, "body_timeout_s": 1})
        async with proxy_process(config, tmp_path, environ={"UPSTREAM_KEY": UPSTREAM_KEY}) as proxy:
            yield Stage(proxy, upstream)


async def ask(url: str, method: str = "GET", **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.request(method, url, **more)


# --- lists and health


async def test_each_sdk_lists_models_on_the_shared_path(stage: Stage) -> None:
    gemini = (await ask(stage.url + "/v1/models", headers={"x-goog-api-key": "x"})).json()
    assert [model["name"] for model in gemini["models"]] == ["models/chat", "models/claude"]

    async with openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key="x", timeout=30) as openai_client:
        assert [model.id async for model in openai_client.models.list()] == ["chat", "claude"]
        assert (await openai_client.models.retrieve("chat")).id == "chat"
        with pytest.raises(openai.NotFoundError):
            await openai_client.models.retrieve("none")
    async with anthropic.AsyncAnthropic(base_url=stage.url, api_key="x", timeout=30) as anthropic_client:
        assert [model.id async for model in anthropic_client.models.list()] == ["chat", "claude"]
        assert (await anthropic_client.models.retrieve("claude")).id == "claude"


async def test_health_and_the_probe_of_coding_agents(stage: Stage) -> None:
    assert (await ask(stage.url + "/healthz")).text == "ok\n"
    assert (await ask(stage.url + "/readyz")).text == "ready\n"
    assert (await ask(stage.url + "/", "HEAD")).status_code == 200
    assert "llm_proxy_build_info" in (await ask(stage.url + "/metrics")).text


async def test_a_response_says_where_it_came_from(stage: Stage) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
    response = await ask(stage.url + "/v1/chat/completions", "POST", json=body, headers={"x-request-id": "my-id_1.2"})

    assert response.headers["x-request-id"] == "my-id_1.2"
    assert response.headers["x-proxy-provider"] == "chat"
    assert response.headers["x-proxy-model"] == "upstream-model"
    assert response.headers["x-proxy-attempts"] == "1"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["server"] == "llm-stream-proxy"


@pytest.mark.parametrize("sent", ["evil\\r\\nid", "x" * 65, "ünicode", ""])
async def test_an_odd_request_id_is_replaced(sent: str, stage: Stage) -> None:
    response = await ask(stage.url + "/v1/responses", "POST", content=b"{}", headers={"x-request-id": sent.encode()})  # type: ignore[dict-item]

    assert response.headers["x-request-id"].startswith("req_")


PLACES = [
    ("GET", "/v1/nothing"),
    ("PUT", "/v1/messages"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/nobody"),
    ("GET", "/streams/nobody"),
]


async def test_every_answer_has_the_callers_request_id_or_one_of_its_own(stage: Stage) -> None:
    for method, path in PLACES:
        named = await ask(stage.url + path, method, headers={"x-request-id": "my-id_1.2"})
        unnamed = await ask(stage.url + path, method)

        assert named.headers["x-request-id"] == "my-id_1.2", path
        assert re.fullmatch("req_[0-9a-f]{24}", unnamed.headers["x-request-id"]), path
    refused = await ask(stage.url + "/v1/messages", headers={"x-request-id": "mine"})
    assert refused.json()["request_id"] == refused.headers["request-id"] == "mine"


@pytest.mark.parametrize("path", [*ADMIN_PATHS, "/v1/models", "/v1beta/models", "/ollama/api/tags"])
async def test_what_can_be_read_can_be_asked_for_by_head(path: str, stage: Stage) -> None:
    read, asked = await ask(stage.url + path), await ask(stage.url + path, "HEAD")

    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-type"] == read.headers["content-type"]


async def test_an_event_source_that_lost_its_stream_is_told_to_stop(stage: Stage) -> None:
    """It asks again by itself, and would have a second answer generated and paid for."""
    question = stage.url + "/chat?model=chat&prompt=hi"
    first = await ask(question, headers={"accept": "text/event-stream"})

    heard = interpret(first.content)
    again = await ask(question, headers={"accept": "text/event-stream", "last-event-id": heard.last_event_id})

    assert heard.events[-1].data == "[DONE]"
    assert heard.last_event_id == first.headers["x-proxy-stream"]
    assert (again.status_code, again.content) == (204, b"")
    assert len(stage.upstream.exchanges) == 1
    assert (await ask(question)).content == first.content.partition(b"\n\n")[2], "other readers of it get no id"


# --- token counts


async def test_tokens_are_counted_by_the_api_that_can(stage: Stage) -> None:
    stage.upstream.respond_with(json_answer({"input_tokens": 42}))
    async with anthropic.AsyncAnthropic(base_url=stage.url, api_key="x", timeout=30) as client:
        counted = await client.messages.count_tokens(model="claude", messages=[{"role": "user", "content": "hi"}])

    assert counted.input_tokens == 42
    assert (await stage.upstream.exchange()).path == "/v1/messages/count_tokens"


async def test_tokens_are_estimated_and_said_to_be_for_an_api_that_cannot(stage: Stage) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "word " * 100}]}
    response = await ask(stage.url + "/v1/messages/count_tokens", "POST", json=body)

    assert 100 <= response.json()["input_tokens"] <= 160
    assert response.headers["x-proxy-estimate"] == "true"
    assert stage.upstream.exchanges == []


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "via"])
async def test_admin_paths_of_the_main_port_are_for_this_machine_and_not_for_those_behind_a_front(
    header: str, stage: Stage
) -> None:
    for path in ADMIN_PATHS:
        relayed = await ask(stage.url + path, headers={header: "192.0.2.7"})

        assert relayed.status_code == 404, path
        assert (await ask(stage.url + path)).status_code == 200


@pytest.mark.parametrize(
    ("remote", "is_refused"), [("192.0.2.7", True), ("fe80::1%eth0", True), ("127.0.0.9", False), ("::1", False)]
)
def test_only_this_machines_addresses_reach_admin_paths(remote: str, is_refused: bool) -> None:
    request = make_mocked_request("GET", "/metrics").clone(remote=remote)

    assert (refuse_remote(request) is not None) is is_refused


# --- raw pass-through


async def test_anything_passes_with_the_credential_swapped(stage: Stage) -> None:
    stage.upstream.respond_with(Answer(201, (("content-type", "audio/mpeg"), ("set-cookie", "a=1")), b"\x00\xff" * 500))

    response = await ask(
        stage.url + "/passthrough/chat/audio/speech?voice=alloy&key=callers-key",
        "PUT",
        content=b"\x01\x02",
        headers={"authorization": "Bearer callers-key-0123456789", "content-type": "audio/x", "cookie": "b=2"},
    )

    exchange = await stage.upstream.exchange()
    assert (response.status_code, response.content) == (201, b"\x00\xff" * 500)
    assert response.headers["content-type"] == "audio/mpeg"
    assert "set-cookie" not in response.headers
    assert (exchange.method, exchange.target, exchange.body) == ("PUT", "/v1/audio/speech?voice=alloy", b"\x01\x02")
    assert exchange.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert exchange.headers["content-type"] == "audio/x"
    assert "cookie" not in exchange.headers


@pytest.mark.parametrize("status", [404, 429, 500])
async def test_error_answers_pass_as_they_are(status: int, stage: Stage) -> None:
    stage.upstream.respond_with(Answer(status, (("content-type", "text/plain"), ("retry-after", "7")), b"no"))

    response = await ask(stage.url + "/passthrough/chat/files")

    assert (response.status_code, response.text, response.headers["retry-after"]) == (status, "no", "7")


@pytest.mark.parametrize(
    "path",
    [
        *("../admin", "a/../../admin", "%2e%2e/admin", "a/%2e%2e/%2e%2e/x", "..%5cadmin", "..", "%2E%2E"),
        *("%2e%2e%2fadmin", "..%2fadmin", "a/b%2f..%2f..%2fx", "..;/admin", "..;x=1/admin", "%2e%2e%3b/admin"),
        *("%252e%252e/admin", "a%252f..%252f..%252fx", ".%2e/admin"),
    ],
)
async def test_a_path_cannot_climb_out_of_the_base_url(path: str, stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(f"GET /passthrough/chat/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert b" 400 " in (await call.read_to_end()).split(b"\r\n")[0]
    assert stage.upstream.exchanges == []
    call.leave()


@pytest.mark.parametrize("path", ["models/org%2Fname", "files/a..b", "x/...", "a;b=1/c", "%7Bx%7D", "a%20b", "a%2Eb"])
async def test_a_path_that_does_not_climb_passes_as_it_is_written(path: str, stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(f"GET /passthrough/chat/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    await call.read_to_end()
    call.leave()

    assert (await stage.upstream.exchange()).target == f"/v1/{path}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_raw_redirect_is_neither_followed_nor_handed_to_a_client_that_would_follow_with_its_key(
    status: int, stage: Stage
) -> None:
    stage.upstream.respond_with(Answer(status, (("location", "http://127.0.0.1:9/x"),), b""))

    response = await ask(stage.url + "/passthrough/chat/files/1/content")

    assert response.status_code == 502
    assert "location" not in response.headers
    assert "redirected" in response.json()["error"]["message"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_raw_refusal_that_quotes_the_key_stays_here(status: int, stage: Stage) -> None:
    headers = (("content-type", "text/plain"), ("www-authenticate", f'Bearer error="{UPSTREAM_KEY}"'))
    stage.upstream.respond_with(Answer(status, headers, f"Incorrect key {UPSTREAM_KEY[:10]}****.".encode()))

    response = await ask(stage.url + "/passthrough/chat/files")

    assert "The provider refused the proxy's credential." in response.json()["error"]["message"]
    assert UPSTREAM_KEY[:10] not in response.text + str(response.headers)

    stage.upstream.respond_with(Answer(status, headers, b"not yours"))
    response = await ask(stage.url + "/passthrough/chat/files")

    assert (response.status_code, response.text) == (status, "not yours")
    assert UPSTREAM_KEY not in str(response.headers)


async def test_an_unknown_provider_is_named(stage: Stage) -> None:
    response = await ask(stage.url + "/passthrough/none/files")

    assert response.status_code == 404
    assert "none" in response.json()["error"]["message"]


# --- HTTP as odd callers speak it


async def test_a_caller_of_http_1_0_gets_a_stream_that_ends_with_its_connection(stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(request_bytes("canonical", "chat").replace(b"HTTP/1.1", b"HTTP/1.0", 1))

    answer = await call.read_to_end()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.endswith(b"data: [DONE]\n\n")
    call.leave()


async def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    last = request_bytes("canonical", "none").replace(b"Host: proxy", b"Host: proxy\r\nConnection: close", 1)
    await call.send(request_bytes("canonical", "chat") + request_bytes("canonical", "claude-x") + last)

    answer = await call.read_to_end()

    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"404"]
    call.leave()


@pytest.mark.parametrize(
    "head",
    [
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity\r\nContent-Length: 5",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: \r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 0x5",
        b"Content-Length: 5_0",
        b"Content-Length: -5",
        b"Content-Length: +5",
    ],
)
async def test_ambiguous_framing_is_refused(head: bytes, stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(b"POST /chat HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n0\r\n\r\n")

    answer = await call.read_to_end()

    assert answer.split(b" ")[1] == b"400"
    assert b"aiohttp" not in answer
    json.loads(bare_body(answer))
    call.leave()


async def test_transfer_encoding_on_http_1_0_is_refused(stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(b"POST /chat HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    assert b" 400 " in (await call.read_to_end()).split(b"\r\n")[0]
    call.leave()


@pytest.mark.parametrize("sent", [b"", b"POST /chat HT", b"POST /chat HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_slow_head_is_not_waited_for(sent: bytes, stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(sent)

    answer = await call.read_to_end(patience_s=30)

    assert answer.startswith(b"HTTP/1.1 408")
    call.leave()


async def test_a_slow_body_is_not_waited_for(stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    answer = await call.read_until(b"}", patience_s=30)

    assert answer.startswith(b"HTTP/1.1 408")
    call.leave()


async def test_a_body_that_ends_before_its_handler_begins_is_no_late_head() -> None:
    """Found by the mixed soak: a slow caller read 408 behind its whole answer. Between two turns of the loop aiohttp has
    taken the request out of its queue, and the task that answers it has not begun."""

    async def answer(request: BaseRequest) -> web.Response:
        return web.Response(body=await request.read())

    server = ProxyServer(answer, header_timeout_s=0.2, max_header_bytes=8190, caller_stall_s=30)
    async with await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0) as listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        async with asyncio.timeout(10):
            while not server.connections:  # noqa: ASYNC110  nobody tells of a connection
                await asyncio.sleep(0.01)
        protocol = server.connections[0]
        protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        asyncio.get_running_loop().call_soon(protocol.data_received, b"cd")

        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"abcd")).startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                assert await reader.read(100) == b"", "nothing was asked for"
        writer.close()
        await writer.wait_closed()
        await server.shutdown(1)


async def test_an_expected_100_continue_is_given(stage: Stage) -> None:
    request = request_bytes("canonical", "chat")
    head, _, body = request.partition(b"\r\n\r\n")
    call = RawCall(stage.proxy.port)
    await call.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert await call.read_until(b"100 Continue\r\n\r\n")
    await call.more(body)

    assert b"[DONE]" in await call.read_until(b"0\r\n\r\n")
    call.leave()


async def test_a_connection_serves_many_calls(stage: Stage) -> None:
    call = RawCall(stage.proxy.port)
    await call.send(request_bytes("canonical", "chat"))
    await call.read_until(b"0\r\n\r\n")
    for _ in range(20):
        call.received = b""
        await call.more(request_bytes("anthropic", "chat"))
        await call.read_until(b"0\r\n\r\n")

    assert b"message_stop" in call.received
    assert stage.upstream.connections < 3
    call.leave()
