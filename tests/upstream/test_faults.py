"""The texts that reach callers."""

import errno
import socket

import pytest

from proxy.upstream.faults import (
    CUT,
    PROTOCOL,
    UNREACHABLE,
    UNTRUSTED_BY_VERIFY_CODE,
    FaultCode,
    code_of,
    headers_timeout,
    pool_closed,
    untrusted,
)


def test_every_code_has_a_text() -> None:
    elsewhere = {headers_timeout().code, pool_closed().code}

    assert set(FaultCode) == {*UNREACHABLE, *CUT, *PROTOCOL, *elsewhere}


def test_texts_are_sentences() -> None:
    errors = [headers_timeout(), pool_closed(), *map(untrusted, [*UNTRUSTED_BY_VERIFY_CODE, 12345])]
    texts = [*UNREACHABLE.values(), *CUT.values(), *PROTOCOL.values(), *(error.message for error in errors)]

    for text in texts:
        assert text.startswith("The ") and text.endswith(".")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), FaultCode.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "x"), FaultCode.RESET),
        (TimeoutError(errno.ETIMEDOUT, "x"), FaultCode.CONNECT_TIMEOUT),
        (OSError(errno.ENETUNREACH, "x"), FaultCode.UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, "x"), FaultCode.UNREACHABLE),
        (OSError(errno.EMFILE, "x"), FaultCode.RESOURCES),
        (OSError("no number"), FaultCode.UNREACHABLE),
        (socket.gaierror(socket.EAI_NONAME, "x"), FaultCode.DNS),
        (socket.gaierror(errno.ECONNREFUSED, "x"), FaultCode.DNS),
    ],
)
def test_what_the_operating_system_says(error: OSError, code: FaultCode) -> None:
    assert code_of(error) is code
