"""From the model that a caller asks for to the targets that may answer, worked out when the configuration loads.

Order: an exact name; `provider/model`; the longest pattern that matches, `*` being the shortest. An exact name is one
look-up.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from proxy.auth import Caller, proxy_key_digests
from proxy.config import Config, Model, ModelTarget, Provider, Timeouts
from proxy.config.secret import NO_KEY
from proxy.credentials import Credential
from proxy.globs import compile_glob, is_glob
from proxy.hub.errors import CallerError, ConfigError, ErrorKind
from proxy.presets import DEMO, PRESETS
from proxy.providers import PROVIDERS
from proxy.providers.base import Provider as ProviderKind
from proxy.providers.base import Target
from proxy.upstream.endpoint import Endpoint, TlsSettings, parse_endpoint

MAX_MODEL_CHARACTERS = 256
MAX_LISTED = 20

VERSION_SUFFIXES: dict[str, tuple[str, ...]] = {
    "anthropic": ("/v1",),
    "gemini": ("/v1beta", "/v1"),
    "cohere": ("/v2", "/v1"),
    "ollama": ("/api",),
}
"""What a base URL may end in although the kind's own paths begin with it."""

DEMO_BASE_PATHS: dict[str, str] = {"openai_chat": "/v1", "anthropic": "", "gemini": ""}
"""The kinds that the simulated model speaks, the usual one first, and where each begins below its address."""


class ResolvedTarget(msgspec.Struct, frozen=True):
    """One upstream that may answer a request, with everything needed to ask it."""

    provider: ProviderKind
    target: Target
    endpoint: Endpoint
    credential: Credential
    headers: Mapping[str, str]
    """Configured extra headers, lower-case names; secrets among them."""
    forward_headers: tuple[str, ...]
    """Further headers of a caller who speaks its API that go there, lower-case names."""
    timeouts: Timeouts
    context_tokens: int | None
    """The model's context window; `None`: not known."""
    prefill: bool
    """The model continues a last assistant message."""

    def __repr__(self) -> str:
        return f"ResolvedTarget({self.target.provider}/{self.target.model})"

    def credential_value(self) -> str | None:
        """The configured key; `None` when there is none."""
        return self.credential.value()


class Resolved(msgspec.Struct, frozen=True):
    """The answer to a model name."""

    alias: str
    """The configured entry that matched, or `provider/*`: never the caller's own text."""
    targets: tuple[ResolvedTarget, ...]
    by_dialect: Mapping[str, tuple[ResolvedTarget, ...]]
    """For dialects whose API one of the providers speaks besides its usual one."""
    providers: tuple[str, ...]
    """Names of the targets' providers, each once."""

    def targets_for(self, dialect: str) -> tuple[ResolvedTarget, ...]:
        """`targets`, each asked by the caller's own API where its provider speaks it (OpenAI: Chat and Responses)."""
        return self.by_dialect.get(dialect, self.targets)


class _Way(msgspec.Struct, frozen=True):
    """One API of a provider."""

    kind: ProviderKind
    endpoint: Endpoint
    credential: Credential


class _ProviderEntry:
    """A configured provider with all that does not depend on the model."""

    def __init__(self, provider: Provider, config: Config, environ: Mapping[str, str]) -> None:
        self._provider = provider
        self._headers = {name.lower(): value.reveal() for name, value in provider.headers.items()}
        self._forward_headers = tuple(name.lower() for name in provider.forward_headers)
        self._timeouts = config.timeouts.overridden(provider.timeouts)
        self._max_frame_bytes = config.limits.max_frame_bytes
        proxy_keys = proxy_key_digests(config)
        ways = [
            _Way(
                PROVIDERS[kind],
                _endpoint(provider, base_url, environ),
                Credential(provider, PROVIDERS[kind], proxy_keys),
            )
            for kind, base_url in spoken_kinds(provider)
            if kind in PROVIDERS
        ]
        if not ways:
            raise ConfigError([f"provider {provider.name!r}: kind {provider.kind!r} is not known, or has no base_url"])
        self._usual = ways[0]
        self.endpoints = [way.endpoint for way in ways]
        self.by_dialect = {way.kind.native_dialect: way for way in ways[1:] if way.kind.native_dialect is not None}
        """Its further APIs, by the dialect whose callers they are native to."""

    def target(self, model: str, options: ModelTarget, dialect: str = "") -> ResolvedTarget:
        """`model` here, asked by the API of `dialect` where the provider speaks it."""
        way = self.by_dialect.get(dialect, self._usual)
        provider = self._provider
        target = Target(provider.name, model, provider.quirks, provider.max_tokens, self._max_frame_bytes)
        return ResolvedTarget(
            provider=way.kind,
            target=target,
            endpoint=way.endpoint,
            credential=way.credential,
            headers=self._headers,
            forward_headers=self._forward_headers,
            timeouts=self._timeouts,
            context_tokens=options.context_tokens,
            prefill=options.prefill,
        )


MAX_REMEMBERED = 512
"""Names that patterns matched. Callers choose them, so that there may be any number."""


class Router:
    """The models of one configuration."""

    def __init__(self, config: Config, environ: Mapping[str, str] | None = None) -> None:
        """`environ` (the process's by default) is asked for HTTPS_PROXY and its like.

        Raises ConfigError for what `config.load` refuses as well, and for a `demo` provider without its address.
        """
        environ = os.environ if environ is None else environ
        self._providers = {provider.name: _ProviderEntry(provider, config, environ) for provider in config.providers}
        self._names = [model.name for model in config.models]
        self._exact = {
            model.name: self._resolve(model, model.name) for model in config.models if not is_glob(model.name)
        }
        globs = sorted((model for model in config.models if is_glob(model.name)), key=lambda model: -len(model.name))
        self._patterns: list[tuple[re.Pattern[str], Model]] = [(compile_glob(model.name), model) for model in globs]
        self._resolved_before: dict[str, Resolved] = {}
        """Of patterns, by the caller's name: few names make most calls, and open streams share what is the same."""

    def resolve(self, model: str | None, caller: Caller) -> Resolved:
        """The targets for `model`, in their order.

        Raises CallerError: 400 without a model or with one that is no name, 403 for one that the caller may not use
        (whether it exists or not), 404 for one that does not exist.
        """
        if not model:
            raise CallerError(
                ErrorKind.INVALID_REQUEST,
                "No model is given, and this proxy has no default.",
                param="model",
                code="model_missing",
            )
        _refuse_odd_name(model)
        exact = self._exact.get(model)
        provider_name, slash, rest = model.partition("/")
        provider = self._providers.get(provider_name) if exact is None and slash and rest else None
        if not caller.may_use(model, model if provider is None else rest):
            raise self._not_allowed(model, caller)
        if exact is not None:
            return exact
        if provider is not None:
            options = ModelTarget(provider_name)
            return self._resolved(f"{provider_name}/*", [(provider, rest, options)])
        known = self._resolved_before.get(model)
        if known is not None:
            return known
        for pattern, entry in self._patterns:
            if pattern.fullmatch(model) is not None:
                return self._remember(model, self._resolve(entry, model))
        raise self._not_found(model, caller)

    def _remember(self, model: str, resolved: Resolved) -> Resolved:
        if len(self._resolved_before) >= MAX_REMEMBERED:
            self._resolved_before.clear()
        self._resolved_before[model] = resolved
        return resolved

    def resolve_provider(self, name: str, caller: Caller) -> ResolvedTarget:
        """The provider `name` for requests that are no generations; its target's model is `*`.

        Raises CallerError: 403 unless the caller may use `name/*`, 404 for a provider that does not exist.
        """
        if not caller.may_use(f"{name}/*", "*"):
            raise CallerError(
                ErrorKind.PERMISSION, f"This key may not use the provider {name[:64]!r}.", code="provider_not_allowed"
            )
        provider = self._providers.get(name)
        if provider is None:
            raise CallerError(
                ErrorKind.NOT_FOUND, f"The provider {name[:64]!r} does not exist here.", code="provider_not_found"
            )
        return provider.target("*", ModelTarget(name))

    def endpoints(self) -> list[Endpoint]:
        """Where requests may go, each once."""
        return list(dict.fromkeys(endpoint for provider in self._providers.values() for endpoint in provider.endpoints))

    def models_visible_to(self, caller: Caller) -> list[str]:
        """The configured names and patterns that the caller may use, in the order of the configuration."""
        if caller.models is None:
            return list(self._names)
        return [name for name in self._names if caller.models.meets(name)]

    def _resolve(self, entry: Model, asked: str) -> Resolved:
        parts = [(self._providers[target.provider], target.model or asked, target) for target in entry.targets]
        return self._resolved(entry.name, parts)

    def _resolved(self, alias: str, parts: list[tuple[_ProviderEntry, str, ModelTarget]]) -> Resolved:
        dialects = {dialect for provider, _, _ in parts for dialect in provider.by_dialect}
        return Resolved(
            alias,
            tuple(provider.target(model, options) for provider, model, options in parts),
            {
                dialect: tuple(provider.target(model, options, dialect) for provider, model, options in parts)
                for dialect in dialects
            },
            tuple(dict.fromkeys(options.provider for _, _, options in parts)),
        )

    def _not_allowed(self, model: str, caller: Caller) -> CallerError:
        return CallerError(
            ErrorKind.PERMISSION,
            f"This key may not use the model {model!r}. {self._available(caller)}",
            param="model",
            code="model_not_allowed",
        )

    def _not_found(self, model: str, caller: Caller) -> CallerError:
        close = get_close_matches(model, self.models_visible_to(caller), n=1, cutoff=0.6)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return CallerError(
            ErrorKind.NOT_FOUND,
            f"The model {model!r} does not exist here.{hint} {self._available(caller)}",
            param="model",
            code="model_not_found",
        )

    def _available(self, caller: Caller) -> str:
        names = self.models_visible_to(caller)
        if not names:
            return "No model is available by name; ask for 'provider/model'." if caller.models is None else ""
        more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
        return f"Available: {', '.join(names[:MAX_LISTED])}{more}."


def spoken_kinds(provider: Provider) -> list[tuple[str, str]]:
    """The kinds that a provider speaks, its usual one first, each with its base URL; none without a base URL."""
    if provider.base_url is None:
        return []
    base_url = provider.base_url.rstrip("/")
    if provider.kind == DEMO:
        return [(kind, base_url + path) for kind, path in DEMO_BASE_PATHS.items()]
    kinds = [provider.kind]
    preset = PRESETS.get(provider.preset or provider.name)
    if preset is not None and preset.kind == provider.kind and preset.base_url in (None, base_url):
        kinds += preset.also_speaks
    return [(kind, _without_version(base_url, kind)) for kind in kinds]


def _without_version(base_url: str, kind: str) -> str:
    for suffix in VERSION_SUFFIXES.get(kind, ()):
        if base_url.endswith(suffix):
            return base_url.removesuffix(suffix)
    return base_url


def _endpoint(provider: Provider, base_url: str, environ: Mapping[str, str]) -> Endpoint:
    tls = TlsSettings()
    if provider.tls is not None:
        tls = TlsSettings(**msgspec.structs.asdict(provider.tls))
    proxy: str | None = None
    if provider.proxy is not None:
        proxy = "" if provider.proxy.reference == NO_KEY else provider.proxy.reveal()
    try:
        return parse_endpoint(base_url, tls=tls, proxy=proxy, environment=environ)
    except ConfigError as fault:
        raise ConfigError([f"provider {provider.name!r}: {problem}" for problem in fault.problems]) from fault


def _refuse_odd_name(model: str) -> None:
    if len(model) > MAX_MODEL_CHARACTERS:
        message = f"The model name is longer than {MAX_MODEL_CHARACTERS} characters."
    elif not model.isprintable() or model != model.strip():
        message = "The model name holds control characters, or blanks at its ends."
    else:
        return
    raise CallerError(ErrorKind.INVALID_REQUEST, message, param="model", code="model_invalid")
