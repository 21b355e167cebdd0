"""Which loop runs: the wanted one, and where nothing is wanted the faster one of those that are there."""

import asyncio
import importlib.util

import pytest

from proxy import event_loop
from proxy.config import EventLoop
from proxy.hub.errors import ConfigError

UVLOOP = importlib.util.find_spec("uvloop") is not None


async def _running() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_asyncio_s_own_can_be_asked_for() -> None:
    assert event_loop.run(_running(), EventLoop.ASYNCIO) == "asyncio"


def test_the_faster_one_is_taken_where_it_is_installed() -> None:
    assert event_loop.run(_running(), EventLoop.AUTO) == ("uvloop" if UVLOOP else "asyncio")


def test_a_wanted_loop_that_is_not_installed_is_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(ConfigError, match="event_loop: 'uvloop' is not installed"):
        event_loop.loop_factory(EventLoop.UVLOOP)
    assert event_loop.loop_factory(EventLoop.AUTO) is None
