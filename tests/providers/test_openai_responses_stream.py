import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.errors import ErrorKind, ProxyError
from proxy.hub.events import (
    BlockStart,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    StreamError,
    TextBlock,
    TextDelta,
    Usage,
)
from proxy.hub.grammar import check
from proxy.providers.base import Target
from proxy.providers.openai_responses.stream import ResponsesDecoder
from tests.support.answers import one_byte, random_pieces, sse_events
from tests.support.corpus import ABSENT
from tests.support.openai_responses_api import (
    TARGET,
    Case,
    decode,
    fixture,
    fixture_streams,
    frames,
    read_by_hub,
    read_by_sdk,
    recorded_streams,
    sse,
)

RECORDED = recorded_streams() or [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=ABSENT))]
FIXTURES = fixture_streams()
ODD = fixture_streams("odd-*.sse")

every_stream = pytest.mark.parametrize("case", [*RECORDED, *FIXTURES, *ODD], ids=str)
every_sound_stream = pytest.mark.parametrize("case", [*RECORDED, *FIXTURES], ids=str)


def _is_whole(case: Case | None) -> bool:
    return isinstance(case, Case) and not read_by_hub(decode(case.body)).ending.startswith("failed")


def event(type: str, **fields: object) -> dict[str, object]:
    return {"type": type, **fields}


CREATED = event("response.created", response={"id": "resp_1", "model": "m1", "status": "in_progress", "output": []})


def completed(*output: dict[str, object], **fields: object) -> dict[str, object]:
    response = {"id": "resp_1", "model": "m1", "status": "completed", "output": list(output), **fields}
    return event("response.completed", response=response)


def message(text: str, id: str = "msg_1") -> dict[str, object]:
    return {"type": "message", "id": id, "content": [{"type": "output_text", "text": text, "annotations": []}]}


def texts(events: list[Event]) -> list[str]:
    return read_by_hub(events).text


# --- every stream


@every_stream
def test_events_are_grammatical(case: Case) -> None:
    assert check(decode(case.body)) == []


@every_stream
def test_any_split_gives_the_same_events(case: Case) -> None:
    expected = decode(case.body)

    for seed in range(3):
        assert decode(case.body, random_pieces(seed)) == expected
    if len(case.body) < 20_000:
        assert decode(case.body, one_byte) == expected


@every_sound_stream
def test_the_answer_is_what_the_sdk_reads(case: Case) -> None:
    assert read_by_hub(decode(case.body)) == read_by_sdk(case.body)


@every_sound_stream
def test_a_stream_cut_after_any_event_is_an_error(case: Case) -> None:
    whole = decode(case.body)
    parts = sse_events(case.body)
    terminal = next(
        (
            index
            for index, part in enumerate(parts)
            if any(word in part for word in (b'"response.completed"', b'"response.incomplete"', b'"error"', b".failed"))
            and frames(part)
            and frames(part)[0]["type"] in ("response.completed", "response.incomplete", "response.failed", "error")
        ),
        len(parts),
    )

    for count in range(terminal):
        events = decode(b"".join(parts[:count]))
        assert check(events) == []
        assert events[-1] == StreamError(ErrorKind.CUT, events[-1].message)  # type: ignore[union-attr]
        assert events[:-1] == whole[: len(events) - 1]


@every_sound_stream
def test_a_stream_cut_inside_its_last_event_is_an_error(case: Case) -> None:
    body = case.body.removesuffix(b"\n").removesuffix(b"data: [DONE]\n").rstrip()

    events = decode(body[:-10])

    assert type(events[-1]) is StreamError


@every_sound_stream
def test_bytes_after_the_end_are_ignored(case: Case) -> None:
    decoder = ResponsesDecoder(TARGET)
    events = decoder.feed(case.body)

    assert decoder.feed(case.body) == []
    assert decoder.feed(b"garbage\n\n") == []
    assert check(events) == []


# --- what servers leave out


@every_sound_stream
def test_done_events_alone_lose_nothing(case: Case) -> None:
    kept = [
        frame
        for frame in frames(case.body)
        if not frame["type"].endswith((".delta", ".part.added", "annotation.added"))
    ]

    assert read_by_hub(decode(sse(*kept))) == _without_open_text(case)


@every_sound_stream
def test_items_that_come_only_when_done_lose_nothing(case: Case) -> None:
    kept = [
        frame
        for frame in frames(case.body)
        if frame["type"] == "response.output_item.done" or "response" in frame or frame["type"] == "error"
    ]

    assert read_by_hub(decode(sse(*kept))) == _without_open_text(case)


def _without_open_text(case: Case) -> object:
    """The answer without the text of items that failed before they were done: only deltas held it."""
    reading = read_by_hub(decode(case.body))
    if reading.ending.startswith("failed"):
        reading.text = []
    return reading


@pytest.mark.parametrize("case", [case for case in [*RECORDED, *FIXTURES] if _is_whole(case)], ids=str)
def test_a_terminal_event_alone_loses_nothing_but_proofs_that_changed(case: Case) -> None:
    original = read_by_hub(decode(case.body))

    reading = read_by_hub(decode(sse(frames(case.body)[-1])))

    assert reading.text == original.text
    assert reading.calls == original.calls
    assert [item["type"] for item in reading.hosted] == [item["type"] for item in original.hosted]
    assert [text for text, _ in reading.reasoning] == [text for text, _ in original.reasoning]
    assert reading.usage == original.usage
    assert reading.ending == original.ending


@every_sound_stream
def test_deltas_without_any_repetition_lose_no_text(case: Case) -> None:
    kept = []
    for frame in frames(case.body):
        if frame["type"].endswith((".done", ".completed")) and "response" not in frame:
            continue
        if "response" in frame:
            frame["response"]["output"] = []
        kept.append(frame)
    original = read_by_hub(decode(case.body))

    events = decode(sse(*kept))

    assert check(events) == []
    assert read_by_hub(events).text == original.text
    assert read_by_hub(events).calls == original.calls
    assert read_by_hub(events).ending == original.ending


def test_a_repetition_that_differs_is_not_said_after_the_fact() -> None:
    events = decode(
        sse(
            CREATED,
            event("response.output_text.delta", output_index=0, content_index=0, delta="abc"),
            event("response.output_text.done", output_index=0, content_index=0, text="xyz and more"),
            completed(message("xyz and more")),
        )
    )

    assert texts(events) == ["abc"]


def test_a_repetition_that_goes_on_gives_its_rest() -> None:
    events = decode(
        sse(
            CREATED,
            event("response.output_text.delta", output_index=0, content_index=0, delta="ab"),
            event("response.output_text.delta", output_index=0, content_index=0, delta="c"),
            event("response.output_text.done", output_index=0, content_index=0, text="abcde"),
            completed(message("abcdef")),
        )
    )

    assert texts(events) == ["abcdef"]


def test_a_stream_without_created_is_read() -> None:
    events = decode(fixture("odd-no-created"))

    assert events[0] == MessageStart("resp_ex1", "example-resp-1")
    assert texts(events) == ["x"]
    assert type(events[-1]) is MessageEnd


def test_a_stream_that_begins_with_an_item_is_read() -> None:
    events = decode(sse(event("response.output_item.done", output_index=0, item=message("hi")), completed()))

    assert events[0] == MessageStart("", "")
    assert texts(events) == ["hi"]


@pytest.mark.parametrize("name", ["odd-delta-first", "odd-no-part"])
def test_text_that_was_not_announced_is_read(name: str) -> None:
    assert texts(decode(fixture(name))) == ["x"]


def test_an_index_that_is_used_again_is_a_new_item() -> None:
    events = decode(
        sse(
            CREATED,
            event("response.output_item.done", output_index=0, item=message("one", "msg_1")),
            event("response.output_item.added", output_index=0, item={"type": "message", "id": "msg_2", "content": []}),
            event("response.output_text.delta", output_index=0, content_index=0, delta="two"),
            event("response.output_item.done", output_index=0, item=message("two", "msg_2")),
            completed(message("one", "msg_1"), message("two", "msg_2")),
        )
    )

    assert texts(events) == ["one", "two"]


def test_an_announcement_that_comes_twice_is_one_item() -> None:
    added = event("response.output_item.added", output_index=0, item={"type": "message", "id": "msg_1", "content": []})

    events = decode(
        sse(
            CREATED,
            added,
            event("response.output_text.delta", output_index=0, content_index=0, delta="a"),
            added,
            event("response.output_text.delta", output_index=0, content_index=0, delta="b"),
            completed(message("ab")),
        )
    )

    assert texts(events) == ["ab"]


def test_the_event_name_stands_in_for_a_missing_type() -> None:
    body = b'event: response.output_text.delta\ndata: {"output_index":0,"content_index":0,"delta":"hi"}\n\n' + sse(
        completed()
    )

    assert texts(decode(body)) == ["hi"]


def test_null_indexes_mean_the_first() -> None:
    events = decode(sse(CREATED, event("response.output_text.delta", output_index=None, delta="hi"), completed()))

    assert texts(events) == ["hi"]


def test_the_last_event_may_lack_its_blank_line() -> None:
    body = fixture("text").rstrip(b"\n")

    assert decode(body) == decode(fixture("text"))


def test_done_alone_is_no_end() -> None:
    events = decode(sse(CREATED) + b"data: [DONE]\n\n")

    assert events[-1] == StreamError(ErrorKind.CUT, "The provider's stream ended before it was complete.")


# --- unknown and malformed


@every_sound_stream
def test_unknown_events_change_nothing(case: Case) -> None:
    strange = [
        event("response.telepathy.delta", delta={"thought": 1}, output_index="no number"),
        event("response.output_text.shimmer", item_id=7),
        event("keepalive"),
    ]
    parts = sse_events(case.body)

    body = b"".join(part + sse(*strange) for part in parts if part.endswith(b"\n\n"))

    assert decode(body) == decode(case.body)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"type":"response.output_text.delta","delta":',
        b'{"type":"response.output_text.delta","delta":7}',
        b'{"type":"response.output_item.added","output_index":0,"item":[]}',
        b'{"type":"response.output_item.added","output_index":"0","item":{"type":"message"}}',
        b'{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":{}}}',
        b'{"type":"response.completed","response":"done"}',
        b'{"type":"response.completed","response":{"usage":{"input_tokens":"many"}}}',
        b'{"type":7}',
        b"[]",
        b"7",
        b'"error"',
        b'{"type":"response.output_item.added","item":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_the_api_does_not_allow_is_a_protocol_fault(data: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        decode(sse(CREATED) + b"data: " + data + b"\n\n")

    assert caught.value.kind is ErrorKind.PROTOCOL


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'"cut \ud83d emoji"', "cut � emoji"),
        (b'"half a character \xe6\x9d"', "half a character �"),
        (rb'"\ud83d\ude00"', "😀"),
        ('"\u2028 is no line end"'.encode(), "\u2028 is no line end"),
    ],
)
def test_text_that_was_cut_in_the_wrong_place_is_mended(sent: bytes, read: str) -> None:
    delta = b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":' + sent + b"}\n\n"

    assert texts(decode(sse(CREATED) + delta + sse(completed()))) == [read]


@given(st.data())
def test_mutated_streams_raise_nothing_but_proxy_errors(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([case.body for case in [*FIXTURES, *ODD]])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 1, 2, 20, 300]))
        body[start:end] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"{", b"}", b"null", b"\n\n", b"1", b"[]"])
        )

    try:
        events = decode(bytes(body), random_pieces(1, 700))
    except ProxyError:
        return

    assert check(events) == []


# --- endings


def ending(*tail: dict[str, object]) -> Event:
    return decode(sse(CREATED, *tail))[-1]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("steered", FinishReason.OTHER),
    ],
)
def test_an_incomplete_answer_says_why(reason: str, finish: FinishReason) -> None:
    response = {"status": "incomplete", "incomplete_details": {"reason": reason}}

    assert ending(event("response.incomplete", response=response)) == MessageEnd(finish, reason)
    assert ending(event("response.completed", response=response)) == MessageEnd(finish, reason)


def test_incomplete_without_a_reason_invents_none() -> None:
    assert ending(event("response.incomplete", response={})) == MessageEnd(FinishReason.OTHER, "incomplete")


def test_a_snapshot_still_in_progress_does_not_deny_the_event() -> None:
    response = {"status": "in_progress"}

    assert ending(event("response.completed", response=response)) == MessageEnd(FinishReason.STOP, "completed")


def test_length_stays_length_beside_a_call() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a'}
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [call]}

    assert ending(event("response.incomplete", response=response)) == MessageEnd(
        FinishReason.LENGTH, "max_output_tokens"
    )


def test_a_refusal_is_the_finish_reason() -> None:
    assert decode(fixture("refusal"))[-1] == MessageEnd(FinishReason.REFUSAL, "completed")


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        (
            event("error", code="rate_limit_exceeded", message="slow", param=None),
            StreamError(ErrorKind.RATE_LIMIT, "slow", "rate_limit_exceeded"),
        ),
        (
            event("error", error={"type": "insufficient_quota", "code": "insufficient_quota", "message": "pay"}),
            StreamError(ErrorKind.BILLING, "pay", "insufficient_quota"),
        ),
        (
            event("error", code=None, message="flat", error=None),
            StreamError(ErrorKind.UPSTREAM_FAILED, "flat", None),
        ),
        (
            event("error", error={"type": "invalid_request_error", "code": None, "message": "bad"}),
            StreamError(ErrorKind.INVALID_REQUEST, "bad", None),
        ),
        (
            event("response.failed", response={"error": {"code": "context_length_exceeded", "message": "long"}}),
            StreamError(ErrorKind.CONTEXT_TOO_LONG, "long", "context_length_exceeded"),
        ),
        (
            event("response.failed", response={"error": None}),
            StreamError(ErrorKind.UPSTREAM_FAILED, "The provider reported that the response failed.", None),
        ),
        (
            event(
                "response.completed", response={"status": "failed", "error": {"code": "server_error", "message": "x"}}
            ),
            StreamError(ErrorKind.UPSTREAM_FAILED, "x", "server_error"),
        ),
    ],
)
def test_an_error_is_an_ending(tail: dict[str, object], error: StreamError) -> None:
    assert ending(tail) == error


def test_an_error_without_a_type_is_an_ending() -> None:
    body = sse(CREATED) + b'data: {"error":{"message":"down","code":503}}\n\n'

    assert decode(body)[-1] == StreamError(ErrorKind.OVERLOADED, "down", "503")


def test_an_error_may_come_first() -> None:
    assert decode(sse(event("error", message="no"))) == [StreamError(ErrorKind.UPSTREAM_FAILED, "no", None)]


def test_usage_of_a_failed_response_is_kept() -> None:
    failed = event("response.failed", response={"usage": {"input_tokens": 3, "output_tokens": 1}, "error": None})

    assert Usage(input=3, output=1) in decode(sse(CREATED, failed))


def test_counts_that_were_not_reported_stay_unknown() -> None:
    events = decode(sse(CREATED, completed(usage={"input_tokens": 3}, service_tier="flex")))

    assert events[-2] == Usage(input=3, service_tier="flex")


def test_no_usage_is_no_event() -> None:
    assert not [found for found in decode(sse(CREATED, completed(usage=None))) if isinstance(found, Usage)]


# --- recorded peculiarities


@pytest.mark.parametrize("case", [case for case in RECORDED if "id-rotation" in str(case)], ids=str)
def test_ids_that_change_with_every_event_are_one_answer(case: Case) -> None:
    events = decode(case.body)

    assert len([found for found in events if isinstance(found, BlockStart)]) == 2
    assert events[0] == MessageStart("capture-id-1", "gpt-5.3-codex")


@pytest.mark.parametrize("case", [case for case in RECORDED if "raw-cot" in str(case)], ids=str)
def test_reasoning_that_ends_after_the_message_interleaves(case: Case) -> None:
    reading = read_by_hub(decode(case.body))

    assert reading.text == ["4"]
    assert len(reading.reasoning) == 1


def test_a_frame_over_the_cap_is_a_protocol_fault() -> None:
    decoder = ResponsesDecoder(Target("p", "m", max_frame_bytes=100))

    with pytest.raises(ProxyError):
        decoder.feed(b"data: " + b"x" * 200)


def test_the_first_delta_leaves_with_the_read_that_brought_it() -> None:
    decoder = ResponsesDecoder(TARGET)
    decoder.feed(sse(CREATED))

    events = decoder.feed(sse(event("response.output_text.delta", output_index=0, content_index=0, delta="now")))

    assert events == [BlockStart(0, TextBlock()), TextDelta(0, "now")]


@pytest.mark.parametrize("name", ["odd-no-output-index", "odd-index-per-delta"])
def test_streams_of_local_servers_say_everything_once(name: str) -> None:
    """llama.cpp numbers no items and repeats them all at the end; vLLM counts `content_index` with every delta."""
    found = read_by_hub(decode(fixture(name)))

    assert (found.reasoning, found.text) == ([("The user greets. Answer.", None)], ["Hello there!"])
