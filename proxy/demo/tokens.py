"""The simulated model's own tokens: the pieces it streams and the units it counts.

A token is a piece of at most ten letters or three digits with the space before it, one character of a script without
spaces, one punctuation mark or symbol (also each code point of a composed emoji), or a run of white space. The counts
resemble those of real tokenisers for English text. Every delta is one token, so `output_tokens` counts deltas.
"""

import re

_TOKEN = re.compile(
    r" ?[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]"
    r"|[ \n]?[^\W\d_]{1,10}"
    r"| ?\d{1,3}"
    r"| ?[^\w\s]"
    r"|\s+"
    r"|.",
    re.DOTALL,
)


def tokens_of(text: str) -> list[str]:
    """The pieces of `text`; joined they are `text` again."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many pieces `text` has."""
    return sum(1 for _ in _TOKEN.finditer(text))
