"""What the descriptors of a process are, so that one that is left behind has a name.

Read from outside, by `/proc/PID/fd` and `/proc/PID/net/tcp` (proc(5)), and so without changing anything in the process.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

STATES = (
    *("?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT"),
    *("LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"),
)
"""By the number that the kernel writes (include/net/tcp_states.h)."""
PROBE_READS = "/schedstat"
"""The probe reads one a hundred times a second."""


@dataclass(frozen=True)
class Tcp:
    """One line of `/proc/PID/net/tcp`."""

    local_port: int
    remote_port: int
    state: str
    unsent: int
    """Bytes that the kernel holds for the peer."""
    unread: int
    """Bytes that the process has not read."""
    timer: str
    """As the kernel writes it: which timer runs, and for how long."""

    def __str__(self) -> str:
        return (
            f"{self.state} {self.local_port}->{self.remote_port} {self.unsent} unsent {self.unread} unread {self.timer}"
        )


def descriptors(pid: int) -> dict[int, str]:
    """What each descriptor leads to: a path, or a kind with a number that no other has. Not those that the probe opens."""
    found: dict[int, str] = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/{pid}/fd/{name}")
            if not link.endswith(PROBE_READS):
                found[int(name)] = link
    return found


def connections(pid: int) -> dict[str, Tcp]:
    """The TCP sockets of the process's network, by what `descriptors` calls them."""
    found: dict[str, Tcp] = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                unsent, unread = words[4].split(":")
                found[f"socket:[{words[9]}]"] = Tcp(
                    local_port=int(words[1].rpartition(":")[2], 16),
                    remote_port=int(words[2].rpartition(":")[2], 16),
                    state=STATES[int(words[3], 16)],
                    unsent=int(unsent, 16),
                    unread=int(unread, 16),
                    timer=words[5],
                )
    return found
