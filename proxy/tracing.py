"""The trace that a call belongs to: read from the caller, passed upstream, shown in log and metrics.

`traceparent` and `tracestate` are W3C Trace Context, level 1. Without tracing of our own (`traces.otlp_endpoint` absent)
the proxy takes no part in a trace and hands a valid context on as it came; with it (`proxy.tracing_otel`, the only module
that imports OpenTelemetry) the upstream gets the span of its attempt as parent. `baggage` is never handed on: it holds
what other services wanted each other to know, and no vendor.
"""

import re
from collections.abc import Mapping
from typing import Protocol

import msgspec

from proxy.config.settings import Traces
from proxy.hub.completion import Completion
from proxy.hub.continuation import Delivered
from proxy.hub.errors import ConfigError
from proxy.hub.request import ChatRequest
from proxy.record import CallRecord
from proxy.routing import ResolvedTarget

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

MAX_STATE_CHARACTERS = 512
"""What has to be handed on at least; a longer one may be dropped whole, and is."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_INVALID_VERSION, _FIRST_VERSION = "ff", "00"
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1

NO_HEADERS: Mapping[str, str] = {}


class TraceContext(msgspec.Struct, frozen=True):
    """What a caller said of its trace."""

    trace_id: str
    span_id: str
    is_sampled: bool
    """Somebody keeps this trace."""
    state: str
    headers: Mapping[str, str]
    """To hand on as it came."""


def read_context(headers: Mapping[str, str]) -> TraceContext | None:
    """The caller's trace by its headers (lower-case names); `None` when it names none, or nothing that is one."""
    found = _TRACEPARENT.fullmatch(headers.get(TRACEPARENT, ""))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    is_odd = version == _INVALID_VERSION or (version == _FIRST_VERSION and more)
    if is_odd or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    state = headers.get(TRACESTATE, "")
    if len(state) > MAX_STATE_CHARACTERS or not (state.isascii() and state.isprintable()):
        state = ""
    handed_on = {TRACEPARENT: found[0], **({TRACESTATE: state} if state else {})}
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), state, handed_on)


class CallTrace(Protocol):
    """The spans of one call. Nothing here waits or raises."""

    content_bytes: int
    """How much of prompt and answer is wanted each; mostly 0."""

    def begin_attempt(self, target: ResolvedTarget, *, is_joining: bool) -> Mapping[str, str]:
        """An upstream is asked: the headers that it gets for its trace."""
        ...

    def end_attempt(self, fault: BaseException | None) -> None:
        """The attempt is over: by `fault`, or as the record says."""
        ...

    def show(self, request: ChatRequest, answer: Delivered | Completion) -> None:
        """What was said, for the attempt under way; only with `content_bytes`."""
        ...

    def end(self) -> None:
        """The call is over, and its record complete."""
        ...


class Untraced:
    """No spans: the caller's context is handed on."""

    content_bytes = 0

    def __init__(self, context: TraceContext | None) -> None:
        self._headers = context.headers if context is not None else NO_HEADERS

    def begin_attempt(self, target: ResolvedTarget, *, is_joining: bool) -> Mapping[str, str]:
        return self._headers

    def end_attempt(self, fault: BaseException | None) -> None:
        return

    def show(self, request: ChatRequest, answer: Delivered | Completion) -> None:
        return

    def end(self) -> None:
        return


UNTRACED = Untraced(None)


class Tracer(Protocol):
    """Makes the spans of calls, and sends them away."""

    def begin(self, record: CallRecord, method: str, path: str, context: TraceContext | None) -> CallTrace:
        """A call has come in. Gives `record` its trace."""
        ...

    async def close(self) -> None:
        """Send what waits, for a moment."""
        ...


def open_tracer(settings: Traces) -> Tracer | None:
    """What traces calls; `None` without a collector. Raises ConfigError without the extra `otel`."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from proxy.tracing_otel import OtelTracer
    except ImportError as missing:
        raise ConfigError(
            ["traces.otlp_endpoint: needs the extra 'otel': pip install 'llm-stream-proxy[otel]'"]
        ) from missing
    return OtelTracer(settings)


def begin_trace(
    tracer: Tracer | None, record: CallRecord, method: str, path: str, headers: Mapping[str, str]
) -> CallTrace:
    """The trace of a call that has come in; `record` bears its id, if it has one."""
    context = read_context(headers) if TRACEPARENT in headers else None
    if tracer is not None:
        return tracer.begin(record, method, path, context)
    if context is None:
        return UNTRACED
    record.trace_id, record.is_sampled = context.trace_id, context.is_sampled
    return Untraced(context)
