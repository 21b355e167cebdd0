"""The board in a terminal, by curses. Thin: what is shown and what a key means is decided in `board`."""

import contextlib
import curses
import locale
import os
import queue
import signal
from types import FrameType

from proxy.top.board import Board, Key, Kill, Quit, Style
from proxy.top.client import Poller

LOOK_MS = 100
"""How long a key is awaited before news are looked for."""

KEYS: dict[int, Key] = {
    curses.KEY_UP: Key.UP,
    curses.KEY_DOWN: Key.DOWN,
    curses.KEY_PPAGE: Key.PAGE_UP,
    curses.KEY_NPAGE: Key.PAGE_DOWN,
    curses.KEY_HOME: Key.HOME,
    curses.KEY_END: Key.END,
    ord("s"): Key.NEXT_ORDER,
    ord("S"): Key.PREVIOUS_ORDER,
    ord("r"): Key.REVERSE,
    ord("k"): Key.KILL,
    ord("y"): Key.YES,
    ord("Y"): Key.YES,
    ord("q"): Key.QUIT,
}

STYLES: dict[Style, int] = {
    Style.PLAIN: curses.A_NORMAL,
    Style.TITLE: curses.A_BOLD,
    Style.SELECTED: curses.A_REVERSE,
    Style.SLOW: curses.A_DIM,
    Style.TROUBLE: curses.A_BOLD | curses.A_STANDOUT,
}


class NoScreen(Exception):
    """This terminal cannot be drawn on."""


def show(board: Board, poller: Poller) -> None:
    """Until the person quits. Raises NoScreen."""
    locale.setlocale(locale.LC_ALL, "")
    # The terminal itself knows its size, also after a change; curses would believe variables that were exported once.
    for name in ("LINES", "COLUMNS"):
        os.environ.pop(name, None)
    # However it is ended, the terminal is left as it was.
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    poller.start()
    try:
        curses.wrapper(_run, board, poller)
    except curses.error as fault:
        raise NoScreen(str(fault)) from fault
    except KeyboardInterrupt:
        return
    finally:
        poller.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(screen: curses.window, board: Board, poller: Poller) -> None:
    screen.timeout(LOOK_MS)
    with contextlib.suppress(curses.error):  # Some terminals cannot hide their cursor.
        curses.curs_set(0)
    encoding = locale.getpreferredencoding(False)
    is_stale = True
    while True:
        is_stale = _hear(board, poller) or is_stale
        if is_stale:
            _draw(screen, board, encoding)
            is_stale = False
        pressed = screen.getch()
        if pressed == -1:
            continue
        is_stale = True
        if pressed == curses.KEY_RESIZE:
            screen.clear()
            continue
        match board.press(KEYS.get(pressed, Key.OTHER)):
            case Quit():
                return
            case Kill(stream_id):
                poller.kill(stream_id)
            case None:
                pass


def _hear(board: Board, poller: Poller) -> bool:
    """Take all news; whether there were any."""
    is_new = False
    while True:
        try:
            told = poller.news.get_nowait()
        except queue.Empty:
            return is_new
        is_new = True
        if told.snapshot is not None:
            board.show(told.snapshot)
        if told.trouble:
            board.fail(told.trouble)
        if told.message:
            board.say(told.message)


def _draw(screen: curses.window, board: Board, encoding: str) -> None:
    height, width = screen.getmaxyx()
    screen.erase()
    for row, line in enumerate(board.lines(width, height)):
        text = line.text.encode(encoding, "replace").decode(encoding)
        try:
            screen.addstr(row, 0, text, STYLES[line.style])
        except curses.error:
            # The last cell of the last line: it is drawn, but the cursor has nowhere to go.
            continue
    screen.refresh()
