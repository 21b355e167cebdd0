"""The main job: every SDK, its own API and the others', streams text, tools and reasoning from the simulated model.

The simulated model stands behind three configured providers, one for each API that it speaks, so that each dialect is
once relayed and otherwise converted.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from proxy.config.load import Sources, load
from proxy.demo import DemoServer
from proxy.server.app import start
from tests.support import node
from tests.support.proxy import provider, settings
from tests.support.reader import Call, Reader
from tests.support.readers import READERS
from tests.support.readings import ToolCall

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

TEXT = "Grüße, 世界! 🚀"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ARGUMENTS = {"city": "Oslo"}

PROMPTS = {
    "text": f'[[demo rate=0 text="{TEXT}"]]',
    "tool": '[[demo rate=0 tool=get_weather {"city":"Oslo"}]]',
    "reasoning": f'[[demo rate=0 reasoning=12 text="{TEXT}"]]',
}


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def chat_options(text: str) -> dict[str, Any]:
    function = {"name": "get_weather", "parameters": SCHEMA}
    return {"messages": user(text), "tools": [{"type": "function", "function": function}]}


OPTIONS = {
    "openai_chat": chat_options,
    "canonical": chat_options,
    "openai_responses": lambda text: {
        "input": text,
        "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}],
    },
    "anthropic": lambda text: {
        "messages": user(text),
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    },
}
"""The request of a prompt, in each SDK's words."""

KINDS = {"openai_chat": "/v1", "anthropic": "", "gemini": ""}
"""What the simulated model speaks, and where."""

CHOSEN = [one for one in READERS if one.dialect in OPTIONS and "ai-sdk" not in one.name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    demo = DemoServer(rate=0, delay_s=0)
    base_url = await demo.start("127.0.0.1", 0)
    file: Path = tmp_path_factory.mktemp("demo") / "proxy.yaml"
    providers = [provider(kind, kind, base_url + path) for kind, path in KINDS.items()]
    file.write_text(yaml.safe_dump(settings(providers)))
    running = await start(load(Sources(file, environ={})).config)
    yield running.url
    await running.stop()
    await demo.stop()


def reader_params() -> list[Any]:
    return [
        pytest.param(
            one, id=one.name, marks=pytest.mark.skipif(one.needs_node and not node.is_ready(), reason=node.MISSING)
        )
        for one in CHOSEN
    ]


@pytest.mark.parametrize("scenario", PROMPTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", reader_params())
async def test_every_sdk_reads_every_api(reader: Reader, kind: str, scenario: str, url: str) -> None:
    options = OPTIONS[reader.dialect](PROMPTS[scenario])

    reading = await reader.read(Call(url, model=kind, options=options))

    assert reading.ending == "completed", reading.error_message
    if scenario == "tool":
        (call,) = reading.tool_calls
        assert call == ToolCall(call.id, "get_weather", ARGUMENTS)
        assert call.id
    else:
        assert reading.text == TEXT
        assert reading.tool_calls == ()
    if scenario == "reasoning" and "reasoning" not in reader.blind:
        assert len(reading.reasoning.split()) > 3
    if reading.tokens is not None and "tokens.output" not in reader.blind:
        assert (reading.tokens.output or 0) > 0
