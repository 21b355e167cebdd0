"""TLS over any byte transport: contexts by settings, and a filter between ciphertext and plaintext.

asyncio's own TLS transport is not used, for four reasons: it keeps a 256 KB buffer for each connection (its plain one
shares ours), it reports a connection cut by TCP as an orderly end (asyncio) or not at all (uvloop), it cannot resume
sessions, and it loses what lies beyond one protocol buffer when a paused peer closes. The filter is `ssl.SSLObject`
over two `ssl.MemoryBIO`, which the standard library documents for this use; it behaves alike under asyncio and uvloop.
"""

import os
import ssl
from contextlib import suppress

from proxy.hub.errors import ConfigError
from proxy.upstream.endpoint import Endpoint, TlsSettings
from proxy.upstream.faults import FaultCode, unreachable, untrusted

SLICE_BYTES = 16 * 1024
"""How much is moved through a memory BIO at once: a BIO never gives back what it grew to."""
SESSION_S = 1800.0
"""How long a session is used. CPython before 3.12.8 and 3.13.1 loses 6 KB each time it is asked for a session
(python/cpython issue 116810), so that asking for each connection's would be a leak."""
RECORD_BYTES = 16 * 1024 + 512
"""A TLS record at its largest, with header and tag."""


class TlsContexts:
    """The `SSLContext` of each settings value, built once and again when one of its files changed."""

    def __init__(self) -> None:
        self._contexts: dict[TlsSettings, tuple[tuple[int, ...], ssl.SSLContext]] = {}

    def get(self, settings: TlsSettings) -> ssl.SSLContext:
        """The context for `settings`. A changed file that cannot be used leaves the old context in force.

        Reads files, some milliseconds for the system's authorities. Raises ConfigError when there is no old context.
        """
        known = self._contexts.get(settings)
        stamp = _stamp(settings)
        if known is not None and (known[0] == stamp or not stamp):
            return known[1]
        try:
            context = build_context(settings)
        except ConfigError:
            if known is None:
                raise
            context = known[1]
        self._contexts[settings] = (stamp, context)
        return context


def _stamp(settings: TlsSettings) -> tuple[int, ...]:
    """What changes when a file of `settings` is replaced; empty when there is none, or one is missing just now."""
    files = [name for name in (settings.ca_file, settings.cert_file, settings.key_file) if name is not None]
    try:
        return tuple(os.stat(name).st_mtime_ns for name in files)
    except OSError:
        return ()


def build_context(settings: TlsSettings) -> ssl.SSLContext:
    """A client context for HTTP/1.1. Raises ConfigError for files that cannot be read or used."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigError([f"tls.ca_file: expected a PEM file of certificates at {settings.ca_file!r}"]) from error
    if settings.cert_file is not None:
        try:
            # OpenSSL would ask the terminal for the password of an encrypted key.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: b"")
        except OSError as error:
            problem = f"tls.cert_file: expected a PEM certificate and its unencrypted key, at {settings.cert_file!r}"
            raise ConfigError([problem]) from error
    if settings.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # So that writing never has to wait for reading.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsSessions:
    """A session of each endpoint, for shorter handshakes; servers let one serve for many connections."""

    def __init__(self) -> None:
        self._sessions: dict[Endpoint, tuple[ssl.SSLContext, ssl.SSLSession, float]] = {}

    def get(self, endpoint: Endpoint, context: ssl.SSLContext) -> ssl.SSLSession | None:
        """A session made with `context`: OpenSSL takes no other, and it was verified under that context's rules."""
        known = self._sessions.get(endpoint)
        return known[1] if known is not None and known[0] is context else None

    def keep(self, endpoint: Endpoint, tls: "TlsFilter", now: float) -> None:
        """Remember the session of `tls`, if there is none yet or the known one has become old."""
        known = self._sessions.get(endpoint)
        if known is not None and known[0] is tls.context and now - known[2] < SESSION_S:
            return
        session = tls.session()
        if session is not None and session.has_ticket:
            self._sessions[endpoint] = (tls.context, session, now)


class TlsFilter:
    """The client's end of one TLS connection; bytes in, bytes out.

    `handshake` until it is done, then `decrypt` and `encrypt`. After every call of the first two, `outgoing` has what
    must be sent to the peer, alerts included, even when they raised.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_plain", "context", "is_closed", "is_ready")

    def __init__(self, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None, plain: memoryview) -> None:
        """`plain` is scratch space that other filters share: at least a read and a record long."""
        self.context = context
        self.is_ready = False
        """The handshake is done."""
        self.is_closed = False
        """The peer said that nothing follows (close_notify)."""
        self._plain = plain
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)

    def session(self) -> ssl.SSLSession | None:
        """The session as it is now; TLS 1.3 sends tickets after the handshake."""
        return self._object.session

    def shed(self) -> None:
        """Free the 14 KB that OpenSSL 3.0 keeps for the handshake after it has read tickets, until something is written.

        Writing nothing does it, and sends nothing (SSL_write_ex(3)).
        """
        with suppress(ssl.SSLError):  # Closed by now, and about to be freed whole.
            self._object.write(b"")

    @property
    def has_outgoing(self) -> bool:
        return self._outgoing.pending > 0

    def outgoing(self) -> bytes:
        """Takes the ciphertext that waits for the transport."""
        return self._outgoing.read()

    def handshake(self, data: memoryview) -> None:
        """Go on with the handshake after the peer sent `data`; first called with none.

        Raises UpstreamError when it failed.
        """
        self._incoming.write(data)
        try:
            self._object.do_handshake()
            has_spoken = self._read_records(0) > 0
        except ssl.SSLWantReadError:
            return
        except ssl.SSLCertVerificationError as error:
            raise untrusted(error.verify_code) from error
        except ssl.SSLError as error:
            raise unreachable(FaultCode.TLS) from error
        if has_spoken or self.is_closed:
            raise unreachable(FaultCode.TLS)  # An HTTP server has nothing to say before it is asked.
        self.is_ready = True

    def encrypt(self, data: bytes) -> bytes:
        """The ciphertext of `data`, with whatever else was waiting."""
        pieces: list[bytes] = []
        view = memoryview(data)
        for start in range(0, len(view), SLICE_BYTES):
            self._object.write(view[start : start + SLICE_BYTES])
            pieces.append(self._outgoing.read())
        return b"".join(pieces)

    def decrypt(self, data: memoryview) -> memoryview:
        """The plaintext of every record that `data` completes, as a view that the next call of any filter overwrites.

        `data` is at most as long as a read. Sets `is_closed`. Raises ssl.SSLError when the stream is damaged.
        """
        filled = 0
        for start in range(0, len(data), SLICE_BYTES):
            self._incoming.write(data[start : start + SLICE_BYTES])
            filled = self._read_records(filled)
        return self._plain[:filled]

    def close_notify(self) -> bytes:
        """The bytes that tell the peer that nothing follows."""
        with suppress(ssl.SSLError):  # "Want read": the peer has not answered, and we do not wait for it.
            self._object.unwrap()
        return self._outgoing.read()

    def _read_records(self, filled: int) -> int:
        """Decrypts every complete record to `plain` from `filled` on; returns where it ends.

        It always fits: what is left from one call to the next is less than a record.
        """
        plain = self._plain
        # Asking first is cheaper than the exception that OpenSSL's "want read" becomes.
        while (self._incoming.pending or self._object.pending()) and not self.is_closed:
            try:
                # With a buffer it returns a count, which typeshed does not say.
                count: int = self._object.read(len(plain) - filled, plain[filled:])  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                count = 0
            if not count:
                self.is_closed = True
            filled += count
        return filled
