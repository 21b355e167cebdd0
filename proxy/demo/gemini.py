"""The simulated model as a Gemini server (ai.google.dev/api/generate-content, read 2026-11).

Model and streaming are in the path. Without `alt=sse` a stream is one JSON array. Function calls come whole and have no
id, as the service often sends them; the stream has no terminator.
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
from proxy.demo.schema import JsonObject, is_array, is_object
from proxy.demo.wire import arguments_of, encode, read_json, required, sse_data

BASE_PATH = ""

_FINISH_REASON = {
    Finish.STOP: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.TOOL_CALLS: "STOP",
    Finish.CONTENT_FILTER: "SAFETY",
    Finish.REFUSAL: "SAFETY",
    Finish.PROMPT_REFUSED: "PROHIBITED_CONTENT",
}

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Other 4xx are `INVALID_ARGUMENT`, other 5xx `INTERNAL`."""

_DEFAULT_THOUGHTS = 60


class _FunctionCall(msgspec.Struct, rename="camel"):
    name: str = ""


class _FunctionResponse(msgspec.Struct, rename="camel"):
    name: str = ""
    id: str = ""
    response: JsonObject | None = None


class _Part(msgspec.Struct, rename="camel"):
    text: str = ""
    thought: bool = False
    function_call: _FunctionCall | None = None
    function_response: _FunctionResponse | None = None


class _Content(msgspec.Struct, rename="camel"):
    role: str = "user"
    parts: list[_Part] | None = None


class _Declaration(msgspec.Struct, rename="camel"):
    name: str = ""
    parameters: JsonObject | None = None
    parameters_json_schema: JsonObject | None = None


class _Tool(msgspec.Struct, rename="camel"):
    function_declarations: list[_Declaration] | None = None


class _CallingConfig(msgspec.Struct, rename="camel"):
    mode: str = "AUTO"
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _CallingConfig | None = None


class _ThinkingConfig(msgspec.Struct, rename="camel"):
    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _GenerationConfig(msgspec.Struct, rename="camel"):
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: JsonObject | None = None
    response_json_schema: JsonObject | None = None
    thinking_config: _ThinkingConfig | None = None


class _Request(msgspec.Struct, rename="camel"):
    contents: list[_Content] | None = None
    system_instruction: _Content | None = None
    tools: list[_Tool] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _GenerationConfig | None = None
    generate_content_request: "_Request | None" = None
    """The whole request inside a token counting one."""


_DECODER = msgspec.json.Decoder(_Request)


class Gemini:
    """`wire.Api` of generateContent. `path` holds `model` and `verb`."""

    def read(self, body: bytes, path: Mapping[str, str], query: Mapping[str, str]) -> Prompt:
        request = read_json(_camel_case(body), _DECODER)
        request = request.generate_content_request or request
        prompt = Prompt(path["model"].removeprefix("models/"), _turns(request))
        prompt.stream = path["verb"] == "streamGenerateContent"
        prompt.tools = [
            Tool(found.name, found.parameters_json_schema or found.parameters)
            for tool in request.tools or []
            for found in tool.function_declarations or []
        ]
        if request.tool_config is not None and request.tool_config.function_calling_config is not None:
            _read_calling_config(prompt, request.tool_config.function_calling_config)
        if request.generation_config is not None:
            _read_config(prompt, request.generation_config)
        return prompt

    def writer(self, answer: Answer, query: Mapping[str, str]) -> "_Writer":
        return _Writer(answer, is_array=query.get("alt") != "sse")

    def token_count(self, tokens: int) -> bytes:
        return encode({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})

    def error_body(self, status: int, message: str, retry_after_s: float | None) -> bytes:
        return encode(_error(status, message, retry_after_s))

    def error_headers(self, status: int, retry_after_s: float | None) -> dict[str, str]:
        """None: this API says when to retry in the body."""
        return {}


class _Writer:
    def __init__(self, answer: Answer, is_array: bool) -> None:
        self.content_type = "application/json; charset=UTF-8" if is_array else "text/event-stream"
        self._answer = answer
        self._is_array = is_array
        self._wrote = False
        self._output = 0

    def start(self) -> bytes:
        return b""

    def delta(self, delta: Delta) -> bytes:
        self._output += 1
        match delta.kind:
            case Kind.TEXT | Kind.REFUSAL:
                return self._chunk([{"text": delta.text}])
            case Kind.REASONING:
                return self._chunk([{"text": delta.text, "thought": True}])
            case Kind.CALL:
                if not delta.is_last:
                    return b""
                part = self._call_part(delta.call)
                return self._chunk([part]) if part is not None else b""

    def finish(self, with_reason: bool = True) -> bytes:
        if not with_reason:
            return b""
        self._output = self._answer.usage.output
        if self._answer.finish is Finish.PROMPT_REFUSED:
            feedback = {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": list[object]()}
            return self._write({"promptFeedback": feedback, **self._tail()})
        return self._chunk([self._last_part()], self._finish_reason())

    def terminator(self) -> bytes:
        if not self._is_array:
            return b""
        return b"\r\n]" if self._wrote else b"[]"

    def error(self, status: int, message: str) -> bytes:
        return self._write(_error(status, message, None))

    def ping(self) -> bytes:
        """This API has no keep-alive: a chunk that says nothing."""
        return self._write(self._tail())

    def frame(self, data: bytes) -> bytes:
        if not self._is_array:
            return sse_data(data, line_end="\r\n")
        before, self._wrote = (b",\r\n" if self._wrote else b"["), True
        return before + data

    def wrong_type(self) -> bytes:
        return self._write({"candidates": 5, "usageMetadata": "none"})

    def whole(self) -> bytes:
        answer = self._answer
        self._output = answer.usage.output
        if answer.finish is Finish.PROMPT_REFUSED:
            return encode({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **self._tail()})
        parts: list[JsonObject] = []
        if answer.reasoning and answer.shows_reasoning:
            parts.append({"text": "".join(answer.reasoning), "thought": True})
        if text := "".join([*answer.text, *answer.refusal]):
            parts.append({"text": text, **self._signed(not answer.calls)})
        calls = [self._call_part(index) for index in range(len(answer.calls))]
        parts += [part for part in calls if part is not None]
        return encode({"candidates": [self._candidate(parts, self._finish_reason())], **self._tail()})

    def _call_part(self, index: int) -> JsonObject | None:
        """The whole call; `None` when its arguments are no JSON, which this API never shows."""
        call = self._answer.calls[index]
        arguments = arguments_of(call)
        if arguments is None:
            return None
        return {"functionCall": {"name": call.name, "args": arguments}, **self._signed(index == 0)}

    def _finish_reason(self) -> str:
        answer = self._answer
        if answer.finish is Finish.TOOL_CALLS and any(arguments_of(call) is None for call in answer.calls):
            return "MALFORMED_FUNCTION_CALL"
        return _FINISH_REASON[answer.finish]

    def _last_part(self) -> JsonObject:
        return {"text": "", **self._signed(not self._answer.calls)}

    def _signed(self, bears_signature: bool) -> JsonObject:
        if not (bears_signature and self._answer.reasoning):
            return {}
        return {"thoughtSignature": b64encode(bytes.fromhex(self._answer.seed)).decode()}

    def _chunk(self, parts: list[JsonObject], finish_reason: str | None = None) -> bytes:
        return self._write({"candidates": [self._candidate(parts, finish_reason)], **self._tail()})

    def _candidate(self, parts: list[JsonObject], finish_reason: str | None) -> JsonObject:
        candidate: JsonObject = {"content": {"parts": parts, "role": "model"}}
        if finish_reason is not None:
            candidate["finishReason"] = finish_reason
            if self._answer.sources:
                candidate["groundingMetadata"] = _grounding(self._answer)
        return {**candidate, "index": 0}

    def _tail(self) -> JsonObject:
        answer, usage = self._answer, self._answer.usage
        thoughts = min(self._output, usage.reasoning)
        metadata: JsonObject = {"promptTokenCount": usage.input}
        if usage.cached:
            metadata["cachedContentTokenCount"] = usage.cached
        metadata["candidatesTokenCount"] = self._output - thoughts
        if thoughts:
            metadata["thoughtsTokenCount"] = thoughts
        metadata["totalTokenCount"] = usage.input + self._output
        tail: JsonObject = {"usageMetadata": metadata} if answer.reports_usage else {}
        return {**tail, "modelVersion": answer.model, "responseId": answer.seed}

    def _write(self, value: JsonObject) -> bytes:
        return self.frame(encode(value))


def _grounding(answer: Answer) -> JsonObject:
    """Segments count bytes of UTF-8."""
    text = "".join(answer.text)
    return {
        "groundingChunks": [{"web": {"uri": source.url, "title": source.title}} for source in answer.sources],
        "groundingSupports": [
            {
                "segment": {
                    "startIndex": len(text[: source.start].encode()),
                    "endIndex": len(text[: source.end].encode()),
                    "text": source.cited_text,
                },
                "groundingChunkIndices": [index],
            }
            for index, source in enumerate(answer.sources)
        ],
    }


def _error(status: int, message: str, retry_after_s: float | None) -> JsonObject:
    error: JsonObject = {
        "code": status,
        "message": message,
        "status": _STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL"),
    }
    if retry_after_s is not None:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after_s:g}s"}]
    return {"error": error}


# --- reading


def _camel_case(body: bytes) -> bytes:
    """The body with the keys that we read in camel case: proto3 JSON accepts snake case as well, and SDKs mix both."""
    if b"_" not in body:
        return body
    try:
        return encode(_renamed(msgspec.json.decode(body)))
    except (msgspec.DecodeError, RecursionError):
        return body


_READ_KEYS = {
    name: encoded
    for struct in (
        *(_FunctionCall, _FunctionResponse, _Part, _Content, _Declaration, _Tool, _CallingConfig, _ToolConfig),
        *(_ThinkingConfig, _GenerationConfig, _Request),
    )
    for name, encoded in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    if name != encoded
}
_CALLERS_OWN = frozenset(
    ("parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "response", "args")
)
"""What is below these keys are the caller's names."""


def _renamed(value: object) -> object:
    if is_object(value):
        pairs = [(_READ_KEYS.get(key) or key, inner) for key, inner in value.items()]
        return {key: inner if key in _CALLERS_OWN else _renamed(inner) for key, inner in pairs}
    return [_renamed(inner) for inner in value] if is_array(value) else value


def _turns(request: _Request) -> list[Turn]:
    contents = required(request.contents, "contents")
    if not contents:
        raise BadRequest("* GenerateContentRequest.contents: contents is not specified")
    turns = [Turn(Role.SYSTEM, _text(request.system_instruction))] if request.system_instruction else []
    for index, content in enumerate(contents):
        if content.role not in ("user", "model", "function"):
            raise BadRequest(f"Please use a valid role: user, model. (contents[{index}].role)")
        if not content.parts:
            raise BadRequest(f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.")
        calls = [part.function_call.name for part in content.parts if part.function_call is not None]
        results = [
            ToolResult(encode(part.function_response.response).decode(), name=part.function_response.name)
            for part in content.parts
            if part.function_response is not None
        ]
        turns.append(Turn(Role.ASSISTANT if content.role == "model" else Role.USER, _text(content), calls, results))
    return turns


def _text(content: _Content) -> str:
    return "\n".join(part.text for part in content.parts or [] if part.text and not part.thought)


def _read_calling_config(prompt: Prompt, config: _CallingConfig) -> None:
    prompt.only_tools = config.allowed_function_names or None
    match config.mode:
        case "ANY":
            prompt.tool_use = ToolUse.REQUIRED
        case "NONE":
            prompt.tool_use = ToolUse.NONE
        case _:
            pass


def _read_config(prompt: Prompt, config: _GenerationConfig) -> None:
    prompt.max_tokens = config.max_output_tokens
    prompt.stop = config.stop_sequences or []
    prompt.wants_json = config.response_mime_type == "application/json"
    prompt.schema = config.response_json_schema or config.response_schema
    thinking = config.thinking_config
    if thinking is None or thinking.thinking_budget == 0:
        return
    prompt.reasoning = _DEFAULT_THOUGHTS
    prompt.shows_reasoning = thinking.include_thoughts
