"""Which headers go through, both ways: what the other side gets is listed here whole, name by name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall
from tests.e2e.fault_row import WIRES, sized, streamed
from tests.support.canary import CALLER_KEY, COMPLETION, PROMPT, PROVIDER_KEY, shown
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.upstream.raw_server import Peer, RawRequest, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "https://app.example"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SENT: tuple[tuple[str, str], ...] = (
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, br"),
    ("Accept-Language", "de"),
    ("User-Agent", "sdk/1"),
    # Credentials, and what is nearly one.
    ("Authorization", f"Bearer {CALLER_KEY}"),
    ("authorization", "Bearer second"),
    ("X-API-Key", CALLER_KEY),
    ("x-goog-api-key", CALLER_KEY),
    ("api-key", CALLER_KEY),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Cookie", "session=1"),
    ("Cookie", "other=2"),
    ("X-Amz-Security-Token", "t"),
    ("X-Amz-Date", "20260101T000000Z"),
    ("x-goog-user-project", "theirs"),
    ("x-goog-iap-jwt-assertion", "jwt"),
    ("x-goog-authenticated-user-email", "a@b.example"),
    ("x-amzn-oidc-data", "jwt"),
    ("x-amzn-oidc-accesstoken", "token"),
    ("x-ms-token-aad-access-token", "token"),
    ("x-ms-client-principal", "who"),
    ("x-internal-token", "secret"),
    ("OpenAI-Organization", "org-theirs"),
    ("OpenAI-Project", "proj-theirs"),
    # One connection's own, and what is named for it.
    ("Connection", "keep-alive, X-Named"),
    ("Connection", "X-Also-Named, openai-version"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Trailer", "X-Sum"),
    ("Upgrade", "h2c"),
    ("Expect", "100-continue"),
    ("X-Named", "1"),
    ("X-Also-Named", "1"),
    ("openai-version", "1"),
    # Who it is and where it came from.
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Host", "front.example"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=192.0.2.7"),
    ("X-Real-IP", "192.0.2.7"),
    ("True-Client-IP", "192.0.2.7"),
    ("CF-Connecting-IP", "192.0.2.7"),
    ("Via", "1.1 front"),
    ("Origin", ORIGIN),
    ("Referer", ORIGIN + "/page?secret"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-CH-UA", "x"),
    ("DNT", "1"),
    ("X-Request-Id", "id-1"),
    ("X-B3-TraceId", "1"),
    ("X-Amzn-Trace-Id", "Root=1"),
    ("traceparent", TRACE),
    ("tracestate", "a=b"),
    ("baggage", "user=7"),
    ("X-Stainless-OS", "Linux"),
    # Vendors' own.
    ("OpenAI-Beta", "one=v1"),
    ("OpenAI-Beta", "two=v2"),
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "one-2025"),
    ("anthropic-beta", "two-2025"),
    ("anthropic-dangerous-direct-browser-access", "true"),
    ("x-goog-api-client", "sdk/1"),
    ("x-goog-upload-protocol", "resumable"),
    ("HTTP-Referer", "https://app.example"),
    ("X-Title", "App"),
    ("Idempotency-Key", "i-1"),
    ("Range", "bytes=0-9"),
    # Anything.
    ("X-Experiment", "a"),
    ("X-Custom", "b"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/admin"),
    ("X-Api-Base", "http://evil.example"),
    ("Content-Location", "/x"),
)
OURS = {"accept-encoding": "identity", "user-agent": "*", "host": "*", "content-length": "*"}
TRACED = {"traceparent": TRACE, "tracestate": "a=b"}
JSON = {"content-type": "application/json"}
CHAT_KEY = {"authorization": f"Bearer {PROVIDER_KEY}"}
CHAT_OWN = {
    "accept": "application/json",
    "http-referer": "https://app.example",
    "idempotency-key": "i-1",
    "openai-beta": "one=v1, two=v2",
    "x-title": "App",
}
ANTHROPIC_OWN = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "one-2025, two-2025",
    "idempotency-key": "i-1",
}
RAW_OWN = {
    **CHAT_OWN,
    **ANTHROPIC_OWN,
    "accept-language": "de",
    "range": "bytes=0-9",
    "x-goog-api-client": "sdk/1",
    "x-goog-upload-protocol": "resumable",
}

CHAT_PATH, MESSAGES_PATH, RAW_PATH = "/v1/chat/completions", "/v1/messages", "/passthrough/chat/files"
GOT: dict[str, tuple[str, str, dict[str, str]]] = {
    "passed, of OpenAI's API": (CHAT_PATH, "chat", {**CHAT_OWN, **JSON, **CHAT_KEY, "x-experiment": "a"}),
    "passed, of Anthropic's API": (MESSAGES_PATH, "claude", {**ANTHROPIC_OWN, **JSON, "x-api-key": PROVIDER_KEY}),
    "converted": (MESSAGES_PATH, "chat", {**JSON, **CHAT_KEY, "accept": "text/event-stream"}),
    "converted the other way": (
        CHAT_PATH,
        "claude",
        {**JSON, "anthropic-version": "2023-06-01", "x-api-key": PROVIDER_KEY},
    ),
    "raw": (RAW_PATH, "chat", {**RAW_OWN, **JSON, **CHAT_KEY, "x-experiment": "a"}),
}
"""Path, model, and what the provider gets besides `OURS` and `TRACED`."""

ANSWERED: tuple[tuple[str, str], ...] = (
    ("Server", "cloudflare"),
    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Set-Cookie", "__cf_bm=1; Path=/"),
    ("Set-Cookie", "b=2"),
    ("Connection", "keep-alive"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authenticate", "Basic"),
    ("Upgrade", "h2c"),
    ("Trailer", "X-Sum"),
    ("Cache-Control", "public, max-age=600"),
    ("Expires", "Sun, 06 Nov 2094 08:49:37 GMT"),
    ("Vary", "Origin"),
    ("Alt-Svc", 'h3=":443"'),
    ("Strict-Transport-Security", "max-age=31536000"),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("Access-Control-Expose-Headers", "*"),
    ("Content-Security-Policy", "default-src *"),
    ("Clear-Site-Data", '"*"'),
    ("Refresh", "0; url=http://evil.example"),
    ("Link", "</x>; rel=preload"),
    ("Report-To", "{}"),
    ("NEL", "{}"),
    ("Location", "http://evil.example"),
    ("Service-Worker-Allowed", "/"),
    ("SourceMap", "/x"),
    ("X-Accel-Redirect", "/internal"),
    ("X-Sendfile", "/etc/passwd"),
    ("X-Accel-Buffering", "yes"),
    ("X-Powered-By", "x"),
    ("X-Proxy-Model", "spoofed"),
    ("X-Proxy-Provider", "spoofed"),
    ("X-Proxy-Stream", "spoofed"),
    ("X-Proxy-Joins", "9"),
    ("X-Request-Id", "upstream-id"),
    ("Request-Id", "upstream-id"),
    ("OpenAI-Organization", "org-of-the-operator"),
    ("anthropic-organization-id", "org-of-the-operator"),
    ("OpenAI-Processing-Ms", "12"),
    ("X-RateLimit-Remaining-Requests", "9"),
    ("anthropic-ratelimit-tokens-remaining", "8"),
    ("Retry-After", "3"),
    ("X-Should-Retry", "true"),
    ("ETag", '"e"'),
    ("Content-Disposition", "attachment"),
    ("X-Goog-Upload-Status", "active"),
    ("X-Other", "1"),
)
LIMITS = {
    "x-ratelimit-remaining-requests": "9",
    "anthropic-ratelimit-tokens-remaining": "8",
    "retry-after": "3",
    "x-should-retry": "true",
}
CORS = {"access-control-allow-origin": ORIGIN, "access-control-expose-headers": "*", "vary": "Origin"}
PROXYS = {
    **CORS,
    "server": "llm-stream-proxy",
    "date": "*",
    "x-request-id": "id-1",
    "x-proxy-stream": "*",
    "connection": "close",
}
ABOUT = {"x-proxy-model": "upstream-model", "x-proxy-attempts": "1"}
STREAM = {
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "transfer-encoding": "chunked",
    "content-type": "text/event-stream; charset=utf-8",
}
WHOLE = {"content-type": "application/json", "content-length": "*"}
REACHES: dict[str, tuple[str, str, bool, dict[str, str]]] = {
    "a stream passed": (CHAT_PATH, "chat", True, {**LIMITS, **ABOUT, **STREAM}),
    "a stream converted": (MESSAGES_PATH, "chat", True, {**LIMITS, **ABOUT, **STREAM, "request-id": "id-1"}),
    "a whole answer passed": (CHAT_PATH, "chat", False, {**LIMITS, **ABOUT, **WHOLE}),
    "a whole answer converted": (MESSAGES_PATH, "chat", False, {**LIMITS, **ABOUT, **WHOLE, "request-id": "id-1"}),
    "raw": (
        RAW_PATH,
        "chat",
        True,
        {
            **LIMITS,
            **STREAM,
            "content-type": "text/event-stream",
            "request-id": "upstream-id",
            "openai-processing-ms": "12",
            "etag": '"e"',
            "content-disposition": "attachment",
            "x-goog-upload-status": "active",
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox",
        },
    ),
}
"""Path, model, whether a stream is asked for, and what the caller gets besides `PROXYS`."""


@dataclass
class Stage:
    proxy: ProxyProcess
    requests: list[RawRequest]
    """Those that have reached the provider, in the order of coming."""
    lines: list[bytes]
    """Further header lines of each answer."""

    async def ask(self, path: str, model: str, *headers: tuple[str, str], stream: bool = False) -> dict[str, str]:
        """The headers of the answer; a repeated name fails."""
        fields = {"max_tokens": 5} if path == MESSAGES_PATH else {}
        messages = [{"role": "user", "content": PROMPT}]
        body = msgspec.json.encode({"model": model, "messages": messages, "stream": stream, **fields})
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"POST {path} HTTP/1.1\r\nHost: proxy\r\nContent-Length: {len(body)}\r\n{lines}"
        with contextlib.closing(RawCall(self.proxy.port)) as call:
            await call.send(head.encode() + b"Connection: close\r\n\r\n" + body)
            answer = await call.read_to_end()
        while answer.startswith(b"HTTP/1.1 100 "):
            answer = answer.partition(b"\r\n\r\n")[2]
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]
        assert shown(answer) == [], "neither key nor prompt is told"
        found = [line.partition(": ") for line in answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]]
        assert len({name.lower() for name, _, _ in found}) == len(found)
        return {name.lower(): value for name, _, value in found}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    requests: list[RawRequest] = []
    lines: list[bytes] = []

    async def serve(peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await peer.request()
                requests.append(request)
                wire = WIRES["anthropic" if request.target.endswith("/messages") else "openai_chat"]
                if b'"stream":true' in request.body:
                    await peer.send(streamed(wire.whole.replace(COMPLETION.encode(), b"word"), *lines))
                else:
                    await peer.send(sized("200 OK", wire.whole_json.replace(COMPLETION.encode(), b"word"), *lines))

    async with RawServer(serve) as server:
        chat = provider("chat", "openai_chat", server.url + "/v1", api_key="env:KEY", forward_headers=["X-Experiment"])
        claude = provider("claude", "anthropic", server.url, api_key="env:KEY")
        config = settings([chat, claude], cors={"origins": [ORIGIN]})
        config["auth"] = {"keys": [{"name": "team", "key": "env:TEAM_KEY"}]}
        environ = {"KEY": PROVIDER_KEY, "TEAM_KEY": CALLER_KEY}
        async with proxy_process(config, tmp_path_factory.mktemp("headers"), environ=environ) as proxy:
            yield Stage(proxy, requests, lines)


def _alike(found: dict[str, str], expected: dict[str, str]) -> dict[str, str]:
    """`found`, with a star where one is expected."""
    return {name: "*" if expected.get(name) == "*" else value for name, value in found.items()}


@pytest.mark.parametrize("way", GOT)
async def test_a_provider_gets_these_headers_of_a_caller_and_no_other(way: str, stage: Stage) -> None:
    path, model, own = GOT[way]
    expected = {**OURS, **TRACED, **own}
    stage.requests.clear()
    stage.lines.clear()

    await stage.ask(path, model, *SENT)

    [request] = stage.requests
    assert _alike(request.headers, expected) == expected
    assert CALLER_KEY.encode() not in request.raw


@pytest.mark.parametrize("way", REACHES)
async def test_a_caller_gets_these_headers_of_a_provider_and_no_other(way: str, stage: Stage) -> None:
    path, model, is_stream, own = REACHES[way]
    expected = {**PROXYS, "x-proxy-provider": model, **own}
    stage.lines[:] = [f"{name}: {value}".encode() for name, value in ANSWERED]

    found = await stage.ask(
        path,
        model,
        *[("Content-Type", "application/json"), ("Authorization", f"Bearer {CALLER_KEY}")],
        *[("X-Request-Id", "id-1"), ("Origin", ORIGIN)],
        stream=is_stream,
    )

    assert _alike(found, expected) == expected
