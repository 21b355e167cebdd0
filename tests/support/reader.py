"""What a reader is: a function that makes one call and gives back what its SDK's user would see."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.readings import Reading

DEADLINE_S = 30.0
"""For one call of an SDK: far above what any test needs, far below the default of ten minutes."""


@dataclass(frozen=True)
class Call:
    """One request. `base_url` is the server's root; each reader adds what its SDK expects."""

    base_url: str
    model: str = "m"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the request in the SDK's own words; they replace the reader's defaults."""


Read = Callable[[Call], Awaitable[Reading]]


@dataclass(frozen=True)
class Reader:
    name: str
    dialect: str
    streams: bool
    read: Read
    blind: frozenset[str] = frozenset()
    """Fields of a `Reading` (`tokens.x` for a count) that this SDK never shows to its user."""
    words: str = ""
    """Whose finish words it uses, where not the dialect's own: a key of `readings.EXPRESSED_FINISH`."""
    needs_node: bool = False

    def __str__(self) -> str:
        return self.name
