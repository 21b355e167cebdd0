"""Streams through the fronts that the chart's README documents; how each behaves is measured by `tests.ops.fronts`."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

from tests.ops import fronts as measured
from tests.support import fronts
from tests.support.proxy import proxy_process

DOCUMENTED = {name: set_up for name, set_up in measured.SET_UPS.items() if name.endswith("documented")}
PATIENCE_S = 30.0
PROGRAMS = {"nginx": "nginx", "HAProxy": "haproxy", "Caddy": "caddy"}


@pytest.mark.parametrize("name", DOCUMENTED)
async def test_events_pass_one_by_one(name: str, tmp_path: Path) -> None:
    fronts.need(PROGRAMS[name.partition(",")[0]])
    opener, settings = DOCUMENTED[name]
    assert opener is not None
    prompt = "[[demo tokens=10 fault=stall@5]]"
    async with (
        proxy_process(measured.CONFIG, tmp_path) as proxy,
        opener(proxy.port, tmp_path, settings) as port,
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/chat", json={"messages": [{"role": "user", "content": prompt}]}
        ) as response,
        asyncio.timeout(PATIENCE_S),
    ):
        assert response.status == 200
        events = 0
        while events < 5:  # The others never come: a front that waits for them keeps these as well.
            events += (await response.content.readline()).startswith(b"data: ")
        response.close()


@pytest.mark.parametrize("name", DOCUMENTED)
@pytest.mark.parametrize("prompt", ["[[demo tokens=2000 rate=50]]", "[[demo tokens=20 fault=stall@2]]"])
async def test_leaving_is_passed_on(name: str, prompt: str, tmp_path: Path) -> None:
    """While events come, and while the model is silent: then no write tells the front."""
    fronts.need(PROGRAMS[name.partition(",")[0]])
    opener, settings = DOCUMENTED[name]
    assert opener is not None
    async with (
        proxy_process(measured.CONFIG, tmp_path) as proxy,
        opener(proxy.port, tmp_path, settings) as port,
        aiohttp.ClientSession() as session,
    ):
        body = {"messages": [{"role": "user", "content": prompt}]}
        async with session.post(f"http://127.0.0.1:{port}/chat", json=body) as response:
            await response.content.readline()
            response.close()
        async with asyncio.timeout(PATIENCE_S):
            while b"caller_left_midway" not in proxy.log.read_bytes():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)


def test_every_front_of_the_readme_is_measured_or_said_not_to_be() -> None:
    text = fronts.README.read_text()
    section = text[text.index("## In front of it") : text.index("## What to watch")]

    said = dict(re.findall(r"^(nginx|HAProxy|Caddy|Envoy) \((run|not run)", section, re.MULTILINE))

    assert said == {"nginx": "run", "HAProxy": "run", "Caddy": "run", "Envoy": "not run"}
    assert {name.partition(",")[0] for name in DOCUMENTED} == set(PROGRAMS)
