"""Thousands of connections that do nothing, and a stream beside them: what one of them costs, and whether it is held up.

    python -m tests.soak.idle [--idle 5000] [--half-open 200]

Idle ones have had an answer and are kept; half-open ones have sent a part of a request's head, which the proxy's
deadline for it ends. Exits 1 when the stream was not whole, an idle connection was lost, or one costs more than 20 KB.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.soak.mixed import ask_probe
from tests.support.answers import sse, sse_events
from tests.support.proxy import provider, proxy_process, settings
from tests.support.replay import ReplayServer

EVENTS = 100
INTERVAL_S = 0.05
MAX_BYTES_EACH = 20_000
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: proxy\r\n\r\n"


async def _run(idle: int, half_open: int) -> bool:
    answer = sse(chat_chunk("word ") * EVENTS + CHAT_END, pieces=sse_events, interval_s=INTERVAL_S)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        probe = folder / "probe.json"
        async with ReplayServer(answer) as upstream:
            config = settings([provider("chat", "openai_chat", upstream.base_url + "/v1")])
            environ = {"PROBE_FILE": str(probe)}
            async with proxy_process(config, folder, environ=environ, module="tests.soak.probed_proxy") as proxy:
                files, memory = proxy.open_files(), proxy.resident_bytes()
                calls = [RawCall(proxy.port) for _ in range(idle)]
                for call in calls:
                    await call.send(HEALTH)
                    await call.read_until(b"ok\n")
                each = (proxy.resident_bytes() - memory) / idle
                held = proxy.open_files() - files
                half = [RawCall(proxy.port) for _ in range(half_open)]
                for call in half:
                    await call.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost")
                stream = RawCall(proxy.port)
                await stream.send(request_bytes("anthropic", "chat"))
                words = (await stream.read_until(b"0\r\n\r\n", EVENTS * INTERVAL_S + 60)).count(b"word ")
                lag = (await ask_probe(proxy, probe))["own_lag_ms"]
                late = [b"408" in await call.read_to_end(60) for call in half]
                kept = proxy.open_files() - files
                for call in (*calls, *half, stream):
                    call.leave()
    print(
        f"{held} idle connections, {each / 1000:.1f} KB each; "
        f"{words} of {EVENTS} words beside them and {half_open} half-open ones"
    )
    print(f"the loop was late by itself: p99 {lag['p99']:.1f} ms, max {lag['max']:.1f} ms")
    print(f"{sum(late)} half-open ones got 408; {kept} connections are left")
    return words == EVENTS and all(late) and held >= idle and kept >= idle and each < MAX_BYTES_EACH


def main() -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--half-open", type=int, default=200)
    options = parser.parse_args()
    return 0 if asyncio.run(_run(options.idle, options.half_open)) else 1


if __name__ == "__main__":
    sys.exit(main())
