"""What comes from one side and is shown to the other, in a header or an error, with bytes that could break a message.

The answers are read by the fuzzer's strict reader: printable ASCII in every header, nothing after the message.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall
from tests.e2e.fault_row import CHAT, LAST, chunk
from tests.e2e.faults_of_callers import post
from tests.fuzz.http_answers import statuses
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.upstream.raw_server import Peer, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD = {
    "not UTF-8": b"a\xff\xfeb",
    "UTF-8": "a\u00e4\u2028b".encode(),
    "control, which is no HTTP": b"a\x01\x1b[31mb",
    "delete, which is none": b"a\x7fb",
    "tab": b"a\tb",
    "long": b"a" * 7000,
    "empty": b"",
}
HEADERS = (
    b"Retry-After",
    b"X-RateLimit-Reset",
    b"Anthropic-RateLimit-X",
    b"X-Request-Id",
    b"Content-Type",
    b"Set-Cookie",
    b"X-Other",
)
MESSAGE = "odd \r\nx-evil: 1\x00\x1b\u2028\U0001f600"


class Upstream:
    """Answers every request with one odd value in each header that can be reflected."""

    def __init__(self) -> None:
        self.server = RawServer(self._serve)
        self.value = b""
        self.kind = ""

    async def _serve(self, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await peer.request()
                await peer.send(self._answer())

    def _answer(self) -> bytes:
        lines = b"".join(b"%b: %b\r\n" % (name, self.value) for name in HEADERS)
        error = msgspec.json.encode({"error": {"message": MESSAGE, "type": MESSAGE, "code": MESSAGE}})
        match self.kind:
            case "error":
                return b"HTTP/1.1 429 No\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(error), error)
            case "stream":
                return b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (lines, chunk(CHAT.whole) + LAST)
            case _:
                whole = CHAT.whole_json
                return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(whole), whole)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[ProxyProcess, Upstream]]:
    upstream = Upstream()
    async with upstream.server:
        config = settings(
            [provider("chat", "openai_chat", upstream.server.url + "/v1")],
            retry={"attempts": 1},
            breaker={"failures": 0},
        )
        async with proxy_process(config, tmp_path_factory.mktemp("reflected")) as proxy:
            yield proxy, upstream
            log = proxy.log.read_text()
            assert "unhandled" not in log, log[log.index("unhandled") - 100 :][:3000]


async def _ask(proxy: ProxyProcess, path: str, body: bytes, *lines: bytes) -> bytes:
    with contextlib.closing(RawCall(proxy.port)) as call:
        await call.send(post(path, body, b"Connection: close", *lines))
        return await call.read_to_end()


def _body(path: str, model: str, *, stream: bool) -> bytes:
    fields = {"max_tokens": 10} if path == "/v1/messages" else {}
    messages = [{"role": "user", "content": "hi"}]
    return msgspec.json.encode({"model": model, "messages": messages, "stream": stream, **fields})


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/passthrough/chat/x"])
@pytest.mark.parametrize("kind", ["error", "stream", "whole"])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_an_upstreams_odd_headers_break_no_answer(
    value: bytes, kind: str, path: str, stage: tuple[ProxyProcess, Upstream]
) -> None:
    proxy, upstream = stage
    upstream.value, upstream.kind = value, kind

    answer = await _ask(proxy, path, _body(path, "chat", stream=kind == "stream"))

    [status] = statuses(answer, is_closed=True)
    assert status in (429 if kind == "error" else 200, 502), answer[:500]
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"x-evil" not in head
    assert b"set-cookie" not in head
    assert b"x-other" not in head
    assert head.count(b"x-request-id") == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/chat", "/ui/chat", "/ollama/api/chat"])
@pytest.mark.parametrize("model", ["chat/m\u00f6del\u2028\U0001f600", "chat/" + "m" * 400, "n\u00f6pe", "chat/a\x7fb"])
async def test_a_callers_odd_model_breaks_no_answer(
    path: str, model: str, stage: tuple[ProxyProcess, Upstream]
) -> None:
    proxy, upstream = stage
    upstream.value, upstream.kind = b"application/json", "whole"

    answer = await _ask(proxy, path, _body(path, model, stream=False))

    [status] = statuses(answer, is_closed=True)
    assert status in (200, 400, 404)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "name", [b"x-request-id", b"Origin", b"Accept", b"Last-Event-ID", b"User-Agent", b"anthropic-beta"]
)
async def test_a_callers_odd_headers_break_no_answer(
    name: bytes, value: bytes, stage: tuple[ProxyProcess, Upstream]
) -> None:
    proxy, upstream = stage
    upstream.value, upstream.kind = b"application/json", "whole"
    body = _body("/v1/messages", "chat", stream=False)

    answer = await _ask(proxy, "/v1/messages", body, b"%b: %b" % (name, value))

    # Without a key, what comes with a strange origin comes from a strange page.
    assert statuses(answer, is_closed=True) in ([200], [400], [403] if name == b"Origin" else [])


@pytest.mark.parametrize(
    "path", ["/v1/n%C3%B6pe%0d%0ax-evil:%201", "/v1/models/%0d%0ax-evil:%201", "/passthrough/%0d%0ax/y"]
)
async def test_an_odd_path_breaks_no_answer(path: str, stage: tuple[ProxyProcess, Upstream]) -> None:
    answer = await _ask(stage[0], path, b"{}")

    assert statuses(answer, is_closed=True)[0] in (400, 404, 405)
    assert b"\r\nx-evil" not in answer
