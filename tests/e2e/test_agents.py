"""Real coding agents do a task of three tool calls through the whole proxy, each on APIs that are not its own.

The simulated model does what the prompt says; the agent runs the tools, and the file that they leave is the proof.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from proxy.demo import DemoServer
from tests.support.agents import AGENTS, MISSING, Agent, Job, is_ready, run, wanted
from tests.support.proxy import provider, proxy_process, settings

BASE_PATH = {"openai_chat": "/v1", "anthropic": "", "gemini": ""}
"""What the simulated model speaks, and where."""

ANSWER = "Grüße, 世界! Finished."


def pairs() -> list[Any]:
    """Every agent on every API of the simulated model, its own last: there the bytes are relayed."""
    return [
        pytest.param(
            agent,
            kind,
            id=f"{agent.name} on {kind}".replace(" ", "-"),
            marks=pytest.mark.skipif(not is_ready(agent), reason=MISSING),
        )
        for agent in AGENTS
        for kind in sorted(BASE_PATH, key=lambda kind: kind == agent.dialect)
    ]


@pytest_asyncio.fixture
async def simulated_model() -> AsyncIterator[str]:
    demo = DemoServer(rate=0, delay_s=0)
    yield await demo.start("127.0.0.1", 0)
    await demo.stop()


@pytest.mark.parametrize(("agent", "kind"), pairs())
async def test_agent_creates_reads_and_edits_a_file(
    agent: Agent, kind: str, simulated_model: str, tmp_path: Path
) -> None:
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    file = folder / "numbers.txt"
    prompt = " ".join([*agent.calls(file), f'[[demo rate=0 text="{ANSWER}"]]'])
    config = settings([provider(kind, kind, simulated_model + BASE_PATH[kind])])

    async with proxy_process(config, tmp_path) as proxy:
        ran = await run(agent, Job(proxy.url, kind, prompt, folder, home))

    assert ran.status == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert file.read_text() == "one\nthree\n"
    assert ANSWER in ran.stdout
    calls = generations(proxy.log)
    assert len(calls) >= 4
    assert {(call["dialect"], call["provider"], call["outcome"]) for call in calls} == {
        (agent.dialect, kind, "completed")
    }
    assert sum(call.get("finish_reason") == "tool_calls" for call in calls) == 3


def generations(log: Path) -> list[dict[str, Any]]:
    """The access lines of a proxy that has ended."""
    lines = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
    return [line for line in lines if line["logger"] == "proxy.access"]


def test_every_agent_has_an_exact_version() -> None:
    assert {agent.package for agent in AGENTS} == set(wanted())
    assert all(version[0].isdigit() for version in wanted().values())
