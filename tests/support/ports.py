"""Ports for tests that must name one before somebody listens there."""

import random
import socket

# Below those that Linux gives to sockets which ask for any (ip(7), ip_local_port_range): the servers and the connections
# of the tests beside this one come from there, and one of them could take the port before its owner does.
_RANGE = range(10_000, 32_768)

_random = random.SystemRandom()  # Hypothesis gives the shared one the same seed in each test process


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    while True:
        port = _random.choice(_RANGE)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def refusing_socket() -> socket.socket:
    """A socket whose port refuses connections for as long as it is open: it is bound and does not listen."""
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))
    return refusing
