"""Keys, prompts and completions show nowhere: not in errors that quote them, not in the live view, not in a crash.

`proxy_process` looks at log, standard error, metrics and the live view of every proxy that any test starts.
"""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from tests.e2e.calls import BODIES, RawCall, request_bytes
from tests.e2e.faults_of_callers import post
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support.answers import json as json_answer
from tests.support.answers import sse
from tests.support.canary import COMPLETION, PROVIDER_KEY, shown
from tests.support.proxy import PROJECT, ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

ENVIRON = {"SECRET": PROVIDER_KEY, "PYTHONFAULTHANDLER": "1"}
QUOTING = {"error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}.", "type": "invalid_request_error"}}
ANSWERS = {
    "an event": sse(b"data: " + msgspec.json.encode(QUOTING) + b"\n\n"),
    "a whole answer": json_answer(QUOTING),
    "a refusal": json_answer(QUOTING, status=401),
}


async def test_an_error_before_the_stream_quotes_no_key_whatever_its_status(tmp_path: Path) -> None:
    async with ReplayServer(ANSWERS["an event"]) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1", api_key="env:SECRET")
        config = settings([chat], retry={"attempts": 1}, breaker={"failures": 0})
        async with proxy_process(config, tmp_path, environ=ENVIRON) as proxy:
            for answer in ANSWERS.values():
                upstream.respond_with(answer)
                for dialect in BODIES:
                    for stream in (True, False):
                        await _check_refusal(proxy, dialect, stream=stream)


async def _check_refusal(proxy: ProxyProcess, dialect: str, *, stream: bool) -> None:
    path, fields = BODIES[dialect]
    body = msgspec.json.encode({**fields, "model": "chat", "stream": stream})
    with contextlib.closing(RawCall(proxy.port)) as call:
        await call.send(post(path, body, b"Connection: close"))
        answer = await call.read_to_end()
    assert b"The provider refused the proxy's credential." in answer
    assert not shown(answer)


@pytest.mark.parametrize("on_cut", ["error", "restart"])
async def test_an_error_within_the_stream_quotes_no_key(on_cut: str, tmp_path: Path) -> None:
    said = chat_chunk("one ") + b"data: " + msgspec.json.encode(QUOTING) + b"\n\n"
    answers = {"at once": sse(said), "later": sse(said, holds=(len(chat_chunk("one ")),))}
    async with ReplayServer(sse(said)) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1", api_key="env:SECRET")
        config = settings([chat], retry={"attempts": 1}, breaker={"failures": 0}, on_cut=on_cut)
        async with proxy_process(config, tmp_path, environ=ENVIRON) as proxy:
            for name, answer in answers.items():
                upstream.respond_with(answer)
                for dialect in BODIES:
                    path, fields = BODIES[dialect]
                    body = msgspec.json.encode({**fields, "model": "chat", "stream": True})
                    with contextlib.closing(RawCall(proxy.port)) as call:
                        seen = len(upstream.exchanges)
                        await call.send(post(path, body, b"Connection: close"))
                        exchange = await upstream.exchange(seen)
                        if name == "later":
                            await call.read_until(b"one")
                            exchange.release()
                        heard = await call.read_to_end()

                    assert b"one" in heard
                    assert not shown(heard), (name, dialect)
                    assert b"The provider refused the proxy's credential." in heard


async def test_neither_the_live_view_nor_a_crash_shows_what_is_said(tmp_path: Path) -> None:
    first = chat_chunk(f"one {COMPLETION} ")
    async with ReplayServer(sse(first + CHAT_END, holds=(len(first),))) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1", api_key="env:SECRET")
        config = settings([chat], admin={"listen": "127.0.0.1:0"})
        async with proxy_process(config, tmp_path, environ=ENVIRON) as proxy:
            with contextlib.closing(RawCall(proxy.port)) as call:
                await call.send(request_bytes("openai_chat", "chat"))
                await call.read_until(COMPLETION.encode())

                seen = await _top(proxy)
                proxy.process.send_signal(signal.SIGABRT)
                assert await proxy.process.wait() == -signal.SIGABRT

    assert b"upstream-model" in seen
    assert not shown(seen)
    assert b"Fatal Python error: Aborted" in proxy.log.read_bytes()


async def _top(proxy: ProxyProcess) -> bytes:
    """What `top` says of the calls in progress."""
    command = (sys.executable, "-m", "proxy", "top", proxy.admin_url, "--once")
    top = await asyncio.create_subprocess_exec(*command, cwd=PROJECT, stdout=asyncio.subprocess.PIPE)
    output, _ = await top.communicate()
    return output
