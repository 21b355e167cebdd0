"""Rows, columns and orders of `top`, without a terminal."""

import pytest

from proxy.__main__ import TOP_ORDERS
from proxy.live import CallState, LiveSnapshot, StreamView
from proxy.plain_text import cells
from proxy.top.table import (
    COLUMNS,
    ORDERS,
    SHORT_STATE,
    Layout,
    Snapshot,
    amount,
    duration,
    ordered,
    quantile,
    rows_of,
    state_text,
    summary,
)


def call(name: str = "a", **fields: object) -> StreamView:
    known = {"state": "streaming", "age_s": 10.0, "first_event_s": 2.0, "events": 80, "bytes_down": 800, "gap_s": 0.1}
    return StreamView(name, **{**known, **fields})


def snapshot(*calls: StreamView, at: float = 0.0) -> Snapshot:
    return Snapshot(LiveSnapshot(streams=list(calls)), at)


def test_the_first_look_shows_the_mean_rate_since_the_first_event() -> None:
    row = rows_of(snapshot(call()), None)[0]

    assert (row.events_per_s, row.bytes_per_s) == (10.0, 100.0)


@pytest.mark.parametrize("fields", [{"first_event_s": None}, {"first_event_s": 9.9}])
def test_a_rate_over_no_time_is_not_known(fields: dict[str, object]) -> None:
    assert rows_of(snapshot(call(**fields)), None)[0].events_per_s is None


def test_the_next_look_shows_the_rate_since_the_one_before() -> None:
    before, now = snapshot(call(events=80, bytes_down=800)), snapshot(call(events=83, bytes_down=820), at=2.0)

    row = rows_of(now, before)[0]

    assert (row.events_per_s, row.bytes_per_s) == (1.5, 10.0)


def test_counts_that_fell_are_those_of_another_attempt() -> None:
    assert rows_of(snapshot(call(events=8), at=1.0), snapshot(call(events=80)))[0].events_per_s == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((None, "-"), (0.0, "0ms"), (-0.001, "0ms"), (0.1234, "123ms"), (0.9999, "1.0s"), (9.94, "9.9s")),
        *((99.96, "1m40s"), (725, "12m05s"), (5999.4, "99m59s"), (11520, "3h12m"), (360000, "100h00m")),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((None, "-"), (0, "0"), (7, "7"), (3.21, "3.2"), (9.96, "10"), (999, "999"), (999.6, "1.0k")),
        *((12345, "12k"), (3.4e6, "3.4M"), (5e16, "lots")),
    ],
)
def test_amounts_are_short(number: float | None, text: str) -> None:
    assert amount(number) == text


def test_the_command_line_names_the_orders_that_there_are() -> None:
    assert tuple(ORDERS) == TOP_ORDERS


def test_every_state_has_a_short_name() -> None:
    assert set(SHORT_STATE) == set(CallState)
    assert state_text(call(state="something_new")) == "something_new"
    assert state_text(call(state="ending", outcome="cut")) == "cut"


@pytest.mark.parametrize("order", ORDERS)
def test_numbers_are_sorted_down_words_up_and_equals_stay(order: str) -> None:
    small = call("s", state="a", asked_model="a", caller="a", dialect="a", age_s=3.0, first_event_s=0.5, gap_s=0.1)
    great = call(
        "g",
        state="b",
        asked_model="b",
        caller="b",
        dialect="b",
        age_s=9.0,
        first_event_s=1.0,
        gap_s=5.0,
        max_gap_s=9.0,
        waiting_bytes=9,
        unread_bytes=9,
        events=900,
        bytes_down=9000,
    )
    rows = rows_of(snapshot(small, great), None)
    is_by_words = order in ("state", "model", "caller", "dialect")

    names = [row.call.id for row in ordered(rows, order)]

    assert names == (["s", "g"] if is_by_words else ["g", "s"])
    assert [row.call.id for row in ordered(rows, order, is_reversed=True)] == names[::-1]
    same = rows_of(snapshot(call("b"), call("a"), call("c")), None)
    assert [row.call.id for row in ordered(same, order)] == ["a", "b", "c"]


@pytest.mark.parametrize("width", [*range(1, 60), 80, 120, 200, 300])
def test_lines_are_exactly_as_wide_as_the_terminal(width: int) -> None:
    rows = rows_of(
        snapshot(call(asked_model="模型" * 40, caller="k"), call("b" * 70, model="m", provider="p", worker=2)), None
    )
    layout = Layout(width, rows)

    assert {cells(line) for line in [layout.header("gap"), *map(layout.line, rows)]} == {width}


def test_a_narrow_terminal_keeps_what_matters_most() -> None:
    rows = rows_of(snapshot(call(asked_model="demo")), None)

    assert Layout(40, rows).header("gap").split() == ["STATE", "AGE", "*GAP", "MODEL"]


def test_without_a_width_every_column_is_shown() -> None:
    rows = rows_of(snapshot(call(caller="k", worker=1), call("b", worker=2)), None)

    assert [column.title for column in Layout(0, rows).columns] == [column.title for column in COLUMNS]


def test_columns_in_which_all_calls_are_alike_are_left_out() -> None:
    titles = [column.title for column in Layout(0, rows_of(snapshot(call()), None)).columns]

    assert "caller" not in titles
    assert "worker" not in titles


def test_what_a_caller_typed_does_nothing_to_the_terminal() -> None:
    rows = rows_of(snapshot(call("\x1b[2J", asked_model="a\x1b]0;x\x07\nb\u202ec", state="\x07")), None)

    line = Layout(0, rows).line(rows[0])

    assert line.isprintable()
    assert "a?]0;x??b?c" in line
    assert summary(rows, is_draining=False).isprintable()


def test_the_summary_adds_up() -> None:
    rows = rows_of(
        snapshot(
            *(call(f"{number}", gap_s=number / 100) for number in range(1, 101)),
            call("w", state="waiting_for_headers", gap_s=None, first_event_s=None),
        ),
        None,
    )

    assert summary(rows, is_draining=True) == (
        "101 calls: 1 no headers, 100 streaming  1.0k events/s  gap p50 500ms p99 990ms  DRAINING"
    )
    assert summary([], is_draining=False) == "0 calls  0 events/s"


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_quantiles_are_values_that_were_seen(share: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], share) == value
