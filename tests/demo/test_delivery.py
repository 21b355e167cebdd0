"""What the faults of the simulated model look like on the wire, and that a caller who leaves stops it."""

import asyncio
import json
import logging
from contextlib import suppress
from time import monotonic
from typing import Any

import aiohttp
import pytest

from proxy.demo.directives import Fault
from proxy.demo.fates import State
from tests.demo.conftest import PATIENCE_S, Demo

GEMINI_PATH = "/v1beta/models/demo:streamGenerateContent?alt=sse"

REQUESTS: dict[str, tuple[str, Any]] = {
    "openai": ("/v1/chat/completions", lambda prompt: {"model": "demo", "stream": True, "messages": _messages(prompt)}),
    "anthropic": (
        "/v1/messages",
        lambda prompt: {"model": "demo", "stream": True, "max_tokens": 500, "messages": _messages(prompt)},
    ),
    "gemini": (GEMINI_PATH, lambda prompt: {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
}


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def request_bytes(api: str, prompt: str, stream: bool = True) -> bytes:
    path, body_of = REQUESTS[api]
    body = body_of(prompt)
    if not stream:
        path = path.replace("streamGenerateContent?alt=sse", "generateContent")
        body.pop("stream", None)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: demo\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
    return head.encode() + data


async def exchange(demo: Demo, request: bytes) -> tuple[bytes, bool]:
    """Every byte of the raw answer, and whether the connection was reset at its end."""
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    received = b""
    try:
        while data := await asyncio.wait_for(reader.read(65536), PATIENCE_S):
            received += data
    except ConnectionResetError:
        return received, True
    finally:
        writer.close()
    return received, False


async def stream_of(demo: Demo, prompt: str, api: str = "openai") -> bytes:
    """The body of a stream that HTTP says is whole."""
    path, body_of = REQUESTS[api]
    async with aiohttp.ClientSession() as session, session.post(demo.url + path, json=body_of(prompt)) as response:
        assert response.status == 200
        return await response.read()


LAST_CHUNK = b"\r\n0\r\n\r\n"

TERMINATORS = {"openai": b"data: [DONE]", "anthropic": b'"message_stop"', "gemini": b"finishReason"}


@pytest.mark.parametrize("api", REQUESTS)
async def test_cut_ends_the_body_cleanly_without_the_terminator(demo: Demo, api: str) -> None:
    body = await stream_of(demo, "[[demo tokens=9 fault=cut@3]]", api)

    assert body.endswith(b"\r\n\r\n" if api == "gemini" else b"\n\n")
    assert TERMINATORS[api] not in body
    assert demo.server.stats.failed == 1
    assert demo.server.stats.tokens == 3


@pytest.mark.parametrize("api", REQUESTS)
async def test_half_ends_the_body_inside_an_event(demo: Demo, api: str) -> None:
    body = await stream_of(demo, "[[demo tokens=9 fault=half@3]]", api)

    assert not body.endswith(b"\n")
    assert TERMINATORS[api] not in body


@pytest.mark.parametrize("api", REQUESTS)
async def test_fin_closes_the_connection_without_the_last_chunk(demo: Demo, api: str) -> None:
    received, was_reset = await exchange(demo, request_bytes(api, "[[demo tokens=9 fault=fin@3]]"))

    assert not was_reset
    assert received.count(b"data: ") >= 3
    assert not received.endswith(LAST_CHUNK)


@pytest.mark.parametrize("api", REQUESTS)
async def test_rst_resets_the_connection(demo: Demo, api: str) -> None:
    received, was_reset = await exchange(demo, request_bytes(api, "[[demo tokens=9 fault=rst@3]]"))

    assert was_reset
    assert received.count(b"data: ") >= 3


@pytest.mark.parametrize("fault", ["fin@headers", "rst@headers"])
async def test_connection_can_break_before_the_status_line(demo: Demo, fault: str) -> None:
    received, was_reset = await exchange(demo, request_bytes("openai", f"[[demo fault={fault}]]"))

    assert received == b""
    assert was_reset == fault.startswith("rst")


async def test_done_leaves_out_nothing_but_the_terminator(demo: Demo) -> None:
    body = await stream_of(demo, "[[demo tokens=3 fault=cut@done]]")

    assert b'"finish_reason":"stop"' in body
    assert b"[DONE]" not in body


async def test_no_finish_leaves_out_the_finish_reason(demo: Demo) -> None:
    body = await stream_of(demo, "[[demo tokens=3 fault=no_finish]]")

    assert b'"finish_reason":"' not in body
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("api", REQUESTS)
async def test_drip_sends_the_same_bytes_one_by_one(demo: Demo, api: str) -> None:
    received, _ = await exchange(demo, request_bytes(api, "[[demo tokens=3 fault=drip]]"))
    _, _, chunked = received.partition(b"\r\n\r\n")

    sizes = [line for line in chunked.split(b"\r\n") if line in (b"1", b"0")]
    assert len(sizes) > 100
    # The same number of tokens, so that the usage is the same.
    assert await stream_of(demo, "[[demo fault=drip]]", api) == await stream_of(demo, "[[demo style=prose]]", api)


async def test_garbage_and_wrong_types_leave_the_rest_of_the_stream_alone(demo: Demo) -> None:
    garbage = await stream_of(demo, "[[demo tokens=4 fault=garbage]]")
    wrong = await stream_of(demo, "[[demo tokens=4 fault=wrong_type]]")

    assert garbage.count(b"not JSON") == 1
    assert wrong.count(b'"delta":7') == 1
    assert garbage.endswith(b"data: [DONE]\n\n")
    assert wrong.endswith(b"data: [DONE]\n\n")


async def test_huge_is_one_event_of_that_size(demo: Demo) -> None:
    body = await stream_of(demo, "[[demo tokens=2 fault=huge size=300000]]")

    assert max(map(len, body.split(b"\n\n"))) > 300_000


async def test_page_and_empty_body_answer_200(demo: Demo) -> None:
    page, _ = await exchange(demo, request_bytes("openai", "[[demo fault=html]]"))
    empty, _ = await exchange(demo, request_bytes("openai", "[[demo fault=empty]]"))

    assert b"200 OK" in page
    assert b"text/html" in page
    assert b"200 OK" in empty
    assert empty.endswith(b"\r\n\r\n")


async def test_whole_answer_can_come_where_a_stream_was_asked_for(demo: Demo) -> None:
    assert json.loads(await stream_of(demo, "[[demo fault=json]]"))["object"] == "chat.completion"


async def test_stall_goes_on_when_it_has_a_length(demo: Demo) -> None:
    started = monotonic()

    body = await stream_of(demo, "[[demo tokens=4 fault=stall stall_s=0.1]]")

    assert monotonic() - started >= 0.1
    assert body.endswith(b"data: [DONE]\n\n")


async def test_usage_can_be_left_out(demo: Demo) -> None:
    received, _ = await exchange(demo, request_bytes("gemini", "[[demo tokens=3 usage=off]]"))

    assert b"usageMetadata" not in received


async def test_pace_is_kept(demo: Demo) -> None:
    started = monotonic()

    await stream_of(demo, "[[demo tokens=20 rate=200 delay=0.05]]")

    assert 0.14 <= monotonic() - started < 5


@pytest.mark.parametrize("api", REQUESTS)
@pytest.mark.parametrize(
    "prompt",
    [
        "[[demo fault=endless]]",
        "[[demo fault=endless@first rate=500]]",
        "[[demo fault=flood]]",
        "[[demo fault=pings@2 interval=0.001 tokens=4]]",
        "[[demo fault=stall@2 tokens=4]]",
        "[[demo tokens=100000 rate=1000]]",
    ],
)
async def test_caller_who_leaves_stops_the_model(demo: Demo, api: str, prompt: str) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes(api, prompt))
    await asyncio.wait_for(reader.readuntil(b"data: "), PATIENCE_S)
    assert demo.server.stats.live == 1

    writer.close()

    await demo.until(lambda stats: stats.live == 0)
    assert (demo.server.stats.aborted, demo.server.stats.completed, demo.server.stats.failed) == (1, 0, 0)


@pytest.mark.parametrize("prompt", ["[[demo fault=stall@headers]]", "[[demo delay=3600]]"])
async def test_caller_who_leaves_before_the_headers_stops_the_model(demo: Demo, prompt: str) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes("openai", prompt))
    await demo.until(lambda stats: stats.live == 1)

    writer.close()

    await demo.until(lambda stats: stats.aborted == 1)


async def test_flood_waits_for_a_caller_who_does_not_read(demo: Demo) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(request_bytes("openai", "[[demo fault=flood]]"))
    await asyncio.wait_for(reader.read(10), PATIENCE_S)
    before = -1

    async with asyncio.timeout(PATIENCE_S):
        while before != demo.server.stats.tokens:
            before = demo.server.stats.tokens
            await asyncio.sleep(0.1)

    assert demo.server.stats.live == 1
    assert before < 5000
    writer.close()
    await demo.until(lambda stats: stats.live == 0)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in (Fault.STATUS, Fault.DRIP)])
@pytest.mark.parametrize(
    ("api", "at"),
    [
        *(("openai", at) for at in ("headers", "first", "2", "end", "done")),
        *((api, at) for api in ("anthropic", "gemini") for at in ("headers", "2")),
    ],
)
async def test_no_fault_is_a_fault_of_the_server(
    demo: Demo, caplog: pytest.LogCaptureFixture, api: str, fault: Fault, at: str
) -> None:
    prompt = f"[[demo tokens=4 fault={fault}@{at} stall_s=0 size=10 interval=0.001]]"
    request = request_bytes(api, prompt)
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    with caplog.at_level(logging.DEBUG):
        writer.write(request)
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(2000), PATIENCE_S)
        writer.close()
        await demo.until(lambda stats: stats.live == 0 and stats.started == 1)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_stamps_say_when_each_token_was_sent_and_padding_makes_it_large(demo: Demo) -> None:
    body = await stream_of(demo, "[[demo tokens=4 rate=50 stamps pad=300]]")

    texts = [
        json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"].get("content")
        for line in body.split(b"\n\n")
        if b'"content":"0' in line
    ]
    times = [float(text.split()[0]) for text in texts]
    assert all(text.endswith(" " + "x" * 300) for text in texts)
    assert len(times) == 4 and times[0] < 0.02 and times == sorted(times) and times[3] >= 0.05


async def test_keep_alives_can_fill_a_stall(demo: Demo) -> None:
    body = await stream_of(demo, "[[demo tokens=4 fault=stall@2 stall_s=0.1 interval=0.02]]")

    assert 3 <= body.count(b": keep-alive\n\n") <= 5
    assert body.endswith(b"data: [DONE]\n\n")


async def fate_of(demo: Demo, name: str) -> Any:
    answer, _ = await exchange(demo, request_bytes("openai", f"[[demo fate={name}]]", stream=False))
    return json.loads(json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"])


async def test_fate_of_a_named_answer_can_be_asked_for(demo: Demo) -> None:
    await stream_of(demo, "[[demo tokens=4 nonce=whole-answer]]")
    await stream_of(demo, "[[demo tokens=4 fault=cut nonce=cut-answer]]")

    whole, cut, none = [await fate_of(demo, name) for name in ("whole-answer", "cut-answer", "never-heard")]

    assert (whole["state"], whole["tokens"]) == ("completed", 4) and whole["bytes"] > 400
    assert 0 <= whole["ended_ago_s"] < PATIENCE_S and whole["age_s"] >= whole["ended_ago_s"]
    assert (cut["state"], cut["tokens"]) == ("failed", 2)
    assert none == {"state": "unknown"}


async def test_fate_tells_when_the_caller_left(demo: Demo) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes("openai", "[[demo fault=endless@1 rate=500 nonce=left-alone]]"))
    await asyncio.wait_for(reader.readuntil(b"data: "), PATIENCE_S)
    live = await fate_of(demo, "left-alone")

    writer.close()
    await demo.until(lambda stats: stats.live == 0)

    left = await fate_of(demo, "left-alone")
    assert (live["state"], left["state"]) == ("live", "left")
    assert "ended_ago_s" not in live and left["ended_ago_s"] < 5


async def test_only_the_newest_names_are_remembered(demo: Demo) -> None:
    fates = demo.server._fates
    for number in range(1001):
        fates.end(fates.begin(f"number-{number}"), State.COMPLETED)

    assert ["unknown" in fates.tell(f"number-{number}") for number in (0, 1, 1000)] == [True, False, False]


@pytest.mark.parametrize("name", ["short", "with.dots-in-it", "x" * 65])
async def test_name_that_could_be_guessed_or_is_none_is_refused(demo: Demo, name: str) -> None:
    received, _ = await exchange(demo, request_bytes("openai", f"[[demo nonce={name}]]"))

    assert received.startswith(b"HTTP/1.1 400")
