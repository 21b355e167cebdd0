"""The tables of header names are usable as they are looked up: in lower case, each name in one table."""

import pytest

from proxy.header_names import (
    ACCOUNT_HEADERS,
    CONNECTION_HEADERS,
    CREDENTIAL_HEADERS,
    LIST_HEADERS,
    RAW_ANSWER_HEADERS,
    RAW_ANSWER_PREFIXES,
    RAW_REQUEST_HEADERS,
    RAW_REQUEST_PREFIXES,
    goes_raw_to_caller,
    goes_raw_upstream,
)

PASSED = RAW_REQUEST_HEADERS | RAW_ANSWER_HEADERS


def test_names_are_in_lower_case() -> None:
    prefixes = {*RAW_REQUEST_PREFIXES, *RAW_ANSWER_PREFIXES}
    for name in CONNECTION_HEADERS | CREDENTIAL_HEADERS | ACCOUNT_HEADERS | LIST_HEADERS | PASSED | prefixes:
        assert name == name.lower()


def test_no_name_is_in_both_tables() -> None:
    assert frozenset() == CONNECTION_HEADERS & CREDENTIAL_HEADERS
    assert frozenset() == PASSED & (CONNECTION_HEADERS | CREDENTIAL_HEADERS | ACCOUNT_HEADERS)


@pytest.mark.parametrize("name", ["openai-organization", "x-goog-iap-jwt-assertion", "x-amzn-oidc-data", "x-other"])
def test_what_says_who_calls_goes_nowhere_raw(name: str) -> None:
    assert not goes_raw_upstream(name)


@pytest.mark.parametrize("name", ["x-accel-redirect", "x-sendfile", "set-cookie", "access-control-allow-origin"])
def test_what_browsers_and_fronts_obey_reaches_no_caller_raw(name: str) -> None:
    assert not goes_raw_to_caller(name)
