"""Every case of the table in every way to split it; and that nothing but an UpstreamError ever comes out."""

import asyncio
import weakref
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.answer import AnswerReader, keep_alive_seconds
from tests.upstream.cases import CASES, CHUNKED, ENCODED, FRAMING, LAST, UNEVEN, Case, End, Stage, chunked, of_length
from tests.upstream.offline import Result, exchange_offline

SMALL = [case for case in CASES if len(case.answer) < 4096]
MEANINGFUL = [
    b"",
    b"\r",
    b"\n",
    b"\r\n",
    b"0",
    b":",
    b" ",
    b"\t",
    b"\x00",
    b"\xff",
    b"Content-Length: 3\r\n",
    LAST,
    b"5;",
]


@pytest.fixture(scope="module")
def loop_at_rest() -> Iterator[asyncio.AbstractEventLoop]:
    """Never runs: makes futures and tells the time."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def expected(case: Case) -> Result:
    """What `case` must come to; its headers are compared separately."""
    error = None if case.error is None else (case.error.kind, case.error.code)
    in_head = case.error is not None and case.error.stage is Stage.HEAD
    return Result(
        None if in_head else case.status, {}, case.body, case.error is None, error, case.is_kept and case.error is None
    )


def check(case: Case, result: Result) -> None:
    headers, result.headers = result.headers, {}
    assert result == expected(case)
    assert case.headers.items() <= headers.items()


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def splits(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """`data` cut at random places."""

    def cut(places: list[int]) -> list[bytes]:
        edges = [0, *sorted(places), len(data)]
        return [data[start:end] for start, end in pairwise(edges) if start < end]

    return st.lists(st.integers(0, len(data)), max_size=12).map(cut)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_read_whole(case: Case, loop_at_rest: asyncio.AbstractEventLoop) -> None:
    check(case, exchange_offline(loop_at_rest, case.method, [case.answer], case.end))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_read_byte_by_byte(case: Case, loop_at_rest: asyncio.AbstractEventLoop) -> None:
    check(case, exchange_offline(loop_at_rest, case.method, bytewise(case.answer), case.end))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_whose_receiver_starts_last(case: Case, loop_at_rest: asyncio.AbstractEventLoop) -> None:
    check(case, exchange_offline(loop_at_rest, case.method, [case.answer], case.end, late_start=True))


@pytest.mark.parametrize("case", UNEVEN, ids=str)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_damaged_encoding_gives_a_prefix_and_an_error(
    case: Case, size: int, loop_at_rest: asyncio.AbstractEventLoop
) -> None:
    pieces = [case.answer[start : start + size] for start in range(0, len(case.answer), size)]

    result = exchange_offline(loop_at_rest, case.method, pieces, case.end)

    assert case.error is not None
    assert result.error == (case.error.kind, case.error.code)
    assert case.body.startswith(result.body) or not result.body.strip(b"\0")
    assert not result.has_ended


@given(data=st.data(), case=st.sampled_from(SMALL))
def test_any_split_of_a_case_gives_the_same(data: st.DataObject, case: Case) -> None:
    loop = asyncio.new_event_loop()
    try:
        pieces = data.draw(splits(case.answer))
        check(case, exchange_offline(loop, case.method, pieces, case.end))
    finally:
        loop.close()


@given(
    case=st.sampled_from(SMALL),
    place=st.integers(0, 4096),
    removed=st.integers(0, 6),
    inserted=st.sampled_from(MEANINGFUL) | st.binary(max_size=6),
    end=st.sampled_from(End),
    method=st.sampled_from(["POST", "HEAD"]),
    data=st.data(),
)
def test_any_split_of_a_mutated_case_gives_the_same(
    case: Case, place: int, removed: int, inserted: bytes, end: End, method: str, data: st.DataObject
) -> None:
    place %= len(case.answer) + 1
    answer = case.answer[:place] + inserted + case.answer[place + removed :]
    loop = asyncio.new_event_loop()
    try:
        whole = exchange_offline(loop, method, [answer], end)
        split = exchange_offline(loop, method, data.draw(splits(answer)), end)
        single = exchange_offline(loop, method, bytewise(answer), end)
    finally:
        loop.close()

    assert whole.error is None or not whole.has_ended
    # How much a damaged encoding gives before its error, and whether line ends after a message count as more, depends
    # on the reads.
    for other in (split, single):
        assert (other.status, other.headers, other.has_ended) == (whole.status, whole.headers, whole.has_ended)
        assert other.error == whole.error
        if case not in ENCODED:
            assert other.body == whole.body


@given(st.binary(max_size=300))
def test_any_bytes_after_a_start_end_in_an_upstream_error_or_an_answer(noise: bytes) -> None:
    loop = asyncio.new_event_loop()
    try:
        for start in (b"", b"HTTP/1.1 200 OK\r\n", CHUNKED):
            result = exchange_offline(loop, "POST", [start + noise], End.FIN)
            assert (result.error is None) == result.has_ended
    finally:
        loop.close()


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.booleans())
def test_chunked_and_length_carry_any_body(pieces: list[bytes], with_length: bool) -> None:
    body = b"".join(pieces)
    answer = of_length(body) if with_length else CHUNKED + chunked(*pieces) + LAST
    loop = asyncio.new_event_loop()
    try:
        result = exchange_offline(loop, "POST", [answer], End.STAY)
    finally:
        loop.close()

    assert (result.body, result.has_ended, result.is_kept) == (body, True, True)


def test_body_of_one_read_is_one_piece(loop_at_rest: asyncio.AbstractEventLoop) -> None:
    reader = AnswerReader("POST")

    reader.feed(memoryview(CHUNKED + chunked(b"a", b"b", b"c")))

    assert reader.pieces == [b"a", b"b", b"c"]
    assert not reader.is_done


def test_raw_headers_keep_order_case_and_repetition() -> None:
    reader = AnswerReader("POST")
    reader.feed(memoryview(of_length(b"", b"X-B: 1", b"x-a: 2", b"X-B: 3")))

    assert reader.head is not None
    assert reader.head.raw_headers == b"X-B\n1\nx-a\n2\nX-B\n3\nContent-Length\n0"


def test_a_closed_reader_is_freed_without_the_collector() -> None:
    """Its parser holds bound methods of it; `gc` is off in these tests."""

    class Watched(AnswerReader):
        __slots__ = ("__weakref__",)

    reader = Watched("POST")
    reader.feed(memoryview(FRAMING[0].answer))
    watch = weakref.ref(reader)

    reader.close()
    del reader

    assert watch() is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("timeout=5", 5.0),
        ("timeout=5, max=100", 5.0),
        ("max=100,TIMEOUT=7", 7.0),
        ('timeout="5"', 5.0),
        ("max=0", 0.0),
        ("timeout=-1", None),
        ("timeout", None),
    ],
)
def test_keep_alive_hints(header: str, seconds: float | None) -> None:
    assert keep_alive_seconds(header) == seconds
