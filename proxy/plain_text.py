"""Text of any origin made fit for a terminal: one cell grid, no character that does anything.

A model's name is typed by a caller. Printed as it came it could move the cursor, turn the direction of writing or hide
what follows; and wide characters would break the columns of a table.
"""

import unicodedata

REPLACEMENT = "?"
CUT = "…"

_ACTIVE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that draw nothing of their own: control, format, surrogate, private, unassigned, separators."""
_STACKED = frozenset({"Mn", "Me"})
MAX_STACKED = 2
"""Marks on one character; more would climb into the lines above."""


def plain(text: str) -> str:
    """`text` with a `?` for each character that is not simply seen; any space is a plain one."""
    if text.isascii() and text.isprintable():
        return text
    found: list[str] = []
    stacked = 0
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        stacked = stacked + 1 if category in _STACKED else 0
        if stacked > MAX_STACKED or (stacked and not found):
            continue
        if category in _ACTIVE:
            found.append(REPLACEMENT)
        else:
            found.append(" " if category == "Zs" else character)
    return "".join(found)


def cells(text: str) -> int:
    """How many columns a terminal gives to plain `text`."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def fit(text: str, width: int) -> str:
    """Plain `text` in exactly `width` columns: padded, or cut with an ellipsis."""
    taken = cells(text)
    if taken <= width:
        return text + " " * (width - taken)
    if width <= 0:
        return ""
    kept: list[str] = []
    left = width - 1
    for character in text:
        left -= _cells_of(character)
        if left < 0:
            left += _cells_of(character)
            break
        kept.append(character)
    return "".join(kept) + CUT + " " * left


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in _STACKED:
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
