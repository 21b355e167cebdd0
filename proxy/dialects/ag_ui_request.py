"""Reads a run of AG-UI 1.0: RunAgentInput, as `HttpAgent` posts it.

    {"threadId", "runId", "state", "messages": […], "tools": [{"name", "description", "parameters"}],
     "context": [{"description", "value"}], "forwardedProps": {"model": "demo", "temperature": 0.5}}

* The protocol has no model and no settings. They are read from `forwardedProps` (or stand beside it), in the words of
  Chat Completions or the AI SDK, by the code that `ui_request` is given.
* Messages of role `reasoning` and `assistant` in a row are one ASSISTANT message: the client keeps each block as one.
* `context` is what the app wants the agent to know: one SYSTEM message before all others. `state` is the app's and the
  agent's own affair; if there is any, it is named as dropped, and so is `resume`, because no run here is ever interrupted.
* `encryptedValue` is a proof that `ag_ui_stream` packed (`hub.carried`); one of another agent is nobody's here.
"""

from typing import Final

import msgspec

from proxy.dialects.base import Envelope
from proxy.dialects.data_url import plain_base64, source_of
from proxy.dialects.json_body import Fields, missing, read, read_body, read_fields, wrong
from proxy.dialects.ui_request import ReadChatRequest, read_settings
from proxy.hub.carried import Carried, unpack
from proxy.hub.events import Origin
from proxy.hub.request import (
    AudioPart,
    ChatRequest,
    DataSource,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

OWN: Final = (
    "threadId",
    "runId",
    "parentRunId",
    "protocolVersion",
    "messages",
    "tools",
    "context",
    "forwardedProps",
    "stream",
)
"""What the settings' reader must not see."""

EMPTY: Final = (b"", b"null", b"{}", b"[]", b'""')

AUDIO_FORMAT: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
"""Subtypes that Chat Completions words otherwise; others are their own format."""

Raw = msgspec.Raw


class _PartSource(msgspec.Struct):
    type: str
    value: str | None = None
    mimeType: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    source: _PartSource | None = None
    mimeType: str | None = None
    url: str | None = None
    data: str | None = None
    filename: str | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _Function
    encryptedValue: str | None = None


class _Message(msgspec.Struct):
    role: str
    id: str | None = None
    name: str | None = None
    content: Raw = Raw()
    toolCalls: list[_Call] | None = None
    toolCallId: str | None = None
    error: str | None = None
    encryptedValue: str | None = None


class _Context(msgspec.Struct):
    description: str = ""
    value: str = ""


class _Props(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None


class _Body(_Props):
    threadId: str | None = None
    runId: str | None = None
    messages: list[_Message] | None = None
    tools: Raw = Raw()
    context: list[_Context] | None = None
    forwardedProps: Raw = Raw()


class Run(msgspec.Struct):
    """Which run a stream belongs to; `StreamContext.variant` holds it as JSON."""

    threadId: str
    runId: str


_BODY = msgspec.json.Decoder(_Body)
_PROPS = msgspec.json.Decoder(_Props)
_FIELDS = msgspec.json.Decoder(Fields)
_PARTS = msgspec.json.Decoder(list[_Part])
_STRING = msgspec.json.Decoder(str)


def decode_envelope(body: bytes) -> Envelope:
    """What routing needs; `variant` holds the `Run`. Raises CallerError."""
    found = read_body(_BODY, body)
    props = read(_PROPS, _props(found), "forwardedProps")
    is_whole = found.stream is False or props.stream is False
    run = Run(found.threadId or "", found.runId or "")
    return Envelope(
        model=found.model or props.model or None, stream=not is_whole, variant=msgspec.json.encode(run).decode()
    )


def decode_request(body: bytes, read_chat: ReadChatRequest) -> ChatRequest:
    """The whole request. Raises CallerError naming the field."""
    fields = read_fields(body)
    found = read(_BODY, body)
    if not found.messages:
        raise missing("messages")
    props = read(_FIELDS, _props(found), "forwardedProps")
    settings = {name: raw for name, raw in {**props, **fields}.items() if bytes(raw) not in EMPTY}
    chat = read_settings(settings, OWN, found.tools, read_chat)
    messages = _Conversation().read(found.messages)
    return msgspec.structs.replace(
        chat,
        messages=(*_context(found.context or []), *messages),
        stream=decode_envelope(body).stream,
        include_usage=True,
    )


def _props(found: _Body) -> Raw:
    """`forwardedProps` as an object: the protocol takes any value, and what is no object says nothing here."""
    return found.forwardedProps if bytes(found.forwardedProps)[:1] == b"{" else Raw(b"{}")


def _context(entries: list[_Context]) -> list[Message]:
    texts = [f"{entry.description}: {entry.value}" if entry.description else entry.value for entry in entries]
    return [Message(Role.SYSTEM, (TextPart("\n\n".join(texts)),))] if texts else []


class _Conversation:
    """Reads the messages of one run."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._answer: list[Part] = []
        self._results: list[Part] = []

    def read(self, messages: list[_Message]) -> list[Message]:
        for number, message in enumerate(messages):
            self._add(message, f"messages[{number}]")
        self._end_answer()
        self._end_results()
        if not any(message.role is not Role.SYSTEM for message in self._messages):
            raise wrong("messages", "a message with content", "none")
        return self._messages

    def _add(self, message: _Message, path: str) -> None:
        match message.role:
            case "assistant":
                self._end_results()
                self._add_answer(message, path)
            case "reasoning":
                self._end_results()
                self._add_reasoning(message, path)
            case "tool":
                self._end_answer()
                self._results.append(_result(message, path))
            case "user" | "system" | "developer":
                self._end_answer()
                self._end_results()
                parts = _parts(message, path)
                role = Role.USER if message.role == "user" else Role.SYSTEM
                if parts:
                    self._messages.append(Message(role, tuple(parts), message.name))
            case "activity":
                # Progress that the interface shows; no part of the conversation.
                pass
            case role:
                raise wrong(f"{path}.role", "a role of AG-UI", role)

    def _add_answer(self, message: _Message, path: str) -> None:
        self._answer += _parts(message, path)
        for call in message.toolCalls or ():
            carried = _carried(call.encryptedValue)
            signature, origin = (carried.proof, carried.origin) if carried is not None else (None, None)
            arguments = call.function.arguments or "{}"
            part = ToolCallPart(call.id, call.function.name, arguments, signature=signature, origin=origin)
            self._answer.append(part)

    def _add_reasoning(self, message: _Message, path: str) -> None:
        text = read(_STRING, message.content, f"{path}.content") if bytes(message.content) else ""
        carried = _carried(message.encryptedValue)
        if carried is None:
            if text:
                self._answer.append(ReasoningPart(text))
            return
        id = message.id if carried.origin is Origin.OPENAI else None
        if carried.is_redacted:
            self._answer.append(ReasoningPart("", origin=carried.origin, redacted=carried.proof, id=id))
        else:
            self._answer.append(ReasoningPart(text, carried.proof, carried.origin, id=id))

    def _end_answer(self) -> None:
        if self._answer:
            self._messages.append(Message(Role.ASSISTANT, tuple(self._answer)))
            self._answer = []

    def _end_results(self) -> None:
        if self._results:
            self._messages.append(Message(Role.TOOL, tuple(self._results)))
            self._results = []


def _carried(value: str | None) -> Carried | None:
    return unpack(value) if value else None


def _result(message: _Message, path: str) -> ToolResultPart:
    if not message.toolCallId:
        raise missing(f"{path}.toolCallId")
    parts: list[TextPart | ImagePart | FilePart] = []
    for part in _parts(message, path):
        if not isinstance(part, TextPart | ImagePart | FilePart):
            raise wrong(f"{path}.content", "texts, images or documents", "a part of another type")
        parts.append(part)
    if message.error and not parts:
        parts.append(TextPart(message.error))
    return ToolResultPart(message.toolCallId, tuple(parts), message.name, is_error=bool(message.error))


# --- content


def _parts(message: _Message, path: str) -> list[Part]:
    """`content`, a text or a list of parts."""
    where = f"{path}.content"
    match bytes(message.content)[:1]:
        case b"" | b"n":
            return []
        case b"[":
            parts = read(_PARTS, message.content, where)
            return [_part(part, f"{where}[{number}]") for number, part in enumerate(parts)]
        case _:
            text = read(_STRING, message.content, where)
            return [TextPart(text)] if text else []


def _part(part: _Part, path: str) -> Part:
    match part.type:
        case "text":
            if part.text is None:
                raise missing(f"{path}.text")
            return TextPart(part.text)
        case "image":
            return ImagePart(_source(part, path))
        case "audio":
            source = _source(part, path)
            if not isinstance(source, DataSource):
                return FilePart(source)
            subtype = source.media_type.partition("/")[2]
            return AudioPart(source.data, AUDIO_FORMAT.get(subtype, subtype))
        case "document" | "video":
            return FilePart(_source(part, path), part.filename)
        case "binary":
            source = _binary(part, path)
            is_image = (part.mimeType or "").lower().startswith("image/")
            return ImagePart(source) if is_image else FilePart(source, part.filename)
        case kind:
            raise wrong(f"{path}.type", "'text', 'image', 'audio', 'video', 'document' or 'binary'", kind)


def _source(part: _Part, path: str) -> Source:
    source = part.source
    if source is None:
        raise missing(f"{path}.source")
    if not source.value:
        raise missing(f"{path}.source.value")
    match source.type:
        case "url":
            return source_of(source.value, f"{path}.source.value")
        case "data":
            if not source.mimeType:
                raise missing(f"{path}.source.mimeType")
            return DataSource(source.mimeType.lower(), plain_base64(source.value, f"{path}.source.value"))
        case kind:
            # `file` names something that was uploaded to another agent.
            raise wrong(f"{path}.source.type", "'data' or 'url'", kind)


def _binary(part: _Part, path: str) -> UrlSource | DataSource:
    """A file as versions before 1.0 sent it."""
    if part.url:
        return source_of(part.url, f"{path}.url")
    if not part.data:
        raise missing(f"{path}.data")
    return DataSource((part.mimeType or "application/octet-stream").lower(), plain_base64(part.data, f"{path}.data"))
