import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.identifiers import read_back, write_out

TRICKY = st.text(st.sampled_from("_x2e5f.:a/ é😀"), max_size=15)


@given(TRICKY)
def test_any_name_becomes_good_and_comes_back(name: str) -> None:
    good = write_out(name)

    assert re.fullmatch(r"[a-zA-Z0-9_-]*", good)
    assert read_back(good) == name


@given(TRICKY, TRICKY)
def test_two_names_stay_two(one: str, other: str) -> None:
    assert (write_out(one) == write_out(other)) == (one == other)


@pytest.mark.parametrize("name", ["", "get_weather", "mcp__server__tool", "_x", "a_xyz_b", "toolu_01A-b"])
def test_good_names_stay_as_they_are(name: str) -> None:
    assert write_out(name) == name


@pytest.mark.parametrize("name", ["a_xffffff_b", "a_xd83d_b"])
def test_a_code_that_is_no_character_is_not_read(name: str) -> None:
    assert read_back(name) == name
