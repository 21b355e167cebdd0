"""Reads a Responses event stream; `Answer` holds the rules that a whole response object follows as well.

    created → in_progress → (item added → deltas → item done)* → completed | incomplete | failed, or `error`

Events are matched to items by `output_index`: GitHub Copilot gives every event new ids (recording
github-copilot-id-rotation), OpenRouter a new id in the terminal snapshot. Only where there is no index, as from
llama.cpp, by id. Items may interleave: OpenRouter ends its reasoning after the message, llama.cpp every item at the
end. What an item makes of its events is in `items` and `tools`; here they are found, and whatever the terminal snapshot
holds beyond them is added before the end.

The finish reason is derived: the API only says completed, or incomplete and why.
"""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from proxy.framing.sse import SseFramer
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import Event, FinishReason, MessageEnd, MessageStart, StreamError, TextDelta, Usage
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.base import Target
from proxy.providers.openai_responses import wire
from proxy.providers.openai_responses.errors import fault_of
from proxy.providers.openai_responses.items import Blocks, Item, Message, Reasoning
from proxy.providers.openai_responses.tools import Call, Hosted, Image

INCOMPLETE_REASON: dict[str, FinishReason] = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""`incomplete_details.reason`. Others (`max_messages`, `steered`, `max_tool_calls`): OTHER, with the word kept."""

FAILED_MESSAGE = "The provider reported that the response failed."
FAILED_STATUS = frozenset({"failed", "cancelled"})

_TEXT_DELTA = "response.output_text.delta"

Place = int | str
"""An `output_index`, or the id of an item in a stream without them."""


class ResponsesDecoder:
    """Decodes one event stream. See `hub.codec.StreamDecoder`."""

    def __init__(self, target: Target) -> None:
        self._framer = SseFramer(target.max_frame_bytes)
        self._answer = Answer()

    def feed(self, data: bytes) -> list[Event]:
        answer = self._answer
        out: list[Event] = []
        answer.blocks.out = out
        for name, payload in self._framer.feed(data):
            if answer.is_ended:
                break
            self._take(name, payload)
        return out

    def finish(self) -> list[Event]:
        answer = self._answer
        out: list[Event] = []
        answer.blocks.out = out
        rest = self._framer.finish()
        if rest is not None and not answer.is_ended:
            # Half an event is no fault of its own: the stream was cut inside it.
            with suppress(UpstreamProtocolError):
                self._take(*rest)
        if not answer.is_ended:
            fault = fault_of(self._framer.bare_json, ErrorKind.UPSTREAM_FAILED)
            if fault.message:
                answer.fail(fault.kind, fault.message, fault.code)
            else:
                answer.fail(ErrorKind.CUT, CUT_MESSAGE)
        return out

    def _take(self, name: bytes, payload: bytes) -> None:
        if payload[:6] == b"[DONE]":
            # OpenRouter ends with it (recording openrouter raw-cot); the terminal event has come before.
            return
        event = _event(payload)
        if event is None:
            return
        if event.type == _TEXT_DELTA and self._answer.add_text(event):
            return
        kind = event.type or name.decode("ascii", "replace")
        handler = HANDLERS.get(kind)
        if handler is not None:
            handler(self._answer, event)
        elif kind == "error" or (not kind and wire.is_given(event.error)):
            fault = fault_of(payload, ErrorKind.UPSTREAM_FAILED)
            self._answer.fail(fault.kind, fault.message or FAILED_MESSAGE, fault.code)


def _event(payload: bytes) -> wire.StreamEvent | None:
    """The event in `payload`; `None` for one of a type that nobody reads, whatever its fields hold."""
    try:
        return wire.STREAM_EVENT.decode(payload)
    except (ValueError, RecursionError):
        pass
    try:
        return wire.read(wire.STREAM_EVENT, payload, "an event")
    except UpstreamProtocolError:
        head = wire.read(wire.HEAD, payload, "an event")
        if head.type not in HANDLERS and head.type not in ("", "error"):
            return None
        raise


def _place(event: wire.StreamEvent) -> Place:
    """Where the item stands that `event` speaks of."""
    return (event.item_id or 0) if event.output_index is None else event.output_index


class Answer:
    """The state of one answer: its items, and what it has said of itself."""

    def __init__(self) -> None:
        self.blocks = Blocks()
        self.is_ended = False
        self._is_started = False
        self._items: dict[Place, Item] = {}
        """The item that each place means now."""
        self._all: list[Item] = []

    # --- lifecycle

    def start(self, id: str, model: str) -> None:
        if not self._is_started:
            self._is_started = True
            self.blocks.out.append(MessageStart(id, model))

    def fail(self, kind: ErrorKind, message: str, code: str | None = None) -> None:
        self.is_ended = True
        self.blocks.out.append(StreamError(kind, message, code))

    def conclude(self, response: wire.Response, outcome: str) -> None:
        """The terminal event: what is missing, usage, and the end. `outcome`: completed, incomplete or failed."""
        self.start(response.id or "", response.model or "")
        if outcome == "failed":
            self._report_usage(response)
            fault = fault_of(response.error, ErrorKind.UPSTREAM_FAILED)
            self.fail(fault.kind, fault.message or FAILED_MESSAGE, fault.code)
            return
        self._recover(response.output or [])
        for item in self._all:
            item.close()
        self._report_usage(response)
        self.is_ended = True
        self.blocks.out.append(self._end(response, outcome))

    def _end(self, response: wire.Response, outcome: str) -> MessageEnd:
        if outcome == "incomplete":
            details = response.incomplete_details
            reason = details.reason if details is not None else None
            return MessageEnd(INCOMPLETE_REASON.get(reason or "", FinishReason.OTHER), reason or outcome)
        if any(isinstance(item, Call) and item.is_open for item in self._all):
            return MessageEnd(FinishReason.TOOL_CALLS, outcome)
        if any(isinstance(item, Message) and item.has_refusal for item in self._all):
            return MessageEnd(FinishReason.REFUSAL, outcome)
        return MessageEnd(FinishReason.STOP, outcome)

    def _report_usage(self, response: wire.Response) -> None:
        usage = response.usage
        if usage is None:
            return
        input_details = usage.input_tokens_details or wire.TokenDetails()
        output_details = usage.output_tokens_details or wire.TokenDetails()
        self.blocks.out.append(
            Usage(
                input=usage.input_tokens,
                output=usage.output_tokens,
                cached_input=input_details.cached_tokens,
                cache_write=input_details.cache_write_tokens,
                reasoning=output_details.reasoning_tokens,
                service_tier=response.service_tier,
            )
        )

    def _recover(self, output: list[msgspec.Raw]) -> None:
        """Fill or add every item of the terminal snapshot that the stream did not show whole.

        Items are paired by id, and those left over in order within their type, because ids may change.
        """
        snapshots = [(wire.read(wire.ITEM_HEAD, raw, "an output item"), raw) for raw in output if wire.is_given(raw)]
        by_id = {id: item for item in self._all for id in (item.head.id, item.head.call_id) if id}
        pairs = [by_id.get(head.id or "") or by_id.get(head.call_id or "") for head, _ in snapshots]
        paired = {id(item) for item in pairs if item is not None}
        left = [item for item in self._all if id(item) not in paired]
        for (head, raw), known in zip(snapshots, pairs, strict=True):
            item = known or next((item for item in left if item.head.type == head.type), None)
            if item is None:
                item = self._new(head, len(self._all), raw)
                self._all.append(item)
            elif known is None:
                left.remove(item)
            item.fill(raw)

    # --- items

    def add_text(self, event: wire.StreamEvent) -> bool:
        """The hot path: a text delta of a part that is open. False: take the long way."""
        place: Place | None = event.output_index
        message = self._items.get((event.item_id or 0) if place is None else place)
        if type(message) is not Message:
            return False
        run = message.parts.get((False, event.content_index or 0))
        piece = event.delta
        if run is None or not run.is_open or not piece:
            return False
        run.length += len(piece)
        run.last = piece
        self.blocks.out.append(TextDelta(run.index, piece))
        return True

    def announce(self, event: wire.StreamEvent) -> Item:
        """The item of `output_item.added`. A second announcement of an item only adds to the first."""
        raw = event.item
        head = wire.read(wire.ITEM_HEAD, raw, "an output item")
        place: Place | None = event.output_index
        if place is None:
            place = head.id or head.call_id or 0
        known = self._items.get(place)
        if known is not None and known.head.type == head.type:
            is_same = isinstance(place, str) or (bool(head.id) and head.id == known.head.id)
            if is_same or not known.is_done:
                if isinstance(known, Call):
                    known.announce(head, bytes(raw).decode("utf-8", "replace"))
                return known
        self.start("", "")
        item = self._new(head, len(self._all) if isinstance(place, str) else place, raw)
        self._keep(place, item)
        return item

    def message(self, event: wire.StreamEvent) -> Message:
        """The message that `event` speaks of, announced or not."""
        known = self.find(event)
        if isinstance(known, Message):
            return known
        message = Message(wire.ItemHead("message"), self.blocks)
        self._keep(_place(event), message)
        return message

    def reasoning(self, event: wire.StreamEvent) -> Reasoning:
        """The reasoning item that `event` speaks of, announced or not."""
        known = self.find(event)
        if isinstance(known, Reasoning):
            return known
        reasoning = Reasoning(wire.ItemHead("reasoning"), self.blocks)
        self._keep(_place(event), reasoning)
        return reasoning

    def find(self, event: wire.StreamEvent) -> Item | None:
        return self._items.get(_place(event))

    def _keep(self, place: Place, item: Item) -> None:
        self.start("", "")
        self._items[place] = item
        self._all.append(item)

    def _new(self, head: wire.ItemHead, position: int, raw: msgspec.Raw) -> Item:
        item: Item
        text = bytes(raw).decode("utf-8", "replace")
        match head.type:
            case "message":
                item = Message(head, self.blocks)
            case "reasoning":
                item = Reasoning(head, self.blocks)
            case "function_call" | "custom_tool_call":
                item = Call(head, self.blocks, position, text)
            case "image_generation_call":
                item = Image(head, self.blocks, position, text)
            case _:
                item = Hosted(head, self.blocks, position, text)
        return item


# --- what each event does


def _on_start(answer: Answer, event: wire.StreamEvent) -> None:
    response = _response(event)
    answer.start(response.id or "", response.model or "")


def _on_completed(answer: Answer, event: wire.StreamEvent) -> None:
    response = _response(event)
    status = response.status
    if status in FAILED_STATUS:
        answer.conclude(response, "failed")
    else:
        # Some servers repeat "in_progress" here: only a word of another ending outranks the event's own name.
        answer.conclude(response, "incomplete" if status == "incomplete" else "completed")


def _on_incomplete(answer: Answer, event: wire.StreamEvent) -> None:
    answer.conclude(_response(event), "incomplete")


def _on_failed(answer: Answer, event: wire.StreamEvent) -> None:
    answer.conclude(_response(event), "failed")


def _response(event: wire.StreamEvent) -> wire.Response:
    return wire.read(wire.RESPONSE, event.response, "a response") if wire.is_given(event.response) else wire.Response()


def _on_item_added(answer: Answer, event: wire.StreamEvent) -> None:
    if wire.is_given(event.item):
        answer.announce(event)


def _on_item_done(answer: Answer, event: wire.StreamEvent) -> None:
    if wire.is_given(event.item):
        answer.announce(event).fill(event.item)


def _on_text_delta(answer: Answer, event: wire.StreamEvent) -> None:
    answer.message(event).add(False, event.content_index or 0, event.delta or "")


def _on_text_done(answer: Answer, event: wire.StreamEvent) -> None:
    answer.message(event).repeat(False, event.content_index or 0, event.text or "")


def _on_refusal_delta(answer: Answer, event: wire.StreamEvent) -> None:
    answer.message(event).add(True, event.content_index or 0, event.delta or "")


def _on_refusal_done(answer: Answer, event: wire.StreamEvent) -> None:
    answer.message(event).repeat(True, event.content_index or 0, event.refusal or "")


def _on_annotation(answer: Answer, event: wire.StreamEvent) -> None:
    if wire.is_given(event.annotation):
        answer.message(event).cite(event.content_index or 0, event.annotation)


def _on_part_added(answer: Answer, event: wire.StreamEvent) -> None:
    if not wire.is_given(event.part):
        return
    part = wire.read(wire.PART, event.part, "a content part")
    item = answer.find(event)
    if isinstance(item, Message | Reasoning):
        item.announce_part(event.content_index or 0, part)


def _on_part_done(answer: Answer, event: wire.StreamEvent) -> None:
    if not wire.is_given(event.part):
        return
    part = wire.read(wire.PART, event.part, "a content part")
    if part.type in ("output_text", "refusal"):
        answer.message(event).end_part(event.content_index or 0, part)
    elif part.type == "reasoning_text":
        answer.reasoning(event).repeat(True, event.content_index or 0, part.text or "")


def _on_summary_delta(answer: Answer, event: wire.StreamEvent) -> None:
    answer.reasoning(event).add(False, event.summary_index or 0, event.delta or "")


def _on_summary_done(answer: Answer, event: wire.StreamEvent) -> None:
    answer.reasoning(event).repeat(False, event.summary_index or 0, event.text or "")


def _on_summary_part_done(answer: Answer, event: wire.StreamEvent) -> None:
    if wire.is_given(event.part):
        text = wire.read(wire.PART, event.part, "a summary part").text or ""
        answer.reasoning(event).repeat(False, event.summary_index or 0, text)


def _on_reasoning_delta(answer: Answer, event: wire.StreamEvent) -> None:
    answer.reasoning(event).add(True, event.content_index or 0, event.delta or "")


def _on_reasoning_done(answer: Answer, event: wire.StreamEvent) -> None:
    answer.reasoning(event).repeat(True, event.content_index or 0, event.text or "")


def _on_arguments_delta(answer: Answer, event: wire.StreamEvent) -> None:
    item = answer.find(event)
    if isinstance(item, Call | Hosted):
        item.add(event.delta or "")


def _on_arguments_done(answer: Answer, event: wire.StreamEvent) -> None:
    item = answer.find(event)
    if isinstance(item, Call):
        item.announce(wire.ItemHead(item.head.type, item.head.id, item.head.call_id, event.name), None)
    if isinstance(item, Call | Hosted):
        whole = event.arguments or event.input or event.code
        item.repeat(whole if isinstance(whole, str) else "")


HANDLERS: dict[str, Callable[[Answer, wire.StreamEvent], None]] = {
    _TEXT_DELTA: _on_text_delta,
    "response.function_call_arguments.delta": _on_arguments_delta,
    "response.reasoning_summary_text.delta": _on_summary_delta,
    "response.reasoning_text.delta": _on_reasoning_delta,
    "response.custom_tool_call_input.delta": _on_arguments_delta,
    "response.refusal.delta": _on_refusal_delta,
    "response.code_interpreter_call_code.delta": _on_arguments_delta,
    "response.mcp_call_arguments.delta": _on_arguments_delta,
    "response.created": _on_start,
    "response.queued": _on_start,
    "response.in_progress": _on_start,
    "response.output_item.added": _on_item_added,
    "response.content_part.added": _on_part_added,
    "response.reasoning_part.added": _on_part_added,
    "response.output_text.annotation.added": _on_annotation,
    "response.output_text.done": _on_text_done,
    "response.refusal.done": _on_refusal_done,
    "response.content_part.done": _on_part_done,
    "response.reasoning_part.done": _on_part_done,
    "response.reasoning_summary_text.done": _on_summary_done,
    "response.reasoning_summary_part.done": _on_summary_part_done,
    "response.reasoning_text.done": _on_reasoning_done,
    "response.function_call_arguments.done": _on_arguments_done,
    "response.custom_tool_call_input.done": _on_arguments_done,
    "response.code_interpreter_call_code.done": _on_arguments_done,
    "response.mcp_call_arguments.done": _on_arguments_done,
    "response.output_item.done": _on_item_done,
    "response.completed": _on_completed,
    "response.done": _on_completed,
    "response.incomplete": _on_incomplete,
    "response.failed": _on_failed,
    "response.cancelled": _on_failed,
}
"""By event type. All others only tell of progress, or are not known yet: they are ignored, whatever they hold."""
