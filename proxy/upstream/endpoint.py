"""Where requests go: scheme, host, port and path prefix of an upstream, how TLS is spoken, and the proxy on the way."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from proxy.hub.errors import ConfigError
from proxy.upstream.addresses import is_forbidden, literal_address
from proxy.upstream.proxies import proxy_from_environment

DEFAULT_PORTS: dict[str, int] = {"http": 80, "https": 443}
TARGET = re.compile(r"/[!\"$-~]*")
"""A path that may stand in a request line: visible ASCII without `#`."""
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")


class TlsSettings(msgspec.Struct, frozen=True):
    """How TLS is spoken with an upstream: version 1.2 or newer, always verified unless the operator says otherwise."""

    ca_file: str | None = None
    """PEM file of the only authorities to trust. `None`: the system's."""
    cert_file: str | None = None
    """PEM file of a client certificate, with its chain."""
    key_file: str | None = None
    """PEM file of the client certificate's key. `None`: it is in `cert_file`."""
    insecure_skip_verify: bool = False


class ProxyServer(msgspec.Struct, frozen=True):
    """An HTTP proxy. `https` upstreams are reached through a CONNECT tunnel, `http` ones by absolute request lines."""

    host: str
    port: int
    authorization: str | None = None
    """Value of `proxy-authorization`; a secret."""

    def __repr__(self) -> str:
        return f"ProxyServer(host={self.host!r}, port={self.port}, has_login={self.authorization is not None})"


class Endpoint(msgspec.Struct, frozen=True):
    """Where requests go. Hashable: connections are shared between requests whose endpoints are equal."""

    scheme: str
    """`http` or `https`."""
    host: str
    """Lower-case name, or an address; IPv6 without brackets."""
    port: int
    base_path: str = ""
    """Put before each request's path: `""` or `/v1`, without a slash at the end."""
    tls: TlsSettings = TlsSettings()
    proxy: ProxyServer | None = None

    @property
    def host_header(self) -> str:
        """`host[:port]`, the port only where it is not the scheme's."""
        return authority(self.host, None if self.port == DEFAULT_PORTS[self.scheme] else self.port)

    @property
    def tls_name(self) -> str:
        """The name that the certificate must bear."""
        return self.host.rstrip(".")


def authority(host: str, port: int | None) -> str:
    """`host[:port]` as it stands in a request: IPv6 in brackets."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def parse_endpoint(
    base_url: str,
    *,
    tls: TlsSettings = TlsSettings(),  # noqa: B008  frozen
    proxy: str | None = None,
    environment: Mapping[str, str] = {},
) -> Endpoint:
    """The endpoint that a provider's `base_url` names.

    `proxy`: the configured proxy's URL; `""` for none; `None` to follow `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of
    `environment`. Raises ConfigError with every problem of the URLs; credentials in them are never quoted.
    """
    problems: list[str] = []
    url = _split(base_url, "base_url", ("http", "https"), problems)
    if url is None:
        raise ConfigError(problems)
    if url.username is not None or url.password is not None:
        problems.append("base_url: expected no user name or password, keys have their own setting")
    if url.query or url.fragment:
        problems.append("base_url: expected no query and no fragment")
    base_path = url.path.rstrip("/")
    if base_path and TARGET.fullmatch(base_path) is None:
        problems.append("base_url: expected a path of visible ASCII characters")
    host, port = _host_and_port(url, "base_url", problems)
    if proxy is None:
        proxy = proxy_from_environment(url.scheme, host, port, environment)
    server = parse_proxy(proxy, problems) if proxy else None
    if problems:
        raise ConfigError(problems)
    return Endpoint(url.scheme, host, port, base_path, tls if url.scheme == "https" else TlsSettings(), server)


def parse_proxy(proxy_url: str, problems: list[str]) -> ProxyServer | None:
    """The HTTP proxy that `http://[user:password@]host[:port]` names. Adds to `problems` what is wrong with it."""
    # Curl and most libraries take `host:port` without a scheme as an HTTP proxy.
    url = _split(proxy_url if "://" in proxy_url else f"http://{proxy_url}", "proxy", ("http",), problems)
    if url is None:
        return None
    host, port = _host_and_port(url, "proxy", problems)
    authorization = None
    if url.username is not None:
        login = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = "Basic " + base64.b64encode(login.encode()).decode("ascii")
    return ProxyServer(host, port, authorization)


def _split(text: str, name: str, schemes: tuple[str, ...], problems: list[str]) -> SplitResult | None:
    """The parts of the URL `text`, or `None` and a problem."""
    try:
        url = urlsplit(text)
    except ValueError:
        problems.append(f"{name}: expected a URL")
        return None
    if url.scheme not in schemes or not url.netloc:
        problems.append(f"{name}: expected a URL that begins with {' or '.join(f'{each}://' for each in schemes)}")
        return None
    return url


def _host_and_port(url: SplitResult, name: str, problems: list[str]) -> tuple[str, int]:
    host = url.hostname or ""
    try:
        port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    except ValueError:
        port = 0
    if not port:
        problems.append(f"{name}: expected a port between 1 and 65535")
    address = literal_address(host)
    if address is not None:
        if is_forbidden(address):
            problems.append(f"{name}: link-local and cloud metadata addresses are not allowed, got {host!r}")
        return str(address), port
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        host = ""
    if HOST_NAME.fullmatch(host) is None or "[" in url.netloc:
        problems.append(f"{name}: expected a host name or an address")
    return host, port
