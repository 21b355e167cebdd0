"""Two hundred callers who read 1 KB/s of a fast 50 MB answer: memory a stream, and whether upstream reading pauses.

    python -m tests.soak.slow_callers [--callers 200] [--seconds 20]

Exits 1 when memory grows by 200 KB a stream or more, or an upstream was read without pause.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_stream
from tests.support.answers import sized, sse
from tests.support.proxy import provider, proxy_process, settings
from tests.support.replay import ReplayServer

DIALECTS = ["openai_chat", "anthropic", "canonical"]
ANSWER = chat_stream(80_000, "word " * 100)
"""About 50 MB."""
MAX_GROWTH_BYTES = 200_000


async def _read_slowly(call: RawCall, seconds: float) -> None:
    for _ in range(int(seconds)):
        await call.read(1024)
        await asyncio.sleep(1)


async def _run(callers: int, seconds: float) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        answer = sse(ANSWER, pieces=sized(65536))
        async with ReplayServer(answer, send_buffer_bytes=65536) as upstream:
            chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
            config = settings([chat], timeouts={"caller_stall_s": 300})
            async with proxy_process(config, Path(folder)) as proxy:
                warm = RawCall(proxy.port)
                await warm.send(request_bytes("anthropic", "chat"))
                await warm.read_until(b"word")
                warm.leave()
                before = proxy.resident_bytes()
                calls = [RawCall(proxy.port, receive_buffer_bytes=8192) for _ in range(callers)]
                for number, call in enumerate(calls):
                    await call.send(request_bytes(DIALECTS[number % len(DIALECTS)], "chat"))
                await asyncio.gather(*(_read_slowly(call, seconds) for call in calls))
                grown = (proxy.resident_bytes() - before) / callers
                exchanges = upstream.exchanges[1 : callers + 1]
                paused = sum(bool(exchange.pauses) and exchange.pauses[-1].ended is None for exchange in exchanges)
                taken = max(exchange.wire_sent for exchange in exchanges)
                for call in calls:
                    call.leave()
    print(f"{callers} callers at 1 KB/s for {seconds:g} s of a {len(ANSWER) / 1e6:.0f} MB answer:")
    print(f"memory {grown / 1e3:+.0f} KB a stream; {paused} upstreams paused; at most {taken / 1e6:.2f} MB read of one")
    return grown < MAX_GROWTH_BYTES and paused == callers


def main() -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    return 0 if asyncio.run(_run(options.callers, options.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
