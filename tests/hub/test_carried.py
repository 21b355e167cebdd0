import pytest

from proxy.hub.carried import MARK, Carried, pack, unpack
from proxy.hub.events import Origin

CASES = [
    Carried(Origin.ANTHROPIC, "EqQBCgIYAhIM+/=="),
    Carried(Origin.ANTHROPIC, "EmwKAhgB", is_redacted=True),
    Carried(Origin.GEMINI, "CsEDAb4+9vtz", call_id="call_1"),
    Carried(Origin.OPENAI, "gAAAAABqhcBL7Dwm3POW9J-_", call_id='quotes " and\nlines \u2028 and 😀'),
]


@pytest.mark.parametrize("carried", CASES, ids=str)
def test_a_packed_proof_comes_back_unchanged(carried: Carried) -> None:
    assert unpack(pack(carried)) == carried


def test_a_packed_proof_stands_literally_in_any_json_text() -> None:
    word = pack(CASES[3])

    assert word.startswith(MARK)
    assert set(word) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.=")


@pytest.mark.parametrize(
    "text",
    ["", "gAAAAABqhcBL7Dwm3POW9J", MARK, MARK + "!!", MARK + "e30=", MARK + "/w==", MARK + "é", pack(CASES[0])[:-5]],
)
def test_foreign_or_damaged_text_is_no_proof(text: str) -> None:
    assert unpack(text) is None
