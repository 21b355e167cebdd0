"""What a request asked for and the API cannot carry, collected while the request is written."""


class Dropped:
    """Names in the caller's words, each once, in order."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self._names[name] = None

    def add_if(self, condition: object, name: str) -> None:
        """Name it when the request holds it."""
        if condition:
            self.add(name)

    def names(self) -> tuple[str, ...]:
        return tuple(self._names)
