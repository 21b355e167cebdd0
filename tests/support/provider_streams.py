"""What the decoder of every provider kind owes, as checks over the bytes of one answer."""

import random
from collections.abc import Callable, Iterable

import msgspec
from hypothesis import strategies as st

from proxy.hub import grammar
from proxy.hub.completion import fold
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import (
    TERMINAL_EVENTS,
    Event,
    ReasoningBlock,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
)
from proxy.providers.base import Provider, Target
from tests.support.answers import random_pieces
from tests.support.readings import Reading, Tokens, ToolCall, parsed

TARGET = Target("vendor", "m")

MOST_SINGLE_BYTES = 20_000
"""Bodies above this size are not fed byte by byte: it would show nothing more."""


def decode(provider: Provider, pieces: Iterable[bytes], target: Target = TARGET) -> list[Event]:
    """The events of a stream that arrives in `pieces` and ends; a protocol fault is an error event, as in `Convert`."""
    decoder = provider.decoder(target)
    events: list[Event] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        if not any(type(event) in TERMINAL_EVENTS for event in events):
            events += decoder.finish()
    except UpstreamProtocolError as fault:
        events.append(StreamError(ErrorKind.PROTOCOL, fault.message))
    return events


def reading_of(events: list[Event]) -> Reading:
    """Our events in the words of `Reading`."""
    completion = fold(events)
    usage, error = completion.usage, completion.error
    return Reading(
        text="".join(done.text for done in completion.blocks if isinstance(done.block, TextBlock)),
        reasoning="".join(done.text for done in completion.blocks if isinstance(done.block, ReasoningBlock)),
        tool_calls=tuple(
            ToolCall(done.block.id, done.block.name, parsed(done.text))
            for done in completion.blocks
            if isinstance(done.block, ToolCallBlock) and done.block.kind is ToolKind.FUNCTION
        ),
        tokens=None
        if usage is None
        else Tokens(usage.input, usage.output, usage.cached_input, usage.cache_write, usage.reasoning),
        finish=completion.end.reason.value if completion.end is not None else None,
        error="error" if error is not None else None,
        error_message=error.message if error is not None else "",
    )


def assert_any_split_gives_the_same(provider: Provider, body: bytes, target: Target = TARGET) -> None:
    whole = decode(provider, [body], target)

    assert grammar.check(whole) == []
    for seed in range(5):
        assert decode(provider, random_pieces(seed, largest=3 ** (seed + 1))(body), target) == whole
    if len(body) <= MOST_SINGLE_BYTES:
        assert decode(provider, [body[index : index + 1] for index in range(len(body))], target) == whole


def assert_cut_is_an_error(provider: Provider, body: bytes, ends: list[int], target: Target = TARGET) -> None:
    """Cut behind each event but the last (`ends`) and at random bytes before it, the stream must not look complete."""
    chance = random.Random(len(body))
    places = {0, *ends, *(chance.randrange(ends[-1] + 1 if ends else len(body)) for _ in range(60))}
    for place in sorted(places):
        events = decode(provider, [body[:place]], target)

        assert grammar.check(events) == [], place
        assert isinstance(events[-1], StreamError), place
        assert place not in ends or events[-1].kind is ErrorKind.CUT, place


def mutated(bodies: list[bytes], rewrite: Callable[[bytes], bytes] = lambda body: body) -> st.SearchStrategy[bytes]:
    """Bodies with bytes changed, taken out, doubled, and with values of other types in the place of good ones.

    `rewrite` makes the result well-formed again where a checksum would refuse all of them.
    """

    @st.composite
    def draw(draw: st.DrawFn) -> bytes:
        body = bytearray(draw(st.sampled_from(bodies)))
        for _ in range(draw(st.integers(1, 6))):
            start = draw(st.integers(0, len(body)))
            match draw(st.integers(0, 3)):
                case 0:
                    body[start : start + draw(st.integers(1, 40))] = b""
                case 1:
                    body[start:start] = draw(st.binary(max_size=8))
                case 2:
                    size = draw(st.integers(1, 60))
                    body[start:start] = body[start : start + size]
                case _:
                    place = body.find(b":", start)
                    end = min((at for at in (body.find(b",", place), body.find(b"}", place)) if at > 0), default=-1)
                    if place > 0 and end > place:
                        body[place + 1 : end] = draw(st.sampled_from(OTHER_VALUES))
        return rewrite(bytes(body))

    return draw()


OTHER_VALUES = [b"null", b"1", b"-1.5", b'"x"', b"[]", b"{}", b"true", b'[{"a":1}]', b'"\\ud800"', b"1e999"]


def encoded(body: bytes) -> object:
    """A request's body as plain values."""
    return msgspec.json.decode(body)
