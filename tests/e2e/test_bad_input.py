"""Bad input gets the error class that the caller's own SDK has for it, a message that says what to do, and costs nothing.

The requests are sent raw, because SDKs refuse to build most of them; the answers are given to the SDK's own error
factory.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall
from tests.support.answers import sse
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
CANONICAL = "/chat"

HI = [{"role": "user", "content": "hi"}]
KEY = {"authorization": "Bearer caller-key-0123456789"}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "native", "messages": HI, **fields}


def claude(**fields: Any) -> dict[str, Any]:
    return {"model": "native", "max_tokens": 10, "messages": HI, **fields}


def nested(depth: int) -> bytes:
    return b'{"model":"other","messages":' + b"[" * depth + b"]" * depth + b"}"


BAD = 400
CASES: list[tuple[str, str, Any, int, str]] = [
    # name, path, body (bytes: as they are), status, what the message must say
    ("no body", CHAT, b"", BAD, "JSON"),
    ("no JSON", CHAT, b"hello", BAD, "JSON"),
    ("half a JSON text", CHAT, b'{"model":"native","messages":[', BAD, "JSON"),
    ("two JSON texts", CHAT, b"{}{}", BAD, "JSON"),
    ("no UTF-8", CHAT, b'{"model":"native","messages":"\xff\xfe"}', BAD, "UTF-8"),
    ("an array", CHAT, b"[1,2]", BAD, "object"),
    ("a number", MESSAGES, b"7", BAD, "object"),
    ("200 levels deep", CHAT, nested(200), BAD, "nest"),
    ("100,000 levels deep", CHAT, nested(100_000), BAD, "nest"),
    ("model missing", MESSAGES, {"max_tokens": 5, "messages": HI}, BAD, "model"),
    ("model a number", CHAT, chat(model=7), BAD, "model"),
    ("model a list", MESSAGES, claude(model=["native"]), BAD, "model"),
    ("model too long", CHAT, chat(model="m" * 10_000), BAD, "model"),
    ("model with a line break", CHAT, chat(model="native\r\nx-evil: 1"), BAD, "model"),
    ("model unknown", CHAT, chat(model="nativ"), 404, "native"),
    ("model unknown to Anthropic callers", MESSAGES, claude(model="nope"), 404, "nope"),
    ("model unknown in the canonical dialect", CANONICAL, chat(model="nope"), 404, "nope"),
    ("stream a word", CHAT, chat(stream="true"), BAD, "stream"),
    ("stream a number", MESSAGES, claude(stream=1), BAD, "stream"),
    ("messages missing", CHAT, {"model": "other"}, BAD, "messages"),
    ("messages missing, converted to Chat", MESSAGES, {"model": "native", "max_tokens": 5}, BAD, "messages"),
    ("messages a text", CHAT, {"model": "other", "messages": "hi"}, BAD, "messages"),
    ("message a text", CHAT, {"model": "other", "messages": ["hi"]}, BAD, "messages[0]"),
    ("role unknown", CHAT, {"model": "other", "messages": [{"role": "king", "content": "x"}]}, BAD, "messages[0].role"),
    ("content a number", CHAT, {"model": "other", "messages": [{"role": "user", "content": 5}]}, BAD, "content"),
    ("temperature a text", CHAT, chat(model="other", temperature="hot"), BAD, "temperature"),
    ("tools a text", CHAT, chat(model="other", tools="all"), BAD, "tools"),
    ("a tool without name", CHAT, chat(model="other", tools=[{"type": "function", "function": {}}]), BAD, "name"),
    ("stop a number", CHAT, chat(model="other", stop=5), BAD, "stop"),
    ("max_tokens negative", MESSAGES, claude(max_tokens=-1), BAD, "max_tokens"),
    ("max_tokens a text", MESSAGES, claude(max_tokens="many"), BAD, "max_tokens"),
    ("a huge number", CHAT, b'{"model":"other","messages":[],"seed":' + b"9" * 5000 + b"}", BAD, ""),
    ("several answers from one that gives one", CHAT, chat(model="other", n=3), BAD, "n"),
    ("64 MB", CHAT, b'{"model":"native","messages":"' + b"x" * (64 << 20) + b'"}', 413, "bytes"),
    ("64 MB for Anthropic", MESSAGES, b'{"model":"native","messages":"' + b"x" * (64 << 20) + b'"}', 413, "bytes"),
    ("canonical without messages", CANONICAL, {"model": "native"}, BAD, "messages"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[ProxyProcess, ReplayServer]]:
    """Model `native` is an OpenAI Chat upstream, `other` an Anthropic one; a key is needed."""
    tmp_path: Path = tmp_path_factory.mktemp("bad_input")
    async with ReplayServer(sse(b"")) as upstream:
        config = settings(
            [
                provider("native", "openai_chat", upstream.base_url + "/v1"),
                provider("other", "anthropic", upstream.base_url),
            ],
            auth={"keys": [{"name": "team", "key": "env:TEAM_KEY"}]},
        )
        environ = {"TEAM_KEY": "caller-key-0123456789"}
        async with proxy_process(config, tmp_path, environ=environ) as proxy:
            yield proxy, upstream


async def _post(url: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(url, content=content, headers={"content-type": "application/json", **headers})


def _sdk_error(path: str, response: httpx.Response) -> Exception:
    """What the SDK of the path's dialect would raise."""
    if path == MESSAGES:
        with anthropic.Anthropic(api_key="x") as client:
            return client._make_status_error_from_response(response)
    with openai.OpenAI(api_key="x") as other:
        return other._make_status_error_from_response(response)


CLASS_OF_STATUS = {
    400: (openai.BadRequestError, anthropic.BadRequestError),
    401: (openai.AuthenticationError, anthropic.AuthenticationError),
    404: (openai.NotFoundError, anthropic.NotFoundError),
    405: (openai.APIStatusError, anthropic.APIStatusError),
    413: (openai.APIStatusError, anthropic.APIStatusError),
    415: (openai.APIStatusError, anthropic.APIStatusError),
}


@pytest.mark.parametrize(("path", "body", "status", "says"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
async def test_bad_input_is_refused_in_the_callers_words(
    path: str, body: Any, status: int, says: str, stage: tuple[ProxyProcess, ReplayServer]
) -> None:
    proxy, upstream = stage
    asked_before = len(upstream.exchanges)

    response = await _post(proxy.url + path, body, KEY)

    assert response.status_code == status, response.text[:500]
    assert isinstance(_sdk_error(path, response), CLASS_OF_STATUS[status])
    error = response.json()["error"]
    assert says.lower() in error["message"].lower() + str(error.get("param", ""))
    assert len(error["message"]) > 15
    assert len(upstream.exchanges) == asked_before


@pytest.mark.parametrize("path", [CHAT, MESSAGES, CANONICAL])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"x-api-key": ""}])
async def test_a_wrong_key_is_refused(
    path: str, headers: dict[str, str], stage: tuple[ProxyProcess, ReplayServer]
) -> None:
    response = await _post(stage[0].url + path, chat(), headers)

    assert response.status_code == 401
    assert isinstance(_sdk_error(path, response), CLASS_OF_STATUS[401])
    assert "key" in response.json()["error"]["message"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET", "PATCH"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_wrong_method_is_told_the_right_one(
    path: str, method: str, stage: tuple[ProxyProcess, ReplayServer]
) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.request(method, stage[0].url + path, headers=KEY)

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert "POST" in response.json()["error"]["message"]


async def test_an_unknown_path_is_a_json_error(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    response = await _post(stage[0].url + "/v1/nothing", {}, KEY)

    assert response.status_code == 404
    assert "/v1/nothing" in response.json()["error"]["message"]


async def test_a_compressed_body_is_refused(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    response = await _post(stage[0].url + CHAT, b"\x1f\x8b", {**KEY, "content-encoding": "gzip"})

    assert response.status_code == 415
    assert "ompress" in response.json()["error"]["message"]


@pytest_asyncio.fixture(loop_scope="module")
async def small(tmp_path: Path) -> AsyncIterator[ProxyProcess]:
    """Takes bodies of 100,000 bytes at most, and from nobody without a key."""
    more = {"auth": {"keys": [{"name": "team", "key": "env:TEAM_KEY"}]}, "limits": {"max_body_bytes": 100_000}}
    chat_only = settings([provider("native", "openai_chat", "http://127.0.0.1:9/v1")], **more)
    async with proxy_process(chat_only, tmp_path, environ={"TEAM_KEY": "caller-key-0123456789"}) as proxy:
        yield proxy


async def _upload(port: int, headers: str, pieces: list[bytes], *, pause_s: float) -> bytes:
    """The answer to a caller that reads nothing before it has sent everything, as most do."""
    with contextlib.closing(RawCall(port)) as call:
        await call.send(f"POST {CHAT} HTTP/1.1\r\nHost: proxy\r\n{headers}\r\n\r\n".encode())
        for piece in pieces:
            await asyncio.sleep(pause_s)
            await call.send_more(piece)
        return await call.read_to_end()


async def test_a_caller_on_a_slow_line_that_is_refused_reads_why(small: ProxyProcess) -> None:
    """Found under load: the connection of a caller that still sent was reset a second after the answer."""
    piece, count = b"x" * 20_000, 16
    key, length = "Authorization: Bearer caller-key-0123456789\r\n", f"Content-Length: {len(piece) * count}"
    chunks = [*(b"%x\r\n%b\r\n" % (len(piece), piece) for _ in range(count)), b"0\r\n\r\n"]

    declared, chunked, unknown, silent = await asyncio.gather(
        _upload(small.port, key + length, [piece] * count, pause_s=0.2),
        _upload(small.port, key + "Transfer-Encoding: chunked", chunks, pause_s=0.2),
        _upload(small.port, length + "\r\nConnection: close", [piece] * count, pause_s=0.2),
        _upload(small.port, key + length, [], pause_s=0),
    )

    assert [answer[:12] for answer in (declared, chunked, unknown, silent)] == [
        *(b"HTTP/1.1 413", b"HTTP/1.1 413", b"HTTP/1.1 401", b"HTTP/1.1 413")
    ]
    assert b"The request body exceeds 100000 bytes" in declared and declared.endswith(b"}")
    assert declared.partition(b"\r\n\r\n")[2] == chunked.partition(b"\r\n\r\n")[2] == silent.partition(b"\r\n\r\n")[2]
    assert '"exception"' not in small.log.read_text()
