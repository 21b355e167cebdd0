"""Whatever stands in a body, a chat interface or Ollama caller gets a refusal that names the field, or a request."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.errors import CallerError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(0, 1)
    | st.sampled_from(["", "x", "data:", "\ud83d", "user"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)

UI_PARTS = [
    {"type": "text", "text": "hi"},
    {"type": "reasoning", "text": "Hm.", "providerMetadata": {"anthropic": {"signature": "s"}}},
    {"type": "reasoning", "reasoning": "Hm.", "details": [{"type": "text", "text": "Hm.", "signature": "s"}]},
    {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,aGk=", "data": "aGk="},
    {"type": "tool-f", "toolCallId": "c", "state": "output-available", "input": {}, "output": "x", "approval": {}},
    {"type": "tool-invocation", "toolInvocation": {"state": "result", "toolCallId": "c", "toolName": "f", "args": {}}},
]
UI_BODY = {
    "id": "c",
    "model": "m",
    "system": "s",
    "messages": [{"id": "a", "role": "assistant", "parts": UI_PARTS}, {"id": "u", "role": "user", "content": "hi"}],
    "tools": {"w": {"description": "d", "parameters": {}}},
    "toolChoice": {"type": "tool", "toolName": "w"},
    "reasoning": "low",
}
BODIES: dict[str, Any] = {
    "ui_message_stream": UI_BODY,
    "data_stream": UI_BODY,
    "text_stream": {"prompt": "hi", "stream": False},
    "ag_ui": {
        "threadId": "t",
        "messages": [
            {"id": "u", "role": "user", "content": [{"type": "image", "source": {"type": "url", "value": "u"}}]},
            {"id": "r", "role": "reasoning", "content": "Hm.", "encryptedValue": "x"},
            {"id": "a", "role": "assistant", "toolCalls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"id": "t", "role": "tool", "toolCallId": "c", "content": "x"},
        ],
        "tools": [{"name": "f", "description": "d", "parameters": {}}],
        "context": [{"description": "d", "value": "v"}],
        "forwardedProps": {"model": "m"},
    },
    "ollama": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hi", "images": ["aGk="]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "tool_name": "f", "content": "x"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "options": {"stop": ["x"]},
        "think": True,
        "format": "json",
    },
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: replaced(one, path[1:], new) if key == path[0] else one for key, one in value.items()}
    return [replaced(one, path[1:], new) if index == path[0] else one for index, one in enumerate(value)]


@pytest.mark.parametrize("dialect", BODIES)
@given(st.data())
def test_only_refusals_escape(dialect: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(BODIES[dialect])))
    body = json.dumps(replaced(BODIES[dialect], path, data.draw(values))).encode()

    for read in (DIALECTS[dialect].envelope, DIALECTS[dialect].decode_request):
        try:
            read(body, CallParams())
        except CallerError as refusal:
            assert refusal.message


@pytest.mark.parametrize("dialect", BODIES)
def test_untouched_bodies_are_read(dialect: str) -> None:
    assert DIALECTS[dialect].decode_request(json.dumps(BODIES[dialect]).encode(), CallParams()).messages
