"""Which credentials go upstream: the configured ones, or the caller's own to the vendor it speaks to, never any other."""

from collections.abc import Mapping
from typing import cast

import pytest

from proxy.config import Provider, Secret
from proxy.config.secret import key_digest
from proxy.credentials import Credential, presented, upstream_headers, without_credentials
from proxy.header_names import CREDENTIAL_HEADERS
from proxy.hub.errors import CallerError, ErrorKind
from proxy.providers.base import Provider as ProviderKind

PROXY_KEY = "canary-0123456789-proxy"
OWN_KEY = "canary-0123456789-own"
CONFIGURED = "canary-0123456789-configured"


class Kind:
    """A kind that takes its key as Anthropic does."""

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"x-api-key": key}


def credential(api_key: Secret | None = None, header: str | None = None) -> Credential:
    provider = Provider("acme", kind="anthropic", api_key=api_key, api_key_header=header)
    # Only its key headers are looked at.
    return Credential(provider, cast(ProviderKind, Kind()), frozenset({key_digest(PROXY_KEY)}))


def headers_of(one: Credential, headers: dict[str, str], *, is_native: bool = True) -> Mapping[str, str]:
    return one.headers(presented(headers, {}), is_native=is_native)


@pytest.mark.parametrize("is_native", [True, False])
def test_a_configured_key_is_sent_whatever_the_caller_brings(is_native: bool) -> None:
    one = credential(Secret("env:KEY", CONFIGURED))

    found = headers_of(one, {"authorization": f"Bearer {OWN_KEY}"}, is_native=is_native)

    assert found == {"x-api-key": CONFIGURED}
    assert one.value() == CONFIGURED


def test_a_header_of_the_providers_own_takes_the_bare_key() -> None:
    assert headers_of(credential(Secret("env:KEY", CONFIGURED), "Api-Key"), {}) == {"api-key": CONFIGURED}


def test_a_provider_without_keys_gets_none() -> None:
    assert headers_of(credential(Secret("none", "")), {"x-api-key": OWN_KEY}) == {}


@pytest.mark.parametrize("api_key", [None, Secret("caller", "")])
def test_the_callers_own_key_goes_to_the_api_it_speaks(api_key: Secret | None) -> None:
    one = credential(api_key)

    assert headers_of(one, {"x-api-key": OWN_KEY}) == {"x-api-key": OWN_KEY}
    assert headers_of(one, {"api-key": OWN_KEY}) == {"x-api-key": OWN_KEY}
    assert one.headers(presented({}, {"key": OWN_KEY}), is_native=True) == {"x-api-key": OWN_KEY}
    assert one.value() is None


def test_a_bearer_token_stays_one() -> None:
    assert headers_of(credential(), {"authorization": f"Bearer {OWN_KEY}"}) == {"authorization": f"Bearer {OWN_KEY}"}


def test_the_callers_own_key_never_goes_to_another_vendor() -> None:
    with pytest.raises(CallerError) as caught:
        headers_of(credential(), {"x-api-key": OWN_KEY}, is_native=False)

    assert (caught.value.kind, caught.value.code) == (ErrorKind.AUTHENTICATION, "provider_key_missing")
    assert "'acme'" in caught.value.message
    assert OWN_KEY not in caught.value.message


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {PROXY_KEY}"},
        {"authorization": f"Bearer {PROXY_KEY}", "x-api-key": PROXY_KEY},
        {"x-api-key": "two\nlines"},
        {"x-api-key": "ö"},
        {"authorization": "Basic abc"},
    ],
)
def test_a_key_that_opens_this_proxy_goes_nowhere(headers: dict[str, str]) -> None:
    with pytest.raises(CallerError) as caught:
        headers_of(credential(), headers)

    assert caught.value.code == "provider_key_missing"


def test_the_second_of_two_keys_is_the_callers_own() -> None:
    headers = {"authorization": f"Bearer {PROXY_KEY}", "x-api-key": OWN_KEY}

    assert headers_of(credential(), headers) == {"x-api-key": OWN_KEY}


class Target:
    headers: Mapping[str, str] = {"x-team": "platform", "user-agent": "configured"}
    forward_headers: tuple[str, ...] = ("x-experiment", "x-hop", "x-api-key", "x-team")
    credential = credential(Secret("env:KEY", CONFIGURED))


def test_of_the_requests_headers_no_credential_and_no_hop_is_left() -> None:
    request = dict.fromkeys(CREDENTIAL_HEADERS, "canary") | {
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "x-named": "1",
        "host": "proxy",
        "content-length": "5",
        "accept-encoding": "br",
        "user-agent": "sdk",
    }

    caller = {
        "x-api-key": OWN_KEY,
        "connection": "keep-alive, X-Hop, x-named",
        "x-hop": "1",
        "x-experiment": "a",
        "x-team": "theirs",
        "x-other": "1",
    }

    found = upstream_headers(Target(), request, caller, {"key": OWN_KEY}, is_native=True)

    assert found == {
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "x-experiment": "a",
        "x-team": "platform",
        "user-agent": "configured",
        "x-api-key": CONFIGURED,
    }


def test_only_credentials_and_hops_are_taken_out() -> None:
    assert without_credentials({"traceparent": "00-1", "te": "trailers"}, "") == {"traceparent": "00-1"}


def test_what_a_request_brings_is_not_shown() -> None:
    assert OWN_KEY not in repr(presented({"x-api-key": OWN_KEY}, {}))


def test_what_a_provider_is_to_get_of_its_own_callers_goes_there_of_no_other() -> None:
    found = upstream_headers(Target(), {}, {"x-experiment": "a"}, {}, is_native=False)

    assert "x-experiment" not in found


class KeylessTarget:
    headers: Mapping[str, str] = {}
    forward_headers: tuple[str, ...] = ()
    credential = credential()


def test_the_callers_account_goes_where_its_own_key_goes() -> None:
    account = {"openai-organization": "org-1", "openai-project": "proj-1"}
    brought = {"authorization": "Bearer own-key-0123456789", **account}

    own = upstream_headers(KeylessTarget(), {}, brought, {}, is_native=True)
    ours = upstream_headers(Target(), {}, brought, {}, is_native=True)

    assert own.items() >= account.items()
    assert not ours.keys() & account.keys()
