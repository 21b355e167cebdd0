"""Credentials that are more than a key: renewed ahead of time, off the event loop, and right on the wire."""

import asyncio
import contextlib
import datetime
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import yaml
import yarl
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from proxy import signing
from proxy.config import Provider
from proxy.config.load import Sources, load
from proxy.config.secret import Secret
from proxy.hub.errors import ConfigError, ErrorKind, UpstreamError
from proxy.server.app import start
from proxy.signing import AwsSigner, GoogleSigner, Lease, Renewed, signer_for
from tests.support.answers import Answer
from tests.support.aws_frames import event
from tests.support.exchange import Exchange
from tests.support.google_account import service_account, token_answer
from tests.support.proxy import provider as entry
from tests.support.proxy import settings
from tests.support.replay import ReplayServer

HOST = "https://bedrock-runtime.eu-west-1.amazonaws.com"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/example", "AWS_SESSION_TOKEN": "session"}
ANSWER = b"".join(
    (
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "signed"}}),
        event("messageStop", {"stopReason": "end_turn"}),
        event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
    )
)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys in the environment and nothing else that botocore could find."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def configured(base_url: str = HOST, kind: str = "bedrock", key: Secret | None = None) -> Provider:
    return Provider(name="p", kind=kind, base_url=base_url, api_key=key)


def expected_authorization(exchange: Exchange, url: str, region: str) -> str:
    """What botocore makes of the request as it arrived."""
    credentials = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], KEYS["AWS_SESSION_TOKEN"])
    auth = SigV4Auth(credentials, "bedrock", region)
    names = ("content-type", "x-amz-date", "x-amz-security-token")
    headers = {name: exchange.headers[name] for name in names}
    request = AWSRequest(method=exchange.method, url=url + exchange.target, data=exchange.body, headers=headers)
    request.context["timestamp"] = exchange.headers["x-amz-date"]
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}"


@pytest.mark.usefixtures("aws")
async def test_a_signed_call_through_the_whole_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    headers = (("content-type", "application/vnd.amazon.eventstream"),)
    async with ReplayServer(Answer(200, headers, ANSWER)) as upstream:
        bedrock = entry("aws", "bedrock", upstream.base_url)
        del bedrock["api_key"]
        config = settings([bedrock])
        config["models"][0]["targets"][0]["model"] = "us.amazon.nova-2-lite-v1:0"
        file = tmp_path / "proxy.yaml"
        file.write_text(yaml.safe_dump(config))
        running = await start(load(Sources(file, environ={})).config)
        try:
            body = {"model": "aws", "messages": [{"role": "user", "content": "Grüße"}]}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{running.url}/v1/chat/completions", json=body) as response,
            ):
                answer = await response.json()
        finally:
            await running.stop()

        exchange = upstream.exchanges[0]
        assert answer["choices"][0]["message"]["content"] == "signed"
        assert exchange.target == "/model/us.amazon.nova-2-lite-v1%3A0/converse-stream"
        assert exchange.headers["x-amz-security-token"] == "session"
        assert exchange.headers["authorization"] == expected_authorization(exchange, upstream.base_url, "eu-central-1")


@contextlib.asynccontextmanager
async def proxied(kind: str, base_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a proxy whose provider `cloud` has no key."""
    cloud = entry("cloud", kind, base_url)
    del cloud["api_key"]
    file = tmp_path / "proxy.yaml"
    file.write_text(yaml.safe_dump(settings([cloud])))
    running = await start(load(Sources(file, environ={})).config)
    try:
        yield running.url
    finally:
        await running.stop()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/model/us.amazon.titan-embed-text-v2%3A0/invoke", b'{"inputText":"Gr\xc3\xbc\xc3\x9fe"}'),
        ("GET", "/async-invoke?statusEquals=Completed&maxResults=10&nameContains=a%2Fb", b""),
        ("DELETE", "/any%20thing", b""),
    ],
)
async def test_raw_requests_are_signed_too(
    method: str, path: str, body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    async with (
        ReplayServer(Answer(200, (("content-type", "application/json"),), b"{}")) as upstream,
        proxied("bedrock", upstream.base_url, tmp_path) as url,
        aiohttp.ClientSession() as session,
    ):
        address = yarl.URL(f"{url}/passthrough/cloud{path}", encoded=True)
        headers = {"authorization": "AWS4-HMAC-SHA256 the caller's", "x-amz-date": "19990101T000000Z"}
        headers["content-type"] = "application/json"
        async with session.request(method, address, data=body, headers=headers) as response:
            assert (response.status, await response.read()) == (200, b"{}")

        exchange = upstream.exchanges[0]
        assert (exchange.method, exchange.target, exchange.body) == (method, path, body)
        assert exchange.headers["authorization"] == expected_authorization(exchange, upstream.base_url, "eu-central-1")


@pytest.mark.usefixtures("aws")
async def test_a_raw_request_without_credentials_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in KEYS:
        monkeypatch.delenv(name)
    async with (
        ReplayServer(Answer(200, (), b"{}")) as upstream,
        proxied("bedrock", upstream.base_url, tmp_path) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/passthrough/cloud/x") as response,
    ):
        assert response.status == 401
        assert "no usable AWS credentials" in await response.text()
        assert upstream.exchanges == []


async def test_raw_requests_to_google_bear_an_access_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token comes from an OAuth server of our own, by google-auth's way for a service account."""
    json_type = (("content-type", "application/json"),)
    async with (
        ReplayServer(token_answer("ya29.of-the-service")) as oauth,
        ReplayServer(Answer(200, json_type, b"{}")) as up,
    ):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, oauth.base_url)))
        async with proxied("vertex", up.base_url, tmp_path) as url, aiohttp.ClientSession() as session:
            for _ in range(2):
                headers = {"authorization": "Bearer callers-own"}
                async with session.post(f"{url}/passthrough/cloud/v1/x:predict", data=b"{}", headers=headers) as found:
                    assert found.status == 200

        assert [exchange.headers["authorization"] for exchange in up.exchanges] == ["Bearer ya29.of-the-service"] * 2
        assert b"grant-type%3Ajwt-bearer" in oauth.exchanges[0].body
        assert len(oauth.exchanges) == 1


@pytest.mark.usefixtures("aws")
async def test_the_region_is_the_hosts() -> None:
    signer = signer_for(configured())
    assert signer is not None

    headers = await signer.authorize(
        "POST", f"{HOST}/model/m/converse-stream", {"content-type": "application/json"}, b"{}"
    )

    assert "/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in headers["authorization"]


@pytest.mark.usefixtures("aws")
def test_without_a_region_the_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no region"):
        signer_for(configured("http://127.0.0.1:1"))


@pytest.mark.usefixtures("aws")
async def test_without_credentials_the_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    signer = AwsSigner(configured())

    with pytest.raises(UpstreamError) as caught:
        await signer.authorize("POST", HOST, {}, b"")

    assert (caught.value.kind, caught.value.code) == (ErrorKind.AUTHENTICATION, "provider_credentials_missing")


@pytest.mark.parametrize("key", [Secret("none", ""), Secret("caller", ""), Secret("env:K", "k")])
def test_a_configured_key_needs_no_signer(key: Secret) -> None:
    assert signer_for(configured(key=key)) is None


def test_other_kinds_need_no_signer() -> None:
    assert signer_for(configured(kind="openai_chat")) is None


@pytest.mark.parametrize("kind", ["bedrock", "vertex"])
def test_a_missing_library_names_its_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=rf"llm-stream-proxy\[{kind}\]"):
        signer_for(configured(kind=kind))


# --- Google


class FakeGoogle:
    """Credentials whose refresh counts, and says in which thread it ran."""

    def __init__(self, lifetime_s: float = 3600, token: str | None = "ya29.t") -> None:
        self.token = token
        self.expiry: datetime.datetime | None = None
        self.refreshed: list[threading.Thread] = []
        self._lifetime_s = lifetime_s

    def refresh(self, request: object) -> None:
        self.refreshed.append(threading.current_thread())
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self.expiry = now + datetime.timedelta(seconds=self._lifetime_s)


def google(monkeypatch: pytest.MonkeyPatch, credentials: FakeGoogle) -> GoogleSigner:
    import google.auth

    asked: list[Any] = []

    def default(scopes: list[str]) -> tuple[FakeGoogle, str]:
        asked.append(scopes)
        return credentials, "project"

    monkeypatch.setattr(google.auth, "default", default)
    return GoogleSigner(configured(kind="vertex"))


async def test_one_access_token_serves_all_calls_and_is_got_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = FakeGoogle()
    signer = google(monkeypatch, credentials)

    found = await asyncio.gather(*(signer.authorize("POST", "u", {}, b"") for _ in range(5)))

    assert found == [{"authorization": "Bearer ya29.t"}] * 5
    assert len(credentials.refreshed) == 1
    assert credentials.refreshed[0] is not threading.main_thread()


async def test_no_token_is_a_refusal_that_says_nothing_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = google(monkeypatch, FakeGoogle(token=None))

    with pytest.raises(UpstreamError, match="no usable Google credentials"):
        await signer.authorize("POST", "u", {}, b"")


# --- renewal


class Obtain:
    """A source of leases that waits for the test's word."""

    def __init__(self, now: SimpleNamespace) -> None:
        self.now = now
        self.calls = 0
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> Lease[int]:
        self.calls += 1
        assert self.gate.wait(10)
        if self.fault is not None:
            raise self.fault
        return Lease(self.calls, self.now.s + 60, self.now.s + 100)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  what happens in a thread sets no event of this loop
            await asyncio.sleep(0.001)


async def test_a_lease_is_renewed_ahead_while_nobody_waits() -> None:
    now = SimpleNamespace(s=1000.0)
    obtain = Obtain(now)
    renewed = Renewed(obtain, clock=lambda: now.s)
    assert await renewed.get() == 1
    now.s += 59
    assert (await renewed.get(), obtain.calls) == (1, 1)

    now.s += 2
    obtain.gate.clear()
    early = [await renewed.get() for _ in range(3)]
    obtain.gate.set()
    await until(lambda: obtain.calls == 2 and renewed._renewal is None)

    assert early == [1, 1, 1]
    assert (await renewed.get(), obtain.calls) == (2, 2)


async def test_a_failed_renewal_keeps_the_old_lease_until_its_end() -> None:
    now = SimpleNamespace(s=1000.0)
    obtain = Obtain(now)
    renewed = Renewed(obtain, clock=lambda: now.s)
    await renewed.get()
    obtain.fault = OSError("down")

    now.s += 61
    assert await renewed.get() == 1
    await until(lambda: renewed._renewal is None)
    now.s += 40

    with pytest.raises(OSError, match="down"):
        await renewed.get()
    obtain.fault = None
    assert await renewed.get() == obtain.calls


async def test_a_caller_who_goes_away_ends_no_renewal() -> None:
    now = SimpleNamespace(s=1000.0)
    obtain = Obtain(now)
    obtain.gate.clear()
    renewed = Renewed(obtain, clock=lambda: now.s)
    impatient = asyncio.get_running_loop().create_task(renewed.get())
    patient = asyncio.get_running_loop().create_task(renewed.get())
    await until(lambda: obtain.calls == 1)

    impatient.cancel()
    obtain.gate.set()

    assert await patient == 1
    assert obtain.calls == 1
