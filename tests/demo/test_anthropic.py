"""The simulated model's Messages, read by the real SDK."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from tests.demo.conftest import Demo

WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
async def client(demo: Demo) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=demo.url, api_key="none", max_retries=0, timeout=30) as client:
        yield client


def ask(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "max_tokens": 2000, "messages": [{"role": "user", "content": prompt}], **more}


def contents(message: anthropic.types.Message) -> list[tuple[str, str]]:
    """Text and thinking, whichever classes the SDK reads them into."""
    return [(block.type, getattr(block, "thinking", "") or getattr(block, "text", "")) for block in message.content]


async def test_stream_and_whole_answer_say_the_same(client: AsyncAnthropic) -> None:
    whole = await client.messages.create(**ask("Tell me about streams [[demo cached=3]]"))
    async with client.messages.stream(**ask("Tell me about streams [[demo cached=3]]")) as stream:
        streamed = await stream.get_final_message()

    assert contents(whole) == contents(streamed)
    assert whole.stop_reason == streamed.stop_reason == "end_turn"
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 10
    assert whole.usage.cache_read_input_tokens == streamed.usage.cache_read_input_tokens == 3


async def test_same_prompt_gets_the_same_words_in_every_api(client: AsyncAnthropic, demo: Demo) -> None:
    whole = await client.messages.create(**ask("Tell me about streams"))
    async with httpx2.AsyncClient(timeout=30) as http:
        body = {"model": "x", "messages": [{"role": "user", "content": "Tell me about streams"}]}
        other = (await http.post(f"{demo.url}/v1/chat/completions", json=body)).json()

    assert whole.content[0].type == "text"
    assert whole.content[0].text == other["choices"][0]["message"]["content"]


async def test_tool_round_trip_with_thinking_keeps_its_signature(client: AsyncAnthropic) -> None:
    request = ask("What is the weather in Lima?", tools=[WEATHER], thinking={"type": "enabled", "budget_tokens": 1024})
    async with client.messages.stream(**request) as stream:
        first = await stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    assert first.stop_reason == "tool_use"
    call = first.content[1]
    assert call.type == "tool_use"
    assert call.input == {"city": "Lima"}

    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "21 degrees"}]}
    request["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await client.messages.create(**request)

    assert second.content[-1].type == "text"
    assert "21 degrees" in second.content[-1].text


async def test_parallel_calls_are_sequential_blocks(client: AsyncAnthropic) -> None:
    async with client.messages.stream(**ask("[[demo tool=get_weather tool=get_weather]]", tools=[WEATHER])) as stream:
        message = await stream.get_final_message()

    ids = [block.id for block in message.content if block.type == "tool_use"]
    assert len(ids) == len(set(ids)) == 2


@pytest.mark.parametrize(
    ("choice", "calls"),
    [({"type": "any"}, 1), ({"type": "tool", "name": "get_weather"}, 1), ({"type": "none"}, 0), ({"type": "auto"}, 0)],
)
async def test_tool_choice_is_honoured(client: AsyncAnthropic, choice: Any, calls: int) -> None:
    message = await client.messages.create(**ask("Hello", tools=[WEATHER], tool_choice=choice))

    assert len([block for block in message.content if block.type == "tool_use"]) == calls


async def test_hidden_thinking_has_a_signature_and_no_words(client: AsyncAnthropic) -> None:
    request = ask("Hi", thinking={"type": "adaptive", "display": "omitted"})
    whole = await client.messages.create(**request)
    async with client.messages.stream(**request) as stream:
        streamed = await stream.get_final_message()

    assert contents(whole) == contents(streamed)
    assert whole.content[0].type == "thinking"
    assert whole.content[0].thinking == ""
    assert whole.content[0].signature


async def test_structured_output_follows_its_schema(client: AsyncAnthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }

    message = await client.messages.create(
        **ask("Hi", output_config={"format": {"type": "json_schema", "schema": schema}})
    )

    assert message.content[0].type == "text"
    assert message.content[0].text == '{"ok":true}'


async def test_stop_sequence_and_limit_have_their_reasons(client: AsyncAnthropic) -> None:
    stopped = await client.messages.create(**ask('[[demo text="one two"]]', stop_sequences=[" two"]))
    limited = await client.messages.create(**{**ask("[[demo tokens=50]]"), "max_tokens": 7})

    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " two")
    assert (limited.stop_reason, limited.usage.output_tokens) == ("max_tokens", 7)


async def test_call_cut_by_the_limit_has_the_arguments_it_got(client: AsyncAnthropic) -> None:
    async with client.messages.stream(
        **{**ask("[[demo tool=get_weather]]", tools=[WEATHER]), "max_tokens": 3}
    ) as stream:
        message = await stream.get_final_message()

    assert message.stop_reason == "max_tokens"


async def test_citations_and_refusals_are_streamed(client: AsyncAnthropic) -> None:
    async with client.messages.stream(**ask("[[demo citations=1 tokens=40]]")) as stream:
        cited = await stream.get_final_message()
    refused = await client.messages.create(**ask("[[demo refusal]]"))

    found = [block.citations for block in cited.content if block.type == "text" and block.citations]
    assert found[0][0].url == "https://example.com/source/1"  # type: ignore[union-attr]
    assert refused.stop_reason == "refusal"


async def test_tokens_are_counted_as_the_answer_counts_them(client: AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "Hello there"}])
    answered = await client.messages.create(**ask("Hello there"))

    assert counted.input_tokens == answered.usage.input_tokens


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_status_raises_the_sdks_error(
    client: AsyncAnthropic, status: int, error: type[anthropic.APIStatusError], stream: bool
) -> None:
    with pytest.raises(error, match="simulated model failed"):
        await client.messages.create(**ask(f"[[demo fault={status}]]"), stream=stream)


async def test_error_event_raises_after_the_text_before_it(client: AsyncAnthropic) -> None:
    seen: list[str] = []

    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        async with client.messages.stream(**ask("[[demo tokens=9 fault=error@3 status=529]]")) as stream:
            async for text in stream.text_stream:
                seen.append(text)

    assert len(seen) == 3


@pytest.mark.parametrize("fault", ["fin@3", "rst@3"])
async def test_broken_connection_raises(client: AsyncAnthropic, fault: str) -> None:
    with pytest.raises(httpx2.TransportError):
        async with client.messages.stream(**ask(f"[[demo tokens=9 fault={fault}]]")) as stream:
            await stream.get_final_message()


TOOL_USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": [TOOL_USE]}]}, "without `tool_result`"),
        ({"messages": [{"role": "assistant", "content": [TOOL_USE]}, {"role": "user", "content": "x"}]}, "t1"),
        ({"messages": [{"role": "user", "content": [TOOL_RESULT]}]}, "unexpected `tool_use_id`"),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [TOOL_USE]},
                    {"role": "user", "content": [{"type": "text", "text": "x"}, TOOL_RESULT]},
                ]
            },
            "must come first",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "forged"}]}
                ]
            },
            "Invalid `signature`",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "must be greater than"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "1024"),
    ],
)
async def test_bad_request_is_refused_as_anthropic_does(demo: Demo, change: dict[str, Any], hint: str) -> None:
    async with httpx2.AsyncClient(timeout=30) as http:
        response = await http.post(f"{demo.url}/v1/messages", json=ask("x") | change)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert hint in response.json()["error"]["message"]
