"""The closed list of faults and its tables."""

import pytest

from proxy.hub.errors import (
    HTTP_STATUS,
    KIND_BY_STATUS,
    RETRYABLE,
    CallerError,
    ErrorKind,
    UpstreamError,
    UpstreamProtocolError,
    kind_of_status,
)

FINAL = {
    ErrorKind.INVALID_REQUEST,
    ErrorKind.CONTEXT_TOO_LONG,
    ErrorKind.CONTENT_REJECTED,
    ErrorKind.AUTHENTICATION,
    ErrorKind.BILLING,
    ErrorKind.PERMISSION,
    ErrorKind.NOT_FOUND,
    ErrorKind.METHOD_NOT_ALLOWED,
    ErrorKind.TOO_LARGE,
    ErrorKind.UNSUPPORTED_MEDIA,
    ErrorKind.CALLER_TOO_SLOW,
}
"""Kinds for which the same request would fail again."""


def test_every_kind_has_a_status_and_is_either_final_or_worth_a_retry() -> None:
    assert set(HTTP_STATUS) == set(ErrorKind)
    assert frozenset(ErrorKind) - FINAL == RETRYABLE


def test_every_status_is_an_error_status() -> None:
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())
    assert all(400 <= status < 600 for status in KIND_BY_STATUS)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorKind.INVALID_REQUEST),
        (418, ErrorKind.INVALID_REQUEST),
        (499, ErrorKind.INVALID_REQUEST),
        (429, ErrorKind.RATE_LIMIT),
        (500, ErrorKind.UPSTREAM_FAILED),
        (529, ErrorKind.OVERLOADED),
        (599, ErrorKind.UPSTREAM_FAILED),
        (302, ErrorKind.UPSTREAM_FAILED),
    ],
)
def test_unknown_statuses_mean_what_their_class_means(status: int, kind: ErrorKind) -> None:
    assert kind_of_status(status) is kind


@pytest.mark.parametrize("status", range(400, 600))
def test_only_a_callers_fault_becomes_a_status_that_forbids_a_retry(status: int) -> None:
    """A 5xx of the provider must never reach the caller as a 4xx that SDKs give up on."""
    kind = kind_of_status(status)

    assert status < 500 or kind in RETRYABLE


def test_faults_say_who_is_to_blame() -> None:
    protocol = UpstreamProtocolError("bad bytes")

    assert (protocol.kind, protocol.status, str(protocol)) == (ErrorKind.PROTOCOL, 0, "bad bytes")
    assert isinstance(protocol, UpstreamError)
    assert not isinstance(CallerError(ErrorKind.NOT_FOUND, "no such model"), UpstreamError)
    assert CallerError(ErrorKind.NOT_FOUND, "no such model").headers == {}
