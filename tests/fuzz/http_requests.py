"""Requests that are nearly HTTP: built from a grammar, then damaged, pipelined and cut into sends, all by one seed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from proxy.dialects import DIALECTS
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import seeds

T = TypeVar("T")

KEY = "fuzz-key-0123456789"
MODELS = ("demo-chat", "demo-claude", "demo-gemini")
"""Configured in the proxy that is fuzzed, one for each wire format of the simulated model."""

METHODS = (
    "POST",
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "post",
    "P\u00d6ST",
    "",
    "A" * 300,
)
VERSIONS = (
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/0.9",
    "HTTP/1",
    "HTTP/1.1 ",
    "http/1.1",
    "HTTP/11.1",
    "",
    "HTTP/1.\u00b9",
)
TARGETS = (
    *(
        "/",
        "*",
        "",
        "//",
        "/..",
        "/chat",
        "/chat?",
        "/chat?prompt=hi",
        "/chat?model=demo-chat&prompt=%zz",
        "/chat/x%00y",
    ),
    *("/v1/models", "/v1/models/%2e%2e", "/v1beta/models", "/ollama/api/tags", "/metrics", "/healthz", "/readyz"),
    *("/passthrough/demo-chat/v1/models", "/passthrough/demo-chat/../x", "/passthrough//", "/passthrough/%ff/%fe"),
    *(
        "/passthrough/demo-chat/v1/models?key=a%0d%0ax",
        "/playground/..%2f..%2fetc",
        "/%",
        "/%f",
        "/\xff\xfe",
        "/a b",
        "/#x",
    ),
    *("http://h/v1/models", "http://h:x/", "http://[::1/", "http://", "h:443", "/" + "a/" * 3000, "/?" + "a=b&" * 2000),
)
HOSTS = (b"Host: h", b"Host:", b"Host: h\r\nHost: i", b"Host: \xff", b"Host: a b", b"Host: [::1", b"Host: h:99999", b"")
LENGTHS: tuple[Callable[[int], bytes], ...] = (
    lambda n: b"Content-Length: %d" % (n + 1),
    lambda n: b"Content-Length: %d" % max(n - 1, 0),
    lambda n: b"Content-Length: +%d" % n,
    lambda n: b"Content-Length: -1",
    lambda n: b"Content-Length: %d, %d" % (n, n),
    lambda n: b"Content-Length: 0x%x" % n,
    lambda n: b"Content-Length: %d\r\nContent-Length: %d" % (n, n),
    lambda n: b"Content-Length: 99999999999999999999999",
    lambda n: b"Content-Length: 5000000",
    lambda n: b"Content-Length: %d_0" % n,
    lambda n: b"Content-Length:",
    lambda n: b"",
)
CODINGS = (
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity"),
    *(
        b"Transfer-Encoding: \tchunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding : chunked",
    ),
    *(b"transfer-encoding: CHUNKED", b"Transfer-Encoding:", b"Transfer-Encoding: x\xffchunked", b"TE: trailers"),
)
EXTRAS = (
    *(
        b"Connection: close",
        b"Connection: keep-alive, x",
        b"Connection: upgrade\r\nUpgrade: websocket",
        b"Upgrade: h2c",
    ),
    *(b"Expect: 100-continue", b"Expect: x", b"Content-Encoding: gzip", b"Content-Encoding: br, \xff", b"X-A: b\x00c"),
    *(
        b"X-A: b\rc",
        b"X-A : b",
        b" X-A: b",
        b"X-A: one\r\n two",
        b": b",
        b"X\xff: b",
        b"X-A: \xe4\xf6\xfc",
        b"X A: b",
        b"\x00",
    ),
    *(
        b"x-request-id: ok-1",
        b"x-request-id: a b\xff",
        b"x-request-id: " + b"r" * 300,
        b"Last-Event-ID: 7",
        b"Last-Event-ID: \xff",
    ),
    *(
        b"Cookie: a=b; c=\xff",
        b"Origin: http://h",
        b"Origin: null",
        b"Origin: \xff",
        b"Access-Control-Request-Method: POST",
    ),
    *(b"Accept: text/event-stream", b"Accept: \xff/*;q=x", b"Accept: application/openmetrics-text; version=1.0.0"),
    *(
        b"anthropic-version: \xff",
        b"anthropic-beta: a,b",
        b"anthropic-beta: a,\xff",
        b"x-goog-api-key: \xff",
        b"x-api-key: ",
        b"Authorization: Bearer",
    ),
    *(
        b"Authorization: Bearer \xff\xfe",
        b"Authorization: Basic !!",
        b"X-Long: " + b"v" * 20_000,
        b"\r\n".join([b"X-M: v"] * 200),
    ),
)
CREDENTIALS = (b"Authorization: Bearer %s", b"x-api-key: %s", b"x-goog-api-key: %s")
EXTENSIONS = (b"", b"", b"", b";a=b", b';a="b c"', b";a\nb", b" ", b";" + b"e" * 5000, b"\xff")
SIZES: tuple[Callable[[int], bytes], ...] = (
    lambda n: b"0x%x" % n,
    lambda n: b"-%x" % n,
    lambda n: b"+%x" % n,
    lambda n: b"%x" % (n + 1),
    lambda n: b"%x" % max(n - 1, 0),
    lambda n: b"f" * 17,
    lambda n: b"0" * 40 + b"%x" % n,
    lambda n: b"",
    lambda n: b"%x_" % n,
)
TRAILERS = (
    b"",
    b"",
    b"",
    b"X-T: a\r\n",
    b"Content-Length: 4\r\n",
    b"\xff\r\n",
    b"X-T: " + b"t" * 20_000 + b"\r\n",
    b"X\r\n y\r\n",
)
JUNK = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b" ",
    b":",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"{",
)


class Leaving(Enum):
    """What a caller does after its last byte."""

    STAYS = "stays"
    CLOSES = "closes"
    RESETS = "resets"
    HALF_CLOSES = "half-closes"


@dataclass(frozen=True)
class Case:
    """One connection."""

    sends: tuple[bytes, ...]
    leaving: Leaving

    @property
    def data(self) -> bytes:
        return b"".join(self.sends)


def bodies() -> dict[str, list[bytes]]:
    """Good bodies of each dialect."""
    return {name: [one for one in seeds(f"request:{name}") if one[:1] == b"{"] for name in DIALECTS}


def case(seed: int, good: dict[str, list[bytes]]) -> Case:
    """The same for the same seed."""
    chance = random.Random(seed)
    data = b"".join(_request(chance, good) for _ in range(1 if chance.random() < 0.8 else chance.randint(2, 4)))
    if chance.random() < 0.25:
        data = _damaged(data, chance)
    leaving = Leaving.STAYS if chance.random() < 0.8 else chance.choice(list(Leaving))
    return Case(_sends(data, chance), leaving)


def _request(chance: random.Random, good: dict[str, list[bytes]]) -> bytes:
    name = chance.choice(list(good))
    route = chance.choice(DIALECTS[name].routes)
    body = chance.choice(good[name]) if route.method == "POST" and good[name] else b""
    if body and chance.random() < 0.6:
        body = mutated(body, chance)
    model = chance.choice(MODELS)
    body = _with_model(body, model, chance)
    target = _target(route.path, model, chance)
    start = " ".join(
        (
            _odd(chance, 0.06, METHODS, route.method),
            _odd(chance, 0.15, TARGETS, target),
            _odd(chance, 0.06, VERSIONS, "HTTP/1.1"),
        )
    )
    lines = [start.encode("latin-1", "replace"), _odd(chance, 0.05, HOSTS, b"Host: h")]
    if chance.random() < 0.9:
        lines.append(chance.choice(CREDENTIALS) % KEY.encode())
    lines += [chance.choice(EXTRAS) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))]
    framing, body = _framed(body, chance)
    lines.append(framing)
    if chance.random() < 0.05:
        chance.shuffle(lines)
    end = b"\n" if chance.random() < 0.02 else b"\r\n"
    return end.join(line for line in lines if line or chance.random() < 0.02) + end + end + body


def _odd(chance: random.Random, share: float, odd: Sequence[T], usual: T) -> T:
    return chance.choice(odd) if chance.random() < share else usual


def _with_model(body: bytes, model: str, chance: random.Random) -> bytes:
    """Mostly a configured model, where the body names one in the usual way."""
    start = body.find(b'"model"')
    quote = body.find(b'"', body.find(b":", start) + 1)
    end = body.find(b'"', quote + 1)
    if min(start, quote, end) < 0 or chance.random() < 0.1:
        return body
    return body[: quote + 1] + model.encode() + body[end:]


def _target(path: str, model: str, chance: random.Random) -> str:
    """A path of the route's pattern."""
    while "{" in path:
        before, _, rest = path.partition("{")
        depth, end = 1, 0
        while depth:
            depth += {"{": 1, "}": -1}.get(rest[end], 0)
            end += 1
        field = rest[: end - 1]
        value = model if field.startswith("model") else _of_pattern(field.partition(":")[2], chance)
        path = before + value + rest[end:]
    return path


def _of_pattern(pattern: str, chance: random.Random) -> str:
    words = [word for word in pattern.strip("()").split("|") if word.isalpha()]
    return chance.choice(words) if words else chance.choice(("x", "1", "%c3%a4", "a.b"))


def _framed(body: bytes, chance: random.Random) -> tuple[bytes, bytes]:
    """A framing header, and the body as it travels."""
    kind = chance.random()
    if kind < 0.6:
        return b"Content-Length: %d" % len(body), body
    if kind < 0.7:
        return chance.choice(LENGTHS)(len(body)), body
    coded = _chunked(body, chance)
    return (b"Transfer-Encoding: chunked" if kind < 0.92 else chance.choice(CODINGS)), coded


def _chunked(body: bytes, chance: random.Random) -> bytes:
    out, start = b"", 0
    while start < len(body):
        piece = body[start : start + chance.choice((1, 7, 100, 5000, 1 << 20))]
        if len(out) > 200_000:
            piece = body[start:]
        size = chance.choice(SIZES)(len(piece)) if chance.random() < 0.02 else b"%x" % len(piece)
        out += size + (chance.choice(EXTENSIONS) if chance.random() < 0.1 else b"") + b"\r\n" + piece
        out += b"\r\n" if chance.random() < 0.99 else chance.choice(JUNK)
        start += len(piece)
    if chance.random() < 0.05:
        return out
    return out + b"0\r\n" + chance.choice(TRAILERS) + b"\r\n"


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """A few places changed, mostly in the head."""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        place = chance.randrange(min(len(data), chance.choice((80, 400, 1 << 20))) + 1)
        match chance.randrange(4):
            case 0:
                data = data[:place] + chance.choice(JUNK) + data[place:]
            case 1:
                data = data[:place] + data[place + chance.choice((1, 2, 10)) :]
            case 2:
                data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
            case _:
                data = data[:place]
    return data


def _sends(data: bytes, chance: random.Random) -> tuple[bytes, ...]:
    """One send, a few, or the head byte by byte."""
    match chance.choice(("one", "one", "few", "few", "bytes")):
        case "one":
            return (data,)
        case "few":
            places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 5)))
            return tuple(data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if b > a)
        case _:
            head = [data[index : index + 1] for index in range(min(len(data), 120))]
            return (*head, data[120:]) if len(data) > 120 else tuple(head)
