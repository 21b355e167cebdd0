"""Reads `input`: a string, or the flat list of items that callers replay.

Neighbouring items of the model (messages, reasoning, calls) are one assistant message, neighbouring tool outputs one
tool message; each message of the caller stays one of its own.

What only the API's own store could resolve (`item_reference`) is refused. Items of hosted tools are kept whole for a
provider of this API.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from proxy.dialects.data_url import plain_base64, read_data_url, source_of
from proxy.dialects.json_body import missing, read, wrong
from proxy.dialects.openai_responses.namespaces import join
from proxy.hub.carried import MARK, Carried, unpack
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
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
    RefusalPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

PARAGRAPH: Final = "\n\n"
"""Between the parts of one reasoning item."""

CACHE_MARK: Final = b'{"type":"ephemeral"}'
"""An explicit `prompt_cache_breakpoint`, in the hub's terms."""

REFERENCE_MESSAGE: Final = "items can be referred to only where the provider stored them; send the item itself"


class Item(msgspec.Struct, gc=False):
    """Any item: the union of the fields that are read."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    content: msgspec.Raw = msgspec.Raw()
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    summary: msgspec.Raw = msgspec.Raw()
    encrypted_content: str | None = None


class Audio(msgspec.Struct, gc=False):
    data: str
    format: str


class Content(msgspec.Struct, gc=False):
    """Any part of a message or of a tool's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Audio | None = None
    prompt_cache_breakpoint: msgspec.Raw = msgspec.Raw()

    @property
    def cache(self) -> bytes | None:
        return CACHE_MARK if _first(self.prompt_cache_breakpoint) == b"{" else None


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ITEM = msgspec.json.Decoder(Item)
_CONTENTS = msgspec.json.Decoder(list[Content])
_STRING = msgspec.json.Decoder(str)

ROLE: Final[dict[str, Role]] = {
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
}

CALLERS_ITEMS: Final = frozenset({"mcp_approval_response", "additional_tools", "compaction_trigger"})
"""Items of hosted tools that the caller makes, beside those whose type ends in `_output`."""


def read_input(raw: msgspec.Raw) -> list[Message]:
    """The messages in `input`. Raises CallerError naming the item."""
    if _first(raw) == b'"':
        return [Message(Role.USER, (TextPart(read(_STRING, raw, "input")),))]
    reader = InputReader()
    items: list[msgspec.Raw] = read(_ITEMS, raw, "input")
    for index, item in enumerate(items):
        reader.take(item, f"input[{index}]")
    return reader.finish()


class InputReader:
    """Collects the items of one request into messages."""

    def __init__(self) -> None:
        self._messages: list[tuple[Role, list[Part]]] = []
        self._is_joinable = False
        """Whether the last message takes more parts of its role."""
        self._call_proofs: dict[str, Carried] = {}

    def take(self, raw: msgspec.Raw, path: str) -> None:
        item = read(_ITEM, raw, path)
        kind = item.type or ("message" if item.role is not None else "item_reference")
        if kind == "item_reference":
            raise CallerError(ErrorKind.INVALID_REQUEST, f"{path}: {REFERENCE_MESSAGE}", param=path)
        reader = READERS.get(kind)
        if reader is not None:
            reader(self, item, path)
            return
        is_callers = kind.endswith("_output") or kind in CALLERS_ITEMS
        part = OpaquePart(Origin.OPENAI, kind, bytes(raw))
        self._add(Role.USER if is_callers else Role.ASSISTANT, part)

    def finish(self) -> list[Message]:
        return [Message(role, tuple(map(self._signed, parts))) for role, parts in self._messages]

    def _add(self, role: Role, part: Part) -> None:
        """A part that joins its neighbours."""
        if not self._is_joinable or self._messages[-1][0] is not role:
            self._messages.append((role, []))
            self._is_joinable = True
        self._messages[-1][1].append(part)

    def _signed(self, part: Part) -> Part:
        """A call with the proof that was carried beside it."""
        if not isinstance(part, ToolCallPart) or part.id not in self._call_proofs:
            return part
        carried = self._call_proofs[part.id]
        return msgspec.structs.replace(part, signature=carried.proof, origin=carried.origin)

    # --- one method for each type of item

    def message(self, item: Item, path: str) -> None:
        role = ROLE.get(item.role or "")
        if role is None:
            raise wrong(f"{path}.role", "'user', 'assistant', 'system' or 'developer'", item.role)
        parts = read_content(item.content, f"{path}.content")
        if role is Role.SYSTEM:
            for index, part in enumerate(parts):
                if not isinstance(part, TextPart):
                    raise wrong(
                        f"{path}.content[{index}].type", "'input_text' in a message of this role", type(part).__name__
                    )
        if role is Role.ASSISTANT:
            for part in parts:
                self._add(role, part)
        elif parts:
            self._messages.append((role, parts))
            self._is_joinable = False

    def function_call(self, item: Item, path: str) -> None:
        arguments = read(_STRING, _required(item.arguments, f"{path}.arguments"), f"{path}.arguments")
        self._add_call(item, arguments, ToolKind.FUNCTION, path)

    def custom_tool_call(self, item: Item, path: str) -> None:
        text = read(_STRING, _required(item.input, f"{path}.input"), f"{path}.input")
        self._add_call(item, text, ToolKind.CUSTOM, path)

    def _add_call(self, item: Item, arguments: str, kind: ToolKind, path: str) -> None:
        if not item.call_id:
            raise missing(f"{path}.call_id")
        if not item.name:
            raise missing(f"{path}.name")
        self._add(Role.ASSISTANT, ToolCallPart(item.call_id, join(item.namespace, item.name), arguments, kind))

    def function_call_output(self, item: Item, path: str) -> None:
        self._add_output(item, ToolKind.FUNCTION, path)

    def custom_tool_call_output(self, item: Item, path: str) -> None:
        self._add_output(item, ToolKind.CUSTOM, path)

    def _add_output(self, item: Item, kind: ToolKind, path: str) -> None:
        if not item.call_id:
            raise missing(f"{path}.call_id")
        parts: list[TextPart | ImagePart | FilePart] = []
        for index, part in enumerate(read_content(item.output, f"{path}.output")):
            if not isinstance(part, TextPart | ImagePart | FilePart):
                expected = "'input_text', 'input_image' or 'input_file'"
                raise wrong(f"{path}.output[{index}].type", expected, type(part).__name__)
            parts.append(part)
        self._add(Role.TOOL, ToolResultPart(item.call_id, tuple(parts), name=item.name, kind=kind))

    def reasoning(self, item: Item, path: str) -> None:
        shown = [*read_content(item.summary, f"{path}.summary"), *read_content(item.content, f"{path}.content")]
        text = PARAGRAPH.join(part.text for part in shown if isinstance(part, TextPart) and part.text)
        proof = item.encrypted_content
        carried = unpack(proof) if proof is not None else None
        if carried is not None and carried.call_id is not None:
            self._call_proofs[carried.call_id] = carried
        elif carried is not None and carried.is_redacted:
            self._add(Role.ASSISTANT, ReasoningPart("", origin=carried.origin, redacted=carried.proof))
        elif carried is not None:
            self._add(Role.ASSISTANT, ReasoningPart(text, carried.proof, carried.origin))
        elif not proof or proof.startswith(MARK):
            if text:
                self._add(Role.ASSISTANT, ReasoningPart(text, id=item.id))
        elif text:
            self._add(Role.ASSISTANT, ReasoningPart(text, proof, Origin.OPENAI, id=item.id))
        else:
            self._add(Role.ASSISTANT, ReasoningPart("", origin=Origin.OPENAI, redacted=proof, id=item.id))


READERS: Final[dict[str, Callable[[InputReader, Item, str], None]]] = {
    "message": InputReader.message,
    "function_call": InputReader.function_call,
    "function_call_output": InputReader.function_call_output,
    "custom_tool_call": InputReader.custom_tool_call,
    "custom_tool_call_output": InputReader.custom_tool_call_output,
    "reasoning": InputReader.reasoning,
}
"""By item type. Others are kept as they are."""


def _first(raw: msgspec.Raw) -> bytes:
    """The first byte, which tells what kind of JSON value `raw` is; empty for an absent field."""
    return bytes(memoryview(raw)[:1])


def _required(raw: msgspec.Raw, path: str) -> msgspec.Raw:
    if not _first(raw):
        raise missing(path)
    return raw


# --- parts


def read_content(raw: msgspec.Raw, path: str) -> list[Part]:
    """The parts of a message or of a tool's output: a string, a list of parts, or any other JSON as its own text."""
    match _first(raw):
        case b"" | b"n":
            return []
        case b'"':
            return [TextPart(read(_STRING, raw, path))]
        case b"[":
            contents = read(_CONTENTS, raw, path)
            return [_part(content, f"{path}[{index}]") for index, content in enumerate(contents)]
        case _:
            return [TextPart(bytes(raw).decode("utf-8", "replace"))]


def _part(content: Content, path: str) -> Part:
    match content.type:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            if content.text is None:
                raise missing(f"{path}.text")
            return TextPart(content.text, content.cache)
        case "refusal":
            return RefusalPart(content.refusal or "")
        case "input_image":
            return ImagePart(_image_source(content, path), content.detail, content.cache)
        case "input_file":
            return FilePart(_file_source(content, path), content.filename, cache=content.cache)
        case "input_audio":
            if content.input_audio is None:
                raise missing(f"{path}.input_audio")
            return AudioPart(
                plain_base64(content.input_audio.data, f"{path}.input_audio.data"), content.input_audio.format
            )
        case _:
            raise wrong(f"{path}.type", "a type of content that can be sent to this model", content.type)


def _image_source(content: Content, path: str) -> Source:
    if content.image_url is not None:
        return source_of(content.image_url, f"{path}.image_url")
    if content.file_id is not None:
        return FileSource(content.file_id, Origin.OPENAI)
    raise missing(f"{path}.image_url")


def _file_source(content: Content, path: str) -> Source:
    if content.file_data is not None:
        place = f"{path}.file_data"
        if content.file_data[:5].lower() == "data:":
            return read_data_url(content.file_data, place)
        # The API takes bare base64 as well, and goes by the name.
        is_text = (content.filename or "").lower().endswith((".txt", ".md"))
        return DataSource("text/plain" if is_text else "application/pdf", plain_base64(content.file_data, place))
    if content.file_url is not None:
        return source_of(content.file_url, f"{path}.file_url")
    if content.file_id is not None:
        return FileSource(content.file_id, Origin.OPENAI)
    raise missing(f"{path}.file_data")
