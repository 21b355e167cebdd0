"""The simulated model as an OpenAI Chat Completions server (platform.openai.com/docs/api-reference/chat, read 2026-11).

Reasoning is shown as `reasoning_content`, as DeepSeek does; OpenAI itself shows none in this API.
"""

from collections.abc import Mapping

import msgspec

from proxy.demo.conversation import (
    Answer,
    BadRequest,
    Delta,
    Finish,
    Kind,
    Prompt,
    Role,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from proxy.demo.schema import JsonObject, is_array, is_object
from proxy.demo.wire import CREATED, encode, read_json, required, retry_headers, sse, sse_data

BASE_PATH = "/v1"

_FINISH_REASON = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.REFUSAL: "stop",
    Finish.PROMPT_REFUSED: "content_filter",
}

_ERROR = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "server_is_overloaded"),
}
"""Type and code by status; other 4xx are `invalid_request_error`, other 5xx `server_error`."""

_ROLE = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}

_EFFORT_TOKENS = {"none": 0, "minimal": 8, "low": 20, "medium": 60, "high": 120, "xhigh": 200, "max": 300}


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""


class _Function(msgspec.Struct):
    name: str = ""
    parameters: JsonObject | None = None


class _Call(msgspec.Struct):
    id: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Tool(msgspec.Struct):
    type: str = ""
    function: _Function | None = None


class _JsonSchema(msgspec.Struct):
    schema: JsonObject | None = None


class _ResponseFormat(msgspec.Struct):
    type: str = ""
    json_schema: _JsonSchema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str | None = None
    messages: list[_Message] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    response_format: _ResponseFormat | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    reasoning_effort: str | None = None


_DECODER = msgspec.json.Decoder(_Request)


class OpenAIChat:
    """`wire.Api` of Chat Completions."""

    def read(self, body: bytes, path: Mapping[str, str], query: Mapping[str, str]) -> Prompt:
        request = read_json(body, _DECODER)
        if request.stream_options is not None and not request.stream:
            raise BadRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        prompt = Prompt(required(request.model, "model"), _turns(required(request.messages, "messages")))
        prompt.stream = bool(request.stream)
        prompt.tools = [
            Tool(tool.function.name, tool.function.parameters) for tool in request.tools or [] if tool.function
        ]
        prompt.tool_use, prompt.only_tools = _tool_choice(request.tool_choice)
        prompt.parallel = request.parallel_tool_calls is not False
        prompt.max_tokens = request.max_completion_tokens or request.max_tokens
        prompt.stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
        prompt.reasoning = _EFFORT_TOKENS.get(request.reasoning_effort or "none", 60)
        if request.response_format is not None and request.response_format.type.startswith("json"):
            schema = request.response_format.json_schema
            prompt.wants_json, prompt.schema = True, schema.schema if schema is not None else None
        prompt.reports_usage = not prompt.stream or bool(
            request.stream_options and request.stream_options.include_usage
        )
        return prompt

    def writer(self, answer: Answer, query: Mapping[str, str]) -> "_Writer":
        return _Writer(answer)

    def token_count(self, tokens: int) -> bytes:
        return encode({"input_tokens": tokens})

    def error_body(self, status: int, message: str, retry_after_s: float | None) -> bytes:
        return encode({"error": _error(status, message)})

    def error_headers(self, status: int, retry_after_s: float | None) -> dict[str, str]:
        limits = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"} if status == 429 else {}
        return {**retry_headers(retry_after_s), **limits}


class _Writer:
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._head = {
            "id": f"chatcmpl-{answer.seed}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": answer.model,
        }

    def start(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def delta(self, delta: Delta) -> bytes:
        match delta.kind:
            case Kind.TEXT:
                return self._chunk({"content": delta.text})
            case Kind.REASONING:
                return self._chunk({"reasoning_content": delta.text})
            case Kind.REFUSAL:
                return self._chunk({"refusal": delta.text})
            case Kind.CALL:
                return self._call(delta)

    def finish(self, with_reason: bool = True) -> bytes:
        out = b""
        if self._answer.sources:
            out += self._chunk({"annotations": _annotations(self._answer)})
        if not with_reason:
            return out
        out += self._chunk({}, _FINISH_REASON[self._answer.finish])
        if self._answer.reports_usage:
            out += sse({**self._head, "choices": [], "usage": _usage(self._answer)})
        return out

    def terminator(self) -> bytes:
        return sse_data(b"[DONE]")

    def error(self, status: int, message: str) -> bytes:
        return sse({"error": _error(status, message)})

    def ping(self) -> bytes:
        return b": keep-alive\n\n"

    def frame(self, data: bytes) -> bytes:
        return sse_data(data)

    def wrong_type(self) -> bytes:
        return sse({**self._head, "choices": [{"index": "zero", "delta": 7}]})

    def whole(self) -> bytes:
        answer = self._answer
        message: JsonObject = {"role": "assistant", "content": "".join(answer.text) or None, "refusal": None}
        if answer.refusal:
            message["refusal"] = "".join(answer.refusal)
        if answer.reasoning and answer.shows_reasoning:
            message["reasoning_content"] = "".join(answer.reasoning)
        if answer.sources:
            message["annotations"] = _annotations(answer)
        if answer.calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{call.id}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.pieces)},
                }
                for call in answer.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH_REASON[answer.finish]}
        whole: JsonObject = {**self._head, "object": "chat.completion", "choices": [choice]}
        if answer.reports_usage:
            whole["usage"] = _usage(answer)
        return encode(whole)

    def _call(self, delta: Delta) -> bytes:
        call = self._answer.calls[delta.call]
        function: JsonObject = {"arguments": delta.text}
        fragment: JsonObject = {"index": delta.call, "function": function}
        if not delta.is_first:
            return self._chunk({"tool_calls": [fragment]})
        opening = {
            "index": delta.call,
            "id": f"call_{call.id}",
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        return self._chunk({"tool_calls": [opening]}) + self._chunk({"tool_calls": [fragment]})

    def _chunk(self, delta: JsonObject, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk: JsonObject = {**self._head, "choices": [choice]}
        if self._answer.reports_usage:
            chunk["usage"] = None
        return sse(chunk)


def _error(status: int, message: str) -> JsonObject:
    default = ("invalid_request_error", None) if status < 500 else ("server_error", None)
    kind, code = _ERROR.get(status, default)
    return {"message": message, "type": kind, "param": None, "code": code}


def _usage(answer: Answer) -> JsonObject:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    }


def _annotations(answer: Answer) -> list[JsonObject]:
    return [
        {
            "type": "url_citation",
            "url_citation": {"url": s.url, "title": s.title, "start_index": s.start, "end_index": s.end},
        }
        for s in answer.sources
    ]


def _turns(messages: list[_Message]) -> list[Turn]:
    if not messages:
        raise BadRequest("Invalid 'messages': empty array. Expected an array with minimum length 1.")
    turns: list[Turn] = []
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        text = _text(message.content)
        if message.role in ("tool", "function"):
            if message.role == "tool" and message.tool_call_id not in waiting:
                raise BadRequest(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with"
                    f" 'tool_calls' (messages[{index}])."
                )
            waiting.discard(message.tool_call_id or "")
            turns.append(Turn(Role.USER, results=[ToolResult(text, message.tool_call_id or "")]))
            continue
        if waiting:
            raise BadRequest(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                f" 'tool_call_id'. No response for: {', '.join(sorted(waiting))} (messages[{index}])."
            )
        role = _ROLE.get(message.role)
        if role is None:
            raise BadRequest(f"Invalid value: '{message.role}' (messages[{index}].role).")
        calls = [call.id for call in message.tool_calls or []]
        waiting = set(calls)
        turns.append(Turn(role, text, calls))
    if waiting:
        raise BadRequest(f"No tool message responds to: {', '.join(sorted(waiting))}.")
    return turns


def _text(content: str | list[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text or part.refusal for part in content if part.text or part.refusal)


def _tool_choice(choice: str | JsonObject | None) -> tuple[ToolUse, list[str] | None]:
    match choice:
        case None | "auto":
            return ToolUse.AUTO, None
        case "none":
            return ToolUse.NONE, None
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolUse.REQUIRED, [name]
        case {"type": "allowed_tools", "allowed_tools": allowed} if is_object(allowed):
            use = ToolUse.REQUIRED if allowed.get("mode") == "required" else ToolUse.AUTO
            return use, _allowed_names(allowed.get("tools"))
        case _:
            return ToolUse.REQUIRED, None


def _allowed_names(tools: object) -> list[str]:
    names: list[str] = []
    for tool in tools if is_array(tools) else []:
        match tool:
            case {"function": {"name": str(name)}}:
                names.append(name)
            case _:
                pass
    return names
