"""What a model's name decides: the path to call, and which generation of the API's rules holds.

The name stands in the URL, so it must not be able to change what is called: see `resource`.
"""

import re
from typing import Final
from urllib.parse import quote

from proxy.hub.errors import CallerError, ErrorKind

Generation = tuple[int, int]

GEMINI_2_5: Final[Generation] = (2, 5)
GEMINI_3: Final[Generation] = (3, 0)
NEWEST: Final[Generation] = (99, 0)
"""Of names without a number (`gemini-flash-latest`): Google points them at the newest."""
WITHOUT_THINKING: Final[Generation] = (0, 0)
"""Of models that are no Gemini (`gemma-3-27b-it`)."""

MAX_NAME_CHARS = 200

_SEGMENT = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9._~:@+-]*")
_COLLECTIONS = ("models", "tunedModels")
_NUMBER = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?(?![\d.])")


def resource(model: str) -> str:
    """The model's resource name, escaped for a URL: `models/gemini-3-pro`, `tunedModels/mine-1`.

    Raises CallerError for a name that is no name: one that could leave its place in the path (`..`, `/` at an end), or
    that holds what separates the parts of a URL (`?`, `#`, `%`, white space, control characters).
    """
    collection, _, name = model.partition("/")
    if collection not in _COLLECTIONS or not name:
        collection, name = "models", model
    segments = name.split("/")
    if len(model) > MAX_NAME_CHARS or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        expected = "a model name of letters, digits and '._~:@+-', without '..'"
        raise CallerError(ErrorKind.INVALID_REQUEST, f"model: expected {expected}, got {model[:200]!r}", param="model")
    return "/".join([collection, *(quote(segment, safe="~@+") for segment in segments)])


def generation(model: str) -> Generation:
    """The version that the name states: `gemini-2.5-flash` is (2, 5), `gemini-3-pro` (3, 0)."""
    found = _NUMBER.search(model)
    if found is not None:
        return int(found[1]), int(found[2] or 0)
    return NEWEST if "gemini" in model else WITHOUT_THINKING
