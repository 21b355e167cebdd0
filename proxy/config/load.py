"""From the sources of a configuration to a checked `Config`: file, environment, flags; defaults and presets.

The order of strength is flag, environment, file, preset, default. Everything that is wrong is said at once.
"""

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from proxy.config.defaults import DEFAULT, add_embedded_default, add_preset_models, fill_presets
from proxy.config.document import Scalar, Table, read_document
from proxy.config.environment import apply_override, find_overrides
from proxy.config.meaning import Checker
from proxy.config.problems import Origin, Problems
from proxy.config.secret import Secret
from proxy.config.settings import Config
from proxy.config.shape import ShapeChecker, to_config
from proxy.presets import DEMO
from proxy.providers import PROVIDERS


class Flag(msgspec.Struct, frozen=True):
    """A value from the command line."""

    flag: str
    """As it was written: `--listen`."""
    key: str
    """The top-level key that it sets."""
    text: str


class Sources(msgspec.Struct, frozen=True):
    """Where a configuration comes from. Loading twice from the same sources is how a reload works."""

    file: Path | None = None
    """`None`: no file; the environment, flags and the embedded default only."""
    flags: tuple[Flag, ...] = ()
    environ: Mapping[str, str] | None = None
    """`None`: the process's own, read at each load."""


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can be used."""

    config: Config
    root: Table
    """The tree that it was made from, with the origin of each value."""
    warnings: tuple[str, ...]
    secrets: tuple[str, ...]
    """Every secret value in it, for the redactor."""
    files: tuple[Path, ...]
    """What was read: the file itself and those of its secrets. A reload is due when one of them changes."""
    digest: str
    """The same for the same effective configuration, its secrets included; tells nothing about them."""


def load(sources: Sources, *, kinds: Collection[str] | None = None) -> Loaded:
    """The configuration of `sources`. Raises ConfigError with all problems.

    `kinds`: the known provider kinds; by default those of the registry, and `demo`.
    """
    environ = os.environ if sources.environ is None else sources.environ
    problems = Problems()
    root = _merged(sources, environ, problems)
    directory = sources.file.parent if sources.file is not None else Path()
    shape = ShapeChecker(problems, environ, directory)
    config = to_config(shape.check(root))
    checker = Checker(config, root, shape.damaged, problems, {*PROVIDERS, DEMO} if kinds is None else kinds)
    checker.check()
    problems.raise_if_any()
    secrets = _references(config)
    files = [sources.file] if sources.file is not None else []
    files += [directory / one.reference.removeprefix("file:") for one in secrets if one.reference.startswith("file:")]
    return Loaded(
        config=config,
        root=root,
        warnings=tuple(checker.warnings.lines()),
        secrets=tuple(dict.fromkeys(text for one in secrets for text in _forms(one.reveal()))),
        files=tuple(dict.fromkeys(files)),
        digest=digest_of(config),
    )


def _merged(sources: Sources, environ: Mapping[str, str], problems: Problems) -> Table:
    """All sources in one tree."""
    root = _read(sources, problems)
    overrides = find_overrides(environ)
    # Whole sections first: whether there are providers decides about the embedded default, which parts may change.
    for override in overrides:
        if len(override.parts) == 1:
            apply_override(root, override, problems)
    add_embedded_default(root, environ)
    for override in overrides:
        if len(override.parts) > 1:
            apply_override(root, override, problems)
    fill_presets(root, environ, problems)
    add_preset_models(root)
    for flag in sources.flags:
        origin = Origin(flag.flag)
        is_number = re.fullmatch("[0-9]{1,9}", flag.text) is not None
        root.put(flag.key, Scalar(int(flag.text) if is_number else flag.text, origin, flag.text), origin)
    return root


def _read(sources: Sources, problems: Problems) -> Table:
    empty = Table({}, DEFAULT, {})
    if sources.file is None:
        return empty
    root = read_document(sources.file, str(sources.file), problems)
    if root is None:
        # Nothing can be said about what could not be read.
        problems.raise_if_any()
    return root or empty


def _references(config: Config) -> list[Secret]:
    """Everything in `config` that came from a variable or a file."""
    found = [config.resume.store, config.limits.store, *(key.key for key in config.auth.keys)]
    for provider in config.providers:
        found += [provider.api_key, provider.proxy, *provider.headers.values()]
    return [one for one in found if one is not None and one.is_reference]


def _forms(value: str) -> list[str]:
    """A secret as itself, and the password of one that is a URL."""
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    return [value] if not password else [value, password]


def digest_of(config: Config) -> str:
    """SHA-256 over every value of `config`, the first 16 hexadecimal digits."""
    whole = msgspec.json.encode(config, enc_hook=_with_value)
    return hashlib.sha256(whole).hexdigest()[:16]


def _with_value(value: object) -> object:
    assert isinstance(value, Secret)
    return [value.reference, value.reveal()]
