"""A whole answer of Ollama's API, as callers with `"stream": false` get it: one object, the last line with everything in it."""

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.ollama_request import GENERATE
from proxy.dialects.ollama_stream import Json, broken_call_message, created_at, end_fields
from proxy.dialects.open_calls import arguments_json
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import (
    FinishReason,
    MediaBlock,
    ReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
)


def encode_completion(completion: Completion, context: StreamContext) -> bytes:
    """See `Dialect.encode_completion`. Raises UpstreamProtocolError for a call whose arguments are no JSON."""
    reason = completion.end.reason if completion.end is not None else FinishReason.OTHER
    has_refused = any(isinstance(done.block, RefusalBlock) for done in completion.blocks)
    end = end_fields(reason, completion.usage, has_refused=has_refused)
    texts: list[str] = []
    thinking: list[str] = []
    images: list[str] = []
    calls: list[Json] = []
    for done in completion.blocks:
        match done.block:
            case TextBlock() | RefusalBlock():
                texts.append(done.text)
            case ReasoningBlock():
                thinking.append(done.text)
            case MediaBlock(media_type, data) if data is not None and media_type.startswith("image/"):
                images.append(data)
            case ToolCallBlock(kind=kind) as block if kind is not ToolKind.SERVER:
                arguments = arguments_json(block, done.text)
                if arguments is not None:
                    calls.append(_call(block, arguments, len(calls)))
                elif end["done_reason"] == "stop":
                    raise UpstreamProtocolError(broken_call_message(block.name))
            case _:
                pass
    head: Json = {"model": completion.model or context.model, "created_at": created_at(context)}
    rare: Json = {"thinking": "".join(thinking), "tool_calls": calls}
    if context.variant == GENERATE:
        rare["image"] = images[0] if images else ""
        message: Json = {"response": "".join(texts), **_given(rare)}
    else:
        rare["images"] = images
        message = {"message": {"role": "assistant", "content": "".join(texts), **_given(rare)}}
    return msgspec.json.encode({**head, **message, **end})


def _call(block: ToolCallBlock, arguments: bytes, index: int) -> Json:
    arguments = arguments if arguments[:1] == b"{" else b'{"input":%b}' % arguments
    return {"id": block.id, "function": {"index": index, "name": block.name, "arguments": msgspec.Raw(arguments)}}


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}
