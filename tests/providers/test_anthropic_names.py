import pytest

from proxy.hub.errors import CallerError
from proxy.providers.anthropic.names import CallIds, sendable


@pytest.mark.parametrize(
    ("name", "sent"), [("get_weather", "get_weather"), ("x" * 128, "x" * 128), ("server.tool", "server_x2e_tool")]
)
def test_a_name_is_sent_in_good_characters(name: str, sent: str) -> None:
    assert sendable(name, "") == sent


@pytest.mark.parametrize("name", ["", "x" * 129, "." * 26])
def test_a_name_that_cannot_be_sent_is_the_callers_fault(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        sendable(name, "tools[3].name")

    assert caught.value.param == "tools[3].name"
    assert "tools[3].name" in caught.value.message


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
