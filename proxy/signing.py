"""Credentials that are more than a key: AWS signatures for `bedrock`, Google access tokens for `vertex`.

A provider of these kinds without an `api_key` uses what its cloud's own library finds: variables, shared files, the
role of the machine or the pod. Getting and renewing them waits on peers and files, so it happens in a thread, once for
all requests that need it, and ahead of time: while the old one is good, no request waits for a new one.

The libraries are extras (`bedrock`: botocore, `vertex`: google-auth) and imported only where such a provider is configured.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Generic, Protocol, TypeVar

import msgspec

from proxy.config import Provider
from proxy.hub.errors import ConfigError, ErrorKind, UpstreamError

T = TypeVar("T")

Clock = Callable[[], float]
"""Seconds since the epoch."""

AWS_CHECK_S = 60.0
"""How long AWS credentials are used before their library is asked again; it renews them 15 minutes before their end."""
AWS_USABLE_S = 480.0
"""What the library gives is good for ten minutes at least."""
GOOGLE_AHEAD_S = 300.0
"""How long before its end an access token is renewed."""
LEAST_LEFT_S = 15.0
"""A token that ends sooner may end on its way."""
RENEWAL_TIMEOUT_S = 30.0

GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_REGION = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z]{2}[a-z0-9-]+-\d)\.")


class Signer(Protocol):
    async def authorize(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """The headers that prove this very request, in lower case. Raises UpstreamError without usable credentials."""
        ...


def signer_for(provider: Provider) -> Signer | None:
    """The signer of a provider that needs one; `None` for other kinds, and where `api_key` says what to send.

    Raises ConfigError where the library is missing, or the region of a `bedrock` provider.
    """
    if provider.api_key is not None or provider.kind not in _MAKERS:
        return None
    module, make = _MAKERS[provider.kind]
    try:
        is_there = find_spec(module) is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        problem = (
            f"provider {provider.name!r}: without an api_key, the kind {provider.kind!r} needs "
            f"pip install 'llm-stream-proxy[{provider.kind}]'"
        )
        raise ConfigError([problem])
    return make(provider)


# --- one credential for all requests


class Lease(msgspec.Struct, Generic[T], frozen=True):
    """A credential and its times, in seconds since the epoch."""

    value: T
    renew_at: float
    ends_at: float


class Renewed(Generic[T]):
    """The newest lease of a credential. `get` is called on the event loop, `obtain` in a thread, one at a time."""

    def __init__(self, obtain: Callable[[], Lease[T]], clock: Clock = time.time) -> None:
        self._obtain = obtain
        self._clock = clock
        self._lease: Lease[T] | None = None
        self._renewal: asyncio.Future[Lease[T]] | None = None

    async def get(self) -> T:
        """A credential that is good now. Raises whatever `obtain` raises, and TimeoutError."""
        now = self._clock()
        lease = self._lease
        if lease is not None and now < lease.renew_at:
            return lease.value
        renewal = self._renewal or self._renew()
        if lease is not None and now < lease.ends_at:
            return lease.value
        async with asyncio.timeout(RENEWAL_TIMEOUT_S):
            # One caller who goes away must not end the renewal for the others.
            return (await asyncio.shield(renewal)).value

    def _renew(self) -> asyncio.Future[Lease[T]]:
        renewal = asyncio.get_running_loop().run_in_executor(None, self._obtain)
        self._renewal = renewal
        renewal.add_done_callback(self._keep)
        return renewal

    def _keep(self, renewal: asyncio.Future[Lease[T]]) -> None:
        self._renewal = None
        # A failed renewal is told to those who wait for it; while the old lease is good, the next request tries again.
        if not renewal.cancelled() and renewal.exception() is None:
            self._lease = renewal.result()


def _unusable(cloud: str) -> UpstreamError:
    """Says nothing of the library's own words: they may quote tokens."""
    message = f"The proxy has no usable {cloud} credentials for this provider."
    return UpstreamError(ErrorKind.AUTHENTICATION, message, code="provider_credentials_missing")


# --- AWS


class _AwsCredentials(Protocol):
    access_key: str
    secret_key: str
    token: str | None


class _AwsSource(Protocol):
    def get_frozen_credentials(self) -> _AwsCredentials: ...


class _AwsSession(Protocol):
    def get_credentials(self) -> _AwsSource | None: ...

    def get_config_variable(self, name: str) -> str | None: ...


class _AwsRequest(Protocol):
    headers: Mapping[str, str]


class _AwsAuth(Protocol):
    def add_auth(self, request: _AwsRequest) -> None: ...


class AwsSigner:
    """Signature version 4 for the service `bedrock`, by botocore."""

    def __init__(self, provider: Provider) -> None:
        make_session: Callable[[], _AwsSession] = import_module("botocore.session").Session
        self._make_auth: Callable[[_AwsCredentials, str, str], _AwsAuth] = import_module("botocore.auth").SigV4Auth
        self._make_request: Callable[..., _AwsRequest] = import_module("botocore.awsrequest").AWSRequest
        self._session = make_session()
        self._source: _AwsSource | None = None
        found = _REGION.search(provider.base_url or "")
        # Containers of AWS set AWS_REGION, which botocore does not read.
        elsewhere = os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        region = found.group(1) if found is not None else elsewhere
        if not region:
            problem = (
                f"provider {provider.name!r}: the base_url names no region; "
                "expected https://bedrock-runtime.REGION.amazonaws.com, or AWS_REGION in the environment"
            )
            raise ConfigError([problem])
        self._region = region
        self._credentials = Renewed(self._obtain)

    async def authorize(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        try:
            credentials = await self._credentials.get()
        except Exception as fault:  # Any of botocore's and its HTTP client's many: all mean the same here.
            raise _unusable("AWS") from fault
        # Host and content type are enough to sign; others may change on their way through proxies.
        signed = {name: value for name, value in headers.items() if name == "content-type"}
        request = self._make_request(method=method, url=url, data=body, headers=signed)
        self._make_auth(credentials, "bedrock", self._region).add_auth(request)
        return {name.lower(): value for name, value in request.headers.items()}

    def _obtain(self) -> Lease[_AwsCredentials]:
        if self._source is None:
            self._source = self._session.get_credentials()
        if self._source is None:
            raise LookupError("no AWS credentials found")
        frozen = self._source.get_frozen_credentials()
        now = time.time()
        return Lease(frozen, now + AWS_CHECK_S, now + AWS_USABLE_S)


# --- Google


class _GoogleCredentials(Protocol):
    token: str | None
    expiry: datetime | None
    """In UTC, without a zone."""

    def refresh(self, request: object) -> None: ...


class GoogleSigner:
    """An OAuth access token of the application default credentials, by google-auth."""

    def __init__(self, provider: Provider) -> None:
        self._default: Callable[..., tuple[_GoogleCredentials, str | None]] = import_module("google.auth").default
        self._make_transport: Callable[[], object] = import_module("google.auth.transport.requests").Request
        self._source: _GoogleCredentials | None = None
        self._token = Renewed(self._obtain)

    async def authorize(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        try:
            token = await self._token.get()
        except Exception as fault:  # Any of google-auth's and its HTTP client's many: all mean the same here.
            raise _unusable("Google") from fault
        return {"authorization": f"Bearer {token}"}

    def _obtain(self) -> Lease[str]:
        if self._source is None:
            self._source, _ = self._default(scopes=[GOOGLE_SCOPE])
        self._source.refresh(self._make_transport())
        if not self._source.token:
            raise LookupError("no Google access token came")
        expiry = self._source.expiry
        ends_at = expiry.replace(tzinfo=UTC).timestamp() if expiry is not None else time.time() + GOOGLE_AHEAD_S * 2
        return Lease(self._source.token, ends_at - GOOGLE_AHEAD_S, ends_at - LEAST_LEFT_S)


_MAKERS: dict[str, tuple[str, Callable[[Provider], Signer]]] = {
    "bedrock": ("botocore", AwsSigner),
    "vertex": ("google.auth", GoogleSigner),
}
"""By kind: the module that its extra brings, and its signer."""
