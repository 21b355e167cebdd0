"""What a dialect is: the wire format that a caller speaks. Stateless; one instance each in `DIALECTS`.

A dialect reads requests and writes answers. It never sees an upstream, a clock or a socket: ids and times come in
through `StreamContext`, so its output is the same bytes for the same events.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import ProxyError
from proxy.hub.request import ChatRequest, ResponseFormat


class Operation(StrEnum):
    """What a route does; the server has one handler for each."""

    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"
    RESUME = "resume"
    """A client asks whether an answer of its chat is still running: 204, there is nothing to go on with."""


class Route(msgspec.Struct, frozen=True):
    """`path` in aiohttp's pattern syntax: `/v1/models/{model}:generateContent`."""

    method: str
    path: str
    operation: Operation = Operation.GENERATE


class CallParams(msgspec.Struct, frozen=True):
    """Everything of a request that is not its body. Header names are lower-case."""

    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Envelope(msgspec.Struct, frozen=True):
    """The few facts that routing needs, read without decoding the rest of the body."""

    model: str | None
    """`None`: the dialect allows a request without a model; the configured default is used."""
    stream: bool
    include_usage: bool = True
    """Whether the caller's stream shows usage (Chat Completions' `stream_options.include_usage`)."""
    variant: str = ""
    """Which of the dialect's stream formats the caller asked for, or what of its request the stream must repeat (a
    message's or run's id); copied into `StreamContext.variant`."""
    content_type: str | None = None
    """Of this caller's stream, where it is not the dialect's own `content_type`."""


class StreamContext(msgspec.Struct, frozen=True):
    """What an encoder cannot know by itself."""

    id: str
    """Random, 24 characters of [0-9a-z]; the dialect adds its own prefix (`chatcmpl-`, `msg_`)."""
    model: str
    """Used when the provider names no model."""
    created: int
    """Unix time in seconds."""
    include_usage: bool = True
    response_format: ResponseFormat | None = None
    resume_id: str | None = None
    """When the stream can be resumed: frames bear ids of this stream."""
    variant: str = ""
    """`Envelope.variant`: which of the dialect's stream formats to write (Gemini without `alt=sse`), or what to repeat."""
    is_relayed: bool = False
    """The provider's own frames go to the caller: this encoder writes only an error ending, after some of them.
    A format with brackets around the stream (Gemini's JSON array) must know that it is inside them."""


class Dialect(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def routes(self) -> tuple[Route, ...]: ...

    @property
    def content_type(self) -> str:
        """Of a stream; whole answers and errors are `application/json`."""
        ...

    @property
    def stream_headers(self) -> Mapping[str, str]:
        """Response headers of a stream that the dialect's clients look for, beyond those of every stream."""
        ...

    @property
    def request_id_header(self) -> str:
        """Where clients of this dialect look for the request id, beside `x-request-id`."""
        ...

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        """Raises CallerError for a body that is no JSON object or whose model or stream has the wrong type."""
        ...

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        """Raises CallerError naming the field, what was expected and what came. The model may be empty: see `Envelope`."""
        ...

    def encoder(self, context: StreamContext) -> StreamEncoder: ...

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        """The whole answer as JSON, for callers with `stream: false`. `completion.error` is None."""
        ...

    def status(self, error: ProxyError) -> int:
        """The HTTP status of an error answered before the stream began."""
        ...

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body of an error answered before the stream began."""
        ...


@runtime_checkable
class BreaksOnError(Protocol):
    """A dialect whose stream has no way to say an error: a failed one must break the caller's connection."""

    @property
    def breaks_on_error(self) -> bool: ...


@runtime_checkable
class TakesComments(Protocol):
    """A dialect whose readers skip the comments of server-sent events: what is no part of its answers fits in there."""

    @property
    def takes_comments(self) -> bool: ...


@runtime_checkable
class CountsTokens(Protocol):
    """A dialect with a route of `Operation.COUNT_TOKENS`."""

    def encode_token_count(self, count: int) -> bytes:
        """The JSON answer for `count` input tokens."""
        ...
