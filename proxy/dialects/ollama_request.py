"""Reads a request of Ollama's API: `/api/chat` with messages, `/api/generate` with a prompt.

* `stream` is true when it is absent.
* Calls have ids only with newer servers and clients. The n-th call of a request without one is `call_n`, and a result
  without one belongs to the first call of its `tool_name` (or the first call at all) that has no result yet.
* `options` holds the sampling; what no hub field stands for (`num_ctx`, `min_p`, `mirostat` …) is an extension under its
  dotted name, and named as dropped by every provider but Ollama's own.
"""

from typing import Final

import msgspec

from proxy.dialects.base import CallParams, Envelope
from proxy.dialects.data_url import plain_base64, source_of
from proxy.dialects.json_body import missing, read, read_body, read_fields, unknown_fields, wrong
from proxy.hub.request import (
    ChatRequest,
    DataSource,
    Effort,
    FormatKind,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ReasoningRequest,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)

GENERATE: Final = "generate"
"""The variant of callers of `/api/generate`."""

EFFORTS: Final = ", ".join(effort.value for effort in Effort)

Raw = msgspec.Raw


class _Function(msgspec.Struct):
    name: str
    arguments: Raw = Raw()
    description: str | None = None
    parameters: Raw = Raw()


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Tool(msgspec.Struct):
    function: _Function
    type: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class _Options(msgspec.Struct):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    num_predict: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class _Envelope(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None


class _Body(_Envelope):
    messages: list[_Message] | None = None
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None
    tools: list[_Tool] | None = None
    think: bool | str | None = None
    format: Raw = Raw()
    options: Raw = Raw()
    logprobs: bool | None = None
    top_logprobs: int | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_BODY = msgspec.json.Decoder(_Body)
_OPTIONS = msgspec.json.Decoder(_Options)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])

_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(_Body))
_KNOWN_OPTIONS = frozenset(field.encode_name for field in msgspec.structs.fields(_Options))


def decode_envelope(body: bytes, params: CallParams) -> Envelope:
    """What routing needs. Raises CallerError."""
    found = read_body(_ENVELOPE, body)
    return Envelope(
        model=found.model or None,
        stream=found.stream is not False,
        variant=GENERATE if params.path.get("method") == GENERATE else "",
    )


def decode_request(body: bytes, params: CallParams) -> ChatRequest:
    """The whole request. Raises CallerError naming the field."""
    fields = read_fields(body)
    found = read(_BODY, body)
    is_generate = params.path.get("method") == GENERATE
    messages = _prompt(found) if is_generate else _Conversation().read(found.messages or [])
    extensions = unknown_fields(fields, _KNOWN)
    return ChatRequest(
        model=found.model or "",
        messages=tuple(messages),
        stream=found.stream is not False,
        tools=tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(found.tools or ())),
        sampling=_sampling(found, extensions),
        response_format=_format(found.format),
        reasoning=_reasoning(found.think),
        extensions=extensions,
    )


def _prompt(found: _Body) -> list[Message]:
    """The messages that say what a prompt says."""
    if not found.prompt and not found.images:
        raise missing("prompt")
    messages = [Message(Role.SYSTEM, (TextPart(found.system),))] if found.system else []
    parts: list[Part] = [TextPart(found.prompt)] if found.prompt else []
    parts += _images(found.images, "images")
    return [*messages, Message(Role.USER, tuple(parts))]


class _Conversation:
    """Reads the messages of one request."""

    def __init__(self) -> None:
        self._call_count = 0
        self._open: list[tuple[str, str]] = []
        """Id and name of each call that has no result yet."""

    def read(self, messages: list[_Message]) -> list[Message]:
        if not messages:
            raise missing("messages")
        read = [self._message(message, f"messages[{number}]") for number, message in enumerate(messages)]
        found = [message for message in read if message.parts]
        if not found:
            raise wrong("messages", "a message with content", "none")
        return found

    def _message(self, message: _Message, path: str) -> Message:
        match message.role:
            case "system" | "developer":
                return Message(Role.SYSTEM, _text(message))
            case "user":
                return Message(Role.USER, (*_text(message), *_images(message.images, f"{path}.images")))
            case "assistant":
                return Message(Role.ASSISTANT, self._answer(message, path))
            case "tool":
                return Message(Role.TOOL, (self._result(message, path),))
            case role:
                raise wrong(f"{path}.role", "'system', 'user', 'assistant' or 'tool'", role)

    def _answer(self, message: _Message, path: str) -> tuple[Part, ...]:
        parts: list[Part] = [ReasoningPart(message.thinking)] if message.thinking else []
        parts += [*_text(message), *_images(message.images, f"{path}.images")]
        for number, call in enumerate(message.tool_calls or ()):
            self._call_count += 1
            id = call.id or f"call_{self._call_count}"
            self._open.append((id, call.function.name))
            arguments = _object(call.function.arguments, f"{path}.tool_calls[{number}].function.arguments")
            parts.append(ToolCallPart(id, call.function.name, (arguments or b"{}").decode()))
        return tuple(parts)

    def _result(self, message: _Message, path: str) -> ToolResultPart:
        parts: list[TextPart | ImagePart] = [TextPart(message.content or "")]
        parts += _images(message.images, f"{path}.images")
        return ToolResultPart(self._answered(message), tuple(parts), message.tool_name)

    def _answered(self, message: _Message) -> str:
        """The id of the call that a result answers."""
        wanted = message.tool_call_id
        for number, (id, name) in enumerate(self._open):
            if id == wanted or (wanted is None and message.tool_name in (None, "", name)):
                del self._open[number]
                return id
        return wanted or f"call_{self._call_count}"


def _text(message: _Message) -> tuple[TextPart, ...]:
    return (TextPart(message.content),) if message.content else ()


def _images(images: list[str] | None, path: str) -> list[ImagePart]:
    """Base64 without a type, which its first characters tell; a data URL is taken as well."""
    found: list[ImagePart] = []
    for number, data in enumerate(images or ()):
        where = f"{path}[{number}]"
        if data[:5].lower() == "data:":
            found.append(ImagePart(source_of(data, where)))
            continue
        data = plain_base64(data, where)
        found.append(ImagePart(DataSource(_media_type(data), data)))
    return found


MAGIC: Final = (("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"), ("iVBORw0KGgo", "image/png"))
"""How images of each type begin, in base64."""


def _media_type(data: str) -> str:
    return next((media_type for magic, media_type in MAGIC if data.startswith(magic)), "image/png")


# --- tools and settings


def _tool(tool: _Tool, path: str) -> ToolDefinition:
    if tool.type not in (None, "function"):
        raise wrong(f"{path}.type", "'function'", tool.type)
    schema = _object(tool.function.parameters, f"{path}.function.parameters")
    return ToolDefinition(tool.function.name, tool.function.description, schema)


def _object(raw: Raw, path: str) -> bytes | None:
    """A JSON object as the caller wrote it; `None`: absent or null."""
    json = bytes(raw)
    if json in (b"", b"null"):
        return None
    if json[:1] != b"{":
        raise wrong(path, "an object", json[:60].decode("utf-8", "replace"))
    return json


def _sampling(found: _Body, extensions: dict[str, bytes]) -> Sampling:
    json = _object(found.options, "options") or b"{}"
    options = read(_OPTIONS, json, "options")
    for name, value in unknown_fields(read(_FIELDS, json, "options"), _KNOWN_OPTIONS).items():
        extensions[f"options.{name}"] = value
    stops = [options.stop] if isinstance(options.stop, str) else options.stop or []
    # Negative: as many as the model likes, or as fit its context.
    is_limited = options.num_predict is not None and options.num_predict > 0
    return Sampling(
        max_tokens=options.num_predict if is_limited else None,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        stop=tuple(stop for stop in stops if stop),
        seed=options.seed,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        logprobs=found.logprobs is True,
        top_logprobs=found.top_logprobs,
    )


def _format(raw: Raw) -> ResponseFormat | None:
    json = bytes(raw)
    if json in (b"", b"null", b'""'):
        return None
    if json == b'"json"':
        return ResponseFormat(FormatKind.JSON_OBJECT)
    if json[:1] != b"{":
        raise wrong("format", "'json' or a JSON schema", json[:60].decode("utf-8", "replace"))
    return ResponseFormat(FormatKind.JSON_SCHEMA, schema=json)


def _reasoning(think: bool | str | None) -> ReasoningRequest | None:
    if think is None or think == "":
        return None
    if think is True:
        return ReasoningRequest(adaptive=True, visible=True)
    if think is False:
        return ReasoningRequest(Effort.NONE)
    try:
        return ReasoningRequest(Effort(think), visible=True)
    except ValueError:
        raise wrong("think", f"true, false or one of {EFFORTS}", think) from None
