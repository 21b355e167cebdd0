"""A certificate authority for one test run."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pem:
    """A certificate and its key, as files."""

    cert_file: str
    key_file: str


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates; its own is in `ca_file`."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = str(folder / "ca.pem")
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._build("Test Authority", self._key, None, days=10)
        Path(self.ca_file).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, label: str, *hosts: str, days: int = 10, self_signed: bool = False) -> Pem:
        """A certificate for `hosts` (names or addresses), valid for `days` from now, negative for the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._build(label, key, hosts, days=days, self_signed=self_signed)
        pem = Pem(str(self._folder / f"{label}.pem"), str(self._folder / f"{label}.key"))
        Path(pem.cert_file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.write_key(pem.key_file, key, serialization.NoEncryption())
        return pem

    def encrypt_key(self, pem: Pem) -> Pem:
        """The same certificate, its key under a password."""
        key = serialization.load_pem_private_key(Path(pem.key_file).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        locked = Pem(pem.cert_file, pem.key_file + ".locked")
        self.write_key(locked.key_file, key, serialization.BestAvailableEncryption(b"secret"))
        return locked

    @staticmethod
    def write_key(
        path: str, key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption
    ) -> None:
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        Path(path).write_bytes(pem)

    def _build(
        self,
        label: str,
        key: ec.EllipticCurvePrivateKey,
        hosts: tuple[str, ...] | None,
        *,
        days: int,
        self_signed: bool = False,
    ) -> x509.Certificate:
        """`hosts` is `None` for the authority's own certificate."""
        signs_itself = hosts is None or self_signed
        issuer_key = key if signs_itself else self._key
        now = datetime.now(UTC)
        start, end = (now - DAY, now + days * DAY) if days > 0 else (now + (days - 1) * DAY, now + days * DAY)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(label))
            .issuer_name(_name(label) if signs_itself else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(_usage(is_authority=hosts is None), critical=True)
        )
        if hosts is not None:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        return builder.sign(issuer_key, hashes.SHA256())


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def server_context(pem: Pem, *, client_ca: str | None = None) -> ssl.SSLContext:
    """A server's context; with `client_ca`, clients must show a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.cert_file, pem.key_file)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
