"""Faults of answers without `stream`."""

import asyncio
import json

import pytest

from tests.demo.conftest import PATIENCE_S, Demo
from tests.demo.test_delivery import REQUESTS, exchange, request_bytes


async def answer_of(demo: Demo, prompt: str, api: str = "openai") -> tuple[bytes, bytes, bool]:
    """Head, raw body, and whether the connection was reset."""
    received, was_reset = await exchange(demo, request_bytes(api, prompt, stream=False))
    head, _, body = received.partition(b"\r\n\r\n")
    return head.lower(), body, was_reset


@pytest.mark.parametrize("api", REQUESTS)
async def test_answer_without_fault_is_one_json_body_with_its_length(demo: Demo, api: str) -> None:
    head, body, _ = await answer_of(demo, "Hello", api)

    assert f"content-length: {len(body)}".encode() in head
    assert "Hello" in json.dumps(json.loads(body))
    assert demo.server.stats.completed == 1


@pytest.mark.parametrize("fault", ["cut", "half"])
async def test_cut_body_is_whole_for_http_only(demo: Demo, fault: str) -> None:
    head, body, _ = await answer_of(demo, f"[[demo fault={fault}]]")

    assert b"transfer-encoding: chunked" in head
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert b'"usage"' not in body
    assert demo.server.stats.failed == 1


@pytest.mark.parametrize(("fault", "resets"), [("fin", False), ("rst", True)])
async def test_broken_body_is_shorter_than_its_length(demo: Demo, fault: str, resets: bool) -> None:
    head, body, was_reset = await answer_of(demo, f"[[demo fault={fault}]]")

    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert 0 < len(body) < length
    assert was_reset == resets


@pytest.mark.parametrize("fault", ["fin@headers", "rst@headers"])
async def test_connection_can_break_before_the_status_line(demo: Demo, fault: str) -> None:
    assert (await answer_of(demo, f"[[demo fault={fault}]]"))[0] == b""


@pytest.mark.parametrize("at", ["", "@first", "@headers"])
async def test_stall_goes_on_when_it_has_a_length(demo: Demo, at: str) -> None:
    _, body, _ = await answer_of(demo, f"[[demo fault=stall{at} stall_s=0.01]]")

    assert json.loads(body)["object"] == "chat.completion"


@pytest.mark.parametrize("api", REQUESTS)
async def test_garbage_is_no_json(demo: Demo, api: str) -> None:
    _, body, _ = await answer_of(demo, "[[demo fault=garbage]]", api)

    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_huge_body_is_still_json(demo: Demo) -> None:
    _, body, _ = await answer_of(demo, "[[demo fault=huge size=300000]]")

    assert len(body) > 300_000
    assert json.loads(body)["object"] == "chat.completion"


@pytest.mark.parametrize("fault", ["pings", "endless", "flood"])
async def test_answer_without_end_sends_white_space_until_the_caller_leaves(demo: Demo, fault: str) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes("openai", f"[[demo fault={fault} interval=0.001]]", stream=False))
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)

    blanks = await asyncio.wait_for(reader.readexactly(20), PATIENCE_S)
    writer.close()

    assert b" " in blanks
    await demo.until(lambda stats: stats.aborted == 1)
