"""HTTP proxies from the environment: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, as curl and Go read them."""

from collections.abc import Mapping
from ipaddress import ip_network

from proxy.upstream.addresses import literal_address

VARIABLES: dict[str, tuple[str, ...]] = {
    "https": ("https_proxy", "HTTPS_PROXY"),
    "http": ("http_proxy", "HTTP_PROXY"),
}
"""By the upstream's scheme, the first that is set wins."""


def proxy_from_environment(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL for an upstream, or `None` to connect directly. Loopback hosts never go through a proxy."""
    url = _first(environment, VARIABLES[scheme])
    if url is None or _is_loopback(host):
        return None
    no_proxy = _first(environment, ("no_proxy", "NO_PROXY")) or ""
    if any(_matches(entry.strip().lower(), host, port) for entry in no_proxy.split(",")):
        return None
    return url


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _is_loopback(host: str) -> bool:
    address = literal_address(host)
    return address.is_loopback if address is not None else host == "localhost" or host.endswith(".localhost")


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether one entry of `NO_PROXY` covers the host.

    An entry is `*`, an address, a network (`10.0.0.0/8`), or a name that covers itself and its subdomains (a leading
    `.` or `*.` changes nothing); a name or address may end in `:port`.
    """
    if not entry:
        return False
    if entry == "*":
        return True
    address = literal_address(host)
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    if address is not None:
        return literal_address(name) == address
    name = name.removeprefix("*").removeprefix(".")
    return host == name or host.endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdigit() else None
    name, separator, port = entry.rpartition(":")
    if separator and port.isdigit() and ":" not in name:
        return name, int(port)
    return entry, None
