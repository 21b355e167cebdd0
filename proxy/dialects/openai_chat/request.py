"""Read a Chat Completions request. Every wrong type or value is refused with its path; unknown fields are extensions."""

from collections.abc import Sequence
from typing import Final

import msgspec

from proxy.dialects.base import Envelope
from proxy.dialects.json_body import missing, read, read_body, read_fields, unknown_fields, wrong
from proxy.dialects.openai_chat.messages import MessageReader
from proxy.dialects.openai_chat.wire import (
    ChatBody,
    Choice,
    CustomTool,
    EnvelopeBody,
    Format,
    FunctionTool,
    Named,
    Raw,
    Tool,
)
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

FUNCTIONS: Final = "functions"
"""The variant of callers who use the deprecated `functions`: they read `function_call`, not `tool_calls`."""

_BODY = msgspec.json.Decoder(ChatBody)
_ENVELOPE = msgspec.json.Decoder(EnvelopeBody)
_TOOL = msgspec.json.Decoder(Tool)

KNOWN: Final = frozenset(field.encode_name for field in msgspec.structs.fields(ChatBody))

TOOL_MODE: Final = {
    "auto": ToolMode.AUTO,
    "none": ToolMode.NONE,
    "required": ToolMode.REQUIRED,
    "any": ToolMode.REQUIRED,
}
"""`any` is Mistral's word."""

FORMAT_KIND: Final = {kind.value: kind for kind in FormatKind}

EFFORTS: Final = ", ".join(effort.value for effort in Effort)


def decode_envelope(body: bytes) -> Envelope:
    """What routing needs. Raises CallerError for a body that is no JSON object, or whose few fields are wrong."""
    found = read_body(_ENVELOPE, body)
    return Envelope(
        model=found.model or None,
        stream=found.stream is True,
        include_usage=_wants_usage(found),
        variant=FUNCTIONS if found.functions and not found.tools else "",
    )


def decode_request(body: bytes) -> ChatRequest:
    """The whole request. Raises CallerError."""
    fields = read_fields(body)
    chat = read(_BODY, body)
    if not chat.messages:
        raise wrong("messages", "at least one message", chat.messages)
    tools, server_tools = _tools(chat.tools or ())
    for number, function in enumerate(chat.functions or ()):
        tools.append(_function(function, f"functions[{number}]"))
    has_functions = bool(chat.functions) and not chat.tools
    return ChatRequest(
        model=chat.model or "",
        messages=MessageReader().read(chat.messages),
        stream=chat.stream is True,
        tools=tuple(tools),
        server_tools=tuple(server_tools),
        tool_choice=_tool_choice(chat),
        # The deprecated answer has room for one call.
        parallel_tool_calls=False if has_functions else chat.parallel_tool_calls,
        sampling=_sampling(chat),
        response_format=_format(chat.response_format),
        reasoning=_reasoning(chat),
        include_usage=_wants_usage(chat),
        user=chat.user or chat.safety_identifier,
        metadata=_object(chat.metadata, "metadata"),
        service_tier=chat.service_tier,
        verbosity=chat.verbosity,
        cache_key=chat.prompt_cache_key,
        extensions=unknown_fields(fields, KNOWN),
    )


def _wants_usage(body: EnvelopeBody | ChatBody) -> bool:
    """A whole answer always has usage; a stream only if it was asked for."""
    if not body.stream:
        return True
    return body.stream_options is not None and body.stream_options.include_usage is True


def _object(raw: Raw, path: str) -> bytes | None:
    """A JSON object as the caller wrote it; `None`: absent or null."""
    json = bytes(raw)
    if not json or json == b"null":
        return None
    if json[:1] != b"{":
        raise wrong(path, "an object", json[:60].decode("utf-8", "replace"))
    return json


# --- tools


def _tools(raws: Sequence[Raw]) -> tuple[list[ToolDefinition], list[ServerTool]]:
    """The caller's own tools, and those that only some provider knows."""
    own: list[ToolDefinition] = []
    foreign: list[ServerTool] = []
    for number, raw in enumerate(raws):
        path = f"tools[{number}]"
        tool = read(_TOOL, raw, path)
        match tool.type:
            case "function":
                if tool.function is None:
                    raise missing(f"{path}.function")
                cache = None if tool.cache_control is None else msgspec.json.encode(tool.cache_control)
                own.append(_function(tool.function, f"{path}.function", cache))
            case "custom":
                if tool.custom is None:
                    raise missing(f"{path}.custom")
                own.append(_custom(tool.custom, f"{path}.custom"))
            case kind:
                origin = Origin.OPENROUTER if kind.startswith("openrouter:") else Origin.OPENAI
                foreign.append(ServerTool(origin, kind, bytes(raw)))
    return own, foreign


def _function(function: FunctionTool, path: str, cache: bytes | None = None) -> ToolDefinition:
    parameters = _object(function.parameters, f"{path}.parameters")
    return ToolDefinition(function.name, function.description, parameters, function.strict, cache=cache)


def _custom(custom: CustomTool, path: str) -> ToolDefinition:
    wanted = _object(custom.format, f"{path}.format")
    return ToolDefinition(custom.name, custom.description, kind=ToolKind.CUSTOM, format=wanted)


def _tool_choice(chat: ChatBody) -> ToolChoice | None:
    choice = chat.tool_choice
    if choice is None:
        return _function_choice(chat.function_call)
    if isinstance(choice, str):
        if choice not in TOOL_MODE:
            raise wrong("tool_choice", "'auto', 'none', 'required' or an object", choice)
        return ToolChoice(TOOL_MODE[choice])
    if choice.type == "allowed_tools":
        return _allowed(choice)
    named = choice.custom if choice.type == "custom" else choice.function
    if choice.type not in ("function", "custom"):
        raise wrong("tool_choice.type", "'function', 'custom' or 'allowed_tools'", choice.type)
    if named is None:
        raise missing(f"tool_choice.{choice.type}")
    return ToolChoice(ToolMode.NAMED, named.name)


def _function_choice(choice: str | Named | None) -> ToolChoice | None:
    """The deprecated `function_call`."""
    if choice is None:
        return None
    if isinstance(choice, Named):
        return ToolChoice(ToolMode.NAMED, choice.name)
    if choice not in ("auto", "none"):
        raise wrong("function_call", "'auto', 'none' or an object", choice)
    return ToolChoice(TOOL_MODE[choice])


def _allowed(choice: Choice) -> ToolChoice:
    allowed = choice.allowed_tools
    if allowed is None:
        raise missing("tool_choice.allowed_tools")
    if allowed.mode not in ("auto", "required"):
        raise wrong("tool_choice.allowed_tools.mode", "'auto' or 'required'", allowed.mode)
    names: list[str] = []
    for number, tool in enumerate(allowed.tools):
        named = tool.function or tool.custom
        if named is None:
            raise missing(f"tool_choice.allowed_tools.tools[{number}].function")
        names.append(named.name)
    return ToolChoice(TOOL_MODE[allowed.mode], allowed=tuple(names))


# --- the rest


def _sampling(chat: ChatBody) -> Sampling:
    limits = {"n": chat.n, "max_tokens": chat.max_tokens, "max_completion_tokens": chat.max_completion_tokens}
    for name, count in limits.items():
        if count is not None and count < 1:
            raise wrong(name, "1 or more", count)
    stops = [chat.stop] if isinstance(chat.stop, str) else chat.stop or []
    return Sampling(
        max_tokens=chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens,
        temperature=chat.temperature,
        top_p=chat.top_p,
        top_k=chat.top_k,
        stop=tuple(stop for stop in stops if stop),
        seed=chat.seed,
        presence_penalty=chat.presence_penalty,
        frequency_penalty=chat.frequency_penalty,
        logit_bias=_object(chat.logit_bias, "logit_bias"),
        logprobs=chat.logprobs is True,
        top_logprobs=chat.top_logprobs,
        n=chat.n or 1,
    )


def _format(wanted: Format | None) -> ResponseFormat | None:
    if wanted is None:
        return None
    # Some clients leave the type out beside a schema (recording litellm, snowflake).
    word = wanted.type or ("json_schema" if wanted.json_schema is not None else "text")
    kind = FORMAT_KIND.get(word)
    if kind is None:
        raise wrong("response_format.type", "'text', 'json_object' or 'json_schema'", word)
    if kind is not FormatKind.JSON_SCHEMA:
        return ResponseFormat(kind)
    schema = wanted.json_schema
    if schema is None:
        raise missing("response_format.json_schema")
    return ResponseFormat(
        kind,
        schema.name,
        _object(schema.schema, "response_format.json_schema.schema"),
        schema.description,
        schema.strict,
    )


def _reasoning(chat: ChatBody) -> ReasoningRequest | None:
    """What is asked for in any of the three ways; OpenAI's own comes first."""
    if chat.reasoning_effort is not None:
        return ReasoningRequest(_effort(chat.reasoning_effort, "reasoning_effort"))
    if chat.reasoning is not None:
        wanted = chat.reasoning
        effort = None if wanted.effort is None else _effort(wanted.effort, "reasoning.effort")
        if wanted.enabled is False:
            effort = Effort.NONE
        visible = None if wanted.exclude is None else not wanted.exclude
        return ReasoningRequest(effort, wanted.max_tokens, wanted.enabled is True, visible)
    if chat.thinking is not None:
        if chat.thinking.type == "disabled":
            return ReasoningRequest(Effort.NONE)
        return ReasoningRequest(budget_tokens=chat.thinking.budget_tokens, adaptive=True)
    return None


def _effort(word: str, path: str) -> Effort:
    try:
        return Effort(word)
    except ValueError:
        raise wrong(path, f"one of {EFFORTS}", word) from None
