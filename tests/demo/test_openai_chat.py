"""The simulated model's Chat Completions, read by the real SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.demo.conftest import Demo

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    },
}


@pytest.fixture
async def client(demo: Demo) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        yield client


def ask(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}


async def test_stream_and_whole_answer_say_the_same(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**ask("Tell me about streams"))
    async with client.chat.completions.stream(
        **ask("Tell me about streams"), stream_options={"include_usage": True}
    ) as stream:
        streamed = await stream.get_final_completion()

    assert whole.choices[0].message.content == streamed.choices[0].message.content
    assert "Tell me about streams" in (whole.choices[0].message.content or "")
    assert whole.usage == streamed.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.choices[0].finish_reason == streamed.choices[0].finish_reason == "stop"


async def test_deltas_are_as_many_as_the_output_tokens(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        **ask("x [[demo tokens=37]]"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(texts) == 37
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 37


async def test_usage_is_streamed_only_on_request(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**ask("x"), stream=True)

    assert all(chunk.usage is None and chunk.choices for chunk in [chunk async for chunk in stream])


async def test_tool_round_trip_ends_in_an_answer_that_uses_the_result(client: AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Lima?"}]
    async with client.chat.completions.stream(model="demo", messages=messages, tools=[WEATHER]) as stream:
        first = (await stream.get_final_completion()).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Lima", "unit": "celsius"}

    messages += [
        first.message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees and rain"},
    ]
    second = await client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])

    assert "21 degrees and rain" in (second.choices[0].message.content or "")
    assert second.choices[0].finish_reason == "stop"


async def test_parallel_calls_have_their_own_ids_and_arguments(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(**ask("Weather in Oslo and in Rome, both", tools=[WEATHER])) as stream:
        message = (await stream.get_final_completion()).choices[0].message

    calls = message.tool_calls or []
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Oslo", "Rome"]
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("none", None),
        ("auto", None),
        ("required", "get_weather"),
        ({"type": "function", "function": {"name": "other"}}, "other"),
    ],
)
async def test_tool_choice_is_honoured(client: AsyncOpenAI, choice: Any, name: str | None) -> None:
    tools = [WEATHER, {"type": "function", "function": {"name": "other"}}]

    answer = await client.chat.completions.create(**ask("Hello", tools=tools, tool_choice=choice))

    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ([name] if name else [])


async def test_directed_tasks_take_one_turn_each(client: AsyncOpenAI) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("write", "read")]
    prompt = (
        'Work. [[demo tool=write {"path":"a.txt","text":"one"} text="Writing."]] [[demo tool=read {"path":"a.txt"}]]'
        ' [[demo text="Done."]]'
    )
    messages: list[Any] = [{"role": "user", "content": prompt}]
    turns: list[tuple[str | None, list[str]]] = []

    for _ in range(3):
        choice = (await client.chat.completions.create(model="demo", messages=messages, tools=tools)).choices[0]
        calls = choice.message.tool_calls or []
        turns.append((choice.message.content, [call.function.arguments for call in calls]))
        messages.append(choice.message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in calls]

    assert turns == [("Writing.", ['{"path":"a.txt","text":"one"}']), (None, ['{"path":"a.txt"}']), ("Done.", [])]


async def test_calls_come_one_by_one_when_parallel_calls_are_off(client: AsyncOpenAI) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]

    answer = await client.chat.completions.create(
        **ask("[[demo tool=f tool=g]]", tools=tools, parallel_tool_calls=False)
    )

    assert [call.function.name for call in answer.choices[0].message.tool_calls or []] == ["f"]


async def test_reasoning_is_shown_and_counted(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        **ask("Think", reasoning_effort="low"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    shown = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks if chunk.choices]
    usage = chunks[-1].usage
    assert len([piece for piece in shown if piece]) == 20
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 20


class Forecast(BaseModel):
    city: str
    days: list[int]
    rain: bool | None


async def test_structured_output_parses_into_its_model(client: AsyncOpenAI) -> None:
    parsed = await client.chat.completions.parse(**ask("Forecast for Rome"), response_format=Forecast)
    async with client.chat.completions.stream(**ask("Forecast for Rome"), response_format=Forecast) as stream:
        streamed = await stream.get_final_completion()

    assert parsed.choices[0].message.parsed is not None
    assert parsed.choices[0].message.parsed.city == "Rome"
    assert parsed.choices[0].message.parsed == streamed.choices[0].message.parsed


async def test_json_mode_answers_an_object(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**ask("Hi", response_format={"type": "json_object"}))

    assert json.loads(answer.choices[0].message.content or "")["about"] == "Hi"


async def test_limit_ends_the_answer_with_length(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**ask("Hi [[demo tokens=50]]", max_completion_tokens=7))

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7


async def test_stop_sequence_ends_the_answer_before_it(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**ask('[[demo text="one two three"]]', stop=["three", " two"]))

    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one", "stop")


async def test_refusal_is_streamed_as_a_refusal(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(**ask("[[demo refusal]]")) as stream:
        message = (await stream.get_final_completion()).choices[0].message

    assert message.refusal is not None
    assert message.refusal.startswith("I can’t help")


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    assert [model.id async for model in await client.models.list()] == ["demo", "demo-fast", "demo-thinking"]


async def test_multilingual_text_arrives_whole(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**ask("emoji please [[demo tokens=400]]"), stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert "👩‍👩‍👧‍👦" in text or "データ" in text or "Каждое" in text


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_status_raises_the_sdks_error(
    client: AsyncOpenAI, status: int, error: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(error, match="simulated model failed") as caught:
        await client.chat.completions.create(**ask(f"[[demo fault={status} retry_after=2]]"), stream=stream)

    assert caught.value.response.headers["retry-after"] == "2"


async def test_refused_once_is_answered_on_the_sdks_retry(demo: Demo) -> None:
    async with AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=1, timeout=30) as client:
        answer = await client.chat.completions.create(**ask('[[demo fault=503 retry_after=0.01 times=1 text="ok"]]'))

    assert answer.choices[0].message.content == "ok"


async def test_error_event_raises_after_the_text_before_it(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**ask("[[demo tokens=9 fault=error@3 status=429]]"), stream=True)
    texts: list[str] = []

    with pytest.raises(openai.APIError, match="simulated model failed") as caught:
        async for chunk in stream:
            texts += [chunk.choices[0].delta.content or ""]

    assert len([text for text in texts if text]) == 3
    assert caught.value.code == "rate_limit_exceeded"


async def test_garbage_raises(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**ask("[[demo tokens=9 fault=garbage@3]]"), stream=True)

    with pytest.raises(json.JSONDecodeError):
        [chunk async for chunk in stream]


@pytest.mark.parametrize("fault", ["fin@3", "rst@3", "rst@headers", "fin@headers", "fin@first"])
async def test_broken_connection_raises(client: AsyncOpenAI, fault: str) -> None:
    with pytest.raises((httpx2.TransportError, openai.APIConnectionError)):
        stream = await client.chat.completions.create(**ask(f"[[demo tokens=9 fault={fault}]]"), stream=True)
        [chunk async for chunk in stream]


@pytest.mark.parametrize("fault", ["stall@headers", "stall@first", "stall@2"])
async def test_silence_times_out(client: AsyncOpenAI, fault: str) -> None:
    patient = client.with_options(timeout=0.1)

    with pytest.raises((httpx2.ReadTimeout, openai.APITimeoutError)):
        stream = await patient.chat.completions.create(**ask(f"[[demo tokens=9 fault={fault}]]"), stream=True)
        [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"messages": []}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "empty array"),
        ({"model": "m", "messages": [{"role": "bard", "content": "x"}]}, "bard"),
        ({"model": "m", "messages": 5}, "JSON body"),
        ({"model": "m", "messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, "preceding message"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "c"),
        (
            {
                "model": "m",
                "messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}, {"role": "user", "content": ""}],
            },
            "tool_call_id",
        ),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream_options": {}}, "stream_options"),
        ({"model": "m", "messages": [{"role": "user", "content": "[[demo no=1]]"}]}, "unknown option"),
    ],
)
async def test_bad_request_is_refused_as_openai_does(demo: Demo, body: dict[str, Any], hint: str) -> None:
    async with httpx2.AsyncClient(timeout=30) as http:
        response = await http.post(f"{demo.url}/v1/chat/completions", json=body)

    assert response.status_code == 400
    assert hint in response.json()["error"]["message"]
    assert response.json()["error"]["type"] == "invalid_request_error"
