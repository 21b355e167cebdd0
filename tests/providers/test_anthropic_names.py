import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.errors import CallerError
from proxy.providers.anthropic.names import CallIds, plain, sendable

GOOD = re.compile(r"[a-zA-Z0-9_-]{1,128}")
TRICKY = st.text(st.sampled_from("_x2e5f.:a/ é"), min_size=1, max_size=15)


@given(TRICKY)
def test_any_name_becomes_sendable_and_comes_back(name: str) -> None:
    sent = sendable(name, "tools[0].name")

    assert GOOD.fullmatch(sent)
    assert plain(sent) == name


@given(TRICKY, TRICKY)
def test_two_names_stay_two(one: str, other: str) -> None:
    assert (sendable(one, "") == sendable(other, "")) == (one == other)


@pytest.mark.parametrize("name", ["get_weather", "mcp__server__tool", "_x", "a_xyz_b", "x" * 128])
def test_good_names_stay_as_they_are(name: str) -> None:
    assert sendable(name, "") == name


@pytest.mark.parametrize("name", ["", "x" * 129, "." * 26])
def test_a_name_that_cannot_be_sent_is_the_callers_fault(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        sendable(name, "tools[3].name")

    assert caught.value.param == "tools[3].name"
    assert "tools[3].name" in caught.value.message


@pytest.mark.parametrize("name", ["a_xffffff_b", "a_xd83d_b"])
def test_a_code_that_is_no_character_is_not_read(name: str) -> None:
    assert plain(name) == name


def test_call_ids_are_good_and_unlike() -> None:
    ids = CallIds()

    assert [ids.fresh(id) for id in ["call_1", "call_1", "a:b", "a/b", "", "call_1"]] == [
        "call_1",
        "call_1_2",
        "a_b",
        "a_b_2",
        "call",
        "call_1_3",
    ]
