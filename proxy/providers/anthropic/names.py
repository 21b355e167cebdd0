"""Tool names and call ids as Anthropic takes them: letters, digits, `_` and `-`."""

import re

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.identifiers import write_out

MAX_NAME_CHARS = 128
"""The API's own limit for a tool name."""

_BAD_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def sendable(name: str, path: str) -> str:
    """`name` as it may be sent; the decoder reads it back. Raises CallerError, naming `path`: too long, or empty."""
    sent = write_out(name)
    if not 0 < len(sent) <= MAX_NAME_CHARS:
        message = (
            f"{path}: expected a tool name of 1 to {MAX_NAME_CHARS} letters, digits, '_' and '-', got {name[:200]!r}"
        )
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param=path)
    return sent


class CallIds:
    """The ids of one request's calls: good characters only, and no two alike.

    They only tie a result to its call within the request, so nothing has to be read back from them.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def fresh(self, id: str) -> str:
        """The id to send for the next call that the caller knows as `id`."""
        good = _BAD_IN_ID.sub("_", id) or "call"
        sent, number = good, 2
        while sent in self._used:
            sent = f"{good}_{number}"
            number += 1
        self._used.add(sent)
        return sent
