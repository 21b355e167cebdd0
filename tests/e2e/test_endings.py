"""Endings that depend on what came before them, and requests for more than one answer, in every dialect and kind."""

import itertools
from pathlib import Path

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.codec import TellsFinish
from proxy.hub.completion import fold
from proxy.hub.continuation import Delivered
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    Usage,
)
from proxy.hub.request import ChatRequest, Message, Role, Sampling, TextPart
from proxy.hub.transcode import CUT_MESSAGE, Passthrough
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support.crossing import CONTEXT
from tests.support.provider_streams import decode

WORDS: dict[str, tuple[str, str]] = {
    "ag_ui": ('"finishReason":"length"', '"finishReason":"tool_calls"'),
    "anthropic": ('"stop_reason":"max_tokens"', '"stop_reason":"tool_use"'),
    "canonical": ('reason":"length"', 'reason":"tool_calls"'),
    "data_stream": ('"finishReason":"length"', '"finishReason":"tool-calls"'),
    "gemini": ('"finishReason":"MAX_TOKENS"', '"finishReason":"STOP"'),
    "ollama": ('"done_reason":"length"', '"done_reason":"stop"'),
    "openai_chat": ('"finish_reason":"length"', '"finish_reason":"tool_calls"'),
    "openai_responses": ('"reason":"max_output_tokens"', '"status":"completed","background"'),
    "ui_message_stream": ('"finishReason":"length"', '"finishReason":"tool-calls"'),
}
"""How each dialect says that the limit was reached, and that tools are to be called."""

BEFORE: dict[str, list[Event]] = {
    "none": [BlockStart(0, TextBlock()), TextDelta(0, "x"), BlockEnd(0)],
    "whole call": [BlockStart(0, ToolCallBlock("c", "f")), ArgumentsDelta(0, "{}"), BlockEnd(0)],
    "cut call": [BlockStart(0, ToolCallBlock("c", "f")), ArgumentsDelta(0, '{"a": "b'), BlockEnd(0)],
}


@pytest.mark.parametrize(("dialect", "state"), list(itertools.product(WORDS, BEFORE)))
def test_an_answer_cut_by_the_limit_says_so_whatever_it_holds(dialect: str, state: str) -> None:
    """A caller that believed a cut call to be whole would run it."""
    end = MessageEnd(FinishReason.LENGTH, "max_tokens")
    events: list[Event] = [MessageStart("x", "m"), *BEFORE[state], Usage(1, 2), end]
    length, tools = WORDS[dialect]

    told = DIALECTS[dialect].encoder(CONTEXT).encode(events).decode()

    assert length in told
    assert tools not in told
    if dialect != "data_stream":
        assert length in DIALECTS[dialect].encode_completion(fold(events), CONTEXT).decode()


@pytest.mark.parametrize("dialect", WORDS)
def test_a_whole_call_is_to_be_run(dialect: str) -> None:
    end = MessageEnd(FinishReason.TOOL_CALLS, "tool_use")

    told = DIALECTS[dialect].encoder(CONTEXT).encode([MessageStart("x", "m"), *BEFORE["whole call"], Usage(1, 2), end])

    assert WORDS[dialect][1] in told.decode()


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_more_than_one_answer_is_refused_before_it_costs(kind: str) -> None:
    request = ChatRequest("m", (Message(Role.USER, (TextPart("hi"),)),), sampling=Sampling(n=2))

    with pytest.raises(CallerError, match="n: ") as refusal:
        PROVIDERS[kind].encode_request(request, Target(provider=kind, model="gemini-3-flash"))

    assert refusal.value.param == "n"


# --- what stands at the end of an upstream's stream

BUSY = b'{"error":{"message":"Too busy.","type":"rate_limit_error","code":429,"status":"RESOURCE_EXHAUSTED"}}'
BARE_ERRORS: dict[str, tuple[bytes, ErrorKind]] = {
    "anthropic": (BUSY, ErrorKind.RATE_LIMIT),
    "cohere": (b'{"id":"x","message":"too many tokens: Too busy."}', ErrorKind.CONTEXT_TOO_LONG),
    "gemini": (BUSY, ErrorKind.RATE_LIMIT),
    "openai_chat": (BUSY, ErrorKind.RATE_LIMIT),
    "openai_responses": (BUSY, ErrorKind.RATE_LIMIT),
}
"""By kinds whose streams are server-sent events: an error as bare JSON behind them, and what it means."""
FIXTURES = Path(__file__).parents[1] / "fixtures"


def _text(kind: str) -> bytes:
    return (FIXTURES / kind / "text.sse").read_bytes().replace(b"\r\n", b"\n")


def _begun(kind: str) -> bytes:
    """The first half of an answer: whole events, and no finish reason."""
    stream = _text(kind)
    return stream[: stream.index(b"\n\n", len(stream) // 3) + 2]


@pytest.mark.parametrize("after", [b"", b"\n", b"\n\n", b"\r\n\r\n: bye\r\n\r\n"])
@pytest.mark.parametrize("kind", BARE_ERRORS)
def test_an_error_as_bare_json_behind_events_is_the_providers_error(kind: str, after: bytes) -> None:
    bare, meaning = BARE_ERRORS[kind]

    failure = decode(PROVIDERS[kind], [_begun(kind) + bare + after])[-1]

    assert isinstance(failure, StreamError)
    assert failure.kind is meaning
    assert failure.message.endswith("Too busy.")


@pytest.mark.parametrize("begun", [b"", _begun("openai_chat")], ids=["alone", "behind events"])
def test_done_behind_an_error_as_bare_json_is_no_success(begun: bytes) -> None:
    failure = decode(PROVIDERS["openai_chat"], [begun + BUSY + b"\n\ndata: [DONE]\n\n"])[-1]

    assert isinstance(failure, StreamError)
    assert failure.kind is ErrorKind.RATE_LIMIT


@pytest.mark.parametrize(
    "bare", [BUSY[:-9], b"{}", b'{"error":null}', b"[]", b'{"id":"x","object":"y"}', b'{"a":', b"<html>", b"[" * 5000]
)
@pytest.mark.parametrize("kind", BARE_ERRORS)
def test_other_bytes_behind_events_are_a_cut(kind: str, bare: bytes) -> None:
    failure = decode(PROVIDERS[kind], [_begun(kind) + bare])[-1]

    assert failure == StreamError(ErrorKind.CUT, CUT_MESSAGE)


@pytest.mark.parametrize("kind", BARE_ERRORS)
def test_json_that_greets_does_not_spoil_a_whole_answer(kind: str) -> None:
    stream = b'{"message":"welcome"}\n\n' if kind != "gemini" else b": welcome\n\n"
    stream += _text(kind).replace(b"data: [DONE]\n\n", b"")

    assert isinstance(decode(PROVIDERS[kind], [stream])[-1], MessageEnd)


@pytest.mark.parametrize(
    ("kind", "reason", "terminator"),
    [
        ("anthropic", b'"stop_reason":"end_turn"', b"event: message_stop"),
        ("gemini", b'"finishReason"', None),
        ("openai_chat", b'"finish_reason":"stop"', b"data: [DONE]"),
    ],
)
def test_a_decoder_knows_that_the_finish_reason_was_given(kind: str, reason: bytes, terminator: bytes | None) -> None:
    """Callers of the same API have it, so that nothing may be joined to what they have."""
    stream = _text(kind)
    before = stream[: stream.rindex(b"\n\n", 0, stream.index(reason)) + 2]
    end = len(stream) if terminator is None else stream.index(terminator)
    decoder = PROVIDERS[kind].decoder(Target("vendor", "m"))
    assert isinstance(decoder, TellsFinish)

    decoder.feed(before)
    assert not decoder.has_finish_reason
    decoder.feed(stream[len(before) : end])
    assert decoder.has_finish_reason


def test_a_finish_reason_that_is_a_failure_is_none() -> None:
    decoder = PROVIDERS["openai_chat"].decoder(Target("vendor", "m"))
    decoder.feed(b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"network_error"}]}\n\n')

    assert isinstance(decoder, TellsFinish)
    assert not decoder.has_finish_reason


def test_every_dialect_takes_part() -> None:
    assert set(WORDS) | {"text_stream"} == set(DIALECTS)


# --- an error behind content, in one read

HELLO = {
    "gemini": b'{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"index":0}],"responseId":"r"}',
    "ollama": b'{"model":"m","message":{"role":"assistant","content":"hello"},"done":false}',
    "openai_chat": b'{"id":"c","choices":[{"index":0,"delta":{"content":"hello"}}]}',
}
BEHIND = {
    "events": ("openai_chat", b"data: ", b"\n\n", b"data: "),
    "named events": ("openai_chat", b"data: ", b"\n\n", b"event: error\ndata: "),
    "events, CRLF": ("gemini", b"data: ", b"\r\n\r\n", b"data: "),
    "events, CR": ("openai_chat", b"data: ", b"\r\r", b"data: "),
    "lines": ("ollama", b"", b"\n", b""),
    "array": ("gemini", b"[", b"\n,\r\n", b""),
}
"""Kind, what stands before content, between, and before the error."""


def relaying(kind: str) -> tuple[Passthrough, Delivered]:
    provider, target, delivered = PROVIDERS[kind], Target("vendor", "m"), Delivered(1000)
    splitter, tap = provider.splitter(target), provider.decoder(target)
    dialect = DIALECTS[kind]
    return Passthrough(splitter, tap, lambda _: dialect.encoder(CONTEXT), provider.is_terminator, delivered), delivered


@pytest.mark.parametrize("framing", BEHIND)
def test_content_that_comes_with_an_error_is_delivered(framing: str) -> None:
    """What is remembered as delivered must be: a second answer is joined to it."""
    kind, before, between, before_error = BEHIND[framing]
    relayed, delivered = relaying(kind)
    end = b"" if framing == "array" else between
    error = b'{"error":"busy"}' if kind == "ollama" else BUSY

    out = relayed.feed(before + HELLO[kind] + between + before_error + error + end)

    assert out == before + HELLO[kind] + (b"" if framing == "array" else between)
    assert delivered.text == "hello"
    assert out + relayed.ending() == before + HELLO[kind] + between + before_error + error + end


@pytest.mark.parametrize("after", [b"data: [DONE]\n\n", b": bye\n\n", b": bye\n\ndata: [DONE]\n\n"])
def test_an_error_that_comes_with_what_follows_it_is_held_back(after: bytes) -> None:
    relayed, _ = relaying("openai_chat")
    content, error = b"data: " + HELLO["openai_chat"] + b"\n\n", b"data: " + BUSY + b"\n\n"

    assert relayed.feed(content + error + after) == content
    assert relayed.ending() == error + after
