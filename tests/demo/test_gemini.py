"""The simulated model's generateContent, read by the real SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from tests.demo.conftest import Demo

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            parameters=types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}),
        )
    ]
)
NO_AUTO = types.AutomaticFunctionCallingConfig(disable=True)


@pytest.fixture
async def client(demo: Demo) -> AsyncIterator[Any]:
    client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=demo.url, api_version="v1beta"))
    async with client.aio as api:
        yield api
    client.close()


def config(**fields: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(automatic_function_calling=NO_AUTO, **fields)


async def chunks_of(client: Any, prompt: str, **fields: Any) -> list[types.GenerateContentResponse]:
    stream = await client.models.generate_content_stream(model="demo", contents=prompt, config=config(**fields))
    return [chunk async for chunk in stream]


async def test_stream_and_whole_answer_say_the_same(client: Any) -> None:
    whole = await client.models.generate_content(model="demo", contents="Tell me about streams")
    chunks = await chunks_of(client, "Tell me about streams")

    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert chunks[-1].candidates[0].finish_reason == "STOP"


async def test_calls_come_whole_and_a_result_is_used(client: Any) -> None:
    prompt = "What is the weather in Lima and in Oslo, both?"
    chunks = await chunks_of(client, prompt, tools=[WEATHER])
    calls = [call for chunk in chunks for call in chunk.function_calls or []]
    assert [(call.id, call.args) for call in calls] == [(None, {"city": "Lima"}), (None, {"city": "Oslo"})]

    contents = [
        types.UserContent(prompt),
        types.ModelContent([types.Part(function_call=call) for call in calls]),
        types.UserContent(
            [types.Part.from_function_response(name="get_weather", response={"result": "21 degrees"}) for _ in calls]
        ),
    ]
    answer = await client.models.generate_content(model="demo", contents=contents, config=config(tools=[WEATHER]))

    assert "21 degrees" in (answer.text or "")


async def test_thoughts_are_marked_and_counted_apart(client: Any) -> None:
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=100)

    chunks = await chunks_of(client, "Hi [[demo tokens=5]]", thinking_config=thinking)

    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]  # type: ignore[index,union-attr]
    usage = chunks[-1].usage_metadata
    assert len([part for part in parts if part.thought]) == 60
    assert parts[-1].thought_signature
    assert usage is not None
    assert (usage.thoughts_token_count, usage.candidates_token_count) == (60, 5)


async def test_structured_output_follows_its_schema(client: Any) -> None:
    schema = {"type": "OBJECT", "properties": {"response_type": {"type": "STRING", "enum": ["a_b"]}}}

    answer = await client.models.generate_content(
        model="demo", contents="Hi", config=config(response_mime_type="application/json", response_schema=schema)
    )

    assert json.loads(answer.text) == {"response_type": "a_b"}


async def test_limit_refusal_and_rejected_prompt_have_their_reasons(client: Any) -> None:
    limited = await chunks_of(client, "[[demo tokens=50]]", max_output_tokens=7)
    refused = await chunks_of(client, "[[demo refusal]]")
    rejected = await chunks_of(client, "[[demo refusal=prompt]]")

    assert limited[-1].candidates[0].finish_reason == "MAX_TOKENS"  # type: ignore[index]
    assert refused[-1].candidates[0].finish_reason == "SAFETY"  # type: ignore[index]
    assert [(chunk.candidates, chunk.prompt_feedback.block_reason) for chunk in rejected] == [  # type: ignore[union-attr]
        (None, "PROHIBITED_CONTENT")
    ]


async def test_broken_arguments_are_a_malformed_call(client: Any) -> None:
    chunks = await chunks_of(client, "[[demo tool=get_weather fault=bad_arguments]]", tools=[WEATHER])

    assert [chunk.function_calls for chunk in chunks] == [None]
    assert chunks[-1].candidates[0].finish_reason == "MALFORMED_FUNCTION_CALL"  # type: ignore[index]


async def test_grounding_counts_bytes(client: Any) -> None:
    answer = await client.models.generate_content(
        model="demo", contents='[[demo citations=2 text="Blåbær. Og te."]]', config=config()
    )

    supports = answer.candidates[0].grounding_metadata.grounding_supports
    assert [(s.segment.start_index, s.segment.end_index, s.segment.text) for s in supports] == [
        (0, 9, "Blåbær."),
        (10, 16, "Og te."),
    ]


async def test_tokens_are_counted(client: Any) -> None:
    counted = await client.models.count_tokens(model="demo", contents="Hello there")

    assert counted.total_tokens == 5


@pytest.mark.parametrize(
    ("status", "name"), [(400, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")]
)
async def test_status_raises_the_sdks_error(client: Any, status: int, name: str) -> None:
    with pytest.raises(errors.APIError) as caught:
        await client.models.generate_content(model="demo", contents=f"[[demo fault={status} retry_after=7]]")

    assert (caught.value.code, caught.value.status) == (status, name)
    assert "7s" in str(caught.value.details)


async def test_error_event_raises(client: Any) -> None:
    with pytest.raises(errors.ServerError):
        await chunks_of(client, "[[demo tokens=9 fault=error@3 status=503]]")


@pytest.mark.parametrize("tokens", [0, 1, 3])
async def test_stream_without_sse_is_one_json_array(demo: Demo, tokens: int) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": f"[[demo tokens={tokens}]]"}]}]}
    async with httpx2.AsyncClient(timeout=30) as http:
        response = await http.post(f"{demo.url}/v1/models/demo:streamGenerateContent", json=body)

    assert len(response.json()) == tokens + 1


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({}, "contents"),
        ({"contents": []}, "not specified"),
        ({"contents": [{"role": "bard", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"role": "user"}]}, "parts"),
    ],
)
async def test_bad_request_is_refused_as_gemini_does(demo: Demo, body: dict[str, Any], hint: str) -> None:
    async with httpx2.AsyncClient(timeout=30) as http:
        response = await http.post(f"{demo.url}/v1beta/models/demo:generateContent", json=body)

    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert hint in response.json()["error"]["message"]
