"""Lines are written in order by a thread; a descriptor that takes nothing costs lines, never time."""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.line_writer import LineWriter


class Pipe:
    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def read_while(self, goes_on: Callable[[bytes], bool]) -> bytes:
        """What was read until `goes_on` said no; the test's time limit applies."""
        data = b""
        while goes_on(data):
            data += os.read(self.read_end, 65536)
        return data

    def fill(self) -> int:
        """Fill the pipe so that the next write blocks; how many bytes that took."""
        os.set_blocking(self.write_end, False)
        filled = 0
        for size in (65536, 1):
            try:
                while True:
                    filled += os.write(self.write_end, b"\0" * size)
            except BlockingIOError:
                pass
        os.set_blocking(self.write_end, True)
        return filled

    def close(self) -> None:
        for descriptor in (self.read_end, self.write_end):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def notice(count: int) -> bytes:
    return b"lost %d\n" % count


def told_in(data: bytes) -> int:
    """How many lost lines the notices in `data` tell of."""
    return sum(int(count) for count in re.findall(rb"lost ([0-9]+)\n", data))


def test_lines_arrive_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.write_end, notice)

    for number in range(1000):
        writer.offer(b"%d\n" % number)
    writer.close(5)

    assert pipe.read_while(lambda data: not data.endswith(b"\n999\n")).split() == [
        b"%d" % number for number in range(1000)
    ]
    assert writer.dropped == 0


def test_a_blocked_pipe_costs_lines_but_no_time_and_the_loss_is_told(pipe: Pipe) -> None:
    pipe.fill()
    writer = LineWriter(pipe.write_end, notice, max_lines=10)

    started = time.monotonic()
    for number in range(10_000):
        writer.offer(b"%d\n" % number)
    elapsed_s = time.monotonic() - started
    lost = writer.dropped
    told = pipe.read_while(lambda data: told_in(data) < lost)
    writer.close(5)

    assert elapsed_s < 20, "a write that waits would wait for ever"
    # Ten wait, and the thread holds what it took before the first write blocked.
    assert 10_000 - 20 <= lost <= 10_000 - 10
    assert told_in(told) == lost


def test_what_waits_is_bounded_in_bytes(pipe: Pipe) -> None:
    pipe.fill()
    writer = LineWriter(pipe.write_end, notice, max_bytes=1000)

    for _ in range(100):
        writer.offer(b"x" * 99 + b"\n")

    # One batch is with the thread, 1,000 bytes wait.
    assert writer.dropped >= 100 - 20
    os.close(pipe.read_end)
    writer.close(5)


def test_a_closed_pipe_loses_lines_without_a_fault(pipe: Pipe) -> None:
    os.close(pipe.read_end)
    writer = LineWriter(pipe.write_end, notice)

    writer.offer(b"a\n")
    writer.close(5)
    writer.offer(b"b\n")

    assert writer.dropped == 2


def test_closing_does_not_wait_for_ever(pipe: Pipe) -> None:
    pipe.fill()
    writer = LineWriter(pipe.write_end, notice)
    writer.offer(b"a\n")

    started = time.monotonic()
    writer.close(0.05)

    assert time.monotonic() - started < 20
    os.close(pipe.read_end)


def test_a_descriptor_that_others_made_non_blocking_still_gets_every_line(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.write_end, False)
    writer = LineWriter(pipe.write_end, notice)

    writer.offer(b"a\n" * 50_000)
    data = pipe.read_while(lambda data: len(data) < filled + 100_000)
    writer.close(5)

    assert data == b"\0" * filled + b"a\n" * 50_000
    assert writer.dropped == 0
