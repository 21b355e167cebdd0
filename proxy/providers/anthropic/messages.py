"""The caller's messages as Anthropic's turns.

The API's rules (docs.anthropic.com "messages", "tool use", "handle tool calls"), kept here for every input:

* user and assistant take turns, the user first: neighbours of one role are merged, in order;
* every call of an assistant turn is answered in the very next user turn, once, before anything else in that turn. A
  missing result is an error result; a result that answers no call of the turn before is told as text;
* a text block is not blank, and the text of a last assistant turn does not end in white space;
* reasoning goes back only with Anthropic's own proof.

What cannot be carried is named in `dropped`; what must not be lost is a CallerError.
"""

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from proxy.providers.anthropic.blocks import (
    Json,
    call_block,
    file_block,
    image_block,
    reasoning_block,
    result_block,
    text_blocks,
)
from proxy.providers.anthropic.names import CallIds

NO_RESULT = "No result: this call was not answered."
FIRST_TURN = "(The conversation begins.)"
"""Stands where the user's first turn would: the API refuses a conversation that the assistant begins."""
EMPTY_TURN = "(empty)"
"""Stands for a user message without content, which the API refuses."""


class Turn:
    """One turn as it will be sent: `results` first, then `blocks`."""

    __slots__ = ("blocks", "pending", "results", "role")

    def __init__(self, role: str) -> None:
        self.role = role
        self.blocks: list[Json | msgspec.Raw] = []
        self.results: list[Json] = []
        self.pending: list[tuple[str, str]] = []
        """Calls of this turn that are not answered yet: the caller's id and the id sent."""

    @property
    def has_calls(self) -> bool:
        return any(_type(block) == "tool_use" for block in self.blocks)

    @property
    def begins_with_thinking(self) -> bool:
        return bool(self.blocks) and _is_thinking(self.blocks[0])

    @property
    def is_prefill(self) -> bool:
        """Whether, as the last turn, it is text that the answer shall begin with, and no paused turn of the model's own."""
        return self.role == "assistant" and all(_type(block) == "text" for block in self.blocks)

    def as_json(self) -> Json:
        return {"role": self.role, "content": [*self.results, *self.blocks]}


class Conversation:
    """Collects the messages of one request."""

    def __init__(self, *, takes_system_turns: bool) -> None:
        self.system: list[Json] = []
        self.turns: list[Turn] = []
        self.dropped: list[str] = []
        self.has_files = False
        """Some block names a file uploaded earlier, which needs a beta header."""
        self._takes_system_turns = takes_system_turns
        self._ids = CallIds()

    def add(self, messages: tuple[Message, ...]) -> None:
        """Take all messages, then make the turns fit the API's rules. Raises CallerError."""
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            if message.name is not None:
                self.dropped.append(f"{path}.name")
            match message.role:
                case Role.SYSTEM:
                    self._add_system(message, path)
                case Role.USER:
                    self._add_user(message, path)
                case Role.ASSISTANT:
                    self._add_assistant(message, path)
                case Role.TOOL:
                    self._add_results(message, path)
        self._finish()

    # --- one message

    def _add_system(self, message: Message, path: str) -> None:
        texts: list[Json] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, TextPart):
                texts += text_blocks(part)
            else:
                self._drop(path, index, part)
        if not self.turns:
            self.system += texts
        elif self._takes_system_turns:
            self._turn("system").blocks += texts
        else:
            self.dropped.append(f"{path}.role")
            self._turn("user").blocks += texts

    def _add_user(self, message: Message, path: str) -> None:
        turn = self._turn("user")
        for index, part in enumerate(message.parts):
            self._add_user_part(turn, part, path, index)

    def _add_user_part(self, turn: Turn, part: Part, path: str, index: int) -> None:
        where = f"{path}.parts[{index}]"
        match part:
            case TextPart():
                turn.blocks += text_blocks(part)
            case ImagePart():
                turn.blocks.append(image_block(part, where))
                self._note_file(turn.blocks[-1])
            case FilePart():
                turn.blocks.append(file_block(part, where))
                self._note_file(turn.blocks[-1])
            case AudioPart():
                message = f"{where}: this model takes no audio"
                raise CallerError(ErrorKind.INVALID_REQUEST, message, param=where)
            case ToolResultPart():
                self._add_result(part, where)
            case OpaquePart(origin=Origin.ANTHROPIC):
                turn.blocks.append(msgspec.Raw(part.json))
            case _:
                self._drop(path, index, part)

    def _add_assistant(self, message: Message, path: str) -> None:
        blocks: list[Json | msgspec.Raw] = []
        calls: list[tuple[str, str]] = []
        for index, part in enumerate(message.parts):
            match part:
                case TextPart():
                    blocks += text_blocks(part)
                case RefusalPart(text):
                    blocks += text_blocks(TextPart(text))
                case ReasoningPart() if (block := reasoning_block(part)) is not None:
                    blocks.append(block)
                case ToolCallPart(id=id, kind=ToolKind.FUNCTION | ToolKind.CUSTOM):
                    calls.append((id, self._ids.fresh(id)))
                    blocks.append(call_block(part, calls[-1][1], f"{path}.parts[{index}].name"))
                case OpaquePart(origin=Origin.ANTHROPIC):
                    blocks.append(msgspec.Raw(part.json))
                case _:
                    self._drop(path, index, part)
        if blocks:
            turn = self._turn("assistant")
            turn.blocks += blocks
            turn.pending += calls

    def _add_results(self, message: Message, path: str) -> None:
        for index, part in enumerate(message.parts):
            if isinstance(part, ToolResultPart):
                self._add_result(part, f"{path}.parts[{index}]")
            else:
                self._drop(path, index, part)

    def _add_result(self, part: ToolResultPart, where: str) -> None:
        """Answer the call, if it stands in the assistant turn just before; else tell it as text."""
        turn = self._turn("user")
        caller = self.turns[-2] if len(self.turns) > 1 else None
        content = self._result_content(part, where)
        for pending in caller.pending if caller is not None else ():
            if pending[0] == part.call_id and caller is not None:
                caller.pending.remove(pending)
                turn.results.append(result_block(pending[1], content, part))
                return
        self.dropped.append(f"{where}.call_id")
        turn.blocks.append({"type": "text", "text": f"Result of the tool call {part.call_id!r}:"})
        turn.blocks += content

    def _result_content(self, part: ToolResultPart, where: str) -> list[Json]:
        content: list[Json] = []
        for index, inner in enumerate(part.parts):
            match inner:
                case TextPart():
                    content += text_blocks(inner)
                case ImagePart():
                    content.append(image_block(inner, f"{where}.parts[{index}]"))
                    self._note_file(content[-1])
                case FilePart():
                    content.append(file_block(inner, f"{where}.parts[{index}]"))
                    self._note_file(content[-1])
        return content

    # --- turns

    def _turn(self, role: str) -> Turn:
        """The last turn, if it is of this role, or a new one."""
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role))
        return self.turns[-1]

    def _finish(self) -> None:
        self._drop_trailing_thinking()
        if not self.turns:
            message = "messages: expected at least one user message"
            raise CallerError(ErrorKind.INVALID_REQUEST, message, param="messages")
        if self.turns[0].role == "assistant":
            self.turns.insert(0, _user_turn(FIRST_TURN))
        self._answer_all_calls()
        for turn in self.turns:
            if not turn.blocks and not turn.results:
                turn.blocks.append({"type": "text", "text": EMPTY_TURN})
        if self.turns[-1].role == "assistant":
            _trim_end(self.turns[-1])

    def _drop_trailing_thinking(self) -> None:
        """An assistant turn may not end with thinking; one that is nothing else goes, and its neighbours join."""
        turns, self.turns = self.turns, []
        for turn in turns:
            while turn.role == "assistant" and turn.blocks and _is_thinking(turn.blocks[-1]):
                turn.blocks.pop()
                self.dropped.append("messages: reasoning without an answer")
            if turn.role == "assistant" and not turn.blocks:
                continue
            joined = self._turn(turn.role)
            joined.results += turn.results
            joined.blocks += turn.blocks
            joined.pending += turn.pending

    def _answer_all_calls(self) -> None:
        turns: list[Turn] = []
        waiting: Turn | None = None
        for turn in self.turns:
            if waiting is not None and turn.role != "user":
                turns.append(Turn("user"))
                _answer(waiting, turns[-1])
            elif waiting is not None:
                _answer(waiting, turn)
            waiting = turn if turn.pending else None
            turns.append(turn)
        if waiting is not None:
            turns.append(Turn("user"))
            _answer(waiting, turns[-1])
        self.turns = turns

    # --- what is lost

    def _drop(self, path: str, index: int, part: Part) -> None:
        self.dropped.append(f"{path}.parts[{index}]: {_word(part)}")

    def _note_file(self, block: Json | msgspec.Raw) -> None:
        source = block.get("source") if isinstance(block, dict) else None
        self.has_files = self.has_files or (isinstance(source, dict) and "file_id" in source)


def tool_loop_without_thinking(turns: list[Turn]) -> bool:
    """Whether the conversation ends in a loop of calls and results whose first turn does not begin with thinking.

    The service counts such a loop as one assistant turn and wants its thinking at the beginning.
    """
    first: Turn | None = None
    for turn in reversed(turns):
        if turn.role == "assistant":
            if not turn.has_calls:
                break
            first = turn
        elif not turn.results:
            break
    return first is not None and not first.begins_with_thinking


def _answer(caller: Turn, turn: Turn) -> None:
    for _, id in caller.pending:
        turn.results.append({"type": "tool_result", "tool_use_id": id, "content": NO_RESULT, "is_error": True})
    caller.pending.clear()


def _trim_end(turn: Turn) -> None:
    last = turn.blocks[-1]
    if not isinstance(last, dict):
        return
    text = last.get("text")
    if _type(last) == "text" and isinstance(text, str):
        last["text"] = text.rstrip()


def _user_turn(text: str) -> Turn:
    turn = Turn("user")
    turn.blocks.append({"type": "text", "text": text})
    return turn


def _is_thinking(block: Json | msgspec.Raw) -> bool:
    return _type(block) in ("thinking", "redacted_thinking")


def _type(block: Json | msgspec.Raw) -> object:
    return block.get("type") if isinstance(block, dict) else None


def _word(part: Part) -> str:
    match part:
        case OpaquePart(type=type):
            return type
        case ReasoningPart():
            return "reasoning"
        case TextPart() | RefusalPart():
            return "text"
        case ImagePart():
            return "image"
        case FilePart():
            return "file"
        case AudioPart():
            return "audio"
        case ToolCallPart():
            return "tool call"
        case ToolResultPart():
            return "tool result"
