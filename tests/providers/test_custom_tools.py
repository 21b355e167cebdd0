import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.providers.custom_tools import SCHEMA, Unwrapper, wrap

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


def unwrap(fragments: list[str]) -> str:
    unwrapper = Unwrapper()
    return "".join(unwrapper.feed(fragment) for fragment in fragments) + unwrapper.finish()


@given(TEXTS)
def test_a_wrapped_text_comes_back_whatever_the_split(text: str) -> None:
    wrapped = wrap(text).decode()

    assert unwrap([wrapped]) == text
    assert unwrap(list(wrapped)) == text


@given(TEXTS, st.integers(1, 7))
def test_ascii_escapes_are_read_whatever_the_split(text: str, size: int) -> None:
    escaped = "".join(f"\\u{unit:04x}" for unit in _utf16_units(text))
    wrapped = f'{{ "input" : "{escaped}" }}'

    assert unwrap([wrapped[start : start + size] for start in range(0, len(wrapped), size)]) == text


def _utf16_units(text: str) -> list[int]:
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


def test_text_leaves_as_it_arrives() -> None:
    unwrapper = Unwrapper()

    assert [unwrapper.feed(part) for part in ['{"inp', 'ut":"a', "b\\", "nc", '"', "}"]] == [
        "",
        "a",
        "b",
        "\nc",
        "",
        "",
    ]
    assert unwrapper.finish() == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", ""),
        ("{}", "{}"),
        ('{"patch":"x"}', '{"patch":"x"}'),
        ('{"other":1,"input":"late"}', "late"),
        ("no json", "no json"),
        ('{"input":"cut', "cut"),
        ('{"input":"cut\\', "cut\\"),
        ('{"input":"half \\ud83d"}', "half \ufffd"),
        ('{"input":7}', '{"input":7}'),
    ],
)
def test_arguments_of_another_shape_are_the_text(arguments: str, text: str) -> None:
    assert unwrap(list(arguments)) == text


def test_the_schema_takes_what_wrap_makes() -> None:
    schema = msgspec.json.decode(SCHEMA)

    assert schema["required"] == list(msgspec.json.decode(wrap("x")))
