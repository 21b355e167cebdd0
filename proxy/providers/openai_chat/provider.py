"""The provider kind `openai_chat`: OpenAI's Chat Completions, and everyone who is compatible with it.

Requests are written by `request` (from other dialects) and `native` (from callers of this API), streams are read by
`stream`, faults by `errors`. What a vendor wants different in a request is named in `providers.quirks`; reading its
answers needs no quirk. Reference: platform.openai.com/docs/api-reference/chat; types of openai-python 3.54.0.
"""

import re
from collections.abc import Mapping

from proxy.framing.sse import SseSplitter
from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.openai_chat.errors import decode_error
from proxy.providers.openai_chat.native import splice_request
from proxy.providers.openai_chat.request import encode_request
from proxy.providers.openai_chat.stream import ChatDecoder

_TERMINATOR = re.compile(rb"(?m)^data:[ \t]*\[DONE\]")


class OpenAIChat:
    """See `providers.base.Provider`."""

    kind = "openai_chat"
    native_dialect = "openai_chat"
    stream_content_types = ("text/event-stream",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        return splice_request(call, target)

    def decoder(self, target: Target) -> StreamDecoder:
        return ChatDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return SseSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        return _TERMINATOR.search(data) is not None

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        completion = fold(ChatDecoder(target).read_whole(body))
        if completion.error is not None:
            error = completion.error
            raise UpstreamError(error.kind, error.message, code=error.code)
        return completion

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}
