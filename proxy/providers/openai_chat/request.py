"""Write a Chat Completions request, for OpenAI or for a vendor whose deviations are named in its quirks.

Spec: platform.openai.com/docs/api-reference/chat/create (read 2026-11).
"""

from typing import Final

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import ToolKind
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    Message,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
)
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.custom_tools import SCHEMA
from proxy.providers.openai_chat.messages import Conversation
from proxy.providers.quirks import Quirks
from proxy.providers.request_parts import effort_of, offered_tools

Json = dict[str, object]

PATH: Final = "/chat/completions"
HEADERS: Final = {"content-type": "application/json", "accept": "text/event-stream"}

SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """The request as this API takes it, always streamed. Raises CallerError for what must not be lost."""
    quirks = target.quirks
    dropped: list[str] = []
    body: Json = {
        "model": target.model,
        "messages": Conversation(quirks, dropped).encode(_with_schema_hint(request, quirks)),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    _add_tools(body, request, quirks, dropped)
    _add_sampling(body, request.sampling, quirks, dropped)
    if request.response_format is not None:
        _add_format(body, request.response_format, quirks)
    if request.reasoning is not None:
        _add_reasoning(body, request.reasoning, quirks, dropped)
    _add_rest(body, request, dropped)
    for name in quirks.omit:
        if body.pop(name, None) is not None and name != "stream_options":
            dropped.append(name)
    return UpstreamRequest(PATH, msgspec.json.encode(body), HEADERS, tuple(dropped))


# --- tools


def _add_tools(body: Json, request: ChatRequest, quirks: Quirks, dropped: list[str]) -> None:
    dropped.extend(f"tools: {tool.type}" for tool in request.server_tools)
    tools = offered_tools(request)
    if not tools:
        return
    body["tools"] = [_tool(tool, quirks) for tool in tools]
    if any(tool.cache is not None for tool in tools) and not quirks.cache_marks and "cache_control" not in dropped:
        dropped.append("cache_control")
    if request.tool_choice is not None:
        body["tool_choice"] = _choice(request.tool_choice, tools, quirks)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: ToolDefinition, quirks: Quirks) -> Json:
    inner: Json = {"name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    is_custom = tool.kind is ToolKind.CUSTOM and quirks.custom_tools
    if is_custom:
        if tool.format is not None:
            inner["format"] = msgspec.Raw(tool.format)
    elif tool.kind is ToolKind.CUSTOM:
        inner["parameters"] = msgspec.Raw(SCHEMA)
    else:
        if tool.parameters is not None:
            inner["parameters"] = msgspec.Raw(tool.parameters)
        if tool.strict is not None:
            inner["strict"] = tool.strict
    kind = "custom" if is_custom else "function"
    written: Json = {"type": kind, kind: inner}
    if tool.cache is not None and quirks.cache_marks:
        written["cache_control"] = msgspec.Raw(tool.cache)
    return written


def _choice(choice: ToolChoice, tools: list[ToolDefinition], quirks: Quirks) -> object:
    if choice.mode is not ToolMode.NAMED:
        return choice.mode.value
    kinds = {tool.name: tool.kind for tool in tools}
    is_custom = quirks.custom_tools and kinds.get(choice.name or "") is ToolKind.CUSTOM
    kind = "custom" if is_custom else "function"
    return {"type": kind, kind: {"name": choice.name}}


# --- sampling


def _add_sampling(body: Json, sampling: Sampling, quirks: Quirks, dropped: list[str]) -> None:
    if sampling.n != 1:
        raise CallerError(ErrorKind.INVALID_REQUEST, "n: only one answer can be converted between APIs", param="n")
    given: Json = {
        quirks.max_tokens_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        quirks.seed_field: sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    body.update((name, value) for name, value in given.items() if value is not None)
    if sampling.top_k is not None:
        if quirks.top_k:
            body["top_k"] = sampling.top_k
        else:
            dropped.append("top_k")
    if sampling.stop:
        body["stop"] = sampling.stop[: quirks.max_stop_sequences]
        if len(sampling.stop) > quirks.max_stop_sequences:
            dropped.append(f"stop[{quirks.max_stop_sequences}:]")
    if sampling.logit_bias is not None:
        body["logit_bias"] = msgspec.Raw(sampling.logit_bias)
    # Converted streams have no place for them: asking would only cost.
    if sampling.logprobs:
        dropped.append("logprobs")
    if sampling.top_logprobs is not None:
        dropped.append("top_logprobs")


# --- format


def _add_format(body: Json, wanted: ResponseFormat, quirks: Quirks) -> None:
    match wanted.kind:
        case FormatKind.TEXT:
            pass
        case FormatKind.JSON_OBJECT:
            body["response_format"] = {"type": "json_object"}
        case FormatKind.JSON_SCHEMA:
            if not quirks.json_schema:
                body["response_format"] = {"type": "json_object"}
                return
            schema: Json = {"name": wanted.name or "response"}
            if wanted.schema is not None:
                schema["schema"] = msgspec.Raw(wanted.schema)
            if wanted.description is not None:
                schema["description"] = wanted.description
            if wanted.strict is not None:
                schema["strict"] = wanted.strict
            body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _with_schema_hint(request: ChatRequest, quirks: Quirks) -> tuple[Message, ...]:
    """The messages; before them the schema in words, for a vendor that cannot enforce one (and wants to read "JSON")."""
    wanted = request.response_format
    if quirks.json_schema or wanted is None or wanted.schema is None:
        return request.messages
    hint = "Answer with JSON that matches this schema:\n" + wanted.schema.decode("utf-8", "replace")
    return Message(Role.SYSTEM, (TextPart(hint),)), *request.messages


# --- reasoning


def _add_reasoning(body: Json, wanted: ReasoningRequest, quirks: Quirks, dropped: list[str]) -> None:
    effort = effort_of(wanted)
    if effort is None and not wanted.adaptive:
        return
    is_on = effort is not Effort.NONE
    match quirks.reasoning:
        case "effort":
            if effort is not None:
                body["reasoning_effort"] = _nearest(effort, quirks.efforts)
        case "object":
            body["reasoning"] = _reasoning_object(wanted, effort, quirks)
        case "thinking":
            body["thinking"] = {"type": "enabled" if is_on else "disabled"}
            if effort is not None and is_on:
                body["reasoning_effort"] = _nearest(effort, quirks.efforts)
        case "enable_thinking":
            body["enable_thinking"] = is_on
            if wanted.budget_tokens is not None and is_on:
                body["thinking_budget"] = wanted.budget_tokens
        case "template":
            body["chat_template_kwargs"] = {"enable_thinking": is_on}
        case "none":
            dropped.append("reasoning")


def _reasoning_object(wanted: ReasoningRequest, effort: Effort | None, quirks: Quirks) -> Json:
    if wanted.effort is None and wanted.budget_tokens:
        written: Json = {"max_tokens": wanted.budget_tokens}
    elif effort is not None:
        written = {"effort": _nearest(effort, quirks.efforts)}
    else:
        written = {"enabled": True}
    if wanted.visible is False:
        written["exclude"] = True
    return written


def _nearest(effort: Effort, taken: tuple[Effort, ...]) -> str:
    """The effort itself, or the nearest that the vendor takes; the stronger of two that are equally near."""
    if not taken or effort in taken:
        return effort.value
    order = list(Effort)
    place = order.index(effort)
    return min(taken, key=lambda other: (abs(order.index(other) - place), -order.index(other))).value


# --- the rest


def _add_rest(body: Json, request: ChatRequest, dropped: list[str]) -> None:
    given: Json = {
        "user": request.user,
        "verbosity": request.verbosity,
        "prompt_cache_key": request.cache_key,
    }
    body.update((name, value) for name, value in given.items() if value is not None)
    if request.service_tier in SERVICE_TIERS:
        body["service_tier"] = request.service_tier
    elif request.service_tier is not None:
        dropped.append("service_tier")
    # Without `store` OpenAI refuses it, and others do not know it.
    if request.metadata is not None:
        dropped.append("metadata")
    dropped.extend(request.extensions)
