"""Broken answers: a protocol error, and nothing else, comes out of them."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.hub.errors import ProxyError, UpstreamProtocolError
from proxy.hub.events import (
    MessageEnd,
    TextDelta,
)
from proxy.hub.grammar import Grammar
from proxy.providers.anthropic.stream import AnthropicDecoder, decode_completion
from proxy.providers.base import Target
from tests.support.anthropic_api import (
    TEXT,
    decode,
    ending,
    fixture,
    fixture_streams,
    sse,
    start,
)

TARGET = Target("anthropic", "m")


@pytest.mark.parametrize(
    "json_text",
    [
        b"not json",
        b"[]",
        b"7",
        b'{"type":7}',
        b'{"type":"content_block_delta","index":"a","delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":7}}',
        b'{"type":"content_block_delta","index":0,"delta":"x"}',
        b'{"type":"content_block_start","index":0,"content_block":7}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":7}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","citations":[7]}}',
        b'{"type":"message_start","message":7}',
        b'{"type":"message_delta","usage":{"output_tokens":"9"}}',
        b'{"type":"content_block_delta","index":0,"x":' + b"[" * 50_000,
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","x":' + b"[" * 50_000,
        b'{"index":"x","type":"ping","y":' + b"[" * 50_000,
        b'{"index":"x","type":"content_block_stop", garbage',
    ],
)
def test_a_wrong_type_is_a_protocol_error(json_text: bytes) -> None:
    frame = b"data: " + json_text + b"\n\n"
    decoder = AnthropicDecoder(TARGET)
    decoder.feed(sse(start()))

    with pytest.raises(UpstreamProtocolError):
        decoder.feed(frame)
        decoder.feed(b"")


def test_good_events_before_a_fault_in_the_same_read_are_kept() -> None:
    decoder = AnthropicDecoder(TARGET)

    assert decoder.feed(sse(start(), *TEXT[:2]) + b"data: nonsense\n\n")[-1] == TextDelta(0, "Hi")
    with pytest.raises(UpstreamProtocolError):
        decoder.feed(b"")
    with pytest.raises(UpstreamProtocolError):
        decoder.finish()


def test_broken_characters_become_replacement_characters() -> None:
    body = sse(start(), *TEXT, *ending())

    broken = decode(body.replace(b'"Hi"', b'"H\xff"'))
    half_pair = decode(body.replace(b'"Hi"', b'"H\\ud83d"'))

    assert broken[2] == half_pair[2] == TextDelta(0, "H\ufffd")


def test_nothing_is_read_after_the_end() -> None:
    body = fixture("text")
    decoder = AnthropicDecoder(TARGET)

    assert isinstance(decoder.feed(body + body + b"data: nonsense\n\n")[-1], MessageEnd)
    assert decoder.feed(body) == []


@st.composite
def mutated_streams(draw: st.DrawFn) -> list[bytes]:
    """A known stream with bytes changed, dropped, doubled, and JSON values swapped; cut into pieces."""
    body = bytearray(draw(st.sampled_from([case.body[:4000] for case in fixture_streams()])))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body) - 1))
        match draw(st.sampled_from(["byte", "drop", "double", "value"])):
            case "byte":
                body[at] = draw(st.integers(0, 255))
            case "drop":
                del body[at : at + draw(st.integers(1, 60))]
            case "double":
                body[at:at] = body[at : at + draw(st.integers(1, 200))]
            case _:
                colon = body.find(b":", at)
                value = draw(st.sampled_from([b"null", b"7", b'"x"', b"{}", b"[]", b"-1", b"1e99", b"true", b"[[[["]))
                body[colon + 1 : colon + 2] = value
        if not body:
            break
    size = draw(st.integers(1, 500))
    return [bytes(body[start : start + size]) for start in range(0, len(body), size)]


@settings(max_examples=300, deadline=None)
@given(mutated_streams())
def test_only_proxy_errors_escape_from_broken_streams(pieces: list[bytes]) -> None:
    decoder = AnthropicDecoder(TARGET)
    grammar = Grammar()
    try:
        for piece in pieces:
            for event in decoder.feed(piece):
                assert grammar.check(event) is None
        for event in decoder.finish() if grammar.finish() else []:
            assert grammar.check(event) is None
        assert grammar.finish() is None
    except ProxyError:
        pass


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"content":7}', b'{"content":[7]}', b"[" * 50_000])
def test_what_is_no_message_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        decode_completion(body, TARGET)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_only_proxy_errors_escape_from_broken_messages(data: st.DataObject) -> None:
    body = bytearray(json.dumps(WHOLE).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not body:
            break
    with suppress(ProxyError):
        decode_completion(bytes(body), TARGET)


WHOLE = {
    "id": "msg_1",
    "type": "message",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hi", "citations": [{"type": "char_location", "cited_text": "c"}]},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}
