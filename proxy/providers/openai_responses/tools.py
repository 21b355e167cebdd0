"""Calls, hosted tools and images of one Responses stream: the items beside `items`, by the same rules."""

import msgspec

from proxy.hub.events import ArgumentsDelta, MediaBlock, Origin, ToolCallBlock, ToolKind, ToolResultBlock
from proxy.providers.openai_responses import wire
from proxy.providers.openai_responses.items import Blocks, Run

# --- calls that the caller runs


class Call:
    """`function_call` and `custom_tool_call`.

    The block needs the tool's name. Where the announcement lacks it, what arrives meanwhile is left to the repetition.
    """

    def __init__(self, head: wire.ItemHead, blocks: Blocks, position: int, raw: str | None = None) -> None:
        self.head = head
        self.is_done = False
        self.kind = ToolKind.CUSTOM if head.type == "custom_tool_call" else ToolKind.FUNCTION
        self._blocks = blocks
        self._position = position
        self._run = Run()
        self._index: int | None = None
        self.announce(head, raw)

    @property
    def is_open(self) -> bool:
        return self._index is not None

    def announce(self, head: wire.ItemHead, raw: str | None) -> None:
        """Open the block, if the name is known."""
        if self._index is not None or not head.name:
            return
        self.head = head
        id = head.call_id or head.id or f"call_{self._position}"
        self._index = self._blocks.open(ToolCallBlock(id, head.name, self.kind, raw, Origin.OPENAI))

    def add(self, piece: str) -> None:
        if piece and self._index is not None and not self.is_done:
            self._run.take(piece)
            self._blocks.out.append(ArgumentsDelta(self._index, piece))

    def repeat(self, whole: str) -> None:
        if not self.is_done:
            self.add(self._run.rest_of(whole))

    def fill(self, snapshot: msgspec.Raw) -> None:
        if self.is_done:
            return
        item = wire.read(wire.CALL_ITEM, snapshot, "a call item")
        self.announce(
            wire.ItemHead(self.head.type, item.id or self.head.id, item.call_id or self.head.call_id, item.name),
            bytes(snapshot).decode("utf-8", "replace"),
        )
        self.repeat((item.input if self.kind is ToolKind.CUSTOM else item.arguments) or "")
        self.close()

    def close(self) -> None:
        if not self.is_done and self._index is not None:
            self._blocks.end(self._index)
        self.is_done = True


# --- tools that the provider runs


class HostedTool(msgspec.Struct, frozen=True):
    """How the item of a hosted tool becomes a call with arguments and a result."""

    name: str
    arguments: str | None = None
    """The field that holds the arguments; `None`: it has none."""
    wrapped: bool = False
    """The arguments are an object with that one field, rather than the field's own value."""
    result: str | None = None
    """The field that holds the result; `None`: the item as a whole is the result."""


HOSTED_TOOLS: dict[str, HostedTool] = {
    "web_search_call": HostedTool("web_search", "action"),
    "file_search_call": HostedTool("file_search", "queries", wrapped=True, result="results"),
    "code_interpreter_call": HostedTool("code_interpreter", "code", wrapped=True, result="outputs"),
    "image_generation_call": HostedTool("image_generation"),
    "mcp_call": HostedTool("mcp", "arguments", result="output"),
    "mcp_approval_request": HostedTool("mcp_approval_request", "arguments"),
    "mcp_list_tools": HostedTool("mcp_list_tools", result="tools"),
    "computer_call": HostedTool("computer", "action"),
    "local_shell_call": HostedTool("local_shell", "action"),
    "shell_call": HostedTool("shell", "action"),
    "shell_call_output": HostedTool("shell_call_output", result="output"),
    "apply_patch_call": HostedTool("apply_patch", "operation"),
    "tool_search_call": HostedTool("tool_search", "arguments"),
    "tool_search_output": HostedTool("tool_search_output", result="tools"),
}
"""By item type. Others: the type is the name, the item as a whole is the result."""


class Hosted:
    """Any other item: a SERVER call that is open from its announcement, and its result when the item is repeated whole."""

    def __init__(self, head: wire.ItemHead, blocks: Blocks, position: int, raw: str | None = None) -> None:
        self.head = head
        self.is_done = False
        self._tool = HOSTED_TOOLS.get(head.type) or HostedTool(head.type or "tool")
        self._blocks = blocks
        self._run = Run()
        self._id = head.id or head.call_id or f"{self._tool.name}_{position}"
        name = head.name or self._tool.name
        self._index = blocks.open(ToolCallBlock(self._id, name, ToolKind.SERVER, raw, Origin.OPENAI))

    def add(self, piece: str) -> None:
        """A fragment of arguments, or of a code interpreter's code."""
        if not piece or self.is_done:
            return
        text = piece
        if self._tool.wrapped:
            text = _escaped(piece) if self._run.length else f'{{"{self._tool.arguments}":"{_escaped(piece)}'
        self._run.take(piece)
        self._blocks.out.append(ArgumentsDelta(self._index, text))

    def repeat(self, whole: str) -> None:
        self.add(self._run.rest_of(whole))

    def fill(self, snapshot: msgspec.Raw) -> None:
        if self.is_done:
            return
        fields = wire.read(wire.FIELDS, snapshot, f"a {self.head.type} item")
        if self._tool.arguments is not None:
            self._fill_arguments(fields.get(self._tool.arguments, msgspec.Raw()))
        self.close()
        result = fields.get(self._tool.result or "", msgspec.Raw())
        raw = bytes(snapshot).decode("utf-8", "replace")
        self._blocks.whole(
            ToolResultBlock(
                self._id,
                bytes(result).decode("utf-8", "replace") if wire.is_given(result) else raw,
                Origin.OPENAI,
                self.head.type,
                is_error=_has_failed(fields),
                raw=raw,
            )
        )

    def close(self) -> None:
        if self.is_done:
            return
        if self._tool.wrapped and self._run.length:
            self._blocks.out.append(ArgumentsDelta(self._index, '"}'))
        self._blocks.end(self._index)
        self.is_done = True

    def _fill_arguments(self, value: msgspec.Raw) -> None:
        json = bytes(value)
        if json[:1] == b'"':
            self.repeat(wire.read(wire.STRING, value, "a tool's arguments"))
        elif wire.is_given(value) and not self._run.length:
            text = json.decode("utf-8", "replace")
            whole = f'{{"{self._tool.arguments}":{text}}}' if self._tool.wrapped else text
            self._blocks.out.append(ArgumentsDelta(self._index, whole))


def _escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return msgspec.json.encode(text).decode()[1:-1]


def _has_failed(fields: dict[str, msgspec.Raw]) -> bool:
    return bytes(fields.get("status", b"")) == b'"failed"' or wire.is_given(fields.get("error", msgspec.Raw()))


class Image:
    """`image_generation_call`: a media block once the image is there, and a hosted tool's result if it failed."""

    def __init__(self, head: wire.ItemHead, blocks: Blocks, position: int, raw: str | None = None) -> None:
        self.head = head
        self.is_done = False
        self._blocks = blocks
        self._position = position
        self._raw = raw

    def fill(self, snapshot: msgspec.Raw) -> None:
        if self.is_done:
            return
        self.is_done = True
        item = wire.read(wire.IMAGE_ITEM, snapshot, "an image item")
        if item.result:
            media_type = IMAGE_TYPE.get(item.output_format or "png", "application/octet-stream")
            self._blocks.whole(MediaBlock(media_type, data=item.result))
        else:
            Hosted(self.head, self._blocks, self._position, self._raw).fill(snapshot)

    def close(self) -> None:
        self.is_done = True


IMAGE_TYPE: dict[str, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}
