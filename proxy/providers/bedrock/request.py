"""A canonical request as the body of `POST /model/{id}/converse-stream`.

Source: botocore 1.44 `bedrock-runtime/2023-09-30/service-2.json`, shape ConverseStreamRequest; docs.aws.amazon.com
"Inference request parameters and response fields for foundation models" for what each family takes beside it.
"""

import msgspec

from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import ChatRequest, Effort, FormatKind, Role, ToolDefinition, ToolMode
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.bedrock.messages import MAX_NAME_CHARS, Conversation
from proxy.providers.bedrock.models import has_cache_points, is_claude, origin, path
from proxy.providers.claude import ClaudeRules, claude_rules, closed_schema
from proxy.providers.custom_tools import SCHEMA
from proxy.providers.request_parts import (
    Dropped,
    Json,
    call_names,
    cannot,
    effort_of,
    foreign_proofs,
    offered_tools,
    refuse_several_answers,
    sendable_name,
)

HEADERS = {"content-type": "application/json", "accept": "application/vnd.amazon.eventstream"}

OWN_FIELDS = frozenset(
    {
        *("additionalModelRequestFields", "additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig"),
        *("promptVariables", "requestMetadata", "serviceTier"),
    }
)
"""Extensions that are fields of this API."""

SERVICE_TIER: dict[str, str] = {"default": "default", "flex": "flex", "priority": "priority", "reserved": "reserved"}
"""`auto` is the API's own choice and not sent. Others are dropped."""

SIMPLE_EFFORT: dict[Effort, str] = {
    Effort.NONE: "low",
    Effort.MINIMAL: "low",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "high",
}
"""For the families that know three efforts (gpt-oss, Nova 2)."""

NO_PARAMETERS = b'{"type":"object","properties":{}}'
JSON_HINT = "Answer with one valid JSON object and nothing else: no other text, no code fence."
SCHEMA_HINT = " The JSON object must be valid against this JSON Schema: "


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """The request for `target`. Raises CallerError for what must not be lost and cannot be carried."""
    refuse_several_answers(request)
    dropped = Dropped()
    conversation = Conversation(origin(target), dropped, has_cache_points=has_cache_points(target))
    body: Json = {"messages": conversation.encode(request.messages)}
    dropped.add_all(foreign_proofs(request, origin(target)))
    rules = _rules(request, target, dropped)
    additional: Json = {}
    _add_reasoning(additional, request, target, rules, dropped)
    _add_tools(body, request, conversation, rules, dropped)
    _add_inference(body, additional, request, target, rules, dropped)
    _add_format(body, request, conversation, rules, dropped)
    _add_rest(body, additional, request, dropped)
    if conversation.system:
        body["system"] = conversation.system
    if additional:
        body.setdefault("additionalModelRequestFields", additional)
    return UpstreamRequest(path(target.model, "converse-stream"), msgspec.json.encode(body), HEADERS, dropped.names())


def _rules(request: ChatRequest, target: Target, dropped: Dropped) -> ClaudeRules | None:
    """What a Claude takes; `None` for other models. Thinking gives way to a prefilled answer and to an unsigned loop."""
    if not is_claude(target):
        return None
    limit = request.sampling.max_tokens or target.max_tokens
    version = target.quirks.claude_version
    rules = claude_rules(target.model, version, request.reasoning, limit)
    is_prefilled = request.messages[-1].role is Role.ASSISTANT
    if rules.is_refused or (rules.is_thinking and (is_prefilled or _is_bare_tool_loop(request))):
        dropped.add("reasoning")
        return claude_rules(target.model, version, None, limit)
    return rules


def _add_format(
    body: Json, request: ChatRequest, conversation: Conversation, rules: ClaudeRules | None, dropped: Dropped
) -> None:
    """A schema is enforced where the model can; JSON without one, which none can, is asked for in words."""
    wanted = request.response_format
    if wanted is None or wanted.kind is FormatKind.TEXT:
        return
    if wanted.schema is None or (rules is not None and not rules.has_structured_output):
        dropped.add("response_format: asked for in the system text")
        schema = SCHEMA_HINT + wanted.schema.decode("utf-8", "replace") if wanted.schema is not None else ""
        conversation.system.append({"text": JSON_HINT + schema})
        return
    sent = wanted.schema
    if rules is not None:
        try:
            sent, lost = closed_schema(wanted.schema)
        except (ValueError, RecursionError) as fault:
            raise cannot("response_format", "expected a JSON Schema, which is an object") from fault
        for where in lost:
            dropped.add(f"response_format.schema.{where}")
    described: Json = {"schema": sent.decode("utf-8", "replace"), "name": wanted.name or "response"}
    if wanted.description:
        described["description"] = wanted.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": described}}}


def _is_bare_tool_loop(request: ChatRequest) -> bool:
    """Whether the conversation ends in a tool's result whose call came without its signed reasoning."""
    if request.messages[-1].role is not Role.TOOL:
        return False
    turns = [message for message in request.messages if message.role is Role.ASSISTANT]
    return bool(turns) and not any(getattr(part, "origin", None) is Origin.ANTHROPIC for part in turns[-1].parts)


def _add_reasoning(
    additional: Json, request: ChatRequest, target: Target, rules: ClaudeRules | None, dropped: Dropped
) -> None:
    if rules is not None:
        if rules.thinking is not None:
            additional["thinking"] = rules.thinking
        if rules.effort is not None:
            additional["output_config"] = {"effort": rules.effort}
        return
    if request.reasoning is None:
        return
    effort = effort_of(request.reasoning)
    name = target.model.lower()
    if effort is not None and "openai." in name:
        additional["reasoning_effort"] = SIMPLE_EFFORT[effort]
    elif effort is not None and "nova-2" in name:
        is_off = effort is Effort.NONE
        on: Json = {"type": "enabled", "maxReasoningEffort": SIMPLE_EFFORT[effort]}
        additional["reasoningConfig"] = {"type": "disabled"} if is_off else on
    else:
        dropped.add_if(effort is not Effort.NONE, "reasoning")


def _add_tools(
    body: Json, request: ChatRequest, conversation: Conversation, rules: ClaudeRules | None, dropped: Dropped
) -> None:
    for server_tool in request.server_tools:
        if server_tool.origin is not Origin.BEDROCK:
            dropped.add(f"tools: {server_tool.type}")
    choice = request.tool_choice
    mode = choice.mode if choice is not None else ToolMode.AUTO
    tools = offered_tools(request)
    own: list[Json | msgspec.Raw] = [
        msgspec.Raw(tool.json) for tool in request.server_tools if tool.origin is Origin.BEDROCK
    ]
    if mode is ToolMode.NONE:
        # There is no such choice here: a tool that is not offered is not called.
        if not conversation.has_tool_blocks:
            return
        dropped.add("tool_choice")
    written: list[Json | msgspec.Raw] = []
    written += [_tool(tool, f"tools[{number}]", dropped) for number, tool in enumerate(tools)]
    written += own
    if not written and conversation.has_tool_blocks:
        dropped.add("tools: of earlier turns, sent without their schemas")
        names = dict.fromkeys(call_names(request).values())
        written += [_tool(ToolDefinition(name), "tools", dropped) for name in names]
    if not written:
        dropped.add_if(mode in (ToolMode.REQUIRED, ToolMode.NAMED), "tool_choice")
        return
    config: Json = {"tools": written}
    if mode in (ToolMode.REQUIRED, ToolMode.NAMED):
        if rules is not None and rules.is_thinking:
            dropped.add("tool_choice")
        elif mode is ToolMode.REQUIRED:
            config["toolChoice"] = {"any": {}}
        else:
            name = (choice.name if choice is not None else None) or ""
            config["toolChoice"] = {"tool": {"name": sendable_name(name, "tool_choice.name", MAX_NAME_CHARS)}}
    dropped.add_if(request.parallel_tool_calls is False, "parallel_tool_calls")
    body["toolConfig"] = config


def _tool(tool: ToolDefinition, path: str, dropped: Dropped) -> Json:
    is_custom = tool.kind is ToolKind.CUSTOM
    dropped.add_if(tool.cache, f"{path}.cache_control")
    dropped.add_if(is_custom and tool.format, f"{path}.format")
    dropped.add_if(tool.strict, f"{path}.strict")
    specification: Json = {"name": sendable_name(tool.name, f"{path}.name", MAX_NAME_CHARS)}
    if tool.description:
        specification["description"] = tool.description
    schema = SCHEMA if is_custom else tool.parameters or NO_PARAMETERS
    specification["inputSchema"] = {"json": msgspec.Raw(schema)}
    return {"toolSpec": specification}


def _add_inference(
    body: Json, additional: Json, request: ChatRequest, target: Target, rules: ClaudeRules | None, dropped: Dropped
) -> None:
    sampling = request.sampling
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if temperature is not None and not 0 <= temperature <= 1:
        dropped.add("temperature: beyond 0..1, the nearest is sent")
        temperature = min(max(temperature, 0.0), 1.0)
    if rules is not None and (rules.is_thinking or not rules.has_sampling):
        given = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        for name, value in given.items():
            dropped.add_if(value is not None, name)
        temperature = top_p = top_k = None
    elif rules is not None and temperature is not None and not rules.has_both_samplings:
        dropped.add_if(top_p is not None, "top_p")
        top_p = None
    if rules is not None and top_k is not None:
        additional["top_k"] = top_k
    else:
        dropped.add_if(top_k is not None, "top_k")
    stop = [text for text in sampling.stop if text.strip()]
    dropped.add_if(len(stop) < len(sampling.stop), "stop: blank sequences")
    inference: Json = {
        "maxTokens": rules.max_tokens if rules is not None else sampling.max_tokens or target.max_tokens,
        "temperature": temperature,
        "topP": top_p,
        "stopSequences": stop or None,
    }
    inference = {name: value for name, value in inference.items() if value is not None}
    if inference:
        body["inferenceConfig"] = inference
    unknown = {
        "seed": sampling.seed is not None,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs is not None,
    }
    for name, is_given in unknown.items():
        dropped.add_if(is_given, name)


def _add_rest(body: Json, additional: Json, request: ChatRequest, dropped: Dropped) -> None:
    tier = request.service_tier
    if tier in SERVICE_TIER:
        body["serviceTier"] = {"type": SERVICE_TIER[tier]}
    else:
        dropped.add_if(tier not in (None, "auto"), "service_tier")
    dropped.add_if(request.user, "user")
    dropped.add_if(request.metadata, "metadata")
    dropped.add_if(request.verbosity, "verbosity")
    dropped.add_if(request.cache_key, "cache_key")
    for name, json in request.extensions.items():
        parent, _, member = name.partition(".")
        if name in OWN_FIELDS:
            body[name] = msgspec.Raw(json)
        elif parent == "additionalModelRequestFields" and member:
            additional.setdefault(member, msgspec.Raw(json))
        else:
            dropped.add(name)
