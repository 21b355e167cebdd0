"""The provider kind `ollama`: a local Ollama server, or its cloud, by the native API."""

import re
from collections.abc import Mapping

from proxy.framing.ndjson import NdjsonSplitter
from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.ollama.errors import decode_error
from proxy.providers.ollama.request import encode_request, splice_request
from proxy.providers.ollama.stream import OllamaDecoder, decode_completion

_TERMINATOR = re.compile(rb'"done": ?true')


class Ollama:
    """See `providers.base.Provider`."""

    kind = "ollama"
    native_dialect: str | None = "ollama"
    stream_content_types: tuple[str, ...] = ("application/x-ndjson",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        return splice_request(call, target)

    def decoder(self, target: Target) -> StreamDecoder:
        return OllamaDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return NdjsonSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        # In a text the quotes would be escaped, so the word can only be a field's name.
        return _TERMINATOR.search(data) is not None

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        return decode_completion(body, target)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}
