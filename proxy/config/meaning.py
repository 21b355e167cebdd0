"""Whether a configuration of the right shape makes sense: rules over several keys, and over the world outside.

Each `_check_*` covers one section. Problems refuse the configuration, warnings do not.
"""

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from proxy.config.addresses import ListenAddress, parse_listen_address
from proxy.config.document import KeyPath, Table, has_path, origin_at, path_text
from proxy.config.meaning_providers import check_provider, warn_of_literal
from proxy.config.problems import Origin, Problems, did_you_mean, has_password, listed, shown
from proxy.config.secret import Secret
from proxy.config.settings import NO_STORE, CallerKey, Config, Model, OnCut, TimeoutOverrides, Timeouts
from proxy.config.shape import PLACEHOLDER
from proxy.globs import globs_meet, is_glob

MIN_KEY_CHARACTERS = 8
SHORT_KEY_CHARACTERS = 20
"""Keys below this are worth a warning: they can be guessed."""

STORES = (NO_STORE, "memory")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@*]+")


class Checker:
    """The checks of one configuration."""

    def __init__(
        self, config: Config, root: Table, damaged: Collection[str], problems: Problems, kinds: Collection[str]
    ) -> None:
        """`damaged`: paths whose shape was wrong, so that nothing follows from what is left of them."""
        self.config = config
        self.root = root
        self.damaged = damaged
        self.problems = problems
        self.kinds = kinds
        self.warnings = Problems()

    def check(self) -> None:
        """Everything."""
        listen = self._check_listening()
        self._check_callers(listen)
        for index, provider in enumerate(self.config.providers):
            check_provider(self, index, provider, listen)
        self._check_names("providers", [provider.name for provider in self.config.providers])
        self._check_models()
        self._check_times()
        self._check_rest()

    def add(self, path: KeyPath, message: str) -> None:
        """A problem with what stands at `path`."""
        self.problems.add(self._place(path), path_text(path), message)

    def warn(self, path: KeyPath, message: str) -> None:
        """Something that works, but is probably not meant."""
        self.warnings.add(self._place(path), path_text(path), message)

    def _place(self, path: KeyPath) -> Origin:
        """Where a person can change something: what a preset filled in is reported at the entry that named it."""
        origin = origin_at(self.root, path)
        while path and origin.source.startswith("preset "):
            path = path[:-1]
            origin = origin_at(self.root, path)
        return origin

    # --- addresses

    def _check_listening(self) -> ListenAddress | None:
        listen = self._address(("listen",), self.config.listen)
        if listen is not None and listen.port == 0 and self.config.workers != 1:
            self.add(("listen",), "expected a port, got 0: each of the workers would take another one")
        if self.config.admin is not None:
            admin = self._address(("admin", "listen"), self.config.admin.listen)
            if listen is not None and admin is not None and admin.clashes_with(listen):
                self.add(("admin", "listen"), f"the same port as `listen` ({self.config.listen}); use another one")
        return listen

    def _address(self, path: KeyPath, text: str) -> ListenAddress | None:
        try:
            return parse_listen_address(text)
        except ValueError as fault:
            self.add(path, str(fault))
            return None

    # --- callers

    def _check_callers(self, listen: ListenAddress | None) -> None:
        auth = self.config.auth
        if listen is not None and not listen.is_loopback and not auth.keys and not auth.anonymous:
            self.add(
                ("listen",),
                f"expected a loopback address such as 127.0.0.1:{listen.port}, got {shown(self.config.listen)}: without"
                " `auth.keys` everybody who can connect could spend your money; add keys, or set `auth.anonymous: true`",
            )
        by_digest: dict[bytes, CallerKey] = {}
        by_name: dict[str, CallerKey] = {}
        for index, key in enumerate(auth.keys):
            path = ("auth", "keys", index)
            if path_text(path) not in self.damaged:
                self._check_key(path, key, by_digest, by_name)
            self._check_allow_list(path, key)

    def _check_key(
        self, path: KeyPath, key: CallerKey, by_digest: dict[bytes, CallerKey], by_name: dict[str, CallerKey]
    ) -> None:
        if (key.key is None) == (key.sha256 is None):
            self.add(path, f"expected either 'key' or 'sha256', got {'both' if key.key is not None else 'neither'}")
            return
        if key.key is not None:
            self._check_key_text((*path, "key"), key.key.reveal())
            warn_of_literal(self, (*path, "key"), key.key)
        twin = by_digest.setdefault(key.digest(), key)
        if twin is not key:
            self.add(path, f"the same key as that of {twin.name!r}; give every caller its own")
        sibling = by_name.setdefault(key.name, key)
        if _permissions(sibling) != _permissions(key):
            self.add(path, f"keys of one name ({key.name!r}) must have the same models and limits")

    def _check_key_text(self, path: KeyPath, key: str) -> None:
        if len(key) < MIN_KEY_CHARACTERS:
            self.add(path, f"expected a key of at least {MIN_KEY_CHARACTERS} characters, got {len(key)}")
        elif len(key) < SHORT_KEY_CHARACTERS:
            self.warn(path, f"a key of {len(key)} characters can be guessed; use {SHORT_KEY_CHARACTERS} or more")
        if " " in key:
            self.add(path, "expected a key without blanks")

    def _check_allow_list(self, path: KeyPath, key: CallerKey) -> None:
        if key.models is None or "models" in self.damaged or "providers" in self.damaged:
            return
        names = [model.name for model in self.config.models]
        providers = [f"{provider.name}/*" for provider in self.config.providers]
        for index, glob in enumerate(key.models):
            if glob != PLACEHOLDER and not any(globs_meet(glob, name) for name in (*names, *providers)):
                known = [name for name in names if not is_glob(name)]
                hint = did_you_mean(glob, known, otherwise=f"; models: {listed(names)}")
                self.add((*path, "models", index), f"{shown(glob)} allows no configured model{hint}")

    # --- models

    def _check_names(self, section: str, names: Iterable[str]) -> None:
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            first = seen.setdefault(name, index)
            if first != index and name != PLACEHOLDER:
                self.add((section, index, "name"), f"{shown(name)} is taken by {section}[{first}]")

    def _check_models(self) -> None:
        models = self.config.models
        self._check_names("models", [model.name for model in models])
        for index, model in enumerate(models):
            self._check_targets(index, model)
            self._check_pattern(index, model)
        self._check_default_model()

    def _check_targets(self, index: int, model: Model) -> None:
        known = [provider.name for provider in self.config.providers]
        for position, target in enumerate(model.targets):
            path = ("models", index, "targets", position)
            if target.provider not in known and target.provider != PLACEHOLDER and PLACEHOLDER not in known:
                hint = did_you_mean(target.provider, known, otherwise=f"; providers: {listed(known) or 'none'}")
                self.add((*path, "provider"), f"unknown provider {shown(target.provider)}{hint}")
            if target.model is not None and is_glob(target.model):
                message = (
                    f"expected the name of one model, got the pattern {shown(target.model)}; leave it out to pass on"
                )
                self.add((*path, "model"), f"{message} the caller's own")

    def _check_pattern(self, index: int, model: Model) -> None:
        if not is_glob(model.name):
            return
        path = ("models", index, "name")
        owner = next((p.name for p in self.config.providers if model.name.startswith(f"{p.name}/")), None)
        if owner is not None:
            self.add(path, f"never used: {shown(owner + '/…')} always means the provider {owner!r}")
        for other in self.config.models[:index]:
            is_rival = is_glob(other.name) and len(other.name) == len(model.name) and other.name != model.name
            if is_rival and globs_meet(other.name, model.name):
                message = f"and {shown(other.name)} are equally long and can match the same name; make one longer"
                self.add(path, f"{shown(model.name)} {message}")

    def _check_default_model(self) -> None:
        name = self.config.default_model
        config = self.config
        names = [model.name for model in config.models]
        providers = [f"{provider.name}/*" for provider in config.providers]
        if name is None or PLACEHOLDER in names or f"{PLACEHOLDER}/*" in providers:
            return
        if is_glob(name):
            self.add(("default_model",), f"expected a name, got the pattern {shown(name)}")
            return
        if not any(globs_meet(name, one) for one in (*names, *providers)):
            known = [one for one in names if not is_glob(one)]
            hint = did_you_mean(name, known, otherwise=f"; models: {listed(names) or 'none'}")
            self.add(("default_model",), f"no model is called {shown(name)}{hint}")

    # --- numbers

    def _check_times(self) -> None:
        general = self.config.timeouts
        self._check_deadlines(("timeouts",), general, general)
        for index, provider in enumerate(self.config.providers):
            path = ("providers", index, "timeouts")
            self._check_deadlines(path, provider.timeouts, general.overridden(provider.timeouts))
        retry, drain = self.config.retry, self.config.drain
        if retry.base_s > retry.max_s:
            self.add(("retry", "base_s"), f"expected at most retry.max_s ({retry.max_s:g}), got {retry.base_s:g}")
        if 0 < self.config.heartbeat_s < 1:
            self.warn(("heartbeat_s",), "more than one heartbeat a second serves nobody")
        if drain.deadline_s == 0:
            self.warn(("drain", "deadline_s"), "0 cuts every running stream when the proxy stops")

    def _check_deadlines(self, path: KeyPath, given: Timeouts | TimeoutOverrides, merged: Timeouts) -> None:
        """Only what was written here: a short total alone is no mistake, it just ends the call before the others."""
        for name, value in (
            ("connect_s", given.connect_s),
            ("headers_s", given.headers_s),
            ("first_event_s", given.first_event_s),
            ("idle_s", given.idle_s),
        ):
            if value is not None and value > merged.total_s and has_path(self.root, (*path, name)):
                message = f"expected at most total_s ({merged.total_s:g}), which ends the call first, got {value:g}"
                self.add((*path, name), message)

    # --- the rest

    def _check_rest(self) -> None:
        config = self.config
        self._check_store("resume", config.resume.store, config.resume.store_url(), STORES)
        self._check_store("limits", config.limits.store, config.limits.store_url(), (NO_STORE,))
        self._check_collector()
        resume = config.resume
        if resume.max_stream_bytes > resume.max_total_bytes:
            message = (
                f"expected at most resume.max_total_bytes ({resume.max_total_bytes}), got {resume.max_stream_bytes}"
            )
            self.add(("resume", "max_stream_bytes"), message)
        for index, origin in enumerate(config.cors.origins):
            self._check_origin(("cors", "origins", index), origin)
        for index, key in enumerate(config.auth.keys):
            if key.max_streams is not None and key.max_streams > config.limits.max_streams:
                message = (
                    f"more than limits.max_streams ({config.limits.max_streams}), which holds for all callers together"
                )
                self.warn(("auth", "keys", index, "max_streams"), message)
        can_prefill = any(target.prefill for model in config.models for target in model.targets)
        if config.on_cut is OnCut.CONTINUE and not can_prefill:
            self.warn(("on_cut",), "no target has `prefill: true`, so nothing can be continued")
        self._warn_of_unbuilt()

    def _warn_of_unbuilt(self) -> None:
        """Keys whose shape is settled and whose effect is not there yet: nobody should believe that they work."""
        config = self.config
        if config.resume.store is not None and config.resume.store_url() != "none":
            self.warn(("resume", "store"), "streams cannot be resumed yet: this has no effect")
        if config.coalesce.max_delay_ms or config.coalesce.max_bytes:
            self.warn(("coalesce",), "events are not coalesced yet: this has no effect")

    def _check_collector(self) -> None:
        """The URL that spans are sent to."""
        traces = self.config.traces
        if traces.otlp_endpoint is None:
            if traces.content:
                self.warn(("traces", "content"), "without `traces.otlp_endpoint` this has no effect")
            return
        text, path = traces.otlp_endpoint.reveal(), ("traces", "otlp_endpoint")
        if text == PLACEHOLDER:
            return
        if not text.startswith(("http://", "https://")) or not urlsplit(text).hostname:
            got = shown(text) if traces.otlp_endpoint.is_literal else "something else"
            self.add(path, f"expected a URL such as http://collector:4318, got {got}")
        elif traces.otlp_endpoint.is_literal and has_password(text):
            self.add(path, "the URL holds a password; keep it out of the file: env:NAME or file:PATH")

    def _check_store(self, section: str, store: Secret | None, text: str, words: tuple[str, ...]) -> None:
        path = (section, "store")
        if store is None or text in words:
            return
        if not text.startswith(("redis://", "rediss://")):
            hint = did_you_mean(text, words) if store.is_literal else ""
            got = shown(text) if store.is_literal else "something else"
            self.add(path, f"expected {', '.join(words)} or a redis:// URL, got {got}{hint}")
        elif store.is_literal and has_password(text):
            self.add(path, "the URL holds a password; keep it out of the file: env:NAME or file:PATH")

    def _check_origin(self, path: KeyPath, origin: str) -> None:
        if origin in ("*", PLACEHOLDER):
            return
        parts = urlsplit(origin) if _ORIGIN.match(origin) else None
        if parts is None:
            hint = f"; did you mean 'https://{origin}'?" if re.fullmatch(r"[\w.-]+(:[0-9]+)?", origin) else ""
            self.add(path, f"expected an origin such as https://app.example.com, got {shown(origin)}{hint}")
        elif origin != f"{parts.scheme}://{parts.netloc}":
            self.add(
                path, f"expected an origin without a path, got {shown(origin)}; write {parts.scheme}://{parts.netloc}"
            )


def _permissions(key: CallerKey) -> tuple[object, ...]:
    return (key.models, key.max_streams, key.requests_per_minute, key.tokens_per_minute)
