"""slowhttptest in header, body and read mode, a thousand connections each, and a normal stream beside it.

    python -m tests.soak.slow_http [--connections 1000] [--seconds 30] [--mode read]

Needs Debian's `slowhttptest`. The proxy, the upstream of the slow readers, the attacker and this process (which feeds and
reads the normal stream) share the machine, so a second stream with the same events goes past the proxy, directly, and a
probe in the proxy tells how long its loop was late, and for how much of that other programs had the processor: such a
gap is the machine's. Exits 1 when the normal stream was not whole or was held up by the proxy itself, or when the proxy
keeps connections after the attack.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from proxy.demo import BASE_PATHS
from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.soak.mixed import ask_probe, simulated_model
from tests.support.answers import sse, sse_events
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

FLOOD = "/chat?model=long&prompt=%5B%5Bdemo%20fault%3Dflood%5D%5D"
"""Events of 16 KB as fast as they are read, which nobody does."""
MODES: dict[str, tuple[list[str], str]] = {
    "headers": (["-H", "-i", "2", "-x", "24", "-t", "POST"], "/v1/chat/completions"),
    "body": (["-B", "-i", "2", "-s", "8192", "-x", "10", "-t", "POST"], "/v1/chat/completions"),
    "read": (["-X", "-n", "2", "-w", "10", "-y", "20", "-z", "16", "-k", "1"], FLOOD),
}
INTERVAL_S = 0.05
MAX_GAP_S = 0.5
"""Between two events of the normal stream, which come every 50 ms, beyond what the machine held up."""
SETTLE_S = 20.0
CONFIG = {
    "limits": {"header_timeout_s": 5, "body_timeout_s": 5},
    "timeouts": {"caller_stall_s": 5},
}


async def _stream(port: int, request: bytes, events: int) -> tuple[int, float]:
    """Its words, and its longest gap."""
    call = RawCall(port)
    await call.send(request)
    last, gap = time.monotonic(), 0.0
    async with asyncio.timeout(events * INTERVAL_S * 3 + 30):
        while b"0\r\n\r\n" not in call.received[-64:] and await call.read():
            now = time.monotonic()
            last, gap = now, max(gap, now - last)
    call.leave()
    return call.received.count(b"word "), gap


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
    answer = sse(chat_chunk("word ") * events + CHAT_END, pieces=sse_events, interval_s=INTERVAL_S)
    with tempfile.TemporaryDirectory() as folder:
        async with simulated_model() as long, ReplayServer(answer) as upstream:
            providers = [
                provider("normal", "openai_chat", upstream.base_url + "/v1"),
                provider("long", "openai_chat", long + BASE_PATHS["openai_chat"]),
            ]
            models = [{"name": each["name"], "targets": [{"provider": each["name"]}]} for each in providers]
            config = {**settings(providers), "models": models, **CONFIG}
            probe = Path(folder, "probe.json")
            environ = {"PROBE_FILE": str(probe)}
            async with proxy_process(config, Path(folder), environ=environ, module="tests.soak.probed_proxy") as proxy:
                files, memory = proxy.open_files(), proxy.resident_bytes()
                attack = asyncio.create_task(_attack(mode, proxy.url, connections, seconds))
                (words, gap), (_, direct_gap), peak = await asyncio.gather(
                    _stream(proxy.port, request_bytes("anthropic", "normal"), events),
                    _stream(upstream.port, request_bytes("openai_chat", "normal"), events),
                    _peak_files(proxy, attack),
                )
                note = await attack
                probed = await ask_probe(proxy, probe)
                is_settled = await _settled(proxy, files)
                grown = proxy.resident_bytes() - memory
    late, own = probed["lag_ms"]["max"] / 1000, probed["own_lag_ms"]["max"] / 1000
    is_good = words == events and own < MAX_GAP_S and gap < MAX_GAP_S + max(direct_gap, late - own) and is_settled
    lag = ", ".join(
        f"{name} {probed['lag_ms'][name]:.0f} ({probed['own_lag_ms'][name]:.0f})" for name in ("p99", "max")
    )
    print(
        f"{mode:8} {'ok' if is_good else 'FAILED':6} at most {peak - files} connections held; normal stream: "
        f"{words} of {events} words, longest gap {gap * 1000:.0f} ms, directly {direct_gap * 1000:.0f} ms; the proxy's loop "
        f"was late by {lag} ms (by itself); {note}; afterwards {'none is left' if is_settled else 'some are left'}, "
        f"memory {grown / 1e6:+.1f} MB",
        flush=True,
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
