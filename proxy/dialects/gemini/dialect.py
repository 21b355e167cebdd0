"""The dialect `gemini`: callers of Google's generateContent API.

The model and the verb stand in the URL. A model may hold slashes and colons, so the last colon counts; one that arrives
percent-encoded is decoded before routes are matched. Requests are read by `request`, streams written by `stream`, whole
answers by `completion`. Reference: ai.google.dev/api/generate-content; the parsers of google-genai 3.4.0 and 1.75.0.
"""

from collections.abc import Mapping

import msgspec

from proxy.dialects.base import CallParams, Envelope, Operation, Route, StreamContext
from proxy.dialects.gemini import errors
from proxy.dialects.gemini.completion import encode_completion
from proxy.dialects.gemini.request import decode_envelope, decode_request
from proxy.dialects.gemini.stream import GeminiEncoder
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import ProxyError
from proxy.hub.request import ChatRequest

_PATHS = (
    "/{version:v1beta|v1|v1alpha}/{collection:models|tunedModels}/{model:.+}",
    "/gemini/{version:v1beta|v1|v1alpha}/{collection:models|tunedModels}/{model:.+}",
)


class GeminiDialect:
    """See `dialects.base.Dialect`."""

    name = "gemini"
    routes = (
        *(Route("POST", path + ":{verb:generateContent|streamGenerateContent}") for path in _PATHS),
        *(Route("POST", path + ":{verb:countTokens}", Operation.COUNT_TOKENS) for path in _PATHS),
    )
    content_type = "text/event-stream; charset=utf-8"
    stream_headers: Mapping[str, str] = {}
    request_id_header = "x-goog-request-id"

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body, params)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, params)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return GeminiEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def encode_token_count(self, count: int) -> bytes:
        return msgspec.json.encode({"totalTokens": count})

    def status(self, error: ProxyError) -> int:
        return errors.status(error)

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return errors.error_body(error)
