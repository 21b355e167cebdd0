"""Whole answers and errors of the Gemini dialect, read by the vendor's SDK."""

import json
from typing import Any

import pytest
from google.genai import errors
from hypothesis import given, settings

from proxy.dialects.base import StreamContext
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.hub.completion import CompletedBlock, Completion, fold, unfold
from proxy.hub.errors import HTTP_STATUS, CallerError, ErrorKind, UpstreamError
from proxy.hub.events import (
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    SignatureAdded,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
)
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support import gemini_sdk
from tests.support.corpus import Recording, params, recordings
from tests.support.strategies import completions

DIALECT = GeminiDialect()
CONTEXT = StreamContext(id="0123456789abcdefghijklmn", model="alias", created=0)

ANSWERS = recordings(ok=True, where=lambda recording: recording.kind in PROVIDERS)


def completion_of(recording: Recording) -> Completion:
    provider, target = PROVIDERS[recording.kind or ""], Target("p", "m")
    if not recording.is_stream:
        return provider.decode_completion(recording.response, target)
    decoder = provider.decoder(target)
    events = decoder.feed(recording.response)
    if not isinstance(events[-1], MessageEnd | StreamError):
        events += decoder.finish()
    return fold(events)


def answer(completion: Completion) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(DIALECT.encode_completion(completion, CONTEXT))
    return decoded


def parts(*events: Event) -> list[dict[str, Any]]:
    completion = fold([MessageStart("r", "m"), *events, MessageEnd(FinishReason.STOP)])
    found: list[dict[str, Any]] = answer(completion)["candidates"][0]["content"]["parts"]
    return found


@pytest.mark.parametrize("recording", params(ANSWERS))
def test_a_whole_answer_reads_as_its_stream_does(recording: Recording) -> None:
    completion = completion_of(recording)
    if completion.error is not None:
        return
    stream = DIALECT.encoder(CONTEXT).encode(unfold(completion))

    version = "v1" if len(recording.name) % 2 else "v1beta"
    whole = gemini_sdk.read_whole(DIALECT.encode_completion(completion, CONTEXT), api_version=version)

    assert gemini_sdk.reading_of([whole]) == gemini_sdk.read(stream)


@settings(max_examples=40, deadline=None)
@given(completions())
def test_any_whole_answer_is_read(completion: Completion) -> None:
    if completion.error is not None:
        return

    whole = gemini_sdk.read_whole(DIALECT.encode_completion(completion, CONTEXT))

    text = "".join(done.text for done in completion.blocks if isinstance(done.block, TextBlock))
    assert text in gemini_sdk.reading_of([whole]).text or any(
        type(done.block).__name__ == "RefusalBlock" for done in completion.blocks
    )


def test_the_model_is_the_one_that_answered_and_the_id_ours() -> None:
    found = answer(Completion("r", "real-model", [], None, MessageEnd(FinishReason.STOP)))

    assert (found["modelVersion"], found["responseId"]) == ("real-model", "0123456789abcdefghijklmn")
    assert answer(Completion("r", "", [], None, MessageEnd(FinishReason.STOP)))["modelVersion"] == "alias"


def test_signatures_stand_on_their_parts() -> None:
    def signed(value: str, origin: Origin = Origin.GEMINI) -> SignatureAdded:
        return SignatureAdded(0, value, origin)

    completion = Completion(
        "r",
        "m",
        [
            CompletedBlock(ReasoningBlock(), "hm", signed("dGhv")),
            CompletedBlock(ReasoningBlock(), "", signed("dGV4")),
            CompletedBlock(TextBlock(), "text"),
            CompletedBlock(ReasoningBlock(), "", signed("bG9u")),
            CompletedBlock(ToolCallBlock("c", "f"), "{}", signed("Y2Fs")),
            CompletedBlock(ReasoningBlock(), "", signed("x", Origin.ANTHROPIC)),
            CompletedBlock(RedactedReasoningBlock("opaque", Origin.ANTHROPIC)),
            CompletedBlock(ReasoningBlock(), "", signed("cGlj")),
            CompletedBlock(MediaBlock("image/png", data="aGk=")),
        ],
        None,
        MessageEnd(FinishReason.TOOL_CALLS),
    )

    found = answer(completion)["candidates"][0]["content"]["parts"]

    assert found[:4] == [
        {"text": "hm", "thought": True, "thoughtSignature": "dGhv"},
        {"text": "text", "thoughtSignature": "dGV4"},
        {"text": "", "thoughtSignature": "bG9u"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "Y2Fs"},
    ]
    assert [part.get("thought") for part in found[4:6]] == [True, True]
    assert found[6] == {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "cGlj"}


def test_calls_without_json_are_not_given_but_named() -> None:
    blocks = [CompletedBlock(ToolCallBlock("c", "rm"), '{"path": "/ho'), CompletedBlock(TextBlock(), "a")]
    candidate = answer(Completion("r", "m", blocks, None, MessageEnd(FinishReason.TOOL_CALLS)))["candidates"][0]

    assert candidate["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert candidate["content"]["parts"] == [{"text": "a"}]


def test_an_answer_that_was_filtered_whole_has_no_content() -> None:
    candidate = answer(Completion("r", "m", [], None, MessageEnd(FinishReason.CONTENT_FILTER)))["candidates"][0]

    assert candidate == {"finishReason": "SAFETY", "index": 0}


def test_citations_and_own_grounding() -> None:
    own = '{"groundingMetadata": {"webSearchQueries": ["q"]}}'
    cited = [CitationAdded(0, "https://a.test", start=0, end=1, origin=Origin.OPENAI)]
    kept = [CitationAdded(0, raw=own, origin=Origin.GEMINI), CitationAdded(0, "u", origin=Origin.GEMINI)]

    foreign, native = (
        answer(
            Completion("r", "m", [CompletedBlock(TextBlock(), "ab", None, each)], None, MessageEnd(FinishReason.STOP))
        )
        for each in (cited, kept)
    )

    assert foreign["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"] == {
        "startIndex": 0,
        "endIndex": 1,
        "text": "a",
    }
    assert native["candidates"][0]["groundingMetadata"] == {"webSearchQueries": ["q"]}


def test_tools_of_other_providers_are_left_out() -> None:
    call = ToolCallBlock("s", "web_search", ToolKind.SERVER, "{}", Origin.ANTHROPIC)

    assert parts(BlockStart(0, call), BlockEnd(0)) == [{"text": ""}]
    assert parts(BlockStart(0, ReasoningBlock()), ReasoningDelta(0, "hm"), BlockEnd(0)) == [
        {"text": "hm", "thought": True}
    ]


# --- errors


@pytest.mark.parametrize("kind", ErrorKind)
def test_an_error_is_one_to_the_sdk(kind: ErrorKind) -> None:
    error = UpstreamError(kind, "the message", code="vendor_code", retry_after_s=17)

    status, body = DIALECT.status(error), DIALECT.encode_error(error, "req_1")

    with pytest.raises(errors.APIError) as caught:
        gemini_sdk.read_whole(body, status)
    assert (caught.value.code, caught.value.message) == (HTTP_STATUS[kind], "the message")
    assert json.loads(body)["error"]["code"] == status
    assert json.loads(body)["error"]["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "vendor_code",
            "domain": "llm-stream-proxy",
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"},
    ]


def test_an_error_of_gemini_keeps_its_words_on_the_way_through() -> None:
    original = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    error = PROVIDERS["gemini"].decode_error(429, {}, json.dumps(original).encode())

    assert json.loads(DIALECT.encode_error(error, "r")) == original


def test_a_plain_error_has_no_details() -> None:
    body = DIALECT.encode_error(CallerError(ErrorKind.NOT_FOUND, "no"), "r")

    assert json.loads(body) == {"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}
