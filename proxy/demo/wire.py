"""What the three APIs of the simulated model have in common: reading a request, writing an answer, writing an error."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from proxy.demo.conversation import Answer, BadRequest, Call, Delta, Prompt
from proxy.demo.schema import JsonObject

T = TypeVar("T")

encode = msgspec.json.Encoder().encode

CREATED = 1_790_000_000
"""When every answer was made: the same request gets the same bytes."""


class Writer(Protocol):
    """Writes one answer. A stream is `start`, a `delta` each, `finish`, `terminator`."""

    @property
    def content_type(self) -> str: ...

    def start(self) -> bytes: ...

    def delta(self, delta: Delta) -> bytes:
        """May be empty: an API that has no fragments of arguments writes a call with its last delta."""
        ...

    def finish(self, with_reason: bool = True) -> bytes:
        """Ends what is open; the finish reason and usage, unless `with_reason` is false."""
        ...

    def terminator(self) -> bytes: ...

    def error(self, status: int, message: str) -> bytes:
        """An error in the middle of a stream."""
        ...

    def ping(self) -> bytes: ...

    def frame(self, data: bytes) -> bytes:
        """`data`, which need not be JSON, as an event."""
        ...

    def wrong_type(self) -> bytes:
        """An event whose fields have types that the API does not allow."""
        ...

    def whole(self) -> bytes:
        """The answer to a request without `stream`."""
        ...


class Api(Protocol):
    """One wire format. `path` and `query` are the request's."""

    def read(self, body: bytes, path: Mapping[str, str], query: Mapping[str, str]) -> Prompt:
        """Raises BadRequest as the real API would."""
        ...

    def writer(self, answer: Answer, query: Mapping[str, str]) -> Writer: ...

    def token_count(self, tokens: int) -> bytes:
        """The answer of the API's own token counting."""
        ...

    def error_body(self, status: int, message: str, retry_after_s: float | None) -> bytes: ...

    def error_headers(self, status: int, retry_after_s: float | None) -> dict[str, str]: ...


def read_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The request's body. Raises BadRequest."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise BadRequest(f"We could not read the JSON body of your request: {fault}") from fault


def required(value: T | None, name: str) -> T:
    """`value`, which the API requires. Raises BadRequest."""
    if value is None:
        raise BadRequest(f"Missing required parameter: '{name}'.")
    return value


def arguments_of(call: Call) -> JsonObject | None:
    """The arguments of a call as an object; `None` when they are cut off or broken."""
    try:
        return _OBJECT_DECODER.decode("".join(call.pieces) or "{}")
    except msgspec.DecodeError:
        return None


_OBJECT_DECODER = msgspec.json.Decoder(JsonObject)


def sse(value: object, event: str = "", line_end: str = "\n") -> bytes:
    """One server-sent event with `value` as JSON."""
    return sse_data(encode(value), event, line_end)


def sse_data(data: bytes, event: str = "", line_end: str = "\n") -> bytes:
    name = f"event: {event}{line_end}".encode() if event else b""
    end = line_end.encode()
    return b"%bdata: %b%b%b" % (name, data, end, end)


def retry_headers(retry_after_s: float | None) -> dict[str, str]:
    return {} if retry_after_s is None else {"retry-after": f"{retry_after_s:g}"}
