"""Tool calls in a Chat Completions stream, from fragments that compatible servers number and name as they like.

By the API the first fragment of a call has `index`, `id` and the name, later ones only `index` and arguments. Seen besides:
no index, no id, an id with every fragment (the same one, or a new random one each time), every call with index 0, the
name after the id, arguments in one piece, arguments as an object. What decides that a new call begins:

    another index                                         if the fragment has a name, or the call before is complete
    the same or no index, another id                      if the fragment has a name (a random id comes without)
    the same or no index, no id, a name and arguments     if the arguments so far are complete

Arguments that begin with a whole `{}` and go on are what follows it (Gemini's compatible endpoint, Llama Stack).

A call's block starts when its name is known, and stays open for more fragments. It ends as soon as something else
begins and its arguments are a complete object, so that a caller who cannot interleave sees the next call at once.
"""

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import ArgumentsDelta, Event, Origin, SignatureAdded, ToolCallBlock, ToolKind
from proxy.providers.blocks import BlockTracker
from proxy.providers.custom_tools import Unwrapper
from proxy.providers.openai_chat.wire import Custom, ExtraContent, Function, ToolCall

FUNCTION_CALL = -1
"""The index of the one call of the deprecated `function_call` field."""

MAX_KEPT_CHARS = 1024 * 1024
"""Longest arguments that are kept to see whether they are complete; a longer call stays open until the end."""

MAX_CALLS = 1024
"""Most calls in one answer: ten times what any vendor allows as tools, and a bound on what is kept of them."""

PLACEHOLDER = "{}"

NO_NAME = "The provider sent a tool call without a name."

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Call:
    """One call so far."""

    __slots__ = ("block", "chars", "id", "is_placeholder", "kind", "name", "pieces", "unwrapper")

    def __init__(self, kind: ToolKind) -> None:
        self.kind = kind
        self.id = ""
        """The id on the wire; empty: none came."""
        self.name = ""
        self.block = -1
        """Index of its block, -1 before it started."""
        self.pieces: list[str] = []
        self.chars = 0
        self.is_placeholder = False
        """All so far is `{}`, which may stand for arguments that are still to come: it is held back."""
        self.unwrapper: Unwrapper | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the arguments so far are a whole JSON object. Free text is never known to be complete."""
        if self.kind is ToolKind.CUSTOM and self.unwrapper is None:
            return False
        if not self.pieces or self.chars > MAX_KEPT_CHARS or not self.pieces[-1].rstrip().endswith("}"):
            return False
        try:
            _OBJECT.decode("".join(self.pieces))
        except (ValueError, RecursionError):
            return False
        return True


class ToolCalls:
    """All calls of one answer. `custom_tools`: names of functions that stand for free-text tools."""

    __slots__ = ("_blocks", "_by_id", "_by_index", "_calls", "_custom_tools", "_ids", "_last")

    def __init__(self, blocks: BlockTracker, custom_tools: frozenset[str]) -> None:
        self._blocks = blocks
        self._custom_tools = custom_tools
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._ids: set[str] = set()
        """Ids given to blocks: unique in one answer, or a result could not say which call it is for."""

    @property
    def any(self) -> bool:
        """Whether the answer has a call."""
        return bool(self._calls)

    def take(self, fragment: ToolCall, message_id: str, out: list[Event]) -> None:
        """One entry of `tool_calls`. Raises UpstreamProtocolError for arguments after the end of their object."""
        function = fragment.function
        if function is not None and fragment.id is None and fragment.index is not None and function.name is None:
            call = self._by_index.get(fragment.index)
            if call is not None and call.block >= 0:
                # Hot: more arguments of a call that has begun.
                self._last = call
                arguments = function.arguments
                self._add(call, arguments if isinstance(arguments, str) else _text(function, None), out)
                if fragment.extra_content is not None:
                    self._take_extra(call, fragment.extra_content, out)
                return
        custom = fragment.custom
        name = (function.name if function else custom.name if custom else None) or ""
        text = _text(function, custom)
        call = self._find(fragment, name, text)
        if call is None:
            call = self._begin(fragment, ToolKind.CUSTOM if custom else ToolKind.FUNCTION, out)
        call.id = call.id or fragment.id or ""
        call.name = call.name or name
        self._last = call
        if call.block < 0 and call.name:
            self._start(call, message_id, out)
        self._add(call, text, out)
        if fragment.extra_content is not None:
            self._take_extra(call, fragment.extra_content, out)

    def take_function_call(self, function: Function, message_id: str, out: list[Event]) -> None:
        """The deprecated `function_call`: one call, without an id."""
        self.take(ToolCall(index=FUNCTION_CALL, function=function), message_id, out)

    def settle(self, out: list[Event]) -> None:
        """End the blocks whose arguments are complete: something else begins."""
        for call in self._calls:
            if self._blocks.is_held(call.block) and call.is_complete:
                self._end(call, out)

    def finish(self, out: list[Event]) -> None:
        """End all calls. Raises UpstreamProtocolError for a call that never got a name."""
        for call in self._calls:
            if call.block < 0:
                raise UpstreamProtocolError(NO_NAME)
            self._end(call, out)

    # --- which call

    def _find(self, fragment: ToolCall, name: str, text: str) -> _Call | None:
        """The call that `fragment` continues; `None`: it begins a new one."""
        if fragment.index is not None:
            call = self._by_index.get(fragment.index)
            if call is None and not name:
                return self._renumbered(fragment, fragment.index)
        elif fragment.id:
            call = self._by_id.get(fragment.id, self._last)
        else:
            call = self._last
        if call is None:
            return None
        if fragment.id:
            is_other = bool(call.id) and fragment.id != call.id
            return None if is_other and name else call
        return None if name and text and call.is_complete else call

    def _renumbered(self, fragment: ToolCall, index: int) -> _Call | None:
        """The call that a nameless fragment with a new index continues: some servers begin a call with the index of
        the one before, and go on with its own. `None`: a call whose name is still to come."""
        last = self._last
        if fragment.id:
            call = self._by_id.get(fragment.id)
        else:
            call = last if last is not None and last.name and not last.is_complete else None
        if call is not None:
            self._by_index[index] = call
        return call

    def _begin(self, fragment: ToolCall, kind: ToolKind, out: list[Event]) -> _Call:
        self.settle(out)
        if len(self._calls) == MAX_CALLS:
            raise UpstreamProtocolError(f"The provider sent more than {MAX_CALLS} tool calls.")
        call = _Call(kind)
        self._calls.append(call)
        if fragment.index is not None:
            self._by_index[fragment.index] = call
        if fragment.id:
            self._by_id[fragment.id] = call
        return call

    # --- its block

    def _start(self, call: _Call, message_id: str, out: list[Event]) -> None:
        if call.kind is ToolKind.FUNCTION and call.name in self._custom_tools:
            call.kind = ToolKind.CUSTOM
            call.unwrapper = Unwrapper()
        block_id = self._unique(call.id or _made_id(len(self._ids), message_id))
        call.block = self._blocks.hold(ToolCallBlock(block_id, call.name, call.kind), out)
        if call.pieces and not call.is_placeholder:
            self._emit(call, "".join(call.pieces), out)

    def _add(self, call: _Call, text: str, out: list[Event]) -> None:
        if not text:
            return
        if call.is_placeholder:
            if text.isspace():
                return
            if call.block < 0 or self._blocks.is_held(call.block):
                call.is_placeholder = False
                call.pieces.clear()
        elif not call.pieces and text == PLACEHOLDER and call.kind is ToolKind.FUNCTION:
            call.is_placeholder = True
            call.pieces.append(text)
            return
        call.chars += len(text)
        if call.block < 0:
            if call.chars > MAX_KEPT_CHARS:
                raise UpstreamProtocolError(NO_NAME)
            call.pieces.append(text)
            return
        if not self._blocks.is_held(call.block):
            if text.isspace():
                return
            raise UpstreamProtocolError("The provider sent more arguments of a tool call than one object.")
        if call.chars <= MAX_KEPT_CHARS:
            call.pieces.append(text)
        else:
            call.pieces.clear()
        self._emit(call, text, out)

    def _take_extra(self, call: _Call, extra: ExtraContent, out: list[Event]) -> None:
        if extra.google and extra.google.thought_signature and self._blocks.is_held(call.block):
            out.append(SignatureAdded(call.block, extra.google.thought_signature, Origin.GEMINI))

    def _emit(self, call: _Call, text: str, out: list[Event]) -> None:
        if call.unwrapper is not None:
            text = call.unwrapper.feed(text)
        if text:
            out.append(ArgumentsDelta(call.block, text))

    def _end(self, call: _Call, out: list[Event]) -> None:
        if not self._blocks.is_held(call.block):
            return
        if call.is_placeholder:
            self._emit(call, PLACEHOLDER, out)
        if call.unwrapper is not None and (rest := call.unwrapper.finish()):
            out.append(ArgumentsDelta(call.block, rest))
        self._blocks.end(call.block, out)

    def _unique(self, wanted: str) -> str:
        block_id = wanted
        number = 1
        while block_id in self._ids:
            number += 1
            block_id = f"{wanted}_{number}"
        self._ids.add(block_id)
        return block_id


def _text(function: Function | None, custom: Custom | None) -> str:
    if custom is not None:
        return custom.input or ""
    arguments = function.arguments if function is not None else None
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def _made_id(number: int, message_id: str) -> str:
    """An id for a call without one: the same for the same answer, another one in every answer."""
    tail = "".join(char for char in message_id if char.isascii() and char.isalnum())[-16:]
    return f"call_{number}_{tail}" if tail else f"call_{number}"
