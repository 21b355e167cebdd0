"""Browser pages of other origins: refused by default, let in by their exact origin."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.streams import chat_stream
from tests.support.answers import sse
from tests.support.proxy import provider, proxy_process, settings
from tests.support.replay import ReplayServer

PAGE = "https://app.example"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with ReplayServer(sse(chat_stream(2))) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat], cors={"origins": [PAGE]}), tmp_path) as proxy:
            yield proxy.url


async def _ask(url: str, method: str, path: str, origin: str, **more: str) -> httpx.Response:
    body = b'{"model":"chat","messages":[{"role":"user","content":"x"}]}' if method == "POST" else None
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.request(method, url + path, headers={"origin": origin, **more}, content=body)


async def test_a_known_page_may_read_a_stream_an_error_and_a_list(url: str) -> None:
    for method, path in (("POST", "/chat"), ("POST", "/v1/responses"), ("GET", "/v1/models"), ("GET", "/v1/none")):
        response = await _ask(url, method, path, PAGE)

        assert response.headers["access-control-allow-origin"] == PAGE
        assert response.headers["vary"] == "Origin"


async def test_a_known_page_may_ask_first(url: str) -> None:
    response = await _ask(url, "OPTIONS", "/chat", PAGE, **{"access-control-request-method": "POST"})

    assert response.status_code == 204
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "authorization" in response.headers["access-control-allow-headers"]


SDK_HEADERS = "authorization,content-type,x-stainless-arch,x-stainless-os,x-stainless-retry-count"


@pytest.mark.parametrize(("asked", "allowed"), [(SDK_HEADERS, "x-stainless-retry-count"), ("ü", "authorization")])
async def test_a_known_page_may_send_what_its_sdk_sends(asked: str, allowed: str, url: str) -> None:
    """A browser sends no request with a header that the answer to its question does not name."""
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": asked.encode()}
    response = await _ask(url, "OPTIONS", "/v1/messages", PAGE, **wanted)  # type: ignore[arg-type]

    assert allowed in response.headers["access-control-allow-headers"]
    assert "ü" not in response.headers["access-control-allow-headers"]


async def test_a_known_page_may_ask_before_a_raw_request(url: str) -> None:
    """Also where the route takes every method, and would ask for a key."""
    path = "/passthrough/chat/files"
    asked = await _ask(url, "OPTIONS", path, PAGE, **{"access-control-request-method": "PUT"})
    elsewhere = await _ask(url, "OPTIONS", path, "https://evil.example", **{"access-control-request-method": "PUT"})

    assert asked.status_code == 204
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in elsewhere.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "null"])
async def test_any_other_page_may_not(origin: str, url: str) -> None:
    asked = await _ask(url, "OPTIONS", "/chat", origin, **{"access-control-request-method": "POST"})
    answered = await _ask(url, "POST", "/chat", origin)

    assert asked.status_code == 405
    assert "access-control-allow-origin" not in {**asked.headers, **answered.headers}


async def test_all_pages_may_be_let_in(tmp_path: Path) -> None:
    async with ReplayServer(sse(chat_stream(2))) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat], cors={"origins": ["*"]}), tmp_path) as proxy:
            response = await _ask(proxy.url, "POST", "/chat", "https://any.example")

    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("origin", "site", "status"),
    [
        ("https://evil.example", "cross-site", 403),
        (None, "cross-site", 403),
        (PAGE, "cross-site", 200),
        ("http://localhost:3000", "same-site", 200),
        (None, "same-origin", 200),
        (None, None, 200),
    ],
)
async def test_a_page_of_another_site_starts_nothing_without_a_key(
    origin: str | None, site: str | None, status: int, url: str
) -> None:
    """It cannot read the answer, but it would be paid for: an image's address is enough to ask."""
    headers = {name: value for name, value in (("origin", origin), ("sec-fetch-site", site)) if value is not None}
    async with httpx.AsyncClient(timeout=30) as client:
        asked = await client.get(f"{url}/chat?model=chat&prompt=x", headers=headers)
        posted = await client.post(
            f"{url}/v1/chat/completions",
            headers={**headers, "content-type": "text/plain"},
            content=b'{"model":"chat","stream":true,"messages":[{"role":"user","content":"x"}]}',
        )

    assert (asked.status_code, posted.status_code) == (status, status)
    if status == 403:
        assert "cors.origins" in posted.json()["error"]["message"]
