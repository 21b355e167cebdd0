"""`top` without a terminal: a table or JSON for pipes, exit codes, the addresses that it tries."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest

from proxy.commands import top
from proxy.commands.top import EXIT_BAD, EXIT_FAILED, EXIT_OK, TopOptions, run
from tests.support.answers import json
from tests.support.proxy import PROJECT
from tests.support.replay import ReplayServer

CALLS = [
    {"id": "a1", "state": "streaming", "asked_model": "fast\x1b[31m", "provider": "p", "model": "m", "age_s": 4.0},
    {"id": "b2", "state": "queued", "dialect": "anthropic", "age_s": 9.0},
]


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(json({"is_draining": False, "streams": CALLS})) as running:
        yield running


async def test_once_prints_a_plain_table(server: ReplayServer, capsys: pytest.CaptureFixture[str]) -> None:
    code = await asyncio.to_thread(run, TopOptions(server.base_url, order="age", is_once=True))

    summary, header, *rows = capsys.readouterr().out.splitlines()
    assert code == EXIT_OK
    assert summary.startswith("2 calls: 1 queued, 1 streaming")
    assert "*AGE" in header
    assert [row.split()[-1] for row in rows] == ["b2", "a1"]
    assert "fast?[31m @p/m" in rows[1]


async def test_a_pipe_gets_the_table_without_asking(server: ReplayServer) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "top", server.base_url), cwd=PROJECT, stdout=subprocess.PIPE, env={"PATH": ""}
    )
    out, _ = await process.communicate()

    assert process.returncode == EXIT_OK
    assert out.startswith(b"2 calls")


async def test_json_is_what_the_proxy_said(server: ReplayServer, capsys: pytest.CaptureFixture[str]) -> None:
    code = await asyncio.to_thread(run, TopOptions(server.base_url, is_once=True, is_json=True))

    assert code == EXIT_OK
    assert msgspec.json.decode(capsys.readouterr().out)["streams"] == CALLS


async def test_without_an_address_the_usual_ones_are_tried(
    server: ReplayServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "DEFAULT_URLS", ("http://127.0.0.1:1", server.base_url))

    assert await asyncio.to_thread(run, TopOptions(is_once=True)) == EXIT_OK
    assert capsys.readouterr().out.startswith("2 calls")


def test_a_proxy_that_is_not_there_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "DEFAULT_URLS", ("http://127.0.0.1:1",))

    assert run(TopOptions(is_once=True)) == EXIT_FAILED
    assert capsys.readouterr().err == "http://127.0.0.1:1 does not answer: Connection refused\n"


def test_what_is_no_address_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(TopOptions("ftp://host")) == EXIT_BAD
    assert "expected http://HOST:PORT" in capsys.readouterr().err
