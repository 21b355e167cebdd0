"""The official `openai` SDK on Responses: raw iteration, the accumulating helper, and whole answers."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.canary import PROMPT
from tests.support.reader import Call, Reader
from tests.support.readers.openai_chat import client
from tests.support.readings import Reading, Tokens, ToolCall, failed, parsed

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""`incomplete_details.reason` in common words."""


def _request(call: Call) -> dict[str, Any]:
    return {"model": call.model, "input": PROMPT, **call.options}


async def read_raw(call: Call) -> Reading:
    """Every event as the SDK yields it."""
    events = _Events()
    async with client(call) as sdk:
        try:
            async for event in await sdk.responses.create(stream=True, **_request(call)):
                events.add(event.model_dump(exclude_unset=True, warnings=False))
        except Exception as fault:
            return failed(events.reading(), fault)
    return events.reading()


async def read_helper(call: Call) -> Reading:
    """`client.responses.stream(...)`, which puts the response together itself."""
    async with client(call) as sdk:
        try:
            async with sdk.responses.stream(**_request(call)) as stream:
                async for event in stream:
                    if event.type == "response.incomplete":
                        # `get_final_response` knows `response.completed` only.
                        return reading_of_response(event.response.model_dump(exclude_unset=True, warnings=False))
                response = await stream.get_final_response()
        except Exception as fault:
            return failed(Reading(), fault)
    return reading_of_response(response.model_dump(exclude_unset=True, warnings=False))


async def read_whole(call: Call) -> Reading:
    """`stream: false`."""
    async with client(call) as sdk:
        try:
            response = await sdk.responses.create(**_request(call))
        except Exception as fault:
            return failed(Reading(), fault)
    return reading_of_response(response.model_dump(exclude_unset=True, warnings=False))


def reading_of_response(response: dict[str, Any]) -> Reading:
    """What a terminal snapshot says."""
    texts = {"output_text": "", "refusal": ""}
    reasoning = ""
    calls: list[ToolCall] = []
    for item in response.get("output") or []:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    texts[part["type"]] += part.get("text") or part.get("refusal") or ""
            case "reasoning":
                reasoning += "".join(part["text"] for part in [*item.get("summary", []), *(item.get("content") or [])])
            case "function_call":
                calls.append(ToolCall(item["call_id"], item["name"], parsed(item["arguments"])))
            case "custom_tool_call":
                calls.append(ToolCall(item["call_id"], item["name"], item["input"]))
    reading = Reading(
        texts["output_text"],
        reasoning,
        texts["refusal"],
        tuple(calls),
        tokens_of(response.get("usage")),
        finish_of(response, bool(calls)),
    )
    if response.get("status") == "failed":
        fault = response.get("error") or {}
        return failed(reading, RuntimeError(f"{fault.get('code')}: {fault.get('message')}"))
    return reading


def finish_of(response: dict[str, Any], has_calls: bool) -> str | None:
    match response.get("status"):
        case "completed":
            return "tool_calls" if has_calls else "stop"
        case "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            return INCOMPLETE.get(reason, reason)
        case _:
            return None


@dataclass
class _Item:
    type: str
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class _Events:
    """What the deltas of a stream say; the terminal snapshot gives usage and the reason of the end, nothing else."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    items: dict[int, _Item] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "response.output_text.delta":
                self.text += event["delta"]
            case "response.refusal.delta":
                self.refusal += event["delta"]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self.reasoning += event["delta"]
            case "response.output_item.added":
                item = event["item"]
                self.items[event["output_index"]] = _Item(item["type"], item.get("call_id", ""), item.get("name", ""))
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                self.items[event["output_index"]].arguments += event["delta"]
            case "error":
                self.error = event
            case kind if kind in TERMINAL:
                self.end = event["response"]

    def reading(self) -> Reading:
        calls = tuple(
            ToolCall(item.call_id, item.name, item.arguments if "custom" in item.type else parsed(item.arguments))
            for item in self.items.values()
            if item.type in ("function_call", "custom_tool_call")
        )
        end = self.end or {}
        reading = Reading(
            self.text, self.reasoning, self.refusal, calls, tokens_of(end.get("usage")), finish_of(end, bool(calls))
        )
        if self.error is not None or end.get("status") == "failed":
            return failed(reading, RuntimeError(str(self.error or end.get("error"))))
        if self.end is None:
            # Raw iteration ends without a word when the stream was cut: what any careful caller checks for itself.
            return failed(reading, EOFError("no terminal event"))
        return reading


def tokens_of(usage: dict[str, Any] | None) -> Tokens | None:
    if usage is None:
        return None
    input_details = usage.get("input_tokens_details") or {}
    return Tokens(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        input_details.get("cached_tokens"),
        input_details.get("cache_write_tokens"),
        (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
    )


READERS = [
    Reader("openai-python-responses", "openai_responses", True, read_raw),
    Reader("openai-python-responses-helper", "openai_responses", True, read_helper),
    Reader("openai-python-responses-whole", "openai_responses", False, read_whole),
]
