"""slowhttptest in header, body and read mode, a thousand connections each, and a normal stream beside it.

    python -m tests.soak.slow_http [--connections 1000] [--seconds 30] [--mode read]

Needs Debian's `slowhttptest`. Exits 1 when the normal stream was not whole or had a gap, or when the proxy keeps
connections after the attack.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk, chat_stream
from tests.support.answers import Answer, sse, sse_events
from tests.support.exchange import Exchange
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

MODES: dict[str, tuple[list[str], str]] = {
    "headers": (["-H", "-i", "2", "-x", "24", "-t", "POST"], "/v1/chat/completions"),
    "body": (["-B", "-i", "2", "-s", "8192", "-x", "10", "-t", "POST"], "/v1/chat/completions"),
    "read": (["-X", "-n", "2", "-w", "10", "-y", "20", "-z", "16", "-k", "1"], "/chat?model=long&prompt=hi"),
}
INTERVAL_S = 0.05
MAX_GAP_S = 0.5
"""Between two events of the normal stream, which come every 50 ms."""
SETTLE_S = 20.0
LONG = sse(chat_stream(400, "word " * 500))
"""About 1 MB in few events: slow readers are the subject, not the cost of converting what they do not read. Made once,
because this process also feeds the normal stream."""
CONFIG = {
    "limits": {"header_timeout_s": 5, "body_timeout_s": 5},
    "timeouts": {"caller_stall_s": 5},
}


def _answer(exchange: Exchange, events: int) -> Answer:
    if exchange.json()["model"] == "long":
        return LONG
    return sse(chat_chunk("word ") * events + CHAT_END, pieces=sse_events, interval_s=INTERVAL_S)


async def _normal_stream(proxy: ProxyProcess, events: int) -> tuple[int, float]:
    """Its words, and its longest gap."""
    call = RawCall(proxy.port)
    await call.send(request_bytes("anthropic", "normal"))
    last, gap = time.monotonic(), 0.0
    async with asyncio.timeout(events * INTERVAL_S * 3 + 30):
        while b"0\r\n\r\n" not in call.received[-64:] and await call.read():
            now = time.monotonic()
            last, gap = now, max(gap, now - last)
    call.leave()
    return call.received.count(b"word ") if b"message_stop" in call.received else 0, gap


async def _attack(mode: str, url: str, connections: int, seconds: int) -> str:
    flags, path = MODES[mode]
    process = await asyncio.create_subprocess_exec(
        *("slowhttptest", "-c", str(connections), "-r", str(connections // 5), "-l", str(seconds), "-p", "3", *flags),
        *("-u", url + path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", output).decode("utf-8", "replace")
    availability = re.findall(r"service available:\s*(\w+)", plain)
    return f"it found the service available {availability.count('YES')} of {len(availability)} times"


async def _settled(proxy: ProxyProcess, files: int) -> bool:
    """Whether the connections of the attack go away."""
    until = time.monotonic() + SETTLE_S
    while proxy.open_files() > files + 5 and time.monotonic() < until:  # noqa: ASYNC110  another process tells nobody
        await asyncio.sleep(0.2)
    return proxy.open_files() <= files + 5


async def _run(mode: str, connections: int, seconds: int) -> bool:
    events = int(seconds / INTERVAL_S)
    with tempfile.TemporaryDirectory() as folder:
        async with ReplayServer(lambda exchange: _answer(exchange, events), send_buffer_bytes=65536) as upstream:
            providers = [provider(name, "openai_chat", upstream.base_url + "/v1") for name in ("normal", "long")]
            models = [{"name": each["name"], "targets": [{"provider": each["name"]}]} for each in providers]
            config = {**settings(providers), "models": models, **CONFIG}
            async with proxy_process(config, Path(folder)) as proxy:
                await _normal_stream(proxy, 1)
                files, memory = proxy.open_files(), proxy.resident_bytes()
                attack = asyncio.create_task(_attack(mode, proxy.url, connections, seconds))
                (words, gap), peak = await asyncio.gather(_normal_stream(proxy, events), _peak_files(proxy, attack))
                note = await attack
                is_settled = await _settled(proxy, files)
                grown = proxy.resident_bytes() - memory
    is_good = words == events and gap < MAX_GAP_S and is_settled
    print(
        f"{mode:8} {'ok' if is_good else 'FAILED':6} at most {peak - files} connections held; normal stream: "
        f"{words} of {events} words, longest gap {gap * 1000:.0f} ms; {note}; afterwards "
        f"{'none is left' if is_settled else 'some are left'}, memory {grown / 1e6:+.1f} MB"
    )
    return is_good


async def _peak_files(proxy: ProxyProcess, attack: asyncio.Task[str]) -> int:
    peak = 0
    while not attack.done():
        peak = max(peak, proxy.open_files())
        await asyncio.sleep(0.2)
    return peak


async def _run_all(modes: list[str], connections: int, seconds: int) -> bool:
    results = [await _run(mode, connections, seconds) for mode in modes]
    return all(results)


def main() -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--mode", action="append", choices=MODES, help="only this one; can be repeated")
    options = parser.parse_args()
    if shutil.which("slowhttptest") is None:
        print("slowhttptest is not installed (Debian package slowhttptest)", file=sys.stderr)
        return 2
    return 0 if asyncio.run(_run_all(options.mode or list(MODES), options.connections, options.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
