"""Anthropic's Messages API as an upstream: `api.anthropic.com`, and servers that speak its API."""

import re
from collections.abc import Mapping

from proxy.framing.sse import SseSplitter
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.anthropic.errors import decode_error
from proxy.providers.anthropic.native import splice_request
from proxy.providers.anthropic.request import encode_request
from proxy.providers.anthropic.stream import AnthropicDecoder, decode_completion
from proxy.providers.base import NativeCall, Target, UpstreamRequest

OAUTH_KEY = "sk-ant-oat"
"""How access tokens of a Claude subscription begin; the API takes them only as a bearer."""

_TERMINATOR = re.compile(rb'^event: ?message_stop\r?$|[{,] ?"type": ?"message_stop"', re.MULTILINE)


class AnthropicProvider:
    """Implements `providers.base.Provider`."""

    kind = "anthropic"
    native_dialect = "anthropic"
    stream_content_types = ("text/event-stream",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        return splice_request(call, target)

    def decoder(self, target: Target) -> AnthropicDecoder:
        return AnthropicDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return SseSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        return _TERMINATOR.search(data) is not None

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        return decode_completion(body, target)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        if key.startswith(OAUTH_KEY):
            return {"authorization": f"Bearer {key}"}
        return {"x-api-key": key}
