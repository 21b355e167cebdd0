"""Which credentials a caller brought, and which go upstream.

A caller's credential headers never travel by themselves: all are taken out, and the target's own are put in. Only a
target without a configured key gets the caller's own key, only if the caller speaks the target's API, and never a key
that opened this proxy.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from proxy.config import Provider
from proxy.config.secret import CALLERS_KEY, NO_KEY, Secret, key_digest
from proxy.header_names import ACCOUNT_HEADERS, CONNECTION_HEADERS, CREDENTIAL_HEADERS
from proxy.hub.errors import CallerError, ErrorKind
from proxy.providers.base import Provider as ProviderKind
from proxy.signing import Signer, signer_for

_BARE_KEY_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")

MAX_KEY_CHARACTERS = 4096


class Presented(msgspec.Struct, frozen=True):
    """One credential of a request. Its repr hides the value."""

    value: str
    is_bearer: bool
    """It came as `Authorization: Bearer`."""

    def __repr__(self) -> str:
        return f"Presented(is_bearer={self.is_bearer})"


def presented(headers: Mapping[str, str], query: Mapping[str, str]) -> list[Presented]:
    """The keys that a request brings: `Authorization: Bearer`, vendors' key headers, `?key=`. Header names are lower-case."""
    found: list[Presented] = []
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found.append(Presented(token.strip(), is_bearer=True))
    found += [Presented(headers[name].strip(), is_bearer=False) for name in _BARE_KEY_HEADERS if name in headers]
    if "key" in query:
        found.append(Presented(query["key"].strip(), is_bearer=False))
    return [one for one in found if 0 < len(one.value) <= MAX_KEY_CHARACTERS]


class Credential:
    """What opens one provider: its configured key, the caller's, or nothing."""

    __slots__ = ("_configured", "_header", "_key", "_kind", "_provider", "_proxy_keys", "signer")

    def __init__(self, provider: Provider, kind: ProviderKind, proxy_keys: frozenset[bytes]) -> None:
        """`proxy_keys`: digests of the keys that open this proxy, which go to nobody. Raises ConfigError."""
        self._provider = provider.name
        self._kind = kind
        self._header = provider.api_key_header.lower() if provider.api_key_header is not None else None
        self._key = provider.api_key if provider.api_key is not None else Secret(CALLERS_KEY, "")
        self._proxy_keys = proxy_keys
        self._configured = self._as_headers(self._key.reveal()) if self._key.reveal() else None
        self.signer: Signer | None = signer_for(provider)
        """Proves each request by itself, in the place of a key; `None` for nearly all providers."""

    def value(self) -> str | None:
        """The configured key; `None` when there is none."""
        return self._key.reveal() or None

    @property
    def is_callers(self) -> bool:
        """Whether the caller's own key is forwarded."""
        return self._key.reference == CALLERS_KEY

    def headers(self, caller: list[Presented], *, is_native: bool) -> Mapping[str, str]:
        """The credential headers for one request. Raises CallerError (401) when a key is needed and none may be sent."""
        if self._key.reference == NO_KEY or self.signer is not None:
            return {}
        if self._configured is not None:
            return self._configured
        own = self._callers_own(caller) if is_native else None
        if own is None:
            raise self._missing(is_native=is_native)
        # A bearer token may be no key (OAuth): it stays what it was. Other forms become the API's own.
        return {"authorization": f"Bearer {own.value}"} if own.is_bearer else self._as_headers(own.value)

    def _as_headers(self, key: str) -> Mapping[str, str]:
        return {self._header: key} if self._header is not None else self._kind.auth_headers(key)

    def _callers_own(self, caller: list[Presented]) -> Presented | None:
        for one in caller:
            if key_digest(one.value) not in self._proxy_keys and one.value.isascii() and one.value.isprintable():
                return one
        return None

    def _missing(self, *, is_native: bool) -> CallerError:
        why = (
            "and the request brings none of its own"
            if is_native
            else "and a caller's own key is forwarded only to callers who speak this provider's API"
        )
        return CallerError(
            ErrorKind.AUTHENTICATION,
            f"Provider {self._provider!r} has no key configured, {why}.",
            code="provider_key_missing",
        )


class Access(Protocol):
    """The part of a target that says how to get in."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def forward_headers(self) -> tuple[str, ...]: ...

    @property
    def credential(self) -> Credential: ...


def upstream_headers(
    target: Access,
    request_headers: Mapping[str, str],
    caller_headers: Mapping[str, str],
    caller_query: Mapping[str, str],
    *,
    is_native: bool,
) -> dict[str, str]:
    """All headers of an upstream request, in lower case: the request's own, those that the provider is configured to get
    of callers who speak its API, the configured ones, the credential.

    `is_native`: the caller speaks the target's API. Raises CallerError (401) when a key is needed and none may be sent.
    """
    brought = presented(caller_headers, caller_query)
    if is_native and target.forward_headers:
        further = {name: caller_headers[name] for name in target.forward_headers if name in caller_headers}
        request_headers = {**request_headers, **further}
    headers = {
        **without_credentials(request_headers, caller_headers.get("connection", "")),
        **target.headers,
        **target.credential.headers(brought, is_native=is_native),
    }
    if is_native and target.credential.is_callers:
        headers |= {name: value for name, value in caller_headers.items() if name in ACCOUNT_HEADERS}
    return headers


def without_credentials(headers: Mapping[str, str], connection: str) -> dict[str, str]:
    """`headers` (lower-case names) without credentials and without what belongs to the caller's connection, of which the
    caller names some in its `Connection` header."""
    named = {name.strip().lower() for name in connection.split(",")}
    return {
        name: value
        for name, value in headers.items()
        if name not in CREDENTIAL_HEADERS and name not in CONNECTION_HEADERS and name not in named
    }
