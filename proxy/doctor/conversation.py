"""One HTTP request on a connection of its own, with the time of each read. Reads only when told, so that it can stop."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from proxy import __version__
from proxy.hub.errors import UpstreamError
from proxy.upstream.answer import AnswerHead, AnswerReader

READ_BYTES = 64 * 1024
_ALPN = ("h2", "http/1.1")


class Site(msgspec.Struct, frozen=True):
    """Where the proxy is to be found."""

    host: str
    port: int
    is_tls: bool
    path: str
    """What stands before `/v1/…`, without a slash at its end."""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = 443 if self.is_tls else 80
        port = "" if self.port == standard else f":{self.port}"
        return f"{'https' if self.is_tls else 'http'}://{host}{port}{self.path}"

    @property
    def authority(self) -> str:
        return urlsplit(self.url).netloc


def parse_site(text: str) -> Site:
    """The site of a URL, with or without the `/v1` of SDKs. Raises ValueError, which says what was expected."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://HOST[:PORT] or https://HOST[:PORT]")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("expected a URL without user, query and fragment; a key is named by --key-env")
    is_tls = parts.scheme == "https"
    return Site(
        parts.hostname, parts.port or (443 if is_tls else 80), is_tls, parts.path.rstrip("/").removesuffix("/v1")
    )


class Ending(StrEnum):
    """How a message ended."""

    WHOLE = "whole"
    CUT = "cut"
    """The connection ended before the message did."""
    LATE = "late"
    """It had not ended when the time was over."""


class Unreachable(Exception):
    """No connection, or no HTTP on it; the text is for people."""


class TlsSeen(msgspec.Struct, frozen=True):
    """What the handshake showed."""

    version: str
    alpn: str
    """`h2` where the front speaks HTTP/2; such a connection is given up for one of HTTP/1.1."""
    expires: str
    """The certificate's `notAfter`."""


class Conversation:
    """One request and its answer."""

    def __init__(self, site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._site = site
        self._reader = reader
        self._writer = writer
        self._answer = AnswerReader("POST")
        self._now = asyncio.get_running_loop().time
        self.was_told_to_go_on = False
        """100 Continue came."""
        self.ending: Ending | None = None

    @classmethod
    async def open(cls, site: Site, *, receive_buffer_bytes: int | None = None) -> "Conversation":
        """Connect. Raises Unreachable."""
        connection = await _connect(site, receive_buffer_bytes)
        context = tls_context(("http/1.1",)) if site.is_tls else None
        try:
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=context, server_hostname=site.host if site.is_tls else None, limit=READ_BYTES
            )
        except (OSError, ssl.SSLError) as fault:
            connection.close()
            raise Unreachable(f"{site.url}: {_reason(fault)}") from fault
        return cls(site, reader, writer)

    @property
    def head(self) -> AnswerHead | None:
        return self._answer.head

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        """Send a request. Does not wait; an expectation of 100 is for the caller to honour (`body=None`, `send_body`)."""
        head = {
            "Host": self._site.authority,
            "User-Agent": f"llm-stream-proxy-doctor/{__version__}",
            **({"Content-Length": str(len(body))} if body is not None else {}),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self._writer.write(
            f"{method} {self._site.path}{path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")
        )

    def send_body(self, body: bytes) -> None:
        """The body of a request whose head was sent without."""
        self._writer.write(body)

    async def read(self) -> tuple[float, bytes]:
        """The time of the next read, and what it brought of the body; `ending` is set when nothing follows.

        Raises Unreachable for bytes that are no HTTP.
        """
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError:
            data = b""
            self.ending = Ending.CUT
        at = self._now()
        try:
            if data:
                self.was_told_to_go_on |= data.startswith(b"HTTP/1.1 100")
                self._answer.feed(memoryview(data))
            elif self.ending is None:
                self._answer.finish(is_clean=True)
        except UpstreamError as fault:
            if data or self._answer.head is None:
                raise Unreachable(f"no usable HTTP answer came: {fault.message}") from fault
            self.ending = Ending.CUT
        if self._answer.is_done:
            self.ending = Ending.WHOLE
        body = b"".join(self._answer.pieces)
        self._answer.pieces.clear()
        return at, body

    def leave(self) -> None:
        """Close the connection, as a caller does that has read enough."""
        self._writer.close()

    async def close(self) -> None:
        """`leave`, and wait until the socket is closed."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def look_at_tls(site: Site) -> TlsSeen | None:
    """What the front offers in its handshake; `None` without TLS. Raises Unreachable."""
    if not site.is_tls:
        return None
    connection = await _connect(site, None)
    try:
        _, writer = await asyncio.open_connection(sock=connection, ssl=tls_context(_ALPN), server_hostname=site.host)
    except (OSError, ssl.SSLError) as fault:
        connection.close()
        raise Unreachable(f"{site.url}: {_reason(fault)}") from fault
    handshake: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = handshake.getpeercert() or {}
    seen = TlsSeen(
        handshake.version() or "", handshake.selected_alpn_protocol() or "", str(certificate.get("notAfter", ""))
    )
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return seen


def tls_context(protocols: tuple[str, ...]) -> ssl.SSLContext:
    """A client's usual context. `SSL_CERT_FILE` names other authorities than the system's."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(list(protocols))
    return context


async def _connect(site: Site, receive_buffer_bytes: int | None) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(site.host, site.port, type=socket.SOCK_STREAM)
    except OSError as fault:
        raise Unreachable(f"{site.url}: {_reason(fault)}") from fault
    last: OSError | None = None
    for family, kind, number, _, address in addresses:
        connection = socket.socket(family, kind, number)
        connection.setblocking(False)
        if receive_buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await loop.sock_connect(connection, address)
            return connection
        except OSError as fault:
            connection.close()
            last = fault
        except asyncio.CancelledError:
            connection.close()
            raise
    raise Unreachable(f"{site.url}: {_reason(last or OSError('no address'))}") from last


def _reason(fault: OSError) -> str:
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {fault.verify_message}"
    return fault.strerror or str(fault)
