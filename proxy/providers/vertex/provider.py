"""The provider kind `vertex`: Gemini models by Gemini's API and Claude models by Anthropic's, on Google Cloud.

    publishers/google/models/{model}:streamGenerateContent?alt=sse      a Gemini request as it is
    publishers/anthropic/models/{model}:streamRawPredict                 an Anthropic one: the model stands in the path, the
                                                                         version in the body
    endpoints/{number}:streamGenerateContent?alt=sse                     a tuned Gemini

The base URL names project and location: `https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION`.
With an access token as key the token is a bearer; without a key, the application default credentials are used
(`proxy.signing`). A provider has one native dialect and this one would need two, so every answer is converted.

Sources: cloud.google.com "Generative AI on Vertex AI", REST; anthropic SDK 2.12 `lib/vertex/_client.py`; google-genai 3.4.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Provider, Target, UpstreamRequest
from proxy.providers.request_parts import cannot

ANTHROPIC_VERSION = "vertex-2023-10-16"
"""Of the body; the header's version is not understood here. Anthropic's SDK 2.12 says 2026-10-21, which refuses
`temperature`, `top_p` and `top_k` for every model; this one refuses them only where the model does."""

API_KEY = ("AIza", "AQ.")
"""How API keys of Google Cloud begin (express mode). Anything else is an access token."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,199}")
_PREFIX = re.compile(r"(?:publishers/)?(google|anthropic)/(?:models/)?")
_TUNED = re.compile(r"endpoints/\d{1,40}")
_CLAUDE_ERROR = re.compile(rb'"type"\s*:\s*"error"')

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Vertex:
    """See `providers.base.Provider`. Made of the two kinds whose APIs it serves."""

    kind = "vertex"
    native_dialect: str | None = None
    stream_content_types: tuple[str, ...] = ("text/event-stream",)

    def __init__(self, gemini: Provider, anthropic: Provider) -> None:
        self._gemini = gemini
        self._anthropic = anthropic

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        name = _bare_name(target.model)
        bare = msgspec.structs.replace(target, model=name)
        if is_claude(target.model):
            return _as_raw_predict(self._anthropic.encode_request(request, bare), name)
        path = name if _TUNED.fullmatch(name) else f"publishers/google/models/{quote(name, safe='@')}"
        written = self._gemini.encode_request(request, bare)
        return msgspec.structs.replace(written, path=f"/{path}:streamGenerateContent?alt=sse")

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        raise AssertionError("no dialect is native to this API")

    def decoder(self, target: Target) -> StreamDecoder:
        return self._of(target).decoder(target)

    def splitter(self, target: Target) -> Splitter:
        return self._of(target).splitter(target)

    def is_terminator(self, data: bytes) -> bool:
        return self._gemini.is_terminator(data) or self._anthropic.is_terminator(data)

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        return self._of(target).decode_completion(body, target)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        # Google refuses in its own words, whatever the model; only what reached a Claude is answered in Anthropic's.
        kind = self._anthropic if _CLAUDE_ERROR.search(body) is not None else self._gemini
        return kind.decode_error(status, headers, body)

    def auth_headers(self, key: str) -> Mapping[str, str]:
        if key.startswith(API_KEY):
            return {"x-goog-api-key": key}
        return {"authorization": f"Bearer {key}"}

    def _of(self, target: Target) -> Provider:
        return self._anthropic if is_claude(target.model) else self._gemini


def is_claude(model: str) -> bool:
    """By the publisher or the name."""
    return "anthropic/" in model or _without_publisher(model).startswith("claude")


def _without_publisher(model: str) -> str:
    return _PREFIX.sub("", model, count=1) if _PREFIX.match(model) else model


def _bare_name(model: str) -> str:
    """The name without its publisher. Raises CallerError for one that could leave its place in the path."""
    name = _without_publisher(model)
    if _NAME.fullmatch(name) is None and _TUNED.fullmatch(name) is None:
        raise cannot("model", f"expected a model name of letters, digits and '._@-', got {model[:200]!r}")
    return name


def _as_raw_predict(written: UpstreamRequest, name: str) -> UpstreamRequest:
    fields = _FIELDS.decode(written.body)
    del fields["model"]
    fields["anthropic_version"] = msgspec.Raw(msgspec.json.encode(ANTHROPIC_VERSION))
    return msgspec.structs.replace(
        written,
        path=f"/publishers/anthropic/models/{quote(name, safe='@')}:streamRawPredict",
        body=msgspec.json.encode(fields),
        headers={key: value for key, value in written.headers.items() if key != "anthropic-version"},
    )
