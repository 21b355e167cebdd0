"""Addresses to listen on: `HOST:PORT`, `[IPv6]:PORT`, `:PORT` for all interfaces."""

import ipaddress
import re

import msgspec

from proxy.config.problems import shown

_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+(?:%[A-Za-z0-9._-]+)?)\]|(?P<host>[^:\[\]/\s*]*)):(?P<port>[0-9]{1,5})"
)

_EVERYWHERE = frozenset({"0.0.0.0", "::"})


class ListenAddress(msgspec.Struct, frozen=True):
    """Where to listen."""

    host: str
    """A name or an address; IPv6 without brackets."""
    port: int
    """0: any free one."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect. A name other than `localhost` may be anything, so it is not."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def clashes_with(self, other: "ListenAddress") -> bool:
        """Whether both cannot be listened on at once."""
        if self.port != other.port or self.port == 0:
            return False
        names = {"127.0.0.1" if host == "localhost" else host for host in (self.host, other.host)}
        return len(names) == 1 or not _EVERYWHERE.isdisjoint(names)


def parse_listen_address(text: str) -> ListenAddress:
    """The address that `text` names. Raises ValueError: what was expected, what came, what to write."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"expected HOST:PORT, such as 127.0.0.1:8080, got {shown(text)}{_hint(text)}")
    port = int(found["port"])
    if port > 65535:
        raise ValueError(f"expected a port from 0 to 65535, got {port}")
    if found["six"] is None:
        return ListenAddress(found["host"].lower() or "0.0.0.0", port)
    try:
        ipaddress.IPv6Address(found["six"])
    except ValueError as fault:
        raise ValueError(f"expected an IPv6 address in the brackets, got {shown(text)}") from fault
    return ListenAddress(found["six"].lower(), port)


def _hint(text: str) -> str:
    host, _, port = text.rpartition(":")
    if text.isascii() and text.isdigit():
        return f"; did you mean '127.0.0.1:{text}'?"
    if "://" in text:
        return "; leave the scheme out"
    if "*" in host:
        return f"; did you mean '0.0.0.0:{port}'?"
    try:
        return f"; did you mean '[{ipaddress.IPv6Address(host)}]:{int(port)}'?"
    except ValueError:
        return "" if ":" in text else "; the port is missing"
