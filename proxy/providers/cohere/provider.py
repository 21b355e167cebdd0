"""The provider kind `cohere`: the v2 chat API. No caller speaks it, so every answer is converted."""

import re
from collections.abc import Mapping

from proxy.framing.sse import SseSplitter
from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.cohere.errors import decode_error
from proxy.providers.cohere.request import encode_request
from proxy.providers.cohere.stream import CohereDecoder, decode_completion

_TERMINATOR = re.compile(rb'"type": ?"message-end"')


class Cohere:
    """See `providers.base.Provider`."""

    kind = "cohere"
    native_dialect: str | None = None
    stream_content_types: tuple[str, ...] = ("text/event-stream",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        raise AssertionError("no dialect is native to this API")

    def decoder(self, target: Target) -> StreamDecoder:
        return CohereDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return SseSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        # In a text the quotes would be escaped, so the word can only be a field's.
        return _TERMINATOR.search(data) is not None

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        return decode_completion(body, target)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}
