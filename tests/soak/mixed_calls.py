"""One caller of the mixed soak: any dialect, any behaviour, and its verdict on what it got."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.e2e.calls import RawCall

KEY = "soak-canary-key-0123456789"
SAID = "soak-canary-prompt"
"""In every prompt: no log may show it."""

Build = Callable[[str, str, bool], tuple[str, dict[str, Any] | None]]
"""Path and body, from model, prompt, and whether to stream; no body: a GET."""


def _chat(prompt: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}]


@dataclass(frozen=True)
class Dialect:
    """How its callers ask and recognise a success."""

    build: Build
    success: bytes
    """In every whole stream."""
    error: tuple[bytes, ...] = (b'"error"',)
    has_whole: bool = True
    """`stream: false` is served."""


def _gemini(model: str, prompt: str, stream: bool) -> tuple[str, dict[str, Any]]:
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{model}:{method}", {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}


DIALECTS: dict[str, Dialect] = {
    "openai_chat": Dialect(
        lambda m, p, s: ("/v1/chat/completions", {"model": m, "messages": _chat(p), "stream": s}),
        b"[DONE]",
    ),
    "openai_responses": Dialect(
        lambda m, p, s: ("/v1/responses", {"model": m, "input": p, "stream": s}),
        b"event: response.completed",
        (b"event: response.failed", b"event: error"),
    ),
    "anthropic": Dialect(
        lambda m, p, s: ("/v1/messages", {"model": m, "messages": _chat(p), "max_tokens": 4000, "stream": s}),
        b"event: message_stop",
        (b"event: error",),
    ),
    "gemini": Dialect(_gemini, b'"finishReason"'),
    "canonical": Dialect(
        lambda m, p, s: ("/chat", {"model": m, "messages": _chat(p)}), b"[DONE]", (b'"type":"error"',), False
    ),
    "ui_message_stream": Dialect(
        lambda m, p, s: ("/ui/chat", {"model": m, "prompt": p}), b"[DONE]", (b'"type":"error"',), False
    ),
    "data_stream": Dialect(lambda m, p, s: ("/ui/v4/chat", {"model": m, "prompt": p}), b"\nd:{", (b"\n3:",), False),
    "text_stream": Dialect(lambda m, p, s: ("/ui/text/chat", {"model": m, "prompt": p}), b"0\r\n\r\n", (), False),
    "ag_ui": Dialect(
        lambda m, p, s: (
            "/ag-ui",
            {
                "threadId": "t",
                "runId": "r",
                "state": {},
                "context": [],
                "tools": [],
                "forwardedProps": {"model": m},
                "messages": [{"id": "u", "role": "user", "content": p}],
            },
        ),
        b"RUN_FINISHED",
        (b"RUN_ERROR",),
        False,
    ),
    "ollama": Dialect(
        lambda m, p, s: ("/ollama/api/chat", {"model": m, "messages": _chat(p), "stream": s}),
        b'"done":true',
        (b'"error"',),
    ),
}


class Manner(StrEnum):
    """How a caller behaves."""

    READS = "reads to the end"
    READS_AGAIN = "reads two answers on one connection"
    SLOW = "reads slowly"
    READS_NOTHING = "reads nothing of a long answer"
    LEAVES_IN_HEAD = "leaves within its head"
    LEAVES_IN_BODY = "leaves within its body"
    LEAVES_AT_ONCE = "leaves after its request"
    LEAVES_MIDWAY = "leaves in the answer"
    RESETS_MIDWAY = "resets in the answer"
    HALF_CLOSES = "half-closes"


WEIGHT = {
    Manner.READS: 56,
    Manner.READS_AGAIN: 8,
    Manner.SLOW: 5,
    Manner.READS_NOTHING: 2,
    Manner.LEAVES_IN_HEAD: 2,
    Manner.LEAVES_IN_BODY: 2,
    Manner.LEAVES_AT_ONCE: 7,
    Manner.LEAVES_MIDWAY: 10,
    Manner.RESETS_MIDWAY: 5,
    Manner.HALF_CLOSES: 3,
}
FAULTS = (
    *(
        "429 retry_after=0.05",
        "500",
        "503 times=1",
        "529",
        "error",
        "cut",
        "half",
        "fin",
        "rst",
        "fin@headers",
        "rst@first",
    ),
    *(
        "stall",
        "stall stall_s=0.5",
        "pings interval=0.2",
        "garbage",
        "wrong_type",
        "huge size=100000",
        "huge size=3000000",
    ),
    *(
        "html",
        "empty",
        "json",
        "no_finish",
        "endless",
        "cut@first",
        "error@first",
        "half@end",
        "cut@done",
        "stall@headers",
    ),
)
FAULT_SHARE = 0.35
WHOLE_SHARE = 0.2
MODELS = ("chat", "claude", "gem", "failover", "joined")


class Verdict(StrEnum):
    """What a caller says of its call."""

    WHOLE = "whole"
    FAILED = "failed"
    LEFT = "left"
    UNSENT = "unsent"
    """Its request was never complete, so that the proxy may not have seen a call."""
    STUCK = "stuck"


@dataclass
class Seen:
    """One call, as its caller saw it."""

    id: str
    dialect: str
    manner: Manner
    verdict: Verdict = Verdict.LEFT
    received: bytes = field(default=b"", repr=False)


def prompt(chance: random.Random, manner: Manner) -> str:
    """A few words with directives for the simulated model."""
    if manner is Manner.READS_NOTHING:
        return f"{SAID} [[demo fault=flood]]"
    rate = chance.choice((10, 20, 40, 80))
    options = f"tokens={chance.randint(5, rate * 6)} rate={rate} delay={chance.choice((0, 0.05, 0.3))}"
    if chance.random() < FAULT_SHARE:
        options += f" fault={chance.choice(FAULTS)}"
    return f"{SAID} {chance.random()} [[demo {options}]]"


def request(chance: random.Random, name: str, manner: Manner, call_id: str, *, stream: bool) -> bytes:
    """A whole request."""
    path, body = DIALECTS[name].build(chance.choice(MODELS), prompt(chance, manner), stream)
    content = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\nx-request-id: {call_id}\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content


async def make_call(port: int, chance: random.Random, prefix: str, patience_s: float) -> list[Seen]:
    """One caller's connection, which may be several calls."""
    manner = chance.choices(list(WEIGHT), list(WEIGHT.values()))[0]
    name = chance.choice(list(DIALECTS))
    count = 2 if manner is Manner.READS_AGAIN else 1
    # These are of streams only: a whole answer is collected up to its limit whether it is read or not.
    small = manner in (Manner.SLOW, Manner.READS_NOTHING)
    call = RawCall(port, receive_buffer_bytes=4096 if small else None)
    seen: list[Seen] = []
    try:
        async with asyncio.timeout(patience_s * count):
            await call.send(b"")
            for number in range(count):
                one = Seen(f"{prefix}-{number}", name, manner)
                seen.append(one)
                stream = small or not DIALECTS[name].has_whole or chance.random() > WHOLE_SHARE
                data = request(chance, name, manner, one.id, stream=stream)
                call.received = b""
                try:
                    one.verdict = await _behave(call, one, data, chance, stream=stream)
                except (BrokenPipeError, ConnectionResetError):
                    one.verdict = Verdict.FAILED
                one.received = call.received[-3000:]
                if one.verdict is not Verdict.WHOLE:
                    break
    except TimeoutError:
        seen[-1].verdict, seen[-1].received = Verdict.STUCK, call.received[-3000:]
    finally:
        call.close()
    return seen


async def _behave(call: RawCall, one: Seen, data: bytes, chance: random.Random, *, stream: bool) -> Verdict:
    match one.manner:
        case Manner.LEAVES_IN_HEAD:
            await call.send_more(data[: chance.randint(1, 60)])
            return Verdict.UNSENT
        case Manner.LEAVES_IN_BODY:
            await call.send_more(data[: -chance.randint(1, 20)])
            await asyncio.sleep(chance.choice((0, 0.05)))
            return Verdict.UNSENT
        case _:
            pass
    cut = chance.choice((0, 0, chance.randrange(len(data))))
    for part in (data[:cut], data[cut:]):
        await call.send_more(part)
        await asyncio.sleep(0)
    match one.manner:
        case Manner.READS | Manner.READS_AGAIN:
            return await _read(call, one, stream=stream)
        case Manner.SLOW:
            await _read(call, one, stream=stream, pause_s=0.1, size=400, for_s=chance.uniform(1, 10))
            return await _read(call, one, stream=stream)
        case Manner.READS_NOTHING:
            await asyncio.sleep(chance.uniform(0.5, 6))
            return Verdict.LEFT
        case Manner.LEAVES_AT_ONCE:
            await asyncio.sleep(chance.choice((0, 0.001, 0.05, 0.5)))
            return Verdict.LEFT
        case _:
            return await _leave_midway(call, one, chance, stream=stream)


async def _leave_midway(call: RawCall, one: Seen, chance: random.Random, *, stream: bool) -> Verdict:
    """After some of the answer, if it is not over before."""
    until = chance.choice((1, 300, 1000, 5000))
    while len(call.received) < until:
        if _is_over(call.received) or not await call.read(512):
            break
    if one.manner is Manner.RESETS_MIDWAY:
        call.reset()
    elif one.manner is Manner.HALF_CLOSES:
        call.half_close()
        await call.read_to_end(patience_s=20)
    return Verdict.LEFT


async def _read(
    call: RawCall, one: Seen, *, stream: bool, pause_s: float = 0, size: int = 65536, for_s: float = 1e9
) -> Verdict:
    """The whole answer, or what comes within `for_s`."""
    until = time.monotonic() + for_s
    while not _is_over(call.received) and time.monotonic() < until:
        data = await call.read(size)
        if not data:
            break
        if pause_s:
            await asyncio.sleep(pause_s)
    return verdict(DIALECTS[one.dialect], call.received, stream=stream)


def _is_over(received: bytes) -> bool:
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length) if length else body.endswith(b"\r\n0\r\n\r\n")


def verdict(dialect: Dialect, received: bytes, *, stream: bool) -> Verdict:
    """Whether a caller of the dialect takes this for a success."""
    if not received.startswith(b"HTTP/1.1 200 ") or not _is_over(received):
        return Verdict.FAILED
    if not stream:
        return Verdict.WHOLE
    # Compatible servers leave `[DONE]` out, and that passes.
    is_done = dialect.success in received or (dialect is DIALECTS["openai_chat"] and b'"finish_reason":"' in received)
    if not is_done or any(mark in received for mark in dialect.error):
        return Verdict.FAILED
    return Verdict.WHOLE
