"""The longest valid JSON value in a text that is still arriving.

A machine over RFC 8259. It keeps the text without insignificant white space, and how much of it is *safe*: the longest
prefix that becomes a valid value when the open string, arrays and objects are closed.

    arrived                     value
    {"city":"Os                 {"city":"Os"}
    {"city":"Oslo","de          {"city":"Oslo"}         a key without its value does not count
    {"city":"Oslo","deg":1      {"city":"Oslo"}         a number is whole only when something follows it
    {"ok":tr                    {}                      no guess at literals either
    ["a\\ud83d                  ["a"]                   half an escape, half a surrogate pair

What once was in the value stays: a later value only adds members and items, and lengthens its last string. The closers
are always those of the containers open now, because every token that is not safe yet opens none.

Every character is looked at once, whatever the split, so a whole text costs linear time; only `value()` costs the
length of its result.
"""

import re
from enum import IntEnum
from io import StringIO

MAX_DEPTH = 128
MAX_CHARS = 4 * 1024 * 1024
_MAX_TOKEN_CHARS = 1024
"""No number that means something is longer."""


class _State(IntEnum):
    VALUE = 0
    FIRST_ITEM = 1
    FIRST_KEY = 2
    KEY = 3
    COLON = 4
    AFTER_VALUE = 5
    STRING = 6
    KEY_STRING = 7
    NUMBER = 8
    LITERAL = 9
    STOPPED = 10


_HEX = r"[0-9a-fA-F]"
_HIGH = rf"\\u[dD][89abAB]{_HEX}{{2}}"
_LOW = rf"\\u[dD][c-fC-F]{_HEX}{{2}}"
_STRING_RUN = re.compile(
    r'(?:[^"\\\x00-\x1f]++'
    r'|\\["\\/bfnrt]'
    rf"|\\u(?:[0-9a-ce-fA-CE-F]{_HEX}{{3}}|[dD][0-7c-fC-F]{_HEX}{{2}})"
    rf"|{_HIGH}(?:{_LOW}|(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F])))*+"
)
"""Whole characters of a string. A high surrogate waits until what follows shows whether it is a pair."""
_HALF_ESCAPE = re.compile(rf"\\(?:u{_HEX}{{0,3}})?|{_HIGH}(?:\\(?:u(?:[dD](?:[c-fC-F]{_HEX}?)?)?)?)?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_RUN = re.compile(r"[-+.eE0-9]*+")
_LETTERS = re.compile(r"[a-z]*+")
_BLANK = re.compile(r"[ \t\n\r]*+")
_LITERALS = ("true", "false", "null")


class PartialJson:
    """Feed it the pieces of one JSON text in order; ask for `value()` at any time.

    Text that is not JSON, nests deeper than `max_depth` or is longer than `max_chars` stops the machine: `stopped` is
    true and the value stays as it was.
    """

    def __init__(self, max_depth: int = MAX_DEPTH, max_chars: int = MAX_CHARS) -> None:
        self._max_depth = max_depth
        self._max_chars = max_chars
        self._state = _State.VALUE
        self._closers: list[str] = []
        self._text = StringIO()
        self._length = 0
        """Characters in `_text`."""
        self._safe = 0
        """Those of them that are in the value."""
        self._held = ""
        """Half an escape at the end of what arrived; at most eleven characters."""
        self._token = ""
        """The number or literal that is arriving."""

    @property
    def stopped(self) -> bool:
        return self._state is _State.STOPPED

    @property
    def is_complete(self) -> bool:
        """Whether the value is the whole text's, with nothing open."""
        return self._state is _State.AFTER_VALUE and not self._closers

    @property
    def size(self) -> int:
        """Characters of `value()`, 0 while there is none. The value has changed exactly when its size has."""
        if not self._safe:
            return 0
        return self._safe + len(self._closers) + (self._state is _State.STRING)

    def value(self) -> str | None:
        """The longest valid value so far, without insignificant white space; `None` before its first token."""
        if not self._safe:
            return None
        quote = '"' if self._state is _State.STRING else ""
        return self._text.getvalue()[: self._safe] + quote + "".join(reversed(self._closers))

    def feed(self, text: str) -> None:
        """Take the next piece of the text."""
        if self._held:
            text = self._held + text
            self._held = ""
        at, end = 0, len(text)
        while at < end and self._state is not _State.STOPPED:
            match self._state:
                case _State.STRING | _State.KEY_STRING:
                    at = self._read_string(text, at)
                case _State.NUMBER:
                    at = self._read_number(text, at)
                case _State.LITERAL:
                    at = self._read_literal(text, at)
                case _:
                    at = _end(_BLANK, text, at)
                    if at < end and self._read_token(text[at]):
                        at += 1
        if self._length > self._max_chars and self._state is not _State.STOPPED:
            self._stop()

    def finish(self) -> None:
        """The text has ended: a number that is the whole text is now known to be whole."""
        if self._state is _State.NUMBER and not self._closers:
            self._end_number()

    def _read_token(self, char: str) -> bool:
        """Take the first character of a token, where none is open. False: it begins a number or literal and is read there."""
        match self._state:
            case _State.VALUE | _State.FIRST_ITEM:
                self._start_value(char)
            case _State.AFTER_VALUE:
                self._end_value(char)
            case _State.COLON if char == ":":
                self._add(char, _State.VALUE)
            case _State.FIRST_KEY | _State.KEY if char == '"':
                self._add(char, _State.KEY_STRING)
            case _State.FIRST_KEY if char == "}":
                self._close(char)
            case _:
                self._stop()
        return self._state not in (_State.NUMBER, _State.LITERAL)

    def _start_value(self, char: str) -> None:
        if char == '"':
            self._add_safe(char, _State.STRING)
        elif char == "{":
            self._open(char, "}", _State.FIRST_KEY)
        elif char == "[":
            self._open(char, "]", _State.FIRST_ITEM)
        elif char == "]" and self._state is _State.FIRST_ITEM:
            self._close(char)
        elif char == "-" or "0" <= char <= "9":
            self._state = _State.NUMBER
        elif "a" <= char <= "z":
            self._state = _State.LITERAL
        else:
            self._stop()

    def _end_value(self, char: str) -> None:
        if self._closers and char == self._closers[-1]:
            self._close(char)
        elif self._closers and char == ",":
            self._add(char, _State.KEY if self._closers[-1] == "}" else _State.VALUE)
        else:
            self._stop()

    def _open(self, char: str, closer: str, state: _State) -> None:
        if len(self._closers) == self._max_depth:
            self._stop()
            return
        self._closers.append(closer)
        self._add_safe(char, state)

    def _close(self, char: str) -> None:
        self._closers.pop()
        self._add_safe(char, _State.AFTER_VALUE)

    def _read_string(self, text: str, at: int) -> int:
        end = _end(_STRING_RUN, text, at)
        run = text[at:end]
        if self._state is _State.STRING:
            self._add_safe(run, _State.STRING)
        else:
            self._add(run, _State.KEY_STRING)
        if end == len(text):
            return end
        if text[end] == '"':
            if self._state is _State.STRING:
                self._add_safe('"', _State.AFTER_VALUE)
            else:
                self._add('"', _State.COLON)
            return end + 1
        if _HALF_ESCAPE.fullmatch(text, end) is None:
            self._stop()
        else:
            self._held = text[end:]
        return len(text)

    def _read_number(self, text: str, at: int) -> int:
        end = _end(_NUMBER_RUN, text, at)
        self._token += text[at:end]
        if len(self._token) > _MAX_TOKEN_CHARS:
            self._stop()
        elif end < len(text):
            self._end_number()
        return end

    def _end_number(self) -> None:
        if _NUMBER.fullmatch(self._token) is None:
            self._stop()
            return
        self._add_safe(self._token, _State.AFTER_VALUE)
        self._token = ""

    def _read_literal(self, text: str, at: int) -> int:
        end = _end(_LETTERS, text, at)
        self._token += text[at:end]
        if self._token in _LITERALS:
            self._add_safe(self._token, _State.AFTER_VALUE)
            self._token = ""
        elif end < len(text) or not any(literal.startswith(self._token) for literal in _LITERALS):
            self._stop()
        return end

    def _add(self, text: str, state: _State) -> None:
        self._length += self._text.write(text)
        self._state = state

    def _add_safe(self, text: str, state: _State) -> None:
        self._add(text, state)
        self._safe = self._length

    def _stop(self) -> None:
        """Freeze the value as it is now."""
        value = self.value() or ""
        self._text = StringIO()
        self._length = self._safe = self._text.write(value)
        self._closers = []
        self._token = self._held = ""
        self._state = _State.STOPPED


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where the run of `pattern` ends; every pattern here also matches nothing."""
    found = pattern.match(text, at)
    return found.end() if found is not None else at
