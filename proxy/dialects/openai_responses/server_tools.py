"""Tools that a provider ran itself, as the items that clients of this API know.

OpenAI's own items go out as they came. Another vendor's tool becomes the hosted tool that does the same (web search,
file search, code), and else an `mcp_call`: a named tool with arguments and an output, run by some server.
"""

import msgspec

from proxy.dialects.openai_responses.response import JSON, one_line
from proxy.dialects.openai_responses.writer import Writer, place
from proxy.hub.events import Origin, SignatureAdded, ToolCallBlock, ToolResultBlock

Json = dict[str, object]

SAME_TOOL: dict[str, str] = {
    "web_search": "web_search_call",
    "google_search": "web_search_call",
    "file_search": "file_search_call",
    "code_interpreter": "code_interpreter_call",
    "code_execution": "code_interpreter_call",
}
"""The item for a tool by its name. Others: `mcp_call`."""


class Progress(msgspec.Struct, frozen=True):
    """The events that tell how far a hosted tool is: `response.{type}.{word}`."""

    prefix: str
    """Of item ids."""
    started: str | None = None
    asked: str | None = None
    """Once the arguments are known."""
    succeeded: str | None = None
    failed: str | None = None


PROGRESS: dict[str, Progress] = {
    "web_search_call": Progress("ws", "in_progress", "searching", "completed", "completed"),
    "file_search_call": Progress("fs", "in_progress", "searching", "completed", "completed"),
    "code_interpreter_call": Progress("ci", "in_progress", "interpreting", "completed", "completed"),
    "image_generation_call": Progress("ig", "in_progress", "generating", "completed", "completed"),
    "mcp_call": Progress("mcp", "in_progress", None, "completed", "failed"),
    "mcp_list_tools": Progress("mcpl", "in_progress", None, "completed", "failed"),
}
"""By item type. Others have no events of their own."""

SILENT = Progress("item")

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


class ServerTool:
    """One item, from the call until its result."""

    def __init__(self, writer: Writer, block: ToolCallBlock) -> None:
        self.head = b""
        self.pieces: list[str] = []
        self.call_id = block.id
        self._writer = writer
        self._block = block
        self._own = _own_fields(block)
        self._type = _text(self._own.get("type")) or SAME_TOOL.get(block.name, "mcp_call")
        self._progress = PROGRESS.get(self._type, SILENT)
        self._is_asked = False
        self._is_done = False
        self._index, self._id = writer.new_item(self._progress.prefix, block.id if self._own else None)
        self._place = place(self._id, self._index)
        writer.item_added(self._index, self._announcement())
        self._tell(self._progress.started)
        if self._type == "mcp_call":
            self.head = writer.head("response.mcp_call_arguments.delta", self._place)

    def add_first(self, text: str) -> None:
        """Arguments of tools that do not stream them wait until they are whole."""
        self.pieces.append(text)

    def sign(self, event: SignatureAdded) -> None:
        """The items of hosted tools have no place for a proof."""

    def end(self) -> None:
        """The arguments are whole."""
        if self._is_asked:
            return
        self._is_asked = True
        self.head = b""
        if self._type == "mcp_call":
            arguments = JSON.encode("".join(self.pieces))
            self._writer.event("response.mcp_call_arguments.done", self._place + b',"arguments":' + arguments)
        elif self._type == "code_interpreter_call":
            code = JSON.encode(self._argument("code"))
            self._writer.event("response.code_interpreter_call_code.delta", self._place + b',"delta":' + code)
            self._writer.event("response.code_interpreter_call_code.done", self._place + b',"code":' + code)
        self._tell(self._progress.asked)

    def finish(self, result: ToolResultBlock | None) -> None:
        """The item is done, with its result or, at the end of the answer, without one."""
        if self._is_done:
            return
        self._is_done = True
        self.end()
        if result is not None:
            self._tell(self._progress.failed if result.is_error else self._progress.succeeded)
        self._writer.item_done(self._index, self._final(result))

    def _tell(self, word: str | None) -> None:
        if word is not None:
            self._writer.event(f"response.{self._type}.{word}", self._place)

    # --- the item as JSON

    def _announcement(self) -> bytes:
        if "status" in self._own:
            # A server that announces nothing has sent the whole item only: it is not done for our reader yet.
            return self._with_id({**self._own, "status": msgspec.Raw(b'"in_progress"')})
        if self._own:
            return self._with_id(self._own)
        return JSON.encode(self._item("in_progress", None))

    def _final(self, result: ToolResultBlock | None) -> bytes:
        if result is not None and result.origin is Origin.OPENAI and result.raw is not None and self._own:
            own = _fields_of(result.raw)
            if _text(own.get("type")) == self._type:
                return self._with_id(own)
        status = "incomplete" if result is None else "failed" if result.is_error else "completed"
        if self._own:
            return self._with_id({**self._own, "status": msgspec.Raw(JSON.encode(status))})
        return JSON.encode(self._item(status, result))

    def _with_id(self, own: dict[str, msgspec.Raw]) -> bytes:
        """OpenAI's own item; its id must be the same in every event, which not every gateway keeps."""
        return bytes(one_line(JSON.encode({**own, "id": self._id})))

    def _item(self, status: str, result: ToolResultBlock | None) -> Json:
        item: Json = {"id": self._id, "type": self._type, "status": status}
        match self._type:
            case "web_search_call":
                query = self._argument("query")
                sources = [{"type": "url", "url": url} for url in _urls(result)]
                item["action"] = {"type": "search", "query": query, "queries": [query], "sources": sources}
            case "file_search_call":
                item["queries"] = [self._argument("query")]
                item["results"] = None
            case "code_interpreter_call":
                logs = None if result is None else [{"type": "logs", "logs": _shown(result)}]
                item |= {"code": self._argument("code"), "container_id": "", "outputs": logs}
            case _:
                item |= self._mcp_fields(result)
        return item

    def _mcp_fields(self, result: ToolResultBlock | None) -> Json:
        has_failed = result is not None and result.is_error
        error = {"type": "mcp_tool_execution_error", "content": _shown(result)} if result and has_failed else None
        return {
            "approval_request_id": None,
            "arguments": "".join(self.pieces),
            "error": error,
            "name": self._block.name,
            "output": None if result is None or has_failed else _shown(result),
            "server_label": self._block.origin.value if self._block.origin is not None else "provider",
        }

    def _argument(self, name: str) -> str:
        """The string argument `name`; empty while there is none."""
        return _text(_fields_of("".join(self.pieces)).get(name))


def _own_fields(block: ToolCallBlock) -> dict[str, msgspec.Raw]:
    """The fields of OpenAI's own announcement; empty for any other tool."""
    return _fields_of(block.raw) if block.origin is Origin.OPENAI and block.raw is not None else {}


def _fields_of(json: str) -> dict[str, msgspec.Raw]:
    try:
        return _FIELDS.decode(json)
    except (ValueError, RecursionError):
        return {}


def _text(raw: msgspec.Raw | None) -> str:
    try:
        return _STRING.decode(raw) if raw is not None else ""
    except (ValueError, RecursionError):
        return ""


class _Entry(msgspec.Struct):
    url: str | None = None


_ENTRIES = msgspec.json.Decoder(list[_Entry])


def _urls(result: ToolResultBlock | None) -> list[str]:
    """The pages that a search found, where its result is a list of objects with URLs (Anthropic's is)."""
    try:
        entries = _ENTRIES.decode(result.content) if result is not None else []
    except (ValueError, RecursionError):
        return []
    return [entry.url for entry in entries if entry.url]


def _shown(result: ToolResultBlock) -> str:
    """A result as text: what a program printed, a JSON string's own text, or the JSON."""
    printed = _text(_fields_of(result.content).get("stdout"))
    return printed or _text(msgspec.Raw(result.content.encode())) or result.content
