"""Tool names and call ids in the characters that Anthropic takes.

Names must come back: a call bears the name that was sent, and a decoder knows nothing of the request. So what a name may
not hold is written out, `server.tool` as `server_x2e_tool`, and `plain` reads it again. Names that are good and could
not be mistaken for written-out ones (nearly all) stay as they are. Ids only tie a result to its call within one request.
"""

import re

from proxy.hub.errors import CallerError, ErrorKind

MAX_NAME_CHARS = 128
"""The API's own limit for a tool name."""

_GOOD_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_BAD_CHARACTER = re.compile(r"_(?=x)|[^a-zA-Z0-9_-]")
_WRITTEN_OUT = re.compile(r"_x([0-9a-f]{1,6})_")
_BAD_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def sendable(name: str, path: str) -> str:
    """`name` as it may be sent. Raises CallerError, naming `path`, when that is too long or empty."""
    sent = name
    if _GOOD_NAME.fullmatch(name) is None or _WRITTEN_OUT.search(name) is not None:
        sent = _BAD_CHARACTER.sub(lambda found: f"_x{ord(found.group()):x}_", name)
    if not 0 < len(sent) <= MAX_NAME_CHARS:
        message = (
            f"{path}: expected a tool name of 1 to {MAX_NAME_CHARS} letters, digits, '_' and '-', got {name[:200]!r}"
        )
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param=path)
    return sent


def plain(name: str) -> str:
    """The name that `sendable` was given."""
    if "_x" not in name:
        return name
    return _WRITTEN_OUT.sub(_character, name)


def _character(found: re.Match[str]) -> str:
    code = int(found.group(1), 16)
    is_character = code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return chr(code) if is_character else found.group()


class CallIds:
    """The ids of one request's calls: good characters only, and no two alike."""

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
