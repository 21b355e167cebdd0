"""A fault of our own, made in a codec: its call is told, the others go on, and neither log nor answer shows content."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Log
from proxy.dialects import DIALECTS
from proxy.hub.transcode import Convert, Passthrough
from proxy.logs import start_logging
from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support import canary
from tests.support.answers import sse
from tests.support.proxied import Proxied, proxied

FIRST = chat_chunk(f"one {canary.COMPLETION} ")
HELD = sse(FIRST + chat_chunk("two ") + CHAT_END, holds=(len(FIRST),))


class OurFault(Exception):
    """With content in its text, as a library's exceptions have."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Where this process logs to, as the proxy does."""
    file = tmp_path / "log"
    with file.open("wb") as sink:
        output = start_logging(Log(), [], sink.fileno())
        yield file
        logging.getLogger().removeHandler(output)
        output.close()


def _raise(*_args: Any, **_options: Any) -> Any:
    secret = {"key": canary.CALLER_KEY, "prompt": canary.PROMPT}
    raise OurFault(f"cannot encode {canary.COMPLETION} for {secret}")


async def _call(on: Proxied, dialect: str) -> RawCall:
    call = RawCall(int(on.url.rpartition(":")[2]))
    await call.send(request_bytes(dialect, "openai_chat"))
    return call


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["passed", "converted"])
async def test_a_fault_before_the_answer_is_an_error_without_content(
    dialect: str, monkeypatch: pytest.MonkeyPatch, log: Path, tmp_path: Path
) -> None:
    async with proxied(tmp_path) as on:
        monkeypatch.setattr(type(DIALECTS[dialect]), "envelope", _raise)
        with contextlib.closing(await _call(on, dialect)) as call:
            answer = await call.read_until(b"}}" if dialect == "openai_chat" else b"}")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert not canary.shown(answer)
    await _check_log(log)


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["passed", "converted"])
async def test_a_fault_in_the_stream_ends_it_and_no_other(
    dialect: str, monkeypatch: pytest.MonkeyPatch, log: Path, tmp_path: Path
) -> None:
    async with proxied(tmp_path) as on:
        on.upstream.respond_with(HELD)
        with (
            contextlib.closing(await _call(on, dialect)) as call,
            contextlib.closing(await _call(on, "canonical")) as other,
        ):
            for one in (call, other):
                await one.read_until(b"one")
            exchanges = [await on.upstream.exchange(index) for index in range(2)]
            with monkeypatch.context() as patched:
                patched.setattr(Passthrough, "feed", _raise)
                patched.setattr(Convert, "feed", _raise)
                exchanges[0].release()
                answer = await call.read_until(b"0\r\n\r\n")
            exchanges[1].release()
            rest = bare_body(await other.read_until(b"0\r\n\r\n"))

    assert b'"finish"' in rest
    assert b"The proxy failed on this stream." in answer
    assert b'"finish_reason":"stop"' not in answer
    assert b"message_stop" not in answer
    await _check_log(log)


async def _check_log(log: Path) -> None:
    async with asyncio.timeout(30):
        while b'"internal_error"' not in log.read_bytes():  # noqa: ASYNC110  the log's thread tells nobody
            await asyncio.sleep(0.01)
    text = log.read_bytes()
    assert b"OurFault" in text
    assert not canary.shown(text)
