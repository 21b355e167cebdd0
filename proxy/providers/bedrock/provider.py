"""The provider kind `bedrock`: models on Amazon Bedrock by the Converse API. No caller speaks it.

The base URL names the region: `https://bedrock-runtime.REGION.amazonaws.com`. With an API key the key is a bearer;
without one, requests are signed (`proxy.signing`).
"""

from collections.abc import Mapping

from proxy.framing.aws_eventstream import AwsEventSplitter
from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.bedrock.errors import decode_error
from proxy.providers.bedrock.request import encode_request
from proxy.providers.bedrock.stream import BedrockDecoder, decode_completion


class Bedrock:
    """See `providers.base.Provider`."""

    kind = "bedrock"
    native_dialect: str | None = None
    stream_content_types: tuple[str, ...] = ("application/vnd.amazon.eventstream",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        raise AssertionError("no dialect is native to this API")

    def decoder(self, target: Target) -> StreamDecoder:
        return BedrockDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return AwsEventSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        return b":event-type\x07\x00\x0bmessageStop" in data

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        return decode_completion(body, target)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}
