"""Vertex AI as an upstream: two APIs behind one address. What the APIs themselves do is tested with their own kinds."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from proxy.config.load import Sources, load
from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub import grammar
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import MessageEnd, StreamError
from proxy.hub.request import ChatRequest, Effort, Message, ReasoningRequest, Role, TextPart
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from proxy.providers.vertex.provider import is_claude
from proxy.server.app import start
from tests.support.answers import sse
from tests.support.corpus import Recording, params, recordings
from tests.support.provider_streams import TARGET, assert_any_split_gives_the_same, decode, reading_of
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer

VERTEX = PROVIDERS["vertex"]
FIXTURES = Path(__file__).parents[1] / "fixtures"
USER = Message(Role.USER, (TextPart("hi"),))
CLAUDE = Target("p", "claude-sonnet-4-5@20250929")
GEMINI = Target("p", "gemini-2.5-flash")
RECORDED = recordings(kind="gemini", ok=True, where=lambda recording: recording.provider == "vertex")
STREAMS = [recording for recording in RECORDED if recording.is_stream]
ANTHROPIC_STREAM = (FIXTURES / "anthropic" / "tool-call.sse").read_bytes()
GEMINI_STREAM = (FIXTURES / "gemini" / "tool-call.sse").read_bytes()


def sent(target: Target, **fields: Any) -> tuple[str, dict[str, Any], dict[str, str], tuple[str, ...]]:
    upstream = VERTEX.encode_request(ChatRequest("a", (USER,), **fields), target)
    return upstream.path, json.loads(upstream.body), dict(upstream.headers), upstream.dropped


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("google/gemini-2.5-flash", "/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("publishers/google/models/gemma", "/publishers/google/models/gemma:streamGenerateContent?alt=sse"),
        ("endpoints/123", "/endpoints/123:streamGenerateContent?alt=sse"),
        ("claude-opus-4-1@20250805", "/publishers/anthropic/models/claude-opus-4-1@20250805:streamRawPredict"),
        ("anthropic/claude-opus-4-6", "/publishers/anthropic/models/claude-opus-4-6:streamRawPredict"),
        ("publishers/anthropic/models/claude-3", "/publishers/anthropic/models/claude-3:streamRawPredict"),
    ],
)
def test_the_name_decides_publisher_and_method(model: str, path: str) -> None:
    assert sent(Target("p", model))[0] == path
    assert is_claude(model) == ("anthropic" in path)


@pytest.mark.parametrize(
    "model", ["", "..", "../x", "a/b", "a?b", "a:b", "a%2fb", "claude/../x", "endpoints/x", "a" * 201]
)
def test_what_could_leave_its_place_in_the_path_is_refused(model: str) -> None:
    with pytest.raises(CallerError):
        sent(Target("p", model))


def test_a_claude_gets_its_version_in_the_body_and_no_model() -> None:
    _, body, headers, dropped = sent(CLAUDE, reasoning=ReasoningRequest(Effort.LOW))

    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert (body["stream"], "model" in body) == (True, False)
    assert headers == {"content-type": "application/json"}
    assert dropped == ()


def test_betas_stay_in_their_header() -> None:
    _, _, headers, _ = sent(CLAUDE, extensions={"anthropic_beta": b'["context-1m-2025-08-07"]'})

    assert headers["anthropic-beta"] == "context-1m-2025-08-07"


def test_a_gemini_thinks_by_its_own_rules() -> None:
    _, body, _, dropped = sent(GEMINI, reasoning=ReasoningRequest(Effort.LOW), service_tier="flex")

    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024
    assert body["serviceTier"] == "flex"
    assert dropped == ()


@pytest.mark.parametrize("recording", params(STREAMS))
def test_a_recorded_stream_is_read_as_geminis(recording: Recording) -> None:
    events = decode(VERTEX, [recording.response], GEMINI)

    assert isinstance(events[-1], MessageEnd)
    assert events == decode(PROVIDERS["gemini"], [recording.response], GEMINI)
    assert_any_split_gives_the_same(VERTEX, recording.response, GEMINI)


@pytest.mark.parametrize("recording", params([one for one in RECORDED if not one.is_stream]))
def test_a_recorded_whole_answer_is_read_as_geminis(recording: Recording) -> None:
    assert VERTEX.decode_completion(recording.response, GEMINI).end is not None


@pytest.mark.parametrize("recording", params(RECORDED))
def test_a_recorded_request_goes_to_the_recorded_address(recording: Recording) -> None:
    assert recording.request is not None
    base, _, _ = recording.request["path"].partition("/publishers/")
    body = json.dumps(recording.request["body"]).encode()
    asked = DIALECTS["gemini"].decode_request(body, CallParams({"model": recording.model}, {}, {}))

    upstream = VERTEX.encode_request(asked, Target("p", recording.model))

    streamed = recording.request["path"].replace(":generateContent", ":streamGenerateContent?alt=sse")
    assert base + upstream.path == streamed
    assert json.loads(upstream.body)["contents"] == recording.request["body"]["contents"]


@pytest.mark.parametrize(("target", "body"), [(CLAUDE, ANTHROPIC_STREAM), (GEMINI, GEMINI_STREAM)])
def test_each_family_is_read_by_its_own_codec_and_cut_as_it(target: Target, body: bytes) -> None:
    events = decode(VERTEX, [body], target)
    splitter = VERTEX.splitter(target)

    assert grammar.check(events) == []
    assert reading_of(events).finish == "tool_calls"
    assert isinstance(decode(VERTEX, [body[: len(body) // 2]], target)[-1], StreamError)
    assert splitter.feed(body) + splitter.finish() == body
    assert VERTEX.is_terminator(body)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}', ErrorKind.RATE_LIMIT),
        (400, b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]', ErrorKind.INVALID_REQUEST),
        (
            400,
            b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}',
            ErrorKind.CONTEXT_TOO_LONG,
        ),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', ErrorKind.OVERLOADED),
        (503, b"<html>", ErrorKind.OVERLOADED),
    ],
)
def test_a_refusal_is_understood_in_either_language(status: int, body: bytes, kind: ErrorKind) -> None:
    assert VERTEX.decode_error(status, {}, body).kind is kind


@pytest.mark.parametrize(
    ("key", "headers"),
    [("ya29.token", {"authorization": "Bearer ya29.token"}), ("AIzaKey", {"x-goog-api-key": "AIzaKey"})],
)
def test_a_key_is_a_token_unless_it_looks_like_a_key(key: str, headers: dict[str, str]) -> None:
    assert VERTEX.auth_headers(key) == headers


def test_no_caller_speaks_both_apis() -> None:
    assert VERTEX.native_dialect is None
    assert decode(VERTEX, [b""], TARGET)[-1].kind is ErrorKind.CUT  # type: ignore[union-attr]


class Google:
    """Application default credentials that need no network."""

    token = "ya29.default"
    expiry = None

    def refresh(self, request: object) -> None:
        pass


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-2.5-flash", GEMINI_STREAM, "/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("claude-opus-4-6", ANTHROPIC_STREAM, "/publishers/anthropic/models/claude-opus-4-6:streamRawPredict"),
    ],
)
async def test_a_call_through_the_whole_proxy_bears_the_default_credentials(
    model: str, stream: bytes, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import google.auth

    monkeypatch.setattr(google.auth, "default", lambda scopes: (Google(), "project"))
    async with ReplayServer(sse(stream)) as upstream:
        vertex = provider("cloud", "vertex", f"{upstream.base_url}/v1/projects/p/locations/l")
        del vertex["api_key"]
        config = settings([vertex])
        config["models"][0]["targets"][0]["model"] = model
        file = tmp_path / "proxy.yaml"
        file.write_text(yaml.safe_dump(config))
        running = await start(load(Sources(file, environ={})).config)
        try:
            body = {"model": "cloud", "messages": [{"role": "user", "content": "hi"}]}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{running.url}/v1/chat/completions", json=body) as response,
            ):
                answer = await response.json()
        finally:
            await running.stop()

        assert answer["choices"][0]["finish_reason"] == "tool_calls"
        assert upstream.exchanges[0].target == "/v1/projects/p/locations/l" + path
        assert upstream.exchanges[0].headers["authorization"] == "Bearer ya29.default"
