"""What becomes of an answer that is cut: the policies of `on_cut`, read by real SDKs where they can."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.e2e.calls import RawCall
from tests.e2e.fault_row import (
    CHUNKED,
    LAST,
    PART,
    WHOLE,
    WORDS,
    Drip,
    Script,
    Steps,
    Then,
    Wire,
    chunk,
    good,
    sized,
    streamed,
)
from tests.e2e.fault_upstream import Scenario
from tests.e2e.faults_of_callers import post
from tests.e2e.pair import Pair, pair
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support.reader import Call, Reader
from tests.support.readers import READERS, reader_params

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMING = [reader for reader in READERS if reader.streams]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with pair(tmp_path_factory.mktemp("restart"), on_cut="restart", breaker={"failures": 0}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def go_on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("continue")
    async with pair(folder, on_cut="continue", prefill=True, breaker={"failures": 0}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def from_anthropic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """The first target speaks another API than the second."""
    folder = tmp_path_factory.mktemp("anthropic")
    async with pair(folder, first_kind="anthropic", on_cut="restart", breaker={"failures": 0}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def default(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with pair(tmp_path_factory.mktemp("default"), breaker={"failures": 0}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def from_gemini(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("gemini")
    async with pair(folder, first_kind="gemini", on_cut="restart", breaker={"failures": 0}) as running:
        yield running


NO_REASONING = {"text_stream"}
"""Dialects that have no place for it."""
KEEPS_THE_LAST_PIECE = {"openai-js-helper"}
"""Fields that the SDK does not know are not added up by it."""

# --- answers

ROLE = chat_chunk("").replace(b'"content":""', b'"role":"assistant","content":""')
"""OpenAI's first chunk; its JavaScript helper fails without."""


def cut_after(*events: bytes) -> tuple[Script, ...]:
    """An OpenAI Chat stream that is reset after `events`."""
    return (lambda wire: (CHUNKED + chunk(ROLE + b"".join(events)), Drip(b"", pause_s=0.05), Then.RST),)


def _cut(wire: Wire) -> Steps:
    begin = ROLE if wire.kind == "openai_chat" else b""
    return (CHUNKED + chunk(begin + wire.part), Drip(b"", pause_s=0.05), Then.RST)


CUT = (_cut,)


def answer(*events: bytes) -> tuple[Script, ...]:
    """A whole OpenAI Chat stream."""
    return (lambda wire: (streamed(b"".join(events) + CHAT_END),),)


def delta(**fields: Any) -> bytes:
    """One chunk."""
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def reasoning(text: str) -> bytes:
    return delta(reasoning_content=text)


def call(arguments: str, **start: Any) -> bytes:
    """A piece of one tool call; `start`: with its id and name."""
    function = {"arguments": arguments, **({"name": start["name"]} if start else {})}
    return delta(
        tool_calls=[{"index": 0, "type": "function", **({"id": start["id"]} if start else {}), "function": function}]
    )


def usage(prompt: int, completion: int) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": counts}
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


REST = answer(chat_chunk(" three "))


def last_message(scenario: Scenario) -> dict[str, Any]:
    """Of the newest request."""
    return msgspec.json.decode(scenario.attempts[-1].body)["messages"][-1]


# --- text, in every dialect


@pytest.mark.parametrize("reader", reader_params(STREAMING))
async def test_a_second_answer_goes_on_from_the_beginning(reader: Reader, restart: Pair) -> None:
    model = f"pair-{reader.name}"
    restart.play(model, CUT, (good,))

    reading = await reader.read(Call(restart.proxy.url, model=model))

    assert (reading.text, reading.error) == (WHOLE, None)


@pytest.mark.parametrize("reader", reader_params(STREAMING))
async def test_a_second_answer_goes_on_after_a_prefill(reader: Reader, go_on: Pair) -> None:
    model = f"pair-{reader.name}"
    _, second = go_on.play(model, CUT, REST)

    reading = await reader.read(Call(go_on.proxy.url, model=model))

    assert (reading.text, reading.error) == (WHOLE, None)
    assert last_message(second) == {"role": "assistant", "content": PART.rstrip()}


@pytest.mark.parametrize("reader", reader_params(STREAMING))
async def test_a_second_answer_comes_from_another_api(reader: Reader, from_anthropic: Pair) -> None:
    model = f"pair-{reader.name}"
    from_anthropic.play(model, CUT, (good,))

    reading = await reader.read(Call(from_anthropic.proxy.url, model=model))

    assert (reading.text, reading.error) == (WHOLE, None)


@pytest.mark.parametrize("reader", reader_params(STREAMING))
async def test_by_default_a_cut_is_an_error(reader: Reader, default: Pair) -> None:
    model = f"pair-{reader.name}"
    first, second = default.play(model, CUT, (good,))

    reading = await reader.read(Call(default.proxy.url, model=model))

    assert reading.ending == "error" or reader.dialect == "text_stream"
    assert reading.text != WHOLE
    assert (len(first.attempts), len(second.attempts)) == (1, 0)


# --- policies


async def test_a_target_that_refuses_the_prefill_is_asked_from_the_beginning(go_on: Pair) -> None:
    def refuse(wire: Wire) -> Steps:
        return (sized("400 No", b'{"error":{"message":"Last message must be from the user."}}'),)

    _, second = go_on.play("pair-refuses", CUT, (refuse, good))

    heard = await go_on.hear("pair-refuses")

    assert (heard.text, heard.is_whole) == (WHOLE, True)
    assert len(second.attempts) == 2
    assert last_message(second)["role"] == "user"


async def test_a_target_without_prefill_is_asked_from_the_beginning(restart: Pair) -> None:
    _, second = restart.play("pair-plain", CUT, (good,))

    await restart.hear("pair-plain")

    assert last_message(second)["role"] == "user"


@pytest.mark.parametrize("text", ["uno dos tres", "one ", ""], ids=["other", "shorter", "empty"])
async def test_a_second_answer_that_does_not_repeat_the_first_is_an_error(text: str, restart: Pair) -> None:
    model = f"pair-differs-{len(text)}"
    restart.play(model, CUT, answer(chat_chunk(text)))

    heard = await restart.hear(model)

    assert heard.text == PART
    assert len(heard.of("error")) == 1
    assert not heard.of("finish")
    assert heard.is_done


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "canonical"])
async def test_when_the_second_is_cut_as_well_the_first_fault_is_told_once(dialect: str, restart: Pair) -> None:
    model = f"pair-both-{dialect}"
    restart.play(model, CUT, CUT)

    body = await restart.raw(dialect, model)

    assert body.count(b'"error":{') == 1
    assert b"cut off" in body
    assert b'"finish_reason":"stop"' not in body
    assert b"message_stop" not in body


async def test_when_the_second_is_cut_as_well_a_dialect_without_errors_is_broken_off(restart: Pair) -> None:
    restart.play("pair-twice-text", CUT, CUT)
    body = msgspec.json.encode({"model": "pair-twice-text", "prompt": "hi"})

    with contextlib.closing(RawCall(restart.proxy.port)) as call:
        await call.send(post("/ui/text/chat", body))
        received = await call.read_to_end()

    assert b"two " in received
    assert b"\r\n0\r\n" not in received


async def test_a_third_answer_mends_a_second_one_that_is_cut(restart: Pair) -> None:
    first, second = restart.play("pair-third", (_cut, good), CUT)

    heard = await restart.hear("pair-third")

    assert (heard.text, heard.is_whole) == (WHOLE, True)
    # By the configured order, whatever the jitter: the first target's second time comes before the second's.
    assert (len(first.attempts), len(second.attempts)) == (2, 1)
    assert joins(heard.comments) == [b": x-proxy-joins 1 second", b": x-proxy-joins 2 first"]


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "canonical"])
@pytest.mark.usefixtures("restart", "go_on")
@pytest.mark.parametrize("policy", ["restart", "go_on"])
async def test_a_joined_answer_says_how_often_and_by_whom(
    policy: str, dialect: str, request: pytest.FixtureRequest
) -> None:
    targets: Pair = request.getfixturevalue(policy)
    model = f"pair-joined-{policy}-{dialect}"
    targets.play(model, CUT, (good,) if policy == "restart" else REST)

    body = await targets.raw(dialect, model)

    assert joins(body) == [b": x-proxy-joins 1 second"]
    assert '"joins":1' in await targets.log_line(model)


async def test_a_failover_without_content_is_no_join(restart: Pair) -> None:
    restart.play("pair-unjoined", (lambda wire: (CHUNKED, Then.RST),), (good,))

    assert joins(await restart.raw("canonical", "pair-unjoined")) == []
    assert '"joins"' not in await restart.log_line("pair-unjoined")


def joins(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines() if line.startswith(b": x-proxy-joins")]


def _cut_after_finish(wire: Wire) -> Steps:
    begin = ROLE if wire.kind == "openai_chat" else b""
    body = begin + wire.part + wire.words[2] + wire.finish + wire.terminator[:10]
    return (CHUNKED + chunk(body), Drip(b"", pause_s=0.05), Then.RST)


@pytest.mark.parametrize("reader", reader_params([reader for reader in STREAMING if reader.dialect == "openai_chat"]))
@pytest.mark.usefixtures("restart", "go_on", "default")
@pytest.mark.parametrize("policy", ["restart", "go_on", "default"])
async def test_a_caller_who_has_the_finish_reason_gets_no_second_one(
    policy: str, reader: Reader, request: pytest.FixtureRequest
) -> None:
    """A cut within the terminator. A prefill would be the whole answer, and what follows it text behind its end."""
    targets: Pair = request.getfixturevalue(policy)
    model = f"pair-finished-{policy}-{reader.name}"
    _, second = targets.play(model, (_cut_after_finish,), (good,))

    reading = await reader.read(Call(targets.proxy.url, model=model))
    body = await targets.raw("openai_chat", model)

    assert body.count(b'"finish_reason":"stop"') == 1
    if policy == "default":
        assert (reading.ending, body.count(b'"error":{'), body.count(b"[DONE]")) == ("error", 1, 0)
        assert not second.attempts
    else:
        assert (reading.text, reading.error) == (WHOLE, None)
        assert (body.count(b'"error":{'), body.count(b"[DONE]")) == (0, 1)
        assert last_message(second)["role"] == "user"


@pytest.mark.parametrize("more", [chat_chunk("four "), call("{}", id="c", name="f")], ids=["text", "call"])
async def test_nothing_follows_a_finish_reason_that_the_caller_has(more: bytes, restart: Pair) -> None:
    model = f"pair-goes-beyond-{len(more)}"
    restart.play(model, (_cut_after_finish,), answer(*map(chat_chunk, WORDS), more))

    body = await restart.raw("openai_chat", model)

    assert b"four " not in body
    assert b"tool_calls" not in body
    assert (body.count(b'"finish_reason":"stop"'), body.count(b'"error":{'), body.count(b"[DONE]")) == (1, 1, 0)


@pytest.mark.parametrize("reader", reader_params([reader for reader in STREAMING if reader.dialect == "anthropic"]))
async def test_an_anthropic_caller_who_has_the_stop_reason_gets_the_rest(reader: Reader, from_anthropic: Pair) -> None:
    model = f"pair-stopped-{reader.name}"
    from_anthropic.play(model, (_cut_after_finish,), (good,))

    reading = await reader.read(Call(from_anthropic.proxy.url, model=model))
    body = await from_anthropic.raw("anthropic", model)

    assert (reading.text, reading.finish, reading.error) == (WHOLE, "stop", None)
    once = (b"message_start", b"content_block_stop", b"message_delta", b"message_stop")
    assert [body.count(b"event: %b\n" % name) for name in once] == [1, 1, 1, 1]
    assert body.count(b'"stop_reason":"') == 1


@pytest.mark.parametrize("reader", reader_params([reader for reader in STREAMING if reader.dialect == "gemini"]))
async def test_a_gemini_caller_who_has_the_finish_reason_gets_no_second_one(reader: Reader, from_gemini: Pair) -> None:
    """This API's reason is its terminator, but for the end of the body, at which the answer was cut."""
    model = f"pair-stopped-{reader.name}"
    from_gemini.play(model, (_cut_after_finish,), answer(*map(chat_chunk, WORDS), usage(3, 2)))

    reading = await reader.read(Call(from_gemini.proxy.url, model=model))
    path = f"/v1beta/models/{model}:streamGenerateContent"
    request = {"contents": [{"role": "user", "parts": [{"text": "count"}]}]}
    events = await from_gemini.http.post(f"{path}?alt=sse", json=request)

    assert (reading.text, reading.finish, reading.error) == (WHOLE, "stop", None)
    assert events.content.count(b'"finishReason"') == 1
    assert msgspec.json.decode(events.content.split(b"data: ")[-1])["usageMetadata"]["promptTokenCount"] == 8


@pytest.mark.parametrize("reader", reader_params([reader for reader in STREAMING if reader.dialect == "gemini"]))
async def test_content_that_came_with_an_error_is_not_lost(reader: Reader, from_gemini: Pair) -> None:
    def failing(wire: Wire) -> Steps:
        return (CHUNKED + chunk(wire.words[0]), Drip(b"", pause_s=0.05), chunk(wire.words[1] + wire.error) + LAST)

    model = f"pair-with-error-{reader.name}"
    from_gemini.play(model, (failing,), (good,))

    reading = await reader.read(Call(from_gemini.proxy.url, model=model))

    assert (reading.text, reading.finish, reading.error) == (WHOLE, "stop", None)


async def test_a_caller_who_was_not_told_the_finish_reason_gets_a_joined_answer(restart: Pair) -> None:
    """Conversion ends a message only with its terminator."""
    restart.play("pair-untold", (_cut_after_finish,), (good,))

    heard = await restart.hear("pair-untold")

    assert (heard.text, heard.is_whole) == (WHOLE, True)
    assert len(heard.of("finish")) == 1


# --- reasoning, tool calls, usage


async def test_reasoning_before_delivered_text_is_not_repeated(restart: Pair) -> None:
    first = cut_after(reasoning("thinking"), chat_chunk("one "))
    restart.play("pair-thought", first, answer(reasoning("thinking anew"), *map(chat_chunk, WORDS)))

    heard = await restart.hear("pair-thought")

    assert (heard.text, heard.reasoning, heard.is_whole) == (WHOLE, "thinking", True)


@pytest.mark.parametrize(
    "reader", reader_params([reader for reader in STREAMING if reader.dialect not in NO_REASONING])
)
@pytest.mark.usefixtures("restart", "go_on")
@pytest.mark.parametrize("policy", ["restart", "go_on"])
async def test_reasoning_that_was_open_is_ended_and_the_new_one_follows(
    policy: str, reader: Reader, request: pytest.FixtureRequest
) -> None:
    targets: Pair = request.getfixturevalue(policy)
    model = f"pair-open-{policy}-{reader.name}"
    targets.play(model, cut_after(reasoning("thin")), answer(reasoning("anew"), chat_chunk(WHOLE)))

    reading = await reader.read(Call(targets.proxy.url, model=model))

    assert (reading.text, reading.error) == (WHOLE, None)
    if "reasoning" not in reader.blind:
        assert reading.reasoning == ("anew" if reader.name in KEEPS_THE_LAST_PIECE else "thinanew")


async def test_reasoning_that_was_cut_is_followed_by_the_new_one(restart: Pair) -> None:
    first = cut_after(reasoning("thin"))
    restart.play("pair-thinking", first, answer(reasoning("anew"), chat_chunk(WHOLE)))

    heard = await restart.hear("pair-thinking")

    assert (heard.text, heard.reasoning, heard.is_whole) == (WHOLE, "thinanew", True)


@pytest.mark.usefixtures("restart", "go_on")
@pytest.mark.parametrize("policy", ["restart", "go_on"])
@pytest.mark.parametrize("reader", reader_params([reader for reader in STREAMING if reader.dialect != "text_stream"]))
async def test_a_tool_call_that_was_open_is_completed(
    reader: Reader, policy: str, request: pytest.FixtureRequest
) -> None:
    """Also where the policy is to continue: no prefill holds half a call."""
    targets: Pair = request.getfixturevalue(policy)
    model = f"pair-call-{policy}-{reader.name}"
    start = {"id": "call_1", "name": "look_up"}
    targets.play(
        model,
        cut_after(call("", **start), call('{"pla')),
        answer(call("", **{**start, "id": "call_2"}), call('{"place":'), call('"Rome"}')),
    )

    reading = await reader.read(Call(targets.proxy.url, model=model))

    assert reading.error is None
    assert [(each.name, each.arguments) for each in reading.tool_calls] == [("look_up", {"place": "Rome"})]


def cited(url: str) -> bytes:
    source = {"url": url, "title": "A", "start_index": 0, "end_index": 3}
    return delta(annotations=[{"type": "url_citation", "url_citation": source}])


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "canonical"])
async def test_a_citation_of_both_answers_is_told_once(dialect: str, restart: Pair) -> None:
    model = f"pair-cited-{dialect}"
    first = cut_after(chat_chunk("one "), cited("https://a.example/"))
    restart.play(model, first, answer(chat_chunk("one "), cited("https://a.example/"), cited("https://b.example/")))

    body = await restart.raw(dialect, model)

    assert [body.count(b'"https://%b.example/"' % name) for name in (b"a", b"b")] == [1, 1]


async def test_usage_of_both_answers_adds_up(from_anthropic: Pair) -> None:
    second = answer(*map(chat_chunk, WORDS), usage(3, 2))
    from_anthropic.play("pair-usage", CUT, second)

    heard = await from_anthropic.hear("pair-usage")

    assert heard.text == WHOLE
    assert heard.of("usage")[-1]["usage"] == {"input_tokens": 8, "output_tokens": 3}
