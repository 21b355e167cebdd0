"""Each row of the fault matrix: what the caller sees, what the upstream sees, what is counted and what is logged."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.calls import BODIES, RawCall, request_bytes
from tests.e2e.fault_row import (
    CHUNKED,
    CallerRow,
    Closed,
    Drip,
    Expect,
    Row,
    Script,
    Steps,
    Then,
    Wire,
    chunk,
    good,
    sized,
)
from tests.e2e.fault_stage import Stage, View, stage
from tests.e2e.fault_upstream import Scenario
from tests.e2e.faults import CALLER_FAULTS, LEAVING_FAULTS, UPSTREAM_FAULTS, cells
from tests.e2e.streams import chat_chunk
from tests.support import canary

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASS = ("openai_chat", "openai_chat")
CONVERT = ("anthropic", "openai_chat")
REVERSE = ("openai_chat", "anthropic")
"""Caller's dialect and upstream's format."""

PROMPTLY_S = 0.5
"""For one call on a machine that is busy with other tests."""
_NUMBERS = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cut_off(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """None of its upstreams can be reached."""
    async with stage(tmp_path_factory.mktemp("cut_off"), reaches=False) as running:
        yield running


def _cases(*, reaches: bool = True) -> list[Any]:
    return [
        pytest.param(row, *way, id=f"{row.name}-{label}")
        for row in UPSTREAM_FAULTS
        if bool(row.answers) == reaches
        for label, way in (("passed", PASS), ("converted", CONVERT), ("reversed", REVERSE))
        if way is not REVERSE or row.reverse
    ]


async def test_the_matrix_has_at_least_a_hundred_rows_with_names_of_their_own() -> None:
    keys = [line[:2] for line in cells()]

    assert len(keys) >= 100
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("row", "dialect", "kind"), _cases())
async def test_a_fault_of_an_upstream(row: Row, dialect: str, kind: str, on: Stage) -> None:
    await _run(row, dialect, kind, on)


@pytest.mark.parametrize(("row", "dialect", "kind"), _cases(reaches=False))
async def test_an_upstream_that_cannot_be_reached(row: Row, dialect: str, kind: str, cut_off: Stage) -> None:
    await _run(row, dialect, kind, cut_off)


async def _run(row: Row, dialect: str, kind: str, on: Stage) -> None:
    expect = row.expectation(is_converted=dialect != kind)
    name = f"{row.provider}-{kind}"
    request_id = f"fault-{next(_NUMBERS)}"
    model = f"{row.name}.{request_id}"
    scenario = on.upstream.play(model, row.answers)
    if row.warm:
        await on.ask(dialect, f"{name}/{model}", f"warm-{request_id}")
        await on.log_line(f"warm-{request_id}")
        await on.ended()
    await on.begin()

    reader = "raw" if row.is_raw and dialect == kind else dialect
    view = await on.ask(reader, f"{name}/{model}", request_id)
    line = await on.log_line(request_id)

    _check_caller(view, expect, request_id)
    _check_line(line, expect, view)
    assert await on.ended(1) == {(expect.outcome, name): 1}
    assert line["dialect"] == dialect
    await _check_upstream(row, expect, scenario)
    if expect.closed is Closed.KEPT and dialect == kind:
        await _check_reuse(row, name, model, scenario, on)


def _check_caller(view: View, expect: Expect, request_id: str) -> None:
    assert view.status == expect.status, view
    if expect.text.endswith("…"):
        assert view.text.startswith(expect.text[:-1])
    else:
        assert view.text == expect.text
    assert expect.at_least_s <= view.duration_s <= expect.at_most_s
    assert (view.error is None) == expect.is_success, view
    assert view.is_finished or not expect.is_success or not expect.text
    assert not canary.shown(str(view.error).encode())
    assert expect.says in str(view.error)
    if expect.status is not None:
        assert view.headers["x-request-id"] == request_id
        assert view.headers["x-proxy-attempts"] == str(expect.attempts)
    for name, value in expect.headers:
        assert view.headers[name] == value


def _check_line(line: dict[str, Any], expect: Expect, view: View) -> None:
    assert line["outcome"] == expect.outcome
    assert line["attempts"] == expect.attempts
    assert line["status"] == (200 if expect.status is None else expect.status)
    assert len(line.get("faults", [])) == (expect.attempts - 1 if expect.is_success else line["attempts"]) or view.text
    assert ("error" in line) == (not expect.is_success)
    assert line["duration_s"] <= view.duration_s + PROMPTLY_S


async def _check_upstream(row: Row, expect: Expect, scenario: Scenario) -> None:
    requests = len(scenario.attempts)
    if not row.answers:
        if scenario.attempts:
            pytest.fail("the upstream was reached")
        return
    hidden = 2 if row.warm and expect.attempts == 1 else 1 if row.warm else 0
    assert requests == expect.attempts + hidden
    match expect.closed:
        case Closed.BY_PROXY:
            for attempt in scenario.attempts:
                await attempt.until_left()
                assert attempt.ended_with is None
        case Closed.BY_UPSTREAM:
            for attempt in scenario.attempts[-expect.attempts :]:
                await attempt.until_left()
                assert attempt.ended_with is not None
        case Closed.KEPT:
            for before, after in itertools.pairwise(scenario.attempts):
                if before.connection != after.connection:
                    await before.until_left()
            assert not scenario.attempts[-1].left.is_set() or row.name in ENDS_LATER
        case Closed.ANY:
            return
    if expect.closed is not Closed.KEPT:
        connections = [attempt.connection for attempt in scenario.attempts[-expect.attempts :]]
        assert len(set(connections)) == len(connections), "a connection that has failed serves no other request"


ENDS_LATER = {"reset_after_end", "no_end_after_end", "bytes_after_message"}
"""Whole answers on connections that cannot be kept."""


async def _check_reuse(row: Row, name: str, model: str, scenario: Scenario, on: Stage) -> None:
    """The upstream that answers again is asked on the connection that was kept, or on another one."""
    last = scenario.attempts[-1]
    scenario.answers = (good,)
    await on.begin()
    view = await on.ask("raw", f"{name}/{model}", f"again-{model}")

    assert view.is_finished
    assert (scenario.attempts[-1].connection == last.connection) == (row.name not in ENDS_LATER)
    # Only then does the next test close the connection.
    await scenario.attempts[-1].answered.wait()


# --- callers


async def _send(call: RawCall, steps: Steps) -> None:
    """As far as the proxy lets it."""
    try:
        await call.send(b"")
        for step in steps:
            match step:
                case Drip(data, size, pause_s):
                    for start in range(0, max(len(data), 1), size):
                        await call.send_more(data[start : start + size])
                        await asyncio.sleep(pause_s)
                case Then.FIN:
                    call.leave()
                case Then.RST:
                    call.reset()
                case bytes():
                    await call.send_more(step)
                case _:
                    raise AssertionError(step)
    except (BrokenPipeError, ConnectionResetError):
        pass


def _good_request(dialect: str, model: str) -> tuple[str, str]:
    """Path and JSON body of a streaming request that has nothing wrong."""
    body = request_bytes(dialect, model).partition(b"\r\n\r\n")[2]
    return BODIES[dialect][0], body.decode()


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["passed", "converted"])
@pytest.mark.parametrize("row", CALLER_FAULTS, ids=str)
async def test_a_fault_in_a_request(row: CallerRow, dialect: str, on: Stage) -> None:
    model = f"{row.name}.{next(_NUMBERS)}"
    scenario = on.upstream.play(model, (good,))
    await on.begin()
    logged_before = on.logged()

    began = time.monotonic()
    with contextlib.closing(RawCall(on.proxy.port)) as call:
        await _send(call, row.request(*_good_request(dialect, f"plain-openai_chat/{model}")))
        answer = await _answer(call, row)
    took_s = time.monotonic() - began

    if row.status is not None:
        assert _final_status(answer) == row.status, answer[:300]
        assert row.says.encode() in answer
        assert row.status == 200 or b'"error"' in answer
    assert row.status != 408 or 0.4 < took_s < 20
    ended = [outcome for outcome, _ in (await on.ended(0 if row.outcome is None else 1)).elements()]
    assert len(scenario.attempts) == row.requests
    assert ended == ([] if row.outcome is None else [row.outcome])
    lines = await on.logged_since(logged_before, len(ended))
    assert lines == [(dialect, outcome, row.status or 0, row.requests) for outcome in ended]


async def _answer(call: RawCall, row: CallerRow) -> bytes:
    """What the caller gets, up to the end of its connection where that must end."""
    if row.status is None:
        return b""
    try:
        if row.closes:
            return await call.read_to_end(patience_s=30)
        mark = b"0\r\n\r\n" if row.status == 200 else b"}"
        return await call.read_until(mark, patience_s=30)
    except ConnectionResetError:
        return call.received


def _final_status(answer: bytes) -> int:
    """0: there is none in a version of HTTP that we speak."""
    while answer.startswith(b"HTTP/1.1 100 "):
        answer = answer.partition(b"\r\n\r\n")[2]
    return int(answer.split(b" ", 2)[1]) if answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) else 0


def _part(wire: Wire) -> Steps:
    return (CHUNKED + chunk(wire.part),)


def _endless(wire: Wire) -> Steps:
    long = chunk(chat_chunk("word " * 100) * 100)
    return (CHUNKED + chunk(wire.part), *[long] * 1000)


UNTIL: dict[str, tuple[Script, bytes]] = {
    "before_headers": (lambda wire: (), b""),
    "before_first_event": (lambda wire: (CHUNKED,), b""),
    "midway": (_part, b"two"),
    "midway_by_reset": (_part, b"two"),
    "half_closes": (_part, b"two"),
    "between_attempts": (lambda wire: (sized("429 No", b"{}", b"Retry-After: 5"),), b""),
    "reads_nothing": (_endless, b""),
}
"""How far the upstream answers, and what the caller reads before it leaves."""
BUFFER_BYTES = {"reads_nothing": 4096}


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["passed", "converted"])
@pytest.mark.parametrize("row", LEAVING_FAULTS, ids=str)
async def test_a_caller_that_leaves_its_answer(row: CallerRow, dialect: str, on: Stage) -> None:
    script, read = UNTIL[row.name]
    model = f"{row.name}.{next(_NUMBERS)}"
    scenario = on.upstream.play(model, (script,))
    await on.begin()
    logged_before = on.logged()
    with contextlib.closing(RawCall(on.proxy.port, receive_buffer_bytes=BUFFER_BYTES.get(row.name))) as call:
        await _send(call, row.request(*_good_request(dialect, f"plain-openai_chat/{model}")))
        attempt = await scenario.attempt()
        await call.read_until(read)

        left_at = time.monotonic()
        _leave(row, call)
        if row.name != "between_attempts":
            assert await attempt.until_left() - left_at < (3 if row.name == "reads_nothing" else PROMPTLY_S)

        assert await on.ended(1) == {(row.outcome, "plain-openai_chat"): 1}
        assert len(scenario.attempts) == 1
        assert [line[:2] for line in await on.logged_since(logged_before, 1)] == [(dialect, row.outcome)]


def _leave(row: CallerRow, call: RawCall) -> None:
    match row.name:
        case "half_closes":
            call.half_close()
        case "midway_by_reset":
            call.reset()
        case "reads_nothing":
            pass
        case _:
            call.leave()
