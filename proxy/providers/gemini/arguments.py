"""A call's arguments as one JSON text, from the pieces in which Vertex streams them (`streamFunctionCallArguments`).

    functionCall {name, willContinue: true}                                               ""
    partialArgs [{jsonPath: "$.city", stringValue: "Os", willContinue: true}]             {"city":"Os
    partialArgs [{jsonPath: "$.city", stringValue: "lo"}]                                 lo
    partialArgs [{jsonPath: "$.days[0].high", numberValue: 3}]                            ","days":[{"high":3
    functionCall {}                                                                       }]}

Each piece names its place; the model writes its arguments from front to back, so a piece either lengthens the string
that was written last or stands behind everything so far. The text can therefore be written as the pieces come. A piece
that would go back into what is already written cannot be expressed and is a protocol fault.

A string stays open until something else follows, whatever `willContinue` says.
"""

import re

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.providers.gemini.wire import PartialArg, is_given

MAX_DEPTH = 64
"""Of places. Real schemas stay below 20."""

Place = tuple[str | int, ...]
"""Member names and array indexes, from the outside in."""

_STEP = re.compile(
    r"\.(?P<name>[^.\[\]'\"]+)"
    r"|\[(?P<index>\d{1,6})\]"
    r"|\['(?P<single>(?:[^'\\]|\\.)*)'\]"
    r'|\["(?P<double>(?:[^"\\]|\\.)*)"\]'
)
_IN_SINGLE_QUOTES = re.compile(r"\\(.)|\"", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")

_encode = msgspec.json.Encoder().encode
_NAME = msgspec.json.Decoder(str)


class ArgumentsWriter:
    """Writes one call's arguments. Each method gives the text that it adds."""

    def __init__(self) -> None:
        self._place: Place = ()
        """Where the last value stands; the containers around it are open."""
        self._members: list[set[str]] = []
        """The member names used so far in each open container, from the outside in."""
        self._in_string = False

    def add(self, piece: PartialArg) -> str:
        """Raises UpstreamProtocolError for a place that cannot follow the last one."""
        place = parse_place(piece.jsonPath)
        if piece.stringValue is not None:
            inside = _encode(piece.stringValue)[1:-1].decode()
            if self._in_string and place == self._place:
                return inside
            added = self._move_to(place) + '"' + inside
            self._in_string = True
            return added
        literal = _literal(piece)
        return "" if literal is None else self._move_to(place) + literal

    def close(self) -> str:
        """What is missing to make the text whole."""
        return ("" if self._place else "{") + self._leave(0) + "}"

    def _move_to(self, place: Place) -> str:
        """The text from the end of the last value to the beginning of the value at `place`."""
        if not self._place:
            return "{" + self._enter(place, 0)
        shared = 0
        while shared < min(len(place), len(self._place)) and place[shared] == self._place[shared]:
            shared += 1
        if shared == len(place) or shared == len(self._place):
            raise _out_of_order(place)
        last, step = self._place[shared], place[shared]
        if isinstance(step, str) != isinstance(last, str):
            raise _out_of_order(place)
        if isinstance(step, int) and isinstance(last, int) and step != last + 1:
            raise _out_of_order(place)
        return self._leave(shared) + "," + self._enter(place, shared)

    def _leave(self, depth: int) -> str:
        """End the last value and the containers that are open beyond `depth`."""
        ends = ['"'] if self._in_string else []
        self._in_string = False
        ends.extend("}" if isinstance(step, str) else "]" for step in reversed(self._place[depth + 1 :]))
        del self._members[depth + 1 :]
        return "".join(ends)

    def _enter(self, place: Place, depth: int) -> str:
        """The member name at `depth`, then each further container with the name of its first member."""
        text: list[str] = []
        for level, step in enumerate(place[depth:], depth):
            if level > depth:
                text.append("{" if isinstance(step, str) else "[")
            if level == len(self._members):
                self._members.append(set())
                if isinstance(step, int) and step != 0:
                    raise _out_of_order(place)
            if isinstance(step, str):
                if step in self._members[level]:
                    raise _out_of_order(place)
                self._members[level].add(step)
                text.append(_encode(step).decode() + ":")
        self._place = place
        return "".join(text)


def parse_place(path: str) -> Place:
    """The steps of a JSON path (RFC 9535, only names and indexes). Raises UpstreamProtocolError for any other path."""
    steps: list[str | int] = []
    position = 1
    while path[:1] == "$" and position < len(path) and len(steps) <= MAX_DEPTH:
        found = _STEP.match(path, position)
        if found is None:
            break
        position = found.end()
        index = found["index"]
        name = found["name"]
        if index is not None:
            steps.append(int(index))
        elif name is not None:
            steps.append(name)
        else:
            steps.append(_unquoted(found["single"], found["double"]))
    if not steps or position < len(path) or len(steps) > MAX_DEPTH or isinstance(steps[0], int):
        raise UpstreamProtocolError(f"a streamed argument has the path {path[:100]!r}")
    return tuple(steps)


def _unquoted(single: str | None, double: str | None) -> str:
    """A member name in quotes of either kind; the escapes are JSON's."""
    inside = double or ""
    if single is not None:
        inside = _IN_SINGLE_QUOTES.sub(lambda found: {"'": "'", None: '\\"'}.get(found[1], found[0]), single)
    try:
        return _NAME.decode(f'"{inside}"'.encode())
    except ValueError as fault:
        raise UpstreamProtocolError(f"a streamed argument has the name {inside[:100]!r}") from fault


def _literal(piece: PartialArg) -> str | None:
    """The JSON of a value that is no string; `None` when the piece has none."""
    if piece.boolValue is not None:
        return "true" if piece.boolValue else "false"
    if is_given(piece.numberValue):
        number = bytes(piece.numberValue).decode().strip('"')
        # proto3 JSON writes what is no JSON number ("NaN") as a string.
        return number if _NUMBER.fullmatch(number) else "null"
    return None if piece.nullValue is msgspec.UNSET else "null"


def _out_of_order(place: Place) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"a streamed argument goes back to {'/'.join(map(str, place))[:100]!r}")
