"""The simulated model as an Anthropic Messages server (docs.anthropic.com/en/api/messages, read 2026-11).

It insists on what the service insists on and a proxy may get wrong: `max_tokens`, every tool call answered in the very
next user message with the results first, and thinking that comes back with the signature it was given.
"""

from base64 import b64encode
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
from proxy.demo.schema import JsonObject
from proxy.demo.wire import arguments_of, encode, read_json, required, retry_headers, sse, sse_data

BASE_PATH = ""

_STOP_REASON = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "refusal",
    Finish.REFUSAL: "refusal",
    Finish.PROMPT_REFUSED: "refusal",
}

_ERROR_TYPE = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Other 4xx are `invalid_request_error`, other 5xx `api_error`."""

_SIGNATURE_MARK = b64encode(b"simulated signature ").decode().rstrip("=")[:24]

_DEFAULT_THINKING = 60


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    id: str = ""
    tool_use_id: str = ""
    content: "str | list[_Block] | JsonObject | None" = None
    signature: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str = ""
    input_schema: JsonObject | None = None


class _ToolChoice(msgspec.Struct):
    type: str = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Thinking(msgspec.Struct):
    type: str = "disabled"
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: str = ""
    schema: JsonObject | None = None


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None


class _Request(msgspec.Struct):
    model: str | None = None
    max_tokens: int | None = None
    messages: list[_Message] | None = None
    system: str | list[_Block] | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    stop_sequences: list[str] | None = None


_DECODER = msgspec.json.Decoder(_Request)


class Anthropic:
    """`wire.Api` of Messages; `counts` is true for the token counting endpoint, which needs no `max_tokens`."""

    def __init__(self, counts: bool = False) -> None:
        self._counts = counts

    def read(self, body: bytes, path: Mapping[str, str], query: Mapping[str, str]) -> Prompt:
        request = read_json(body, _DECODER)
        prompt = Prompt(required(request.model, "model"), _turns(request))
        prompt.max_tokens = request.max_tokens if self._counts else required(request.max_tokens, "max_tokens")
        prompt.stream = bool(request.stream)
        prompt.tools = [
            Tool(tool.name, tool.input_schema) for tool in request.tools or [] if tool.input_schema is not None
        ]
        prompt.stop = request.stop_sequences or []
        _read_tool_choice(prompt, request.tool_choice)
        _read_thinking(prompt, request.thinking)
        if request.output_config is not None and request.output_config.format is not None:
            prompt.wants_json, prompt.schema = True, request.output_config.format.schema
        return prompt

    def writer(self, answer: Answer, query: Mapping[str, str]) -> "_Writer":
        return _Writer(answer)

    def token_count(self, tokens: int) -> bytes:
        return encode({"input_tokens": tokens})

    def error_body(self, status: int, message: str, retry_after_s: float | None) -> bytes:
        return encode({**_error(status, message), "request_id": "req_simulated"})

    def error_headers(self, status: int, retry_after_s: float | None) -> dict[str, str]:
        limits = {"anthropic-ratelimit-requests-remaining": "0"} if status == 429 else {}
        return {**retry_headers(retry_after_s), **limits, "request-id": "req_simulated"}


class _Writer:
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._index = -1
        self._open: str | None = None
        """The type of the open block."""

    def start(self) -> bytes:
        message: JsonObject = {**_message(self._answer), "usage": {**_usage(self._answer), "output_tokens": 1}}
        out = _event("message_start", message=message) + self.ping()
        if self._answer.reasoning and not self._answer.shows_reasoning:
            out += self._start_block({"type": "thinking", "thinking": "", "signature": ""}) + self._end_block()
        return out

    def delta(self, delta: Delta) -> bytes:
        out = b""
        if self._open is None:
            out = self._start_block(self._opening(delta))
        out += _event("content_block_delta", index=self._index, delta=_block_delta(delta))
        return out + self._end_block() if delta.is_last else out

    def finish(self, with_reason: bool = True) -> bytes:
        out = self._end_block()
        for source in self._citations():
            out += source
        if not with_reason:
            return out
        usage: JsonObject = {"output_tokens": self._answer.usage.output}
        if self._answer.usage.reasoning:
            usage["output_tokens_details"] = {"thinking_tokens": self._answer.usage.reasoning}
        return out + _event("message_delta", delta=_stop(self._answer), usage=usage)

    def terminator(self) -> bytes:
        return _event("message_stop")

    def error(self, status: int, message: str) -> bytes:
        return sse(_error(status, message), "error")

    def ping(self) -> bytes:
        return _event("ping")

    def frame(self, data: bytes) -> bytes:
        return sse_data(data, "content_block_delta")

    def wrong_type(self) -> bytes:
        return _event("content_block_delta", index="zero", delta=7)

    def whole(self) -> bytes:
        answer = self._answer
        content: list[JsonObject] = []
        if answer.reasoning:
            thinking = "".join(answer.reasoning) if answer.shows_reasoning else ""
            content.append({"type": "thinking", "thinking": thinking, "signature": _signature(answer)})
        if text := "".join([*answer.text, *answer.refusal]):
            content.append({"type": "text", "text": text, **self._cited(text)})
        for call in answer.calls:
            given = arguments_of(call) or {}
            content.append({"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": given})
        return encode({**_message(answer), **_stop(answer), "content": content, "usage": _usage(answer)})

    def _opening(self, delta: Delta) -> JsonObject:
        match delta.kind:
            case Kind.TEXT | Kind.REFUSAL:
                return {"type": "text", "text": ""}
            case Kind.REASONING:
                return {"type": "thinking", "thinking": "", "signature": ""}
            case Kind.CALL:
                call = self._answer.calls[delta.call]
                return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}

    def _start_block(self, block: JsonObject) -> bytes:
        self._index += 1
        self._open = str(block["type"])
        return _event("content_block_start", index=self._index, content_block=block)

    def _end_block(self) -> bytes:
        if self._open is None:
            return b""
        out = b""
        if self._open == "thinking":
            signature = {"type": "signature_delta", "signature": _signature(self._answer)}
            out = _event("content_block_delta", index=self._index, delta=signature)
        self._open = None
        return out + _event("content_block_stop", index=self._index)

    def _citations(self) -> list[bytes]:
        """A text block of its own for each source, as web search answers have them."""
        frames: list[bytes] = []
        for citation in _citations(self._answer):
            frames.append(self._start_block({"type": "text", "text": "", "citations": []}))
            delta = {"type": "citations_delta", "citation": citation}
            frames.append(_event("content_block_delta", index=self._index, delta=delta))
            frames.append(self._end_block())
        return frames

    def _cited(self, text: str) -> JsonObject:
        citations = _citations(self._answer)
        return {"citations": citations} if citations else {}


def _event(event_type: str, **fields: object) -> bytes:
    return sse({"type": event_type, **fields}, event_type)


def _block_delta(delta: Delta) -> JsonObject:
    match delta.kind:
        case Kind.TEXT | Kind.REFUSAL:
            return {"type": "text_delta", "text": delta.text}
        case Kind.REASONING:
            return {"type": "thinking_delta", "thinking": delta.text}
        case Kind.CALL:
            return {"type": "input_json_delta", "partial_json": delta.text}


def _message(answer: Answer) -> JsonObject:
    return {
        "id": f"msg_{answer.seed}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(answer: Answer) -> JsonObject:
    return {"stop_reason": _STOP_REASON[answer.finish], "stop_sequence": answer.stop_sequence}


def _usage(answer: Answer) -> JsonObject:
    usage = answer.usage
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "service_tier": "standard",
    }


def _citations(answer: Answer) -> list[JsonObject]:
    return [
        {
            "type": "web_search_result_location",
            "url": source.url,
            "title": source.title,
            "cited_text": source.cited_text,
            "encrypted_index": "c2ltdWxhdGVk",
        }
        for source in answer.sources
    ]


def _signature(answer: Answer) -> str:
    return _SIGNATURE_MARK + b64encode(bytes.fromhex(answer.seed)).decode()


def _error(status: int, message: str) -> JsonObject:
    default = "invalid_request_error" if status < 500 else "api_error"
    return {"type": "error", "error": {"type": _ERROR_TYPE.get(status, default), "message": message}}


# --- reading


def _turns(request: _Request) -> list[Turn]:
    messages = required(request.messages, "messages")
    if not messages:
        raise BadRequest("messages: at least one message is required")
    turns = [Turn(Role.SYSTEM, _text(request.system))] if request.system else []
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        blocks = [_Block("text", message.content)] if isinstance(message.content, str) else message.content
        if message.role not in ("user", "assistant", "system"):
            raise BadRequest(f"messages.{index}.role: expected 'user', 'assistant' or 'system', got '{message.role}'")
        _check_results(blocks, waiting, index)
        _check_thinking(blocks, index)
        calls = [block.id for block in blocks if block.type == "tool_use"]
        waiting = set(calls)
        results = [
            ToolResult(_text(block.content), block.tool_use_id) for block in blocks if block.type == "tool_result"
        ]
        turns.append(Turn(Role(message.role), _text(blocks), calls, results))
    if waiting:
        raise BadRequest(
            f"messages: `tool_use` ids were found without `tool_result` blocks after: {', '.join(waiting)}"
        )
    return turns


def _check_results(blocks: list[_Block], waiting: set[str], index: int) -> None:
    results = [block.tool_use_id for block in blocks if block.type == "tool_result"]
    if missing := waiting.difference(results):
        raise BadRequest(
            f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after:"
            f" {', '.join(sorted(missing))}."
        )
    if unexpected := set(results).difference(waiting):
        raise BadRequest(
            f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(sorted(unexpected))}."
        )
    types = [block.type == "tool_result" for block in blocks]
    if types != sorted(types, reverse=True):
        raise BadRequest(f"messages.{index}: `tool_result` blocks must come first in the content.")


def _check_thinking(blocks: list[_Block], index: int) -> None:
    for number, block in enumerate(blocks):
        if block.type == "thinking" and not (block.signature or "").startswith(_SIGNATURE_MARK):
            raise BadRequest(f"messages.{index}.content.{number}: Invalid `signature` in `thinking` block")


def _text(content: str | list[_Block] | JsonObject | None) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(block.text for block in content if block.type == "text" and block.text)


def _read_tool_choice(prompt: Prompt, choice: _ToolChoice | None) -> None:
    if choice is None:
        return
    prompt.parallel = not choice.disable_parallel_tool_use
    match choice.type:
        case "any":
            prompt.tool_use = ToolUse.REQUIRED
        case "tool":
            prompt.tool_use, prompt.only_tools = ToolUse.REQUIRED, [required(choice.name, "tool_choice.name")]
        case "none":
            prompt.tool_use = ToolUse.NONE
        case _:
            pass


def _read_thinking(prompt: Prompt, thinking: _Thinking | None) -> None:
    if thinking is None or thinking.type == "disabled":
        return
    budget = thinking.budget_tokens
    if budget is not None and prompt.max_tokens is not None and budget >= prompt.max_tokens:
        raise BadRequest("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if budget is not None and budget < 1024:
        raise BadRequest("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    prompt.reasoning = _DEFAULT_THINKING
    prompt.shows_reasoning = thinking.display != "omitted"
