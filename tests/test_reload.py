"""When a reload is due, and what it may not change. Whole reloads are in tests/e2e/test_life.py."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config import Admin, Config, Limits, Loaded, Secret, Sources, load
from proxy.hub.errors import ConfigError
from proxy.metrics import Metrics
from proxy.reload import Reloader, changed_fixed_keys, stamp_of

TEXT = "models: [{name: fast, targets: [{provider: demo}]}]\nproviders: [{name: demo}]\n"


def test_a_swapped_folder_is_a_change_although_the_path_stays(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "proxy.yaml").write_text(TEXT)
        os.utime(tmp_path / version / "proxy.yaml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("1")
    file = tmp_path / "..data" / "proxy.yaml"
    before = stamp_of([file])

    (tmp_path / "..new").symlink_to("2")
    os.replace(tmp_path / "..new", tmp_path / "..data")

    assert stamp_of([file]) != before


def test_a_file_that_is_not_there_has_a_stamp_too(tmp_path: Path) -> None:
    assert stamp_of([tmp_path / "absent"]) == (None,)


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        (Config(), []),
        (Config(heartbeat_s=3), []),
        (Config(listen="127.0.0.1:1", workers=3), ["listen", "workers"]),
        (Config(admin=Admin(), reuse_port=True), ["reuse_port", "admin"]),
        (Config(limits=Limits(store=Secret("redis://a", "redis://a"))), ["limits.store"]),
    ],
)
def test_what_needs_a_restart_is_named(new: Config, keys: list[str]) -> None:
    assert changed_fixed_keys(Config(), new) == keys


class Reloading:
    """A reloader whose applied configurations are collected."""

    def __init__(self, file: Path) -> None:
        sources = Sources(file, environ={})
        self.file = file
        self.metrics = Metrics()
        self.applied: asyncio.Queue[Loaded] = asyncio.Queue()
        self.refuses = False
        self.reloader = Reloader(sources, load(sources), self.metrics, self._apply)
        self._task = asyncio.get_running_loop().create_task(self.reloader.run())

    async def _apply(self, loaded: Loaded) -> None:
        if self.refuses:
            raise ConfigError(["cannot be put to work"])
        self.applied.put_nowait(loaded)

    async def until_gauge(self, wanted: float) -> None:
        async with asyncio.timeout(30):
            while self._gauge() != wanted:  # noqa: ASYNC110  a gauge tells nobody
                await asyncio.sleep(0.01)

    def _gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("llm_proxy_config_last_reload_successful")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def reloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reloading]:
    monkeypatch.setattr("proxy.reload.POLL_S", 0.02)
    file = tmp_path / "proxy.yaml"
    file.write_text(TEXT)
    running = Reloading(file)
    yield running
    await running.close()


async def test_a_changed_file_is_taken_without_being_asked(reloading: Reloading) -> None:
    reloading.file.write_text(TEXT + "heartbeat_s: 3\n")

    async with asyncio.timeout(30):
        loaded = await reloading.applied.get()

    assert loaded.config.heartbeat_s == 3


async def test_what_cannot_be_read_or_put_to_work_is_refused_until_it_is_mended(
    reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    reloading.file.write_text("on_cut: nonsense\n")
    await reloading.until_gauge(0)
    reloading.refuses = True
    reloading.file.write_text(TEXT + "heartbeat_s: 4\n")
    async with asyncio.timeout(30):
        while len(caplog.records) < 2:  # noqa: ASYNC110  the log tells nobody
            await asyncio.sleep(0.01)

    reloading.refuses = False
    reloading.reloader.request()
    await reloading.until_gauge(1)

    assert (await reloading.applied.get()).config.heartbeat_s == 4
    assert [record.levelno for record in caplog.records[:2]] == [logging.ERROR] * 2
