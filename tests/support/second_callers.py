"""Callers that ask, run the tools that the answer calls, and ask again with that answer as their SDK gave it.

Each is a function of the proxy's address, the model, whether to stream, and a hook for the second answer's headers.
Dialects without an SDK in Python send the second request as tests/e2e/test_second_turn.py writes it.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import ollama
import openai
from google import genai
from google.genai import types

from tests.support.canary import CALLER_KEY
from tests.support.first_turns import TOOL, TOOL_SCHEMA
from tests.support.reader import DEADLINE_S

Json = dict[str, Any]

RESULT = {"Oslo": "4 degrees", "Rome": "19 degrees"}
"""By the city of the call."""

STRICT_SCHEMA: Json = {**TOOL_SCHEMA, "required": ["city"], "additionalProperties": False}


@dataclass
class Heard:
    """The headers of the answers so far."""

    answers: list[Mapping[str, str]] = field(default_factory=list)

    async def note(self, response: Any) -> None:
        self.answers.append({name.lower(): value for name, value in response.headers.items()})


Ask = Callable[[str, str, bool, Heard], Awaitable[None]]


async def chat(url: str, model: str, streams: bool, heard: Heard) -> None:
    """`openai`: the message object goes back as it is."""
    hooks = {"response": [heard.note]}
    connections = openai.DefaultAsyncHttpxClient(verify=False, event_hooks=hooks)
    function: Any = {"name": TOOL, "parameters": STRICT_SCHEMA, "strict": True}
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    asked: Any = {"model": model, "messages": messages, "tools": [{"type": "function", "function": function}]}
    async with openai.AsyncOpenAI(
        api_key=CALLER_KEY, base_url=f"{url}/v1", max_retries=0, timeout=DEADLINE_S, http_client=connections
    ) as sdk:
        for _ in range(2):
            if streams:
                async with sdk.chat.completions.stream(**asked) as stream:
                    completion: Any = await stream.get_final_completion()
            else:
                completion = await sdk.chat.completions.create(**asked)
            message = completion.choices[0].message
            messages.append(message)
            for call in message.tool_calls:
                city = city_of(call.function.arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": RESULT[city]})


def city_of(arguments: str) -> str:
    return str(json.loads(arguments)["city"])


async def responses(url: str, model: str, streams: bool, heard: Heard) -> None:
    """`openai`: the items of the output go back as they are."""
    hooks = {"response": [heard.note]}
    connections = openai.DefaultAsyncHttpxClient(verify=False, event_hooks=hooks)
    items: list[Any] = [{"role": "user", "content": "hi"}]
    tool = {"type": "function", "name": TOOL, "parameters": STRICT_SCHEMA, "strict": True}
    asked: Any = {"model": model, "input": items, "tools": [tool], "store": False}
    asked["include"] = ["reasoning.encrypted_content"]
    async with openai.AsyncOpenAI(
        api_key=CALLER_KEY, base_url=f"{url}/v1", max_retries=0, timeout=DEADLINE_S, http_client=connections
    ) as sdk:
        for _ in range(2):
            if streams:
                async with sdk.responses.stream(**asked) as stream:
                    response: Any = await stream.get_final_response()
            else:
                response = await sdk.responses.create(**asked)
            items.extend(response.output)
            for item in response.output:
                if item.type == "function_call":
                    output = RESULT[city_of(item.arguments)]
                    items.append({"type": "function_call_output", "call_id": item.call_id, "output": output})


async def claude(url: str, model: str, streams: bool, heard: Heard) -> None:
    """`anthropic`: the blocks of the message go back as they are."""
    connections = anthropic.DefaultAsyncHttpxClient(verify=False, event_hooks={"response": [heard.note]})
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    tools = [{"name": TOOL, "input_schema": TOOL_SCHEMA}]
    asked: Any = {"model": model, "max_tokens": 4000, "messages": messages, "tools": tools}
    async with anthropic.AsyncAnthropic(
        api_key=CALLER_KEY, base_url=url, max_retries=0, timeout=DEADLINE_S, http_client=connections
    ) as sdk:
        for _ in range(2):
            if streams:
                async with sdk.messages.stream(**asked) as stream:
                    message: Any = await stream.get_final_message()
            else:
                message = await sdk.messages.create(**asked)
            calls = [block for block in message.content if block.type == "tool_use"]
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": RESULT[call.input["city"]]} for call in calls
            ]
            messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]


async def gemini(url: str, model: str, streams: bool, heard: Heard) -> None:
    """`google-genai`: its chat keeps what was said."""
    async with httpx2.AsyncClient(verify=False, timeout=DEADLINE_S, event_hooks={"response": [heard.note]}) as http:
        options = types.HttpOptions(
            base_url=url, api_version="v1beta", client_args={"verify": False}, httpx_async_client=http
        )
        declaration = types.FunctionDeclaration(name=TOOL, parameters_json_schema=TOOL_SCHEMA)
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declaration])],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        with genai.Client(api_key=CALLER_KEY, vertexai=False, http_options=options) as sdk:
            conversation = sdk.aio.chats.create(model=model, config=config)
            said: Any = "hi"
            for _ in range(2):
                if streams:
                    parts = [part async for part in _streamed_parts(conversation, said)]
                else:
                    answer = await conversation.send_message(said)
                    parts = answer.candidates[0].content.parts
                calls = [part.function_call for part in parts if part.function_call]
                said = [
                    types.Part(
                        function_response=types.FunctionResponse(
                            id=call.id, name=call.name, response={"output": RESULT[call.args["city"]]}
                        )
                    )
                    for call in calls
                ]


async def _streamed_parts(conversation: Any, said: Any) -> AsyncIterator[Any]:
    async for chunk in await conversation.send_message_stream(said):
        for part in chunk.candidates[0].content.parts or () if chunk.candidates and chunk.candidates[0].content else ():
            yield part


async def ollama_chat(url: str, model: str, streams: bool, heard: Heard) -> None:
    """`ollama`: the message goes back; of a stream, its parts put together as its documentation does."""
    tools: Any = [{"type": "function", "function": {"name": TOOL, "parameters": TOOL_SCHEMA}}]
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    hooks: Any = {"response": [heard.note]}
    async with ollama.AsyncClient(host=f"{url}/ollama", timeout=DEADLINE_S, event_hooks=hooks) as sdk:
        for _ in range(2):
            asked: Any = {"model": model, "messages": messages, "tools": tools}
            if streams:
                message = ollama.Message(role="assistant", content="", thinking="", tool_calls=[])
                async for part in await sdk.chat(stream=True, **asked):
                    message.content = (message.content or "") + (part.message.content or "")
                    message.thinking = (message.thinking or "") + (part.message.thinking or "")
                    message.tool_calls = [*(message.tool_calls or ()), *(part.message.tool_calls or ())]
            else:
                message = (await sdk.chat(**asked)).message
            messages.append(message)
            for call in message.tool_calls or ():
                content = RESULT[call.function.arguments["city"]]
                messages.append({"role": "tool", "tool_name": TOOL, "content": content})
