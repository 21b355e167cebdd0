"""The messages of an AI SDK user interface, as `useChat` posts them: UIMessages of versions 5 to 7, and those of version 4.

    {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "hi"}, {"type": "file", "mediaType": …, "url": …}]}
    {"role": "assistant", "parts": [{"type": "step-start"}, {"type": "reasoning", …, "providerMetadata": {…}},
        {"type": "tool-get_weather", "toolCallId": …, "state": "output-available", "input": {…}, "output": …}]}
    {"role": "user", "content": "hi", "experimental_attachments": [{"name", "contentType", "url"}]}          version 4
    {"role": "assistant", "parts": [{"type": "tool-invocation", "toolInvocation": {"state": "result", …}}]}  version 4

* Source of the fields: UIMessage of `ai` 5.0.277, 6.0.326 and 7.0.173, Message of @ai-sdk/ui-utils 1.2.11.
* One UI message of an assistant may hold several turns: each `step-start` begins a new ASSISTANT message, and the results
  of a step's calls follow it as a TOOL message. So does convertToModelMessages of `ai` 7.0.173.
* What the interface alone is concerned with (sources, `data-*`, calls whose input is not whole) is left out.
* Calls of tools that the provider ran itself, and parts that no version here knows, are named in `unknown`: no provider
  takes them back.
"""

from typing import Final

import msgspec

from proxy.dialects.data_url import plain_base64, source_of
from proxy.dialects.json_body import missing, read, wrong
from proxy.dialects.ui_metadata import call_signature, reasoning_part
from proxy.hub.carried import unpack
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    AudioPart,
    DataSource,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

AUDIO_FORMAT: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
"""Subtypes that Chat Completions words otherwise; others are their own format."""

DENIED: Final = "Tool call execution denied."


class Detail(msgspec.Struct):
    """Of reasoning in version 4: a text, perhaps signed, or redacted data."""

    type: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None


class Invocation(msgspec.Struct):
    """A tool call of version 4."""

    state: str
    toolCallId: str | None = None
    toolName: str | None = None
    args: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()


class Approval(msgspec.Struct):
    approved: bool | None = None
    reason: str | None = None


class Attachment(msgspec.Struct):
    """A file of version 4."""

    url: str
    name: str | None = None
    contentType: str | None = None


class WirePart(msgspec.Struct):
    type: str
    text: str | None = None
    reasoning: str | None = None
    details: list[Detail] | None = None
    providerMetadata: dict[str, msgspec.Raw] | None = None
    mediaType: str | None = None
    mimeType: str | None = None
    url: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    """Base64 in a file of version 4, the app's own value in `data-*`."""
    filename: str | None = None
    toolCallId: str | None = None
    toolName: str | None = None
    state: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    rawInput: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    errorText: str | None = None
    providerExecuted: bool | None = None
    callProviderMetadata: dict[str, msgspec.Raw] | None = None
    approval: Approval | None = None
    toolInvocation: Invocation | None = None
    parts: list[msgspec.Raw] | None = None


class WireMessage(msgspec.Struct):
    role: str
    id: str | None = None
    parts: list[msgspec.Raw] | None = None
    content: str | None = None
    reasoning: str | None = None
    toolInvocations: list[Invocation] | None = None
    experimental_attachments: list[Attachment] | None = None


_MESSAGE = msgspec.json.Decoder(WireMessage)
_PART = msgspec.json.Decoder(WirePart)
_STRING = msgspec.json.Decoder(str)

_ABSENT: Final = (b"", b"null")


def read_ui_messages(raws: list[msgspec.Raw], path: str) -> "UIConversation":
    """The messages at `path`. Raises CallerError naming the field."""
    conversation = UIConversation()
    for number, raw in enumerate(raws):
        where = f"{path}[{number}]"
        conversation.add(read(_MESSAGE, raw, where), where)
    if not any(message.role is not Role.SYSTEM for message in conversation.messages):
        raise wrong(path, "a message with content", "none") if raws else missing(path)
    return conversation


class UIConversation:
    """Messages in the hub's form."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.unknown: dict[str, bytes] = {}
        """Parts that cannot be sent on, by path."""
        self._answer: list[Part] = []
        """The step of an assistant that is being put together."""
        self._results: list[Part] = []
        self._signatures: dict[str, tuple[str, Origin]] = {}
        """Proofs of this step's calls, by the call's id, where they have no field of their own (version 4)."""
        self._raws: dict[str, bytes] = {}
        """Parts as they came, by path."""

    def add(self, message: WireMessage, path: str) -> None:
        parts = self._parts(message, path)
        match message.role:
            case "system" | "developer":
                texts = tuple(TextPart(part.text) for part, _ in parts if part.type == "text" and part.text)
                if texts:
                    self.messages.append(Message(Role.SYSTEM, texts))
            case "user":
                self._add_user(parts)
            case "assistant":
                for part, where in parts:
                    self._add_assistant_part(part, where)
                self._end_step()
            case role:
                raise wrong(f"{path}.role", "'system', 'user' or 'assistant'", role)

    def _parts(self, message: WireMessage, path: str) -> list[tuple[WirePart, str]]:
        """The message's parts, each with its path. Fields of version 4 that stand beside `parts` repeat them."""
        found: list[tuple[WirePart, str]] = []
        for number, raw in enumerate(message.parts or ()):
            where = f"{path}.parts[{number}]"
            part = read(_PART, raw, where)
            self._raws[where] = bytes(raw)
            found.append((part, where))
        if message.parts is None:
            found += _plain_parts(message, path)
        for number, attachment in enumerate(message.experimental_attachments or ()):
            found.append((_attached(attachment), f"{path}.experimental_attachments[{number}]"))
        return found

    # --- user

    def _add_user(self, parts: list[tuple[WirePart, str]]) -> None:
        said: list[Part] = []
        for part, where in parts:
            if part.type == "text":
                if part.text:
                    said.append(TextPart(part.text))
            elif part.type == "file":
                said.append(_file(part, where))
            elif not _is_for_the_interface(part.type):
                self._name(where)
        if said:
            self.messages.append(Message(Role.USER, tuple(said)))

    # --- assistant

    def _add_assistant_part(self, part: WirePart, path: str) -> None:
        match part.type:
            case "text":
                if part.text:
                    self._answer.append(TextPart(part.text))
            case "reasoning":
                self._answer.extend(_reasoning(part, path, self._signatures))
            case "step-start":
                self._end_step()
            case "file":
                self._answer.append(_file(part, path))
            case "tool-invocation":
                self._add_invocation(part.toolInvocation, path)
            case "dynamic-tool":
                self._add_call(part, part.toolName or "", path)
            case "steering-message":
                self._end_step()
                self._add_user(self._parts(WireMessage("user", parts=part.parts or []), path))
            case kind if kind.startswith("tool-"):
                self._add_call(part, kind.removeprefix("tool-"), path)
            case kind if not _is_for_the_interface(kind):
                self._name(path)
            case _:
                pass

    def _add_call(self, part: WirePart, name: str, path: str) -> None:
        if part.state == "input-streaming":
            return
        if part.providerExecuted:
            self._name(path)
            return
        call_id = _given(part.toolCallId, f"{path}.toolCallId")
        signature, origin = call_signature(part.callProviderMetadata, f"{path}.callProviderMetadata") or (None, None)
        arguments, kind = _arguments(part)
        self._answer.append(ToolCallPart(call_id, _given(name, f"{path}.toolName"), arguments, kind, signature, origin))
        result = _result(part)
        if result is not None:
            text, is_error = result
            self._results.append(ToolResultPart(call_id, (TextPart(text),), name, is_error, kind))

    def _add_invocation(self, call: Invocation | None, path: str) -> None:
        where = f"{path}.toolInvocation"
        if call is None:
            raise missing(where)
        if call.state == "partial-call":
            return
        call_id, name = _given(call.toolCallId, f"{where}.toolCallId"), _given(call.toolName, f"{where}.toolName")
        self._answer.append(ToolCallPart(call_id, name, _json(call.args, "{}")))
        if call.state == "result":
            self._results.append(ToolResultPart(call_id, (TextPart(_shown(call.result)),), name))

    def _end_step(self) -> None:
        if self._answer:
            self.messages.append(Message(Role.ASSISTANT, tuple(self._signed(part) for part in self._answer)))
        if self._results:
            self.messages.append(Message(Role.TOOL, tuple(self._results)))
        self._answer, self._results = [], []
        self._signatures.clear()

    def _signed(self, part: Part) -> Part:
        if not isinstance(part, ToolCallPart) or part.id not in self._signatures:
            return part
        signature, origin = self._signatures[part.id]
        return msgspec.structs.replace(part, signature=signature, origin=origin)

    def _name(self, path: str) -> None:
        self.unknown[path] = self._raws.get(path, b"true")  # Fields of version 4 that stand beside `parts` have none.


# --- messages of version 4


def _plain_parts(message: WireMessage, path: str) -> list[tuple[WirePart, str]]:
    found: list[tuple[WirePart, str]] = []
    if message.reasoning:
        found.append((WirePart("reasoning", text=message.reasoning), f"{path}.reasoning"))
    if message.content:
        found.append((WirePart("text", text=message.content), f"{path}.content"))
    for number, call in enumerate(message.toolInvocations or ()):
        where = f"{path}.toolInvocations[{number}]"
        found.append((WirePart("tool-invocation", toolInvocation=call), where))
    return found


def _attached(attachment: Attachment) -> WirePart:
    return WirePart("file", mediaType=attachment.contentType, url=attachment.url, filename=attachment.name)


# --- parts


def _is_for_the_interface(kind: str) -> bool:
    return kind in ("step-start", "source", "source-url", "source-document") or kind.startswith("data-")


def _file(part: WirePart, path: str) -> Part:
    source = _source(part, path)
    media_type = (
        source.media_type if isinstance(source, DataSource) else part.mediaType or part.mimeType or ""
    ).lower()
    kind, _, subtype = media_type.partition("/")
    if kind == "image":
        return ImagePart(source)
    if kind == "audio" and isinstance(source, DataSource):
        return AudioPart(source.data, AUDIO_FORMAT.get(subtype, subtype))
    return FilePart(source, part.filename)


def _source(part: WirePart, path: str) -> UrlSource | DataSource:
    """What a file is made of; the part's own word on its type comes before the URL's."""
    media_type = (part.mediaType or part.mimeType or "").partition(";")[0].strip().lower()
    if part.url is None:
        if bytes(part.data) in _ABSENT:
            raise missing(f"{path}.url")
        data = plain_base64(read(_STRING, part.data, f"{path}.data"), f"{path}.data")
        return DataSource(_given(media_type, f"{path}.mimeType"), data)
    source = source_of(part.url, f"{path}.url")
    if isinstance(source, DataSource) and "/" in media_type:
        return DataSource(media_type, source.data)
    return source


def _reasoning(part: WirePart, path: str, signatures: dict[str, tuple[str, Origin]]) -> list[ReasoningPart]:
    """The reasoning of a part; proofs of calls go to `signatures`."""
    if part.details is None:
        shown = part.text if part.text is not None else part.reasoning or ""
        found = reasoning_part(shown, part.providerMetadata, f"{path}.providerMetadata")
        return [found] if found.text or found.signature or found.redacted else []
    reasoning: list[ReasoningPart] = []
    for detail in part.details:
        carried = unpack(detail.data or "")
        if carried is not None and carried.call_id is not None:
            signatures[carried.call_id] = (carried.proof, carried.origin)
        else:
            reasoning.append(_detail(detail.text or "", detail.signature, detail.data))
    return reasoning


def _detail(text: str, signature: str | None, data: str | None) -> ReasoningPart:
    """A detail of version 4, which has no word for whose a proof is: what is not packed is Anthropic's."""
    word = data or signature
    if word is None:
        return ReasoningPart(text)
    carried = unpack(word)
    origin, proof = (carried.origin, carried.proof) if carried is not None else (Origin.ANTHROPIC, word)
    if data is not None:
        return ReasoningPart("", origin=origin, redacted=proof)
    return ReasoningPart(text, proof, origin)


def _arguments(part: WirePart) -> tuple[str, ToolKind]:
    """A call's arguments. Input that is a text is that of a tool which takes free text, unless it failed to be JSON."""
    if bytes(part.input) in _ABSENT and bytes(part.rawInput) not in _ABSENT:
        return _shown(part.rawInput), ToolKind.FUNCTION
    if bytes(part.input)[:1] == b'"':
        return _shown(part.input), ToolKind.FUNCTION if part.state == "output-error" else ToolKind.CUSTOM
    return _json(part.input, "{}"), ToolKind.FUNCTION


def _result(part: WirePart) -> tuple[str, bool] | None:
    """What a tool gave, and whether that is an error; `None`: nothing yet."""
    is_denied = part.approval is not None and part.approval.approved is False
    match part.state:
        case "output-available":
            return _shown(part.output), False
        case "output-error":
            return part.errorText or "", True
        case "output-denied":
            return (part.approval.reason if part.approval is not None else None) or DENIED, True
        case "approval-responded" if is_denied:
            return (part.approval.reason if part.approval is not None else None) or DENIED, True
        case _:
            return None


def _json(raw: msgspec.Raw, absent: str) -> str:
    return absent if bytes(raw) in _ABSENT else bytes(raw).decode()


def _shown(raw: msgspec.Raw) -> str:
    """A string's text, any other value as JSON."""
    if bytes(raw)[:1] == b'"':
        return read(_STRING, raw)
    return _json(raw, "")


def _given(value: str | None, path: str) -> str:
    if not value:
        raise missing(path)
    return value
