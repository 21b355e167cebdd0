"""A request of an AI SDK user interface: what `useChat` and `useCompletion` post, with what the app adds.

    {"id": "c1", "messages": […], "trigger": "submit-message"}                  as DefaultChatTransport posts it
    {"messages": […], "model": "demo", "system": "Be brief", "maxOutputTokens": 500, "tools": {…}}
    {"prompt": "Hello"}                                                         useCompletion

The body belongs to the app, which merges into it what it likes. So the settings may have the AI SDK's names or those of
Chat Completions, and are read by that dialect's own code, which this one is given. `tools` may be a list as in Chat
Completions or a map of names, as assistant-ui sends it: `{"get_weather": {"description", "parameters"}}`.

* `model` absent: the configured default. `stream` absent: true; false gives one JSON message.
* Fields that nobody here knows are named as dropped.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from proxy.dialects.base import Envelope
from proxy.dialects.json_body import Fields, missing, read, read_body, read_fields, wrong
from proxy.dialects.ui_messages import read_ui_messages
from proxy.hub.request import ChatRequest, Message, Role, TextPart

ReadChatRequest = Callable[[bytes], ChatRequest]
"""Reads a Chat Completions body. Raises CallerError."""

NAMES: Final = {
    "maxOutputTokens": "max_tokens",
    "maxTokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "toolChoice": "tool_choice",
    "responseFormat": "response_format",
    "reasoningEffort": "reasoning_effort",
    "serviceTier": "service_tier",
}
"""The AI SDK's names of settings, as Chat Completions names them."""

OWN: Final = ("id", "messages", "trigger", "messageId", "stream", "system", "prompt", "tools")
"""What the settings' reader must not see."""

_SOMETHING: Final = msgspec.Raw(b'[{"role":"user","content":"-"}]')
"""The settings' reader wants messages; those of the interface take their place."""


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    system: str | None = None
    prompt: str | None = None
    messages: list[msgspec.Raw] | None = None
    tools: msgspec.Raw = msgspec.Raw()


class _Head(msgspec.Struct):
    role: str | None = None
    id: str | None = None


class _Named(msgspec.Struct):
    """A tool in a map of names, or without the wrapping of Chat Completions."""

    description: str | None = None
    name: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    inputSchema: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: str | None = None
    toolName: str | None = None


class _Typed(msgspec.Struct):
    type: str | None = None
    function: msgspec.Raw = msgspec.Raw()
    custom: msgspec.Raw = msgspec.Raw()


_BODY = msgspec.json.Decoder(_Body)
_HEAD = msgspec.json.Decoder(_Head)
_NAMED = msgspec.json.Decoder(_Named)
_CHOICE = msgspec.json.Decoder(_Choice)
_TYPED = msgspec.json.Decoder(_Typed)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_MAP = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_envelope(body: bytes) -> Envelope:
    """What routing needs. `variant` is the id of the assistant's message that the answer goes on with, if it does."""
    found = read_body(_BODY, body)
    last = read(_HEAD, found.messages[-1], f"messages[{len(found.messages) - 1}]") if found.messages else _Head()
    return Envelope(
        model=found.model or None,
        stream=found.stream is not False,
        variant=(last.id or "") if last.role == "assistant" else "",
    )


def decode_request(body: bytes, read_chat: ReadChatRequest) -> ChatRequest:
    """The whole request. Raises CallerError naming the field."""
    fields = read_fields(body)
    found = read(_BODY, body)
    if found.messages is None and not found.prompt:
        raise missing("messages")
    messages, unknown = _messages(found)
    chat = read_settings(fields, OWN, found.tools, read_chat)
    system = () if not found.system else (Message(Role.SYSTEM, (TextPart(found.system),)),)
    return msgspec.structs.replace(
        chat,
        messages=(*system, *messages),
        stream=found.stream is not False,
        include_usage=True,
        extensions={**chat.extensions, **unknown},
    )


def _messages(found: _Body) -> tuple[list[Message], dict[str, bytes]]:
    messages: list[Message] = []
    unknown: dict[str, bytes] = {}
    if found.messages is not None and (found.messages or not found.prompt):
        conversation = read_ui_messages(found.messages, "messages")
        messages, unknown = conversation.messages, conversation.unknown
    if found.prompt:
        messages.append(Message(Role.USER, (TextPart(found.prompt),)))
    return messages, unknown


# --- settings, in the words of Chat Completions


def read_settings(fields: Fields, own: tuple[str, ...], tools: msgspec.Raw, read_chat: ReadChatRequest) -> ChatRequest:
    """A request with every setting of `fields` but those in `own`. Its messages mean nothing. Raises CallerError."""
    settings: Fields = {}
    for name, raw in fields.items():
        if name not in own:
            settings.setdefault(NAMES.get(name, name), raw)
    if bytes(settings.get("reasoning", _SOMETHING))[:1] == b'"':
        effort = settings.pop("reasoning")
        if bytes(effort) != b'"provider-default"':
            settings["reasoning_effort"] = effort
    if bytes(settings.get("tool_choice", _SOMETHING))[:1] == b"{":
        settings["tool_choice"] = _tool_choice(settings["tool_choice"])
    settings["messages"] = _SOMETHING
    written = _tools(tools)
    if written:
        settings["tools"] = msgspec.Raw(msgspec.json.encode(written))
    return read_chat(msgspec.json.encode(settings))


def _tool_choice(raw: msgspec.Raw) -> msgspec.Raw:
    """The AI SDK's `{"type": "tool", "toolName": …}`; every other choice is that of Chat Completions."""
    choice = read(_CHOICE, raw, "toolChoice")
    if choice.type != "tool":
        return raw
    if not choice.toolName:
        raise missing("toolChoice.toolName")
    return msgspec.Raw(msgspec.json.encode({"type": "function", "function": {"name": choice.toolName}}))


def _tools(raw: msgspec.Raw) -> list[object]:
    match bytes(raw)[:1]:
        case b"[":
            listed = read(_LIST, raw, "tools")
            return [_listed(tool, f"tools[{number}]") for number, tool in enumerate(listed)]
        case b"{":
            return [
                _function(read(_NAMED, tool, f"tools.{name}"), name) for name, tool in read(_MAP, raw, "tools").items()
            ]
        case b"" | b"n":
            return []
        case _:
            raise wrong("tools", "a list or an object of tools", bytes(raw)[:40].decode("utf-8", "replace"))


def _listed(raw: msgspec.Raw, path: str) -> object:
    """An entry of a list: as in Chat Completions, or the function itself (AG-UI)."""
    typed = read(_TYPED, raw, path)
    if typed.type not in (None, "function") or bytes(typed.function) or bytes(typed.custom):
        return raw
    tool = read(_NAMED, raw, path)
    if not tool.name:
        raise missing(f"{path}.name")
    return _function(tool, tool.name)


def _function(tool: _Named, name: str) -> object:
    schema = tool.parameters if bytes(tool.parameters) else tool.inputSchema
    function: dict[str, object] = {"name": name}
    if tool.description is not None:
        function["description"] = tool.description
    if bytes(schema) not in (b"", b"null"):
        function["parameters"] = schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
