"""A canonical request as the body of `POST /api/chat`, and a caller's own body with another model in it.

Source: ollama `docs/api.md`, `api/types.go` ChatRequest; ollama-python 0.6.3 `_types.ChatRequest`.
"""

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import ToolKind
from proxy.hub.json_text import mended
from proxy.hub.request import ChatRequest, Effort, FormatKind, ReasoningRequest, ToolDefinition, ToolMode
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.custom_tools import SCHEMA
from proxy.providers.ollama.messages import Conversation
from proxy.providers.request_parts import (
    Dropped,
    Json,
    call_names,
    effort_of,
    foreign_proofs,
    offered_tools,
    refuse_several_answers,
)

CHAT = "/api/chat"
GENERATE = "/api/generate"
HEADERS = {"content-type": "application/json"}

OWN_FIELDS = frozenset({"keep_alive"})
"""Extensions that are fields of this API; those that begin with `options.` are members of `options`."""

THINK: dict[Effort, bool | str] = {
    Effort.NONE: False,
    Effort.MINIMAL: "low",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "high",
}
"""Models without levels take each of the words for `true`."""

NO_PARAMETERS = b'{"type":"object","properties":{}}'
"""The API wants a schema even where there is nothing to say."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """The request for `target`. Raises CallerError for what must not be lost and cannot be carried."""
    refuse_several_answers(request)
    dropped = Dropped()
    messages = Conversation(call_names(request), dropped).encode(request.messages)
    dropped.add_all(foreign_proofs(request, None, with_reasoning=True))
    body: Json = {"model": target.model, "messages": messages, "stream": True}
    _add_tools(body, request, dropped)
    if request.response_format is not None and request.response_format.kind is not FormatKind.TEXT:
        schema = request.response_format.schema
        body["format"] = "json" if schema is None else msgspec.Raw(schema)
        dropped.add_if(request.response_format.description, "response_format.description")
    if request.reasoning is not None:
        _add_thinking(body, request.reasoning, dropped)
    options = _options(request, dropped)
    for name, json in request.extensions.items():
        if name in OWN_FIELDS:
            body[name] = msgspec.Raw(json)
        elif name.startswith("options."):
            options.setdefault(name.removeprefix("options."), msgspec.Raw(json))
        else:
            dropped.add(name)
    if options:
        body["options"] = options
    _name_unsent(request, dropped)
    return UpstreamRequest(CHAT, msgspec.json.encode(body), HEADERS, dropped.names())


def splice_request(call: NativeCall, target: Target) -> UpstreamRequest:
    """`call` for `target`: every other field keeps its bytes. Raises CallerError for a body that is no object."""
    try:
        fields = _FIELDS.decode(mended(call.body))
    except (ValueError, RecursionError) as fault:
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body is no JSON object.") from fault
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model))
    path = CHAT if "messages" in fields or "prompt" not in fields else GENERATE
    return UpstreamRequest(path, msgspec.json.encode(fields), HEADERS)


def _add_tools(body: Json, request: ChatRequest, dropped: Dropped) -> None:
    for server_tool in request.server_tools:
        dropped.add(f"tools: {server_tool.type}")
    choice = request.tool_choice
    if choice is not None and choice.mode is ToolMode.NONE:
        # There is no such choice here: a tool that is not offered is not called.
        return
    tools = [_tool(tool, dropped) for tool in offered_tools(request)]
    if tools:
        body["tools"] = tools
        dropped.add_if(request.parallel_tool_calls is False, "parallel_tool_calls")
    dropped.add_if(choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED), "tool_choice")


def _tool(tool: ToolDefinition, dropped: Dropped) -> Json:
    is_custom = tool.kind is ToolKind.CUSTOM
    dropped.add_if(tool.strict, f"tools[{tool.name}].strict")
    dropped.add_if(tool.cache, "cache_control")
    dropped.add_if(is_custom and tool.format, f"tools[{tool.name}].format")
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = msgspec.Raw(SCHEMA if is_custom else tool.parameters or NO_PARAMETERS)
    return {"type": "function", "function": function}


def _add_thinking(body: Json, wanted: ReasoningRequest, dropped: Dropped) -> None:
    effort = effort_of(wanted)
    if effort is not None:
        body["think"] = THINK[effort]
    elif wanted.adaptive:
        body["think"] = True
    dropped.add_if(wanted.visible is False and effort is not Effort.NONE, "reasoning.visible")


def _options(request: ChatRequest, dropped: Dropped) -> Json:
    sampling = request.sampling
    given: Json = {
        "num_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop": sampling.stop or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    dropped.add_if(sampling.logit_bias, "logit_bias")
    # Converted streams have no place for them: asking would only cost.
    dropped.add_if(sampling.logprobs, "logprobs")
    dropped.add_if(sampling.top_logprobs is not None, "top_logprobs")
    return {name: value for name, value in given.items() if value is not None}


def _name_unsent(request: ChatRequest, dropped: Dropped) -> None:
    dropped.add_if(request.user, "user")
    dropped.add_if(request.metadata, "metadata")
    dropped.add_if(request.service_tier not in (None, "auto", "default"), "service_tier")
    dropped.add_if(request.verbosity, "verbosity")
    dropped.add_if(request.cache_key, "cache_key")
