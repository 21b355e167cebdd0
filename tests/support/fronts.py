"""Real proxies in front of a running one: nginx, HAProxy and Caddy, with the settings of the chart's README or with others."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.ports import free_port

README = Path(__file__).parents[2] / "helm/llm-stream-proxy/README.md"
START_S = 30.0

PROXY, OWN = "127.0.0.1:8080", "127.0.0.1:8081"
"""How the README's examples call the proxy, and the front."""

NGINX_PLAIN = "location / { proxy_pass http://127.0.0.1:8080; }"
"""Nothing set but where to pass on."""

HAPROXY_PLAIN = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend llm
    bind 127.0.0.1:8081
    default_backend proxies

backend proxies
    server one 127.0.0.1:8080
"""
"""What its own documentation begins with."""


def documented(language: str) -> str:
    """The settings that the chart's README gives for one front."""
    found = re.search(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, language
    return found[1]


def need(program: str) -> str:
    """Where the program is; skips the test without it."""
    # Debian keeps servers where only root's path leads.
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"needs {program}: apt-get install {program}")
    return path


@contextlib.asynccontextmanager
async def nginx(upstream_port: int, folder: Path, server: str) -> AsyncIterator[int]:
    """nginx with `server` as the inside of its server block; its port."""
    port = free_port()
    paths = " ".join(
        f'{name}_temp_path "{folder}/{name}";' for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f'daemon off; master_process off; pid "{folder}/nginx.pid"; error_log "{folder}/nginx.err"; events {{}}\n'
        f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port};\n"
        f"{server.replace(PROXY, f'127.0.0.1:{upstream_port}')}\n}} }}\n"
    )
    async with _running(port, need("nginx"), "-c", str(config), "-p", str(folder)):
        yield port


@contextlib.asynccontextmanager
async def haproxy(upstream_port: int, folder: Path, settings: str) -> AsyncIterator[int]:
    """HAProxy; its port."""
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(settings.replace(OWN, f"127.0.0.1:{port}").replace(PROXY, f"127.0.0.1:{upstream_port}"))
    async with _running(port, need("haproxy"), "-db", "-q", "-f", str(config)):
        yield port


@contextlib.asynccontextmanager
async def caddy(upstream_port: int, folder: Path, settings: str) -> AsyncIterator[int]:
    """Caddy; its port."""
    port = free_port()
    config = folder / "Caddyfile"
    site = settings.replace(OWN, f"127.0.0.1:{port}").replace(PROXY, f"127.0.0.1:{upstream_port}")
    config.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + site)
    command = (need("caddy"), "run", "--adapter", "caddyfile", "--config", str(config))
    async with _running(port, *command, environ={"HOME": str(folder)}):
        yield port


@contextlib.asynccontextmanager
async def _running(port: int, *command: str, environ: dict[str, str] | None = None) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(environ or {})},
    )
    try:
        async with asyncio.timeout(START_S):
            while not _is_open(port):
                assert process.returncode is None, f"{command[0]} ended while it started"
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
