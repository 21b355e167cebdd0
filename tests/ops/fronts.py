"""What proxies in front do to streams, measured: `python -m tests.ops.fronts [NAME]...` prints a table, in about a minute.

The rows are nginx, HAProxy and Caddy with nothing set but where to pass on, as the chart's README documents them, and in
the ways in which they are set up badly. The measurements are those of `llm-stream-proxy doctor`.
"""

import argparse
import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

from proxy.doctor.checks import Diagnosis, Wishes, examine
from proxy.doctor.conversation import parse_site
from tests.support import fronts
from tests.support.proxy import proxy_process

SILENCE_S = 3.0
PAUSE_S = 2.0
CUT = "2s"
"""A read timeout that the silence is longer than."""

Opener = Callable[[int, Path, str], AbstractAsyncContextManager[int]]

CONFIG = {
    "listen": "127.0.0.1:0",
    "default_model": "demo",
    "providers": [{"name": "demo"}],
    "models": [{"name": "demo", "targets": [{"provider": "demo"}]}],
    "drain": {"lame_duck_s": 0, "deadline_s": 1},
}


def nginx_location(more: str) -> str:
    return f"client_max_body_size 32m; location / {{ proxy_pass http://{fronts.PROXY}; {more} }}"


class SetUp(NamedTuple):
    """One way to put something in front."""

    opener: Opener | None
    settings: str = ""


SET_UPS: dict[str, SetUp] = {
    "nothing": SetUp(None),
    "nginx, plain": SetUp(fronts.nginx, fronts.NGINX_PLAIN),
    "nginx, documented": SetUp(fronts.nginx, fronts.documented("nginx")),
    "nginx, X-Accel-Buffering ignored": SetUp(fronts.nginx, nginx_location("proxy_ignore_headers X-Accel-Buffering;")),
    "nginx, gzip": SetUp(
        fronts.nginx,
        nginx_location(
            "proxy_http_version 1.1; proxy_set_header Connection ''; gzip on; gzip_types text/event-stream;"
        ),
    ),
    f"nginx, read timeout {CUT}": SetUp(fronts.nginx, nginx_location(f"proxy_read_timeout {CUT};")),
    "HAProxy, plain": SetUp(fronts.haproxy, fronts.HAPROXY_PLAIN),
    "HAProxy, documented": SetUp(fronts.haproxy, fronts.documented("haproxy")),
    f"HAProxy, server timeout {CUT}": SetUp(
        fronts.haproxy, fronts.documented("haproxy").replace("timeout server 24h", f"timeout server {CUT}")
    ),
    "Caddy, documented": SetUp(fronts.caddy, fronts.documented("caddyfile")),
    "Caddy, flush_interval -1": SetUp(
        fronts.caddy,
        fronts.documented("caddyfile").replace(fronts.PROXY, f"{fronts.PROXY} {{\n        flush_interval -1\n    }}"),
    ),
}


async def measure(set_up: SetUp, proxy_port: int, folder: Path) -> Diagnosis:
    """The doctor's findings through one front."""
    async with contextlib.AsyncExitStack() as stack:
        port = proxy_port
        if set_up.opener is not None:
            port = await stack.enter_async_context(set_up.opener(proxy_port, folder, set_up.settings))
        site = parse_site(f"http://127.0.0.1:{port}")
        return await examine(Wishes(site, None, "demo", SILENCE_S, PAUSE_S))


def row(found: Diagnosis) -> tuple[str, ...]:
    """The numbers of one line."""
    by_check: dict[str, dict[str, Any]] = {finding.check: finding.measured for finding in found.findings}
    pace, pressure, leaving = by_check["one by one"], by_check["backpressure"], by_check["disconnect"]
    silence = by_check["silence in the middle of an answer"]
    survived = silence["ending"] == "whole"
    wrong = {finding.ailment.value for finding in found.findings if finding.ailment is not None}
    return (
        f"{pace['median_late_s'] * 1000:.0f} / {pace['worst_late_s'] * 1000:.0f}",
        "never" if leaving["took_s"] is None else f"{leaving['took_s'] * 1000:.0f}",
        f"{pressure['taken_bytes'] / 1e6:.1f}" + (" (all)" if pressure["state"] == "completed" else ""),
        "survived" if survived else f"cut after {silence['longest_quiet_s']:.1f} s",
        ", ".join(sorted(wrong)) or "nothing",
    )


HEAD = (
    "in front",
    "event late, median / worst ms",
    "hears of leaving, ms",
    "taken unread, MB",
    f"{SILENCE_S:g} s silence",
    "wrong",
)


async def main(names: Sequence[str]) -> None:
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    with tempfile.TemporaryDirectory() as name:
        async with proxy_process(CONFIG, Path(name)) as proxy:
            for set_up, how in SET_UPS.items():
                if names and not any(set_up.startswith(wanted) for wanted in names):
                    continue
                folder = Path(tempfile.mkdtemp(dir=name))
                print(f"| {set_up} | {' | '.join(row(await measure(how, proxy.port, folder)))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of rows to measure; none: all")
    asyncio.run(main(parser.parse_args().names))
