"""`llm-stream-proxy top`: what the calls of a running proxy do, in a terminal, as a table, or as JSON."""

import sys
import time

import msgspec

from proxy.live import LiveSnapshot
from proxy.top.board import Board
from proxy.top.client import BadUrl, Client, Poller, ProxyFault
from proxy.top.screen import NoScreen, show
from proxy.top.table import Layout, Snapshot, ordered, rows_of, summary

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD = 2

DEFAULT_URLS = ("http://127.0.0.1:9090", "http://127.0.0.1:8080")
"""Where the example's admin listener is; and the main port, which has the admin routes where there is no such listener."""


class TopOptions(msgspec.Struct, frozen=True):
    """What the command line says."""

    url: str | None = None
    """`None`: the first of `DEFAULT_URLS` that answers."""
    interval_s: float = 1.0
    order: str = "gap"
    is_once: bool = False
    is_json: bool = False


def run(options: TopOptions) -> int:
    """Show the calls until told to stop; the process's exit code. Raises OSError when standard output is gone."""
    try:
        client = Client(options.url) if options.url is not None else _first_that_answers()
    except BadUrl as fault:
        print(fault, file=sys.stderr)
        return EXIT_BAD
    try:
        if options.is_json:
            return _print_json(client, options)
        if options.is_once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            return _print_table(client, options)
        show(Board(client.url, options.order), Poller(client, options.interval_s))
        return EXIT_OK
    except ProxyFault as fault:
        print(fault, file=sys.stderr)
    except NoScreen as fault:
        print(f"this terminal cannot show a live table ({fault}); see --once", file=sys.stderr)
    return EXIT_FAILED


def _first_that_answers() -> Client:
    clients = [Client(url) for url in DEFAULT_URLS]
    for client in clients:
        try:
            client.snapshot()
        except ProxyFault:
            continue
        return client
    return clients[0]


def _print_table(client: Client, options: TopOptions) -> int:
    live: LiveSnapshot = client.snapshot()
    rows = ordered(rows_of(Snapshot(live, 0.0), None), options.order)
    layout = Layout(0, rows)
    lines = [summary(rows, is_draining=live.is_draining), layout.header(options.order), *map(layout.line, rows)]
    encoding = sys.stdout.encoding
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))
    return EXIT_OK


def _print_json(client: Client, options: TopOptions) -> int:
    """A line for each snapshot, as it came; without `is_once`, again and again."""
    while True:
        print(client.raw().decode("utf-8", "replace"), flush=True)
        if options.is_once:
            return EXIT_OK
        time.sleep(options.interval_s)
