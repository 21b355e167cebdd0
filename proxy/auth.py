"""Who is calling: a key is looked up by its SHA-256, in constant time, and never kept.

Every refusal is the same 401: a key that is unknown, malformed or absent cannot be told apart by the answer.
"""

import hmac
from collections.abc import Mapping

import msgspec

from proxy.config import CallerKey, Config
from proxy.config.secret import key_digest
from proxy.credentials import presented
from proxy.globs import AllowList
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.json_text import mended


class Caller(msgspec.Struct, frozen=True):
    """Who calls, and what it may do. Two callers are the same when their names are."""

    name: str
    """The configured name of its key; empty for anonymous callers."""
    models: AllowList | None = None
    """`None`: all models."""
    max_streams: int | None = None
    """`None`: no limit of its own."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    @property
    def has_limits(self) -> bool:
        """Whether any limit of its own holds for it."""
        return (self.max_streams or self.requests_per_minute or self.tokens_per_minute) is not None

    def may_use(self, asked: str, sent: str) -> bool:
        """Whether the caller may ask for `asked`, where its text makes `sent` the provider's model."""
        return self.models is None or self.models.allows(asked, sent)


ANONYMOUS = Caller("")


class _OtherModels(msgspec.Struct):
    """Fields by which vendors let a request name models beside `model` (OpenRouter, LiteLLM)."""

    models: msgspec.Raw = msgspec.Raw(b"null")
    fallbacks: msgspec.Raw = msgspec.Raw(b"null")
    preset: msgspec.Raw = msgspec.Raw(b"null")


_OTHER_MODELS = msgspec.json.Decoder(_OtherModels)


def refuse_other_models(caller: Caller, body: bytes) -> None:
    """Raises CallerError (403) where a key that may use some models only names others past its list.

    For bodies that go upstream as they came: whatever is converted loses these fields.
    """
    if caller.models is None:
        return
    try:
        found = _OTHER_MODELS.decode(mended(body))
    except msgspec.DecodeError:
        return  # no JSON object: refused elsewhere
    for name in found.__struct_fields__:
        if bytes(getattr(found, name)) != b"null":
            message = f"This key may use some models only; a request may not name others in {name!r}."
            raise CallerError(ErrorKind.PERMISSION, message, param=name, code="model_not_allowed")


class Authenticator:
    """The keys of one configuration."""

    def __init__(self, config: Config) -> None:
        callers: dict[str, Caller] = {}
        self._keys = [(key.digest(), callers.setdefault(key.name, _caller(key))) for key in config.auth.keys]
        self._is_open = config.auth.anonymous or not self._keys
        self._origins = frozenset(config.cors.origins)

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Caller:
        """The caller of a request; header names are lower-case. Raises CallerError (401, 403).

        A request may bring several keys, one for the proxy and one to be forwarded: any known one opens. Without keys,
        whoever can connect may call, and any web page that this machine's user opens can connect: it could not read the
        answer, but it would be paid for.
        """
        found: Caller | None = None
        if self._keys:
            for one in presented(headers, query):
                found = self._look_up(key_digest(one.value)) or found
        if found is None and self._is_open:
            if headers.get("sec-fetch-site") == "cross-site" and not self._allows(headers.get("origin")):
                raise _cross_site()
            return ANONYMOUS
        if found is None:
            raise _unknown()
        return found

    def _allows(self, origin: str | None) -> bool:
        return "*" in self._origins or origin in self._origins

    def _look_up(self, digest: bytes) -> Caller | None:
        found: Caller | None = None
        for known, caller in self._keys:
            # Every key is compared, also after a match: the time says nothing about which one it was.
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def proxy_key_digests(config: Config) -> frozenset[bytes]:
    """Digests of all keys that open this proxy."""
    return frozenset(key.digest() for key in config.auth.keys)


def _caller(key: CallerKey) -> Caller:
    models = AllowList(key.models) if key.models is not None else None
    return Caller(key.name, models, key.max_streams, key.requests_per_minute, key.tokens_per_minute)


def _cross_site() -> CallerError:
    return CallerError(
        ErrorKind.PERMISSION,
        "Pages of other sites may not call this proxy without a key; 'cors.origins' names those that may.",
        code="cross_site",
    )


def _unknown() -> CallerError:
    return CallerError(
        ErrorKind.AUTHENTICATION,
        "A valid key for this proxy is needed, as 'Authorization: Bearer KEY' or in the key header of your SDK.",
        code="invalid_api_key",
        headers={"www-authenticate": "Bearer"},
    )
