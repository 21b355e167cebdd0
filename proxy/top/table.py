"""Calls as rows of a table: rates between two snapshots, columns, orders, and the line that sums everything up."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil

import msgspec

from proxy.live import CallState, LiveSnapshot, StreamView
from proxy.plain_text import cells, fit, plain

MIN_MEAN_S = 0.2
"""A mean rate over less than this says nothing."""
MIN_NAME_CELLS = 12
GOOD_NAME_CELLS = 28
MOST_NAME_CELLS = 48
GAP = " "


class Row(msgspec.Struct, frozen=True):
    """A call, and how fast it is."""

    call: StreamView
    events_per_s: float | None
    """Since the snapshot before, or since its first event where there was none; `None`: not known yet."""
    bytes_per_s: float | None


class Snapshot(msgspec.Struct, frozen=True):
    """What one answer of the proxy showed, and when it came."""

    live: LiveSnapshot
    at: float


def rows_of(now: Snapshot, before: Snapshot | None) -> list[Row]:
    """All calls with their rates."""
    earlier = {} if before is None else {call.id: call for call in before.live.streams}
    passed_s = 0.0 if before is None else now.at - before.at
    return [_row(call, earlier.get(call.id), passed_s) for call in now.live.streams]


def _row(call: StreamView, before: StreamView | None, passed_s: float) -> Row:
    if before is not None and passed_s > 0 and call.events >= before.events and call.bytes_down >= before.bytes_down:
        return Row(call, (call.events - before.events) / passed_s, (call.bytes_down - before.bytes_down) / passed_s)
    since_s = call.age_s - (call.age_s if call.first_event_s is None else call.first_event_s)
    if since_s < MIN_MEAN_S:
        return Row(call, None, None)
    return Row(call, call.events / since_s, call.bytes_down / since_s)


# --- values as text


def duration(seconds: float | None) -> str:
    """At most six characters."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 100 else f"{minutes // 60}h{minutes % 60:02d}m"


def amount(number: float | None) -> str:
    """At most five characters: `7`, `3.2`, `12k`, `3.4M`."""
    if number is None:
        return "-"
    for unit in ("", "k", "M", "G", "T"):
        if number < 999.5:
            is_short = number < 9.95 and (unit or number % 1)
            return f"{number:.1f}{unit}" if is_short else f"{number:.0f}{unit}"
        number /= 1000
    return "lots"


SHORT_STATE: dict[str, str] = {
    CallState.RECEIVING: "receiving",
    CallState.QUEUED: "queued",
    CallState.BACKING_OFF: "back-off",
    CallState.CONNECTING: "connecting",
    CallState.WAITING_FOR_HEADERS: "no headers",
    CallState.WAITING_FOR_FIRST_EVENT: "no event",
    CallState.STREAMING: "streaming",
    CallState.CALLER_PAUSED: "paused",
    CallState.ENDING: "ending",
}
"""Any other state, of a newer proxy, is shown as it is called."""


def state_text(call: StreamView) -> str:
    """The state in a word; of a call that is ending, how."""
    return call.outcome or SHORT_STATE.get(call.state, call.state)


def sides_text(call: StreamView) -> str:
    """Both sides: what the upstream does, what the caller does."""
    return f"{call.upstream_state or '?'}>{call.caller_state or '?'}"


def target_text(call: StreamView) -> str:
    """The model that was asked for, and what answers where that is called otherwise."""
    asked = call.asked_model or call.alias or "-"
    answering = call.model or ""
    if not call.provider:
        return asked
    return f"{asked} @{call.provider}" if answering in ("", asked) else f"{asked} @{call.provider}/{answering}"


# --- columns


class Column(msgspec.Struct, frozen=True):
    """A column. The last to go when there is little room has the lowest `rank`."""

    title: str
    width: int
    rank: int
    text: Callable[[Row], str]
    is_number: bool = False


DETAIL_RANK = 5
"""From this rank on, a column gives way to names."""

NAME = "model"
"""The title of the column that takes what room is left."""

COLUMNS: tuple[Column, ...] = (
    Column("state", 10, 1, lambda row: state_text(row.call)),
    Column("upstream>caller", 17, 9, lambda row: sides_text(row.call)),
    Column("age", 6, 2, lambda row: duration(row.call.age_s), is_number=True),
    Column("first", 6, 8, lambda row: duration(row.call.first_event_s), is_number=True),
    Column("gap", 6, 1, lambda row: duration(row.call.gap_s), is_number=True),
    Column("max gap", 7, 6, lambda row: duration(row.call.max_gap_s or None), is_number=True),
    Column("ev/s", 5, 3, lambda row: amount(row.events_per_s), is_number=True),
    Column("B/s", 5, 7, lambda row: amount(row.bytes_per_s), is_number=True),
    Column("waiting", 7, 4, lambda row: amount(row.call.waiting_bytes), is_number=True),
    Column("unread", 6, 8, lambda row: amount(row.call.unread_bytes), is_number=True),
    Column("events", 6, 10, lambda row: amount(row.call.events), is_number=True),
    Column("try", 3, 10, lambda row: str(row.call.attempts), is_number=True),
    Column("kind", 6, 9, lambda row: "stream" if row.call.is_stream else "whole"),
    Column("dialect", 17, 6, lambda row: row.call.dialect),
    Column(NAME, 0, 1, lambda row: target_text(row.call)),
    Column("caller", 12, 7, lambda row: row.call.caller or "-"),
    Column("worker", 7, 11, lambda row: str(row.call.worker), is_number=True),
    Column("id", 24, 5, lambda row: row.call.id),
)


def _number(value: float | None) -> float:
    return -1.0 if value is None else value


ORDERS: dict[str, Callable[[Row], float | str]] = {
    "gap": lambda row: _number(row.call.gap_s),
    "age": lambda row: row.call.age_s,
    "rate": lambda row: _number(row.events_per_s),
    "waiting": lambda row: float(row.call.waiting_bytes),
    "unread": lambda row: float(row.call.unread_bytes),
    "max_gap": lambda row: row.call.max_gap_s,
    "first_event": lambda row: _number(row.call.first_event_s),
    "bytes": lambda row: float(row.call.bytes_down),
    "state": lambda row: row.call.state,
    "model": lambda row: target_text(row.call),
    "caller": lambda row: row.call.caller or "",
    "dialect": lambda row: row.call.dialect,
}
"""What rows can be sorted by: numbers with the greatest first, words by the alphabet."""

ORDER_OF_COLUMN = {"ev/s": "rate", "max gap": "max_gap", "first": "first_event"}
"""Where a column's title is not its order's name; any other is."""


def ordered(rows: Sequence[Row], order: str, *, is_reversed: bool = False) -> list[Row]:
    """The rows in one of `ORDERS`; equal ones by age and id, so that they do not dance."""
    key = ORDERS[order]
    still = sorted(rows, key=lambda row: (-row.call.age_s, row.call.id))
    is_by_words = order in ("state", "model", "caller", "dialect")
    return sorted(still, key=key, reverse=is_by_words == is_reversed)


class Layout:
    """Which columns a width has room for."""

    def __init__(self, width: int, rows: Sequence[Row] = ()) -> None:
        """`width` 0: as wide as it takes."""
        columns = list(COLUMNS)
        if not any(row.call.caller for row in rows):
            columns = [column for column in columns if column.title != "caller"]
        if len({row.call.worker for row in rows}) < 2:
            columns = [column for column in columns if column.title != "worker"]
        names = [cells(plain(target_text(row.call))) for row in rows]
        wanted = min(max([MIN_NAME_CELLS, *names]), MOST_NAME_CELLS)
        for column in sorted(columns, key=lambda column: -column.rank):
            # Names that can be read are worth more than the details.
            name_width = min(wanted, GOOD_NAME_CELLS) if column.rank >= DETAIL_RANK else MIN_NAME_CELLS
            if width and _fixed(columns) + name_width > width and column.title != NAME:
                columns.remove(column)
        self.columns = columns
        room = width - _fixed(columns) if width else wanted
        self._name_width = max(min(room, wanted), 1)
        self._width = width

    def header(self, order: str) -> str:
        """The titles; the one that rows are sorted by has an arrow."""
        parts = [self._cell(column, self._title(column, order)) for column in self.columns]
        return self._line(parts)

    def line(self, row: Row) -> str:
        """One call."""
        return self._line([self._cell(column, column.text(row)) for column in self.columns])

    def _title(self, column: Column, order: str) -> str:
        is_order = ORDER_OF_COLUMN.get(column.title, column.title) == order
        return f"*{column.title.upper()}" if is_order else column.title.upper()

    def _cell(self, column: Column, text: str) -> str:
        width = self._name_width if column.title == NAME else column.width
        # Once more, whatever the proxy has done: the other end need not be one of ours.
        text = plain(text)
        if column.is_number and cells(text) < width:
            return " " * (width - cells(text)) + text
        return fit(text, width)

    def _line(self, parts: Sequence[str]) -> str:
        line = GAP.join(parts)
        return fit(line, self._width) if self._width else line.rstrip()


def _fixed(columns: Sequence[Column]) -> int:
    """What all columns but the name's take."""
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


# --- the summary


def summary(rows: Sequence[Row], *, is_draining: bool) -> str:
    """Calls by state, their speed together, and their present gaps."""
    states = Counter(SHORT_STATE.get(row.call.state, plain(row.call.state)) for row in rows)
    order = list(SHORT_STATE.values())
    known = sorted(states, key=lambda state: (order.index(state) if state in order else len(order), state))
    parts = [f"{len(rows)} call{'' if len(rows) == 1 else 's'}"]
    if known:
        parts[0] += ": " + ", ".join(f"{states[state]} {state}" for state in known)
    parts.append(f"{amount(sum(row.events_per_s or 0 for row in rows))} events/s")
    gaps = sorted(row.call.gap_s for row in rows if row.call.gap_s is not None)
    if gaps:
        parts.append(f"gap p50 {duration(quantile(gaps, 0.5))} p99 {duration(quantile(gaps, 0.99))}")
    if is_draining:
        parts.append("DRAINING")
    return "  ".join(parts)


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    return ascending[max(ceil(len(ascending) * share), 1) - 1]
