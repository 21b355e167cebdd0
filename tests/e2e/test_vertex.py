"""Vertex through a whole proxy: Gemini's and Anthropic's recordings at Vertex's addresses, and what is asked there.

Few recordings of a Gemini on Vertex exist and none of a Claude; the measure is what Google's and Anthropic's own clients
of Vertex send to these addresses and read there. The access token comes from a token server of our own, by google-auth's
way for a service account.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support import vertex
from tests.support.answers import Cut, CutHow, random_pieces
from tests.support.canary import PROMPT
from tests.support.corpus import ABSENT, Recording, params, recordings
from tests.support.crossing import cuts, says_complete
from tests.support.dialect_grammar import CHECKS, breaches, has_success_ending
from tests.support.google_account import service_account, token_answer
from tests.support.proxied import GENERATION, Proxied, proxied
from tests.support.reader import Call
from tests.support.readers import readers_of
from tests.support.readings import Reading, as_seen_by, as_told_by, differences
from tests.support.replay import ReplayServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

TOKEN = "ya29.of-the-service"
OWN_VERSION = {"anthropic_version": "vertex-2023-10-16"}
"""Anthropic's SDK names a later one; `providers/vertex/provider.py` says why the proxy does not."""

measures: dict[str, Reading] = {}


def handful(kind: str) -> list[Recording]:
    """Vertex's own, and the smallest that shows each feature."""
    whole = recordings(kind=kind, stream=True, ok=True, where=lambda one: "error_midstream" not in one.features)
    whole.sort(key=lambda one: len(one.response))
    own = [one for one in whole if one.provider == "vertex"]
    features = ("text", "tools", "reasoning")
    firsts = [next((one for one in whole if feature in one.features), None) for feature in features]
    return list({one.name: one for one in [*own, *firsts] if one is not None}.values())


STREAMS = [one for kind in vertex.VERTEX_READER for one in handful(kind)]
REFUSED = [one for kind in vertex.VERTEX_READER for one in recordings(kind=kind, ok=False)[:2]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxied]:
    folder = tmp_path_factory.mktemp("vertex")
    with pytest.MonkeyPatch.context() as patch:
        async with ReplayServer(token_answer(TOKEN)) as oauth:
            patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(folder, oauth.base_url)))
            async with proxied(folder, keyless=["vertex"]) as running:
                yield running


async def measure(recording: Recording) -> Reading:
    """What the vendor's client of Vertex reads there."""
    assert recording.kind is not None
    if recording.name not in measures:
        async with ReplayServer(recording.answer()) as upstream:
            call = Call(upstream.base_url, model=vertex.UPSTREAM_MODEL[recording.kind])
            measures[recording.name] = await vertex.VERTEX_READER[recording.kind].read(call)
            assert upstream.exchanges[0].target == vertex.ADDRESS[recording.kind]
    assert measures[recording.name].error is None
    return measures[recording.name]


@pytest.mark.parametrize("dialect", sorted(CHECKS))
@pytest.mark.parametrize("recording", params(STREAMS))
async def test_every_caller_understands_what_vertex_says(recording: Recording, dialect: str, cloud: Proxied) -> None:
    assert recording.kind is not None
    told = as_told_by(dialect, await measure(recording))
    chosen = [one for streams in (True, False) for one in readers_of(dialect, streams=streams) if not one.needs_node]

    for reader in chosen:
        model = vertex.MODEL[recording.kind]
        reading = await cloud.read(reader, recording, model=model, pieces=random_pieces(1))

        expected = as_seen_by(reader.words, reader.blind, told)
        found = as_seen_by(reader.words, reader.blind, reading)
        assert differences(expected, found) == frozenset(), (reader.name, expected, found, reading.error_message)
        asked = cloud.upstream.exchanges[-1]
        assert asked.target == vertex.ADDRESS[recording.kind]
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("how", [CutHow.CLEAN, CutHow.RST])
@pytest.mark.parametrize("dialect", sorted(CHECKS))
@pytest.mark.parametrize("kind", vertex.MODEL)
async def test_a_cut_stream_of_vertex_is_an_error(kind: str, dialect: str, how: CutHow, cloud: Proxied) -> None:
    recording = next((one for one in handful(kind) if "tools" in one.features), None)
    if recording is None:
        pytest.skip(ABSENT)
    places = [place for place in cuts(recording) if not says_complete(kind, recording.response[:place])]

    raw = await cloud.stream(dialect, kind, recording.answer(cut=Cut(places[-1], how)), model=vertex.MODEL[kind])

    if raw.status == 200:
        assert not has_success_ending(dialect, raw.body)
        assert breaches(dialect, raw.body) == []


@pytest.mark.parametrize("dialect", sorted(CHECKS))
@pytest.mark.parametrize("recording", params(REFUSED))
async def test_refusals_of_vertex_keep_their_status(recording: Recording, dialect: str, cloud: Proxied) -> None:
    assert recording.kind is not None
    for reader in [one for one in readers_of(dialect, streams=True) if not one.needs_node]:
        reading = await cloud.read(reader, recording, model=vertex.MODEL[recording.kind])

        assert reading.ending == "error"
        assert str(recording.status) in f"{reading.error} {reading.error_message}"


# --- the request as Vertex receives it


async def asked_directly(kind: str, options: dict[str, Any]) -> Any:
    """The body that the vendor's client of Vertex sends there."""
    recording = handful(kind)[0]
    async with ReplayServer(recording.answer()) as upstream:
        call = Call(upstream.base_url, model=vertex.UPSTREAM_MODEL[kind], options=options)
        await vertex.VERTEX_READER[kind].read(call)
        return upstream.exchanges[0].json()


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


CLAUDE_TOOL = {"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}
GEMINI_TOOL = {"name": "get_weather", "description": "d", "parameters_json_schema": {"type": "object"}}
QUESTION = {"role": "user", "content": [text("hi")]}
THINKING = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
CALLED = [
    {"type": "thinking", "thinking": "why", "signature": "RXVNQkN3Z0JFQUVZQVNw"},
    {"type": "redacted_thinking", "data": "c2VhbGVk"},
    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"a": 1}},
    {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {}},
]
RESULTS = [
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("warm")]},
    {"type": "tool_result", "tool_use_id": "toolu_2", "content": [text("cold")], "is_error": True},
]
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "anthropic": {
        "plain": {"messages": [QUESTION], "system": [text("be brief")], "stop_sequences": ["END"]},
        "tools": {"messages": [QUESTION], "tools": [CLAUDE_TOOL], "tool_choice": {"type": "any"}},
        "second turn": {
            "messages": [
                QUESTION,
                {"role": "assistant", "content": CALLED},
                {"role": "user", "content": RESULTS},
            ],
            "tools": [CLAUDE_TOOL],
            **THINKING,
        },
    },
    "gemini": {
        "plain": {},
        "tools": {
            "config": {
                "system_instruction": "be brief",
                "tools": [{"function_declarations": [GEMINI_TOOL]}],
                "tool_config": {"function_calling_config": {"mode": "ANY"}},
                "thinking_config": {"include_thoughts": True, "thinking_budget": 1024},
                "stop_sequences": ["END"],
                "temperature": 0.5,
                "max_output_tokens": 4000,
            }
        },
    },
}


def in_camel_case(tree: Any) -> Any:
    """Google's client writes some names of its API otherwise, which the API takes as well."""
    if isinstance(tree, dict):
        camel = {"".join([name.split("_")[0], *(word.title() for word in name.split("_")[1:])]): name for name in tree}
        return {name: in_camel_case(tree[old]) for name, old in camel.items()}
    return [in_camel_case(one) for one in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize(("kind", "row"), [(kind, row) for kind, rows in OPTIONS.items() for row in rows])
async def test_vertex_is_asked_what_the_vendors_own_client_asks(kind: str, row: str, cloud: Proxied) -> None:
    options = OPTIONS[kind][row]
    if not handful(kind):
        pytest.skip(ABSENT)
    wanted = await asked_directly(kind, options)
    cloud.upstream.respond_with(handful(kind)[0].answer())

    reader = readers_of(kind, streams=True)[0]
    reading = await reader.read(Call(cloud.url, model=vertex.MODEL[kind], options=options))

    assert reading.error is None, reading.error_message
    asked = cloud.upstream.exchanges[-1]
    assert (asked.method, asked.target) == ("POST", vertex.ADDRESS[kind])
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert {"x-api-key", "x-goog-api-key", "anthropic-version"} & set(asked.headers) == set()
    if kind == "anthropic":
        wanted |= OWN_VERSION
        assert "model" not in asked.json()
    else:
        wanted = in_camel_case(wanted)
        wanted.get("systemInstruction", {}).pop("role", None)  # the API knows one role there
    assert asked.json() == wanted


@pytest.mark.parametrize("kind", vertex.MODEL)
@pytest.mark.parametrize("dialect", sorted(GENERATION))
async def test_every_dialect_reaches_the_address_with_its_prompt(dialect: str, kind: str, cloud: Proxied) -> None:
    recording = next(iter(handful(kind)), None)
    if recording is None:
        pytest.skip(ABSENT)

    raw = await cloud.stream(dialect, kind, recording.answer(), model=vertex.MODEL[kind])

    asked = cloud.upstream.exchanges[-1]
    body = asked.json()
    assert (raw.status, asked.target) == (200, vertex.ADDRESS[kind])
    assert ("model" in body, body.get("anthropic_version")) == (
        False,
        OWN_VERSION["anthropic_version"] if kind == "anthropic" else None,
    )
    assert PROMPT in str(body["messages"] if kind == "anthropic" else body["contents"])
    dropped = {name.lower(): value for name, value in raw.headers.items()}.get("x-proxy-dropped")
    assert dropped == ("stream" if dialect == "gemini" else None)  # which the URL says there
