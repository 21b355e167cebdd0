"""What is wrong with one provider entry: kind, base URL, headers, TLS, the proxy on the way."""

from pathlib import Path

import pytest

from proxy.presets import PRESETS
from tests.config.support import load_text, problems_of

CASES: dict[str, tuple[str, list[str]]] = {
    "unknown_kind": (
        'providers:\n  - {name: a, kind: openai_chatt, base_url: "https://a.example/v1"}\n',
        [
            "2:21: providers[0].kind: unknown kind 'openai_chatt'; did you mean 'openai_chat'?",
        ],
    ),
    "base_url_missing": (
        "providers:\n  - {name: a, kind: openai_chat}\n",
        [
            "2:5: providers[0]: 'base_url' is missing: 'a' has no usual one",
        ],
    ),
    "base_url_missing_azure": (
        "providers:\n  - name: azure\n",
        [
            "2:5: providers[0]: 'base_url' is missing: 'azure' has no usual one, such as"
            " https://RESOURCE.openai.azure.com/openai/v1",
        ],
    ),
    "base_url_scheme": (
        "providers:\n  - {name: openai, base_url: api.openai.com/v1}\n",
        [
            "2:30: providers[0].base_url: expected a URL that begins with http:// or https://",
        ],
    ),
    "base_url_credentials": (
        'providers:\n  - {name: openai, base_url: "https://me:canary-password@a.example/v1"}\n',
        [
            "2:30: providers[0].base_url: expected no user name or password, keys have their own setting",
        ],
    ),
    "base_url_query": (
        'providers:\n  - {name: openai, base_url: "https://a.example/v1?key=canary-0123456789"}\n',
        [
            "2:30: providers[0].base_url: expected no query and no fragment",
        ],
    ),
    "base_url_metadata": (
        'providers:\n  - {name: openai, base_url: "http://169.254.169.254/v1"}\n',
        [
            "2:30: providers[0].base_url: link-local and cloud metadata addresses are not allowed, got"
            " '169.254.169.254'",
        ],
    ),
    "base_url_metadata_decimal": (
        'providers:\n  - {name: openai, base_url: "http://2852039166/v1"}\n',
        [
            "2:30: providers[0].base_url: link-local and cloud metadata addresses are not allowed, got '2852039166'",
        ],
    ),
    "base_url_metadata_name": (
        'providers:\n  - {name: openai, base_url: "http://metadata.google.internal/v1"}\n',
        [
            "2:30: providers[0].base_url: the cloud's metadata service is not allowed, got 'metadata.google.internal'",
        ],
    ),
    "base_url_link_local_six": (
        'providers:\n  - {name: openai, base_url: "http://[fe80::1]/v1"}\n',
        [
            "2:30: providers[0].base_url: link-local and cloud metadata addresses are not allowed, got 'fe80::1'",
        ],
    ),
    "base_url_port": (
        'providers:\n  - {name: openai, base_url: "https://a.example:99999/v1"}\n',
        [
            "2:30: providers[0].base_url: expected a port between 1 and 65535",
        ],
    ),
    "base_url_of_a_call": (
        'providers:\n  - {name: openai, base_url: "https://a.example/v1/chat/completions"}\n',
        [
            "2:30: providers[0].base_url: the proxy adds '/chat/completions' itself; write 'https://a.example/v1'",
        ],
    ),
    "base_url_is_ourselves": (
        "providers:\n  - name: llama.cpp\n",
        [
            "2:5: providers[0].base_url: this is the address that the proxy itself listens on"
            " ('http://127.0.0.1:8080/v1')",
        ],
    ),
    "demo_base_url": (
        'providers:\n  - {name: demo, base_url: "http://127.0.0.1:1"}\n',
        [
            "2:28: providers[0].base_url: the simulated model has no base URL; leave it out",
        ],
    ),
    "header_name": (
        'providers:\n  - name: openai\n    headers: {"a b": c}\n',
        [
            "3:22: providers[0].headers.a b: expected a header name, got 'a b'",
        ],
    ),
    "header_reserved": (
        "providers:\n  - name: openai\n    headers: {Host: c}\n",
        [
            "3:21: providers[0].headers.Host: the proxy sets 'host' itself; leave it out",
        ],
    ),
    "header_credential": (
        "providers:\n  - name: openai\n    headers: {Authorization: Bearer canary-0123456789}\n",
        [
            "3:30: providers[0].headers.Authorization: expected env:NAME or file:PATH, got a literal (not"
            " shown); keep keys out of the configuration",
        ],
    ),
    "header_value": (
        "providers:\n  - name: openai\n    headers: {x-a: é}\n",
        [
            "3:20: providers[0].headers.x-a: expected a value of visible ASCII characters",
        ],
    ),
    "key_header": (
        "providers:\n  - {name: openai, api_key_header: Host}\n",
        [
            "2:36: providers[0].api_key_header: 'Host' cannot carry a key",
        ],
    ),
    "tls_file": (
        "providers:\n  - name: openai\n    tls: {ca_file: /no/such/file.pem}\n",
        [
            "3:20: providers[0].tls.ca_file: the file '/no/such/file.pem' does not exist",
        ],
    ),
    "tls_key_alone": (
        "providers:\n  - name: openai\n    tls: {key_file: there.pem}\n",
        [
            "3:21: providers[0].tls.key_file: a key without `cert_file`",
        ],
    ),
    "proxy_scheme": (
        'providers:\n  - {name: openai, proxy: "socks5://a.example"}\n',
        [
            "2:27: providers[0].proxy: expected a URL that begins with http://",
        ],
    ),
    "proxy_password": (
        'providers:\n  - {name: openai, proxy: "http://me:canary-password@a.example:3128"}\n',
        [
            "2:27: providers[0].proxy: the URL holds a password; keep it out of the file: env:NAME or file:PATH",
        ],
    ),
}


@pytest.mark.parametrize(("text", "problems"), CASES.values(), ids=CASES)
def test_a_provider_that_cannot_be_asked_is_reported_where_it_stands(
    text: str, problems: list[str], tmp_path: Path
) -> None:
    (tmp_path / "there.pem").write_text("")

    assert problems_of(text, tmp_path) == problems


@pytest.mark.parametrize(
    "base_url",
    [
        "http://169.254.169.254",
        "http://0xa9fea9fe",
        "http://0251.0376.0251.0376",
        "http://[::ffff:169.254.169.254]",
        "http://[64:ff9b::a9fe:a9fe]",
        "http://[fd00:ec2::254]",
        "http://METADATA.google.internal.",
    ],
)
def test_the_metadata_service_is_refused_however_it_is_written(base_url: str, tmp_path: Path) -> None:
    (problem,) = problems_of(f'providers: [{{name: openai, base_url: "{base_url}/v1"}}]\n', tmp_path)

    assert "metadata" in problem


@pytest.mark.parametrize(
    ("listen", "base_url", "is_itself"),
    [
        ("127.0.0.1:8080", "http://localhost:8080/v1", True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1", True),
        ("127.0.0.1:8080", "http://0.0.0.0:8080/v1", True),
        ("127.0.0.1:8081", "http://127.0.0.1:8080/v1", False),
        ("127.0.0.1:8080", "http://10.0.0.7:8080/v1", False),
        ("127.0.0.1:0", "http://127.0.0.1:8080/v1", False),
    ],
)
def test_a_proxy_does_not_call_itself(listen: str, base_url: str, is_itself: bool, tmp_path: Path) -> None:
    text = f'listen: {listen}\nproviders: [{{name: lab, kind: openai_chat, base_url: "{base_url}", api_key: none}}]\n'

    assert bool(problems_of(text, tmp_path)) is is_itself


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.base_url is not None])
def test_every_preset_with_an_address_needs_nothing_but_its_name(name: str, tmp_path: Path) -> None:
    text = f"listen: 127.0.0.1:18080\nproviders: [{{name: {name}}}]\n"

    found = problems_of(text, tmp_path)

    assert [problem for problem in found if "unknown kind" not in problem] == []


def test_an_unencrypted_vendor_is_warned_of_and_an_own_network_is_not(tmp_path: Path) -> None:
    def warnings(base_url: str) -> tuple[str, ...]:
        return load_text(f'providers: [{{name: openai, base_url: "{base_url}"}}]\n', tmp_path).warnings

    assert warnings("http://api.example.com/v1")
    for own in ("http://10.0.0.7/v1", "http://vllm:8000/v1", "http://vllm.models.svc/v1", "http://[fd12::1]/v1"):
        assert warnings(own) == ()


@pytest.mark.parametrize("name", ["Host", "authorization", "Cookie", "content-type"])
def test_what_is_the_proxys_own_or_a_credential_is_not_forwarded(name: str, tmp_path: Path) -> None:
    text = f"providers:\n  - {{name: openai, forward_headers: [x-a, {name}]}}\n"

    [problem] = problems_of(text, tmp_path)

    assert f"providers[0].forward_headers[1]: '{name}' is the proxy's own, or a credential" in problem
