"""A short run of the fuzzer on the socket, and that its strict reader of answers is strict."""

from pathlib import Path

import pytest

from tests.fuzz.http import Findings, fuzzing
from tests.fuzz.http_answers import Incomplete, statuses
from tests.fuzz.http_requests import bodies, case


async def test_requests_that_are_nearly_http_break_no_promise(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "finds")

    async with fuzzing(tmp_path, findings) as fuzzed:
        await fuzzed.batch(list(range(150)))

    assert findings.count == 0, [file.read_text() for file in (tmp_path / "finds").glob("*.txt")]
    assert fuzzed.answers[200] > 5
    assert fuzzed.answers[400] > 50


def test_a_seed_makes_one_case() -> None:
    good = bodies()

    assert case(7, good) == case(7, good)
    assert len({case(seed, good).data for seed in range(50)}) == 50


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (OK, [200]),
        (OK + OK, [200, 200]),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, [200]),
        (b"HTTP/1.1 204 No Content\r\n\r\n", [204]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + OK, [200, 200]),
    ],
)
def test_whole_answers_are_counted(data: bytes, found: list[int]) -> None:
    assert statuses(data, is_closed=False) == found


@pytest.mark.parametrize(
    "data", [OK[:5], OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"]
)
def test_a_part_is_a_part(data: bytes) -> None:
    with pytest.raises(Incomplete):
        statuses(data, is_closed=True)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        OK + b"more\r\n\r\n",
        OK.replace(b"1.1", b"0.9"),
        OK.replace(b"OK\r\n", b"OK\r\nno header\r\n"),
        OK.replace(b"OK\r\n", b"OK\r\nX-A: \xff\r\n"),
        OK.replace(b"OK\r\n", b"OK\r\nTransfer-Encoding: chunked\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        statuses(data, is_closed=True)
