"""A running proxy for tests: in this process, or as a process of its own where memory and signals are the subject."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support import canary

PROJECT = Path(__file__).parents[2]
START_S = 40.0


def provider(name: str, kind: str, base_url: str, **more: Any) -> dict[str, Any]:
    """A provider entry whose key is not needed."""
    return {"name": name, "kind": kind, "base_url": base_url, "api_key": "none", **more}


def settings(providers: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A configuration with these providers, one model for each by its name, and no waiting at the end.

    The loop is asyncio's own, whatever is installed; PROXY_EVENT_LOOP=uvloop runs the same tests on the other one.
    """
    return {
        "listen": "127.0.0.1:0",
        "providers": list(providers),
        "models": [
            {"name": entry["name"], "targets": [{"provider": entry["name"], "model": "upstream-model"}]}
            for entry in providers
        ],
        "drain": {"lame_duck_s": 0, "deadline_s": 5},
        "event_loop": os.environ.get("PROXY_EVENT_LOOP", "asyncio"),
        **more,
    }


class ProxyProcess:
    """A proxy in a process of its own. Made by `proxy_process`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.admin_url = url
        """Where the admin routes are: on the same port, unless the configuration says otherwise."""
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def resident_bytes(self) -> int:
        """Memory that the process really holds (proportional set size)."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Pss line")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def stop_at_rest(self) -> None:
        """SIGSTOP once it has done all that it was given and waits for more.

        What comes while it is stopped is then found in the order in which it came: epoll puts a descriptor that it
        has just reported before any newer one until it is asked again.
        """
        await self._until_state("S", samples=3)
        self.process.send_signal(signal.SIGSTOP)
        await self._until_state("T", samples=1)

    async def _until_state(self, state: str, samples: int) -> None:
        """Until the kernel says so `samples` times in a row, 10 ms apart (proc_pid_stat(5), third field)."""
        seen = 0
        async with asyncio.timeout(START_S):
            while seen < samples:
                await asyncio.sleep(0.01)
                now = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
                seen = seen + 1 if now == state else 0


@contextlib.asynccontextmanager
async def proxy_process(
    config: Mapping[str, Any],
    tmp_path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
    module: str = "proxy",
    log_to: int | None = None,
) -> AsyncIterator[ProxyProcess]:
    """Start `python -m proxy serve` with `config`, and end it: by SIGTERM, by SIGKILL if that takes too long.

    Fails the test when anything that the proxy has written, or lets operators read, holds a canary.

    `file`: where `config` stands already. `module`: what to run in place of `proxy`, with the same arguments. `log_to`: a
    descriptor that takes its standard error in place of the log file.
    """
    if file is None:
        file = tmp_path / "proxy.yaml"
        file.write_text(yaml.safe_dump(dict(config)))
    log = tmp_path / "proxy.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "serve", "--config", str(file)),
            cwd=PROJECT,
            stdout=asyncio.subprocess.PIPE,
            stderr=sink if log_to is None else log_to,
            env={**os.environ, **(environ or {})},
        )
    shown: list[bytes] = []
    try:
        proxy = ProxyProcess(process, await _url(process, log), log)
        if "admin" in config:
            proxy.admin_url = await _admin_url(process)
        yield proxy
        if process.returncode is None:
            shown = canary.shown(await _admin_texts(proxy))
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(START_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        # Reads what is left of its output, so that the transport closes in the test and not in the garbage collector.
        output, _ = await process.communicate()
    # The log file holds standard error as well: warnings, and what Python prints of a fault that nobody caught.
    shown += canary.shown(output + log.read_bytes())
    assert not shown, f"a proxy shows {set(shown)}"


async def _admin_texts(proxy: ProxyProcess) -> bytes:
    """What its operators can read; nothing when it does not answer at once."""
    texts = b""
    for path in ("/metrics", "/streams"):
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                port = int(proxy.admin_url.rpartition(":")[2])
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n".encode())
                try:
                    texts += await reader.read()
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
    return texts


async def _url(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        while line := await process.stdout.readline():
            if line.startswith(b"listening on "):
                return line.split()[2].decode()
    raise AssertionError(f"the proxy did not start: {log.read_text()[-2000:]}")


async def _admin_url(process: asyncio.subprocess.Process) -> str:
    """What the rest of the start's lines say of it."""
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        while line := await process.stdout.readline():
            if line.startswith(b"metrics, health"):
                return line.split()[2].decode().removesuffix("/metrics")
    raise AssertionError("the proxy does not say where its admin routes are")
