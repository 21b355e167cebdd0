"""`llm-stream-proxy top`: the calls of a running proxy, live in a terminal.

    client.Poller  asks `GET /streams` and orders `DELETE /streams/{id}`, in a thread of its own
    board.Board    what is known, sorted, selected and asked; the text of the screen
    table          columns, rates, the summary
    screen         curses: keys in, text out

`table` and `board` are pure: no clock, no terminal, no socket.
"""
