"""The page as files: what is served, with which headers, and that it needs nothing from anywhere else."""

import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.playground import answer_playground
from tests.support import node
from tests.support.corpus import ROOT

FOLDER = ROOT / "proxy/playground"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".html", ".js", ".css", ".svg"))

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer_playground)
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/playground", "/playground/", "/playground/index.html"])
async def test_page_is_served_with_a_policy_that_trusts_nobody_else(client: Client, path: str) -> None:
    response = await client.get(path)

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "<!doctype html>" in await response.text()


async def test_head_is_answered_without_a_body(client: Client) -> None:
    response = await client.head("/")

    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 1000
    assert await response.read() == b""


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_files_have_their_media_type(client: Client, name: str, media_type: str) -> None:
    response = await client.get(f"/playground/{name}")

    assert response.status == 200
    assert response.content_type == media_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["__init__.py", "nothing.js", "../auth.py", "%2e%2e/auth.py"])
async def test_nothing_else_is_served(client: Client, name: str) -> None:
    assert (await client.get(f"/playground/{name}")).status == 404


async def test_file_that_the_browser_has_is_not_sent_again(client: Client) -> None:
    etag = (await client.get("/")).headers["ETag"]

    response = await client.get("/", headers={"If-None-Match": etag})

    assert response.status == 304
    assert await response.read() == b""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_load_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()

    assert re.findall(r"""(?:src|href|import|url\(|from)\s*[=(]?\s*["']?(?:https?:)?//[^"']*""", text) == []


def test_page_has_no_inline_script_or_style() -> None:
    page = (FOLDER / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_scripts_never_write_html(path: Path) -> None:
    text = path.read_text()

    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", text) == []
    )


STREAM = (
    ': c\r\ndata: {"text":"a"}\r\n\r\nid: 7\ndata:{"text":"b\u2028c"}\n\n'
    "data: x\rdata\rdata:  y\r\rdata: [DONE]\n\ndata: lost\n"
)
EVENTS = ['{"text":"a"}', '{"text":"b\u2028c"}', "x\n\n y", "[DONE]"]


@pytest.mark.skipif(node.find("node") is None, reason="needs Node")
def test_reader_gives_the_same_events_for_any_split() -> None:
    script = """
        import { readFileSync } from "node:fs";
        const [source, stream] = JSON.parse(readFileSync(0, "utf8"));
        const { SseReader } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
        const read = (pieces) => { const reader = new SseReader(); return pieces.flatMap((piece) => reader.push(piece)); };
        const results = [read([...stream])];
        for (let cut = 0; cut <= stream.length; cut++) results.push(read([stream.slice(0, cut), stream.slice(cut)]));
        console.log(JSON.stringify(results));
    """
    program = node.find("node")
    assert program is not None

    done = subprocess.run(
        [program, "--input-type=module", "-e", script],
        input=msgspec.json.encode([(FOLDER / "stream.js").read_text(), STREAM]),
        capture_output=True,
        check=True,
        timeout=30,
    )

    results = msgspec.json.decode(done.stdout)
    assert len(results) == len(STREAM) + 2
    assert all(found == EVENTS for found in results)
