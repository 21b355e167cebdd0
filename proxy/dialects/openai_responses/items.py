"""The items of a stream that is written: each turns what its block brings into events, and ends in its final JSON.

`head` is the beginning of its delta events, or empty while a first delta has more to do (`add_first`).
"""

from typing import Protocol

import msgspec

from proxy.dialects.openai_responses.namespaces import split
from proxy.dialects.openai_responses.response import JSON, one_line
from proxy.dialects.openai_responses.writer import DELTA, Writer, fields, place
from proxy.hub.carried import Carried, pack
from proxy.hub.events import (
    CitationAdded,
    MediaBlock,
    Origin,
    RedactedReasoningBlock,
    SignatureAdded,
    ToolCallBlock,
    ToolKind,
)

NO_ARGUMENTS = "{}"


class Item(Protocol):
    """What takes the deltas of one block."""

    head: bytes
    pieces: list[str]

    def add_first(self, text: str) -> None:
        """A delta while `head` is empty."""
        ...

    def sign(self, event: SignatureAdded) -> None: ...

    def end(self) -> None:
        """The block has ended. Called once."""
        ...


# --- messages


class Message:
    """`message`: parts may be added until `close`; done when it is closed and all its parts have ended."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.index, self.id = writer.new_item("msg")
        self._parts: list[bytes] = []
        self._open_parts = 0
        self._final_status: str | None = None
        writer.item_added(self.index, self._json("in_progress"))

    def open_part(self, is_refusal: bool) -> "Part":
        self._parts.append(b"")
        self._open_parts += 1
        return Part(self, len(self._parts) - 1, is_refusal)

    def end_part(self, content_index: int, part: bytes) -> None:
        self._parts[content_index] = part
        self._open_parts -= 1
        if self._final_status is not None:
            self.close(self._final_status)

    def close(self, status: str) -> None:
        self._final_status = status
        if not self._open_parts:
            self.writer.item_done(self.index, self._json(status))

    def _json(self, status: str) -> bytes:
        head = fields(id=self.id, type="message", status=status, role="assistant")
        return b'{%b,"content":[%b]}' % (head, b",".join(self._parts))


class Part:
    """A text or refusal part of a message."""

    def __init__(self, message: Message, content_index: int, is_refusal: bool) -> None:
        self.pieces: list[str] = []
        self._message = message
        self._index = content_index
        self._is_refusal = is_refusal
        self._annotations: list[bytes] = []
        self._place = place(message.id, message.index, content_index=content_index)
        type = "response.refusal.delta" if is_refusal else "response.output_text.delta"
        self.head = message.writer.head(type, self._place if is_refusal else self._place + b',"logprobs":[]')
        message.writer.event("response.content_part.added", self._place + b',"part":' + self._json(""))

    def add_first(self, text: str) -> None:
        """As any other delta: for text that is no event."""
        writer = self._message.writer
        self.pieces.append(text)
        writer.out.append(DELTA % (self.head, writer.sequence_number, JSON.encode(text)))
        writer.sequence_number += 1

    def sign(self, event: SignatureAdded) -> None:
        """A text has no signature, by the grammar of `hub.events`."""

    def cite(self, event: CitationAdded) -> None:
        annotation = _annotation(event, sum(map(len, self.pieces)))
        fields = self._place + b',"annotation_index":%d,"annotation":%b' % (len(self._annotations), annotation)
        self._annotations.append(annotation)
        self._message.writer.event("response.output_text.annotation.added", fields)

    def end(self) -> None:
        writer = self._message.writer
        text = "".join(self.pieces)
        if self._is_refusal:
            writer.event("response.refusal.done", self._place + b',"refusal":' + JSON.encode(text))
        else:
            writer.event("response.output_text.done", self._place + b',"logprobs":[],"text":' + JSON.encode(text))
        part = self._json(text)
        writer.event("response.content_part.done", self._place + b',"part":' + part)
        self._message.end_part(self._index, part)

    def _json(self, text: str) -> bytes:
        if self._is_refusal:
            return b'{"type":"refusal","refusal":%b}' % JSON.encode(text)
        annotations = b",".join(self._annotations)
        return b'{"type":"output_text","annotations":[%b],"logprobs":[],"text":%b}' % (annotations, JSON.encode(text))


def _annotation(event: CitationAdded, length: int) -> bytes:
    """OpenAI's own annotation as it came; a URL citation, or a citation of a file that has only a name.

    Positions that are not known are the end of the text so far: the fields are required.
    """
    if event.origin is Origin.OPENAI and event.raw is not None:
        return bytes(one_line(event.raw))
    start = event.start if event.start is not None else length
    end = event.end if event.end is not None else length
    title = event.title or ""
    if event.url is None:
        return JSON.encode({"type": "file_citation", "file_id": "", "filename": title, "index": start})
    url_citation = {"type": "url_citation", "start_index": start, "end_index": end, "url": event.url, "title": title}
    return JSON.encode(url_citation)


# --- reasoning


class Reasoning:
    """`reasoning`: one summary part, which begins with the first delta, so that silent reasoning has none."""

    def __init__(self, writer: Writer, id: str | None) -> None:
        self.head = b""
        self.pieces: list[str] = []
        self._writer = writer
        self._index, self._id = writer.new_item("rs", id)
        self._place = place(self._id, self._index, summary_index=0)
        self._proof: str | None = None
        writer.item_added(self._index, _reasoning_json(self._id, "", None))

    def add_first(self, text: str) -> None:
        writer = self._writer
        self.head = writer.head("response.reasoning_summary_text.delta", self._place)
        writer.event("response.reasoning_summary_part.added", self._place + b',"part":' + _summary_json(""))
        self.pieces.append(text)
        writer.out.append(DELTA % (self.head, writer.sequence_number, JSON.encode(text)))
        writer.sequence_number += 1

    def sign(self, event: SignatureAdded) -> None:
        is_own = event.origin is Origin.OPENAI
        self._proof = event.signature if is_own else pack(Carried(event.origin, event.signature))

    def end(self) -> None:
        text = "".join(self.pieces)
        if self.head:
            part = _summary_json(text)
            self._writer.event("response.reasoning_summary_text.done", self._place + b',"text":' + JSON.encode(text))
            self._writer.event("response.reasoning_summary_part.done", self._place + b',"part":' + part)
        self._writer.item_done(self._index, _reasoning_json(self._id, text, self._proof))


def write_redacted(writer: Writer, block: RedactedReasoningBlock) -> None:
    """A reasoning item that holds nothing but its encrypted content."""
    is_own = block.origin is Origin.OPENAI
    _write_proof(writer, block.data if is_own else pack(Carried(block.origin, block.data, is_redacted=True)), block.id)


def _write_proof(writer: Writer, proof: str, id: str | None) -> None:
    index, id = writer.new_item("rs", id)
    writer.item_added(index, _reasoning_json(id, "", None))
    writer.item_done(index, _reasoning_json(id, "", proof))


def _reasoning_json(id: str, text: str, proof: str | None) -> bytes:
    summary = _summary_json(text) if text else b""
    head = fields(id=id, type="reasoning", encrypted_content=proof)
    return b'{%b,"summary":[%b]}' % (head, summary)


def _summary_json(text: str) -> bytes:
    return b'{"type":"summary_text","text":%b}' % JSON.encode(text)


# --- calls that the caller runs


class CallWords(msgspec.Struct, frozen=True):
    """What differs between the two types of call."""

    prefix: str
    item: str
    delta: str
    done: str
    field: str


CALL_WORDS: dict[ToolKind, CallWords] = {
    ToolKind.FUNCTION: CallWords(
        "fc",
        "function_call",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "arguments",
    ),
    ToolKind.CUSTOM: CallWords(
        "ctc",
        "custom_tool_call",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "input",
    ),
}
"""Of calls that the caller runs. The only other kind, SERVER, is in `server_tools`."""


class OwnCall(msgspec.Struct):
    """What OpenAI's own announcement of a call has beyond the hub's."""

    id: str | None = None
    namespace: str | None = None


_OWN_CALL = msgspec.json.Decoder(OwnCall)


class ToolCall:
    """`function_call` and `custom_tool_call`."""

    def __init__(self, writer: Writer, block: ToolCallBlock) -> None:
        self.pieces: list[str] = []
        self._writer = writer
        self._block = block
        self._words = words = CALL_WORDS[block.kind]
        own = _own_call(block)
        namespace, self._name = split(block.name)
        self._namespace = own.namespace or namespace
        self._index, self._id = writer.new_item(words.prefix, own.id)
        self._place = place(self._id, self._index)
        self._signature: SignatureAdded | None = None
        self.head = writer.head(words.delta, self._place)
        writer.item_added(self._index, self._json("in_progress", ""))

    def add_first(self, text: str) -> None:
        """As any other delta: for arguments that the provider left out."""
        self.pieces.append(text)
        self._writer.out.append(DELTA % (self.head, self._writer.sequence_number, JSON.encode(text)))
        self._writer.sequence_number += 1

    def sign(self, event: SignatureAdded) -> None:
        self._signature = event

    def end(self) -> None:
        words = self._words
        if not any(self.pieces) and self._block.kind is ToolKind.FUNCTION:
            # Callers parse the arguments: no text is no JSON.
            self.add_first(NO_ARGUMENTS)
        text = "".join(self.pieces)
        done = self._place + b',"%b":%b' % (words.field.encode(), JSON.encode(text))
        if self._block.kind is ToolKind.FUNCTION:
            done += b',"name":' + JSON.encode(self._name)
        self._writer.event(words.done, done)
        self._writer.item_done(self._index, self._json("completed", text))
        signature = self._signature
        if signature is not None:
            carried = Carried(signature.origin, signature.signature, call_id=self._block.id)
            _write_proof(self._writer, pack(carried), None)

    def _json(self, status: str, text: str) -> bytes:
        words = self._words
        item: dict[str, object] = {
            "id": self._id,
            "type": words.item,
            "status": status,
            "call_id": self._block.id,
            "name": self._name,
            words.field: text,
        }
        if self._namespace is not None:
            item["namespace"] = self._namespace
        return JSON.encode(item)


def _own_call(block: ToolCallBlock) -> OwnCall:
    if block.origin is not Origin.OPENAI or block.raw is None:
        return OwnCall()
    try:
        return _OWN_CALL.decode(block.raw)
    except (ValueError, RecursionError):
        return OwnCall()


# --- images

FORMAT_OF_TYPE: dict[str, str] = {
    "image/png": "png",
    "image/webp": "webp",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/svg+xml": "svg",
}


def write_image(writer: Writer, block: MediaBlock) -> None:
    """`image_generation_call` with an image; other inline media have no item in this API and are left out."""
    format = FORMAT_OF_TYPE.get(block.media_type)
    if format is None:
        return
    index, id = writer.new_item("ig")
    where = place(id, index)
    writer.item_added(index, b"{%b}" % fields(id=id, type="image_generation_call", status="in_progress", result=None))
    for step in ("in_progress", "generating", "completed"):
        writer.event(f"response.image_generation_call.{step}", where)
    done = fields(id=id, type="image_generation_call", status="completed", output_format=format, result=block.data)
    writer.item_done(index, b"{%b}" % done)
