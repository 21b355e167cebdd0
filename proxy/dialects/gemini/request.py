"""Reads a request of the Gemini API. The model and the verb stand in the URL; see `dialect` for the routes.

Fields that no hub field stands for become extensions, members of `generationConfig` and `toolConfig` under their dotted
names; all of them are sent on only to the same API, and named as dropped elsewhere.
"""

from typing import Final

import msgspec

from proxy.dialects.base import CallParams, Envelope
from proxy.dialects.gemini import wire
from proxy.dialects.gemini.contents import Conversation
from proxy.dialects.gemini.keys import is_given, read_fields, read_many, read_object
from proxy.dialects.gemini.schema import json_schema
from proxy.dialects.json_body import Fields, missing, unknown_fields, wrong
from proxy.dialects.json_body import read_fields as read_body_fields
from proxy.hub.events import Origin
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

STREAM_VERB: Final = "streamGenerateContent"
ARRAY: Final = "json_array"
"""The variant of callers who do not ask for `alt=sse`: one JSON array."""

EFFORT: Final = {
    "MINIMAL": Effort.MINIMAL,
    "LOW": Effort.LOW,
    "MEDIUM": Effort.MEDIUM,
    "HIGH": Effort.HIGH,
    "XHIGH": Effort.XHIGH,
    "THINKING_LEVEL_UNSPECIFIED": None,
}

TOOL_MODE: Final = {
    "AUTO": ToolMode.AUTO,
    "ANY": ToolMode.REQUIRED,
    "NONE": ToolMode.NONE,
    "VALIDATED": ToolMode.AUTO,
    "MODE_UNSPECIFIED": None,
}

SERVICE_TIER: Final = {"standard": "default", "unspecified": None, "flex": "flex", "priority": "priority"}
"""In the hub's words, which are OpenAI's. Others stay as they are."""

_CONFIG_NAMES = wire.names(wire.WireConfig)
_REQUEST_NAMES = wire.names(wire.WireRequest)
_TOOL_CONFIG_NAMES = wire.names(wire.WireToolConfig)
_FUNCTION_NAMES = wire.names(wire.WireFunction)


def decode_envelope(body: bytes, params: CallParams) -> Envelope:
    """What routing needs, from the URL. Raises CallerError for a body that is no JSON object."""
    read_body_fields(body)
    is_stream = params.path.get("verb") == STREAM_VERB
    is_array = is_stream and params.query.get("alt") != "sse"
    return Envelope(
        model=model_of(params) or None,
        stream=is_stream,
        variant=ARRAY if is_array else "",
        content_type="application/json" if is_array else None,
    )


def model_of(params: CallParams) -> str:
    """The model that the URL names, without `models/`."""
    model = params.path.get("model", "")
    while model.startswith("models/"):
        model = model.removeprefix("models/")
    return f"tunedModels/{model}" if params.path.get("collection") == "tunedModels" else model


def decode_request(body: bytes, params: CallParams) -> ChatRequest:
    """The whole request. Raises CallerError."""
    read_body_fields(body)
    fields = read_fields(body, "")
    if is_given(inner := fields.get("generateContentRequest", msgspec.Raw())):
        fields = read_fields(inner, "generateContentRequest")
    request = read_object(wire.REQUEST, msgspec.json.encode(fields), "")
    conversation = Conversation()
    conversation.read_system(request.systemInstruction, "systemInstruction")
    conversation.read_contents(request.contents, "contents")
    if not any(message.role != "system" for message in conversation.messages):
        raise missing("contents") if not is_given(request.contents) else wrong("contents", "at least one part", "none")
    extensions = unknown_fields(fields, _REQUEST_NAMES) | conversation.unknown
    tools, server_tools = _tools(request.tools, extensions)
    config = _Config(request.generationConfig, extensions)
    return ChatRequest(
        model=model_of(params),
        messages=tuple(conversation.messages),
        stream=params.path.get("verb") == STREAM_VERB,
        tools=tools,
        server_tools=server_tools,
        tool_choice=_tool_choice(request.toolConfig, extensions),
        sampling=config.sampling(),
        response_format=config.response_format(),
        reasoning=config.reasoning(),
        service_tier=_service_tier(request.serviceTier),
        extensions=extensions,
    )


def _service_tier(tier: str | None) -> str | None:
    return None if tier is None else SERVICE_TIER.get(tier.lower().removeprefix("service_tier_"), tier)


# --- tools


def _tools(
    tools: msgspec.Raw, extensions: dict[str, bytes]
) -> tuple[tuple[ToolDefinition, ...], tuple[ServerTool, ...]]:
    """Functions, and the tools that the provider runs: an entry may hold both."""
    functions: list[ToolDefinition] = []
    own: list[ServerTool] = []
    for raw, path in read_many(tools, "tools"):
        for kind, value in read_fields(raw, path).items():
            if kind == "functionDeclarations":
                for declaration, where in read_many(value, f"{path}.{kind}"):
                    functions.append(_function(declaration, where, extensions))
            elif is_given(value):
                own.append(ServerTool(Origin.GEMINI, kind, msgspec.json.encode({kind: value})))
    return tuple(functions), tuple(own)


def _function(raw: msgspec.Raw, path: str, extensions: dict[str, bytes]) -> ToolDefinition:
    fields = read_fields(raw, path)
    declaration = read_object(wire.FUNCTION, msgspec.json.encode(fields), path)
    if not declaration.name:
        raise missing(f"{path}.name")
    for name, json in unknown_fields(fields, _FUNCTION_NAMES).items():
        extensions[f"{path}.{name}"] = json
    schema: bytes | None = None
    if is_given(declaration.parametersJsonSchema):
        schema = bytes(declaration.parametersJsonSchema)
    elif is_given(declaration.parameters):
        schema = json_schema(declaration.parameters, f"{path}.parameters")
    return ToolDefinition(declaration.name, declaration.description, schema)


def _tool_choice(config: msgspec.Raw, extensions: dict[str, bytes]) -> ToolChoice | None:
    if not is_given(config):
        return None
    fields = read_fields(config, "toolConfig")
    for name, json in unknown_fields(fields, _TOOL_CONFIG_NAMES).items():
        extensions[f"toolConfig.{name}"] = json
    calling = fields.get("functionCallingConfig", msgspec.Raw())
    if not is_given(calling):
        return None
    path = "toolConfig.functionCallingConfig"
    asked = read_object(wire.CALLING, calling, path)
    word = (asked.mode or "MODE_UNSPECIFIED").upper()
    if word not in TOOL_MODE:
        raise wrong(f"{path}.mode", "'AUTO', 'ANY', 'NONE' or 'VALIDATED'", asked.mode)
    mode = TOOL_MODE[word]
    if mode is None:
        return None
    allowed = tuple(asked.allowedFunctionNames or ()) or None
    if mode is ToolMode.REQUIRED and allowed is not None and len(allowed) == 1:
        return ToolChoice(ToolMode.NAMED, allowed[0])
    return ToolChoice(mode, allowed=allowed)


# --- generationConfig


class _Config:
    """Reads `generationConfig`."""

    def __init__(self, config: msgspec.Raw, extensions: dict[str, bytes]) -> None:
        self._path = "generationConfig"
        fields: Fields = read_fields(config, self._path) if is_given(config) else {}
        self._config = read_object(wire.CONFIG, msgspec.json.encode(fields), self._path)
        self._extensions = extensions
        for name, json in unknown_fields(fields, _CONFIG_NAMES).items():
            extensions[f"{self._path}.{name}"] = json
        modalities = self._config.responseModalities
        if modalities and [word.upper() for word in modalities] != ["TEXT"]:
            extensions[f"{self._path}.responseModalities"] = msgspec.json.encode(modalities)

    def sampling(self) -> Sampling:
        config = self._config
        top_k = config.topK
        if top_k is not None and not top_k.is_integer():
            raise wrong(f"{self._path}.topK", "a whole number", top_k)
        return Sampling(
            max_tokens=config.maxOutputTokens,
            temperature=config.temperature,
            top_p=config.topP,
            top_k=int(top_k) if top_k is not None else None,
            stop=tuple(config.stopSequences or ()),
            seed=config.seed,
            presence_penalty=config.presencePenalty,
            frequency_penalty=config.frequencyPenalty,
            logprobs=bool(config.responseLogprobs),
            top_logprobs=config.logprobs,
            n=config.candidateCount or 1,
        )

    def response_format(self) -> ResponseFormat | None:
        config = self._config
        media_type = (config.responseMimeType or "").lower()
        if media_type not in ("", "text/plain", "application/json"):
            # `text/x.enum`: no other API has it.
            self._extensions[f"{self._path}.responseMimeType"] = msgspec.json.encode(config.responseMimeType)
            return None
        if is_given(config.responseJsonSchema):
            return ResponseFormat(FormatKind.JSON_SCHEMA, schema=bytes(config.responseJsonSchema))
        if is_given(config.responseSchema):
            schema = json_schema(config.responseSchema, f"{self._path}.responseSchema")
            return ResponseFormat(FormatKind.JSON_SCHEMA, schema=schema)
        return ResponseFormat(FormatKind.JSON_OBJECT) if media_type == "application/json" else None

    def reasoning(self) -> ReasoningRequest | None:
        if not is_given(self._config.thinkingConfig):
            return None
        path = f"{self._path}.thinkingConfig"
        asked = read_object(wire.THINKING, self._config.thinkingConfig, path)
        level = (asked.thinkingLevel or "THINKING_LEVEL_UNSPECIFIED").upper()
        if level not in EFFORT:
            raise wrong(f"{path}.thinkingLevel", "'MINIMAL', 'LOW', 'MEDIUM', 'HIGH' or 'XHIGH'", asked.thinkingLevel)
        effort, budget = EFFORT[level], asked.thinkingBudget
        if budget is not None and budget < -1:
            raise wrong(f"{path}.thinkingBudget", "a number of tokens, or -1", budget)
        if budget == 0 and effort is None:
            effort = Effort.NONE
        # Who asks to see thoughts and says no more wants the model's own measure, which is what Gemini thinks by.
        is_adaptive = budget == -1 or (budget is None and effort is None and asked.includeThoughts is True)
        return ReasoningRequest(
            effort=effort,
            budget_tokens=budget if budget is not None and budget > 0 else None,
            adaptive=is_adaptive,
            visible=asked.includeThoughts,
        )
