"""Writes a request of the Responses API.

What is always sent: `store: false` (the default would keep the caller's data at the provider), `stream: true`, and
`strict` on every function, because the API's own default rewrites schemas that do not fit it. With reasoning, the
encrypted form is asked for: without a store it is the only way to carry reasoning to the next turn.

What the API has no field for (stop sequences, penalties, seed, logit bias, top_k, log probabilities, which the hub does
not carry) is named as dropped. `n` above 1 and media that only another vendor could find are refused.
"""

from typing import Final

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    ReasoningPart,
    ReasoningRequest,
    ResponseFormat,
    Sampling,
    ServerTool,
    ToolChoice,
    ToolDefinition,
    ToolMode,
)
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.openai_responses.input import InputWriter
from proxy.providers.request_parts import foreign_proofs

Json = dict[str, object]

PATH: Final = "/responses"
HEADERS: Final = {"content-type": "application/json"}

MIN_OUTPUT_TOKENS: Final = 16
"""The API refuses less with a 400 ("Expected a value >= 16"); a smaller limit is raised, and named."""

SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
"""The tiers that the API knows (openai-python 3.54.0); words of other vendors are dropped."""

EFFORT_BY_BUDGET: Final = (
    (1, Effort.NONE),
    (1536, Effort.MINIMAL),
    (4096, Effort.LOW),
    (12288, Effort.MEDIUM),
    (24576, Effort.HIGH),
)
"""A budget below the first number means that effort; larger ones are XHIGH."""

NO_PARAMETERS: Final = msgspec.Raw(b'{"type":"object","properties":{}}')


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """See `Provider.encode_request`."""
    if request.sampling.n > 1:
        raise CallerError(ErrorKind.INVALID_REQUEST, "n: this model gives one answer only", param="n")
    dropped: list[str] = []
    body: Json = {"model": target.model, "stream": True, "store": False}
    body["input"] = InputWriter(request.messages, dropped).items()
    dropped += foreign_proofs(request, Origin.OPENAI)
    _add_sampling(body, request.sampling, dropped)
    _add_tools(body, request, dropped)
    _add_text(body, request.response_format, request.verbosity)
    _add_reasoning(body, request, request.reasoning)
    _add_rest(body, request, dropped)
    return UpstreamRequest(PATH, msgspec.json.encode(body), HEADERS, tuple(dropped))


def _add_sampling(body: Json, sampling: Sampling, dropped: list[str]) -> None:
    if sampling.max_tokens is not None:
        body["max_output_tokens"] = max(sampling.max_tokens, MIN_OUTPUT_TOKENS)
        if sampling.max_tokens < MIN_OUTPUT_TOKENS:
            dropped.append(f"max_tokens: raised to {MIN_OUTPUT_TOKENS}")
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    dropped.extend(
        name
        for name, is_given in (
            ("top_k", sampling.top_k is not None),
            ("stop", bool(sampling.stop)),
            ("seed", sampling.seed is not None),
            ("presence_penalty", bool(sampling.presence_penalty)),
            ("frequency_penalty", bool(sampling.frequency_penalty)),
            ("logit_bias", sampling.logit_bias is not None),
            ("logprobs", sampling.logprobs),
            ("top_logprobs", bool(sampling.top_logprobs)),
        )
        if is_given
    )


# --- tools


def _add_tools(body: Json, request: ChatRequest, dropped: list[str]) -> None:
    tools: list[Json | msgspec.Raw] = [_tool(tool) for tool in request.tools]
    if any(tool.cache is not None for tool in request.tools):
        dropped.append("tools: cache_control")
    tools.extend(msgspec.Raw(tool.json) for tool in request.server_tools if _is_ours(tool, dropped))
    if tools:
        body["tools"] = tools
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.tool_choice is not None and tools:
        body["tool_choice"] = _tool_choice(request.tool_choice, request.tools)


def _tool(tool: ToolDefinition) -> Json:
    if tool.kind is ToolKind.CUSTOM:
        custom: Json = {"type": "custom", "name": tool.name}
        if tool.description is not None:
            custom["description"] = tool.description
        if tool.format is not None:
            custom["format"] = msgspec.Raw(tool.format)
        return custom
    function: Json = {
        "type": "function",
        "name": tool.name,
        "parameters": NO_PARAMETERS if tool.parameters is None else msgspec.Raw(tool.parameters),
        "strict": bool(tool.strict),
    }
    if tool.description is not None:
        function["description"] = tool.description
    return function


def _is_ours(tool: ServerTool, dropped: list[str]) -> bool:
    if tool.origin is Origin.OPENAI:
        return True
    dropped.append(f"tools: {tool.type}")
    return False


def _tool_choice(choice: ToolChoice, tools: tuple[ToolDefinition, ...]) -> str | Json:
    kinds = {tool.name: tool.kind for tool in tools}
    if choice.mode is ToolMode.NAMED and choice.name is not None:
        return _tool_reference(choice.name, kinds)
    mode = choice.mode.value if choice.mode is not ToolMode.NAMED else ToolMode.REQUIRED.value
    if choice.allowed is None or choice.mode is ToolMode.NONE:
        return mode
    allowed = [_tool_reference(name, kinds) for name in choice.allowed]
    return {"type": "allowed_tools", "mode": mode, "tools": allowed}


def _tool_reference(name: str, kinds: dict[str, ToolKind]) -> Json:
    return {"type": "custom" if kinds.get(name) is ToolKind.CUSTOM else "function", "name": name}


# --- everything else


def _add_text(body: Json, format: ResponseFormat | None, verbosity: str | None) -> None:
    text: Json = {}
    if format is not None and format.kind is not FormatKind.TEXT:
        text["format"] = _format(format)
    if verbosity is not None:
        text["verbosity"] = verbosity
    if text:
        body["text"] = text


def _format(format: ResponseFormat) -> Json:
    if format.kind is FormatKind.JSON_OBJECT or format.schema is None:
        return {"type": "json_object"}
    wire: Json = {"type": "json_schema", "name": format.name or "answer", "schema": msgspec.Raw(format.schema)}
    if format.strict is not None:
        wire["strict"] = format.strict
    if format.description is not None:
        wire["description"] = format.description
    return wire


def _add_reasoning(body: Json, request: ChatRequest, reasoning: ReasoningRequest | None) -> None:
    effort = None if reasoning is None else _effort(reasoning)
    if reasoning is not None:
        wire: Json = {}
        if effort is not None:
            wire["effort"] = effort.value
        if reasoning.visible:
            wire["summary"] = "auto"
        if wire:
            body["reasoning"] = wire
    is_replayed = any(
        isinstance(part, ReasoningPart) and part.origin is Origin.OPENAI
        for message in request.messages
        for part in message.parts
    )
    # Models that do not reason refuse the include, so it is sent only where reasoning is certain.
    if is_replayed or (reasoning is not None and effort is not Effort.NONE):
        body["include"] = ["reasoning.encrypted_content"]


def _effort(reasoning: ReasoningRequest) -> Effort | None:
    """The effort asked for, or the one that a budget of tokens means; `None`: the model decides."""
    if reasoning.effort is not None or reasoning.budget_tokens is None:
        return reasoning.effort
    budget = reasoning.budget_tokens
    return next((effort for limit, effort in EFFORT_BY_BUDGET if budget < limit), Effort.XHIGH)


def _add_rest(body: Json, request: ChatRequest, dropped: list[str]) -> None:
    if request.user is not None:
        # Not `safety_identifier`: servers that only speak this API's format know the older name.
        body["user"] = request.user
    if request.metadata is not None:
        body["metadata"] = msgspec.Raw(request.metadata)
    if request.cache_key is not None:
        body["prompt_cache_key"] = request.cache_key
    if request.service_tier in SERVICE_TIERS:
        body["service_tier"] = request.service_tier
    elif request.service_tier is not None:
        dropped.append("service_tier")
    dropped.extend(request.extensions)
