"""What is told of the tokens of a call whose caller leaves in the middle: what the provider reported, and nothing else.

The provider's connection is closed with the caller's, so its final report never comes. Nothing takes its place: no zero,
no estimate, and above all no waiting for the rest of an answer that nobody reads.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import msgspec
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.fault_row import ANTHROPIC, CHAT
from tests.support.answers import sse
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _with_usage(text: str, prompt: int, completion: int) -> bytes:
    """A chunk of a vendor that reports in every one."""
    chunk = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


@dataclass(frozen=True)
class Case:
    kind: str
    part: bytes
    """Of the answer, ending in a text with "two": what the caller reads before it leaves."""
    rest: bytes
    """What the provider would go on to report."""
    tokens: dict[str, int]
    """What is told."""


CASES = {
    "reported at the end": Case(
        "openai_chat",
        CHAT.part,
        CHAT.finish
        + b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
        + b'"usage":{"prompt_tokens":5,"completion_tokens":700,"total_tokens":705}}\n\n'
        + CHAT.terminator,
        {},
    ),
    "reported all the time": Case(
        "openai_chat",
        _with_usage("one ", 5, 1) + _with_usage("two ", 5, 2),
        _with_usage("three ", 5, 700) + CHAT.end,
        {"input": 5, "output": 2},
    ),
    "input at the beginning": Case(
        "anthropic", ANTHROPIC.part, ANTHROPIC.words[2] + ANTHROPIC.end, {"input": 5, "output": 1}
    ),
}


@dataclass(frozen=True)
class Stage:
    proxy: ProxyProcess
    upstream: ReplayServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with ReplayServer(sse(b"")) as upstream:
        providers = [
            provider("openai_chat", "openai_chat", upstream.base_url + "/v1"),
            provider("anthropic", "anthropic", upstream.base_url),
        ]
        config = settings(providers, usage="inject")
        async with proxy_process(config, tmp_path_factory.mktemp("cancelled")) as proxy:
            yield Stage(proxy, upstream)


async def _tokens(proxy: ProxyProcess) -> dict[str, float]:
    """The tokens that metrics tell of, by type, and the calls that are said to lack them."""
    async with httpx.AsyncClient(timeout=30) as http:
        text = (await http.get(f"{proxy.url}/metrics")).text
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("gen_ai_client_token_usage_sum{"):
            token_type = line.partition('gen_ai_token_type="')[2].partition('"')[0]
            found[token_type] = found.get(token_type, 0) + float(line.rpartition(" ")[2])
        if line.startswith("llm_proxy_usage_missing_total{"):
            found["missing"] = found.get("missing", 0) + float(line.rpartition(" ")[2])
    return {name: count for name, count in found.items() if count}


async def _line(proxy: ProxyProcess, number: int) -> dict[str, Any]:
    """The access line of the call with this number."""
    async with asyncio.timeout(30):
        while True:
            lines = [line for line in proxy.log.read_text().splitlines() if '"outcome":"caller_left_midway"' in line]
            if len(lines) > number:
                line: dict[str, Any] = msgspec.json.decode(lines[number])
                return line
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "canonical"])
@pytest.mark.parametrize("case", CASES)
async def test_a_call_that_is_left_tells_the_tokens_that_were_reported(case: str, dialect: str, stage: Stage) -> None:
    told = CASES[case]
    stage.upstream.respond_with(sse(told.part + told.rest, holds=(len(told.part),)))
    before = await _tokens(stage.proxy)
    lines = stage.proxy.log.read_text().count('"outcome":"caller_left_midway"')
    call = RawCall(stage.proxy.port)
    await call.send(request_bytes(dialect, told.kind))
    await call.read_until(b"two")

    call.leave()
    line = await _line(stage.proxy, lines)

    assert {name: line[f"{name}_tokens"] for name in ("input", "output") if f"{name}_tokens" in line} == told.tokens
    after = await _tokens(stage.proxy)
    assert {
        name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name)
    } == told.tokens
