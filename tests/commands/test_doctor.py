"""The command as a user meets it: exit codes, messages without tracebacks, and no key anywhere."""

import asyncio
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import fronts
from tests.support.proxy import PROJECT, proxy_process

KEY = "callers-key-0123456789abcdef"
CONFIG = {
    "listen": "127.0.0.1:0",
    "providers": [{"name": "demo"}],
    "models": [{"name": "practice", "targets": [{"provider": "demo", "model": "demo"}]}],
    "auth": {"keys": [{"name": "a", "key": "env:DOCTORS_KEY"}]},
    "drain": {"lame_duck_s": 0, "deadline_s": 1},
}
QUICK = ("--silence", "0.8", "--pause", "0.3")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


async def doctor(*arguments: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "doctor", *arguments),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "", "DOCTORS_KEY": KEY},
    )
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def test_healthy_way_and_an_ill_one(tmp_path: Path) -> None:
    fronts.need("nginx")
    short = "client_max_body_size 32m; location / { proxy_pass http://127.0.0.1:8080; proxy_read_timeout 300ms; }"
    async with (
        proxy_process(CONFIG, tmp_path, environ={"DOCTORS_KEY": KEY}) as proxy,
        fronts.nginx(proxy.port, tmp_path, short) as port,
    ):
        asked = ("--key-env", "DOCTORS_KEY", "--model", "practice", *QUICK)
        well, ill = await asyncio.gather(
            doctor(f"{proxy.url}/v1", *asked), doctor(f"http://127.0.0.1:{port}", *asked, "--json")
        )

    assert (well.code, well.err) == (0, "")
    assert "Nothing in front does harm to streams." in well.out
    assert (ill.code, ill.err) == (1, "")
    answer = json.loads(ill.out)
    assert answer["front"] == "nginx" and not answer["healthy"]
    assert "idle_cut" in {found["ailment"] for found in answer["findings"]}
    assert KEY not in well.out + ill.out + proxy.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ftp://a.example",), 2, "expected http://"),
        (("http://a.example", "--key-env", "NOT_SET"), 2, "NOT_SET of --key-env is not set"),
        (("http://a.example", "--silence", "0"), 2, "expected seconds"),
        (("--key-env", "NOT_SET"), 2, "NOT_SET of --key-env is not set"),
        (("http://127.0.0.1:9",), 1, "http://127.0.0.1:9: "),
        (("http://no-such-host.invalid",), 1, "http://no-such-host.invalid: "),
    ],
)
async def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], code: int, said: str) -> None:
    ran = await doctor(*arguments)

    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err and "Traceback" not in ran.err
