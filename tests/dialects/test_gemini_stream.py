"""The Gemini stream: what each provider's recordings become, read by the vendor's SDK, in both formats."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.base import StreamContext
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.dialects.gemini.errors import STATUS
from proxy.dialects.gemini.parts import FINISH_REASON
from proxy.dialects.gemini.request import ARRAY
from proxy.dialects.gemini.signatures import NO_SIGNATURE
from proxy.hub.codec import EndsOnce
from proxy.hub.completion import fold
from proxy.hub.errors import HTTP_STATUS, ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
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
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from tests.support import gemini_sdk
from tests.support.corpus import Recording, params, recordings
from tests.support.strategies import event_lists

DIALECT = GeminiDialect()
CONTEXT = StreamContext(id="0123456789abcdefghijklmn", model="alias", created=0)
ARRAY_CONTEXT = StreamContext(id="0123456789abcdefghijklmn", model="alias", created=0, variant=ARRAY)

STREAMS = recordings(stream=True, ok=True, where=lambda recording: recording.kind in PROVIDERS)

START = MessageStart("r1", "real-model")
END = MessageEnd(FinishReason.STOP, "stop")


def encode(*events: Event, context: StreamContext = CONTEXT) -> bytes:
    """The stream of `events`, each encoded by itself."""
    encoder = DIALECT.encoder(context)
    return b"".join(encoder.encode([event]) for event in events)


def frames(stream: bytes) -> list[dict[str, Any]]:
    """The responses of an event stream, which must hold nothing else."""
    pieces = stream.split(b"\r\n\r\n")
    assert pieces.pop() == b""
    for piece in pieces:
        assert piece.startswith(b"data: {")
        assert b"\n" not in piece
        assert b"\r" not in piece
    return [json.loads(piece[6:]) for piece in pieces]


def parts(stream: bytes) -> list[dict[str, Any]]:
    return [
        part
        for frame in frames(stream)
        for candidate in frame.get("candidates", [])
        for part in candidate.get("content", {}).get("parts", [])
    ]


def block(index: int, kind: Any, *deltas: Event) -> list[Event]:
    return [BlockStart(index, kind), *deltas, BlockEnd(index)]


def text(index: int, *pieces: str) -> list[Event]:
    return block(index, TextBlock(), *(TextDelta(index, piece) for piece in pieces))


def decoded(recording: Recording) -> list[Event]:
    decoder = PROVIDERS[recording.kind or ""].decoder(Target("p", "m"))
    events = decoder.feed(recording.response)
    if events and isinstance(events[-1], MessageEnd | StreamError):
        return events
    return events + decoder.finish()


# --- every recording of every provider


@pytest.mark.parametrize("recording", params(STREAMS))
def test_the_sdk_reads_what_the_provider_sent(recording: Recording) -> None:
    events = decoded(recording)
    completion = fold(events)

    reading = gemini_sdk.read(encode(*events), api_version="v1" if len(recording.name) % 2 else "v1beta")

    blocks = completion.blocks
    assert reading.text == "".join(b.text for b in blocks if isinstance(b.block, TextBlock | RefusalBlock))
    assert reading.reasoning == "".join(b.text for b in blocks if isinstance(b.block, ReasoningBlock))
    if completion.error is not None:
        assert reading.error in ("ClientError", "ServerError")
        assert reading.error_message == completion.error.message
        return
    calls = [(b.block, b.text) for b in blocks if isinstance(b.block, ToolCallBlock)]
    assert [(call.id, call.name, call.arguments) for call in reading.tool_calls] == [
        (call.id, call.name, json.loads(arguments or "{}"))
        for call, arguments in calls
        if call.kind is ToolKind.FUNCTION
    ]
    usage = completion.usage
    if usage is not None and usage.input is not None:
        assert reading.tokens is not None
        assert (reading.tokens.input, reading.tokens.output) == (usage.input, usage.output)
        assert (reading.tokens.cached_input, reading.tokens.reasoning) == (usage.cached_input, usage.reasoning)
    assert reading.finish is not None


@pytest.mark.parametrize("recording", params(STREAMS))
def test_the_array_holds_the_same_responses_as_the_events(recording: Recording) -> None:
    events = decoded(recording)

    assert json.loads(encode(*events, context=ARRAY_CONTEXT)) == frames(encode(*events))


@pytest.mark.parametrize("recording", params(recordings(dialect="gemini", stream=True, ok=True)))
def test_a_gemini_stream_written_anew_reads_the_same_to_the_sdk(recording: Recording) -> None:
    written = gemini_sdk.read_stream(encode(*decoded(recording)))
    original = gemini_sdk.read_stream(recording.response)

    assert gemini_sdk.signatures_of(written) == gemini_sdk.signatures_of(original)
    ours, theirs = gemini_sdk.reading_of(written), gemini_sdk.reading_of(original)
    assert (ours.text, ours.reasoning, ours.finish) == (theirs.text, theirs.reasoning, theirs.finish)
    assert [(call.name, call.arguments) for call in ours.tool_calls] == [
        (call.name, call.arguments) for call in theirs.tool_calls
    ]
    assert _sources(written) == _sources(original)


def _sources(responses: list[Any]) -> list[Any]:
    return [
        candidate.grounding_metadata
        for response in responses
        for candidate in response.candidates or []
        if candidate.grounding_metadata is not None and candidate.grounding_metadata.grounding_chunks
    ]


# --- the two formats


def test_events_are_data_lines_and_nothing_else() -> None:
    stream = encode(START, *text(0, "Hel", "lo"), Usage(3, 2), END)

    assert stream == (
        b'data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],'
        b'"modelVersion":"real-model","responseId":"0123456789abcdefghijklmn"}\r\n\r\n'
        b'data: {"candidates":[{"content":{"parts":[{"text":"lo"}],"role":"model"},"index":0}],'
        b'"modelVersion":"real-model","responseId":"0123456789abcdefghijklmn"}\r\n\r\n'
        b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],'
        b'"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5},'
        b'"modelVersion":"real-model","responseId":"0123456789abcdefghijklmn"}\r\n\r\n'
    )


def test_an_array_is_written_element_by_element() -> None:
    encoder = DIALECT.encoder(ARRAY_CONTEXT)

    pieces = [encoder.encode([event]) for event in [START, *text(0, "a", "b"), END]]

    written = [piece for piece in pieces if piece]
    assert written[0].startswith(b'[{"candidates"')
    assert written[1].startswith(b'\n,\r\n{"candidates"')
    assert written[-1].endswith(b"}\n]")
    assert len(json.loads(b"".join(pieces))) == 3
    assert json.loads(b"".join(written[:2]) + b"]")


@pytest.mark.parametrize("before", [[], [START], [START, *text(0, "a")]])
def test_an_error_ends_either_format(before: list[Event]) -> None:
    error = StreamError(ErrorKind.OVERLOADED, "busy", "UNAVAILABLE")
    expected = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}

    events, array = encode(*before, error), json.loads(encode(*before, error, context=ARRAY_CONTEXT))

    assert frames(events)[-1] == expected
    assert array[-1] == expected
    assert gemini_sdk.read(events).error == "ServerError"


def test_an_error_of_a_relayed_array_goes_on_inside_it() -> None:
    relayed = StreamContext(id="i", model="m", created=0, variant=ARRAY, is_relayed=True)
    begun = b'[{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}'

    ending = encode(StreamError(ErrorKind.CUT, "cut"), context=relayed)

    assert [*json.loads(begun + ending)][1]["error"]["status"] == "INTERNAL"


@pytest.mark.parametrize("usage", [None, Usage(input=3, output=2)])
def test_a_finish_reason_that_the_caller_has_is_not_written_again(usage: Usage | None) -> None:
    encoder, array = DIALECT.encoder(CONTEXT), DIALECT.encoder(ARRAY_CONTEXT)
    ending: list[Event] = [BlockEnd(0), *([usage] if usage else []), END]
    begun = [each.encode([START, *text(0, "a")[:-1]]) for each in (encoder, array)]
    assert isinstance(encoder, EndsOnce) and isinstance(array, EndsOnce)
    encoder.note_finish_reason()
    array.note_finish_reason()

    events, whole = frames(begun[0] + encoder.encode(ending)), json.loads(begun[1] + array.encode(ending))

    assert events == whole
    assert not any("finishReason" in one["candidates"][0] for one in events)
    assert [one.get("usageMetadata") is not None for one in events] == [False, *([True] if usage else [])]


def test_heartbeats_are_read_as_nothing() -> None:
    encoder, array = DIALECT.encoder(CONTEXT), DIALECT.encoder(ARRAY_CONTEXT)
    events = [START, *text(0, "a"), END]

    stream = encoder.heartbeat() + b"".join(encoder.encode([event]) + encoder.heartbeat() for event in events)
    body = array.heartbeat() + b"".join(array.encode([event]) + array.heartbeat() for event in events)

    assert gemini_sdk.read(stream).text == "a"
    assert gemini_sdk.read(stream).finish == "stop"
    assert frames(stream)[-1]["candidates"][0]["finishReason"] == "STOP"
    assert len(json.loads(body)) == 2


def test_nothing_at_all_is_still_an_answer() -> None:
    responses = gemini_sdk.read_stream(encode(START, END))

    assert gemini_sdk.reading_of(responses).finish == "stop"


# --- content


def test_thoughts_and_refusals() -> None:
    stream = encode(
        START,
        *block(0, ReasoningBlock(), ReasoningDelta(0, "hm")),
        *block(1, RefusalBlock(), RefusalDelta(1, "no")),
        END,
    )

    assert parts(stream)[:2] == [{"text": "hm", "thought": True}, {"text": "no"}]
    assert frames(stream)[-1]["candidates"][0]["finishReason"] == "SAFETY"


def test_a_call_is_given_whole_with_its_id() -> None:
    call = ToolCallBlock("call_1", "get_weather")
    stream = encode(START, *block(0, call, *(ArgumentsDelta(0, piece) for piece in ('{"ci', 'ty":\n', '"Oslo"}'))), END)

    assert parts(stream)[0]["functionCall"] == {"id": "call_1", "name": "get_weather", "args": {"city": "Oslo"}}
    assert gemini_sdk.read(stream).tool_calls[0].arguments == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("arguments", "kind", "args"),
    [
        ("", ToolKind.FUNCTION, {}),
        (" \n", ToolKind.FUNCTION, {}),
        ('{"a": 1.0, "b": [1, {"c": "x\\ny"}]}', ToolKind.FUNCTION, {"a": 1.0, "b": [1, {"c": "x\ny"}]}),
        ("[1, 2]", ToolKind.FUNCTION, {"input": [1, 2]}),
        ('"text"', ToolKind.FUNCTION, {"input": "text"}),
        ('{"a": "\\ud83d"}', ToolKind.FUNCTION, {"a": "\ufffd"}),
        ("*** Begin Patch\n", ToolKind.CUSTOM, {"input": "*** Begin Patch\n"}),
    ],
)
def test_arguments_become_an_object(arguments: str, kind: ToolKind, args: dict[str, Any]) -> None:
    call = ToolCallBlock("c", "f", kind)
    stream = encode(START, *block(0, call, ArgumentsDelta(0, arguments)), MessageEnd(FinishReason.TOOL_CALLS))

    assert parts(stream)[0]["functionCall"]["args"] == args


@pytest.mark.parametrize(
    ("arguments", "reason", "word"),
    [
        ('{"city": "Os', FinishReason.TOOL_CALLS, "MALFORMED_FUNCTION_CALL"),
        ('{"city": "Os', FinishReason.LENGTH, "MAX_TOKENS"),
        ("not json", FinishReason.STOP, "MALFORMED_FUNCTION_CALL"),
        ('{"a": ' + "[" * 100_000, FinishReason.STOP, "MALFORMED_FUNCTION_CALL"),
    ],
    ids=range(4),
)
def test_a_call_without_json_is_not_given_but_named(arguments: str, reason: FinishReason, word: str) -> None:
    """google-genai calls the caller's function by itself: half of a path must not reach it."""
    stream = encode(START, *block(0, ToolCallBlock("c", "rm"), ArgumentsDelta(0, arguments)), MessageEnd(reason))

    candidate = frames(stream)[-1]["candidates"][0]
    assert gemini_sdk.read(stream).tool_calls == ()
    assert candidate["finishReason"] == word
    assert candidate["finishMessage"] == "The arguments of these calls are no JSON: rm"


def test_parallel_calls_may_interleave() -> None:
    stream = encode(
        START,
        BlockStart(0, ToolCallBlock("a", "f")),
        BlockStart(1, ToolCallBlock("b", "g")),
        ArgumentsDelta(1, '{"x":1}'),
        ArgumentsDelta(0, '{"y":2}'),
        BlockEnd(1),
        BlockEnd(0),
        END,
    )

    assert [(part["functionCall"]["id"], part["functionCall"]["args"]) for part in parts(stream)[:2]] == [
        ("b", {"x": 1}),
        ("a", {"y": 2}),
    ]


def test_text_does_not_wait_for_an_open_call_or_thought() -> None:
    encoder = DIALECT.encoder(CONTEXT)
    encoder.encode([START, BlockStart(0, ReasoningBlock()), BlockStart(1, ToolCallBlock("a", "f"))])

    assert b'"now"' in encoder.encode([BlockStart(2, TextBlock()), TextDelta(2, "now")])


def test_of_two_texts_at_once_the_later_waits() -> None:
    stream = encode(
        START,
        BlockStart(0, TextBlock()),
        TextDelta(0, "a"),
        BlockStart(1, TextBlock()),
        TextDelta(1, "c"),
        BlockStart(2, RefusalBlock()),
        TextDelta(0, "b"),
        RefusalDelta(2, "e"),
        *block(3, ReasoningBlock(), ReasoningDelta(3, "hm")),
        BlockEnd(0),
        TextDelta(1, "d"),
        BlockEnd(2),
        BlockEnd(1),
        *text(4, "f"),
        END,
    )

    assert gemini_sdk.read(stream).text == "abcdef"


def test_files_and_own_tools_come_back_as_parts() -> None:
    code = '{"executableCode": {"language": "PYTHON",\n "code": "1"}, "thoughtSignature": "eA=="}'
    result = '{"codeExecutionResult": {"outcome": "OUTCOME_OK"}}'
    stream = encode(
        START,
        *block(0, MediaBlock("image/png", data="aGk=")),
        *block(1, MediaBlock("video/mp4", url="https://x.test/v")),
        *block(2, ToolCallBlock("c", "code_execution", ToolKind.SERVER, code, Origin.GEMINI), ArgumentsDelta(2, "{}")),
        *block(3, ToolResultBlock("c", "{}", Origin.GEMINI, "codeExecutionResult", raw=result)),
        *block(4, ToolCallBlock("s", "web_search", ToolKind.SERVER, "{}", Origin.ANTHROPIC), ArgumentsDelta(4, "{}")),
        *block(5, ToolResultBlock("s", "[]", Origin.ANTHROPIC, "web_search_tool_result")),
        END,
    )

    assert parts(stream)[:-1] == [
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x.test/v"}},
        json.loads(code),
        json.loads(result),
    ]
    assert gemini_sdk.read(stream).tool_calls == ()


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_characters_at_which_older_sdks_break_lines_are_escaped(character: str) -> None:
    stream = encode(
        START,
        *text(0, f"a{character}b"),
        *block(1, ReasoningBlock(), ReasoningDelta(1, character)),
        *block(2, ToolCallBlock("c", "f"), ArgumentsDelta(2, f'{{"a":"{character}"}}')),
        END,
    )

    assert character.encode() not in stream
    assert gemini_sdk.read(stream).text == f"a{character}b"
    assert gemini_sdk.read(stream).tool_calls[0].arguments == {"a": character}


# --- signatures


def sig(index: int, value: str, origin: Origin = Origin.GEMINI) -> SignatureAdded:
    return SignatureAdded(index, value, origin)


def test_signatures_stand_on_the_parts_that_they_came_on() -> None:
    stream = encode(
        START,
        *block(0, ReasoningBlock(), ReasoningDelta(0, "hm"), sig(0, "dGhv")),
        *block(1, ReasoningBlock(), sig(1, "dGV4")),
        *text(2, "signed", " on"),
        *block(3, ReasoningBlock(), sig(3, "cGlj")),
        *block(4, MediaBlock("image/png", data="aGk=")),
        *block(5, ReasoningBlock(), sig(5, "bG9u")),
        *block(6, ToolCallBlock("c", "f"), sig(6, "Y2Fs"), ArgumentsDelta(6, "{}")),
        *block(7, ReasoningBlock(), sig(7, "ZW5k")),
        END,
    )

    assert parts(stream) == [
        {"text": "hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "dGhv"},
        {"text": "signed", "thoughtSignature": "dGV4"},
        {"text": " on"},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "cGlj"},
        {"text": "", "thoughtSignature": "bG9u"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "Y2Fs"},
        {"text": "", "thoughtSignature": "ZW5k"},
    ]


def test_the_first_call_of_another_model_may_be_given_back_to_gemini() -> None:
    calls = [*block(0, ToolCallBlock("a", "f"), ArgumentsDelta(0, "{}")), *block(1, ToolCallBlock("b", "g"))]
    own = block(2, ReasoningBlock(), sig(2, "eA=="))

    assert [part.get("thoughtSignature") for part in parts(encode(START, *calls, END))][:2] == [NO_SIGNATURE, None]
    assert [
        part.get("thoughtSignature") for part in parts(encode(START, *own, *block(3, ToolCallBlock("a", "f")), END))
    ][:2] == ["eA==", None]


def test_proofs_of_other_families_are_bytes_to_the_sdk() -> None:
    stream = encode(
        START,
        *block(0, ReasoningBlock(), ReasoningDelta(0, "hm"), sig(0, "§ig", Origin.ANTHROPIC)),
        *block(1, RedactedReasoningBlock("opaque", Origin.ANTHROPIC)),
        *block(2, ToolCallBlock("c", "f"), sig(2, "x", Origin.OPENROUTER)),
        *block(3, ReasoningBlock(), sig(3, "no base64!")),
        END,
    )

    kinds = [kind for kind, _ in gemini_sdk.signatures_of(gemini_sdk.read_stream(stream))]
    assert kinds == ["thought", "thought", "call", "text"]
    assert b"opaque" not in stream
    assert all(
        base64.b64decode(part["thoughtSignature"]).startswith(b"llm-stream-proxy.")
        for part in parts(stream)
        if "thoughtSignature" in part
    )


# --- usage, citations, endings


@pytest.mark.parametrize(
    ("usage", "metadata"),
    [
        (
            Usage(10, 8, 4, 2, 5, "default"),
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 3,
                "totalTokenCount": 18,
                "cachedContentTokenCount": 4,
                "thoughtsTokenCount": 5,
                "serviceTier": "standard",
            },
        ),
        (Usage(10), {"promptTokenCount": 10, "totalTokenCount": 10}),
        (Usage(None, 3), {"candidatesTokenCount": 3, "totalTokenCount": 3}),
        (Usage(), {}),
        (Usage(1, 2, reasoning=5), {"promptTokenCount": 1, "candidatesTokenCount": 0, "totalTokenCount": 3}),
    ],
    ids=range(5),
)
def test_usage_is_on_the_last_response(usage: Usage, metadata: dict[str, Any]) -> None:
    found = frames(encode(START, Usage(1, 1), *text(0, "a"), usage, END))

    assert [frame.get("usageMetadata") for frame in found][:-1] == [None]
    assert found[-1]["usageMetadata"].items() >= metadata.items()
    assert found[-1]["usageMetadata"].keys() <= metadata.keys() | {"thoughtsTokenCount"}


def test_usage_that_was_not_reported_is_not_invented() -> None:
    assert "usageMetadata" not in frames(encode(START, *text(0, "a"), END))[-1]


def test_citations_of_other_families_become_grounding() -> None:
    cited = CitationAdded(1, "https://a.test", "A", "quoted", 3, 6, origin=Origin.ANTHROPIC)
    stream = encode(
        START,
        *text(0, "é", "ü"),
        *block(1, TextBlock(), TextDelta(1, "abcdefg"), cited, CitationAdded(1, None, "Doc", "from it")),
        END,
    )

    metadata = gemini_sdk.read_stream(stream)[-1].candidates[0].grounding_metadata  # type: ignore[index]
    assert metadata is not None
    assert metadata.grounding_chunks[0].web.uri == "https://a.test"  # type: ignore[index, union-attr]
    assert frames(stream)[-1]["candidates"][0]["groundingMetadata"] == {
        "groundingChunks": [
            {"web": {"uri": "https://a.test", "title": "A"}},
            {"retrievedContext": {"title": "Doc", "text": "from it"}},
        ],
        "groundingSupports": [
            {"segment": {"startIndex": 7, "endIndex": 10, "text": "def"}, "groundingChunkIndices": [0]}
        ],
    }


def test_own_grounding_goes_out_as_it_came() -> None:
    own = '{"groundingMetadata": {"webSearchQueries": ["q"],\n "groundingChunks": [{"web": {"uri": "u"}}]}}'
    stream = encode(
        START,
        *block(
            0,
            TextBlock(),
            TextDelta(0, "a"),
            CitationAdded(0, "u", raw=own, origin=Origin.GEMINI),
            CitationAdded(0, "v", origin=Origin.GEMINI),
        ),
        END,
    )

    candidates = [frame["candidates"][0] for frame in frames(stream)]
    assert [candidate.get("groundingMetadata") for candidate in candidates] == [
        None,
        json.loads(own)["groundingMetadata"],
        None,
    ]
    assert all("content" in candidate for candidate in candidates)


@pytest.mark.parametrize("reason", FinishReason)
def test_every_reason_has_a_word_that_the_sdk_knows(reason: FinishReason) -> None:
    stream = encode(START, *text(0, "a"), MessageEnd(reason, "vendor-word"))

    assert frames(stream)[-1]["candidates"][0]["finishReason"] == FINISH_REASON[reason]
    assert gemini_sdk.read(stream).finish is not None


@pytest.mark.parametrize(
    ("end", "word"),
    [
        (MessageEnd(FinishReason.CONTENT_FILTER, "RECITATION"), "RECITATION"),
        (MessageEnd(FinishReason.TOOL_CALLS, "STOP"), "STOP"),
        (MessageEnd(FinishReason.CONTENT_FILTER, "JAILBREAK"), "SAFETY"),
        (MessageEnd(FinishReason.LENGTH, "CONTINUATION"), "MAX_TOKENS"),
        (MessageEnd(FinishReason.OTHER, "BRAND_NEW"), "OTHER"),
    ],
)
def test_own_words_are_kept(end: MessageEnd, word: str) -> None:
    assert frames(encode(START, end))[-1]["candidates"][0]["finishReason"] == word


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_has_a_status_and_makes_the_sdk_raise(kind: ErrorKind) -> None:
    error = frames(encode(StreamError(kind, "m", "vendor_code")))[0]["error"]

    assert (error["code"], error["status"]) == (HTTP_STATUS[kind], STATUS[kind])
    assert error["details"][0]["reason"] == "vendor_code"
    assert gemini_sdk.read(encode(START, StreamError(kind, "m"))).error in ("ClientError", "ServerError")


# --- random streams


@settings(max_examples=40, deadline=None)
@given(event_lists())
def test_any_grammatical_stream_is_read_and_loses_no_text(events: list[Event]) -> None:
    stream = encode(*events)

    completion = fold(events)
    reading = gemini_sdk.read(stream)
    if completion.error is not None:
        assert reading.error is not None or not isinstance(events[-1], StreamError)
        return
    blocks = completion.blocks
    assert reading.error is None
    assert reading.text == "".join(b.text for b in blocks if isinstance(b.block, TextBlock | RefusalBlock))
    assert sorted(reading.reasoning) == sorted("".join(b.text for b in blocks if isinstance(b.block, ReasoningBlock)))


@settings(max_examples=40, deadline=None)
@given(event_lists(), st.integers(1, 5))
def test_how_events_are_grouped_makes_no_difference(events: list[Event], size: int) -> None:
    encoder = DIALECT.encoder(CONTEXT)

    grouped = b"".join(encoder.encode(events[start : start + size]) for start in range(0, len(events), size))

    assert grouped == encode(*events)
    assert isinstance(json.loads(encode(*events, context=ARRAY_CONTEXT)), list)
