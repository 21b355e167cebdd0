"""The faults of the upstream client: a closed list of codes, and one text for each that is fit for callers.

The texts are constants: what a peer sent, its address and the exceptions of libraries never get into them. The kind of
an error says when it happened (`UNREACHABLE`: nothing was answered; `CUT`: within the body), the code says what.
"""

import errno
import socket
from enum import StrEnum

from proxy.hub.errors import ErrorKind, UpstreamError


class FaultCode(StrEnum):
    """`UpstreamError.code` of every error that this package raises."""

    DNS = "dns"
    FORBIDDEN = "forbidden"
    """The host name leads only to addresses that no upstream may have (cloud metadata)."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESOURCES = "resources"
    """Our own fault: no file descriptor or memory for another socket."""
    TLS = "tls"
    PROXY = "proxy"
    """The HTTP proxy on the way could not be reached, or did not open the tunnel."""
    CONNECT_TIMEOUT = "connect_timeout"
    HEADERS_TIMEOUT = "headers_timeout"
    CLOSED = "closed"
    """The connection ended before the answer's head was complete."""
    RESET = "reset"
    TRUNCATED = "truncated"
    """The connection ended before the message did."""
    BAD_RESPONSE = "bad_response"
    HEAD_TOO_LARGE = "head_too_large"
    BAD_ENCODING = "bad_encoding"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    """We closed the connection ourselves while somebody waited for the body."""
    POOL_CLOSED = "pool_closed"


UNREACHABLE: dict[FaultCode, str] = {
    FaultCode.DNS: "The provider's host name could not be resolved.",
    FaultCode.FORBIDDEN: "The provider's host name leads to an address that is not allowed.",
    FaultCode.REFUSED: "The provider refused the connection.",
    FaultCode.UNREACHABLE: "The provider cannot be reached over the network.",
    FaultCode.RESOURCES: "The proxy has no resources left for another connection.",
    FaultCode.TLS: "The TLS handshake with the provider failed.",
    FaultCode.PROXY: "The HTTP proxy on the way to the provider could not be used.",
    FaultCode.CONNECT_TIMEOUT: "The connection to the provider was not established in time.",
    FaultCode.CLOSED: "The provider closed the connection without an answer.",
    FaultCode.RESET: "The provider reset the connection before its answer.",
}
"""Texts of faults before an answer; no other code is raised then."""
CUT: dict[FaultCode, str] = {
    FaultCode.TRUNCATED: "The provider's answer was cut off: its connection ended before the message did.",
    FaultCode.RESET: "The provider's answer was cut off: its connection was reset.",
    FaultCode.TLS: "The provider's answer was cut off: its TLS stream broke.",
    FaultCode.ABORTED: "The provider's answer was given up.",
}
"""Texts of faults within a body; no other code is raised then."""
PROTOCOL: dict[FaultCode, str] = {
    FaultCode.BAD_RESPONSE: "The provider's answer is not valid HTTP/1.1.",
    FaultCode.HEAD_TOO_LARGE: "The head of the provider's answer is too large.",
    FaultCode.BAD_ENCODING: "The provider's answer has a content encoding that cannot be read.",
    FaultCode.TOO_LARGE: "The provider's answer is too large.",
}
"""Texts of answers that are no valid HTTP; no other code means that."""

UNTRUSTED_BY_VERIFY_CODE: dict[int, str] = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "is signed by an authority that is not trusted",
    20: "is signed by an authority that is not trusted",
    62: "is for another host name",
    64: "is for another address",
}
"""OpenSSL's X509_V_ERR_* numbers (x509_vfy.h) that an operator can act on. Others: `is not trusted`."""

CODE_BY_ERRNO: dict[int, FaultCode] = {
    errno.ECONNREFUSED: FaultCode.REFUSED,
    errno.ECONNRESET: FaultCode.RESET,
    errno.EPIPE: FaultCode.RESET,
    errno.ETIMEDOUT: FaultCode.CONNECT_TIMEOUT,
    errno.EMFILE: FaultCode.RESOURCES,
    errno.ENFILE: FaultCode.RESOURCES,
    errno.ENOBUFS: FaultCode.RESOURCES,
    errno.ENOMEM: FaultCode.RESOURCES,
}
"""Of a failed connect. Every other errno is `UNREACHABLE`."""


def unreachable(code: FaultCode) -> UpstreamError:
    """Nothing was answered, because of `code`."""
    return UpstreamError(ErrorKind.UNREACHABLE, UNREACHABLE[code], code=code)


def cut(code: FaultCode) -> UpstreamError:
    """The body broke off, because of `code`."""
    return UpstreamError(ErrorKind.CUT, CUT[code], code=code)


def protocol(code: FaultCode) -> UpstreamError:
    """The peer sent what HTTP does not allow, or more of it than we take."""
    return UpstreamError(ErrorKind.PROTOCOL, PROTOCOL[code], code=code)


def headers_timeout() -> UpstreamError:
    """The head of the answer did not come in time."""
    message = "The provider did not begin to answer in time."
    return UpstreamError(ErrorKind.TIMEOUT, message, code=FaultCode.HEADERS_TIMEOUT)


def pool_closed() -> UpstreamError:
    """The pool is closed or closing."""
    return UpstreamError(ErrorKind.DRAINED, "The proxy is shutting down.", code=FaultCode.POOL_CLOSED)


def untrusted(verify_code: int) -> UpstreamError:
    """The peer's certificate was not accepted; `verify_code` is OpenSSL's."""
    why = UNTRUSTED_BY_VERIFY_CODE.get(verify_code, "is not trusted")
    return UpstreamError(ErrorKind.UNREACHABLE, f"The provider's TLS certificate {why}.", code=FaultCode.TLS)


def code_of(error: OSError) -> FaultCode:
    """Which fault a failed resolve or connect is."""
    if isinstance(error, socket.gaierror):
        return FaultCode.DNS
    return CODE_BY_ERRNO.get(error.errno or 0, FaultCode.UNREACHABLE)
