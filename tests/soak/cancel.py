"""Ten thousand callers who leave: how soon the upstream socket closes, whether any is missed, and what is left behind.

    python -m tests.soak.cancel [--aborts 10000] [--streams 200]

For each stage of a call and each of pass-through and conversion, `--streams` calls are kept at that stage while callers
leave one after the other and are replaced. Times are from the caller's `close()` to the FIN or RST that the upstream's
kernel reports. Exits 1 when a limit is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import BEFORE_HEADERS, Answer, sized, sse
from tests.support.exchange import Exchange
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

FIRST = chat_chunk("one ")
STAGES: dict[str, Answer] = {
    "waiting for headers": sse(chat_stream(3), holds=(BEFORE_HEADERS,)),
    "before the first event": sse(FIRST, holds=(1,)),
    "midway": sse(FIRST + chat_stream(3), holds=(len(FIRST),)),
    "while slow": sse(chat_stream(3_000, "word " * 20), pieces=sized(8192)),
}
DIALECTS = {"openai_chat": "pass-through", "anthropic": "conversion"}
MAX_P99_S = 0.05
MAX_GROWTH_BYTES = 8 << 20
SETTLE_S = 2.0


async def _open(stage: str, dialect: str, proxy: ProxyProcess, upstream: ReplayServer) -> tuple[RawCall, Exchange]:
    """A call at its stage."""
    index = len(upstream.exchanges)
    call = RawCall(proxy.port, receive_buffer_bytes=4096 if stage == "while slow" else None)
    await call.send(request_bytes(dialect, "chat"))
    exchange = await upstream.exchange(index)
    match stage:
        case "midway":
            await call.read_until(b"one")
        case "before the first event":
            await exchange.until_sent(1)
        case "while slow":
            await exchange.until_sent(65536)
        case _:
            pass
    return call, exchange


async def _abort_many(
    stage: str, dialect: str, proxy: ProxyProcess, upstream: ReplayServer, *, aborts: int, streams: int
) -> tuple[list[float], int]:
    """The delays of `aborts` leavings with `streams` calls open, and how many were never noticed."""
    upstream.respond_with(STAGES[stage])
    upstream.exchanges.clear()
    waiting = [await _open(stage, dialect, proxy, upstream) for _ in range(min(streams, aborts))]
    delays: list[float] = []
    missed = 0
    for number in range(aborts):
        call, exchange = waiting.pop(0)
        left_at = time.monotonic()
        call.leave()
        try:
            delays.append((await exchange.until_left(5)).at - left_at)
        except TimeoutError:
            missed += 1
        if number + len(waiting) + 1 < aborts:
            waiting.append(await _open(stage, dialect, proxy, upstream))
    return sorted(delays), missed


async def _run(aborts: int, streams: int) -> bool:
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        async with ReplayServer(sse(chat_stream(3)), send_buffer_bytes=65536) as upstream:
            chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
            async with proxy_process(settings([chat], log={"access": False}), Path(folder)) as proxy:
                each = max(aborts // (len(STAGES) * len(DIALECTS)), 1)
                # The allocator keeps what the first full round took; whether later ones add to it is the question.
                for stage in STAGES:
                    for dialect in DIALECTS:
                        await _abort_many(stage, dialect, proxy, upstream, aborts=2 * streams, streams=streams)
                await asyncio.sleep(SETTLE_S)
                files, memory = proxy.open_files(), proxy.resident_bytes()
                for stage in STAGES:
                    for dialect, way in DIALECTS.items():
                        delays, missed = await _abort_many(
                            stage, dialect, proxy, upstream, aborts=each, streams=streams
                        )
                        p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99) - 1]
                        is_good &= not missed and p99 < MAX_P99_S
                        print(
                            f"{stage:<24} {way:<13} {each:>6} left  p50 {p50 * 1e3:6.2f} ms"
                            f"  p99 {p99 * 1e3:6.2f} ms  max {delays[-1] * 1e3:7.2f} ms  missed {missed}",
                            flush=True,
                        )
                await asyncio.sleep(SETTLE_S)
                left_files = proxy.open_files() - files
                grown = proxy.resident_bytes() - memory
                is_good &= left_files <= 0 and grown < MAX_GROWTH_BYTES
                print(f"afterwards: {left_files:+d} open files, {grown / 1e6:+.1f} MB of memory")
    return is_good


def main() -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aborts", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=200)
    options = parser.parse_args()
    return 0 if asyncio.run(_run(options.aborts, options.streams)) else 1


if __name__ == "__main__":
    sys.exit(main())
