"""One attempt: from a request to an upstream that has answered 200, or to the error that says why not.

Everything here happens before the first byte is written to the caller, so every fault is still an exception.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from proxy.credentials import upstream_headers
from proxy.dialects.base import CallParams, Dialect, Envelope, Operation
from proxy.hub.codec import StreamDecoder
from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.hub.events import StreamError
from proxy.hub.request import ChatRequest, Message, Role, TextPart
from proxy.hub.whole import WholeDecoder
from proxy.providers.base import NativeCall, Target, UpstreamRequest, for_request
from proxy.record import CallRecord, Phase
from proxy.routing import ResolvedTarget
from proxy.upstream import Exchange, UpstreamPool

JSON_TYPE = "application/json"
CREDENTIAL_REFUSED = "The provider refused the proxy's credential."
MAX_ERROR_BYTES = 1024 * 1024
"""Of an upstream's error body; more is not read."""


class Verbatim(msgspec.Struct, frozen=True):
    """An upstream's own error answer, for a caller who speaks its API."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RefusedByUpstream(UpstreamError):
    """The upstream answered with an error status. `verbatim` is set when the caller may have its very bytes."""

    verbatim: Verbatim | None = None


class Call:
    """What the caller asked, read as far as needed: the full request is decoded only for a target of another API."""

    __slots__ = ("_chat", "body", "dialect", "envelope", "headers", "operation", "params")

    def __init__(
        self, dialect: Dialect, operation: Operation, body: bytes, params: CallParams, envelope: Envelope
    ) -> None:
        self.dialect = dialect
        self.operation = operation
        self.body = body
        self.params = params
        self.envelope = envelope
        self._chat: ChatRequest | None = None

    @property
    def chat(self) -> ChatRequest:
        """The request in canonical form. Raises CallerError for what the dialect does not allow."""
        if self._chat is None:
            self._chat = self.dialect.decode_request(self.body, self.params)
        return self._chat

    def let_go(self) -> None:
        """Keep neither body nor messages any longer: nobody will be asked again. They can be as large as megabytes."""
        self.body = b""
        self._chat = None

    def is_native(self, target: ResolvedTarget) -> bool:
        """Whether caller and target speak the same API, so that bytes pass untouched."""
        return target.provider.native_dialect == self.dialect.name


MAX_WHOLE_BYTES = 64 * 1024 * 1024
"""Of a whole (not streamed) upstream answer."""


class Opened(msgspec.Struct, frozen=True):
    """An upstream that has answered 200 and waits to push its body."""

    exchange: Exchange
    target: ResolvedTarget
    is_native: bool
    answering: Target
    """`target.target` with what its decoder must know of this request."""
    media_type: str
    """Of the body, lower-case, without parameters; empty when none was named."""
    is_whole: bool
    """Whether the body is one JSON answer, whatever was asked for."""

    @property
    def is_array(self) -> bool:
        """Whether the body is a stream that is one JSON array: its last event cannot be told from those before it."""
        return self.media_type == JSON_TYPE and not self.is_whole

    def decoder(self) -> StreamDecoder:
        """The reader of this body."""
        provider, target = self.target.provider, self.answering
        if self.is_whole:
            return WholeDecoder(lambda body: provider.decode_completion(body, target), MAX_WHOLE_BYTES)
        return provider.decoder(target)


class Asking(msgspec.Struct, frozen=True):
    """How an attempt differs from the plain request."""

    inject_usage: bool = False
    """Ask for usage in the stream although the caller did not."""
    joins: bool = False
    """The answer goes on with one that the caller has a part of: it is decoded, never passed through."""
    prefill: str | None = None
    """The text that the answer is to begin with."""
    trace_headers: Mapping[str, str] = {}
    """What makes the upstream's work a part of the caller's trace."""


def build_request(call: Call, target: ResolvedTarget, asking: Asking) -> UpstreamRequest:
    """The request for `target`. Raises CallerError for what must not be lost and cannot be carried."""
    if asking.prefill is not None:
        beginning = Message(Role.ASSISTANT, (TextPart(asking.prefill),))
        chat = msgspec.structs.replace(call.chat, messages=(*call.chat.messages, beginning))
        return target.provider.encode_request(chat, target.target)
    if not call.is_native(target):
        return target.provider.encode_request(call.chat, target.target)
    native = NativeCall(
        body=call.body,
        stream=call.envelope.stream,
        operation=call.operation.value,
        path=call.params.path,
        query=call.params.query,
        headers=call.params.headers,
        inject_usage=asking.inject_usage,
    )
    return target.provider.splice_request(native, target.target)


async def attempt(call: Call, target: ResolvedTarget, pool: UpstreamPool, record: CallRecord, asking: Asking) -> Opened:
    """One target, asked once. Raises UpstreamError for whatever is no 200."""
    record.provider = target.target.provider
    record.model = target.target.model
    request = build_request(call, target, asking)
    is_native = call.is_native(target) and asking.prefill is None
    headers = upstream_headers(target, request.headers, call.params.headers, call.params.query, is_native=is_native)
    headers.update(asking.trace_headers)
    headers |= await signed_headers(target, request.method, request.path, headers, request.body)
    timeouts = target.timeouts
    left_s = timeouts.total_s - (asyncio.get_running_loop().time() - record.started_at)
    # A whole answer has its headers only when it is complete: then the total deadline is the one that means something.
    answers_whole = is_native and not call.envelope.stream
    exchange = await pool.send(
        target.endpoint,
        request.method,
        request.path,
        headers,
        request.body,
        connect_timeout_s=timeouts.connect_s,
        headers_timeout_s=max(left_s if answers_whole else min(timeouts.headers_s, left_s), 0.0),
        on_connecting=record.note_connecting,
    )
    record.phase = Phase.ANSWERING
    record.upstream_status = exchange.status
    record.connect_s = exchange.connect_s
    record.headers_s = exchange.headers_s
    record.dropped = request.dropped
    if exchange.status == 200:
        answering = target.target if is_native else for_request(target.target, call.chat)
        media_type = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        streams = (*target.provider.stream_content_types, request.stream_content_type)
        is_whole = media_type == JSON_TYPE and media_type not in streams
        return Opened(exchange, target, is_native, answering, media_type, is_whole)
    raise await _read_refusal(exchange, target, is_native=is_native)


async def signed_headers(
    target: ResolvedTarget, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Mapping[str, str]:
    """What proves this very request, for a target whose credential is more than a key. Raises UpstreamError.

    `path` follows the endpoint's `base_path`, as it goes over the wire.
    """
    signer, endpoint = target.credential.signer, target.endpoint
    if signer is None:
        return {}
    url = f"{endpoint.scheme}://{endpoint.host_header}{endpoint.base_path}{path}"
    return await signer.authorize(method, url, headers, body)


async def _read_refusal(exchange: Exchange, target: ResolvedTarget, *, is_native: bool) -> UpstreamError:
    status = exchange.status
    if status < 400:
        exchange.abort()
        what = "redirected, which is not followed" if 300 <= status < 400 else f"answered {status} instead of 200"
        return UpstreamError(ErrorKind.UPSTREAM_FAILED, f"The provider {what}.", status=status, code="bad_status")
    try:
        # The status alone decides what follows: a body that breaks off or does not come only explains it.
        async with asyncio.timeout(target.timeouts.idle_s):
            body = await exchange.read_whole(MAX_ERROR_BYTES)
    except (UpstreamError, TimeoutError):
        body = b""
    error = target.provider.decode_error(status, exchange.headers, body)
    retry_after_s = error.retry_after_s
    if retry_after_s is None:
        retry_after_s = seconds_until_date(exchange.headers.get("retry-after", ""), exchange.headers.get("date", ""))
    refused = RefusedByUpstream(
        error.kind,
        error.message,
        status=status,
        param=error.param,
        code=error.code,
        retry_after_s=retry_after_s,
        headers=error.headers,
    )
    key = target.credential_value()
    if names_credential(error.message, key) or names_credential(body.decode("utf-8", "replace"), key):
        refused.message = CREDENTIAL_REFUSED
    elif is_native and body:
        refused.verbatim = Verbatim(status, exchange.headers, body)
    return refused


def seconds_until_date(retry_after: str, date: str) -> float | None:
    """The seconds that a `retry-after` in its form of a date means; `None` when it is none.

    Counted from the answer's own `date` where it has one, so that the two machines' clocks need not agree.
    """
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        now = datetime.now(UTC)
    return max((_in_utc(at) - _in_utc(now)).total_seconds(), 0.0)


def _in_utc(moment: datetime) -> datetime:
    """HTTP's dates are of UTC, also where `-0000` says that their zone is not known."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def names_credential(text: str, key: str | None) -> bool:
    """Whether `text` shows a part of the configured key; vendors quote it masked, with its beginning and end."""
    if key is None or len(key) < 12:
        return key is not None and key in text
    return key[:10] in text or key[-4:] in text


def tellable(key: Callable[[], str | None], error: StreamError, said: bytes) -> StreamError:
    """`error` without the configured key, which some vendors quote; `said`: its bytes, where these go to the caller."""
    text = f"{error.message} {error.code or ''} {said.decode('utf-8', 'replace')}"
    if not names_credential(text, key()):
        return error
    return StreamError(error.kind, CREDENTIAL_REFUSED)
