"""Writes the event stream of the Responses API.

    created → in_progress → items → completed | incomplete            or, when it fails: error → response.failed

    message     item added → (part added → deltas → annotations → text done → part done)+ → item done
    reasoning   item added → [summary part added → deltas → summary done → part done] → item done
    call        item added → argument deltas → arguments done → item done

What the official SDKs insist on (openai-python 3.54.0, openai-node 7.57.0): `created` comes first; the response keeps
its id; an item is announced before anything of it, once, and keeps its id; the terminal snapshot repeats every item.
So each item's final JSON is kept until the end, as the texts of open parts are until their part is done: **memory
grows with the answer**, once.

* Neighbouring texts and refusals are parts of one message. Its `item done` waits for whatever comes next, because
  Anthropic cuts a cited answer into many blocks. Items may interleave freely.
* A proof of another API travels in `encrypted_content` (`hub.carried`); the proof of a tool call, for which the API has
  no field, in a reasoning item behind the call.
* A failure is the pair `error` and `response.failed`. Python's raw iterator raises only on an event with an `error`
  object, other clients read the flat fields or the failed response; the pair reaches all of them.

`sequence_number` rises by one with each event. After frames that somebody else wrote it goes on from a number that
none of them can have reached.
"""

from typing import assert_never

from proxy.dialects.base import StreamContext
from proxy.dialects.openai_errors import error_object
from proxy.dialects.openai_responses.items import (
    Item,
    Message,
    Part,
    Reasoning,
    ToolCall,
    write_image,
    write_redacted,
)
from proxy.dialects.openai_responses.response import (
    FAILED_CODE,
    JSON,
    MALFORMED_CALL_MESSAGE,
    OUTCOME,
    ResponseWriter,
)
from proxy.dialects.openai_responses.server_tools import ServerTool
from proxy.dialects.openai_responses.writer import DELTA, Writer
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    MediaBlock,
    MessageEnd,
    MessageStart,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)

HEARTBEAT = b": ka\n\n"
"""A comment. Anything else, even an empty `data:` line, is an event that the Python SDK fails to parse."""

AFTER_OTHERS = 1_000_000
"""Where `sequence_number` goes on after a provider's own frames. Clients only need it to rise."""


class ResponsesEncoder:
    """Encodes one stream. See `hub.codec.StreamEncoder`."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self.final_response = b""
        """The response object of the terminal event, once there was one."""
        self._response = ResponseWriter(context)
        self._writer = Writer(context.id, AFTER_OTHERS if context.is_relayed else 0)
        self._blocks: list[Item | None] = []
        """Each block by index; `None`: it takes nothing (more)."""
        self._message: Message | None = None
        """The message that a text or refusal block would join."""
        self._server_tools: list[ServerTool] = []
        """Those without a result so far."""
        self._usage: Usage | None = None
        self._is_started = False

    def encode(self, events: list[Event]) -> bytes:
        writer = self._writer
        blocks = self._blocks
        for event in events:
            if type(event) is TextDelta or type(event) is ReasoningDelta or type(event) is RefusalDelta:
                text = event.text
            elif type(event) is ArgumentsDelta:
                text = event.json
            else:
                self._take(event)
                continue
            block = blocks[event.index]
            if block is None or not text:
                continue
            if block.head:
                block.pieces.append(text)
                # Plainly: writer.event(type, item_id, output_index, ..., sequence_number, delta=text)
                writer.out.append(DELTA % (block.head, writer.sequence_number, JSON.encode(text)))
                writer.sequence_number += 1
            else:
                block.add_first(text)
        return writer.take()

    def heartbeat(self) -> bytes:
        return HEARTBEAT

    def adopt(self, events: list[Event]) -> None:
        """Take over a stream of which the caller already has the frames for `events`: they are not written again.

        Exact for frames of this encoder's own making. Of a provider's own frames (`StreamContext.is_relayed`) the
        response id is kept, which is all that an error ending needs; their item ids are not known here.
        """
        self.encode(events)
        self._writer.sequence_number += AFTER_OTHERS

    # --- the message

    def _take(self, event: Event) -> None:
        match event:
            case BlockStart(_, block):
                self._blocks.append(self._open(block))
            case BlockEnd(index):
                self._end_block(index)
            case SignatureAdded(index):
                item = self._blocks[index]
                if item is not None:
                    item.sign(event)
            case CitationAdded(index):
                part = self._blocks[index]
                if isinstance(part, Part):
                    part.cite(event)
            case MessageStart(id, model):
                self._start(id, model)
            case Usage():
                self._usage = event
            case MessageEnd():
                self._end(event)
            case StreamError(kind, message, code):
                self._fail(kind, message, code)
            case TextDelta() | ArgumentsDelta() | ReasoningDelta() | RefusalDelta():
                raise AssertionError("deltas do not come here")
            case _:
                assert_never(event)

    def _start(self, id: str, model: str) -> None:
        self._is_started = True
        if self._context.is_relayed and id:
            self._response.id = id
        if model:
            self._response.model = model
        response = self._response.write("in_progress")
        self._writer.event("response.created", b'"response":' + response)
        self._writer.event("response.in_progress", b'"response":' + response)

    def _end(self, event: MessageEnd) -> None:
        outcome = OUTCOME[event.reason]
        if outcome.status == "failed":
            self._fail(ErrorKind.UPSTREAM_FAILED, MALFORMED_CALL_MESSAGE, None)
            return
        self._leave_message(outcome.status)
        for tool in self._server_tools:
            tool.finish(None)
        response = self._response.write(
            outcome.status, self._writer.output(), self._usage, incomplete_reason=outcome.incomplete_reason
        )
        self._finish(outcome.status, response)

    def _fail(self, kind: ErrorKind, message: str, code: str | None) -> None:
        if not self._is_started and not self._context.is_relayed:
            self._start("", "")
        error = error_object(kind, message, code)
        flat = b'"code":%b,"message":%b,"param":null' % (JSON.encode(error.code), JSON.encode(message))
        self._writer.event("error", flat + b',"error":' + JSON.encode(error))
        failed_code = code or FAILED_CODE.get(kind) or error.code or error.type
        failed = b'{"code":%b,"message":%b}' % (JSON.encode(failed_code), JSON.encode(message))
        response = self._response.write("failed", self._writer.output(), self._usage, failed)
        self._finish("failed", response)

    def _finish(self, status: str, response: bytes) -> None:
        self.final_response = response
        self._writer.event(f"response.{status}", b'"response":' + response)

    # --- blocks

    def _open(self, block: Block) -> Item | None:
        """What takes the block's deltas; `None` for a block that is whole."""
        if isinstance(block, TextBlock | RefusalBlock):
            if self._message is None:
                self._message = Message(self._writer)
            return self._message.open_part(isinstance(block, RefusalBlock))
        if isinstance(block, MediaBlock) and block.url is not None:
            self._link(block)
            return None
        self._leave_message("completed")
        match block:
            case ReasoningBlock(id):
                return Reasoning(self._writer, id)
            case ToolCallBlock(kind=ToolKind.SERVER):
                tool = ServerTool(self._writer, block)
                self._server_tools.append(tool)
                return tool
            case ToolCallBlock():
                return ToolCall(self._writer, block)
            case RedactedReasoningBlock():
                write_redacted(self._writer, block)
            case ToolResultBlock():
                self._finish_server_tool(block)
            case MediaBlock():
                write_image(self._writer, block)
            case _:
                assert_never(block)
        return None

    def _end_block(self, index: int) -> None:
        item = self._blocks[index]
        if item is not None:
            item.end()
            self._blocks[index] = None

    def _leave_message(self, status: str) -> None:
        """Nothing joins the open message any more: it is done once its parts are."""
        if self._message is not None:
            self._message.close(status)
            self._message = None

    def _finish_server_tool(self, block: ToolResultBlock) -> None:
        for tool in self._server_tools:
            if tool.call_id == block.call_id:
                self._server_tools.remove(tool)
                tool.finish(block)
                return
        call = ToolCallBlock(block.call_id, block.type, ToolKind.SERVER, block.raw, block.origin)
        ServerTool(self._writer, call).finish(block)

    def _link(self, block: MediaBlock) -> None:
        """Media that exist only as a URL have no item: a line of text shows them."""
        if self._message is None:
            self._message = Message(self._writer)
        part = self._message.open_part(is_refusal=False)
        part.add_first(f"![image]({block.url})" if block.media_type.startswith("image/") else f"[file]({block.url})")
        part.end()
