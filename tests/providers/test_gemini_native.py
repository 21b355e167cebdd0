"""Requests of callers who speak Gemini's own API: a new URL, the same body."""

import base64
import json
from typing import Any

import pytest

from proxy.hub.carried import Carried, pack
from proxy.hub.errors import CallerError
from proxy.hub.events import Origin
from proxy.providers.base import NativeCall, Target
from proxy.providers.gemini.contents import NO_SIGNATURE
from proxy.providers.gemini.native import CARRIED_PREFIX
from proxy.providers.gemini.provider import Gemini

BODY = b'{ "contents":[{"parts":[{"text":"model \xf0\x9f\x97\xbc"}]}],  "generationConfig" : {"temperature":1.0} }'

FOREIGN = base64.b64encode(pack(Carried(Origin.ANTHROPIC, "sig")).encode()).decode()


def call(body: bytes = BODY, **changes: Any) -> NativeCall:
    fields: dict[str, Any] = {
        "body": body,
        "stream": True,
        "operation": "generate",
        "path": {"version": "v1beta", "model": "alias"},
        "query": {"alt": "sse"},
        "headers": {},
        **changes,
    }
    return NativeCall(**fields)


def splice(native: NativeCall, model: str = "gemini-2.5-flash") -> Any:
    return Gemini().splice_request(native, Target("google", model))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({}, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ({"query": {}}, "/v1beta/models/gemini-2.5-flash:streamGenerateContent"),
        ({"stream": False, "query": {}}, "/v1beta/models/gemini-2.5-flash:generateContent"),
        ({"operation": "count_tokens", "stream": False, "query": {}}, "/v1beta/models/gemini-2.5-flash:countTokens"),
        ({"path": {"version": "v1"}}, "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ({"path": {"version": "../v9"}}, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ({"path": {}}, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        (
            {"query": {"key": "AIza-secret", "alt": "sse", "KEY": "x", "access_token": "y", "q": "a&b=c"}},
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse&q=a%26b%3Dc",
        ),
    ],
)
def test_the_url_is_written_anew(changes: dict[str, Any], path: str) -> None:
    sent = splice(call(**changes))

    assert sent.path == path
    assert sent.body == BODY


def test_a_stream_without_alt_sse_is_announced_as_json() -> None:
    assert splice(call(query={})).stream_content_type == "application/json"
    assert splice(call()).stream_content_type is None
    assert splice(call(stream=False, query={})).stream_content_type is None


def test_only_harmless_headers_are_passed_on() -> None:
    headers = {
        "x-goog-api-client": "sdk/1",
        "x-server-timeout": "60",
        "x-goog-api-key": "secret",
        "authorization": "Bearer secret",
        "x-goog-user-project": "p",
        "cookie": "c",
        "accept-encoding": "gzip",
        "host": "proxy",
    }

    assert splice(call(headers=headers)).headers == {
        "content-type": "application/json",
        "x-goog-api-client": "sdk/1",
        "x-server-timeout": "60",
    }


@pytest.mark.parametrize("model", ["../files", "a?b", ""])
def test_a_hostile_target_model_is_refused(model: str) -> None:
    with pytest.raises(CallerError):
        splice(call(), model)


def test_a_model_inside_the_body_becomes_the_targets() -> None:
    body = b'{"generateContentRequest": {"model": "models/alias", "contents": [ {"parts":[{"text":"a"}]} ]}}'

    sent = splice(call(body, operation="count_tokens", stream=False))

    assert json.loads(sent.body) == {
        "generateContentRequest": {"model": "models/gemini-2.5-flash", "contents": [{"parts": [{"text": "a"}]}]}
    }
    assert b'[ {"parts":[{"text":"a"}]} ]' in sent.body


def test_a_model_inside_the_body_is_found_however_it_is_spelt() -> None:
    body = b'{"generateContentRequest":{"mod\\u0065l":"models/other","contents":[]}}'

    sent = splice(call(body, operation="count_tokens", stream=False))

    assert json.loads(sent.body) == {"generateContentRequest": {"model": "models/gemini-2.5-flash", "contents": []}}


def test_the_word_model_in_a_text_changes_nothing() -> None:
    body = b'{"contents": [ {"parts": [{"text": "\\"model\\": is a \\"model\\""}], "role":  "model"} ]}'

    assert splice(call(body)).body == body


def test_proofs_of_other_providers_are_taken_out_and_the_rest_stays() -> None:
    body = json.dumps(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"text": "", "thought": True, "thoughtSignature": FOREIGN}]},
                {
                    "role": "model",
                    "parts": [
                        {"text": "kept", "thoughtSignature": FOREIGN},
                        {"functionCall": {"name": "f", "args": {"a": 1}}, "thought_signature": FOREIGN},
                        {"text": "own", "thoughtSignature": "b3du"},
                    ],
                },
            ],
            "tools": [],
        }
    ).encode()
    expected = {"functionCall": {"name": "f", "args": {"a": 1}}}

    old = json.loads(splice(call(body)).body)
    new = json.loads(splice(call(body), "gemini-3-pro").body)

    assert CARRIED_PREFIX.decode() in FOREIGN
    assert old["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"text": "kept"}, expected, {"text": "own", "thoughtSignature": "b3du"}]},
    ]
    assert new["contents"][1]["parts"][1] == {**expected, "thoughtSignature": NO_SIGNATURE}


def test_the_word_for_no_signature_stays_for_models_that_want_one() -> None:
    part = {"functionCall": {"name": "f"}, "thoughtSignature": NO_SIGNATURE}
    body = json.dumps({"contents": [{"role": "model", "parts": [part]}]}).encode()

    assert splice(call(body), "gemini-3-pro").body == body
    assert json.loads(splice(call(body), "gemini-2.5-pro").body) == {
        "contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]
    }


def test_a_body_that_is_no_request_is_the_callers_fault() -> None:
    for body in (
        b'"model"',
        b'{"model"',
        b'["' + CARRIED_PREFIX + b'"]',
        b'{"contents": [{"parts": ["' + CARRIED_PREFIX,
    ):
        with pytest.raises(CallerError):
            splice(call(body))


def test_the_key_goes_into_googles_header() -> None:
    assert Gemini().auth_headers("k") == {"x-goog-api-key": "k"}
