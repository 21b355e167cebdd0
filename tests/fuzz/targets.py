"""What is fuzzed: functions of bytes that may only raise ProxyError, one by each registered provider kind and dialect.

stream:KIND     decoder on pieces, the grammar of its events, an encoder; the byte-for-byte relay
answer:KIND     a whole answer, an error's body, and whole answers in a dialect
request:DIALECT envelope and request, which every provider kind then encodes; the spliced request of native callers
"""

import functools
from collections.abc import Callable
from urllib.parse import parse_qsl

from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams, Dialect, StreamContext
from proxy.hub.errors import ProxyError
from proxy.hub.events import TERMINAL_EVENTS, Event
from proxy.hub.grammar import check
from proxy.hub.transcode import Convert, Passthrough
from proxy.providers import PROVIDERS
from proxy.providers.base import NativeCall, Provider, Target, for_request

Fuzzed = Callable[[bytes], None]

CONTEXT = StreamContext(id="0123456789abcdefghijklmn", model="m", created=1_790_000_000)
PIECE_BYTES = 37
"""Streams are fed in pieces of this size, after they were fed whole: the events must be the same."""

STATUSES = (400, 401, 403, 404, 413, 429, 500, 503, 529)


def targets() -> dict[str, Fuzzed]:
    """Every target by its name."""
    found: dict[str, Fuzzed] = {}
    for kind, provider in PROVIDERS.items():
        found[f"stream:{kind}"] = functools.partial(stream, provider)
        found[f"answer:{kind}"] = functools.partial(answer, provider)
    for name, dialect in DIALECTS.items():
        found[f"request:{name}"] = functools.partial(request, dialect)
    return found


def chosen(data: bytes) -> Dialect:
    """A dialect that depends on the input: over many inputs all have their turn."""
    names = sorted(DIALECTS)
    return DIALECTS[names[sum(data[-8:]) % len(names)]]


def stream(provider: Provider, data: bytes) -> None:
    """Raises AssertionError as well: for events against the grammar, or that depend on the pieces."""
    target = Target(provider=provider.kind, model="m")
    whole = _events(provider, target, [data])
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    assert whole is None or check(whole) == [], check(whole or [])
    assert _events(provider, target, pieces) == whole, "pieces change the events"

    dialect = chosen(data)
    convert = Convert(provider.decoder(target), dialect.encoder(CONTEXT))
    convert.feed(data)
    convert.finish()

    native = DIALECTS.get(provider.native_dialect or "")
    if native is not None:
        relay = Passthrough(
            provider.splitter(target),
            provider.decoder(target),
            lambda _: native.encoder(CONTEXT),
            provider.is_terminator,
        )
        for piece in pieces:
            relay.feed(piece)
        relay.finish()


def _events(provider: Provider, target: Target, pieces: list[bytes]) -> list[Event] | None:
    """`None` after a fault: what came before it in the same piece is lost, so it depends on the pieces."""
    decoder = provider.decoder(target)
    events: list[Event] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        if not any(type(event) in TERMINAL_EVENTS for event in events):
            events += decoder.finish()
    except ProxyError:
        return None
    return events


def answer(provider: Provider, data: bytes) -> None:
    dialect = chosen(data)
    error = provider.decode_error(STATUSES[len(data) % len(STATUSES)], {"retry-after": "2"}, data)
    dialect.status(error)
    dialect.encode_error(error, "request-1")
    try:
        completion = provider.decode_completion(data, Target(provider=provider.kind, model="m"))
        if completion.error is None:
            dialect.encode_completion(completion, CONTEXT)
    except ProxyError:
        return


def request(dialect: Dialect, data: bytes) -> None:
    params = params_for(dialect, data)
    try:
        envelope = dialect.envelope(data, params)
        asked = dialect.decode_request(data, params)
    except ProxyError as error:
        dialect.status(error)
        dialect.encode_error(error, "request-1")
        return
    for provider in PROVIDERS.values():
        try:
            target = for_request(Target(provider=provider.kind, model="m"), asked)
            provider.encode_request(asked, target)
            if provider.native_dialect == dialect.name:
                call = NativeCall(data, envelope.stream, "generate", params.path, params.query, {})
                provider.splice_request(call, target)
        except ProxyError:
            continue


def params_for(dialect: Dialect, data: bytes) -> CallParams:
    """What the server would add to this body. A body with a prompt is Ollama's other method."""
    method = "generate" if b'"prompt"' in data else "chat"
    return CallParams(path={"model": "m", "method": method}, query=_query(dialect, data))


def _query(dialect: Dialect, data: bytes) -> dict[str, str]:
    """Of a request without a body, which is a GET: the input itself."""
    if data[:1] == b"{" or all(route.method != "GET" for route in dialect.routes):
        return {}
    return dict(parse_qsl(data.decode("utf-8", "replace")))
