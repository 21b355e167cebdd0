"""The screen as data: what is known, what is selected, what was asked; keys in, lines and wishes out. No terminal."""

from collections.abc import Callable
from enum import Enum

import msgspec

from proxy.live import CallState, StreamView
from proxy.plain_text import fit, plain
from proxy.top.table import ORDERS, Layout, Row, Snapshot, ordered, rows_of, state_text, summary, target_text

HELP = "q quit  k kill  s/S sort  r reverse  arrows select"
HEAD_LINES = 3
FOOT_LINES = 1


class Key(Enum):
    """What a person can press."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page_up"
    PAGE_DOWN = "page_down"
    HOME = "home"
    END = "end"
    NEXT_ORDER = "next_order"
    PREVIOUS_ORDER = "previous_order"
    REVERSE = "reverse"
    KILL = "kill"
    YES = "yes"
    QUIT = "quit"
    OTHER = "other"


class Style(Enum):
    """How a line is to look."""

    PLAIN = "plain"
    TITLE = "title"
    SELECTED = "selected"
    SLOW = "slow"
    TROUBLE = "trouble"


class Line(msgspec.Struct, frozen=True):
    """A line of the screen, as wide as it."""

    text: str
    style: Style = Style.PLAIN


class Kill(msgspec.Struct, frozen=True):
    """The wish that a call is ended."""

    stream_id: str


class Quit(msgspec.Struct, frozen=True):
    """The wish to see no more."""


Wish = Kill | Quit


class Board:
    """One viewer's state. The selection follows the call, not its place."""

    def __init__(self, url: str, order: str) -> None:
        self._url = url
        self._order = order
        self._is_reversed = False
        self._last: Snapshot | None = None
        self._rows: list[Row] = []
        self._trouble = ""
        self._message = ""
        self._selected = ""
        self._first_shown = 0
        self._page = 1
        self._asked: StreamView | None = None
        """The call of which was asked whether to end it."""

    # --- what the proxy says

    def show(self, snapshot: Snapshot) -> None:
        """A new answer of the proxy."""
        place = self._place()
        self._rows = rows_of(snapshot, self._last)
        self._last = snapshot
        self._trouble = ""
        self._sort()
        if self._rows and all(row.call.id != self._selected for row in self._rows):
            # The selected call has ended: whoever took its place is next.
            self._selected = self._rows[min(place, len(self._rows) - 1)].call.id

    def fail(self, message: str) -> None:
        """The proxy does not answer; what it said last stays."""
        self._trouble = message

    def say(self, message: str) -> None:
        """Something to read, until the next key."""
        self._message = message

    # --- what the person wants

    def press(self, key: Key) -> Wish | None:
        """What follows from a key."""
        if self._asked is not None:
            return self._answer(self._asked, key)
        self._message = ""
        if key is Key.QUIT:
            return Quit()
        if key is Key.KILL:
            self._asked = next((row.call for row in self._rows if row.call.id == self._selected), None)
        elif key is Key.REVERSE:
            self._is_reversed = not self._is_reversed
            self._sort()
        elif key in (Key.NEXT_ORDER, Key.PREVIOUS_ORDER):
            names = list(ORDERS)
            step = 1 if key is Key.NEXT_ORDER else -1
            self._order = names[(names.index(self._order) + step) % len(names)]
            self._sort()
        elif self._rows and key in _MOVES:
            place = _MOVES[key](self._place(), self._page, len(self._rows))
            self._selected = self._rows[min(max(place, 0), len(self._rows) - 1)].call.id
        return None

    def _answer(self, asked: StreamView, key: Key) -> Wish | None:
        """Anything but a plain yes is a no."""
        self._asked = None
        if key is not Key.YES:
            self._message = "not killed"
            return None
        self._message = f"killing {plain(asked.id)}"
        return Kill(asked.id)

    def _place(self) -> int:
        for place, row in enumerate(self._rows):
            if row.call.id == self._selected:
                return place
        return 0

    def _sort(self) -> None:
        self._rows = ordered(self._rows, self._order, is_reversed=self._is_reversed)

    # --- what is to be seen

    def lines(self, width: int, height: int) -> list[Line]:
        """The whole screen: at most `height` lines of exactly `width` columns."""
        layout = Layout(width, self._rows)
        room = max(height - HEAD_LINES - FOOT_LINES, 0)
        self._page = max(room, 1)
        place = self._place()
        self._first_shown = min(max(self._first_shown, place - room + 1, 0), place)
        shown = self._rows[self._first_shown : self._first_shown + room]
        body = [Line(layout.line(row), self._style(row)) for row in shown]
        body += [Line(fit("", width))] * (room - len(body))
        lines = [*self._head(width), Line(layout.header(self._order), Style.TITLE), *body]
        return [*lines[: max(height - FOOT_LINES, 0)], self._foot(width)][:height]

    def _style(self, row: Row) -> Style:
        if row.call.id == self._selected:
            return Style.SELECTED
        return Style.SLOW if row.call.state == CallState.CALLER_PAUSED else Style.PLAIN

    def _head(self, width: int) -> list[Line]:
        title = Line(fit(f"llm-stream-proxy top  {plain(self._url)}", width))
        if self._trouble:
            return [title, Line(fit(f"{plain(self._trouble)}; trying again", width), Style.TROUBLE)]
        if self._last is None:
            return [title, Line(fit("asking …", width))]
        return [title, Line(fit(summary(self._rows, is_draining=self._last.live.is_draining), width))]

    def _foot(self, width: int) -> Line:
        if self._asked is not None:
            call = self._asked
            what = f"{target_text(call)}, {state_text(call)}" + (f", caller {call.caller}" if call.caller else "")
            return Line(fit(f"kill {plain(call.id)} ({plain(what)})? y/N", width), Style.TROUBLE)
        return Line(fit(plain(self._message) or HELP, width), Style.TITLE)


_MOVES: dict[Key, Callable[[int, int, int], int]] = {
    Key.UP: lambda place, _page, _count: place - 1,
    Key.DOWN: lambda place, _page, _count: place + 1,
    Key.PAGE_UP: lambda place, page, _count: place - page,
    Key.PAGE_DOWN: lambda place, page, _count: place + page,
    Key.HOME: lambda _place, _page, _count: 0,
    Key.END: lambda _place, _page, count: count - 1,
}
"""The place that a key leads to, from the present one, the rows of a page and those of all; any other key moves nothing."""
