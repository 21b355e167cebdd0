"""The provider as a whole: relayed requests, whole answers, terminators. Other modules have files of their own."""

import json
import re
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams
from proxy.hub.carried import Carried, pack
from proxy.hub.completion import unfold
from proxy.hub.errors import CallerError, ErrorKind, ProxyError, UpstreamError, UpstreamProtocolError
from proxy.hub.events import FinishReason, MessageEnd, Origin
from proxy.providers import PROVIDERS
from proxy.providers.base import NativeCall, Target
from tests.support.answers import sse_events
from tests.support.corpus import ABSENT, Recording, params, recordings
from tests.support.openai_responses_api import (
    TARGET,
    Case,
    fixture_streams,
    frames,
    read_by_hub,
    read_whole_by_sdk,
    recorded_streams,
)

PROVIDER = PROVIDERS["openai_responses"]
RECORDED = recorded_streams() or [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=ABSENT))]
RECORDED_REQUESTS = params(recordings(kind="openai_responses", where=lambda found: found.request is not None))


def native(body: bytes, operation: str = "generate", **headers: str) -> NativeCall:
    return NativeCall(body, True, operation, {}, {}, headers)


# --- relayed requests


@pytest.mark.parametrize("recording", RECORDED_REQUESTS)
def test_only_the_model_of_a_relayed_request_changes(recording: Recording) -> None:
    assert recording.request is not None
    body = recording.request["body"]

    sent = PROVIDER.splice_request(native(json.dumps(body).encode()), Target("p", "other/model"))

    assert (sent.path, sent.method, sent.dropped) == ("/responses", "POST", ())
    assert json.loads(sent.body) == {**body, "model": "other/model"}
    assert list(json.loads(sent.body)) == list(body)


def test_every_byte_of_the_other_fields_stays() -> None:
    fields = rb'"model":"m","temperature":1.0,"x":{"b" : 1,"a":[1e2,  "\u00f8\/"]},"input":"\ud83d\ude00"'

    sent = PROVIDER.splice_request(native(b"{" + fields + b"}"), Target("p", "n"))

    assert sent.body == b"{" + fields.replace(b'"m"', b'"n"') + b"}"


def test_a_model_is_added_where_the_caller_left_it_to_us() -> None:
    assert json.loads(PROVIDER.splice_request(native(b'{"input":"x"}'), TARGET).body)["model"] == "m"


def test_counting_has_its_own_path() -> None:
    sent = PROVIDER.splice_request(native(b'{"input":"x"}', "count_tokens"), TARGET)

    assert (sent.path, sent.body) == ("/responses/input_tokens", b'{"input":"x"}')


def test_reasoning_that_another_api_signed_is_taken_out() -> None:
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    foreign = {**own, "encrypted_content": pack(Carried(Origin.ANTHROPIC, "EqQB"))}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    body = {"model": "m", "input": [own, foreign, call, foreign]}

    sent = PROVIDER.splice_request(native(json.dumps(body).encode()), TARGET)

    assert json.loads(sent.body)["input"] == [own, call]
    assert sent.dropped == ("input[1]: reasoning", "input[3]: reasoning")


def test_a_text_that_only_mentions_a_carried_proof_stays() -> None:
    body = {"model": "m", "input": [{"role": "user", "content": pack(Carried(Origin.GEMINI, "x"))}]}

    sent = PROVIDER.splice_request(native(json.dumps(body).encode()), TARGET)

    assert (json.loads(sent.body), sent.dropped) == (body, ())


def test_headers_of_the_api_go_along_and_credentials_do_not() -> None:
    headers = {
        "authorization": "Bearer k",
        "cookie": "a",
        "host": "proxy",
        "content-length": "9",
        "accept-encoding": "gzip",
        "x-stainless-lang": "python",
        "openai-organization": "org",
        "content-type": "text/plain; charset=utf-7",
        "accept": "text/event-stream",
        "openai-beta": "b",
        "originator": "codex_exec",
        "session-id": "s",
        "x-codex-turn": "1",
        "x-client-request-id": "r",
    }

    sent = PROVIDER.splice_request(native(b'{"model":"m"}', **headers), TARGET)

    assert set(sent.headers) == {
        "content-type",
        "accept",
        "openai-beta",
        "originator",
        "session-id",
        "x-codex-turn",
        "x-client-request-id",
    }
    assert sent.headers["content-type"] == "application/json"


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b'{"input":' + b"[" * 100_000])
def test_a_body_that_is_no_object_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(CallerError):
        PROVIDER.splice_request(native(body), TARGET)


def test_keys_are_bearer_tokens() -> None:
    assert PROVIDER.auth_headers("k") == {"authorization": "Bearer k"}


# --- converted requests

SENT_TYPE: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsStreaming)


@pytest.mark.parametrize(
    "recording", params(recordings(where=lambda found: bool(found.request) and found.kind in DIALECTS))
)
def test_every_recorded_request_becomes_one_of_the_apis_types(recording: Recording) -> None:
    assert recording.request is not None and recording.kind is not None
    model = re.search(r"models/([^:]+):", recording.request["path"])
    path = {"model": model.group(1)} if model else {}
    try:
        body = json.dumps(recording.request["body"]).encode()
        request = DIALECTS[recording.kind].decode_request(body, CallParams(path=path))
        sent = PROVIDER.encode_request(request, TARGET)
    except CallerError as refused:
        assert refused.param in REFUSED_FIELDS
        return

    wire = json.loads(sent.body)
    for item in wire["input"]:
        if item.get("type") == "reasoning":
            # A caller may replay reasoning without its id: the API takes it (recording multimodal-tool-attachments).
            item.setdefault("id", "rs_1")
    SENT_TYPE.validate_python(wire)


REFUSED_FIELDS = {"n", "background", "messages[0].content[1].type"}
"""What a recorded request asks for and this API cannot give: several answers, detached runs, a vendor's own file part."""


# --- terminators


@pytest.mark.parametrize("case", [*RECORDED, *fixture_streams()], ids=str)
def test_exactly_the_terminator_is_a_terminator(case: Case) -> None:
    kinds = ("response.completed", "response.incomplete")

    for part in sse_events(case.body):
        is_terminator = any(frame["type"] in kinds for frame in frames(part))
        assert PROVIDER.is_terminator(part) == is_terminator


def test_text_that_quotes_a_terminator_is_none() -> None:
    data = json.dumps({"type": "response.output_text.delta", "delta": 'say "response.completed" now'}).encode()

    assert not PROVIDER.is_terminator(b"data: " + data + b"\n\n")


# --- whole answers


@pytest.mark.parametrize("recording", params(recordings(kind="openai_responses", stream=False, ok=True)))
def test_a_recorded_whole_answer_is_what_the_sdk_reads(recording: Recording) -> None:
    completion = PROVIDER.decode_completion(recording.response, TARGET)

    assert read_by_hub(unfold(completion)) == read_whole_by_sdk(recording.response)
    assert completion.id.startswith("resp_")
    assert completion.model


@pytest.mark.parametrize("case", [*RECORDED, *fixture_streams()], ids=str)
def test_a_terminal_snapshot_is_a_whole_answer(case: Case) -> None:
    last = frames(case.body)[-1]
    body = json.dumps(last.get("response", {})).encode()
    if last["type"] not in ("response.completed", "response.incomplete"):
        with pytest.raises(UpstreamError):
            PROVIDER.decode_completion(body, TARGET)
        return

    assert read_by_hub(unfold(PROVIDER.decode_completion(body, TARGET))) == read_whole_by_sdk(body)


def test_an_incomplete_answer_says_why() -> None:
    body = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}

    completion = PROVIDER.decode_completion(json.dumps(body).encode(), TARGET)

    assert completion.end == MessageEnd(FinishReason.CONTENT_FILTER, "content_filter")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "no", "code": "rate_limit_exceeded"}}, ErrorKind.RATE_LIMIT),
        (
            {"status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}},
            ErrorKind.UPSTREAM_FAILED,
        ),
        ({"status": "cancelled", "output": []}, ErrorKind.UPSTREAM_FAILED),
        ({"error": "words", "code": "invalid-argument"}, ErrorKind.UPSTREAM_FAILED),
    ],
)
def test_an_error_in_a_good_status_is_an_error(body: dict[str, Any], kind: ErrorKind) -> None:
    with pytest.raises(UpstreamError) as caught:
        PROVIDER.decode_completion(json.dumps(body).encode(), TARGET)

    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b'{"object":"response","status":"queued","output":[]}',
        b'{"output":{}}',
        b'{"output":[7]}',
        b'{"output":[{"type":"message","content":"text"}]}',
        b'{"output":[' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        PROVIDER.decode_completion(body, TARGET)


def test_a_fault_never_shows_the_bytes_of_the_peer() -> None:
    with pytest.raises(ProxyError) as caught:
        PROVIDER.decode_completion(b'{"output": "SECRET"}', TARGET)

    assert "SECRET" not in caught.value.message
