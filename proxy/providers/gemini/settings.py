"""Everything of a request but its conversation: generation settings, thinking, tools.

Functions give the API's objects as dicts, empty when there is nothing to say, and name what they drop.
"""

from collections.abc import Sequence

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    ReasoningRequest,
    ResponseFormat,
    Sampling,
    ServerTool,
    ToolChoice,
    ToolDefinition,
    ToolMode,
)
from proxy.providers.custom_tools import SCHEMA
from proxy.providers.gemini.dropped import Dropped
from proxy.providers.gemini.models import GEMINI_2_5, GEMINI_3, Generation, generation
from proxy.providers.gemini.names import sendable
from proxy.providers.request_parts import effort_of

MAX_STOP_SEQUENCES = 5

SERVICE_TIER: dict[str, str | None] = {
    "auto": None,
    "default": None,
    "standard": None,
    "flex": "flex",
    "priority": "priority",
}
"""`None`: the API's own default. Others are dropped."""

THINKING_BUDGET: dict[Effort, int] = {
    Effort.NONE: 0,
    Effort.MINIMAL: 512,
    Effort.LOW: 1024,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 24576,
    Effort.XHIGH: 24576,
    Effort.MAX: -1,
}
"""For Gemini 2.5. -1: as much as the model wants."""

LEAST_PRO_BUDGET = 128
"""Gemini 2.5 Pro cannot think less."""
LARGEST_BUDGET = 24576
LARGEST_PRO_BUDGET = 32768

THINKING_LEVEL: dict[Effort, str] = {
    Effort.NONE: "MINIMAL",
    Effort.MINIMAL: "MINIMAL",
    Effort.LOW: "LOW",
    Effort.MEDIUM: "MEDIUM",
    Effort.HIGH: "HIGH",
    Effort.XHIGH: "XHIGH",
    Effort.MAX: "XHIGH",
}
"""Since Gemini 3."""

FUNCTION_CALLING_MODE: dict[ToolMode, str] = {
    ToolMode.AUTO: "AUTO",
    ToolMode.NONE: "NONE",
    ToolMode.REQUIRED: "ANY",
    ToolMode.NAMED: "ANY",
}

INT32 = range(-(2**31), 2**31)


def generation_config(request: ChatRequest, model: str, dropped: Dropped) -> dict[str, object]:
    """`generationConfig`. Raises CallerError for more answers or stop sequences than the API gives or takes."""
    config = _sampling(request.sampling, dropped)
    config |= _response_format(request.response_format)
    if request.response_format is not None:
        dropped.add_if(request.response_format.description, "response_format.description")
    thinking = _thinking(request.reasoning, model, dropped)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _sampling(sampling: Sampling, dropped: Dropped) -> dict[str, object]:
    if sampling.n > 1:
        message = "n: this provider's streams carry one answer; ask for each by itself"
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param="n")
    if len(sampling.stop) > MAX_STOP_SEQUENCES:
        message = f"stop: this provider takes at most {MAX_STOP_SEQUENCES} stop sequences, got {len(sampling.stop)}"
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param="stop")
    dropped.add_if(sampling.logit_bias, "logit_bias")
    # The answers' probabilities have no event to travel in, so they are not paid for either.
    dropped.add_if(sampling.logprobs, "logprobs")
    dropped.add_if(sampling.top_logprobs, "top_logprobs")
    seed = sampling.seed
    if seed is not None and seed not in INT32:
        dropped.add("seed")
        seed = None
    settings: dict[str, object] = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "maxOutputTokens": sampling.max_tokens,
        "stopSequences": sampling.stop or None,
        "seed": seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _response_format(format: ResponseFormat | None) -> dict[str, object]:
    if format is None or format.kind is FormatKind.TEXT:
        return {}
    config: dict[str, object] = {"responseMimeType": "application/json"}
    if format.schema is not None:
        config["responseJsonSchema"] = msgspec.Raw(format.schema)
    return config


# --- thinking


def _thinking(asked: ReasoningRequest | None, model: str, dropped: Dropped) -> dict[str, object]:
    if asked is None:
        return {}
    version = generation(model)
    if version < GEMINI_2_5:
        dropped.add_if(asked.effort not in (None, Effort.NONE) or asked.budget_tokens or asked.adaptive, "reasoning")
        return {}
    config = _level(asked, version, model) if version >= GEMINI_3 else _budget(asked, model)
    if asked.visible is not None and asked.effort is not Effort.NONE and asked.budget_tokens != 0:
        # Thoughts of a model that is told not to think cannot be shown: the API refuses the pair.
        config["includeThoughts"] = asked.visible
    return config


def _budget(asked: ReasoningRequest, model: str) -> dict[str, object]:
    is_pro = "pro" in model
    budget = asked.budget_tokens
    if budget is None:
        budget = -1 if asked.adaptive else THINKING_BUDGET[asked.effort] if asked.effort is not None else None
    if budget is None:
        return {}
    if budget >= 0:
        least, largest = (LEAST_PRO_BUDGET, LARGEST_PRO_BUDGET) if is_pro else (0, LARGEST_BUDGET)
        budget = min(max(budget, least), largest)
    return {"thinkingBudget": budget}


def _level(asked: ReasoningRequest, version: Generation, model: str) -> dict[str, object]:
    effort = effort_of(asked)
    if effort is None:
        # An adaptive model is what Gemini 3 is when it is told no level.
        return {}
    level = THINKING_LEVEL[effort]
    if "pro" in model and level == "MINIMAL":
        level = "LOW"
    if "pro" in model and version == GEMINI_3 and level == "MEDIUM":
        # Gemini 3 Pro knows only two levels; 3.1 has the middle one.
        level = "HIGH"
    return {"thinkingLevel": level}


# --- tools


def tools(request: ChatRequest, dropped: Dropped) -> list[object]:
    """`tools`: one entry with all functions, then the provider's own as their caller wrote them."""
    functions = [_function(tool, f"tools[{number}]", dropped) for number, tool in enumerate(request.tools)]
    entries: list[object] = [{"functionDeclarations": functions}] if functions else []
    return entries + _server_tools(request.server_tools, dropped)


def _function(tool: ToolDefinition, path: str, dropped: Dropped) -> dict[str, object]:
    dropped.add_if(tool.cache, "cache_control")
    dropped.add_if(tool.strict, f"{path}.strict")
    dropped.add_if(tool.format, f"{path}.format")
    declaration: dict[str, object] = {"name": sendable(tool.name, f"{path}.name")}
    if tool.description:
        declaration["description"] = tool.description
    parameters = SCHEMA if tool.kind is ToolKind.CUSTOM else tool.parameters
    if parameters is not None:
        declaration["parametersJsonSchema"] = msgspec.Raw(parameters)
    return declaration


def _server_tools(asked: Sequence[ServerTool], dropped: Dropped) -> list[object]:
    entries: list[object] = []
    for tool in asked:
        if tool.origin is Origin.GEMINI:
            entries.append(msgspec.Raw(tool.json))
        else:
            dropped.add(f"tools: {tool.type}")
    return entries


def function_calling_config(choice: ToolChoice | None) -> dict[str, object]:
    """`toolConfig.functionCallingConfig`. Names may only stand beside ANY and VALIDATED."""
    if choice is None:
        return {}
    mode = FUNCTION_CALLING_MODE[choice.mode]
    names = (choice.name,) if choice.mode is ToolMode.NAMED and choice.name else choice.allowed
    if names is None or mode == "NONE":
        return {"mode": mode}
    allowed = [sendable(name, "tool_choice") for name in names]
    return {"mode": "VALIDATED" if mode == "AUTO" else mode, "allowedFunctionNames": allowed}
