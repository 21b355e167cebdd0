"""Relaying a caller's own Chat Completions body."""

import json
from typing import Any

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.carried import Carried, pack
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import CallerError
from proxy.hub.events import FinishReason, MessageEnd, Origin, ReasoningBlock, SignatureAdded
from proxy.hub.reasoning_details import SUMMARY, TEXT, ReasoningDetail, proof
from proxy.providers.base import NativeCall, UpstreamRequest
from proxy.providers.openai_chat.provider import OpenAIChat
from tests.support.crossing import CONTEXT
from tests.support.openai_chat_api import Case, recorded_requests, target

BODY = b'{"model":"alias", "messages": [ {"role":"user","content":"h\\u0069"} ],"stream":true,"x_new":{"a":1.50}}'


def splice(
    body: bytes, *, inject: bool = False, headers: dict[str, str] | None = None, **quirks: Any
) -> UpstreamRequest:
    stream = b'"stream":true' in body.replace(b" ", b"")
    call = NativeCall(body, stream, "generate", {}, {}, headers or {}, inject_usage=inject)
    return OpenAIChat().splice_request(call, target(**quirks))


def test_only_the_model_changes() -> None:
    upstream = splice(BODY)

    assert upstream.body == (
        b'{"model":"m","messages":[ {"role":"user","content":"h\\u0069"} ],"stream":true,"x_new":{"a":1.50}}'
    )
    assert (upstream.path, upstream.dropped) == ("/chat/completions", ())


@pytest.mark.parametrize("case", recorded_requests(), ids=str)
def test_recorded_requests_keep_every_other_field(case: Case) -> None:
    before, after = json.loads(case.body), json.loads(splice(case.body).body)

    assert after == {**before, "model": "m"}


def test_a_model_is_put_in_where_there_is_none() -> None:
    assert json.loads(splice(b'{"messages":[]}').body)["model"] == "m"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {"include_usage": True}),
        (',"stream_options":{"include_obfuscation":false}', {"include_obfuscation": False, "include_usage": True}),
        (',"stream_options":{"include_usage":false}', {"include_usage": True}),
        (',"stream_options":null', {"include_usage": True}),
        (',"stream_options":7', 7),
    ],
)
def test_usage_is_asked_for_on_request(options: str, expected: object) -> None:
    body = f'{{"stream":true{options}}}'.encode()

    assert json.loads(splice(body, inject=True).body)["stream_options"] == expected


def test_usage_is_not_asked_for_where_it_would_be_refused() -> None:
    assert b"stream_options" not in splice(b'{"stream":true}').body
    assert b"stream_options" not in splice(b'{"stream":false}', inject=True).body
    assert b"stream_options" not in splice(b'{"stream":true}', inject=True, omit=("stream_options",)).body


def test_only_harmless_headers_are_forwarded() -> None:
    headers = {
        "authorization": "Bearer secret",
        "cookie": "secret",
        "host": "here",
        "accept-encoding": "gzip",
        "x-stainless-os": "Linux",
        "openai-organization": "org-1",
        "idempotency-key": "i",
        "x-client-request-id": "r",
        "content-type": "application/x-www-form-urlencoded",  # what `curl -d` says of any body
    }

    assert dict(splice(BODY, headers=headers).headers) == {
        "content-type": "application/json",
        "idempotency-key": "i",
        "x-client-request-id": "r",
    }


def test_reasoning_that_only_this_proxy_could_have_given_is_taken_out() -> None:
    ours = {"type": "reasoning.text", "signature": pack(Carried(Origin.ANTHROPIC, "sig")), "index": 0}
    theirs = {"type": "reasoning.text", "signature": "own", "index": 1}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "a", "reasoning_details": [ours]},
        {"role": "assistant", "content": "b", "reasoning_details": [ours, theirs]},
    ]

    upstream = splice(json.dumps({"model": "a", "messages": messages}).encode())

    assert json.loads(upstream.body)["messages"] == [
        messages[0],
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_details": [theirs]},
    ]
    assert upstream.dropped == ("messages[1].reasoning_details", "messages[2].reasoning_details")


def test_a_proof_gets_the_text_back_that_the_proxy_told_beside_it() -> None:
    """An answer that was joined, or came whole, is told with the text in `reasoning_content` and a span of it."""
    details = [ReasoningDetail(kind, signature=kind, format="f", index=0) for kind in (TEXT, SUMMARY)]
    proofs = [proof(detail) for detail in details]
    blocks = [
        CompletedBlock(ReasoningBlock(), "why é", SignatureAdded(0, proofs[0], Origin.OPENROUTER)),
        CompletedBlock(ReasoningBlock(), "so", SignatureAdded(1, proofs[1], Origin.OPENROUTER)),
    ]
    completion = Completion("x", "m", blocks, None, MessageEnd(FinishReason.STOP))
    told = json.loads(DIALECTS["openai_chat"].encode_completion(completion, CONTEXT))["choices"][0]["message"]

    upstream = splice(json.dumps({"messages": [{"role": "user", "content": "hi"}, told]}).encode())

    assert json.loads(upstream.body)["messages"][1]["reasoning_details"] == [
        {"type": TEXT, "text": "why é", "signature": TEXT, "format": "f", "index": 0},
        {"type": SUMMARY, "summary": "so", "signature": SUMMARY, "format": "f", "index": 1},
    ]
    assert upstream.dropped == ()


@pytest.mark.parametrize(
    "detail",
    [
        {"type": TEXT, "text": "own", "signature": "s", "span": [0, 2]},
        {"type": TEXT, "signature": "s", "span": [0, 99]},
        {"type": TEXT, "signature": "s", "span": "wide"},
        {"type": TEXT, "signature": "s", "x": {"span": 1}},
    ],
)
def test_a_span_that_is_not_the_proxys_own_stays(detail: dict[str, Any]) -> None:
    message = {"role": "assistant", "reasoning_content": "why", "reasoning_details": [detail]}

    upstream = splice(json.dumps({"messages": [message]}).encode())

    assert json.loads(upstream.body)["messages"] == [message]


def test_half_a_surrogate_pair_does_not_break_a_relay() -> None:
    assert json.loads(splice(b'{"model":"a","user":"\\ud83d"}').body)["user"] == "\ufffd"


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense"])
def test_a_body_that_is_no_object_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(CallerError):
        splice(body)
