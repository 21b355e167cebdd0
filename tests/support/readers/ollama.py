"""The official `ollama` package, on its chat and generate calls, with and without streaming."""

from collections.abc import AsyncIterator
from typing import Any

import ollama

from tests.support.canary import PROMPT
from tests.support.reader import DEADLINE_S, Call, Read, Reader
from tests.support.readings import FINISH, Reading, Tokens, ToolCall, failed, with_derived_finish


async def read_stream(call: Call) -> Reading:
    return await _read_stream(call, "chat")


async def read_generate(call: Call) -> Reading:
    return await _read_stream(call, "generate")


async def read_whole(call: Call) -> Reading:
    return await _read_whole(call, "chat")


async def read_whole_generate(call: Call) -> Reading:
    return await _read_whole(call, "generate")


def _request(call: Call, method: str) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": PROMPT}]} if method == "chat" else {"prompt": PROMPT}
    return {"model": call.model, **asked, **call.options}


async def _read_stream(call: Call, method: str) -> Reading:
    seen = _Seen()
    async with ollama.AsyncClient(host=f"{call.base_url}/ollama", timeout=DEADLINE_S) as client:
        try:
            parts: AsyncIterator[Any] = await getattr(client, method)(stream=True, **_request(call, method))
            async for part in parts:
                seen.add(part)
        except Exception as fault:  # whatever the SDK raises is what its user sees
            return failed(seen.reading(), fault)
    return seen.reading() if seen.is_done else failed(seen.reading(), EOFError("no line with done"))


async def _read_whole(call: Call, method: str) -> Reading:
    seen = _Seen()
    async with ollama.AsyncClient(host=f"{call.base_url}/ollama", timeout=DEADLINE_S) as client:
        try:
            seen.add(await getattr(client, method)(**_request(call, method)))
        except Exception as fault:  # whatever the SDK raises is what its user sees
            return failed(seen.reading(), fault)
    return seen.reading()


class _Seen:
    """The parts of an answer so far."""

    def __init__(self) -> None:
        self._text = self._reasoning = ""
        self._calls: list[ToolCall] = []
        self._end: Any = None

    @property
    def is_done(self) -> bool:
        return self._end is not None

    def add(self, part: Any) -> None:
        message = part.message if isinstance(part, ollama.ChatResponse) else part
        self._text += (message.content if isinstance(part, ollama.ChatResponse) else message.response) or ""
        self._reasoning += message.thinking or ""
        for call in getattr(message, "tool_calls", None) or ():
            arguments = call.function.arguments
            self._calls.append(ToolCall("", call.function.name, dict(arguments)))
        if part.done:
            self._end = part

    def reading(self) -> Reading:
        end = self._end
        tokens, finish = None, None
        if end is not None:
            counts = (end.prompt_eval_count, end.eval_count)
            tokens = Tokens(*counts) if any(count is not None for count in counts) else None
            finish = FINISH["ollama"].get(end.done_reason, end.done_reason)
        return with_derived_finish(Reading(self._text, self._reasoning, "", tuple(self._calls), tokens, finish))


def _of(name: str, read: Read, *, streams: bool = True) -> Reader:
    return Reader(name, "ollama", streams, read)


READERS = [
    _of("ollama-python", read_stream),
    _of("ollama-python-whole", read_whole, streams=False),
]
"""Those of the generate method read a stream of their own format, and are called by name."""
