"""The tables of header names are usable as they are looked up: in lower case, each name in one table."""

from proxy.header_names import CONNECTION_HEADERS, CREDENTIAL_HEADERS


def test_names_are_in_lower_case() -> None:
    for name in CONNECTION_HEADERS | CREDENTIAL_HEADERS:
        assert name == name.lower()


def test_no_name_is_in_both_tables() -> None:
    assert frozenset() == CONNECTION_HEADERS & CREDENTIAL_HEADERS
