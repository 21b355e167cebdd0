"""Every spelling of an address that no upstream may have."""

from ipaddress import ip_address

import pytest

from proxy.upstream.addresses import is_forbidden, literal_address

METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.255.255",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.254.0xa9.254",
    "0251.0376.0251.0376",
    "169.254.43518",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fd00:ec2::254",
    "FD00:0EC2:0:0:0:0:0:254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "fd20:ce::254",
    "100.100.100.200",
    "::ffff:100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
]
ALLOWED = [
    "127.0.0.1",
    "127.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "8.8.8.8",
    "169.253.255.255",
    "169.255.0.0",
    "::1",
    "fd00::1",
    "fd00:ec2::253",
    "::ffff:127.0.0.1",
    "2606:4700::1111",
    "fec0::1",
]


@pytest.mark.parametrize("text", METADATA)
def test_link_local_and_metadata_addresses_are_forbidden(text: str) -> None:
    address = literal_address(text)

    assert address is not None
    assert is_forbidden(address)


@pytest.mark.parametrize("text", ALLOWED)
def test_other_addresses_are_allowed(text: str) -> None:
    address = literal_address(text)

    assert address is not None
    assert not is_forbidden(address)


@pytest.mark.parametrize(
    "text", ["localhost", "example.com", "1.2.3.4.example.com", "dead.beef", "", ".", "1.2.3.4 x", "1..2", "::g", "x"]
)
def test_names_are_no_addresses(text: str) -> None:
    assert literal_address(text) is None


def test_numbers_are_read_as_the_resolver_reads_them() -> None:
    assert literal_address("2130706433") == literal_address("127.1") == ip_address("127.0.0.1")
