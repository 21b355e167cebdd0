"""What is added to a tree before it is checked: the embedded default, and what presets fill in."""

import re
from collections.abc import Mapping

from proxy.config.document import Items, Node, Scalar, Table
from proxy.config.problems import Origin, Problems, did_you_mean, listed
from proxy.config.settings import NAME_PATTERN
from proxy.presets import DEMO, PRESETS, Preset, QuirkValue

DEFAULT = Origin("default")


def add_embedded_default(root: Table, environ: Mapping[str, str]) -> None:
    """Without providers and models: the demo model, and every automatic preset whose key is in `environ`."""
    if _has(root, "providers") or _has(root, "models"):
        return
    providers: list[Node] = [_table({"name": DEMO}, DEFAULT)]
    for name, preset in PRESETS.items():
        variable = _set_variable(preset, environ)
        if preset.is_automatic and variable is not None:
            providers.append(_table({"name": name}, Origin(f"${variable}")))
    root.put("providers", Items(providers, DEFAULT), DEFAULT)
    if not _has(root, "default_model"):
        root.put("default_model", _scalar(DEMO, DEFAULT), DEFAULT)


def fill_presets(root: Table, environ: Mapping[str, str], problems: Problems) -> None:
    """Fill in each provider entry what its preset knows and the entry does not say."""
    providers = root.entries.get("providers")
    if not isinstance(providers, Items):
        return
    for index, entry in enumerate(providers.items):
        if isinstance(entry, Table):
            _fill_provider(entry, f"providers[{index}]", environ, problems)


def add_preset_models(root: Table) -> None:
    """Without models: the patterns of each provider's preset, and `*` where there is only one provider.

    Never `*` for the simulated model: who asks for a real one must not get a simulation.
    """
    providers = root.entries.get("providers")
    if _has(root, "models") or not isinstance(providers, Items):
        return
    models: dict[str, Node] = {}
    for entry in providers.items:
        name = _text(entry, "name")
        preset = PRESETS.get(_text(entry, "preset") or name or "")
        if name is None or preset is None or not _is_name(name):
            continue
        origin = Origin(f"preset {_text(entry, 'preset') or name}")
        for pattern in preset.models:
            models.setdefault(pattern, _model(pattern, name, origin))
    only = _text(providers.items[0], "name") if len(providers.items) == 1 else None
    if only is not None and _is_name(only) and _text(providers.items[0], "kind") != DEMO:
        models.setdefault("*", _model("*", only, DEFAULT))
    root.put("models", Items(list(models.values()), DEFAULT), DEFAULT)


def _fill_provider(entry: Table, path: str, environ: Mapping[str, str], problems: Problems) -> None:
    name = _text(entry, "name")
    wanted = _text(entry, "preset")
    preset = PRESETS.get(wanted or name or "")
    if wanted is not None and preset is None:
        hint = did_you_mean(wanted, PRESETS, otherwise=f"; known: {listed(PRESETS, 40)}")
        problems.add(entry.entries["preset"].origin, f"{path}.preset", f"unknown preset {wanted!r}{hint}")
    if preset is None:
        if name is not None and wanted is None and not _has(entry, "kind"):
            hint = did_you_mean(name, PRESETS)
            message = f"'kind' is missing: {name!r} is not the name of a preset{hint}"
            problems.add(entry.origin, path, message)
        if _text(entry, "kind") == DEMO:
            _put_absent(entry, "api_key", _scalar("none", DEFAULT))  # the simulated model needs none under any name
        return
    origin = Origin(f"preset {wanted or name}")
    kind = _text(entry, "kind") or preset.kind
    _put_absent(entry, "kind", _scalar(preset.kind, origin))
    if kind != preset.kind and kind not in preset.also_speaks:
        return
    if preset.base_url is not None:
        _put_absent(entry, "base_url", _scalar(preset.base_url, origin))
    if preset.api_key_header is not None:
        _put_absent(entry, "api_key_header", _scalar(preset.api_key_header, origin))
    variable = _set_variable(preset, environ)
    if preset.is_keyless:
        _put_absent(entry, "api_key", _scalar("none", origin))
    elif variable is not None:
        _put_absent(entry, "api_key", _scalar(f"env:{variable}", origin))
    if preset.quirks and kind == preset.kind:
        _fill_quirks(entry, preset.quirks, origin)


def _fill_quirks(entry: Table, quirks: Mapping[str, QuirkValue], origin: Origin) -> None:
    _put_absent(entry, "quirks", Table({}, origin, {}))
    table = entry.entries["quirks"]
    if not isinstance(table, Table):
        return
    for key, value in quirks.items():
        if isinstance(value, list):
            _put_absent(table, key, Items([_scalar(item, origin) for item in value], origin))
        else:
            _put_absent(table, key, _scalar(value, origin))


def _set_variable(preset: Preset, environ: Mapping[str, str]) -> str | None:
    return next((variable for variable in preset.variables if environ.get(variable, "").strip()), None)


def _is_name(text: str) -> bool:
    return re.search(NAME_PATTERN, text) is not None


def _model(name: str, provider: str, origin: Origin) -> Table:
    model = _table({"name": name}, origin)
    model.put("targets", Items([_table({"provider": provider}, origin)], origin), origin)
    return model


def _table(texts: Mapping[str, str], origin: Origin) -> Table:
    table = Table({}, origin, {})
    for key, text in texts.items():
        table.put(key, _scalar(text, origin), origin)
    return table


def _scalar(value: str | int | bool, origin: Origin) -> Scalar:
    return Scalar(value, origin, str(value))


def _has(table: Table, key: str) -> bool:
    node = table.entries.get(key)
    return node is not None and not (isinstance(node, Scalar) and node.value is None)


def _put_absent(table: Table, key: str, node: Node) -> None:
    if not _has(table, key):
        table.put(key, node, node.origin)


def _text(node: Node, key: str) -> str | None:
    """The text under `key`, when there is one."""
    found = node.entries.get(key) if isinstance(node, Table) else None
    return found.value if isinstance(found, Scalar) and isinstance(found.value, str) and found.value else None
