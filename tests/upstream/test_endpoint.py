"""What base URLs and proxy URLs mean, and which are refused."""

import msgspec
import pytest

from proxy.hub.errors import ConfigError
from proxy.upstream import Endpoint, ProxyServer, TlsSettings, parse_endpoint
from tests.upstream.test_addresses import METADATA


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        ("https://api.openai.com/v1", Endpoint("https", "api.openai.com", 443, "/v1")),
        ("https://API.OpenAI.com/v1/", Endpoint("https", "api.openai.com", 443, "/v1")),
        ("http://localhost:11434", Endpoint("http", "localhost", 11434)),
        ("http://localhost:11434/", Endpoint("http", "localhost", 11434)),
        ("HTTP://10.0.0.7:80/a/b%20c", Endpoint("http", "10.0.0.7", 80, "/a/b%20c")),
        ("http://[::1]:8080/v1", Endpoint("http", "::1", 8080, "/v1")),
        ("http://127.1:1", Endpoint("http", "127.0.0.1", 1)),
        ("https://b\u00fccher.example", Endpoint("https", "xn--bcher-kva.example", 443)),
        (
            "http://model_server.default.svc.cluster.local.",
            Endpoint("http", "model_server.default.svc.cluster.local.", 80),
        ),
    ],
)
def test_base_urls(base_url: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(base_url) == endpoint


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.openai.com/v1",
        "ftp://example.com",
        "https://",
        "https:///v1",
        "https://:443",
        "https://exa mple.com",
        "https://-example.com",
        "https://a..b",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:port",
        "https://user:pass@example.com",
        "https://example.com/v1?key=1",
        "https://example.com/v1#x",
        "https://example.com/v 1",
        "https://example.com/v1\r\nx: y",
        "https://[::1",
        "https://[v1.x]",
        "https://example.com/\u00e9",
        f"https://{'a' * 64}.com",
    ],
)
def test_other_base_urls_are_configuration_errors(base_url: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoint(base_url)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_addresses_are_refused_in_every_spelling(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ConfigError, match="not allowed"):
        parse_endpoint(f"http://{host}/latest")


def test_every_problem_is_reported_and_no_credential() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint("https://user:hunter2@169.254.169.254:0/v1?key=hunter2", proxy="socks5://u:hunter2@proxy:1080")

    assert len(caught.value.problems) == 5
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "server"),
    [
        ("http://proxy:3128", ProxyServer("proxy", 3128)),
        ("proxy:3128", ProxyServer("proxy", 3128)),
        ("http://proxy", ProxyServer("proxy", 80)),
        ("http://us%40er:p%3Ass@proxy:3128/", ProxyServer("proxy", 3128, "Basic dXNAZXI6cDpzcw==")),
        ("http://[::1]:3128", ProxyServer("::1", 3128)),
        ("", None),
    ],
)
def test_configured_proxies(proxy: str, server: ProxyServer | None) -> None:
    assert parse_endpoint("https://example.com", proxy=proxy, environment={"HTTPS_PROXY": "other:1"}).proxy == server


@pytest.mark.parametrize("proxy", ["https://proxy:1", "socks5://proxy:1", "http://", "http://169.254.1.1:1", "a b"])
def test_other_proxies_are_configuration_errors(proxy: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoint("https://example.com", proxy=proxy)


def test_the_environment_gives_the_proxy() -> None:
    environment = {"HTTPS_PROXY": "http://u:p@proxy:1", "NO_PROXY": "internal.example"}

    through = parse_endpoint("https://example.com", environment=environment)
    direct = parse_endpoint("https://a.internal.example", environment=environment)

    assert through.proxy is not None and through.proxy.host == "proxy"
    assert direct.proxy is None


def test_a_proxys_login_is_not_shown() -> None:
    endpoint = parse_endpoint("https://example.com", proxy="http://user:hunter2@proxy:1")

    assert endpoint.proxy is not None and endpoint.proxy.authorization is not None
    for text in (repr(endpoint), repr(endpoint.proxy), str(endpoint)):
        assert endpoint.proxy.authorization not in text and "hunter2" not in text


def test_equal_endpoints_are_one_key() -> None:
    settings = TlsSettings(ca_file="ca.pem")
    one = parse_endpoint("https://example.com/v1", tls=settings, proxy="http://u:p@proxy")
    same = parse_endpoint("https://EXAMPLE.com:443/v1/", tls=TlsSettings(ca_file="ca.pem"), proxy="u:p@proxy:80")

    assert len({one, same}) == 1
    assert len({one, msgspec.structs.replace(one, tls=TlsSettings())}) == 2


@pytest.mark.parametrize(
    ("base_url", "host_header", "tls_name"),
    [
        ("https://example.com:443", "example.com", "example.com"),
        ("https://example.com:8443", "example.com:8443", "example.com"),
        ("http://example.com:443", "example.com:443", "example.com"),
        ("http://[::1]", "[::1]", "::1"),
        ("https://[::1]:1", "[::1]:1", "::1"),
        ("https://example.com.", "example.com.", "example.com"),
    ],
)
def test_names_on_the_wire(base_url: str, host_header: str, tls_name: str) -> None:
    endpoint = parse_endpoint(base_url)

    assert (endpoint.host_header, endpoint.tls_name) == (host_header, tls_name)
