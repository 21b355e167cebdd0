"""JSON text as peers really send it: two faults that are worth mending instead of failing.

* `JSON.stringify` and some servers write half of a surrogate pair as an escape (`\\ud83d`) when a text was cut in the
  middle of an emoji. The grammar allows it, msgspec refuses it.
* A server that cuts its tokens by bytes sends half a UTF-8 character. The SSE standard reads that as U+FFFD.

Both become U+FFFD. Good text never comes here: callers try the plain decode first.
"""

import re

import msgspec

_ESCAPE = re.compile(
    rb"\\(?:"
    rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",
    re.DOTALL,
)
"""One escape. A backslash is consumed with what follows it, so that `\\\\ud83d` is no surrogate; group 1: a lone half."""


def mended(text: bytes) -> bytes:
    """`text` with lone surrogate escapes and malformed UTF-8 replaced; the same bytes when there is neither."""
    if not text.isascii():
        text = text.decode("utf-8", "replace").encode()
    if b"\\u" not in text:
        return text
    return _ESCAPE.sub(_keep_or_replace, text)


def _keep_or_replace(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape.group(1) is not None else escape.group()


def is_json(text: bytes) -> bool:
    """Whether `text` has the form of one JSON text; faults that can be mended are none."""
    try:
        msgspec.json.decode(mended(text), type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
