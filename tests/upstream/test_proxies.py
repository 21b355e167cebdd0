"""`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`."""

import pytest

from proxy.upstream.proxies import proxy_from_environment

BOTH = {"HTTPS_PROXY": "http://secure:1", "HTTP_PROXY": "http://plain:1"}


@pytest.mark.parametrize(
    ("scheme", "environment", "proxy"),
    [
        ("https", BOTH, "http://secure:1"),
        ("http", BOTH, "http://plain:1"),
        ("https", {"HTTP_PROXY": "http://plain:1"}, None),
        ("http", {"HTTPS_PROXY": "http://secure:1"}, None),
        ("https", BOTH | {"https_proxy": "http://lower:1"}, "http://lower:1"),
        ("https", BOTH | {"https_proxy": ""}, "http://secure:1"),
        ("https", {}, None),
    ],
)
def test_the_scheme_chooses_the_variable(scheme: str, environment: dict[str, str], proxy: str | None) -> None:
    assert proxy_from_environment(scheme, "example.com", 443, environment) == proxy


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_always_direct(host: str) -> None:
    assert proxy_from_environment("http", host, 80, BOTH) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("*", "example.com", True),
        ("example.com", "example.com", True),
        ("example.com", "api.example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("EXAMPLE.com", "example.com", True),
        ("a.com, example.com ,b.com", "example.com", True),
        ("example.com:443", "example.com", True),
        ("example.com:80", "example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "example.com", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::1", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:80", "fd00::1", False),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("", "example.com", False),
        (",,", "example.com", False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, is_direct: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        proxy = proxy_from_environment("https", host, 443, BOTH | {name: no_proxy})
        assert (proxy is None) is is_direct
