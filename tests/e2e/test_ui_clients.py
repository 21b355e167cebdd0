"""Chat interfaces and Ollama clients through the whole proxy: real clients on real sockets, a scripted provider."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ollama
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall, bare_body
from tests.support import node
from tests.support.answers import json as json_answer
from tests.support.answers import sse
from tests.support.corpus import ROOT
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.reader import Call
from tests.support.readers.ollama import read_generate, read_stream, read_whole, read_whole_generate
from tests.support.readers.ui_clients import reading_of
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

needs_node = pytest.mark.skipif(not node.is_ready(), reason=node.MISSING)

FIXTURES = ROOT / "tests/fixtures"

UI_READERS = [
    pytest.param(name, dialect, marks=needs_node)
    for name, dialect in (
        ("ai7-ui", "ui_message_stream"),
        ("ai6-ui", "ui_message_stream"),
        ("ai5-ui", "ui_message_stream"),
        ("ai4-data", "data_stream"),
        ("ag-ui-js", "ag_ui"),
    )
]
TOOLS = [{"name": "get_weather", "description": "", "parameters": {"type": "object", "properties": {"city": {}}}}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[ProxyProcess, ReplayServer]]:
    """A proxy whose default model answers with what the test scripts."""
    async with ReplayServer(sse(b"")) as upstream:
        providers = [
            provider("anthropic", "anthropic", upstream.base_url),
            provider("openai", "openai_chat", f"{upstream.base_url}/v1"),
        ]
        config = settings(providers, default_model="anthropic", retry={"attempts": 1})
        async with proxy_process(config, tmp_path_factory.mktemp("ui")) as proxy:
            yield proxy, upstream


def fixture(name: str) -> bytes:
    return (FIXTURES / "anthropic" / f"{name}.sse").read_bytes()


async def read(proxy: ProxyProcess, name: str, **options: Any) -> dict[str, Any]:
    return await node.worker().read(name, Call(proxy.url, "anthropic", options))


@pytest.mark.parametrize(("name", "dialect"), UI_READERS)
async def test_clients_read_a_signed_answer(stage: tuple[ProxyProcess, ReplayServer], name: str, dialect: str) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("reasoning")))

    reading = reading_of(await read(proxy, name), dialect)

    assert reading.error is None, reading.error_message
    assert reading.text and reading.reasoning
    assert reading.finish == "stop"
    assert reading.tokens is not None


@pytest.mark.parametrize(("name", "dialect"), UI_READERS)
async def test_clients_read_parallel_calls(stage: tuple[ProxyProcess, ReplayServer], name: str, dialect: str) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("parallel-tools")))

    reading = reading_of(await read(proxy, name, tools=TOOLS), dialect)

    assert len(reading.tool_calls) == 2
    assert reading.finish == "tool_calls"


@pytest.mark.parametrize(("name", "dialect"), UI_READERS)
async def test_clients_raise_on_an_error_midway(
    stage: tuple[ProxyProcess, ReplayServer], name: str, dialect: str
) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("mid-stream-error")))

    reading = reading_of(await read(proxy, name), dialect)

    assert reading.error is not None


@pytest.mark.parametrize(("name", "dialect"), UI_READERS)
async def test_clients_raise_on_an_error_before_the_stream(
    stage: tuple[ProxyProcess, ReplayServer], name: str, dialect: str
) -> None:
    proxy, upstream = stage
    upstream.respond_with(json_answer({"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}, 529))

    reading = reading_of(await read(proxy, name), dialect)

    assert reading.error is not None
    assert "Busy" in reading.error_message


# --- the next turn


@needs_node
async def test_second_turn_gives_signatures_and_results_back(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("reasoning")))
    signed = (await read(proxy, "ai7-ui"))["message"]
    upstream.respond_with(sse(fixture("tool-call")))
    called = (await read(proxy, "ai7-ui", tools=TOOLS))["message"]
    call = next(part for part in called["parts"] if part["type"].startswith("tool-"))
    call.update(state="output-available", output={"celsius": 4})
    user = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}

    reading = await read(proxy, "ai7-ui", messages=[user, signed, user, called], tools=TOOLS)

    sent = json.loads(upstream.exchanges[-1].body)["messages"]
    assert reading["error"] is None, reading["error_message"]
    blocks = [block for message in sent if isinstance(message["content"], list) for block in message["content"]]
    kinds = [block["type"] for block in blocks]
    assert kinds.count("thinking") == 1 and kinds.count("tool_use") == 1 and kinds.count("tool_result") == 1
    assert next(block for block in blocks if block["type"] == "thinking")["signature"]
    assert reading["message"]["id"] == called["id"], "another id would show the message twice"


@needs_node
async def test_ag_ui_messages_come_back_as_the_turn_that_they_were(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("reasoning")))
    user = {"id": "u1", "role": "user", "content": "hi"}
    answer = (await read(proxy, "ag-ui-js", messages=[user]))["message"]

    reading = await read(proxy, "ag-ui-js", messages=[user, *answer, {**user, "id": "u2"}], temperature=0.5)

    sent = json.loads(upstream.exchanges[-1].body)
    assert reading["error"] is None, reading["error_message"]
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in sent["messages"][1]["content"]] == [
        "thinking",
        "redacted_thinking",
        "text",
    ]
    assert sent["messages"][1]["content"][0]["signature"]


@needs_node
async def test_there_is_nothing_to_resume(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, _ = stage

    assert (await read(proxy, "ai7-ui-resume"))["finish"] == "nothing"


# --- text


async def post(proxy: ProxyProcess, path: str, body: object) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.post(f"{proxy.url}{path}", json=body) as response:
        return response.status, response.headers["content-type"], await response.read()


@needs_node
@pytest.mark.parametrize("name", ["ai7-text", "ai5-text"])
async def test_text_clients_read_text(stage: tuple[ProxyProcess, ReplayServer], name: str) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("text")))

    reading = await read(proxy, name)

    assert reading["error"] is None, reading["error_message"]
    assert reading["text"]


@needs_node
async def test_text_clients_raise_on_an_error_midway(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("mid-stream-error")))

    assert (await read(proxy, "ai7-text"))["error"] is not None


async def test_failed_text_arrives_as_far_as_it_came_and_breaks(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, upstream = stage
    received = await failed_text(proxy, upstream, "HTTP/1.1")

    head, _, body = received.partition(b"\r\n\r\n")
    assert b"200 OK" in head and b"text/plain" in head
    assert body and not body.endswith(b"0\r\n\r\n")
    with pytest.raises(ValueError):
        bare_body(received)


async def test_failed_text_is_reset_where_only_the_end_of_the_connection_tells(
    stage: tuple[ProxyProcess, ReplayServer],
) -> None:
    proxy, upstream = stage
    with pytest.raises(ConnectionResetError):
        await failed_text(proxy, upstream, "HTTP/1.0")


async def test_answer_without_text_is_an_empty_text(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("parallel-tools")))

    status, content_type, body = await post(proxy, "/ui/text/chat", {"prompt": "hi"})

    assert (status, content_type, body) == (200, "text/plain; charset=utf-8", b"")


async def failed_text(proxy: ProxyProcess, upstream: ReplayServer, version: str) -> bytes:
    """The raw response to a call whose text had left before its provider failed."""
    body = fixture("mid-stream-error")
    upstream.respond_with(sse(body, holds=(body.index(b"event: error"),)))
    number = len(upstream.exchanges)
    call = RawCall(proxy.port)
    try:
        await call.send(raw_request("/ui/text/chat", {"prompt": "hi"}, version))
        await call.read_until(b"Part")
        (await upstream.exchange(number)).release()
        return await call.read_to_end()
    finally:
        call.leave()


def raw_request(path: str, fields: object, version: str) -> bytes:
    body = json.dumps(fields).encode()
    return f"POST {path} {version}\r\nHost: proxy\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


# --- whole answers


@pytest.mark.parametrize(
    ("path", "body", "text_of"),
    [
        ("/ui/chat", {"prompt": "hi", "stream": False}, lambda seen: seen["parts"][-1]["text"]),
        ("/ui/v4/chat", {"prompt": "hi", "stream": False}, lambda seen: seen["content"]),
        ("/ui/text/chat", {"prompt": "hi", "stream": False}, lambda seen: seen["text"]),
        (
            "/ag-ui",
            {"messages": [{"id": "u", "role": "user", "content": "hi"}], "forwardedProps": {"stream": False}},
            lambda seen: seen["messages"][-1]["content"],
        ),
    ],
)
async def test_whole_answers_say_the_text(
    stage: tuple[ProxyProcess, ReplayServer], path: str, body: object, text_of: Any
) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("text")))
    _, _, text = await post(proxy, "/ui/text/chat", {"prompt": "hi"})

    status, content_type, whole = await post(proxy, path, body)

    assert status == 200 and content_type.startswith("application/json")
    assert text_of(json.loads(whole)) == text.decode()


# --- Ollama


@pytest.mark.parametrize("reader", [read_stream, read_whole, read_generate, read_whole_generate])
async def test_ollama_client_reads_text(stage: tuple[ProxyProcess, ReplayServer], reader: Any) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("text")))
    _, _, text = await post(proxy, "/ui/text/chat", {"prompt": "hi"})

    reading = await reader(Call(proxy.url, "anthropic"))

    assert reading.error is None, reading.error_message
    assert (reading.text, reading.finish) == (text.decode(), "stop")
    assert reading.tokens is not None


async def test_ollama_client_raises_on_an_error_midway(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, upstream = stage
    upstream.respond_with(sse(fixture("mid-stream-error")))

    reading = await read_stream(Call(proxy.url, "anthropic"))

    assert reading.error == "ResponseError"


async def test_ollama_client_lists_models(stage: tuple[ProxyProcess, ReplayServer]) -> None:
    proxy, _ = stage
    async with ollama.AsyncClient(host=f"{proxy.url}/ollama") as client:
        listed = await client.list()

    assert [model.model for model in listed.models] == ["anthropic", "openai"]
    assert all(model.modified_at is not None for model in listed.models)


# --- bad input

HI = [{"id": "u", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]
PLAIN = [{"id": "u", "role": "user", "content": "hi"}]
BAD = [
    ("/ui/chat", b"hello", "JSON"),
    ("/ui/chat", {}, "messages"),
    ("/ui/chat", {"messages": []}, "messages"),
    ("/ui/chat", {"messages": [{"role": "king", "parts": []}]}, "messages[0].role"),
    ("/ui/chat", {"messages": HI, "model": 7}, "model"),
    ("/ui/chat", {"messages": HI, "temperature": "hot"}, "temperature"),
    ("/ui/v4/chat", {"messages": "hi"}, "messages"),
    ("/ui/text/chat", {"prompt": 5}, "prompt"),
    ("/ag-ui", {"messages": [], "threadId": "t"}, "messages"),
    ("/ag-ui", {"messages": [{"role": "king"}]}, "messages[0].role"),
    ("/ag-ui", {"messages": PLAIN, "forwardedProps": {"model": 7}}, "forwardedProps.model"),
    ("/ollama/api/chat", {"model": "anthropic"}, "messages"),
    ("/ollama/api/chat", {"model": "anthropic", "messages": [{"role": "king", "content": ""}]}, "messages[0].role"),
    ("/ollama/api/chat", {"model": "anthropic", "messages": PLAIN, "think": "hard"}, "think"),
    ("/ollama/api/generate", {"model": "anthropic"}, "prompt"),
]


@pytest.mark.parametrize(("path", "body", "says"), BAD)
async def test_bad_input_is_refused_before_any_money_is_spent(
    stage: tuple[ProxyProcess, ReplayServer], path: str, body: object, says: str
) -> None:
    proxy, upstream = stage
    before = len(upstream.exchanges)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async with aiohttp.ClientSession() as session, session.post(f"{proxy.url}{path}", data=data) as response:
        status, answer = response.status, await response.json()

    message = answer["error"] if path.startswith("/ollama") else answer["error"]["message"]
    assert (status, says in message) == (400, True), message
    assert len(upstream.exchanges) == before
