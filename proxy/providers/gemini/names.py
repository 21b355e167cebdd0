"""Function names as Gemini takes them: letters, digits and `_.:-`, beginning with a letter or `_`."""

import re

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.identifiers import read_back, write_out

MAX_NAME_CHARS = 128
"""The API's own limit."""

_GOOD = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]*")


def sendable(name: str, path: str) -> str:
    """`name` as it may be sent; the decoder reads it back. Raises CallerError, naming `path`: too long, or empty."""
    sent = name
    if _GOOD.fullmatch(name) is None or read_back(name) != name:
        sent = write_out(name)
        if sent and _GOOD.match(sent) is None:
            sent = f"_x{ord(sent[0]):x}_{sent[1:]}"
    if not 0 < len(sent) <= MAX_NAME_CHARS:
        expected = f"a function name of 1 to {MAX_NAME_CHARS} letters, digits, '_', '.', ':' and '-'"
        raise CallerError(ErrorKind.INVALID_REQUEST, f"{path}: expected {expected}, got {name[:200]!r}", param=path)
    return sent
