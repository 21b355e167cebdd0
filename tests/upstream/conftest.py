"""What the tests of the upstream client share. `UPSTREAM_TEST_LOOP=uvloop` runs them all under uvloop."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from proxy.upstream import TlsSettings, UpstreamPool
from tests.upstream.certificates import Authority, Pem

if os.environ.get("UPSTREAM_TEST_LOOP") == "uvloop":

    def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": pytest.importorskip("uvloop").new_event_loop}


def open_sockets() -> int:
    """How many sockets this process has. Their names would not do: uvloop makes its own anew for each run."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def other_tasks() -> set[asyncio.Task[object]]:
    """The tasks of this loop, without the fixture's own."""
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


@pytest.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    """Fails a test that leaves a task or a socket behind, or in which a callback of the loop raised.

    The collector is off: nothing may need it to be freed.
    """
    await asyncio.sleep(0)
    tasks, sockets = other_tasks(), open_sockets()
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    gc.disable()

    yield

    try:
        for _ in range(1000):
            if other_tasks() <= tasks and open_sockets() <= sockets:
                break
            await asyncio.sleep(0.01)
        assert other_tasks() <= tasks
        assert open_sockets() <= sockets
        assert faults == []
    finally:
        gc.enable()


@pytest.fixture
async def pool() -> AsyncIterator[UpstreamPool]:
    made = UpstreamPool()
    yield made
    await made.close()
    assert (made.open_count, made.idle_count, made.connecting_count) == (0, 0, 0)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def pem(authority: Authority) -> Pem:
    return authority.issue("good", "127.0.0.1", "localhost")


@pytest.fixture
def trusting(authority: Authority) -> TlsSettings:
    return TlsSettings(ca_file=authority.ca_file)
