"""Both readers of a streamed JSON array, against `json` as the independent reader."""

import json
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.json_array import JsonArrayFramer, JsonArraySplitter
from proxy.hub.errors import UpstreamProtocolError

SERVICE = b'[{"a": [1, {"b": "}]\\"\\\\"}]}\n,\r\n{"c": "\xc3\xa9[{"}\n]\n'
"""The white space as the service writes it."""

_VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='ab"\\[]{},é\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k"\\]}'), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=3), max_size=4)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def elements(data: list[bytes]) -> list[object]:
    framer = JsonArrayFramer()
    return [json.loads(element) for piece in data for element in framer.feed(piece)]


@given(_OBJECTS, st.sampled_from([None, 1]), st.booleans(), st.lists(st.integers(0, 10_000), max_size=6))
def test_any_array_in_any_pieces_gives_its_elements(
    objects: list[dict[str, object]], indent: int | None, ascii_only: bool, cuts: list[int]
) -> None:
    data = json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")

    assert elements(pieces(data, cuts)) == json.loads(data)


@given(_OBJECTS, st.lists(st.integers(0, 10_000), max_size=6))
def test_the_splitter_gives_every_byte_and_stops_only_behind_elements(
    objects: list[dict[str, object]], cuts: list[int]
) -> None:
    data = json.dumps(objects).encode() + b"\n"
    splitter = JsonArraySplitter()
    given_out = b""

    for piece in pieces(data, cuts):
        given_out += splitter.feed(piece)
        if given_out:
            assert json.loads(given_out + b"]") == objects[: len(json.loads(given_out + b"]"))]

    assert given_out + splitter.finish() == data


def test_one_byte_at_a_time_an_element_comes_with_its_last_byte() -> None:
    framer = JsonArrayFramer()
    ends = [index for index in range(len(SERVICE)) if framer.feed(SERVICE[index : index + 1])]

    assert [SERVICE[index : index + 1] for index in ends] == [b"}", b"}"]
    assert framer.is_whole


@pytest.mark.parametrize("length", range(len(SERVICE) - 2))
def test_an_array_without_its_bracket_is_not_whole(length: int) -> None:
    framer = JsonArrayFramer()

    framer.feed(SERVICE[:length])

    assert not framer.is_whole


@pytest.mark.parametrize("data", [b"[]", b" [ ] ", b"\xef\xbb\xbf[]"])
def test_an_empty_array_is_whole(data: bytes) -> None:
    framer = JsonArrayFramer()

    assert framer.feed(data) == []
    assert framer.is_whole


def test_one_object_counts_as_an_array_of_it() -> None:
    framer = JsonArrayFramer()

    assert framer.feed(b' {"error": {"code": 5') == []
    assert framer.feed(b"00}}\nmore") == [b'{"error": {"code": 500}}']
    assert framer.is_whole


@pytest.mark.parametrize("data", [b"x", b"[1]", b'["a"]', b"[[]]", b"[{} {}]", b"[,{}]", b"]", b"[{},,{}]", b"\x00"])
@pytest.mark.parametrize("reader", [JsonArrayFramer, JsonArraySplitter])
def test_anything_but_an_array_of_objects_is_a_protocol_fault(data: bytes, reader: type[JsonArrayFramer]) -> None:
    with pytest.raises(UpstreamProtocolError):
        reader().feed(data)


@pytest.mark.parametrize("reader", [JsonArrayFramer, JsonArraySplitter])
def test_an_element_over_the_cap_is_a_protocol_fault(reader: type[JsonArrayFramer]) -> None:
    capped = reader(max_frame_bytes=100)
    capped.feed(b'[{"a":"' + b"x" * 50)

    with pytest.raises(UpstreamProtocolError):
        capped.feed(b"x" * 50)


@pytest.mark.parametrize("filler", [b"x", b"\\n", b"{}", b'"",', b" "])
def test_time_is_linear_in_the_length(filler: bytes) -> None:
    """Pieces of 64 bytes: a reader that looks twice at what waits would take minutes."""
    body = b'[{"a":"' + filler * 600_000 if filler in (b"x", b"\\n") else b'[{"a":[' + filler * 150_000
    framer, splitter = JsonArrayFramer(), JsonArraySplitter()
    begin = time.perf_counter()

    for start in range(0, len(body), 64):
        framer.feed(body[start : start + 64])
        splitter.feed(body[start : start + 64])

    assert time.perf_counter() - begin < 10


def test_random_pieces_of_a_recorded_shape() -> None:
    chance = random.Random(7)

    for _ in range(50):
        cuts = [chance.randrange(len(SERVICE)) for _ in range(chance.randrange(8))]
        assert elements(pieces(SERVICE, cuts)) == json.loads(SERVICE)
