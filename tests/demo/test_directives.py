import pytest

from proxy.demo.directives import (
    DemoCall,
    DirectiveError,
    Fault,
    Options,
    Place,
    parse_directives,
    parse_fault,
)
from proxy.demo.directives import (
    __doc__ as manual,
)
from proxy.demo.writing import Style


def test_prompt_without_directives_has_none() -> None:
    found = parse_directives("Hello\n there")

    assert found.steps == []
    assert found.options_of(None) == Options()
    assert found.prompt == "Hello there"


def test_options_are_read_from_words_and_quoted_text() -> None:
    found = parse_directives('Do [[demo tokens=200 rate=0.5 text="a \\"b\\" ]] \\n" refusal style=code]] it')

    options = found.options_of(None)
    assert (options.tokens, options.rate, options.text) == (200, 0.5, 'a "b" ]] \n')
    assert options.refusal is not None
    assert options.style is Style.CODE
    assert found.prompt == "Do it"


def test_tools_of_one_directive_are_one_turn() -> None:
    found = parse_directives('[[demo tool=f {"x":[[1]],"y":"]]"} tool=g]][[demo tool=h text="go"]][[demo tokens=5]]')

    assert [step.calls for step in found.steps] == [
        [DemoCall("f", '{"x":[[1]],"y":"]]"}'), DemoCall("g")],
        [DemoCall("h")],
    ]
    assert found.options_of(found.steps[1]).text == "go"
    assert found.options_of(found.steps[0]).text is None


def test_text_and_length_of_the_last_answer_are_not_those_of_a_turn_with_tools() -> None:
    found = parse_directives('[[demo text="done" tokens=9 rate=0]] [[demo tool=f]]')

    options = found.options_of(found.steps[0])
    assert (options.text, options.tokens, options.rate) == (None, None, 0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("503", (Fault.STATUS, 503, None)),
        ("cut", (Fault.CUT, None, None)),
        ("rst@20", (Fault.RST, None, 20)),
        ("stall@headers", (Fault.STALL, None, Place.HEADERS)),
    ],
)
def test_fault_names_what_and_where(text: str, fault: tuple[Fault, int | None, int | Place | None]) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[[demo tokns=3]]", "did you mean 'tokens'"),
        ("[[demo tokens=many]]", "tokens"),
        ("[[demo tokens=-1]]", "tokens"),
        ("[[demo tokens=99999999]]", "tokens"),
        ("[[demo tokens=3", "expected an option or ]]"),
        ('[[demo text="open]]', "JSON without an end"),
        ("[[demo tool=f {broken}]]", "expected JSON"),
        ("[[demo text=]]", "expected a value"),
    ],
)
def test_directive_that_says_nothing_is_refused(text: str, hint: str) -> None:
    with pytest.raises(DirectiveError, match="demo directive") as caught:
        parse_directives(text).options_of(None)

    assert hint in str(caught.value)


@pytest.mark.parametrize("text", ["cutt", "700", "cut@somewhere"])
def test_unknown_fault_is_refused(text: str) -> None:
    with pytest.raises(DirectiveError, match="unknown"):
        parse_fault(text)


@pytest.mark.parametrize(
    "name", [*Options.__struct_fields__, *(fault for fault in Fault if fault is not Fault.STATUS), *Place]
)
def test_manual_names_everything(name: str) -> None:
    assert manual is not None
    assert name in manual
