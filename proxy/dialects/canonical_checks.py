"""Arguments of a tool call that break the schema which the caller declared, found while they still arrive.

Only what is certain is said, and only of the top level of the arguments, each thing once:

* the arguments are no object
* a value begins as another type than its property's `type` (one, or a list of them)
* a text is none of its property's `enum`
* the object ends without a `required` member

Properties without `type` and `enum` (`anyOf`, `$ref`) say nothing. It costs one step a character, so nothing is quadratic.
"""

from typing import Final

import msgspec

MOST_KEPT_CHARS: Final = 1000
"""Of a name or of a text with an `enum`: a longer one is neither known nor allowed."""

KINDS: Final[dict[str, str]] = {
    **dict.fromkeys("-0123456789", "number"),
    '"': "string",
    "{": "object",
    "[": "array",
    "t": "boolean",
    "f": "boolean",
    "n": "null",
}
"""What the first character of a value says about it."""


class Rules(msgspec.Struct):
    """What one tool's schema says of the top level of its arguments."""

    types: dict[str, list[str]] = {}
    enums: dict[str, list[str]] = {}
    required: list[str] = []


class Breach(msgspec.Struct, frozen=True):
    """`path`: the property, empty for the arguments as a whole."""

    path: str
    expected: str
    got: str


class _Property(msgspec.Struct):
    type: str | list[str] | None = None
    enum: list[object] | None = None


class _Schema(msgspec.Struct):
    properties: dict[str, msgspec.Raw] = {}
    required: list[str] = []


class _Function(msgspec.Struct):
    name: str
    parameters: msgspec.Raw = msgspec.Raw()


class _Tool(msgspec.Struct):
    function: _Function | None = None


_TOOLS = msgspec.json.Decoder(list[_Tool])
_SCHEMA = msgspec.json.Decoder(_Schema)
_PROPERTY = msgspec.json.Decoder(_Property)
_STRING = msgspec.json.Decoder(str)


def rules_of(tools: bytes) -> dict[str, Rules]:
    """The rules of each function in `tools`, a list as in Chat Completions. What cannot be read has none."""
    try:
        listed = _TOOLS.decode(tools)
    except (msgspec.DecodeError, RecursionError):
        return {}
    functions = [tool.function for tool in listed if tool.function is not None]
    return {function.name: _rules(function.parameters) for function in functions if bytes(function.parameters)}


def _rules(parameters: msgspec.Raw) -> Rules:
    try:
        schema = _SCHEMA.decode(parameters)
    except (msgspec.DecodeError, RecursionError):
        return Rules()
    rules = Rules(required=schema.required)
    for name, raw in schema.properties.items():
        try:
            found = _PROPERTY.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            continue
        if found.type is not None:
            rules.types[name] = [found.type] if isinstance(found.type, str) else found.type
        texts = [value for value in found.enum or () if isinstance(value, str)]
        if texts:
            rules.enums[name] = texts
    return rules


class ArgumentsCheck:
    """Reads the pieces of one call's arguments. JSON that is broken ends the check without a word: it is not its matter."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._missing = dict.fromkeys(rules.required)
        self._depth = 0
        self._is_over = False
        self._is_value = False
        """At the top level: a value comes next, not a name."""
        self._name = ""
        self._in_string = False
        self._is_escaped = False
        self._text: list[str] = []
        """The characters of the open text, of the top level only."""

    def feed(self, piece: str) -> list[Breach]:
        """What the next piece breaks."""
        found: list[Breach] = []
        for char in piece:
            if self._is_over:
                break
            if self._in_string:
                self._take_in_string(char, found)
            elif char not in " \t\r\n":
                self._take(char, found)
        return found

    def _take(self, char: str, found: list[Breach]) -> None:
        if self._depth == 0:
            self._begin(char, found)
            return
        if self._depth == 1:
            self._take_at_top(char, found)
        if char == '"':
            self._in_string = True
            self._text.clear()
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            if self._depth == 0:
                self._is_over = True
                found += [Breach(name, "a value", "none") for name in self._missing]

    def _begin(self, char: str, found: list[Breach]) -> None:
        if char == "{":
            self._depth = 1
            return
        self._is_over = True
        if char in KINDS:
            found.append(Breach("", "object", KINDS[char]))

    def _take_at_top(self, char: str, found: list[Breach]) -> None:
        if char == ":":
            self._is_value = True
        elif char == ",":
            self._is_value, self._name = False, ""
        elif self._is_value and self._name in self._rules.types:
            kind, types = KINDS.get(char), self._rules.types[self._name]
            self._is_value = char == '"'
            if kind is not None and kind not in types and not (kind == "number" and "integer" in types):
                found.append(Breach(self._name, " or ".join(types), kind))

    def _take_in_string(self, char: str, found: list[Breach]) -> None:
        if char == '"' and not self._is_escaped:
            self._in_string = False
            if self._depth == 1:
                self._end_string(found)
            return
        self._is_escaped = char == "\\" and not self._is_escaped
        if self._depth == 1 and len(self._text) <= MOST_KEPT_CHARS:
            self._text.append(char)

    def _end_string(self, found: list[Breach]) -> None:
        try:
            text = _STRING.decode('"{}"'.format("".join(self._text)))
        except (msgspec.DecodeError, UnicodeEncodeError):
            text = ""
        if not self._is_value:
            self._name = text
            self._missing.pop(text, None)
            return
        self._is_value = False
        allowed = self._rules.enums.get(self._name)
        if allowed is not None and text not in allowed and "string" in self._rules.types.get(self._name, ["string"]):
            found.append(Breach(self._name, "one of its enum", "another text"))
