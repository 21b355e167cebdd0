"""TLS as it is spoken: who is trusted, what breaks, what is resumed; and the filter alone in every split."""

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.errors import ConfigError, ErrorKind, UpstreamError
from proxy.upstream import Endpoint, Exchange, FaultCode, TlsSettings, UpstreamPool, parse_endpoint
from proxy.upstream.connection import Buffers
from proxy.upstream.resolve import SocketAddress
from proxy.upstream.tls import TlsContexts, TlsFilter, build_context
from tests.upstream.cases import of_length
from tests.upstream.certificates import Authority, Pem, server_context
from tests.upstream.client import ask, until
from tests.upstream.raw_server import Peer, RawServer, Script, answering, keeping

ANSWER = of_length(b"hi")


def at(server: RawServer, settings: TlsSettings, host: str | None = None) -> Endpoint:
    url = server.url if host is None else f"https://{host}:{server.port}"
    return parse_endpoint(url, tls=settings)


async def ask_whole(pool: UpstreamPool, endpoint: Endpoint) -> Exchange:
    exchange = await ask(pool, endpoint)
    assert await exchange.read_whole(100) == b"hi"
    return exchange


async def refusal(pool: UpstreamPool, endpoint: Endpoint) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(pool, endpoint)
    return caught.value


# --- trust


async def test_a_certificate_of_a_trusted_authority_is_accepted(
    pool: UpstreamPool, pem: Pem, trusting: TlsSettings
) -> None:
    async with RawServer(keeping(ANSWER), tls=server_context(pem)) as server:
        first = await ask_whole(pool, at(server, trusting))
        second = await ask_whole(pool, at(server, trusting))

        assert first.connect is not None and first.connect.tls_s > 0
        assert second.reused


@pytest.mark.parametrize("host", ["good.test", "GOOD.Test", "good.test."])
async def test_a_certificate_is_checked_against_the_name(
    host: str, authority: Authority, trusting: TlsSettings
) -> None:
    async def lookup(name: str, port: int) -> list[SocketAddress]:
        return [SocketAddress(socket.AF_INET, ("127.0.0.1", port))]

    pool = UpstreamPool(lookup=lookup)
    async with RawServer(keeping(ANSWER), tls=server_context(authority.issue("named", "good.test"))) as server:
        await ask_whole(pool, at(server, trusting, host))
        await pool.close()


@pytest.mark.parametrize(
    ("label", "hosts", "days", "self_signed", "word"),
    [
        ("other-name", ("example.com",), 10, False, "another"),
        ("other-address", ("127.0.0.2",), 10, False, "another"),
        ("expired", ("127.0.0.1",), -1, False, "expired"),
        ("self-signed", ("127.0.0.1",), 10, True, "self-signed"),
    ],
)
async def test_other_certificates_are_refused(
    label: str,
    hosts: tuple[str, ...],
    days: int,
    self_signed: bool,
    word: str,
    pool: UpstreamPool,
    authority: Authority,
    trusting: TlsSettings,
) -> None:
    pem = authority.issue(label, *hosts, days=days, self_signed=self_signed)
    async with RawServer(hearing_nothing(), tls=server_context(pem)) as server:
        error = await refusal(pool, at(server, trusting))

        assert (error.kind, error.code) == (ErrorKind.UNREACHABLE, FaultCode.TLS)
        assert word in error.message and "127.0.0" not in error.message
        await until(lambda: pool.open_count == 0)


def hearing_nothing() -> Script:
    async def script(peer: Peer) -> None:
        assert await peer.gone() == b""

    return script


async def test_an_authority_that_the_system_does_not_know_is_refused(pool: UpstreamPool, pem: Pem) -> None:
    async with RawServer(hearing_nothing(), tls=server_context(pem)) as server:
        error = await refusal(pool, at(server, TlsSettings()))

        assert error.code == FaultCode.TLS and "not trusted" in error.message


async def test_verification_can_be_switched_off(pool: UpstreamPool, authority: Authority) -> None:
    pem = authority.issue("nobody", "example.com", days=-1, self_signed=True)
    async with RawServer(keeping(ANSWER), tls=server_context(pem)) as server:
        await ask_whole(pool, at(server, TlsSettings(insecure_skip_verify=True)))


async def test_a_client_certificate_is_shown(pool: UpstreamPool, authority: Authority, pem: Pem) -> None:
    client = authority.issue("client")
    context = server_context(pem, client_ca=authority.ca_file)
    async with RawServer(keeping(ANSWER), tls=context) as server:
        settings = TlsSettings(ca_file=authority.ca_file, cert_file=client.cert_file, key_file=client.key_file)
        await ask_whole(pool, at(server, settings))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_missing_client_certificate_is_a_tls_failure(
    version: ssl.TLSVersion, pool: UpstreamPool, authority: Authority, pem: Pem, trusting: TlsSettings
) -> None:
    """In TLS 1.3 the server says so after the handshake, in place of an answer."""
    context = server_context(pem, client_ca=authority.ca_file)
    context.maximum_version = version

    async def script(peer: Peer) -> None:
        server = MemoryServer(context)
        is_over = False
        while not is_over and (data := await peer.reader.read(65536)):
            server.incoming.write(data)
            try:
                server.object.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                is_over = True
            await peer.send(server.outgoing.read())

    async with RawServer(script) as between:
        error = await refusal(pool, parse_endpoint(f"https://127.0.0.1:{between.port}", tls=trusting))

        assert (error.kind, error.code) == (ErrorKind.UNREACHABLE, FaultCode.TLS)


async def test_tls_1_2_is_spoken(pool: UpstreamPool, pem: Pem, trusting: TlsSettings) -> None:
    context = server_context(pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with RawServer(keeping(ANSWER), tls=context) as server:
        await ask_whole(pool, at(server, trusting))


def test_older_versions_and_renegotiation_are_never_offered(trusting: TlsSettings) -> None:
    for settings in (trusting, TlsSettings(insecure_skip_verify=True)):
        context = build_context(settings)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION


# --- handshakes that fail


async def test_a_plain_server_is_a_tls_failure(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(5)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        endpoint = parse_endpoint(f"https://127.0.0.1:{server.port}")

        assert (await refusal(pool, endpoint)).code == FaultCode.TLS
        await server.settled()


async def test_an_end_within_the_handshake_is_a_tls_failure(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(5)

    async with RawServer(script) as server:
        endpoint = parse_endpoint(f"https://127.0.0.1:{server.port}")

        error = await refusal(pool, endpoint)

        assert (error.kind, error.code in (FaultCode.TLS, FaultCode.RESET)) == (ErrorKind.UNREACHABLE, True)
        await until(lambda: pool.open_count == 0)


async def test_a_handshake_that_hangs_runs_into_the_connect_deadline(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as server:
        endpoint = parse_endpoint(f"https://127.0.0.1:{server.port}")
        with pytest.raises(UpstreamError) as caught:
            await ask(pool, endpoint, connect_timeout_s=0.05)

        assert (caught.value.kind, caught.value.code) == (ErrorKind.UNREACHABLE, FaultCode.CONNECT_TIMEOUT)
        await server.settled()
        await until(lambda: pool.open_count == 0)


async def test_cancelling_within_the_handshake_closes_the_socket(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as server:
        endpoint = parse_endpoint(f"https://127.0.0.1:{server.port}")
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, endpoint))
        await server.peer()
        await until(lambda: pool.open_count == 1)

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await server.settled()
        await until(lambda: pool.open_count == 0)


# --- sessions


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_resumed(
    version: ssl.TLSVersion, pool: UpstreamPool, pem: Pem, trusting: TlsSettings
) -> None:
    context = server_context(pem)
    context.maximum_version = version
    resumed: list[bool] = []

    async def script(peer: Peer) -> None:
        resumed.append(peer.writer.get_extra_info("ssl_object").session_reused)
        await peer.request()
        await peer.send(of_length(b"hi", b"Connection: close"))

    async with RawServer(script, tls=context) as server:
        for _ in range(3):
            await ask_whole(pool, at(server, trusting))

        assert resumed == [False, True, True]


async def test_a_session_is_asked_for_once(
    pool: UpstreamPool, pem: Pem, trusting: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPython leaks 6 KB each time."""
    asked: list[TlsFilter] = []
    original = TlsFilter.session

    def counting(self: TlsFilter) -> ssl.SSLSession | None:
        asked.append(self)
        return original(self)

    monkeypatch.setattr(TlsFilter, "session", counting)
    async with RawServer(answering(of_length(b"hi", b"Connection: close")), tls=server_context(pem)) as server:
        for _ in range(5):
            await ask_whole(pool, at(server, trusting))

    assert len(asked) == 1


# --- settings


def test_files_that_cannot_be_used_are_configuration_errors(
    authority: Authority, pem: Pem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    locked = authority.encrypt_key(pem)
    for settings in (
        TlsSettings(ca_file=str(tmp_path / "absent.pem")),
        TlsSettings(ca_file=str(empty)),
        TlsSettings(cert_file=str(empty)),
        TlsSettings(cert_file=pem.cert_file),
        TlsSettings(cert_file=pem.cert_file, key_file=authority.issue("another").key_file),
        TlsSettings(cert_file=locked.cert_file, key_file=locked.key_file),
    ):
        with pytest.raises(ConfigError):
            build_context(settings)


async def test_prepare_reports_bad_files_and_send_fails_as_tls(pool: UpstreamPool, tmp_path: Path) -> None:
    endpoint = parse_endpoint("https://127.0.0.1:1", tls=TlsSettings(ca_file=str(tmp_path / "absent.pem")))

    with pytest.raises(ConfigError):
        pool.prepare(endpoint)
    assert (await refusal(pool, endpoint)).code == FaultCode.TLS


def test_a_replaced_file_is_read_again_and_a_bad_one_is_not(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    good = Path(authority.ca_file).read_bytes()
    file.write_bytes(good)
    os.utime(file, ns=(1, 1))
    contexts = TlsContexts()
    settings = TlsSettings(ca_file=str(file))
    first = contexts.get(settings)

    assert contexts.get(settings) is first
    os.utime(file, ns=(2, 2))
    second = contexts.get(settings)
    file.write_text("broken")
    os.utime(file, ns=(3, 3))
    third = contexts.get(settings)
    file.unlink()
    fourth = contexts.get(settings)

    assert second is not first
    assert third is second and fourth is second


# --- the filter alone


class MemoryServer:
    """The other end of a filter, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)


def shake_hands(client: TlsFilter, server: MemoryServer) -> None:
    client.handshake(memoryview(b""))
    while not client.is_ready:
        server.incoming.write(client.outgoing())
        with suppress(ssl.SSLWantReadError):
            server.object.do_handshake()
        client.handshake(memoryview(server.outgoing.read()))
    server.incoming.write(client.outgoing())
    with suppress(ssl.SSLWantReadError):
        server.object.do_handshake()


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=40_000), max_size=6),
    places=st.lists(st.integers(0, 300_000), max_size=8),
    says_goodbye=st.booleans(),
)
def test_any_split_of_the_ciphertext_gives_the_same_plaintext(
    bodies: list[bytes], places: list[int], says_goodbye: bool, authority: Authority, pem: Pem
) -> None:
    context = build_context(TlsSettings(ca_file=authority.ca_file))
    client = TlsFilter(context, "localhost", None, Buffers().plain)
    server = MemoryServer(server_context(pem))
    shake_hands(client, server)
    for body in bodies:
        server.object.write(body)
    if says_goodbye:
        with suppress(ssl.SSLWantReadError):
            server.object.unwrap()
    cipher = server.outgoing.read()

    edges = sorted({0, len(cipher), *(place % (len(cipher) + 1) for place in places), *range(0, len(cipher), 65536)})
    plain = b"".join(bytes(client.decrypt(memoryview(cipher[a:b]))) for a, b in pairwise(edges))

    assert plain == b"".join(bodies)
    assert client.is_closed is says_goodbye


def test_a_server_that_speaks_before_it_is_asked_is_refused(authority: Authority, pem: Pem) -> None:
    client = TlsFilter(build_context(TlsSettings(ca_file=authority.ca_file)), "localhost", None, Buffers().plain)
    context = server_context(pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = MemoryServer(context)
    client.handshake(memoryview(b""))
    server.incoming.write(client.outgoing())
    with pytest.raises(ssl.SSLWantReadError):
        server.object.do_handshake()
    client.handshake(memoryview(server.outgoing.read()))
    server.incoming.write(client.outgoing())
    server.object.do_handshake()
    server.object.write(b"HTTP/1.1 200 OK")

    with pytest.raises(UpstreamError):
        client.handshake(memoryview(server.outgoing.read()))

    assert not client.is_ready


def test_what_is_encrypted_arrives(authority: Authority, pem: Pem) -> None:
    client = TlsFilter(build_context(TlsSettings(ca_file=authority.ca_file)), "localhost", None, Buffers().plain)
    server = MemoryServer(server_context(pem))
    shake_hands(client, server)
    body = os.urandom(100_000)

    server.incoming.write(client.encrypt(body))
    server.incoming.write(client.close_notify())

    received = b""
    while piece := server.object.read(65536):
        received += piece
    assert received == body
