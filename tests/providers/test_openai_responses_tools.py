import json

import pytest

from proxy.hub.events import (
    BlockStart,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)
from proxy.hub.grammar import check
from tests.support.answers import one_byte
from tests.support.openai_responses_api import decode, read_by_hub, sse

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m1"}}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "model": "m1", "status": "completed"}}


def answer(*events: dict[str, object]) -> list[Event]:
    body = sse(CREATED, *events, COMPLETED)
    found = decode(body)
    assert check(found) == []
    assert decode(body, one_byte) == found
    return found


def added(item: dict[str, object], index: int = 0) -> dict[str, object]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(item: dict[str, object], index: int = 0) -> dict[str, object]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(kind: str, text: str, index: int = 0) -> dict[str, object]:
    return {"type": f"response.{kind}.delta", "output_index": index, "item_id": "x", "delta": text}


def blocks(events: list[Event]) -> list[object]:
    return [event.block for event in events if isinstance(event, BlockStart)]


def arguments(events: list[Event], index: int = 0) -> str:
    return "".join(event.json for event in events if getattr(event, "index", None) == index and hasattr(event, "json"))


FUNCTION = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "patch", "input": ""}


def test_parallel_calls_may_interleave() -> None:
    events = answer(
        added(FUNCTION),
        added({**FUNCTION, "id": "fc_2", "call_id": "call_2", "name": "g"}, 1),
        delta("function_call_arguments", '{"a":', 0),
        delta("function_call_arguments", '{"b":', 1),
        delta("function_call_arguments", "1}", 0),
        delta("function_call_arguments", "2}", 1),
        done({**FUNCTION, "id": "fc_2", "call_id": "call_2", "name": "g", "arguments": '{"b":2}'}, 1),
        done({**FUNCTION, "arguments": '{"a":1}'}, 0),
    )

    assert read_by_hub(events).calls == [
        ("function_call", "call_1", "f", '{"a":1}'),
        ("function_call", "call_2", "g", '{"b":2}'),
    ]
    assert events[-1] == MessageEnd(FinishReason.TOOL_CALLS, "completed")


def test_a_custom_call_is_free_text() -> None:
    events = answer(added(CUSTOM), delta("custom_tool_call_input", "*** "), done({**CUSTOM, "input": "*** Begin"}))

    assert read_by_hub(events).calls == [("custom_tool_call", "call_1", "patch", "*** Begin")]
    assert events[-1] == MessageEnd(FinishReason.TOOL_CALLS, "completed")


def test_a_name_that_comes_with_the_done_event_loses_nothing() -> None:
    nameless = {**FUNCTION, "name": ""}

    events = answer(
        added(nameless),
        delta("function_call_arguments", '{"a":1}'),
        {"type": "response.function_call_arguments.done", "output_index": 0, "name": "f", "arguments": '{"a":1}'},
        done({**nameless, "arguments": '{"a":1}'}),
    )

    assert read_by_hub(events).calls == [("function_call", "call_1", "f", '{"a":1}')]


def test_deltas_before_the_announcement_lose_nothing() -> None:
    events = answer(
        delta("function_call_arguments", '{"a":1}'),
        added(FUNCTION),
        done({**FUNCTION, "arguments": '{"a":1}'}),
    )

    assert read_by_hub(events).calls == [("function_call", "call_1", "f", '{"a":1}')]


@pytest.mark.parametrize(
    ("ids", "call_id"),
    [({"id": "fc_1", "call_id": "call_1"}, "call_1"), ({"id": "fc_1"}, "fc_1"), ({}, "call_0")],
)
def test_a_call_has_an_id_always(ids: dict[str, object], call_id: str) -> None:
    item = {"type": "function_call", "name": "f", "arguments": "{}", **ids}

    assert [id for _, id, _, _ in read_by_hub(answer(added(item), done(item))).calls] == [call_id]


def test_arguments_in_the_announcement_are_not_doubled() -> None:
    whole = {**FUNCTION, "arguments": '{"a":1}'}

    events = answer(added(whole), delta("function_call_arguments", '{"a":1}'), done(whole))

    assert read_by_hub(events).calls == [("function_call", "call_1", "f", '{"a":1}')]


# --- tools that the provider runs

CASES: list[tuple[dict[str, object], str, object, str]] = [
    (
        {"type": "web_search_call", "action": {"type": "search", "query": "oslo"}},
        "web_search",
        {"type": "search", "query": "oslo"},
        "item",
    ),
    (
        {"type": "file_search_call", "queries": ["a"], "results": [{"text": "b"}]},
        "file_search",
        {"queries": ["a"]},
        "results",
    ),
    (
        {"type": "code_interpreter_call", "code": 'print("ø")\n', "outputs": [{"type": "logs", "logs": "ø"}]},
        "code_interpreter",
        {"code": 'print("ø")\n'},
        "outputs",
    ),
    (
        {"type": "mcp_call", "name": "ask", "arguments": '{"q":1}', "output": "yes", "error": None},
        "ask",
        {"q": 1},
        "output",
    ),
    ({"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "ask"}]}, "mcp_list_tools", None, "tools"),
    ({"type": "computer_call", "call_id": "c", "action": {"type": "wait"}}, "computer", {"type": "wait"}, "item"),
    ({"type": "tool_search_call", "arguments": {"query": "x"}}, "tool_search", {"query": "x"}, "item"),
    ({"type": "compaction", "encrypted_content": "gAAA"}, "compaction", None, "item"),
    ({"type": "quantum_call", "qubits": 3}, "quantum_call", None, "item"),
]


@pytest.mark.parametrize(("fields", "name", "asked", "result"), CASES, ids=[str(case[0]["type"]) for case in CASES])
def test_a_hosted_tool_is_a_call_and_a_result(fields: dict[str, object], name: str, asked: object, result: str) -> None:
    item = {"id": "item_1", "status": "completed", **fields}

    known = {key: fields[key] for key in ("type", "name") if key in fields}

    events = answer(added({"id": "item_1", "status": "in_progress", **known}), done(item))

    call, outcome = blocks(events)
    assert isinstance(call, ToolCallBlock)
    assert (call.id, call.name, call.kind, call.origin) == ("item_1", name, ToolKind.SERVER, Origin.OPENAI)
    assert json.loads(arguments(events) or "null") == asked
    assert isinstance(outcome, ToolResultBlock)
    assert (outcome.call_id, outcome.type, outcome.is_error) == ("item_1", fields["type"], False)
    assert json.loads(outcome.content) == (item if result == "item" else fields[result])
    assert json.loads(outcome.raw or "") == item
    assert events[-1] == MessageEnd(FinishReason.STOP, "completed")


def test_code_arrives_while_it_is_written() -> None:
    item: dict[str, object] = {"id": "ci_1", "type": "code_interpreter_call", "code": ""}
    code = 'x = "a\nb" # 😀'

    events = answer(
        added(item),
        delta("code_interpreter_call_code", code[:6]),
        delta("code_interpreter_call_code", code[6:]),
        {"type": "response.code_interpreter_call_code.done", "output_index": 0, "code": code + "!"},
        done({**item, "code": code + "!"}),
    )

    assert json.loads(arguments(events)) == {"code": code + "!"}
    assert len([event for event in events if hasattr(event, "json")]) == 4


def test_code_without_a_result_is_whole_json() -> None:
    item: dict[str, object] = {"id": "ci_1", "type": "code_interpreter_call", "code": ""}

    events = answer(added(item), delta("code_interpreter_call_code", "n = 1"))

    assert json.loads(arguments(events)) == {"code": "n = 1"}
    assert len(blocks(events)) == 1


@pytest.mark.parametrize(
    "fault", [{"status": "failed"}, {"error": {"type": "mcp_protocol_error", "code": 1, "message": "no"}}]
)
def test_a_hosted_tool_that_failed_says_so(fault: dict[str, object]) -> None:
    item = {"id": "mcp_1", "type": "mcp_call", "name": "ask", "arguments": "{}", **fault}

    outcome = blocks(answer(added(item), done(item)))[1]

    assert isinstance(outcome, ToolResultBlock)
    assert outcome.is_error


# --- images


@pytest.mark.parametrize(("format", "media_type"), [("png", "image/png"), ("webp", "image/webp"), (None, "image/png")])
def test_a_generated_image_is_media(format: str | None, media_type: str) -> None:
    item: dict[str, object] = {"id": "ig_1", "type": "image_generation_call", "status": "in_progress"}

    events = answer(
        added(item),
        {"type": "response.image_generation_call.partial_image", "output_index": 0, "partial_image_b64": "AAAA"},
        done({**item, "status": "completed", "result": "aGk=", "output_format": format}),
    )

    assert blocks(events) == [MediaBlock(media_type, data="aGk=")]


def test_an_image_that_failed_is_a_failed_tool() -> None:
    item: dict[str, object] = {"id": "ig_1", "type": "image_generation_call", "status": "failed", "result": None}

    call, outcome = blocks(answer(added(item), done(item)))

    assert isinstance(call, ToolCallBlock) and call.name == "image_generation"
    assert isinstance(outcome, ToolResultBlock) and outcome.is_error
