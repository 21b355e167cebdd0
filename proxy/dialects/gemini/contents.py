"""`contents` as messages.

    role user (or none)    a USER message; its function responses first, as a TOOL message
    role model             an ASSISTANT message. Contents of the model in a row are one message, and its texts in a row one
                           text: SDKs keep a streamed answer chunk by chunk and send it back that way
    thought: true          reasoning, joined up to and with the part that bears its signature
    thoughtSignature       on a call: the call's. On a text or a file: an empty reasoning part before it (on an empty text
                           instead of it), which the provider's codec puts back onto the part

Calls need ids that tie results to them. Older callers give none, so the n-th call of a request is `call_n`, and a
result without an id belongs to the first call of its name that has no result yet.
"""

from typing import Final

import msgspec

from proxy.dialects.data_url import plain_base64
from proxy.dialects.gemini import wire
from proxy.dialects.gemini.keys import is_given, read_fields, read_many, read_object
from proxy.dialects.gemini.signatures import Proof, read
from proxy.dialects.json_body import Fields, missing, unknown_fields, wrong
from proxy.hub.events import Origin
from proxy.hub.request import (
    AudioPart,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

MODEL_ROLES: Final = frozenset({"model", "assistant"})
USER_ROLES: Final = frozenset({None, "", "user", "function", "tool"})

OWN_KINDS: Final = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
"""Parts that only this API understands."""

OWN_FILES: Final = ("https://generativelanguage.googleapis.com/", "gs://", "files/")
"""Where files are that no other provider can fetch."""

IMAGE_EXTENSIONS: Final = frozenset({"png", "jpg", "jpeg", "webp", "gif", "heic", "heif"})

DETAIL: Final = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_MEDIUM": "auto",
    "MEDIA_RESOLUTION_HIGH": "high",
}
"""`mediaResolution.level` as an image's detail; others say nothing."""

_PART_NAMES = wire.names(wire.WirePart)
_BASE64URL = str.maketrans("-_", "+/")


class Conversation:
    """Reads the contents of one request."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.unknown: dict[str, bytes] = {}
        """Fields of parts that no hub field stands for, by path."""
        self._answer: list[Part] = []
        """The ASSISTANT message that is being put together."""
        self._calls: list[tuple[str, str]] = []
        """Id and name of each call so far that has no result yet."""
        self._call_count = 0

    def read_system(self, instruction: msgspec.Raw, path: str) -> None:
        """`systemInstruction`: texts only. A bare string is taken as its text."""
        if not is_given(instruction):
            return
        if bytes(instruction)[:1] == b'"':
            instruction = msgspec.Raw(b'{"parts":[{"text":%b}]}' % bytes(instruction))
        content = read_object(wire.CONTENT, instruction, path)
        texts: list[Part] = []
        for raw, where in read_many(content.parts, f"{path}.parts"):
            part, _ = self._read_part(raw, where)
            if part.text is None:
                raise wrong(where, "a text part", _shown(raw))
            texts.append(TextPart(part.text))
        if texts:
            self.messages.append(Message(Role.SYSTEM, tuple(texts)))

    def read_contents(self, contents: msgspec.Raw, path: str) -> None:
        """Raises CallerError naming the field."""
        for raw, where in read_many(contents, path):
            content = read_object(wire.CONTENT, raw, where)
            parts = read_many(content.parts, f"{where}.parts")
            if content.role in MODEL_ROLES:
                for part, place in parts:
                    self._add_model_part(part, place)
            elif content.role in USER_ROLES:
                self._end_answer()
                self._add_user(parts)
            elif content.role == "system":
                self._end_answer()
                self.read_system(raw, where)
            else:
                raise wrong(f"{where}.role", "'user' or 'model'", content.role)
        self._end_answer()

    def _end_answer(self) -> None:
        if self._answer:
            self.messages.append(Message(Role.ASSISTANT, tuple(self._answer)))
            self._answer = []

    def _read_part(self, raw: msgspec.Raw, path: str) -> tuple[wire.WirePart, Fields]:
        fields = read_fields(raw, path)
        for name, json in unknown_fields(fields, _PART_NAMES).items():
            self.unknown[f"{path}.{name}"] = json
        return read_object(wire.PART, msgspec.json.encode(fields), path), fields

    # --- what the user says

    def _add_user(self, raws: list[tuple[msgspec.Raw, str]]) -> None:
        results: list[tuple[wire.WireResult, str]] = []
        said: list[Part] = []
        for raw, path in raws:
            part, fields = self._read_part(raw, path)
            if is_given(part.functionResponse):
                where = f"{path}.functionResponse"
                results.append((read_object(wire.RESULT, part.functionResponse, where), where))
            elif (found := self._content(part, fields, path)) is not None:
                said.append(found)
        if results:
            named = {result.id for result, _ in results if result.id}
            parts = tuple(self._result(result, where, named) for result, where in results)
            self.messages.append(Message(Role.TOOL, parts))
        if said:
            self.messages.append(Message(Role.USER, tuple(said)))

    def _content(self, part: wire.WirePart, fields: Fields, path: str) -> Part | None:
        """A part that means the same whoever said it; `None` for one without content."""
        if part.text is not None:
            return TextPart(part.text)
        if is_given(part.inlineData):
            return self._inline(part, f"{path}.inlineData")
        if is_given(part.fileData):
            return self._file(part, f"{path}.fileData")
        for kind in OWN_KINDS:
            if kind in fields and is_given(fields[kind]):
                return OpaquePart(Origin.GEMINI, kind, msgspec.json.encode(fields))
        return None

    def _inline(self, part: wire.WirePart, path: str) -> Part:
        blob = read_object(wire.BLOB, part.inlineData, path)
        media_type = (blob.mimeType or "").partition(";")[0].strip().lower()
        if not media_type:
            raise missing(f"{path}.mimeType")
        data = plain_base64(blob.data.translate(_BASE64URL), f"{path}.data")
        data += "=" * (-len(data) % 4)
        kind, _, format = media_type.partition("/")
        if kind == "audio":
            return AudioPart(data, format)
        if kind == "image":
            return ImagePart(DataSource(media_type, data), self._detail(part, path))
        return FilePart(DataSource(media_type, data), blob.displayName)

    def _file(self, part: wire.WirePart, path: str) -> Part:
        file = read_object(wire.FILE, part.fileData, path)
        if not file.fileUri:
            raise missing(f"{path}.fileUri")
        is_own = file.fileUri.startswith(OWN_FILES)
        source: Source = FileSource(file.fileUri, Origin.GEMINI) if is_own else UrlSource(file.fileUri, file.mimeType)
        extension = file.fileUri.partition("?")[0].rpartition(".")[2].lower()
        if (file.mimeType or "").startswith("image/") or (not file.mimeType and extension in IMAGE_EXTENSIONS):
            return ImagePart(source, self._detail(part, path))
        return FilePart(source, file.displayName)

    def _detail(self, part: wire.WirePart, path: str) -> str | None:
        if not is_given(part.mediaResolution):
            return None
        resolution = read_object(wire.RESOLUTION, part.mediaResolution, f"{path}.mediaResolution")
        level = resolution if isinstance(resolution, str) else resolution.level
        return DETAIL.get(level or "")

    # --- what the model said

    def _add_model_part(self, raw: msgspec.Raw, path: str) -> None:
        part, fields = self._read_part(raw, path)
        proof = read(part.thoughtSignature)
        if is_given(part.functionCall):
            self._answer.append(self._call(part.functionCall, proof, f"{path}.functionCall"))
            return
        if part.thought and part.text is not None:
            self._add_thought(part.text, proof)
            return
        found = self._content(part, fields, path)
        if isinstance(found, OpaquePart):
            self._answer.append(found)
            return
        if proof is not None:
            self._answer.append(_reasoning("", proof))
        if isinstance(found, TextPart):
            self._add_text(found.text)
        elif found is not None:
            self._answer.append(found)

    def _add_text(self, text: str) -> None:
        last = self._answer[-1] if self._answer else None
        if isinstance(last, TextPart):
            self._answer[-1] = TextPart(last.text + text)
        elif text:
            self._answer.append(TextPart(text))

    def _add_thought(self, text: str, proof: Proof | None) -> None:
        last = self._answer[-1] if self._answer else None
        is_open = isinstance(last, ReasoningPart) and last.signature is None and last.redacted is None
        if proof is not None and proof.is_redacted:
            self._answer.append(_reasoning(text, proof))
        elif isinstance(last, ReasoningPart) and is_open:
            self._answer[-1] = _reasoning(last.text + text, proof)
        elif text or proof is not None:
            self._answer.append(_reasoning(text, proof))

    # --- calls and their results

    def _call(self, raw: msgspec.Raw, proof: Proof | None, path: str) -> ToolCallPart:
        call = read_object(wire.CALL, raw, path)
        if not call.name:
            raise missing(f"{path}.name")
        self._call_count += 1
        id = call.id or f"call_{self._call_count}"
        self._calls.append((id, call.name))
        signature, origin = (proof.signature, proof.origin) if proof is not None else (None, None)
        return ToolCallPart(id, call.name, _object(call.args, f"{path}.args"), signature=signature, origin=origin)

    def _result(self, result: wire.WireResult, path: str, named: set[str]) -> ToolResultPart:
        """`named`: the ids of calls that results of the same content name."""
        if not result.name:
            raise missing(f"{path}.name")
        response = _object(result.response, f"{path}.response")
        parts: list[TextPart | ImagePart | FilePart] = [TextPart(response)]
        for raw, where in read_many(result.parts, f"{path}.parts"):
            part, fields = self._read_part(raw, where)
            found = self._content(part, fields, where)
            if not isinstance(found, ImagePart | FilePart):
                raise wrong(where, "inlineData or fileData of an image or a file", _shown(raw))
            parts.append(found)
        is_error = read_fields(msgspec.Raw(response.encode()), path).keys() == {"error"}
        return ToolResultPart(self._answered(result, named), tuple(parts), result.name, is_error)

    def _answered(self, result: wire.WireResult, named: set[str]) -> str:
        """The id of the call that `result` answers."""
        for number, (id, name) in enumerate(self._calls):
            if id == result.id or (not result.id and name == result.name and id not in named):
                del self._calls[number]
                return id
        return result.id or f"call_{self._call_count}"


def _reasoning(text: str, proof: Proof | None) -> ReasoningPart:
    if proof is None:
        return ReasoningPart(text)
    if proof.is_redacted:
        return ReasoningPart("", origin=proof.origin, redacted=proof.signature)
    return ReasoningPart(text, proof.signature, proof.origin)


def _object(raw: msgspec.Raw, path: str) -> str:
    """An object's JSON text as the caller wrote it; `{}` where it is absent."""
    if not is_given(raw):
        return "{}"
    if bytes(raw)[:1] != b"{":
        raise wrong(path, "an object", _shown(raw))
    return bytes(raw).decode()


def _shown(raw: msgspec.Raw) -> str:
    """A little of what came, for an error message."""
    return bytes(raw)[:50].decode("utf-8", "replace")
