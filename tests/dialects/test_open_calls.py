import pytest

from proxy.dialects import open_calls
from proxy.dialects.open_calls import OpenCalls
from proxy.hub.events import Origin, SignatureAdded, ToolCallBlock, ToolKind

FUNCTION = ToolCallBlock("a", "f")
CUSTOM = ToolCallBlock("a", "f", ToolKind.CUSTOM)


@pytest.mark.parametrize(
    ("block", "pieces", "json", "object_json"),
    [
        (FUNCTION, ['{"a": ', "1}"], b'{"a":1}', b'{"a":1}'),
        (FUNCTION, [], b"{}", b"{}"),
        (FUNCTION, ["[1,\n2]"], b"[1,2]", b'{"input":[1,2]}'),
        (FUNCTION, ['{"a":'], None, None),
        (FUNCTION, ["[" * 100_000], None, None),
        (CUSTOM, ["ls\n"], b'"ls\\n"', b'{"input":"ls\\n"}'),
        (CUSTOM, [], b'""', b'{"input":""}'),
    ],
)
def test_arguments_are_one_value_on_one_line(
    block: ToolCallBlock, pieces: list[str], json: bytes | None, object_json: bytes | None
) -> None:
    calls = OpenCalls()
    calls.start(3, block)
    for piece in pieces:
        calls.add(3, piece)

    call = calls.end(3)

    assert (call.json(), call.object_json()) == (json, object_json)
    assert 3 not in calls


def test_calls_that_interleave_keep_apart() -> None:
    calls = OpenCalls()
    calls.start(0, FUNCTION)
    calls.start(1, FUNCTION)
    calls.add(1, "[1]")
    calls.add(0, "[0]")
    signature = SignatureAdded(1, "s", Origin.GEMINI)
    calls.sign(1, signature)

    first, second = calls.end(0), calls.end(1)

    assert (first.text(), second.text()) == ("[0]", "[1]")
    assert (first.signature, second.signature) == (None, signature)


def test_memory_of_all_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_calls, "MAX_ARGUMENTS_CHARS", 10)
    calls = OpenCalls()
    calls.start(0, FUNCTION)
    calls.start(1, FUNCTION)
    calls.add(0, '"' + "x" * 20)
    calls.add(0, '"')
    calls.add(1, '"abc"')

    assert calls.end(0).json() is None
    assert calls.end(1).json() == b'"abc"'


def test_a_held_call_is_given_back_once() -> None:
    calls = OpenCalls()
    calls.start(0, FUNCTION)
    calls.add(0, "[0]")

    calls.hold(0)

    held = calls.release("a")
    assert held is not None
    assert held.text() == "[0]"
    assert calls.release("a") is None


def test_memory_of_held_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_calls, "MAX_ARGUMENTS_CHARS", 1000)
    calls = OpenCalls()
    for index, id in enumerate("abcd"):
        calls.start(index, ToolCallBlock(id, "f"))
        calls.add(index, "1" * 20)
        calls.hold(index)

    assert [calls.release(id) is not None for id in "abcd"] == [True, True, True, False]
    calls.start(9, FUNCTION)
    calls.add(9, "1" * 990)
    assert calls.end(9).text() == "1" * 990
