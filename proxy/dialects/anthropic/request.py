"""Requests of Anthropic's callers as canonical requests."""

import re
from collections.abc import Mapping

import msgspec

from proxy.dialects.anthropic.blocks import (
    assistant_parts,
    kind_of,
    media_parts,
    opaque_part,
    text_part,
    tool_result,
)
from proxy.dialects.anthropic.wire import (
    Cited,
    Format,
    OutputConfig,
    Thinking,
    Tool,
    ToolKindField,
    WireEnvelope,
    WireMessage,
    WireRequest,
    WireToolChoice,
    given,
)
from proxy.dialects.base import Envelope
from proxy.dialects.json_body import Fields, missing, read, read_body, read_fields, unknown_fields, wrong
from proxy.hub.events import Origin
from proxy.hub.request import (
    ChatRequest,
    Effort,
    FormatKind,
    Message,
    Part,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    ServerTool,
    TextPart,
    ToolChoice,
    ToolDefinition,
    ToolMode,
    ToolResultPart,
)

KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(WireRequest))
"""Top-level fields that the hub has a place for; all others become extensions."""

KNOWN_OF_A_TOOL = frozenset({"type", *(field.encode_name for field in msgspec.structs.fields(Tool))})

ATTRIBUTION = "x-anthropic-billing-header:"
"""How Claude Code's first system block begins. It names the client's build, not the task: no model should read it, and it
would spoil another provider's prompt cache (Claude Code 2.1)."""

CITATIONS = "messages: citations"
"""The extension that says that earlier texts have citations. Named once: an answer with a search has dozens."""

BETAS = "anthropic_beta"
"""The extension that holds the `anthropic-beta` header, as a JSON list."""

TOOL_MODE = {
    "auto": ToolMode.AUTO,
    "any": ToolMode.REQUIRED,
    "tool": ToolMode.NAMED,
    "none": ToolMode.NONE,
}

SERVICE_TIER = {"standard_only": "default"}
"""Tiers that the hub calls otherwise."""

EFFORTS = {effort.value: effort for effort in Effort}

_ENVELOPE = msgspec.json.Decoder(WireEnvelope)
_REQUEST = msgspec.json.Decoder(WireRequest)
_TOOL_KIND = msgspec.json.Decoder(ToolKindField)
_TOOL = msgspec.json.Decoder(Tool)
_CITED = msgspec.json.Decoder(Cited)
_OBJECT = msgspec.json.Decoder(Fields)


def decode_envelope(body: bytes) -> Envelope:
    """See `Dialect.envelope`."""
    found = read_body(_ENVELOPE, body)
    return Envelope(found.model, bool(found.stream))


def decode_request(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """The request of `/v1/messages` or `/v1/messages/count_tokens`. Raises CallerError naming the field."""
    fields = read_fields(body)
    wire = read(_REQUEST, body)
    if not wire.messages:
        raise wrong("messages", "at least one message", [])
    extensions = unknown_fields(fields, KNOWN)
    tools, server_tools = _tools(wire.tools or [], extensions)
    choice, parallel = _tool_choice(wire.tool_choice)
    user = _user(wire, fields, extensions)
    reasoning = _reasoning(wire, fields, extensions)
    _add_output_config(fields, extensions)
    _add_betas(headers.get("anthropic-beta", ""), extensions)
    if b'"citations"' in body and _has_citations(wire.messages):
        extensions[CITATIONS] = b"true"
    return ChatRequest(
        model=wire.model,
        messages=(*_system(wire.system), *_messages(wire.messages)),
        stream=bool(wire.stream),
        tools=tuple(tools),
        server_tools=tuple(server_tools),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        sampling=Sampling(
            max_tokens=wire.max_tokens,
            temperature=wire.temperature,
            top_p=wire.top_p,
            top_k=wire.top_k,
            stop=tuple(wire.stop_sequences or ()),
        ),
        response_format=_response_format(wire),
        reasoning=reasoning,
        user=user,
        service_tier=SERVICE_TIER.get(wire.service_tier, wire.service_tier) if wire.service_tier else None,
        extensions=extensions,
    )


# --- messages


def _system(system: str | list[msgspec.Raw] | None) -> list[Message]:
    if isinstance(system, str):
        parts = [TextPart(system)]
    else:
        parts = [text_part(raw, f"system[{index}]") for index, raw in enumerate(system or ())]
    kept = tuple(part for part in parts if part.text and not part.text.startswith(ATTRIBUTION))
    return [Message(Role.SYSTEM, kept)] if kept else []


def _messages(messages: list[WireMessage]) -> list[Message]:
    found: list[Message] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        match message.role:
            case "user":
                found += _user_messages(message.content, path)
            case "assistant":
                found.append(Message(Role.ASSISTANT, _assistant_parts(message.content, path)))
            case "system":
                found.append(Message(Role.SYSTEM, _text_parts(message.content, path)))
            case role:
                raise wrong(f"{path}.role", "'user', 'assistant' or 'system'", role)
    return found


def _user_messages(content: str | list[msgspec.Raw], path: str) -> list[Message]:
    """A turn with results and other blocks becomes messages of either, in order."""
    if isinstance(content, str):
        return [Message(Role.USER, (TextPart(content),))]
    groups: list[tuple[Role, list[Part]]] = []
    for index, raw in enumerate(content):
        place = f"{path}.content[{index}]"
        kind = kind_of(raw, place)
        parts: list[Part] = []
        if kind == "tool_result":
            parts.append(tool_result(raw, place))
        else:
            parts += media_parts(kind, raw, place) or [opaque_part(kind, raw)]
        role = Role.TOOL if isinstance(parts[0], ToolResultPart) else Role.USER
        if not groups or groups[-1][0] is not role:
            groups.append((role, []))
        groups[-1][1].extend(parts)
    return [Message(role, tuple(parts)) for role, parts in groups] or [Message(Role.USER, ())]


def _assistant_parts(content: str | list[msgspec.Raw], path: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(assistant_parts(content, f"{path}.content"))


def _text_parts(content: str | list[msgspec.Raw], path: str) -> tuple[TextPart, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(text_part(raw, f"{path}.content[{index}]") for index, raw in enumerate(content))


# --- tools


def _tools(tools: list[msgspec.Raw], extensions: dict[str, bytes]) -> tuple[list[ToolDefinition], list[ServerTool]]:
    """The caller's own tools and Anthropic's. Fields of the former that only Anthropic knows become extensions."""
    own: list[ToolDefinition] = []
    server: list[ServerTool] = []
    for index, raw in enumerate(tools):
        path = f"tools[{index}]"
        kind = read(_TOOL_KIND, raw, path).type
        if kind is not None and kind != "custom":
            server.append(ServerTool(Origin.ANTHROPIC, kind, bytes(raw)))
            continue
        tool = read(_TOOL, raw, path)
        read(_OBJECT, tool.input_schema, f"{path}.input_schema")
        others = unknown_fields(read(_OBJECT, raw, path), KNOWN_OF_A_TOOL)
        extensions.update({f"tools[{tool.name}].{field}": json for field, json in others.items()})
        own.append(
            ToolDefinition(
                tool.name,
                tool.description,
                bytes(tool.input_schema),
                tool.strict,
                cache=given(tool.cache_control),
            )
        )
    return own, server


def _tool_choice(choice: WireToolChoice | None) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether several calls at once are allowed."""
    if choice is None:
        return None, None
    mode = TOOL_MODE.get(choice.type)
    if mode is None:
        raise wrong("tool_choice.type", "'auto', 'any', 'tool' or 'none'", choice.type)
    if mode is ToolMode.NAMED and not choice.name:
        raise missing("tool_choice.name")
    name = choice.name if mode is ToolMode.NAMED else None
    return ToolChoice(mode, name), False if choice.disable_parallel_tool_use else None


# --- thinking and format


def _reasoning(wire: WireRequest, fields: Fields, extensions: dict[str, bytes]) -> ReasoningRequest | None:
    """What `thinking` and `output_config.effort` say; a kind of thinking that other APIs do not have is an extension."""
    config = wire.output_config or OutputConfig()
    effort = None
    if config.effort is not None:
        effort = EFFORTS.get(config.effort)
        if effort is None:
            raise wrong("output_config.effort", "'low', 'medium', 'high', 'xhigh' or 'max'", config.effort)
    thinking = wire.thinking
    match thinking.type if thinking is not None else None:
        case "disabled":
            return ReasoningRequest(Effort.NONE)
        case "enabled":
            budget = thinking.budget_tokens if thinking is not None else None
            return ReasoningRequest(effort, budget, visible=_visible(thinking))
        case "adaptive":
            return ReasoningRequest(effort, adaptive=True, visible=_visible(thinking))
        case None:
            pass
        case _:
            extensions["thinking"] = bytes(fields["thinking"])
    return ReasoningRequest(effort) if effort is not None else None


def _visible(thinking: Thinking | None) -> bool | None:
    display = thinking.display if thinking is not None else None
    return None if display is None else display != "omitted"


def _response_format(wire: WireRequest) -> ResponseFormat | None:
    """`output_config.format`, or its older name `output_format`."""
    config = wire.output_config or OutputConfig()
    if config.format is not None:
        return _schema_format(config.format, "output_config.format")
    if wire.output_format is not None:
        return _schema_format(wire.output_format, "output_format")
    return None


def _schema_format(format: Format, path: str) -> ResponseFormat:
    if format.type != "json_schema":
        raise wrong(f"{path}.type", "'json_schema'", format.type)
    schema = given(format.schema)
    if schema is None:
        raise missing(f"{path}.schema")
    read(_OBJECT, schema, f"{path}.schema")
    return ResponseFormat(FormatKind.JSON_SCHEMA, schema=schema, strict=True)


# --- the rest

_JSON_OBJECT = re.compile(r"\s*\{.*\}\s*", re.DOTALL)


def _user(wire: WireRequest, fields: Fields, extensions: dict[str, bytes]) -> str | None:
    """The caller's user id. Claude Code puts a JSON object of account and device ids there: only Anthropic gets that."""
    user = wire.metadata.user_id if wire.metadata is not None else None
    if user is not None and _JSON_OBJECT.fullmatch(user) is not None:
        extensions["metadata"] = bytes(fields["metadata"])
        return None
    return user or None


def _add_output_config(fields: Fields, extensions: dict[str, bytes]) -> None:
    """What `output_config` has beyond effort and format becomes extensions of its own (`output_config.task_budget`)."""
    raw = fields.get("output_config")
    config = given(raw) if raw is not None else None
    if config is not None:
        others = unknown_fields(read(_OBJECT, config, "output_config"), {"effort", "format"})
        extensions.update({f"output_config.{name}": json for name, json in others.items()})


def _has_citations(messages: list[WireMessage]) -> bool:
    """Whether a text or search result that the caller gives back says what it was made of: only Anthropic reads that."""
    for place, message in enumerate(messages):
        for number, raw in enumerate(message.content if not isinstance(message.content, str) else ()):
            block = read(_CITED, raw, f"messages[{place}].content[{number}]")
            if block.type in ("text", "search_result") and bytes(block.citations) not in (b"", b"null", b"[]"):
                return True
    return False


def _add_betas(header: str, extensions: dict[str, bytes]) -> None:
    betas = [name.strip() for name in header.split(",") if name.strip()]
    if betas:
        extensions[BETAS] = msgspec.json.encode(betas)
