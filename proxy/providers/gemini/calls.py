"""Calls in a Gemini answer: functions, whole or with arguments in pieces, and the steps of tools that the provider runs.

{functionCall: {id?, name, args}}                       a whole call; several may come in one response
{functionCall: {name, willContinue: true}}              a call whose arguments follow in pieces (see `arguments`),
{functionCall: {partialArgs: […], willContinue: true}}
{functionCall: {}}                                      and end here
{functionCall: {name, args: {}}}                        a call without arguments, unless they
{functionCall: {args}}                                  follow, nameless
{executableCode} {codeExecutionResult}                  code that the provider ran
{toolCall} {toolResponse}                               any other tool of its own (recording file-search-grounding)
"""

import hashlib

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    Event,
    Origin,
    SignatureAdded,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)
from proxy.hub.identifiers import read_back
from proxy.providers.blocks import BlockTracker
from proxy.providers.custom_tools import Unwrapper
from proxy.providers.gemini import wire
from proxy.providers.gemini.arguments import ArgumentsWriter

CODE_EXECUTION = "code_execution"
"""The name of the tool whose calls are `executableCode` parts."""

SUCCESS = frozenset({None, "OUTCOME_OK", "OUTCOME_UNSPECIFIED"})
"""`outcome` of code that did not fail."""


class _Call:
    """A function call whose arguments are being streamed."""

    __slots__ = ("_has_arguments", "_unwrapper", "id", "index", "is_empty", "writer")

    def __init__(self, index: int, id: str, unwrapper: Unwrapper | None) -> None:
        self.index = index
        self.id = id
        self.is_empty = False
        """Its arguments came as `{}`, which may stand for some that are still to come."""
        self.writer: ArgumentsWriter | None = None
        """Set once arguments came in pieces."""
        self._unwrapper = unwrapper
        """Set: a CUSTOM tool, whose arguments are the text inside."""
        self._has_arguments = False

    def add(self, arguments: str, out: list[Event]) -> None:
        self._has_arguments = True
        if self._unwrapper is not None:
            arguments = self._unwrapper.feed(arguments)
        if arguments:
            out.append(ArgumentsDelta(self.index, arguments))

    def finish(self, out: list[Event], *, is_whole: bool) -> None:
        """Complete the arguments, unless they were cut off by the token limit."""
        if self.writer is not None and is_whole:
            self.add(self.writer.close(), out)
        if self._unwrapper is not None:
            rest = self._unwrapper.finish()
            if rest:
                out.append(ArgumentsDelta(self.index, rest))
        elif not self._has_arguments and (is_whole or self.is_empty):
            # proto3 JSON leaves out an empty object.
            out.append(ArgumentsDelta(self.index, "{}"))


class Calls:
    """The calls of one answer."""

    def __init__(self, blocks: BlockTracker, custom_tools: frozenset[str]) -> None:
        self.answer_id = ""
        self.has_any = False
        """Whether there was one that the caller is to run."""
        self._blocks = blocks
        self._custom_tools = custom_tools
        self._open: _Call | None = None
        self._ids: set[str] = set()
        self._last_code_id = ""

    def take(self, part: wire.FunctionCall, signature: str | None, out: list[Event]) -> None:
        """A whole call, or one more piece of the open one."""
        call = self._open
        if call is None or (part.name and (part.id != call.id or call.is_empty)):
            if not part.name:
                if wire.is_given(part.args) or part.partialArgs:
                    raise UpstreamProtocolError("a function call has no name")
                # The end of a call that another part has ended before.
                return
            self.end(out)
            call = self._open = self._start(part.id, part.name, part.args, out)
        if signature is not None:
            out.append(SignatureAdded(call.index, signature, Origin.GEMINI))
        is_empty = bytes(part.args) == b"{}"
        call.is_empty = is_empty and not part.willContinue
        if wire.is_given(part.args) and call.writer is None and not is_empty:
            call.add(wire.text_of(part.args), out)
        for piece in part.partialArgs or ():
            if call.writer is None:
                call.writer = ArgumentsWriter()
            call.add(call.writer.add(piece), out)
        if not (part.willContinue or call.is_empty):
            self.end(out)

    def end(self, out: list[Event], *, is_whole: bool = True) -> None:
        """End the open call, if there is one. Not `is_whole`: its arguments were cut off by the token limit."""
        call = self._open
        if call is not None:
            self._open = None
            call.finish(out, is_whole=is_whole)
            self._blocks.end(call.index, out)

    def end_empty(self, out: list[Event]) -> None:
        """End the open call if its arguments came as `{}`: none follow."""
        if self._open is not None and self._open.is_empty:
            self.end(out)

    def _start(self, id: str | None, name: str, args: msgspec.Raw, out: list[Event]) -> _Call:
        name = read_back(name)
        is_custom = name in self._custom_tools
        call_id = self._fresh_id(id, name, args)
        kind = ToolKind.CUSTOM if is_custom else ToolKind.FUNCTION
        index = self._blocks.hold(ToolCallBlock(call_id, name, kind), out)
        self.has_any = True
        return _Call(index, id or call_id, Unwrapper() if is_custom else None)

    def _fresh_id(self, id: str | None, name: str, args: msgspec.Raw) -> str:
        """The API's id, or one of our own: always the same for the same answer, another for every call and in others."""
        if not id or id in self._ids:
            answer = self.answer_id or bytes(args).decode("utf-8", "replace")
            parts = (answer, str(len(self._ids)), name)
            id = "call_" + hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()
        self._ids.add(id)
        return id

    # --- tools that the provider runs

    def take_code(self, raw: msgspec.Raw, signature: str | None, out: list[Event]) -> None:
        """`executableCode`."""
        call = wire.read(wire.SERVER_CALL, raw, "executableCode")
        self._last_code_id = self._fresh_id(call.id, CODE_EXECUTION, raw)
        own = _own_part("executableCode", raw, signature)
        self._add_call(self._last_code_id, CODE_EXECUTION, raw, own, out)

    def take_tool(self, raw: msgspec.Raw, signature: str | None, out: list[Event]) -> None:
        """`toolCall`."""
        call = wire.read(wire.SERVER_CALL, raw, "toolCall")
        name = call.toolType or "tool"
        own = _own_part("toolCall", raw, signature)
        self._add_call(self._fresh_id(call.id, name, raw), name, call.args, own, out)

    def take_result(self, kind: str, raw: msgspec.Raw, signature: str | None, out: list[Event]) -> None:
        """`codeExecutionResult` or `toolResponse`."""
        self.end(out)
        result = wire.read(wire.SERVER_RESULT, raw, kind)
        block = ToolResultBlock(
            call_id=result.id or self._last_code_id,
            content=wire.text_of(raw),
            origin=Origin.GEMINI,
            type=kind,
            is_error=result.outcome not in SUCCESS,
            raw=_own_part(kind, raw, signature),
        )
        self._blocks.add(block, out)

    def _add_call(self, id: str, name: str, arguments: msgspec.Raw, own: str, out: list[Event]) -> None:
        self.end(out)
        index = self._blocks.hold(ToolCallBlock(id, name, ToolKind.SERVER, own, Origin.GEMINI), out)
        out.append(ArgumentsDelta(index, wire.text_of(arguments) if wire.is_given(arguments) else "{}"))
        self._blocks.end(index, out)


def _own_part(kind: str, raw: msgspec.Raw, signature: str | None) -> str:
    """The whole part as the API's JSON."""
    if signature is None:
        return f'{{"{kind}":{wire.text_of(raw)}}}'
    return f'{{"{kind}":{wire.text_of(raw)},"thoughtSignature":{msgspec.json.encode(signature).decode()}}}'
