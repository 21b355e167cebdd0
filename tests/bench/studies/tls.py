"""A provider behind TLS: nginx, on the load's core, speaks TLS in front of the simulated provider.

This proxy and nginx speak TLS to it, and verify its certificate. `new connection each`: the terminator closes every
connection after one answer; its log says how many of the handshakes resumed a session.
"""

import collections
import contextlib
import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.run import Bench, CannotRun, Figures, Session, Upstream, free_port, session, stop
from tests.bench.scenarios import SCENARIOS, Scenario, quick
from tests.bench.studies.rows import Rows
from tests.bench.targets import Command, Ports, Target, nginx, nginx_command, proxy_command

MISSING = "nginx is missing: apt-get install nginx"
NO_CERTIFICATES = "the package cryptography is missing (pip install -e '.[test]')"
KEPT = 1_000_000


@dataclass(frozen=True)
class Terminator:
    """nginx in front of the upstream."""

    port: int
    ca_file: str
    log: Path


def _configuration(folder: Path, port: int, upstream: int, certificate: str, key: str, keepalive_requests: int) -> Path:
    file = folder / "terminator.conf"
    file.write_text(f"""daemon off; master_process off; pid {folder}/terminator.pid; error_log {folder}/terminator.err;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  log_format handshakes "$connection $ssl_session_reused"; access_log {folder}/handshakes handshakes;
  client_body_temp_path {folder}/tb; proxy_temp_path {folder}/tp; fastcgi_temp_path {folder}/tf;
  uwsgi_temp_path {folder}/tu; scgi_temp_path {folder}/ts;
  keepalive_requests {keepalive_requests}; tcp_nodelay on;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 4096; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:all:10m;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
""")
    return file


@contextlib.contextmanager
def terminator(bench: Bench, upstream: int, keepalive_requests: int) -> Iterator[Terminator]:
    """nginx with a certificate for localhost."""
    from tests.upstream.certificates import Authority

    with tempfile.TemporaryDirectory(prefix="bench-tls-") as name:
        folder, port = Path(name), free_port()
        authority = Authority(folder)
        pem = authority.issue("server", "localhost", "127.0.0.1")
        file = _configuration(folder, port, upstream, pem.cert_file, pem.key_file, keepalive_requests)
        process = subprocess.Popen(
            ["nginx", "-c", str(file), "-p", name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=bench.placement.upstream(),
        )
        try:
            yield Terminator(port, authority.ca_file, folder / "handshakes")
        finally:
            stop(process)


def ours(loop: str, front: Terminator) -> Command:
    provider = {
        "name": "chat",
        "kind": "openai_chat",
        "base_url": f"https://localhost:{front.port}/v1",
        "api_key": "none",
        "tls": {"ca_file": front.ca_file},
    }
    models = [{"name": "bench*", "targets": [{"provider": "chat"}]}]
    return proxy_command("-m", "tests.bench.launch", loop, "frozen", providers=[provider], models=models)


def nginx_to(front: Terminator) -> Command:
    def command(ports: Ports) -> list[str]:
        verify = (
            f"proxy_ssl_trusted_certificate {front.ca_file}; proxy_ssl_verify on; proxy_ssl_name localhost; "
            "proxy_ssl_server_name on; proxy_ssl_session_reuse on;"
        )
        return nginx(ports, f"server 127.0.0.1:{front.port};", "https://provider", verify)

    return command


def measured(bench: Bench, who: str, keepalive_requests: int, scenario: Scenario) -> Figures:
    """`who`: nginx, or the event loop of this proxy."""
    upstream = Upstream(bench)
    try:
        with terminator(bench, upstream.port, keepalive_requests) as front:
            command = nginx_to(front) if who == "nginx" else ours(who, front)
            with session(bench, Target(who, who, command)) as running:
                front.log.write_text("")
                figures = measure_through(running, upstream, scenario)
            return {**figures, **handshakes(front.log)}
    finally:
        stop(upstream.process)


def measure_through(running: Session, upstream: Upstream, scenario: Scenario) -> Figures:
    """The session has an upstream of its own, which is idle here: the one behind the terminator is asked."""
    running.upstream, idle = upstream, running.upstream
    try:
        return running.measure(scenario)
    finally:
        running.upstream = idle


def handshakes(log: Path) -> Figures:
    """Connections of the run, and the share of those that resumed a session."""
    time.sleep(0.1)
    reused = dict(line.split() for line in log.read_text().splitlines() if len(line.split()) == 2)
    connections = len({line.split()[0] for line in log.read_text().splitlines()})
    counts = collections.Counter(reused.values())
    return {"connections": connections, "resumed": 100 * counts["r"] / connections if connections else 0.0}


def plain(bench: Bench, who: str, scenario: Scenario) -> Figures:
    """The same without TLS."""
    command = nginx_command if who == "nginx" else proxy_command("-m", "tests.bench.launch", who, "frozen")
    target = Target(who, who, command)
    with session(bench, target) as running:
        return running.measure(scenario)


def run(bench: Bench, repeat: int, share: float) -> str:
    if shutil.which("nginx") is None or importlib.util.find_spec("cryptography") is None:
        raise CannotRun(MISSING if shutil.which("nginx") is None else NO_CERTIFICATES)
    events, short = SCENARIOS["events"], SCENARIOS["short"]
    if share < 1:
        events, short = quick(events), quick(short)
    who = ["nginx", "asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
    flowing = Rows(
        "TLS: events on open streams",
        {"cpu_us_per_event": "CPU µs an event", "latency_us_p50": "one-way µs p50", "latency_us_p99": "p99"},
    )
    starts = Rows(
        "TLS: short streams",
        {
            "cpu_us_per_stream": "CPU µs a stream",
            "streams_per_s": "streams/s",
            "connections": "connections",
            "resumed": "of these resumed, %",
        },
    )
    starts.notes.append(
        "The terminator shares the core of the load; its handshakes limit the streams/s of new connections."
    )
    with bench.placement.awake():
        flowing.fill({f"{name}, plain": partial(plain, bench, name, events) for name in who}, repeat)
        flowing.fill({f"{name}, TLS": partial(measured, bench, name, KEPT, events) for name in who}, repeat)
        starts.fill({f"{name}, plain": partial(plain, bench, name, short) for name in who}, repeat)
        starts.fill(
            {f"{name}, TLS, connections kept": partial(measured, bench, name, KEPT, short) for name in who}, repeat
        )
        starts.fill(
            {f"{name}, TLS, new connection each": partial(measured, bench, name, 1, short) for name in who}, repeat
        )
    return f"{flowing.markdown()}\n\n{starts.markdown()}"
