"""Addresses that no upstream may have: the cloud's metadata services, in whatever form they are written.

An operator's own private networks are allowed, because self-hosted models live there. The rule is applied twice: to the
literal in a base URL, and to what a host name resolves to when a connection is made, so that a DNS answer that changes
later (rebinding) gains nothing.
"""

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

FORBIDDEN_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::254/128"),  # the EC2 instance metadata service over IPv6
    IPv6Network("fd20:ce::254/128"),  # Google's metadata server over IPv6
    IPv4Network("100.100.100.200/32"),  # Alibaba Cloud's metadata server, in the range of carriers' NAT
    IPv4Network("192.0.0.192/32"),  # Oracle Cloud's older metadata address
    IPv4Network("168.63.129.16/32"),  # Azure's WireServer, which hands certificates and settings to a machine's agent
)
NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address, and a translator on the way connects to it."""
NUMERIC = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)


def literal_address(host: str) -> Address | None:
    """The address that `host` spells, or `None` when it is a name.

    Reads what the resolver would read without asking DNS: `127.1`, `0x7f000001`, `2130706433`, zone ids (dropped).
    """
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if NUMERIC.fullmatch(host) is None:
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def is_forbidden(address: Address) -> bool:
    """Whether `address`, or an IPv4 address that it carries, is one that no upstream may have."""
    return any(
        form in network for form in _forms(address) for network in FORBIDDEN_NETWORKS if form.version == network.version
    )


def _forms(address: Address) -> list[Address]:
    forms: list[Address] = [address]
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is None and address in NAT64:
            embedded = IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            forms.append(embedded)
    return forms
