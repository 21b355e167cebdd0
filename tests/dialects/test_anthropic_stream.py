"""The stream that Anthropic's callers get: read back by the real SDK it says what the provider's bytes said."""

import json
from typing import Any

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.anthropic.content import STOP_REASON, UNPROVED
from proxy.dialects.anthropic.errors import ERROR_TYPE
from proxy.dialects.anthropic.stream import PING, AnthropicEncoder
from proxy.dialects.base import StreamContext
from proxy.framing.sse import SseFramer
from proxy.hub.carried import MARK, Carried, unpack
from proxy.hub.codec import EndsOnce
from proxy.hub.errors import ErrorKind
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
from proxy.providers.anthropic.stream import AnthropicDecoder
from proxy.providers.base import Target
from tests.support.anthropic_api import (
    Case,
    call,
    client,
    decode,
    fixture,
    good_streams,
    read_by_sdk,
    read_raw_by_sdk,
)
from tests.support.strategies import event_lists

CONTEXT = StreamContext("a" * 24, "some-model", 0)
START = MessageStart("", "")
END = MessageEnd(FinishReason.STOP)
STREAMS = good_streams()


def encode(events: list[Event]) -> bytes:
    """The stream of events that arrive together."""
    return AnthropicEncoder(CONTEXT).encode(events)


def encode_each(events: list[Event]) -> bytes:
    """The stream of events that arrive one by one."""
    encoder = AnthropicEncoder(CONTEXT)
    return b"".join(encoder.encode([event]) for event in events)


def frames(body: bytes) -> list[tuple[str, Any]]:
    """Every event of a stream by an independent look at its lines."""
    found: list[tuple[str, Any]] = []
    for part in body.decode().split("\n\n")[:-1]:
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def blocks(body: bytes) -> list[Any]:
    """The content of the message as the SDK puts it together."""
    with call(client(body).beta.messages, "stream") as stream:
        return [block.to_dict(warnings=False) for block in stream.get_final_message().content]


def check_frames(body: bytes) -> None:
    """What the SDKs rely on: names twice, one start, dense indexes, blocks one after the other, one ending."""
    seen = frames(body)
    next_index, is_open = 0, False
    for name, data in seen:
        assert data["type"] == name
        match name:
            case "content_block_start":
                assert not is_open and data["index"] == next_index
                is_open = True
            case "content_block_delta":
                assert is_open and data["index"] == next_index
            case "content_block_stop":
                assert is_open and data["index"] == next_index
                next_index, is_open = next_index + 1, False
            case _:
                pass
    names = [name for name, _ in seen]
    if names[-1] == "message_stop":
        assert names[0] == "message_start" and names[-2] == "message_delta" and not is_open
    else:
        assert names[-1] == "error"
    for once in ("message_start", "message_delta", "message_stop", "error"):
        assert names.count(once) <= 1


# --- there and back


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_the_sdk_reads_the_same_from_a_stream_that_went_through_the_hub(case: Case) -> None:
    events = decode(case.body)

    expected = read_by_sdk(case.body)
    for body in (encode(events), encode_each(events)):
        assert read_by_sdk(body) == expected
        check_frames(body)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_the_deltas_are_the_providers_own(case: Case) -> None:
    """But for arguments, which some servers put into the start of their block."""

    def deltas(body: bytes) -> list[Any]:
        found = [event["delta"] for event in read_raw_by_sdk(body) if event["type"] == "content_block_delta"]
        return [delta for delta in found if delta["type"] != "input_json_delta" and delta.get("text") != ""]

    assert deltas(encode_each(decode(case.body))) == deltas(case.body)


@pytest.mark.parametrize("case", STREAMS[:6], ids=str)
def test_every_split_of_the_upstream_bytes_reads_the_same(case: Case) -> None:
    decoder, encoder = AnthropicDecoder(Target("a", "m")), AnthropicEncoder(CONTEXT)

    body = b"".join(encoder.encode(decoder.feed(case.body[at : at + 1])) for at in range(len(case.body)))

    assert read_by_sdk(body) == read_by_sdk(case.body)


@settings(max_examples=60, deadline=None)
@given(event_lists(), st.integers(1, 6))
def test_every_grammatical_stream_is_one_that_the_sdk_reads(events: list[Event], chunk: int) -> None:
    events = with_good_arguments(events)
    encoder = AnthropicEncoder(CONTEXT)
    body = b"".join(encoder.encode(events[at : at + chunk]) for at in range(0, len(events), chunk))

    check_frames(body)
    assert SseFramer().feed(body)[-1][0] in (b"message_stop", b"error")
    if isinstance(events[-1], StreamError):
        with pytest.raises(anthropic.APIStatusError):
            read_by_sdk(body)
        return
    texts = [block["text"] for block in blocks(body) if block["type"] == "text"]
    assert texts == _texts_of(events)


def with_good_arguments(events: list[Event]) -> list[Event]:
    """The SDK's helper raises on arguments that are no beginning of JSON, and so it should."""
    begun: set[int] = set()
    out: list[Event] = []
    for event in events:
        if isinstance(event, ArgumentsDelta):
            event = ArgumentsDelta(event.index, " " if event.index in begun else '{"a":[')
            begun.add(event.index)
        out.append(event)
    return out


def _texts_of(events: list[Event]) -> list[str]:
    texts = {event.index: "" for event in events if isinstance(event, BlockStart) and _is_text(event)}
    for event in events:
        if isinstance(event, TextDelta | RefusalDelta):
            texts[event.index] += event.text
    return list(texts.values())


def _is_text(event: BlockStart) -> bool:
    return isinstance(event.block, TextBlock | RefusalBlock)


# --- the message


def test_id_and_model_are_the_providers_where_they_fit() -> None:
    _, foreign = frames(encode([MessageStart("chatcmpl-1", "gpt"), END]))[0]
    _, own = frames(encode([MessageStart("msg_1", ""), END]))[0]

    assert (foreign["message"]["id"], foreign["message"]["model"]) == ("msg_" + "a" * 24, "gpt")
    assert (own["message"]["id"], own["message"]["model"]) == ("msg_1", "some-model")


@pytest.mark.parametrize(
    ("usage", "at_end", "total"),
    [
        (None, {"output_tokens": 0}, (0, 0)),
        (Usage(), {"output_tokens": 0}, (0, 0)),
        (Usage(input=9, output=4), {"input_tokens": 9, "output_tokens": 4}, (9, 4)),
        (
            Usage(input=100, output=50, cached_input=60, cache_write=30, reasoning=20, service_tier="default"),
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 60,
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 20},
            },
            (100, 50),
        ),
        (Usage(input=5, cached_input=9), {"input_tokens": 0, "cache_read_input_tokens": 9, "output_tokens": 0}, (9, 0)),
    ],
)
def test_usage_is_told_at_the_end(usage: Usage | None, at_end: dict[str, Any], total: tuple[int, int]) -> None:
    body = encode([START, BlockStart(0, TextBlock()), BlockEnd(0), *([usage] if usage else []), END])

    assert frames(body)[0][1]["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert frames(body)[-2][1]["usage"] == at_end
    seen = read_by_sdk(body).usage
    assert (seen["input"], seen["output"]) == total


def test_usage_that_is_known_at_the_start_is_told_there() -> None:
    body = encode([START, Usage(input=9, output=1, service_tier="priority"), Usage(input=9, output=4), END])

    assert frames(body)[0][1]["message"]["usage"] == {
        "input_tokens": 9,
        "output_tokens": 1,
        "service_tier": "priority",
    }
    assert frames(body)[-2][1]["usage"] == {"input_tokens": 9, "output_tokens": 4}


@pytest.mark.parametrize("reason", FinishReason)
def test_every_finish_reason_has_its_word(reason: FinishReason) -> None:
    assert set(STOP_REASON) == set(FinishReason)

    body = encode([START, MessageEnd(reason, "raw", "###" if reason is FinishReason.STOP_SEQUENCE else None)])

    seen = read_by_sdk(body)
    assert seen.reason == ("raw" if reason is FinishReason.OTHER else STOP_REASON[reason])
    assert seen.stop_sequence == ("###" if reason is FinishReason.STOP_SEQUENCE else None)


def test_no_reason_is_invented() -> None:
    assert read_by_sdk(encode([START, MessageEnd(FinishReason.OTHER)])).reason is None


def test_a_compaction_keeps_its_word() -> None:
    assert read_by_sdk(encode([START, MessageEnd(FinishReason.PAUSE, "compaction")])).reason == "compaction"


def test_a_stop_reason_that_the_caller_has_is_not_written_again() -> None:
    encoder = AnthropicEncoder(CONTEXT)
    assert isinstance(encoder, EndsOnce)
    encoder.encode([START, BlockStart(0, TextBlock()), TextDelta(0, "Hi")])
    encoder.note_finish_reason()

    assert [name for name, _ in frames(encoder.encode([BlockEnd(0), Usage(1, 2), END]))] == [
        "content_block_stop",
        "message_stop",
    ]


# --- errors


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize(
    "before",
    [[], [START], [START, BlockStart(0, TextBlock()), TextDelta(0, "Part")]],
    ids=["first", "after the start", "within a block"],
)
def test_an_error_makes_the_sdk_raise(kind: ErrorKind, before: list[Event]) -> None:
    body = encode([*before, StreamError(kind, "what happened")])

    check_frames(body)
    assert b"message_stop" not in body
    with pytest.raises(anthropic.APIStatusError) as caught:
        read_by_sdk(body)
    assert caught.value.body == {
        "type": "error",
        "error": {"type": ERROR_TYPE[kind], "message": "what happened"},
    }


def test_a_cut_upstream_is_an_error_with_what_came_before_it() -> None:
    body = encode(decode(fixture("text")[:-60]))

    with pytest.raises(anthropic.APIStatusError):
        read_by_sdk(body)
    assert b"text_delta" in body


@pytest.mark.parametrize("case", STREAMS[:4], ids=str)
def test_heartbeats_may_stand_anywhere(case: Case) -> None:
    encoder = AnthropicEncoder(CONTEXT)
    assert encoder.heartbeat() == PING

    body = PING + b"".join(encoder.encode([event]) + PING for event in decode(case.body))

    assert read_by_sdk(body) == read_by_sdk(case.body)


# --- blocks


def test_parallel_calls_that_interleave_are_written_one_after_the_other() -> None:
    body = encode_each(
        [
            START,
            BlockStart(0, ToolCallBlock("a", "f")),
            BlockStart(1, ToolCallBlock("b", "g")),
            ArgumentsDelta(1, '{"y":'),
            ArgumentsDelta(0, '{"x":1}'),
            ArgumentsDelta(1, "2}"),
            BlockEnd(1),
            BlockEnd(0),
            MessageEnd(FinishReason.TOOL_CALLS),
        ]
    )

    check_frames(body)
    assert [(block["name"], block["input"]) for block in blocks(body)] == [("f", {"x": 1}), ("g", {"y": 2})]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    body = encode([START, BlockStart(0, ToolCallBlock("a", "f")), BlockEnd(0), END])

    assert blocks(body)[0]["input"] == {}


def test_a_call_id_gets_good_characters() -> None:
    body = encode([START, BlockStart(0, ToolCallBlock("functions.f:0", "f")), BlockEnd(0), END])

    assert blocks(body)[0]["id"] == "functions_x2e_f_x3a_0"


def test_free_text_arguments_are_the_one_string_of_an_object() -> None:
    body = encode_each(
        [
            START,
            BlockStart(0, ToolCallBlock("a", "patch", ToolKind.CUSTOM)),
            ArgumentsDelta(0, '*** "Begin'),
            ArgumentsDelta(0, "\nPatch 😀"),
            BlockEnd(0),
            END,
        ]
    )

    assert blocks(body)[0]["input"] == {"input": '*** "Begin\nPatch 😀'}


def test_a_refusal_is_text() -> None:
    refusal: list[Event] = [BlockStart(0, RefusalBlock()), RefusalDelta(0, "I can't."), BlockEnd(0)]
    body = encode([START, *refusal, MessageEnd(FinishReason.REFUSAL)])

    seen = read_by_sdk(body)
    assert (seen.blocks, seen.reason) == ([("text", "I can't.", [])], "refusal")


def test_what_these_callers_cannot_be_told_is_left_out_without_a_gap() -> None:
    body = encode(
        [
            START,
            BlockStart(0, ToolCallBlock("s", "web_search", ToolKind.SERVER)),
            ArgumentsDelta(0, "{}"),
            BlockEnd(0),
            BlockStart(1, ToolResultBlock("s", "[]", Origin.OPENAI, "web_search_call")),
            BlockEnd(1),
            BlockStart(2, MediaBlock("image/png", "aGk=")),
            BlockEnd(2),
            BlockStart(3, TextBlock()),
            TextDelta(3, "Hi"),
            BlockEnd(3),
            END,
        ]
    )

    check_frames(body)
    assert blocks(body) == [{"type": "text", "text": "Hi"}]


def test_a_citation_of_another_family_is_a_web_search_result() -> None:
    cited = CitationAdded(0, url="https://x", title="X", cited_text="c", raw="{}", origin=Origin.OPENAI)
    body = encode([START, BlockStart(0, TextBlock()), TextDelta(0, "Hi"), cited, BlockEnd(0), END])

    assert blocks(body)[0]["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://x",
            "title": "X",
            "cited_text": "c",
            "encrypted_index": UNPROVED,
        }
    ]


# --- proofs


def reasoning(*proofs: SignatureAdded) -> list[Event]:
    return [START, BlockStart(0, ReasoningBlock()), ReasoningDelta(0, "hm"), *proofs, BlockEnd(0), END]


def test_anthropics_signature_is_written_just_before_the_stop() -> None:
    first, second = SignatureAdded(0, "one", Origin.ANTHROPIC), SignatureAdded(0, "two", Origin.ANTHROPIC)
    body = encode([START, BlockStart(0, ReasoningBlock()), first, ReasoningDelta(0, "hm"), second, BlockEnd(0), END])

    deltas = [data.get("delta", {}).get("type") for _, data in frames(body)[1:-2]]
    assert deltas == [None, "thinking_delta", "signature_delta", None]
    assert blocks(body) == [{"type": "thinking", "thinking": "hm", "signature": "two"}]


def test_a_proof_of_another_family_is_packed() -> None:
    signature = blocks(encode(reasoning(SignatureAdded(0, "sig", Origin.GEMINI))))[0]["signature"]

    assert unpack(signature) == Carried(Origin.GEMINI, "sig")


def test_reasoning_without_a_proof_can_be_told_from_anthropics() -> None:
    signature = blocks(encode(reasoning()))[0]["signature"]

    assert signature == MARK
    assert unpack(signature) is None


def test_closed_reasoning_keeps_its_data_or_is_packed() -> None:
    own, foreign = RedactedReasoningBlock("EmwK", Origin.ANTHROPIC), RedactedReasoningBlock("gAAA", Origin.OPENAI)
    body = encode([START, BlockStart(0, own), BlockEnd(0), BlockStart(1, foreign), BlockEnd(1), END])

    first, second = blocks(body)
    assert first == {"type": "redacted_thinking", "data": "EmwK"}
    assert unpack(second["data"]) == Carried(Origin.OPENAI, "gAAA", is_redacted=True)


CALL: list[Event] = [
    BlockStart(0, ToolCallBlock("a", "f")),
    ArgumentsDelta(0, "{}"),
    SignatureAdded(0, "sig", Origin.GEMINI),
    BlockEnd(0),
]


@pytest.mark.parametrize(
    ("write", "order"), [(encode, ["redacted_thinking", "tool_use"]), (encode_each, ["tool_use", "redacted_thinking"])]
)
def test_a_proof_of_a_call_goes_in_a_block_of_its_own(write: Any, order: list[str]) -> None:
    body = write([START, *CALL, MessageEnd(FinishReason.TOOL_CALLS)])

    check_frames(body)
    found = {block["type"]: block for block in blocks(body)}
    assert list(found) == order
    assert unpack(found["redacted_thinking"]["data"]) == Carried(Origin.GEMINI, "sig", call_id="a")
