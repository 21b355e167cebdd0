"""Questions about calls to several workers, some of which are slow, stuck or dead."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.live import KillResult, Look
from proxy.worker_calls import PART_STREAMS, CallsOfWorkers, Found, Question, answers


class Calls:
    """A worker's calls."""

    def __init__(self, *names: str, result: KillResult = KillResult.KILLED, is_draining: bool = False) -> None:
        self.names = list(names)
        self.killed: list[str] = []
        self._result = result
        self._is_draining = is_draining

    async def look(self, stream_id: str | None) -> Look:
        return Look(self._is_draining, [name.encode() for name in self.names if stream_id in (None, name)])

    async def kill(self, stream_id: str) -> KillResult:
        if stream_id not in self.names:
            return KillResult.UNKNOWN
        self.killed.append(stream_id)
        return self._result


class Office:
    """All workers, each answering in the next turn of the loop unless it is stuck."""

    def __init__(self, *workers: Calls | None, patience_s: float = 5.0) -> None:
        self.workers = list(workers)
        self.asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.calls = CallsOfWorkers(self.members, lambda: False, patience_s)

    def members(self) -> list[tuple[int, Callable[[Question], None]]]:
        return [(number, lambda question, of=number: self.ask(of, question)) for number in range(len(self.workers))]

    def ask(self, number: int, question: Question) -> None:
        worker = self.workers[number]
        self.asked.set()
        if worker is not None:
            self._tasks.append(asyncio.get_running_loop().create_task(self.answer(worker, question)))

    async def answer(self, worker: Calls, question: Question) -> None:
        for found in await answers(question, worker):
            self.calls.found(found)


async def test_a_look_shows_the_calls_of_all_workers() -> None:
    many = [f"{number}" for number in range(2 * PART_STREAMS + 1)]
    office = Office(Calls("a"), Calls(*many), Calls())

    look = await office.calls.look(None)

    assert look.streams == [b"a", *(name.encode() for name in many)]
    assert not look.is_draining
    assert (await office.calls.look("7")).streams == [b"7"]


async def test_one_worker_that_drains_is_said() -> None:
    assert (await Office(Calls("a"), Calls(is_draining=True)).calls.look(None)).is_draining


@pytest.mark.parametrize("result", [KillResult.KILLED, KillResult.OVER])
async def test_an_order_reaches_the_worker_that_has_the_call(result: KillResult) -> None:
    one, other = Calls("a"), Calls("b", result=result)

    assert await Office(one, other).calls.kill("b") is result
    assert (one.killed, other.killed) == ([], ["b"])
    assert await Office(one, other).calls.kill("c") is KillResult.UNKNOWN


async def test_a_stuck_worker_is_left_out() -> None:
    office = Office(Calls("a"), None, patience_s=0.3)

    assert (await office.calls.look(None)).streams == [b"a"]
    assert await office.calls.kill("a") is KillResult.KILLED
    assert await office.calls.kill("b") is None, "the stuck one may have it"


async def test_a_worker_that_dies_while_it_answers_takes_its_calls_with_it() -> None:
    office = Office(Calls("a"), None)
    looking = asyncio.get_running_loop().create_task(office.calls.look(None))
    await office.asked.wait()

    office.calls.found(Found(2, is_last=False, streams=[b"half"]))
    office.calls.lost(1)

    assert (await looking).streams == [b"a"]


async def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    office = Office(None, patience_s=0.01)
    await office.calls.look(None)

    office.calls.found(Found(1, is_last=True, streams=[b"late"]))

    assert (await office.calls.look(None)).streams == []
