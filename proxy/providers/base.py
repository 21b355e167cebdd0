"""What a provider kind is: the API family that an upstream speaks. Stateless; one instance each in `PROVIDERS`.

A provider kind writes requests and reads answers. It never sees a dialect, a clock or a socket.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion
from proxy.hub.errors import UpstreamError
from proxy.hub.events import ToolKind
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.quirks import Quirks


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: a configured provider and the model name that it knows."""

    provider: str
    """The provider's name in the configuration."""
    model: str
    quirks: Quirks = Quirks()
    max_tokens: int | None = None
    """Sent where the API requires a limit and the caller gave none (Anthropic). `None`: the kind's own default."""
    max_frame_bytes: int = 16 * 1024 * 1024
    custom_tools: frozenset[str] = frozenset()
    """Names of the CUSTOM tools of the request being answered (`for_request`). An API without such tools gets them as
    functions of one text; its decoder turns their calls back into free text."""


def for_request(target: Target, request: ChatRequest) -> Target:
    """`target` with what a decoder must know of the request that it answers."""
    names = frozenset(tool.name for tool in request.tools if tool.kind is ToolKind.CUSTOM)
    return msgspec.structs.replace(target, custom_tools=names) if names else target


class UpstreamRequest(msgspec.Struct, frozen=True):
    """What is sent. `path` is appended to the provider's `base_url`; credentials are added later."""

    path: str
    body: bytes
    headers: Mapping[str, str] = {}
    """Lower-case names, without credentials, host and length."""
    dropped: tuple[str, ...] = ()
    """What the target cannot carry, as paths in the caller's words (`seed`, `messages[2].parts[0]: reasoning`)."""
    method: str = "POST"
    stream_content_type: str | None = None
    """Media type of the stream that this request asks for, where it is none of `Provider.stream_content_types`:
    a native caller's own choice of format (Gemini's JSON array)."""


class NativeCall(msgspec.Struct, frozen=True):
    """A request of a caller who speaks the provider's own API: relayed with as little change as possible."""

    body: bytes
    stream: bool
    operation: str
    """`dialects.base.Operation` value: `generate`, `count_tokens`."""
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """The caller's headers, lower-case names."""
    inject_usage: bool = False
    """Ask for usage in the stream although the caller did not (`usage: inject`)."""


class Provider(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def native_dialect(self) -> str | None:
        """The dialect whose callers get this provider's bytes untouched."""
        ...

    @property
    def stream_content_types(self) -> tuple[str, ...]:
        """Media types of a streamed answer, lower-case, without parameters."""
        ...

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """The request in this API, always asking for a stream that reports usage.

        Raises CallerError for what must not be lost and cannot be carried (audio to Anthropic, `n` > 1).
        """
        ...

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        """The caller's own body with the target's model in it; every other byte of every field stays."""
        ...

    def decoder(self, target: Target) -> StreamDecoder: ...

    def splitter(self, target: Target) -> Splitter: ...

    def is_terminator(self, data: bytes) -> bool:
        """Whether raw stream bytes hold the API's success terminator. Used only when the decoder gave up."""
        ...

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        """A whole answer (`stream: false`, or an upstream that ignores `stream: true`).

        Raises UpstreamError for an error object in a 200, UpstreamProtocolError for anything else that is no answer.
        """
        ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """What a status of 400 or more means. Never raises; unreadable bodies keep the status's own meaning.

        Passes on `retry-after` and rate-limit headers. The message is the provider's own text when it is JSON of the
        API's shape, shortened to 2,000 characters; never other peer bytes.
        """
        ...

    def auth_headers(self, key: str) -> Mapping[str, str]:
        """How this API takes a key."""
        ...
