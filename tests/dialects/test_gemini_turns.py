"""Two turns through the vendor's SDK: what an answer held comes back whole to the provider that gave it."""

import json
from typing import Any

import pytest
from google.genai import types

from proxy.dialects.base import CallParams, StreamContext
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.dialects.gemini.signatures import Proof, read, write
from proxy.hub.completion import fold, unfold
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
)
from proxy.hub.request import ChatRequest, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from proxy.providers import PROVIDERS
from proxy.providers.base import NativeCall, Target
from tests.support import gemini_sdk
from tests.support.corpus import Recording, params, recordings

DIALECT = GeminiDialect()
CONTEXT = StreamContext(id="0123456789abcdefghijklmn", model="m", created=0)
PARAMS = CallParams({"version": "v1beta", "model": "m", "verb": "streamGenerateContent"}, {"alt": "sse"})

NO_AUTOMATIC_CALLS = types.GenerateContentConfig(
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
)

SIGNED = recordings(
    stream=True, ok=True, where=lambda recording: recording.kind in PROVIDERS and "signature" in recording.features
)


def second_request(events: list[Event], *, streamed: bool = True) -> dict[str, Any]:
    """What the SDK's chat sends on its second turn, after an answer of `events` and results for all its calls."""
    stream = DIALECT.encoder(CONTEXT).encode(events)
    server = gemini_sdk.Server(stream)
    chat = server.client().chats.create(model="m", config=NO_AUTOMATIC_CALLS)
    if streamed:
        answers = list(chat.send_message_stream("hi"))
    else:
        server.body, server.content_type = DIALECT.encode_completion(fold(events), CONTEXT), "application/json"
        answers = [chat.send_message("hi")]
    calls = [part.function_call for part in gemini_sdk.parts_of(answers) if part.function_call is not None]
    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": call.name}))
        for call in calls
    ]
    server.body, server.content_type = stream, "text/event-stream"
    list(chat.send_message_stream(results or "go on"))
    return gemini_sdk.sent_body(server)


def request_of(body: dict[str, Any]) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode(), PARAMS)


def decoded(recording: Recording) -> list[Event]:
    decoder = PROVIDERS[recording.kind or ""].decoder(Target("p", "m"))
    events = decoder.feed(recording.response)
    return events if isinstance(events[-1], MessageEnd | StreamError) else events + decoder.finish()


def proofs_of_events(events: list[Event]) -> list[tuple[str, Origin]]:
    found: list[tuple[str, Origin]] = []
    for done in fold(events).blocks:
        if isinstance(done.block, RedactedReasoningBlock):
            found.append((done.block.data, done.block.origin))
        elif done.signature is not None:
            found.append((done.signature.signature, done.signature.origin))
    return found


def proofs_of_request(request: ChatRequest) -> list[tuple[str, Origin]]:
    parts = [part for message in request.messages if message.role is Role.ASSISTANT for part in message.parts]
    return [
        (plain(proof, part.origin), part.origin)
        for part in parts
        if isinstance(part, ReasoningPart | ToolCallPart) and part.origin is not None
        if (proof := part.signature or (part.redacted if isinstance(part, ReasoningPart) else None)) is not None
    ]


def plain(proof: str, origin: Origin) -> str:
    """In the standard alphabet: the SDK sends Gemini's own signatures in the URL-safe one."""
    return proof.replace("-", "+").replace("_", "/") if origin is Origin.GEMINI else proof


@pytest.mark.parametrize("recording", params(SIGNED))
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_every_proof_comes_back_with_its_text_and_call(recording: Recording, streamed: bool) -> None:
    events = decoded(recording)
    if isinstance(events[-1], StreamError):
        return

    request = request_of(second_request(events, streamed=streamed))

    blocks = fold(events).blocks
    parts = [part for message in request.messages if message.role is Role.ASSISTANT for part in message.parts]
    assert proofs_of_request(request) == proofs_of_events(events)
    assert "".join(part.text for part in parts if isinstance(part, ReasoningPart)) == "".join(
        done.text for done in blocks if isinstance(done.block, ReasoningBlock)
    )
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    results = [part for message in request.messages for part in message.parts if isinstance(part, ToolResultPart)]
    assert [part.call_id for part in results] == [call.id for call in calls]


SIGNED_TURN: list[Event] = [
    MessageStart("r", "m"),
    BlockStart(0, ReasoningBlock()),
    ReasoningDelta(0, "I "),
    ReasoningDelta(0, "think."),
    SignatureAdded(0, "anthropic+sig/=", Origin.ANTHROPIC),
    BlockEnd(0),
    BlockStart(1, RedactedReasoningBlock("opaque", Origin.ANTHROPIC)),
    BlockEnd(1),
    BlockStart(2, TextBlock()),
    TextDelta(2, "Let me "),
    TextDelta(2, "see."),
    BlockEnd(2),
    BlockStart(3, ToolCallBlock("toolu_1", "get_weather")),
    ArgumentsDelta(3, '{"city":"Oslo"}'),
    BlockEnd(3),
    BlockStart(4, ToolCallBlock("toolu_2", "get_weather")),
    ArgumentsDelta(4, '{"city":"Rome"}'),
    BlockEnd(4),
    MessageEnd(FinishReason.TOOL_CALLS),
]


def test_reasoning_of_another_family_comes_back_as_it_was() -> None:
    request = request_of(second_request(SIGNED_TURN))

    assert request.messages[1].parts == (
        ReasoningPart("I think.", "anthropic+sig/=", Origin.ANTHROPIC),
        ReasoningPart("", origin=Origin.ANTHROPIC, redacted="opaque"),
        TextPart("Let me see."),
        ToolCallPart("toolu_1", "get_weather", '{"city": "Oslo"}'),
        ToolCallPart("toolu_2", "get_weather", '{"city": "Rome"}'),
    )
    assert [(part.call_id, part.name) for part in request.messages[2].parts] == [  # type: ignore[union-attr]
        ("toolu_1", "get_weather"),
        ("toolu_2", "get_weather"),
    ]


def test_the_same_turn_sent_to_gemini_holds_nothing_of_the_other_family() -> None:
    body = json.dumps(second_request(SIGNED_TURN)).encode()
    native = NativeCall(body, True, "generate", PARAMS.path, PARAMS.query, {})

    converted = PROVIDERS["gemini"].encode_request(request_of(json.loads(body)), Target("g", "gemini-3-pro"))
    relayed = PROVIDERS["gemini"].splice_request(native, Target("g", "gemini-3-pro"))

    gemini_sdk.check_request(json.loads(converted.body))
    for sent in (converted, relayed):
        assert b"bGxtLXN0cmVhbS1wcm94" not in sent.body
        assert b"anthropic+sig" not in sent.body
        assert b"Let me" in sent.body
        assert b"skip_thought_signature_validator" in sent.body


def test_a_gemini_turn_comes_back_to_gemini_part_by_part() -> None:
    """Thought, text and call with their signatures, through the hub and the SDK and back."""
    original = {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "Hello", "thoughtSignature": "dGV4"},
                        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "Y2Fs"},
                        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "responseId": "r",
    }
    completion = PROVIDERS["gemini"].decode_completion(json.dumps(original).encode(), Target("g", "gemini-3-pro"))

    request = request_of(second_request(unfold(completion)))
    sent = PROVIDERS["gemini"].encode_request(request, Target("g", "gemini-3-pro"))

    assert json.loads(sent.body)["contents"][1]["parts"] == original["candidates"][0]["content"]["parts"][1:]  # type: ignore[index]
    assert sent.dropped == ("messages[1].parts[0]: reasoning",)


# --- the field itself


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("signature", ["c2ln", "not base64 §", "a+b/c_d-"])
@pytest.mark.parametrize("is_redacted", [True, False])
def test_a_proof_survives_the_field_in_either_alphabet(origin: Origin, signature: str, is_redacted: bool) -> None:
    proof = Proof(signature, origin, is_redacted)

    value = write(proof, "call_1")

    assert read(value) == proof
    if origin is not Origin.GEMINI or is_redacted:
        assert read(value.replace("+", "-").replace("/", "_").rstrip("=")) == proof


@pytest.mark.parametrize("value", ["", None, "skip_thought_signature_validator"])
def test_no_signature_is_no_proof(value: str | None) -> None:
    assert read(value) is None


@pytest.mark.parametrize("value", ["=", "bGxtLXN0cmVhbS1wcm94eS4xLg==", "§"])
def test_what_we_did_not_write_is_geminis(value: str) -> None:
    assert read(value) == Proof(value, Origin.GEMINI)
