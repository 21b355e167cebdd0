"""The second half of `image.sh`: what the image's own settings say is run in its read-only root, and looked at.

Reads ROOT (the mounted image) and IMAGE_JSON (what `buildah inspect` says). Standard library only.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(os.environ["ROOT"])
IMAGE = json.loads(Path(os.environ["IMAGE_JSON"]).read_text())["Docker"]["config"]
USER = IMAGE["User"]
START_S = 20.0
EXTRAS = "botocore.session, google.auth.transport.requests, opentelemetry.sdk.trace, redis.asyncio, uvloop"
LISTEN_AND_ADMIN = {"LLM_STREAM_PROXY_AUTH__ANONYMOUS": "true", "LLM_STREAM_PROXY_ADMIN__LISTEN": "0.0.0.0:9090"}


def inside(command: list[str], environ: dict[str, str]) -> list[str]:
    """`command` as the image's user in its root, without any capability."""
    variables = [*IMAGE["Env"], *(f"{name}={value}" for name, value in environ.items())]
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all"]
    return [*drop, "chroot", f"--userspec={USER}", str(ROOT), "/usr/bin/env", "-i", *variables, *command]


@contextlib.contextmanager
def serving(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The image's own ENTRYPOINT and CMD, until it answers /healthz by the image's own HEALTHCHECK."""
    process = subprocess.Popen(inside([*IMAGE["Entrypoint"], *IMAGE["Cmd"]], environ))
    try:
        deadline = time.monotonic() + START_S
        while not is_healthy():
            assert process.poll() is None, "the proxy ended while it started"
            assert time.monotonic() < deadline, "the proxy did not become healthy"
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=START_S)


def is_healthy() -> bool:
    kind, *command = IMAGE["Healthcheck"]["Test"]
    assert kind == "CMD", "a health check without a shell"
    return subprocess.run(inside(command, {})).returncode == 0


def stream() -> tuple[int, float]:
    """Events of one streamed answer, and the seconds from the first to the last."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "[[demo tokens=40 rate=40]]"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    times = [time.monotonic() for line in response if line.startswith(b"data: ")]
    connection.close()
    return len(times), times[-1] - times[0]


def main() -> None:
    assert USER == "65532:65532", USER
    assert not is_healthy(), "healthy although nothing runs"
    refused = subprocess.run(inside([*IMAGE["Entrypoint"], *IMAGE["Cmd"]], {}), capture_output=True, text=True)
    assert refused.returncode == 2, "an open address without keys must be refused"
    for path in ("/tmp/x", "/opt/venv/x", "/x"):
        wrote = subprocess.run(inside(["python", "-c", f"open({path!r}, 'w')"], {}), capture_output=True, text=True)
        assert "Read-only file system" in wrote.stderr or "Permission denied" in wrote.stderr, (path, wrote.stderr)
    extras = subprocess.run(inside(["python", "-I", "-c", f"import {EXTRAS}"], {}), capture_output=True, text=True)
    assert extras.returncode == 0, extras.stderr
    for environ in ({"LLM_STREAM_PROXY_AUTH__ANONYMOUS": "true"}, LISTEN_AND_ADMIN):
        with serving({**environ, "LLM_STREAM_PROXY_DRAIN__LAME_DUCK_S": "0"}) as process:
            owner = os.stat(f"/proc/{process.pid}").st_uid
            events, seconds = stream()
            assert owner == 65532, owner
            assert events > 30 and seconds > 0.5, (events, seconds)
            print(f"uid {owner}, root read-only: {events} events over {seconds:.2f} s", flush=True)
        assert process.returncode == 0, process.returncode
    print("ok")


if __name__ == "__main__":
    main()
