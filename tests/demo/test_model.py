import msgspec
import pytest

from proxy.demo.conversation import (
    Answer,
    BadRequest,
    Finish,
    Kind,
    Prompt,
    Role,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from proxy.demo.model import count_input, make_plan
from proxy.demo.writing import Style, style_of

WEATHER = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}})
CODING_TOOLS = [Tool(name, {"type": "object"}) for name in ("Read", "Write", "Bash", "WebSearch", "apply_patch")]


def prompt_of(*texts: str, **fields: object) -> Prompt:
    """User and assistant in turn."""
    roles = (Role.USER, Role.ASSISTANT)
    turns = [Turn(roles[index % 2], text) for index, text in enumerate(texts)]
    return msgspec.structs.replace(Prompt("demo", turns), **fields)


def answer_to(*texts: str, **fields: object) -> Answer:
    return make_plan(prompt_of(*texts, **fields)).answer


def names(answer: Answer) -> list[str]:
    return [call.name for call in answer.calls]


def test_answer_depends_on_the_last_prompt_alone() -> None:
    assert answer_to("Hi").text == answer_to("Other", "Yes", "Hi").text
    assert answer_to("Hi").text != answer_to("Hello").text


def test_request_without_a_prompt_is_answered() -> None:
    answer = make_plan(Prompt("demo", [Turn(Role.SYSTEM, "Be kind")])).answer

    assert "".join(answer.text).startswith("Hello.")


def test_directive_of_an_earlier_prompt_is_over() -> None:
    assert len(answer_to("[[demo tokens=3]]", "Yes", "And now?").text) > 3


@pytest.mark.parametrize(
    "note",
    [
        "<system-reminder>The weather tool is there.</system-reminder>",
        "<environment_context><cwd>weather</cwd></environment_context>",
    ],
)
def test_notes_of_agents_are_not_the_prompt(note: str) -> None:
    tools = [WEATHER]

    assert names(answer_to(f"Hello {note}", tools=tools)) == []
    assert names(answer_to("What weather is it?", "Hm", note, tools=tools)) == ["get_weather"]


def test_note_without_an_end_stays_and_costs_linear_time() -> None:
    assert answer_to("<system-reminder>" * 50_000 + "[[demo tokens=2]]").usage.output == 2


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ("What is the weather?", ["get_weather"]),
        ("Use get_weather", ["get_weather"]),
        ("Write a poem, then read the file and run bash", []),
        ("apply_patch it", ["apply_patch"]),
        ("Hello", []),
    ],
)
def test_tool_is_called_when_its_name_is_meant(asked: str, called: list[str]) -> None:
    assert names(answer_to(asked, tools=[*CODING_TOOLS, WEATHER])) == called


def test_parallel_words_call_every_tool_that_is_meant() -> None:
    tools = [WEATHER, Tool("get_tides")]

    assert names(answer_to("weather and tides, both", tools=tools)) == ["get_weather", "get_tides"]
    assert names(answer_to("weather and tides, both", tools=tools, parallel=False)) == ["get_weather"]


def test_no_tool_is_called_once_results_are_there() -> None:
    prompt = prompt_of("What is the weather?", tools=[WEATHER], tool_use=ToolUse.REQUIRED)
    prompt.turns += [Turn(Role.ASSISTANT, calls=["c1"]), Turn(Role.USER, results=[ToolResult("Rain", "c1")])]

    answer = make_plan(prompt).answer

    assert answer.calls == []
    assert "returned:\n\n- Rain" in "".join(answer.text)


def test_call_ids_differ_from_those_of_the_same_question_asked_before() -> None:
    first = answer_to("What is the weather?", tools=[WEATHER])
    prompt = prompt_of("What is the weather?", tools=[WEATHER])
    prompt.turns += [
        Turn(Role.ASSISTANT, calls=["c1"]),
        Turn(Role.USER, results=[ToolResult("Rain", "c1")]),
        Turn(Role.ASSISTANT, "Rain."),
        Turn(Role.USER, "What is the weather?"),
    ]

    second = make_plan(prompt).answer

    assert names(second) == ["get_weather"]
    assert first.calls[0].id != second.calls[0].id


def test_directed_tool_that_is_not_offered_is_named() -> None:
    answer = answer_to("[[demo tool=Write]]", tools=[WEATHER])

    assert answer.calls == []
    assert "Write" in "".join(answer.text)


def test_reasoning_of_the_directive_wins() -> None:
    assert len(answer_to("Hi", reasoning=20).reasoning) == 20
    assert len(answer_to("Hi [[demo reasoning=3]]", reasoning=20).reasoning) == 3


@pytest.mark.parametrize(
    ("limit", "kinds"),
    [
        (2, [Kind.REASONING] * 2),
        (4, [Kind.REASONING] * 3 + [Kind.TEXT]),
        (6, [Kind.REASONING] * 3 + [Kind.TEXT] * 2 + [Kind.CALL]),
    ],
)
def test_limit_counts_reasoning_text_and_arguments(limit: int, kinds: list[Kind]) -> None:
    answer = answer_to("[[demo reasoning=3 tokens=2 tool=get_weather]]", tools=[WEATHER], max_tokens=limit)

    deltas = list(answer.deltas())
    assert [delta.kind for delta in deltas] == kinds
    assert deltas[-1].is_last
    assert (answer.finish, answer.usage.output) == (Finish.LENGTH, limit)


def test_limit_as_long_as_the_answer_is_no_limit() -> None:
    assert answer_to("[[demo tokens=5]]", max_tokens=5).finish is Finish.STOP


def test_first_stop_sequence_wins() -> None:
    answer = answer_to('[[demo text="a b c"]]', stop=["c", "b", ""])

    assert ("".join(answer.text), answer.stop_sequence, answer.finish) == ("a ", "b", Finish.STOP_SEQUENCE)


@pytest.mark.parametrize("text", ["[[demo finish=sometime]]", "[[demo fault=sometime]]", "[[demo tokens=x]]"])
def test_directive_that_cannot_be_carried_out_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match="demo directive"):
        make_plan(prompt_of(text))


def test_input_is_counted_over_texts_results_and_tools() -> None:
    few = prompt_of("one two three")
    more = prompt_of("one two three", tools=[WEATHER])
    more.turns.append(Turn(Role.USER, results=[ToolResult("four five")]))

    assert count_input(few) == 3 + 3
    assert count_input(more) > count_input(few) + 3 + 2


def test_long_texts_are_estimated_by_their_length() -> None:
    assert count_input(prompt_of("word " * 100_000)) == 3 + 500_000 // 4


@pytest.mark.parametrize(
    ("prompt", "style"),
    [("Write a python function", Style.CODE), ("Some emoji please", Style.MULTILINGUAL), ("Hello", Style.PROSE)],
)
def test_style_follows_the_words_of_the_prompt(prompt: str, style: Style) -> None:
    assert style_of(prompt) is style


def test_code_answers_hold_a_whole_code_block() -> None:
    assert "".join(answer_to("Write a python function").text).count("```") % 2 == 0
