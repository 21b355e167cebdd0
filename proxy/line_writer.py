"""Writes lines to a file descriptor from a thread of its own, so that a blocked pipe stops nobody.

What waits is bounded. Lines that find no room, or that the descriptor refuses, are dropped and counted; the next line
that can be written is preceded by a notice of how many were lost.
"""

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING_LINES = 10_000
MAX_WAITING_BYTES = 8 * 1024 * 1024
"""A few minutes of access lines of a busy process; small beside its streams."""

_BATCH_BYTES = 64 * 1024
"""The size of a Linux pipe: what one write can hand over at best."""


GATHER_S = 0.02


class LineWriter:
    """Owns the thread. `offer` never blocks and never raises."""

    def __init__(
        self,
        descriptor: int,
        notice: Callable[[int], bytes],
        *,
        max_lines: int = MAX_WAITING_LINES,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """`notice` makes the line that says how many were dropped."""
        self._descriptor = descriptor
        self._notice = notice
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unreported = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self.dropped = 0
        """Lines lost since the start."""
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def offer(self, line: bytes) -> None:
        """Queue one line, its newline included, or drop it."""
        with self._changed:
            has_room = len(self._waiting) < self._max_lines and self._waiting_bytes + len(line) <= self._max_bytes
            if self._is_closing or not has_room:
                self._drop(1)
                return
            if not self._waiting:
                self._changed.notify()
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def close(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s`. Later lines are dropped."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._unreported += lines

    def _run(self) -> None:
        while batch := self._take():
            lost = self._write(b"".join(batch), len(batch))
            if lost:
                with self._changed:
                    self._drop(lost)

    def _take(self) -> list[bytes]:
        """The next lines; empty when the writer is closing and nothing waits."""
        with self._changed:
            while not self._waiting and not self._is_closing:
                self._changed.wait()
            if not self._is_closing:
                # Lines of the next moment go out with this one: waking the thread for each would cost as much as the line.
                self._changed.wait(GATHER_S)
            batch: list[bytes] = []
            if self._waiting and self._unreported:
                batch.append(self._notice(self._unreported))
                self._unreported = 0
            size = 0
            while self._waiting and size < _BATCH_BYTES:
                line = self._waiting.popleft()
                size += len(line)
                batch.append(line)
            self._waiting_bytes -= size
            return batch

    def _write(self, data: bytes, lines: int) -> int:
        """Write all of `data`; returns how many lines are lost because the descriptor refuses them."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Somebody made the descriptor non-blocking, which it is for all who share it.
                self._wait_writable()
            except OSError:
                return lines
        return 0

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(1000)


class DirectWriter:
    """Writes each line at once, without a thread: for a process that forks. A line that finds no room is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.dropped = 0

    def offer(self, line: bytes) -> None:
        """Write one line, or drop it. Never raises, never waits."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        with contextlib.suppress(OSError):
            if poll.poll(0):
                os.write(self._descriptor, line)
                return
        self.dropped += 1

    def close(self, _timeout_s: float) -> None:
        """Nothing waits."""
