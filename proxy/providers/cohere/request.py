"""A canonical request as the body of `POST /v2/chat`.

Source: docs.cohere.com/reference/chat; cohere-python 7.3.1 `v2/client.py`, which gives the ranges.
"""

import msgspec

from proxy.hub.events import ToolKind
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    ReasoningRequest,
    ResponseFormat,
    Sampling,
    ToolDefinition,
    ToolMode,
)
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.cohere.messages import MAX_NAME_CHARS, Conversation
from proxy.providers.custom_tools import SCHEMA
from proxy.providers.request_parts import (
    Dropped,
    Json,
    effort_of,
    foreign_proofs,
    offered_tools,
    refuse_several_answers,
    sendable_name,
)

PATH = "/v2/chat"
HEADERS = {"content-type": "application/json"}

MAX_STOP_SEQUENCES = 5

OWN_FIELDS = frozenset({"citation_options", "documents", "priority", "safety_mode"})
"""Extensions that are fields of this API."""

RANGE: dict[str, tuple[float, float]] = {
    "p": (0.01, 0.99),
    "presence_penalty": (0.0, 1.0),
    "frequency_penalty": (0.0, 1.0),
}
"""What the API takes; the nearest value is sent for others, and named."""

THINKING_BUDGET: dict[Effort, int | None] = {
    Effort.NONE: None,
    Effort.MINIMAL: 1024,
    Effort.LOW: 2048,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 16384,
    Effort.XHIGH: 32000,
    Effort.MAX: None,
}
"""`None`: without a bound (and none at all for NONE, which turns thinking off)."""

NO_PARAMETERS = b'{"type":"object","properties":{}}'


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """The request for `target`. Raises CallerError for what must not be lost and cannot be carried."""
    refuse_several_answers(request)
    dropped = Dropped()
    conversation = Conversation(dropped)
    dropped.add_all(foreign_proofs(request, None, with_reasoning=True))
    body: Json = {"model": target.model, "messages": conversation.encode(request.messages), "stream": True}
    if conversation.documents:
        body["documents"] = conversation.documents
    _add_tools(body, request, dropped)
    _add_sampling(body, request.sampling, dropped)
    if request.response_format is not None and request.response_format.kind is not FormatKind.TEXT:
        body["response_format"] = _format(request.response_format)
        dropped.add_if(request.response_format.description, "response_format.description")
    if request.reasoning is not None:
        _add_thinking(body, request.reasoning, dropped)
    for name, json in request.extensions.items():
        if name in OWN_FIELDS:
            body[name] = msgspec.Raw(json)
        else:
            dropped.add(name)
    _name_unsent(request, dropped)
    return UpstreamRequest(PATH, msgspec.json.encode(body), HEADERS, dropped.names())


def _add_tools(body: Json, request: ChatRequest, dropped: Dropped) -> None:
    for server_tool in request.server_tools:
        dropped.add(f"tools: {server_tool.type}")
    choice = request.tool_choice
    tools = offered_tools(request)
    if choice is not None and choice.mode is ToolMode.NAMED:
        # There is no such choice here: the one tool that is offered must be called.
        tools = [tool for tool in tools if tool.name == choice.name]
    if not tools:
        dropped.add_if(choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED), "tool_choice")
        return
    body["tools"] = [_tool(tool, f"tools[{number}]", dropped) for number, tool in enumerate(tools)]
    if all(tool.strict for tool in tools):
        body["strict_tools"] = True
    else:
        dropped.add_if(any(tool.strict for tool in tools), "tools.strict")
    if choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED):
        body["tool_choice"] = "REQUIRED"
    elif choice is not None and choice.mode is ToolMode.NONE:
        body["tool_choice"] = "NONE"
    dropped.add_if(request.parallel_tool_calls is False, "parallel_tool_calls")


def _tool(tool: ToolDefinition, path: str, dropped: Dropped) -> Json:
    is_custom = tool.kind is ToolKind.CUSTOM
    dropped.add_if(tool.cache, "cache_control")
    dropped.add_if(is_custom and tool.format, f"{path}.format")
    function: Json = {"name": sendable_name(tool.name, f"{path}.name", MAX_NAME_CHARS)}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = msgspec.Raw(SCHEMA if is_custom else tool.parameters or NO_PARAMETERS)
    return {"type": "function", "function": function}


def _add_sampling(body: Json, sampling: Sampling, dropped: Dropped) -> None:
    bounded = {
        "p": ("top_p", sampling.top_p),
        "presence_penalty": ("presence_penalty", sampling.presence_penalty),
        "frequency_penalty": ("frequency_penalty", sampling.frequency_penalty),
    }
    for name, (callers_name, value) in bounded.items():
        if value is None:
            continue
        lowest, highest = RANGE[name]
        body[name] = min(max(value, lowest), highest)
        dropped.add_if(body[name] != value, f"{callers_name}: beyond {lowest:g}..{highest:g}, the nearest is sent")
    given: Json = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "k": sampling.top_k,
        "seed": sampling.seed,
        "stop_sequences": sampling.stop[:MAX_STOP_SEQUENCES] or None,
    }
    body.update((name, value) for name, value in given.items() if value is not None)
    dropped.add_if(len(sampling.stop) > MAX_STOP_SEQUENCES, f"stop[{MAX_STOP_SEQUENCES}:]")
    dropped.add_if(sampling.logit_bias, "logit_bias")
    # Converted streams have no place for them: asking would only cost.
    dropped.add_if(sampling.logprobs, "logprobs")
    dropped.add_if(sampling.top_logprobs is not None, "top_logprobs")


def _format(wanted: ResponseFormat) -> Json:
    written: Json = {"type": "json_object"}
    if wanted.schema is not None:
        written["json_schema"] = msgspec.Raw(wanted.schema)
    return written


def _add_thinking(body: Json, wanted: ReasoningRequest, dropped: Dropped) -> None:
    effort = effort_of(wanted)
    dropped.add_if(wanted.visible is False and effort is not Effort.NONE, "reasoning.visible")
    if effort is None and not wanted.adaptive:
        return
    if effort is Effort.NONE:
        body["thinking"] = {"type": "disabled"}
        return
    budget = wanted.budget_tokens or (THINKING_BUDGET[effort] if effort is not None else None)
    body["thinking"] = {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}


def _name_unsent(request: ChatRequest, dropped: Dropped) -> None:
    dropped.add_if(request.user, "user")
    dropped.add_if(request.metadata, "metadata")
    dropped.add_if(request.service_tier not in (None, "auto", "default"), "service_tier")
    dropped.add_if(request.verbosity, "verbosity")
    dropped.add_if(request.cache_key, "cache_key")
