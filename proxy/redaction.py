"""Texts with secrets taken out: the values that the configuration loaded, and whatever looks like a key.

Used on everything that leaves the process for a human: log lines, configuration problems, printed configurations.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

MASK = "***"

MIN_SECRET_CHARACTERS = 8
"""Shorter values are placeholders of local servers (`none`, `EMPTY`, `ollama`): masking them would garble every text."""

_KEY_LIKE = re.compile(
    r"""
    \b(?:sk|pk|rk|gsk|xai|csk|pplx|nvapi|hf|ghp|gho|ghs|github_pat|r8|tgp|fw|co|key)[-_][A-Za-z0-9_\-]{16,}
    | \bAIza[A-Za-z0-9_\-]{20,}                               # Google
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                           # AWS access key id
    | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]* # JSON web token
    """,
    re.VERBOSE,
)
"""Keys that vendors make recognisable."""

_AFTER_NAME = re.compile(
    r"""
    (?P<name>
        (?:proxy-)?authorization ["']? \s* [:=] \s* ["']? (?:[A-Za-z][A-Za-z0-9\-]* \s+)?
        | (?:x-goog-|x-)?api[-_]?key ["']? \s* [:=] \s* ["']?
        | \bbearer \s+
        | [?&] (?:key|api[-_]?key|access_token|token) =
        | :// [^\s/:@]* :                                      # user:password@host
    )
    (?P<value> [^\s"'&,;@<>\[\]]{4,} )
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Values that stand where a credential stands, whatever they look like."""

_NO_SECRETS = frozenset({"none", "null", "caller", "true", "false", "missing", "expected", "unknown", "given"})
"""What configurations and messages say in that place."""

_IS_KEY_NAME = re.compile(r"api[-_]?key", re.IGNORECASE)
_IS_PLAIN_WORD = re.compile(r"[A-Za-z]{1,15}")
_IS_URL_PASSWORD = re.compile(r"://[^\s/:@]*:$")


def mask_recognisable(text: str) -> str:
    """`text` without keys of a recognisable form, wherever they stand."""
    return _KEY_LIKE.sub(MASK, text)


def mask_key_like(text: str) -> str:
    """`text` without anything that looks like a credential, or stands where one would."""
    return mask_recognisable(_AFTER_NAME.sub(lambda found: _mask_named(found, text), text))


def _mask_named(found: re.Match[str], text: str) -> str:
    name, value = found["name"], found["value"]
    if _IS_URL_PASSWORD.search(name) and text[found.end() : found.end() + 1] != "@":
        return found[0]  # a port, not a password
    if value.startswith((MASK, "env:", "file:")) or value in _NO_SECRETS:
        return found[0]
    if _IS_KEY_NAME.search(name) and _IS_PLAIN_WORD.fullmatch(value):
        return found[0]  # a sentence goes on
    return name + MASK


class Redactor:
    """Masks a fixed set of secret values, also in the forms that URLs and JSON give them, and whatever looks like a key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= MIN_SECRET_CHARACTERS:
                forms |= {secret, quote(secret, safe=""), msgspec.json.encode(secret)[1:-1].decode()}
        longest_first = sorted(forms, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def redact(self, text: str) -> str:
        """`text` with `***` for each secret."""
        if self._values is not None:
            text = self._values.sub(MASK, text)
        return mask_key_like(text)
