"""Names and ids in letters, digits, `_` and `-`, and back.

Some APIs take no others in tool names and call ids, and a codec that reads an answer knows nothing of the request. So a
character that may not stand there is written out, and can be read again from the name alone:

    server.tool        server_x2e_tool
    functions.f:0      functions_x2e_f_x3a_0

What is good and could not be mistaken for a written-out name (nearly everything) stays as it is.
"""

import re

_GOOD = re.compile(r"[a-zA-Z0-9_-]*")
_BAD_CHARACTER = re.compile(r"_(?=x)|[^a-zA-Z0-9_-]")
_WRITTEN_OUT = re.compile(r"_x([0-9a-f]{1,6})_")


def write_out(name: str) -> str:
    """`name` in good characters only. Different names stay different."""
    if _GOOD.fullmatch(name) is not None and _WRITTEN_OUT.search(name) is None:
        return name
    return _BAD_CHARACTER.sub(lambda found: f"_x{ord(found.group()):x}_", name)


def read_back(name: str) -> str:
    """What `write_out` was given."""
    return _WRITTEN_OUT.sub(_character, name) if "_x" in name else name


def _character(found: re.Match[str]) -> str:
    code = int(found.group(1), 16)
    is_character = code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return chr(code) if is_character else found.group()
