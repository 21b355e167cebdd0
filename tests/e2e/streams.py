"""Streams for tests of the relay's promises: long, slow, silent; in the formats of the providers that send them."""

import msgspec


def chat_chunk(text: str) -> bytes:
    """One Chat Completions text delta as a frame."""
    chunk = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


CHAT_END = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def chat_stream(count: int, text: str = "word ") -> bytes:
    """A complete Chat Completions stream of `count` text deltas."""
    return chat_chunk(text) * count + CHAT_END
