"""The checks of one provider entry: kind, base URL, credentials, headers, TLS."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from proxy.config.addresses import ListenAddress
from proxy.config.document import KeyPath
from proxy.config.problems import did_you_mean, has_password, listed, shown
from proxy.config.secret import LITERAL, NO_KEY, Secret
from proxy.config.settings import Provider
from proxy.header_names import CONNECTION_HEADERS, CREDENTIAL_HEADERS
from proxy.hub.errors import ConfigError
from proxy.presets import DEMO, PRESETS
from proxy.upstream.addresses import literal_address
from proxy.upstream.endpoint import Endpoint, parse_endpoint, parse_proxy

RESERVED_HEADERS = CONNECTION_HEADERS | {"content-type"}
"""Headers that only the proxy itself can decide."""

FORBIDDEN_HOSTS = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
"""Names of cloud metadata services; what they resolve to is refused again when a connection is made."""

CALL_PATHS = (
    *("/chat/completions", "/completions", "/responses", "/v1/messages", "/messages", "/v1beta/models", "/models"),
    *("/api/chat", "/api/generate", "/v2/chat"),
)
"""What people copy from examples along with the base URL; the proxy adds it."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


class Findings(Protocol):
    """Where the checks of one configuration report to (`meaning.Checker`)."""

    kinds: Collection[str]

    def add(self, path: KeyPath, message: str) -> None:
        """A problem: the configuration is refused."""
        ...

    def warn(self, path: KeyPath, message: str) -> None:
        """Something that works, but is probably not meant."""
        ...


def check_provider(findings: Findings, index: int, provider: Provider, listen: ListenAddress | None) -> None:
    """Every problem of `providers[index]`."""
    path = ("providers", index)
    if provider.kind and provider.kind not in findings.kinds:
        hint = did_you_mean(provider.kind, findings.kinds, otherwise=f"; known: {listed(sorted(findings.kinds))}")
        findings.add((*path, "kind"), f"unknown kind {shown(provider.kind)}{hint}")
    elif provider.kind:
        _check_base_url(findings, path, provider, listen)
    for name, value in provider.headers.items():
        _check_header(findings, (*path, "headers", name), name, value.reveal(), is_literal=value.is_literal)
    for number, name in enumerate(provider.forward_headers):
        if name.lower() in RESERVED_HEADERS | CREDENTIAL_HEADERS:
            findings.add((*path, "forward_headers", number), f"{shown(name)} is the proxy's own, or a credential")
    if provider.api_key_header is not None and provider.api_key_header.lower() in RESERVED_HEADERS:
        findings.add((*path, "api_key_header"), f"{shown(provider.api_key_header)} cannot carry a key")
    if provider.api_key is not None:
        warn_of_literal(findings, (*path, "api_key"), provider.api_key)
    _check_tls(findings, path, provider)
    _check_proxy(findings, (*path, "proxy"), provider)


def warn_of_literal(findings: Findings, path: KeyPath, secret: Secret) -> None:
    """A key in the file is read by whoever reads the file."""
    if secret.reference == LITERAL:
        findings.warn(path, "the key itself stands here; better env:NAME or file:PATH")


def _check_base_url(findings: Findings, path: KeyPath, provider: Provider, listen: ListenAddress | None) -> None:
    at = (*path, "base_url")
    if provider.kind == DEMO:
        if provider.base_url is not None:
            findings.add(at, "the simulated model has no base URL; leave it out")
        return
    if provider.base_url is None:
        preset = PRESETS.get(provider.preset or provider.name)
        hint = f", such as {preset.url_hint}" if preset is not None and preset.url_hint else ""
        findings.add(path, f"'base_url' is missing: {shown(provider.name)} has no usual one{hint}")
        return
    try:
        endpoint = parse_endpoint(provider.base_url, proxy="")
    except ConfigError as fault:
        for problem in fault.problems:
            findings.add(at, problem.removeprefix("base_url: "))
        return
    if endpoint.host.rstrip(".") in FORBIDDEN_HOSTS:
        findings.add(at, f"the cloud's metadata service is not allowed, got {shown(endpoint.host)}")
    _check_base_path(findings, at, provider, endpoint)
    if listen is not None and listen.port == endpoint.port and listen.port and _is_local(endpoint.host):
        findings.add(at, f"this is the address that the proxy itself listens on ({shown(provider.base_url)})")
    sends_key = provider.api_key is None or provider.api_key.reference != NO_KEY
    if endpoint.scheme == "http" and sends_key and not _is_private(endpoint.host):
        findings.warn(at, "keys and prompts travel unencrypted; use https")


def _check_base_path(findings: Findings, at: KeyPath, provider: Provider, endpoint: Endpoint) -> None:
    base_url = provider.base_url or ""
    extra = next((path for path in CALL_PATHS if endpoint.base_path.endswith(path)), None)
    if extra is not None:
        wanted = base_url.rstrip("/").removesuffix(extra)
        findings.add(at, f"the proxy adds {extra!r} itself; write {shown(wanted)}")
    elif provider.kind in ("openai_chat", "openai_responses") and not endpoint.base_path and not _is_preset(base_url):
        findings.warn(
            at, f"base URLs of this kind usually end in a version; did you mean {shown(base_url.rstrip('/') + '/v1')}?"
        )


def _is_preset(base_url: str) -> bool:
    return any(preset.base_url == base_url.rstrip("/") for preset in PRESETS.values())


def _check_header(findings: Findings, path: KeyPath, name: str, value: str, *, is_literal: bool) -> None:
    lower = name.lower()
    if _TOKEN.fullmatch(name) is None:
        findings.add(path, f"expected a header name, got {shown(name)}")
    elif lower in RESERVED_HEADERS:
        findings.add(path, f"the proxy sets {lower!r} itself; leave it out")
    elif lower in CREDENTIAL_HEADERS and is_literal:
        findings.add(
            path, "expected env:NAME or file:PATH, got a literal (not shown); keep keys out of the configuration"
        )
    elif not value.isascii() or not value.isprintable():
        findings.add(path, "expected a value of visible ASCII characters")


def _check_tls(findings: Findings, path: KeyPath, provider: Provider) -> None:
    tls = provider.tls
    if tls is None:
        return
    for name, file in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        if file is not None and not Path(file).is_file():
            findings.add((*path, "tls", name), f"the file {shown(file)} does not exist")
    if tls.key_file is not None and tls.cert_file is None:
        findings.add((*path, "tls", "key_file"), "a key without `cert_file`")
    if tls.insecure_skip_verify:
        message = "the certificate is not checked: anybody on the way can read keys and prompts"
        findings.warn((*path, "tls", "insecure_skip_verify"), message)


def _check_proxy(findings: Findings, path: KeyPath, provider: Provider) -> None:
    proxy = provider.proxy
    if proxy is None or proxy.reference == NO_KEY:
        return
    if proxy.is_literal and has_password(proxy.reveal()):
        findings.add(path, "the URL holds a password; keep it out of the file: env:NAME or file:PATH")
        return
    problems: list[str] = []
    parse_proxy(proxy.reveal(), problems)
    for problem in problems:
        findings.add(path, problem.removeprefix("proxy: "))


def _is_local(host: str) -> bool:
    address = literal_address(host)
    return host == "localhost" if address is None else address.is_loopback or address.is_unspecified


def _is_private(host: str) -> bool:
    """Whether `host` is surely, or by its look, on the operator's own network."""
    address = literal_address(host)
    return (
        address.is_private if address is not None else "." not in host or host.endswith((".local", ".internal", ".svc"))
    )
