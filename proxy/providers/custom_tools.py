"""Free-text tools (OpenAI `custom`) for APIs that know only functions: a function whose one argument is the text.

sent        {"input": {"type": "string"}}           as the schema of the tool
answered    {"input":"*** Begin Patch\\n…"}          in fragments; `Unwrapper` gives the text as it arrives
"""

import re

import msgspec

from proxy.hub.json_text import mended

PROPERTY = "input"

SCHEMA = b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'


def wrap(text: str) -> bytes:
    """The arguments object of a call with the free text `text`."""
    return msgspec.json.encode({PROPERTY: text})


_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_HEX = "[0-9a-fA-F]"
_WHOLE = re.compile(
    r'(?:[^"\\]++'
    r"|\\[^u]"
    rf"|\\u[dD][89abAB]{_HEX}{{2}}(?:\\u[dD][c-fC-F]{_HEX}{{2}}|(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F]))"
    rf"|\\u(?![dD][89abAB]){_HEX}{{4}})*+"
)
"""As many whole characters of a JSON string as there are: what follows is its end, or half an escape."""

_STRING = msgspec.json.Decoder(str)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Unwrapper:
    """The free text inside the fragments of one call's arguments.

    Arguments of another shape (the model did not keep to the schema) are the text themselves; they come at the end.
    """

    def __init__(self) -> None:
        self._waiting = ""
        self._is_inside = False
        self._is_over = False

    def feed(self, fragment: str) -> str:
        """The text that `fragment` completes."""
        if self._is_over:
            return ""
        self._waiting += fragment
        if not self._is_inside:
            head = _HEAD.match(self._waiting)
            if head is None:
                return ""
            self._is_inside = True
            self._waiting = self._waiting[head.end() :]
        found = _WHOLE.match(self._waiting)
        end = found.end() if found is not None else 0
        whole, self._waiting = self._waiting[:end], self._waiting[end:]
        if self._waiting.startswith('"'):
            self._is_over = True
            self._waiting = ""
        return _unescaped(whole)

    def finish(self) -> str:
        """What is left when the call ended: half an escape, or arguments of another shape."""
        rest, self._waiting = self._waiting, ""
        if not rest:
            return ""
        if self._is_inside:
            return _unescaped(rest)
        try:
            return _STRING.decode(_OBJECT.decode(rest)[PROPERTY])
        except (ValueError, KeyError, RecursionError):
            return rest


def _unescaped(text: str) -> str:
    """The characters of a JSON string's inside; `text` itself where it is no such inside."""
    if "\\" not in text:
        return text
    try:
        return _STRING.decode(mended(b'"' + text.encode("utf-8", "surrogatepass") + b'"'))
    except ValueError:
        return text
