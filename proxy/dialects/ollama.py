"""The dialect `ollama`: callers of Ollama's own API, `/api/chat` and `/api/generate`.

Requests are read by `ollama_request`, streams and whole answers written by `ollama_stream`. Callers give the host as
`…/ollama`. Reference: Ollama's api.md; the parser of ollama-python 0.6.3.
"""

from collections.abc import Mapping

import msgspec

from proxy.dialects.base import CallParams, Envelope, Route, StreamContext
from proxy.dialects.ollama_completion import encode_completion
from proxy.dialects.ollama_request import GENERATE, decode_envelope, decode_request
from proxy.dialects.ollama_stream import OllamaEncoder
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import HTTP_STATUS, ProxyError
from proxy.hub.request import ChatRequest


class OllamaDialect:
    """See `dialects.base.Dialect`."""

    name = "ollama"
    routes = (Route("POST", f"/ollama/api/{{method:chat|{GENERATE}}}"),)
    content_type = "application/x-ndjson"
    stream_headers: Mapping[str, str] = {}
    request_id_header = "x-request-id"

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body, params)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, params)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return OllamaEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def status(self, error: ProxyError) -> int:
        return HTTP_STATUS[error.kind]

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return msgspec.json.encode({"error": error.message})
