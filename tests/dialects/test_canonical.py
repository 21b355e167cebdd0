import json

import pytest

from proxy.dialects.base import Route, StreamContext
from proxy.dialects.canonical import CanonicalDialect
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import HTTP_STATUS, CallerError, ErrorKind, UpstreamError
from proxy.hub.events import (
    CitationAdded,
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.hub.request import FormatKind, ResponseFormat

DIALECT = CanonicalDialect(read_chat)
CONTEXT = StreamContext(id="abc", model="asked", created=1)
JSON_CONTEXT = StreamContext(id="abc", model="asked", created=1, response_format=ResponseFormat(FormatKind.JSON_OBJECT))


def encode(completion: Completion, context: StreamContext = CONTEXT) -> object:
    return json.loads(DIALECT.encode_completion(completion, context))


def test_routes_serve_fetch_and_event_source() -> None:
    assert DIALECT.routes == (Route("POST", "/chat"), Route("GET", "/chat"))


def test_plain_answer_has_the_same_fields_always() -> None:
    completion = Completion("p", "", [CompletedBlock(TextBlock(), "Hi")], None, MessageEnd(FinishReason.STOP))

    assert encode(completion) == {
        "id": "abc",
        "model": "asked",
        "text": "Hi",
        "tool_calls": [],
        "usage": None,
        "finish_reason": "stop",
    }


def test_everything_that_an_answer_may_hold_has_its_field() -> None:
    blocks = [
        CompletedBlock(ReasoningBlock(), "Hm."),
        CompletedBlock(RedactedReasoningBlock("b3BhcXVl", Origin.ANTHROPIC)),
        CompletedBlock(TextBlock(), "A", citations=[CitationAdded(2, url="u", start=0, end=1)]),
        CompletedBlock(RefusalBlock(), "No."),
        CompletedBlock(ToolCallBlock("c1", "f"), '{"a":1}'),
        CompletedBlock(ToolCallBlock("c2", "g"), ""),
        CompletedBlock(ToolCallBlock("c3", "h", ToolKind.CUSTOM), ""),
        CompletedBlock(ToolResultBlock("c4", "[1, 2]", Origin.ANTHROPIC, "t")),
        CompletedBlock(MediaBlock("image/png", url="https://example.com/a.png")),
        CompletedBlock(TextBlock(), "B"),
    ]
    end = MessageEnd(FinishReason.STOP_SEQUENCE, "stop", "###")

    assert encode(Completion("p", "real", blocks, Usage(input=1, output=2), end)) == {
        "id": "abc",
        "model": "real",
        "text": "AB",
        "tool_calls": [
            {"id": "c1", "name": "f", "arguments": '{"a":1}'},
            {"id": "c2", "name": "g", "arguments": "{}"},
            {"id": "c3", "name": "h", "kind": "custom", "arguments": ""},
        ],
        "reasoning": "Hm.",
        "refusal": "No.",
        "tool_call_results": [{"id": "c4", "result_type": "t", "result": [1, 2]}],
        "citations": [{"url": "u", "start": 0, "end": 1}],
        "files": [{"media_type": "image/png", "url": "https://example.com/a.png"}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "finish_reason": "stop_sequence",
        "stop_sequence": "###",
    }


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (['{"a": [1, 2]}'], {"a": [1, 2]}),
        (["Let me see.", "[1]"], [1]),
        (["null"], None),
        (["not json"], "absent"),
        (["[" * 100_000], "absent"),
    ],
)
def test_json_answer_has_its_value(texts: list[str], value: object) -> None:
    blocks = [CompletedBlock(TextBlock(), text) for text in texts]

    answer = encode(Completion("p", "m", blocks, None, MessageEnd(FinishReason.STOP)), JSON_CONTEXT)

    assert isinstance(answer, dict)
    assert answer.get("json", "absent") == value


@pytest.mark.parametrize("kind", ErrorKind)
def test_errors_have_their_kind_and_status(kind: ErrorKind) -> None:
    error = UpstreamError(kind, "What happened.", status=418)

    body = json.loads(DIALECT.encode_error(error, "req"))["error"]

    assert DIALECT.status(error) == HTTP_STATUS[kind]
    assert list(body) == ["type", "message", "retryable"]
    assert (body["type"], body["message"]) == (kind.value, "What happened.")


def test_error_names_the_field_at_fault() -> None:
    error = CallerError(ErrorKind.INVALID_REQUEST, "No.", param="messages[0].role")

    assert json.loads(DIALECT.encode_error(error, "req"))["error"] == {
        "type": "invalid_request",
        "message": "No.",
        "retryable": False,
        "param": "messages[0].role",
    }
