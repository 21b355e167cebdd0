"""Two turns over sockets: SDKs give back the message objects that they made of an answer, with the results of its calls.

One proxy process and one upstream for all rows (`tests.support.first_turns`). The upstream answers each row in its own
words; the second request that it receives is compared field by field with what that provider should be told. Where the
caller speaks the provider's API, it is what the same SDK sends to the provider without a proxy between.
"""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from proxy.providers import PROVIDERS
from tests.e2e.test_second_turn import SECOND
from tests.support import second_callers
from tests.support.exchange import Exchange
from tests.support.first_turns import CALLS, PROOF, ROWS, SAID, SEALED, SEALED_BLOB, TOOL, WHY
from tests.support.proxied import GENERATION
from tests.support.proxy import provider, proxy_process, settings
from tests.support.replay import ReplayServer
from tests.support.second_callers import RESULT, Ask, Heard

Json = dict[str, Any]

SDKS: dict[str, Ask] = {
    "anthropic": second_callers.claude,
    "gemini": second_callers.gemini,
    "ollama": second_callers.ollama_chat,
    "openai_chat": second_callers.chat,
    "openai_responses": second_callers.responses,
}
BY_HAND = ("ag_ui", "canonical", "data_stream", "ui_message_stream")

CANNOT_GIVE_BACK = ("canonical", "ollama")
"""Callers that see no proofs of reasoning."""
SEES_NO_IDS = ("ollama",)
GIVES_NO_IDS = ("ollama", "vertex")
"""Rows whose calls have no ids; the proxy makes them up."""


@dataclass(frozen=True)
class Stage:
    url: str
    upstream: ReplayServer

    async def second_request(self, dialect: str, row: str, *, streams: bool, directly: bool = False) -> "Second":
        """What the upstream receives as the second request, and what the answer to it says was dropped."""
        before = len(self.upstream.exchanges)
        heard = Heard()
        if dialect in SDKS:
            await SDKS[dialect](f"{self.upstream.base_url}/{row}" if directly else self.url, row, streams, heard)
        else:
            await self._by_hand(dialect, row, heard)
        first, second = self.upstream.exchanges[before:]
        assert first.path == second.path
        return Second(second, heard.answers[1].get("x-proxy-dropped", ""))

    async def _by_hand(self, dialect: str, row: str, heard: Heard) -> None:
        path, fields = GENERATION[dialect]
        async with aiohttp.ClientSession(self.url) as session:
            body: Json = {**fields, "model": row, "stream": False}
            for _ in range(2):
                async with session.post(path, json=body) as response:
                    told = await response.text()
                    assert response.status == 200, told
                    await heard.note(response)
                body = {**_second_body(dialect, told), "model": row, "stream": False}


def _second_body(dialect: str, told: str) -> Json:
    """`SECOND` knows the ids of `CALLS`: others take their place while it writes."""
    ids = list(dict.fromkeys(re.findall(r'"(?:id|toolCallId)":"((?!msg_)[^"]*call[^"]+)"', told)))[:2]
    for ours, theirs in zip(CALLS, ids, strict=True):
        told = told.replace(f'"{theirs}"', f'"{ours}"')
    written = json.dumps(SECOND[dialect](json.loads(told)))
    for ours, theirs in zip(CALLS, ids, strict=True):
        written = written.replace(f'"{ours}"', f'"{theirs}"')
    body: Json = json.loads(written)
    if dialect == "ag_ui":
        body["forwardedProps"] = {}
    return body


@dataclass(frozen=True)
class Second:
    request: Exchange
    dropped: str

    @property
    def body(self) -> Json:
        found: Json = self.request.json()
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("turns")
    async with ReplayServer(lambda exchange: ROWS[exchange.path.split("/")[1]].answer()) as upstream:
        providers = [provider(name, row.kind, f"{upstream.base_url}/{name}{row.path}") for name, row in ROWS.items()]
        config = settings(providers, retry={"attempts": 1}, breaker={"failures": 0})
        for entry, row in zip(config["models"], ROWS.values(), strict=True):
            entry["targets"][0]["model"] = row.model
        async with proxy_process(config, folder) as proxy:
            yield Stage(proxy.url, upstream)


# --- what each kind should be told


@dataclass(frozen=True)
class Told:
    """How a caller gives the answer back."""

    ids: tuple[str, ...]
    results: tuple[str, ...]
    """As a text."""
    is_proved: bool
    is_gemini: bool
    """Results are objects."""

    @property
    def calls(self) -> list[tuple[str, str]]:
        return list(zip(self.ids, CALLS.values(), strict=True))

    @property
    def answers(self) -> list[tuple[str, str]]:
        return list(zip(self.ids, self.results, strict=True))


def anthropic(told: Told) -> list[Json]:
    thinking: list[Json] = [
        {"type": "thinking", "thinking": WHY, "signature": PROOF},
        {"type": "redacted_thinking", "data": SEALED},
    ]
    calls = [{"type": "tool_use", "id": id, "name": TOOL, "input": {"city": city}} for id, city in told.calls]
    results = [
        {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}]}
        for id, text in told.answers
    ]
    said = [*(thinking if told.is_proved else ()), {"type": "text", "text": SAID}, *calls]
    return [{"role": "assistant", "content": said}, {"role": "user", "content": results}]


def nova(told: Told, sealed: str | None = None) -> list[Json]:
    thinking: list[Json] = [{"reasoningContent": {"reasoningText": {"text": WHY, "signature": PROOF}}}]
    if sealed is not None:
        thinking.append({"reasoningContent": {"redactedContent": sealed}})
    calls = [{"toolUse": {"toolUseId": id, "name": TOOL, "input": {"city": city}}} for id, city in told.calls]
    results = [{"toolResult": {"toolUseId": id, "content": [{"text": text}]}} for id, text in told.answers]
    said = [*(thinking if told.is_proved else ()), {"text": SAID}, *calls]
    return [{"role": "assistant", "content": said}, {"role": "user", "content": results}]


def bedrock_claude(told: Told) -> list[Json]:
    return nova(told, SEALED_BLOB)


def _functions(told: Told) -> list[Json]:
    return [
        {"id": id, "type": "function", "function": {"name": TOOL, "arguments": {"city": city}}}
        for id, city in told.calls
    ]


def _tools(told: Told) -> list[Json]:
    return [{"role": "tool", "tool_call_id": id, "content": text} for id, text in told.answers]


def cohere(told: Told) -> list[Json]:
    said = [{"type": "text", "text": SAID}]
    message = {"role": "assistant", "content": said, "tool_calls": _functions(told), "tool_plan": WHY}
    return [message, *_tools(told)]


def chat(told: Told) -> list[Json]:
    return [{"role": "assistant", "content": SAID, "tool_calls": _functions(told)}, *_tools(told)]


def openrouter(told: Told) -> list[Json]:
    detail: Json = {"type": "reasoning.text", "text": WHY}
    if told.is_proved:
        detail |= {"signature": PROOF, "format": "anthropic-claude-v1", "index": 0}
    message, *tools = chat(told)
    return [{**message, "reasoning_details": [detail]}, *tools]


def gemini(told: Told) -> list[Json]:
    name = "output" if told.is_gemini else "result"
    calls: list[Json] = [{"functionCall": {"id": id, "name": TOOL, "args": {"city": city}}} for id, city in told.calls]
    calls[0]["thoughtSignature"] = PROOF if told.is_proved else "skip_thought_signature_validator"
    results = [
        {"functionResponse": {"id": id, "name": TOOL, "response": {name: RESULT[city]}}} for id, city in told.calls
    ]
    return [{"role": "model", "parts": [{"text": SAID}, *calls]}, {"role": "user", "parts": results}]


def ollama(told: Told) -> list[Json]:
    calls = [{"function": {"name": TOOL, "arguments": {"city": city}}} for city in CALLS.values()]
    message = {"role": "assistant", "content": SAID, "thinking": WHY, "tool_calls": calls}
    return [message, *({"role": "tool", "content": text, "tool_name": TOOL} for text in told.results)]


def responses(told: Told) -> list[Json]:
    summary = [{"type": "summary_text", "text": WHY}]
    reasoning: list[Json] = [{"type": "reasoning", "summary": summary, "encrypted_content": PROOF}]
    calls = [
        {"type": "function_call", "call_id": id, "name": TOOL, "arguments": {"city": city}} for id, city in told.calls
    ]
    results = [{"type": "function_call_output", "call_id": id, "output": text} for id, text in told.answers]
    said = {"role": "assistant", "content": SAID}
    return [*(reasoning if told.is_proved else ()), said, *calls, *results]


EXPECTED = {
    "anthropic": anthropic,
    "bedrock": nova,
    "bedrock-claude": bedrock_claude,
    "cohere": cohere,
    "gemini": gemini,
    "ollama": ollama,
    "openai_chat": chat,
    "openrouter": openrouter,
    "openai_responses": responses,
    "vertex": gemini,
    "vertex-claude": anthropic,
}
NEVER_TAKES_REASONING = ("gemini", "openai_chat", "vertex")
"""Rows that want no text of reasoning back."""
KEEPS_UNPROVED = ("cohere", "ollama", "openrouter")
"""Rows that take it without a proof."""


def conversation(body: Json) -> list[Json]:
    """What follows the question, with arguments as objects."""
    found: list[Json] = next(body[name] for name in ("messages", "contents", "input") if name in body)
    for item in found:
        if item.get("type") == "reasoning":
            assert item.pop("id", "rs_1") == "rs_1"  # some dialects have a place for it, and the API needs none
        for place in (item, *(call["function"] for call in item.get("tool_calls", ()))):
            if isinstance(place.get("arguments"), str):
                place["arguments"] = json.loads(place["arguments"])
    return found[1:]


def ids_of(said: list[Json]) -> tuple[str, ...]:
    """The ids of the calls, in order."""
    text = json.dumps(said)
    return tuple(dict.fromkeys(re.findall(r'"(?:id|call_id|toolUseId)": "(call_[a-z0-9]+)"', text)))


def told_by(dialect: str, row: str, said: list[Json]) -> Told:
    ids = ids_of(said) if row != "ollama" else tuple(CALLS)
    assert len(ids) == len(CALLS)
    if dialect not in SEES_NO_IDS and row not in GIVES_NO_IDS:
        assert ids == tuple(CALLS)
    is_gemini = dialect == "gemini"
    results = [json.dumps({"output": RESULT[city]}) if is_gemini else RESULT[city] for city in CALLS.values()]
    return Told(ids, tuple(results), dialect not in CANNOT_GIVE_BACK, is_gemini)


def is_own(dialect: str, row: str) -> bool:
    return dialect == ROWS[row].kind


PAIRS = [
    (dialect, row, streams)
    for dialect in (*SDKS, *BY_HAND)
    for row in ROWS
    for streams in ((True, False) if dialect in SDKS else (False,))
    if not is_own(dialect, row)
]
OWN = [(dialect, row) for dialect in SDKS for row in ROWS if is_own(dialect, row)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("dialect", "row", "streams"), PAIRS)
async def test_the_provider_is_told_what_it_said_and_the_results(
    dialect: str, row: str, streams: bool, stage: Stage
) -> None:
    second = await stage.second_request(dialect, row, streams=streams)

    said = conversation(second.body)
    told = told_by(dialect, row, said)
    assert said == EXPECTED[row](told)
    assert TOOL in json.dumps(second.body["toolConfig" if "toolConfig" in second.body else "tools"])
    is_lost = WHY not in json.dumps(said)
    assert is_lost == (row in NEVER_TAKES_REASONING or (not told.is_proved and row not in KEEPS_UNPROVED)), said
    assert is_lost == ("reasoning" in second.dropped), second.dropped


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("dialect", "row"), OWN)
async def test_a_provider_of_the_callers_api_is_told_what_the_sdk_tells_it_directly(
    dialect: str, row: str, stage: Stage
) -> None:
    directly = await stage.second_request(dialect, row, streams=True, directly=True)

    second = await stage.second_request(dialect, row, streams=True)

    assert {**second.body, "model": row} == {**directly.body, "model": row}
    assert second.dropped == ""


def test_every_row_and_every_caller_takes_part() -> None:
    assert set(EXPECTED) == set(ROWS)
    assert {row.kind for row in ROWS.values()} == set(PROVIDERS)
    assert set(SDKS) | set(BY_HAND) == set(SECOND)
