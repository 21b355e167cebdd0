"""The Gemini dialect as a whole: its routes, recorded requests through the hub, and relayed streams."""

import copy
import json
import random
import re
from itertools import pairwise
from typing import Any

import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams, Operation, StreamContext
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.dialects.gemini.request import ARRAY
from proxy.hub.codec import StreamEncoder
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import StreamError
from proxy.hub.request import (
    ChatRequest,
)
from proxy.hub.transcode import Passthrough
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from proxy.server.dispatch import pattern_of
from tests.support import gemini_sdk
from tests.support.corpus import Recording, params, recordings

DIALECT = GeminiDialect()
PARAMS = CallParams({"version": "v1beta", "collection": "models", "model": "m", "verb": "streamGenerateContent"})


def decode(body: dict[str, Any], call: CallParams = PARAMS) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode(), call)


REQUESTS = recordings(dialect="gemini", where=lambda recording: recording.request is not None)


def snake(value: Any) -> Any:
    """Every key in snake_case, except those inside arguments, responses and schemas' properties."""
    if isinstance(value, list):
        return [snake(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), key): each
        if key in ("args", "response", "properties", "parametersJsonSchema", "responseJsonSchema")
        else snake(each)
        for key, each in value.items()
    }


# --- routes and envelopes


@pytest.mark.parametrize(
    ("path", "model", "operation"),
    [
        ("/v1beta/models/gemini-x:generateContent", "gemini-x", Operation.GENERATE),
        ("/v1/models/gemini-x:streamGenerateContent", "gemini-x", Operation.GENERATE),
        ("/v1alpha/models/gemini-x:countTokens", "gemini-x", Operation.COUNT_TOKENS),
        ("/gemini/v1beta/models/gemini-x:generateContent", "gemini-x", Operation.GENERATE),
        ("/gemini/v1/models/gemini-x:streamGenerateContent", "gemini-x", Operation.GENERATE),
        ("/v1beta/models/models/gemini-x:generateContent", "gemini-x", Operation.GENERATE),
        ("/v1beta/models/openai/gpt:5:generateContent", "openai/gpt:5", Operation.GENERATE),
        ("/v1beta/models/x:countTokens:generateContent", "x:countTokens", Operation.GENERATE),
        ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine", Operation.GENERATE),
        ("/v1beta/models/x:embedContent", None, None),
        ("/v2/models/x:generateContent", None, None),
        ("/v1beta/models/:generateContent", None, None),
    ],
)
def test_routes_find_model_and_verb(path: str, model: str | None, operation: Operation | None) -> None:
    found = [
        (route, match.groupdict()) for route in DIALECT.routes if (match := pattern_of(route.path).fullmatch(path))
    ]

    assert len(found) == (0 if operation is None else 1)
    for route, values in found:
        assert route.operation is operation
        assert DIALECT.envelope(b"{}", CallParams(values)).model == model
        assert values["verb"] == path.rpartition(":")[2]


@pytest.mark.parametrize(
    ("verb", "query", "stream", "variant", "content_type"),
    [
        ("generateContent", {}, False, "", None),
        ("generateContent", {"alt": "json"}, False, "", None),
        ("streamGenerateContent", {"alt": "sse"}, True, "", None),
        ("streamGenerateContent", {}, True, ARRAY, "application/json"),
        ("streamGenerateContent", {"alt": "json"}, True, ARRAY, "application/json"),
    ],
)
def test_the_url_says_what_is_asked(
    verb: str, query: dict[str, str], stream: bool, variant: str, content_type: str | None
) -> None:
    call = CallParams({"model": "m", "verb": verb}, query)

    envelope = DIALECT.envelope(b'{"contents": []}', call)

    assert (envelope.stream, envelope.variant, envelope.content_type) == (stream, variant, content_type)
    assert decode({"contents": [{"parts": [{"text": "a"}]}]}, call).stream is stream


# --- every recorded request


@pytest.mark.parametrize("recording", params(REQUESTS))
def test_a_recorded_request_survives_the_way_through_the_hub(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]

    request = decode(body)
    sent = PROVIDERS["gemini"].encode_request(request, Target("google", "gemini-2.5-flash"))

    again = json.loads(sent.body)
    assert joined(again["contents"]) == joined(body["contents"])
    if "systemInstruction" in body:
        assert again["systemInstruction"]["parts"] == body["systemInstruction"]["parts"]
    assert again.get("safetySettings") == body.get("safetySettings")
    assert again.get("cachedContent") == body.get("cachedContent")
    names = [tool["functionDeclarations"] for tool in body.get("tools", []) if "functionDeclarations" in tool]
    assert [[f["name"] for f in tool["functionDeclarations"]] for tool in again.get("tools", [])[: len(names)]] == [
        [f["name"] for f in functions] for functions in names
    ]
    kept = {"maxOutputTokens", "responseMimeType", "responseJsonSchema"}
    config = body.get("generationConfig", {})
    assert {name: value for name, value in again.get("generationConfig", {}).items() if name in kept} == {
        name: value for name, value in config.items() if name in kept
    } | ({"responseJsonSchema": again["generationConfig"]["responseJsonSchema"]} if "responseSchema" in config else {})


def joined(contents: list[dict[str, Any]]) -> list[Any]:
    """Contents in a row of one role as one, without empty texts, ids and other providers' words for the same result."""
    out: list[Any] = []
    for content in contents:
        parts = []
        for part in content["parts"]:
            part = copy.deepcopy(part)
            for kind in ("functionCall", "functionResponse"):
                part.get(kind, {}).pop("id", None)
            if part != {"text": ""}:
                parts.append(part)
        if out and out[-1][0] == content["role"]:
            out[-1][1].extend(parts)
        else:
            out.append((content["role"], parts))
    return out


@pytest.mark.parametrize("recording", params(REQUESTS))
def test_a_recorded_request_means_the_same_in_snake_case(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]
    both = {**snake(body), **{key: value for key, value in body.items() if key == "contents"}}

    one, other, mixed = decode(body), decode(snake(body)), decode(both)

    assert without_raw(one) == without_raw(other) == without_raw(mixed)


def without_raw(request: ChatRequest) -> Any:
    """JSON bytes parsed: their keys may be spelled either way in extensions."""
    extensions = {name: snake(json.loads(value)) for name, value in request.extensions.items()}
    tools = [(tool.name, tool.description, json.loads(tool.parameters or b"null")) for tool in request.tools]
    format = request.response_format
    schema = json.loads(format.schema) if format is not None and format.schema is not None else None
    server_tools = [(tool.type, snake(json.loads(tool.json))) for tool in request.server_tools]
    return request.messages, tools, schema, extensions, request.sampling, request.reasoning, server_tools


@pytest.mark.parametrize("recording", params(REQUESTS))
@pytest.mark.parametrize("kind", ["openai_chat", "openai_responses", "anthropic"])
def test_a_recorded_request_can_be_sent_to_other_providers(recording: Recording, kind: str) -> None:
    assert recording.request is not None
    request = decode(recording.request["body"])

    sent = PROVIDERS[kind].encode_request(request, Target("p", "m", max_tokens=100))

    assert isinstance(json.loads(sent.body), dict)


OTHER_REQUESTS = recordings(
    where=lambda recording: (
        recording.request is not None
        and recording.kind in DIALECTS
        and recording.kind != "gemini"
        and isinstance(recording.request["body"], dict)
    )
)


@pytest.mark.parametrize("recording", params(OTHER_REQUESTS))
def test_a_recorded_request_of_another_api_can_be_sent_to_gemini(recording: Recording) -> None:
    assert recording.request is not None
    assert recording.kind is not None
    try:
        request = DIALECTS[recording.kind].decode_request(json.dumps(recording.request["body"]).encode(), CallParams())
    except CallerError:
        # What our own reading of that dialect refuses never gets here.
        return

    try:
        sent = PROVIDERS["gemini"].encode_request(request, Target("google", "gemini-3-flash-preview"))
    except CallerError as refused:
        assert refused.message
        return

    gemini_sdk.check_request(json.loads(sent.body))


# --- relayed streams

RELAYED = recordings(
    dialect="gemini", ok=True, where=lambda recording: recording.is_stream or recording.is_array_stream
)


def relay(recording: Recording) -> Passthrough:
    """What the server builds for a caller and a provider of this API."""
    provider, target = PROVIDERS["gemini"], Target("google", "m")
    variant = ARRAY if recording.is_array_stream else ""

    def encoder(is_relayed: bool) -> StreamEncoder:
        return DIALECT.encoder(StreamContext(id="i", model="m", created=0, variant=variant, is_relayed=is_relayed))

    return Passthrough(provider.splitter(target), provider.decoder(target), encoder, provider.is_terminator)


def cut_randomly(body: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    bounds = [0, *sorted(chance.randrange(len(body)) for _ in range(12)), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize("recording", params(RELAYED))
def test_a_relayed_stream_is_the_same_bytes_and_is_understood(recording: Recording) -> None:
    for seed in range(10):
        passthrough = relay(recording)

        out = b"".join(passthrough.feed(piece) for piece in cut_randomly(recording.response, seed))

        assert out + passthrough.finish() == recording.response
        assert passthrough.summary.end is not None
        assert passthrough.summary.error is None


@pytest.mark.parametrize("recording", params(RELAYED))
def test_a_relayed_stream_that_was_cut_ends_in_an_error(recording: Recording) -> None:
    chance = random.Random(1)
    body = recording.response
    first = body.index(b"finishReason")

    for _ in range(60):
        position = chance.randrange(1, first)
        passthrough = relay(recording)
        out = b"".join(passthrough.feed(piece) for piece in cut_randomly(body[:position], position))

        ending = passthrough.finish()

        assert _last(out + ending, recording)["error"]["status"] == "INTERNAL"
        assert passthrough.summary.error is not None


def _last(stream: bytes, recording: Recording) -> dict[str, Any]:
    text = stream if recording.is_array_stream else b"[%b]" % stream.rstrip().rpartition(b"data: ")[2]
    found: dict[str, Any] = json.loads(text)[-1]
    return found


def array_relay() -> Passthrough:
    def encoder(is_relayed: bool) -> StreamEncoder:
        return DIALECT.encoder(StreamContext(id="i", model="m", created=0, variant=ARRAY, is_relayed=is_relayed))

    provider, target = PROVIDERS["gemini"], Target("google", "m")
    return Passthrough(provider.splitter(target), provider.decoder(target), encoder, provider.is_terminator)


@pytest.mark.parametrize("before", [b"", b'[{"usageMetadata":{"promptTokenCount":1}}'])
def test_an_array_that_fails_after_heartbeats_is_json(before: bytes) -> None:
    passthrough = array_relay()

    out = passthrough.heartbeat() + passthrough.feed(before) + passthrough.heartbeat()
    out += passthrough.fail(StreamError(ErrorKind.TIMEOUT, "silent"))

    assert json.loads(out)[-1]["error"]["message"] == "silent"


def test_an_array_that_is_closed_before_its_finish_reason_ends_in_an_error_and_is_json() -> None:
    passthrough = array_relay()

    out = passthrough.feed(b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n]\n') + passthrough.finish()

    assert json.loads(out)[-1]["error"]["status"] == "INTERNAL"


def test_a_tap_that_gave_up_still_knows_the_end() -> None:
    body = b'data: {"candidates": 5}\n\ndata: {"candidates": [{"finishReason": "STOP"}]}\n\n'
    provider, target = PROVIDERS["gemini"], Target("google", "m")
    passthrough = Passthrough(
        provider.splitter(target),
        provider.decoder(target),
        lambda _: DIALECT.encoder(StreamContext(id="i", model="m", created=0, is_relayed=True)),
        provider.is_terminator,
    )

    assert passthrough.feed(body) + passthrough.finish() == body
    assert passthrough.summary.tap_failed
    assert passthrough.summary.error is None


def test_the_dialect_is_registered() -> None:
    assert isinstance(DIALECTS["gemini"], GeminiDialect)
