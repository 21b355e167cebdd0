"""Requests of Anthropic's own callers: relayed as they are, but for the model and other families' proofs."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import Operation
from proxy.hub.carried import MARK, Carried, pack
from proxy.hub.errors import CallerError
from proxy.hub.events import Origin
from proxy.providers.anthropic.native import PATHS, splice_request
from proxy.providers.base import NativeCall, Target
from tests.support.anthropic_api import Case, request_params

TARGET = Target("anthropic", "claude-sonnet-4-5")


def splice(body: bytes, *, operation: str = "generate", query: dict[str, str] | None = None, **headers: str) -> Any:
    passed = {name.replace("_", "-"): value for name, value in headers.items()}
    call = NativeCall(body, stream=True, operation=operation, path={}, query=query or {}, headers=passed)
    return splice_request(call, TARGET)


def test_only_the_model_changes() -> None:
    body = b'{ "max_tokens":9, "model" : "alias",\n"messages":[ {"role":"user","content":"\\u00e9 \xc3\xa9"} ], "brand_new":1.50}'

    request = splice(body)

    assert request.body == (
        b'{"max_tokens":9,"model":"claude-sonnet-4-5",'
        b'"messages":[ {"role":"user","content":"\\u00e9 \xc3\xa9"} ],"brand_new":1.50}'
    )
    assert request.dropped == ()


def test_a_body_with_the_targets_model_stays_byte_for_byte() -> None:
    body = b'{ "model" : "claude-sonnet-4-5", "x": 1 }'

    assert splice(body).body is body


@pytest.mark.parametrize("case", request_params())
def test_a_recorded_request_keeps_every_field(case: Case) -> None:
    sent = json.loads(splice(case.body).body)

    assert sent == {**json.loads(case.body), "model": TARGET.model}


def test_the_paths_of_both_operations() -> None:
    assert set(PATHS) == {Operation.GENERATE.value, Operation.COUNT_TOKENS.value}
    assert splice(b"{}").path == "/v1/messages"
    assert splice(b"{}", operation="count_tokens").path == "/v1/messages/count_tokens"
    assert splice(b"{}", query={"beta": "true"}).path == "/v1/messages?beta=true"


def test_headers_of_the_api_are_passed_unchanged_and_no_others() -> None:
    request = splice(
        b"{}",
        anthropic_version="2026-10-21",
        anthropic_beta="a-2025-01-01, b",
        anthropic_workspace_id="w",
        anthropic_dangerous_direct_browser_access="true",
        x_app="cli",
        x_claude_code_session_id="s",
        authorization="Bearer secret",
        x_api_key="secret",
        x_stainless_lang="python",
        accept_encoding="gzip",
    )

    assert request.headers == {
        "content-type": "application/json",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a-2025-01-01, b",
        "anthropic-workspace-id": "w",
        "x-app": "cli",
        "x-claude-code-session-id": "s",
    }


def test_a_missing_version_is_added() -> None:
    assert splice(b"{}").headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"7", b'{"a":' * 9000])
def test_a_body_that_is_no_object_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(CallerError):
        splice(body)


# --- proofs of other families

FOREIGN = pack(Carried(Origin.GEMINI, "sig"))
THINKING = {"type": "thinking", "thinking": "hm", "signature": FOREIGN}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}
ASK = {"role": "user", "content": "Hi"}


def say(*content: object) -> dict[str, object]:
    return {"role": "assistant", "content": list(content)}


def sent(*messages: object, **fields: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = splice(json.dumps({"model": "alias", "messages": messages, **fields}).encode())
    return json.loads(request.body), request.dropped


def test_thinking_of_another_family_goes_and_is_named() -> None:
    text = {"type": "text", "text": "Hi"}
    own = {"type": "thinking", "thinking": "x", "signature": "EqQB"}
    redacted = {"type": "redacted_thinking", "data": FOREIGN}
    unproved = {"type": "thinking", "thinking": "x", "signature": MARK}

    body, dropped = sent(ASK, say(THINKING, text), ASK, say(own, redacted, unproved, text), ASK)

    assert body["messages"] == [ASK, say(text), ASK, say(own, text), ASK]
    assert dropped == (
        "messages[1].content[0]: thinking",
        "messages[3].content[1]: redacted_thinking",
        "messages[3].content[2]: thinking",
    )


def test_a_message_that_was_nothing_else_goes_whole() -> None:
    body, _ = sent(ASK, say(THINKING), ASK)

    assert body["messages"] == [ASK, ASK]


def test_citations_of_another_family_go() -> None:
    own = {"type": "char_location", "cited_text": "c"}
    foreign = {"type": "web_search_result_location", "url": "u", "encrypted_index": MARK}

    body, dropped = sent(ASK, say({"type": "text", "text": "Hi", "citations": [own, foreign]}), ASK)

    assert body["messages"][1] == say({"type": "text", "text": "Hi", "citations": [own]})
    assert dropped == ("messages[1].content[0].citations",)


def test_a_mark_in_a_text_is_a_text() -> None:
    messages = [{"role": "user", "content": f"what is {MARK}?"}, say({"type": "text", "text": MARK}), ASK]

    body, dropped = sent(*messages)

    assert body["messages"] == messages
    assert dropped == ()


@pytest.mark.parametrize(
    ("content", "thinking", "is_on"),
    [
        ([THINKING, CALL], {"type": "enabled", "budget_tokens": 1024}, False),
        ([THINKING, CALL], {"type": "adaptive"}, True),
        ([{"type": "thinking", "thinking": "x", "signature": "own"}, THINKING, CALL], {"type": "enabled"}, True),
        ([THINKING, {"type": "text", "text": "Hi"}], {"type": "enabled"}, True),
    ],
)
def test_thinking_by_budget_ends_where_its_tool_loop_lost_the_thinking(
    content: list[object], thinking: dict[str, object], is_on: bool
) -> None:
    body, dropped = sent(ASK, say(*content), RESULT, thinking=thinking, context_management={"edits": []})

    assert ("thinking" in body) == is_on
    assert ("context_management" in body) == is_on
    assert ("thinking" in dropped) == (not is_on)


FIELDS = ["messages", "role", "content", "type", "signature", "data", "citations", "thinking"]
VALUES = st.recursive(
    st.none() | st.text(max_size=3) | st.just(MARK) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
)


@given(VALUES)
def test_only_caller_errors_escape_from_odd_bodies(value: object) -> None:
    with suppress(CallerError):
        splice(json.dumps({"messages": [value], "thinking": value}).encode())
    with suppress(CallerError):
        splice(json.dumps(value).encode())
