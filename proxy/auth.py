"""Who is calling: a key is looked up by its SHA-256, in constant time, and never kept.

Every refusal is the same 401: a key that is unknown, malformed or absent cannot be told apart by the answer.
"""

import hmac
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from proxy.config import CallerKey, Config
from proxy.config.addresses import parse_listen_address
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


_Fields = dict[str, msgspec.Raw]

_FIELDS = msgspec.json.Decoder(_Fields)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)

_OTHER_MODELS = frozenset({"models", "fallbacks", "preset"})
"""Fields by which vendors let a request name models beside `model` (OpenRouter, LiteLLM)."""


def refuse_other_models(caller: Caller, body: bytes) -> None:
    """Raises CallerError (403) where a key that may use some models only names others past its list.

    For bodies that go upstream as they came: whatever is converted loses these fields. Servers written in Go (Ollama, many
    gateways) read `Model` and `MODEL` as `model`, the last one of them.
    """
    if caller.models is None:
        return
    try:
        fields = _FIELDS.decode(mended(body))
    except msgspec.DecodeError:
        return  # no JSON object: refused elsewhere
    for name, value in fields.items():
        folded = name.casefold()
        if folded == "model" and name != folded:
            raise _names_others(name)
        if folded in _OTHER_MODELS and not _is_surely_null(name, value, body):
            raise _names_others(name)
    for index, model in _models_of_tools(fields.get("tools")):
        if not caller.may_use(model, model):
            raise _names_others(f"tools[{index}].model")


def _is_surely_null(name: str, value: msgspec.Raw, body: bytes) -> bool:
    """Whether the field is given once, as null. Of two the decoder has seen the last, and a provider may read the first."""
    return bytes(value) == b"null" and b"\\u" not in body and body.count(f'"{name}"'.encode()) == 1


def _models_of_tools(tools: msgspec.Raw | None) -> Iterator[tuple[int, str]]:
    """The models that tools of the provider's own use (OpenAI's `image_generation`, Anthropic's `advisor`)."""
    try:
        items = _ITEMS.decode(tools) if tools is not None else []
    except msgspec.DecodeError:
        return
    for index, item in enumerate(items):
        try:
            yield index, _TEXT.decode(_FIELDS.decode(item)["model"])
        except (KeyError, msgspec.DecodeError):
            continue


def _names_others(name: str) -> CallerError:
    message = f"This key may use some models only; a request may not name others in {name[:64]!r}."
    return CallerError(ErrorKind.PERMISSION, message, param=name[:64], code="model_not_allowed")


class Authenticator:
    """The keys of one configuration."""

    def __init__(self, config: Config) -> None:
        callers: dict[str, Caller] = {}
        self._keys = [(key.digest(), callers.setdefault(key.name, _caller(key))) for key in config.auth.keys]
        self._is_open = config.auth.anonymous or not self._keys
        self._origins = frozenset(config.cors.origins)
        self._page_names = {_name_of(origin) for origin in self._origins}
        self._is_local = parse_listen_address(config.listen).is_loopback

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
            if not self._is_open_to(headers):
                raise _foreign_page()
            return ANONYMOUS
        if found is None:
            raise _unknown()
        return found

    def _is_open_to(self, headers: Mapping[str, str]) -> bool:
        """Whether a request without a key is from no web page, or from one that may call.

        What a page of another site asks, and what is asked of a name that only its owner knows for this machine's (DNS
        rebinding), is refused. Browsers name the relation in `sec-fetch-site`, where they hold the address for safe.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if (origin is None and site is None) or "*" in self._origins or origin in self._origins:
            return True
        name = _name_of(f"//{headers.get('host', '')}")
        if site == "cross-site" or (site is None and _name_of(origin or "") != name):
            return False
        return not self._is_local or _is_local_name(name) or name in self._page_names

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


def _name_of(url: str) -> str:
    """The host part of an origin; empty when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_local_name(name: str) -> bool:
    """Whether nobody else can have made `name` point here: an address, or a name that no public DNS knows."""
    try:
        return bool(ip_address(name))
    except ValueError:
        return "." not in name or name.endswith(".localhost")


def _foreign_page() -> CallerError:
    return CallerError(
        ErrorKind.PERMISSION,
        "Web pages of other sites may not call this proxy without a key; 'cors.origins' names those that may.",
        code="foreign_page",
    )


def _unknown() -> CallerError:
    return CallerError(
        ErrorKind.AUTHENTICATION,
        "A valid key for this proxy is needed, as 'Authorization: Bearer KEY' or in the key header of your SDK.",
        code="invalid_api_key",
        headers={"www-authenticate": "Bearer"},
    )
