"""Gemini's generateContent API, as an upstream."""

from collections.abc import Mapping

from proxy.framing.json_array import JsonArraySplitter
from proxy.framing.sse import SseSplitter
from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.gemini.errors import decode_error
from proxy.providers.gemini.native import splice_request
from proxy.providers.gemini.request import encode_request
from proxy.providers.gemini.stream import BLANK, GeminiDecoder, decode_completion


class GeminiSplitter:
    """Cuts either framing at the end of its last whole response; recognised by its first byte, as in `GeminiDecoder`."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._splitter: Splitter | None = None
        self._start = b""

    def feed(self, data: bytes) -> bytes:
        splitter = self._splitter
        if splitter is None:
            data, self._start = self._start + data, b""
            first = data.lstrip(BLANK)[:1]
            if not first:
                self._start = data[: self._max_frame_bytes]
                return b""
            splitter = (JsonArraySplitter if first in (b"[", b"{") else SseSplitter)(self._max_frame_bytes)
            self._splitter = splitter
        return splitter.feed(data)

    def finish(self) -> bytes:
        return self._start if self._splitter is None else self._splitter.finish()


class Gemini:
    """See `providers.base.Provider`."""

    kind = "gemini"
    native_dialect: str | None = "gemini"
    stream_content_types: tuple[str, ...] = ("text/event-stream",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        return splice_request(call, target)

    def decoder(self, target: Target) -> StreamDecoder:
        return GeminiDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return GeminiSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        # In a text the quotes would be escaped, so the words can only be field names.
        return b'"finishReason"' in data or b'"blockReason"' in data

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        return decode_completion(body, target)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"x-goog-api-key": key}
