"""Text that must not be shown, and where it comes from: `env:NAME`, `file:PATH`, or (where allowed) the file itself."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

MAX_SECRET_BYTES = 64 * 1024

NO_KEY = "none"
"""As a provider's `api_key`: nothing is sent."""
CALLERS_KEY = "caller"
"""As a provider's `api_key`: the caller's own key is forwarded; the same as no `api_key` at all."""

LITERAL = "(literal)"
"""The reference of a secret that stands in the configuration itself: accepted with a warning, masked like any other."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FOREIGN_REFERENCE = re.compile(r"os\.environ/(\w+)|\$\{(?:env[:.])?(\w+)\}|\$(\w+)|%(\w+)%", re.IGNORECASE)


_LIKE_A_REFERENCE = re.compile(r"\$|%|(?:env|file)\b[:. ]", re.IGNORECASE)


class Secret:
    """A value with its origin. Printing shows the origin (`env:NAME`), never the value."""

    __slots__ = ("_value", "is_literal", "reference")

    def __init__(self, reference: str, value: str, *, is_literal: bool = False) -> None:
        self.reference = reference
        """As the configuration gives it; the value itself for a literal, and one of the words above for none."""
        self.is_literal = is_literal
        self._value = value

    @property
    def is_reference(self) -> bool:
        """Whether the value is a secret: from a variable, a file, or a key given literally."""
        return not self.is_literal and (self.reference == LITERAL or self.reference.startswith(("env:", "file:")))

    def reveal(self) -> str:
        """The value; empty for the words `none` and `caller`."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(literal)" if self.is_literal else f"Secret({self.reference})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.reference, self._value) == (other.reference, other._value)

    def __hash__(self) -> int:
        return hash((self.reference, self._value))


class SecretUnavailableError(Exception):
    """The text is no reference, or what it refers to is missing. The message never holds a value."""


def key_digest(key: str) -> bytes:
    """SHA-256 of a key: what keys are compared by, so that none is kept as text where requests are looked at."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def resolve_reference(text: str, environ: Mapping[str, str], directory: Path) -> Secret:
    """What `env:NAME` or `file:PATH` stands for; a relative PATH starts at `directory`. Other text is the secret itself.

    Raises SecretUnavailableError, also for another tool's way of naming a variable.
    """
    scheme, colon, name = text.partition(":")
    if colon and scheme == "env":
        return Secret(text, _read_variable(name, environ))
    if colon and scheme == "file":
        return Secret(text, _read_file(directory / name))
    foreign = _FOREIGN_REFERENCE.fullmatch(text)
    if foreign is not None:
        raise SecretUnavailableError(
            f"expected env:NAME or file:PATH; did you mean 'env:{foreign[foreign.lastindex or 0]}'?"
        )
    if _LIKE_A_REFERENCE.match(text):
        raise SecretUnavailableError("expected env:NAME, file:PATH or a key, got something else (not shown)")
    return Secret(LITERAL, _usable(text, "the key"))


def is_reference(text: str) -> bool:
    """Whether `text` refers to a variable or a file, or tries to in another tool's notation."""
    return text.startswith(("env:", "file:")) or _FOREIGN_REFERENCE.fullmatch(text) is not None


def _read_variable(name: str, environ: Mapping[str, str]) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise SecretUnavailableError(
            "expected the name of an environment variable after 'env:' (what came is not shown)"
        )
    value = environ.get(name)
    if value is None:
        raise SecretUnavailableError(f"the environment variable {name} is not set")
    return _usable(value.strip(), f"the environment variable {name}")


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as fault:
        raise SecretUnavailableError(f"the file {str(path)!r} cannot be read: {fault.strerror}") from fault
    if len(data) > MAX_SECRET_BYTES:
        raise SecretUnavailableError(f"the file {str(path)!r} is larger than {MAX_SECRET_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as fault:
        raise SecretUnavailableError(f"the file {str(path)!r} is not UTF-8 text") from fault
    return _usable(text.rstrip("\r\n"), f"the file {str(path)!r}")


def _usable(value: str, where: str) -> str:
    """`value`, if it can travel in a header."""
    if not value:
        raise SecretUnavailableError(f"{where} is empty")
    if not value.isascii() or not value.isprintable():
        raise SecretUnavailableError(f"{where} holds line breaks or other characters that no header can carry")
    return value
