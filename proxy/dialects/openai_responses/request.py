"""Reads a request of the Responses API into `ChatRequest`.

Only callers whose target speaks another API come here. What needs state at OpenAI is then refused with the field's name
(`previous_response_id`, `conversation`, `background`, prompt templates): ignoring it would answer another question than
the caller asked. What merely has no counterpart goes into `extensions`, and the target names it as dropped.
"""

from typing import Final

import msgspec

from proxy.dialects.json_body import Fields, missing, read, read_fields, unknown_fields, wrong
from proxy.dialects.openai_responses.input import read_input
from proxy.dialects.openai_responses.namespaces import MAX_NAME_CHARS, join
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    Message,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    ServerTool,
    TextPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
)


class Format(msgspec.Struct):
    type: str
    name: str | None = None
    schema: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None
    description: str | None = None


class Text(msgspec.Struct):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None
    context: msgspec.Raw = msgspec.Raw()
    summary: str | None = None
    generate_summary: str | None = None
    """The older name of `summary`."""


class Body(msgspec.Struct):
    """The fields that mean something to the hub."""

    model: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    instructions: str | None = None
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: msgspec.Raw = msgspec.Raw()
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    store: bool | None = None
    truncation: str | None = None


_BODY = msgspec.json.Decoder(Body)

KNOWN: Final = frozenset(Body.__struct_fields__) | {"stream_options"}
"""Fields that are read, and one that asks for nothing but padding."""

NEEDS_STATE: Final = "this model keeps no responses; send the whole conversation in `input`"

ALWAYS_GIVEN: Final = "reasoning.encrypted_content"
"""What `include` may ask for and every answer has."""
LOGPROBS: Final = "message.output_text.logprobs"

DEFAULT_TRUNCATION: Final = "disabled"

EFFORT: Final[dict[str, Effort]] = {effort.value: effort for effort in Effort}


def decode_request(body: bytes) -> ChatRequest:
    """See `Dialect.decode_request`."""
    fields = read_fields(body)
    wire = read(_BODY, body)
    _refuse_state(wire)
    if not _is_given(wire.input):
        raise missing("input")
    messages = read_input(wire.input)
    if wire.instructions:
        messages.insert(0, Message(Role.SYSTEM, (TextPart(wire.instructions),)))
    tools, server_tools = _tools(wire.tools or [])
    return ChatRequest(
        model=wire.model or "",
        messages=tuple(messages),
        stream=bool(wire.stream),
        tools=tools,
        server_tools=server_tools,
        tool_choice=_tool_choice(wire.tool_choice),
        parallel_tool_calls=wire.parallel_tool_calls,
        sampling=_sampling(wire),
        response_format=_response_format(wire.text),
        reasoning=_reasoning(wire.reasoning),
        user=wire.safety_identifier or wire.user,
        metadata=bytes(wire.metadata) if _is_given(wire.metadata) else None,
        service_tier=wire.service_tier,
        verbosity=wire.text.verbosity if wire.text is not None else None,
        cache_key=wire.prompt_cache_key,
        extensions=_extensions(fields, wire),
    )


def _is_given(raw: msgspec.Raw) -> bool:
    return len(raw) > 4 or bytes(raw) not in (b"", b"null")


def _refuse_state(wire: Body) -> None:
    for name, is_given in (
        ("previous_response_id", wire.previous_response_id is not None),
        ("conversation", _is_given(wire.conversation)),
        ("background", bool(wire.background)),
        ("prompt", _is_given(wire.prompt)),
    ):
        if is_given:
            raise CallerError(ErrorKind.INVALID_REQUEST, f"{name}: {NEEDS_STATE}", param=name)


def _extensions(fields: Fields, wire: Body) -> dict[str, bytes]:
    """What no field of the hub stands for: unknown fields, and known ones that ask for more than every answer gives."""
    extensions = unknown_fields(fields, KNOWN)
    if wire.store:
        extensions["store"] = b"true"
    if wire.truncation not in (None, DEFAULT_TRUNCATION):
        extensions["truncation"] = bytes(fields["truncation"])
    if set(wire.include or ()) - {ALWAYS_GIVEN, LOGPROBS}:
        extensions["include"] = bytes(fields["include"])
    if wire.reasoning is not None and _is_given(wire.reasoning.context):
        extensions["reasoning.context"] = bytes(wire.reasoning.context)
    for index, raw in enumerate(wire.tools or ()):
        tool = read(_TOOL, raw, f"tools[{index}]")
        if tool.type in OWN_TOOLS:
            others = unknown_fields(read(_OBJECT, raw, f"tools[{index}]"), KNOWN_OF_A_TOOL)
            extensions.update({f"tools[{tool.name}].{field}": json for field, json in others.items()})
    return extensions


def _sampling(wire: Body) -> Sampling:
    if wire.max_output_tokens is not None and wire.max_output_tokens < 1:
        raise wrong("max_output_tokens", "at least 1", wire.max_output_tokens)
    return Sampling(
        max_tokens=wire.max_output_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        logprobs=bool(wire.top_logprobs) or LOGPROBS in (wire.include or ()),
        top_logprobs=wire.top_logprobs,
    )


def _reasoning(wire: Reasoning | None) -> ReasoningRequest | None:
    if wire is None:
        return None
    effort = None
    if wire.effort is not None:
        effort = EFFORT.get(wire.effort)
        if effort is None:
            raise wrong("reasoning.effort", "one of " + ", ".join(EFFORT), wire.effort)
    is_visible = (wire.summary or wire.generate_summary) is not None
    if effort is None and not is_visible:
        return None
    return ReasoningRequest(effort=effort, visible=True if is_visible else None)


def _response_format(text: Text | None) -> ResponseFormat | None:
    if text is None or text.format is None:
        return None
    format = text.format
    match format.type:
        case "text":
            return None
        case "json_object":
            return ResponseFormat(FormatKind.JSON_OBJECT)
        case "json_schema":
            if not _is_given(format.schema):
                raise missing("text.format.schema")
            return ResponseFormat(
                FormatKind.JSON_SCHEMA, format.name, bytes(format.schema), format.description, format.strict
            )
        case _:
            raise wrong("text.format.type", "'text', 'json_object' or 'json_schema'", format.type)


# --- tools


class Tool(msgspec.Struct):
    """Any tool; only functions and custom tools are read further."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None
    format: msgspec.Raw = msgspec.Raw()
    tools: list[msgspec.Raw] | None = None
    """Those in a namespace."""


class AllowedTool(msgspec.Struct):
    type: str
    name: str | None = None


class ChosenTool(msgspec.Struct):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[AllowedTool] | None = None


_TOOL = msgspec.json.Decoder(Tool)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

KNOWN_OF_A_TOOL: Final = frozenset(Tool.__struct_fields__)
_CHOICE: msgspec.json.Decoder[str | ChosenTool] = msgspec.json.Decoder(str | ChosenTool)

OWN_TOOLS: Final[dict[str, ToolKind]] = {"function": ToolKind.FUNCTION, "custom": ToolKind.CUSTOM}
"""Types of tools that the caller runs. Others are hosted: they are kept whole for a provider of this API."""


def _tools(raws: list[msgspec.Raw]) -> tuple[tuple[ToolDefinition, ...], tuple[ServerTool, ...]]:
    own: list[ToolDefinition] = []
    hosted: list[ServerTool] = []
    for index, raw in enumerate(raws):
        path = f"tools[{index}]"
        tool = read(_TOOL, raw, path)
        inner = _own_tools(tool, path)
        if inner:
            own.extend(inner)
        else:
            hosted.append(ServerTool(Origin.OPENAI, tool.type, bytes(raw)))
    return tuple(own), tuple(hosted)


def _own_tools(tool: Tool, path: str) -> list[ToolDefinition]:
    """The tools that the caller runs: `tool` itself, or all of a namespace; none, if any of them cannot be told apart."""
    if tool.type in OWN_TOOLS:
        return [_own_tool(tool, None, path)]
    if tool.type != "namespace" or not tool.name:
        return []
    inner: list[ToolDefinition] = []
    for index, raw in enumerate(tool.tools or []):
        place = f"{path}.tools[{index}]"
        found = read(_TOOL, raw, place)
        if found.type not in OWN_TOOLS or len(join(tool.name, found.name or "")) > MAX_NAME_CHARS:
            return []
        inner.append(_own_tool(found, tool.name, place))
    return inner


def _own_tool(tool: Tool, namespace: str | None, path: str) -> ToolDefinition:
    if not tool.name:
        raise missing(f"{path}.name")
    return ToolDefinition(
        name=join(namespace, tool.name),
        description=tool.description,
        parameters=bytes(tool.parameters) if _is_given(tool.parameters) else None,
        strict=tool.strict,
        kind=OWN_TOOLS[tool.type],
        format=bytes(tool.format) if _is_given(tool.format) else None,
    )


def _tool_choice(raw: msgspec.Raw) -> ToolChoice | None:
    if not _is_given(raw):
        return None
    choice = read(_CHOICE, raw, "tool_choice")
    if isinstance(choice, str):
        return ToolChoice(_mode(choice, "tool_choice", (ToolMode.NONE, ToolMode.AUTO, ToolMode.REQUIRED)))
    if choice.type in OWN_TOOLS:
        if not choice.name:
            raise missing("tool_choice.name")
        return ToolChoice(ToolMode.NAMED, choice.name)
    if choice.type == "allowed_tools":
        mode = _mode(choice.mode or "auto", "tool_choice.mode", (ToolMode.AUTO, ToolMode.REQUIRED))
        names = tuple(tool.name for tool in choice.tools or [] if tool.type in OWN_TOOLS and tool.name)
        return ToolChoice(mode, allowed=names)
    # To force a hosted tool is to require what the target does not have.
    raise wrong("tool_choice.type", "'function', 'custom' or 'allowed_tools' for this model", choice.type)


def _mode(word: str, path: str, modes: tuple[ToolMode, ...]) -> ToolMode:
    for mode in modes:
        if word == mode:
            return mode
    raise wrong(path, " or ".join(repr(mode.value) for mode in modes), word)
