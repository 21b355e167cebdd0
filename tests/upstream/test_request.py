"""The bytes of requests, and what must not get into them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import __version__
from proxy.hub.errors import CallerError, ErrorKind
from proxy.upstream import Endpoint, parse_endpoint
from proxy.upstream.request import encode_connect, encode_request

ENDPOINT = parse_endpoint("https://example.com/v1")
THROUGH_PROXY = parse_endpoint("http://example.com:8080/v1", proxy="http://user:pass@proxy:3128")


def encode(
    endpoint: Endpoint = ENDPOINT,
    method: str = "POST",
    path: str = "/chat",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    return encode_request(endpoint, method, path, headers or {}, body)


def test_a_whole_request() -> None:
    request = encode(path="/chat?a=b", headers={"Content-Type": "application/json", "x-api-key": "k\xe9y"}, body=b"{}")

    assert (
        request
        == (
            b"POST /v1/chat?a=b HTTP/1.1\r\n"
            b"host: example.com\r\n"
            b"accept-encoding: identity\r\n"
            b"Content-Type: application/json\r\n"
            b"x-api-key: k\xe9y\r\n"
            b"user-agent: llm-stream-proxy/%b\r\n"
            b"content-length: 2\r\n"
            b"\r\n"
            b"{}"
        )
        % __version__.encode()
    )


@pytest.mark.parametrize(
    ("method", "body", "has_length"),
    [("GET", b"", False), ("HEAD", b"", False), ("DELETE", b"", False), ("POST", b"", True), ("GET", b"x", True)],
)
def test_a_length_is_stated_where_a_body_may_be(method: str, body: bytes, has_length: bool) -> None:
    assert (b"\r\ncontent-length: %d\r\n" % len(body) in encode(method=method, body=body)) is has_length


def test_a_given_user_agent_stands_alone() -> None:
    request = encode(headers={"User-Agent": "mine"})

    assert request.lower().count(b"user-agent") == 1 and b"User-Agent: mine\r\n" in request


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "Accept-Encoding",
        "expect",
        "te",
        "upgrade",
        "proxy-authorization",
    ],
)
def test_headers_of_the_connection_are_ours(name: str) -> None:
    assert b"evil" not in encode(headers={name: "evil"})


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x1f", "\x7f", "\u0100", "\u2028", "\ud800"])
def test_header_values_that_would_break_the_head_are_refused(character: str) -> None:
    with pytest.raises(CallerError) as caught:
        encode(headers={"x-a": f"secret{character}b"})

    assert caught.value.kind is ErrorKind.INVALID_REQUEST
    assert "x-a" in caught.value.message and "secret" not in caught.value.message


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "\xe9", "a\0"])
def test_header_names_that_are_no_tokens_are_refused(name: str) -> None:
    with pytest.raises(CallerError):
        encode(headers={name: "b"})


@pytest.mark.parametrize("path", ["", "chat", "http://evil.example/", "/a b", "/a\r\nx: y", "/\xe9", "/a#b", "/\x7f"])
def test_paths_that_are_no_paths_are_refused(path: str) -> None:
    with pytest.raises(CallerError):
        encode(path=path)


@pytest.mark.parametrize("method", ["", "GET /", "P\r\nOST", "G\xcbT"])
def test_methods_that_are_no_tokens_are_refused(method: str) -> None:
    with pytest.raises(CallerError):
        encode(method=method)


def test_a_proxy_is_told_the_whole_url_of_a_plain_request() -> None:
    request = encode(THROUGH_PROXY)

    assert request.startswith(b"POST http://example.com:8080/v1/chat HTTP/1.1\r\nhost: example.com:8080\r\n")
    assert b"proxy-authorization: Basic dXNlcjpwYXNz\r\n" in request


def test_a_proxys_login_stays_out_of_the_tunnel() -> None:
    endpoint = parse_endpoint("https://example.com/v1", proxy="http://user:pass@proxy:3128")

    assert (
        encode_connect(endpoint)
        == (
            b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nuser-agent: llm-stream-proxy/%b\r\n"
            b"proxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )
        % __version__.encode()
    )
    assert b"proxy-authorization" not in encode(endpoint)
    assert encode_connect(parse_endpoint("https://[::1]:8443", proxy="proxy:1")).startswith(b"CONNECT [::1]:8443 ")


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4), st.text(max_size=12), st.text(max_size=6)
)
def test_whatever_is_given_the_head_has_as_many_lines_as_headers(
    headers: dict[str, str], path: str, method: str
) -> None:
    try:
        request = encode(method=method, path=f"/{path}", headers=headers)
    except CallerError:
        return
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b""
    assert head.count(b"\n") == head.count(b"\r") <= len(headers) + 4
