"""Presets are data that must fit: quirks that exist, URLs that parse, patterns that are unambiguous."""

from itertools import combinations

import msgspec
import pytest

from proxy.globs import globs_meet
from proxy.presets import PRESETS, Preset
from proxy.providers.quirks import Quirks
from proxy.upstream.endpoint import parse_endpoint

KINDS = {
    *("openai_chat", "openai_responses", "anthropic", "gemini", "vertex", "bedrock", "cohere", "ollama", "demo"),
}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_fits_what_it_is_made_into(preset: Preset) -> None:
    msgspec.convert(preset.quirks, Quirks)
    assert preset.kind in KINDS
    assert set(preset.also_speaks) <= KINDS - {preset.kind}
    if preset.base_url is not None:
        assert not preset.base_url.endswith("/")
        endpoint = parse_endpoint(preset.base_url, proxy="")
        assert endpoint.scheme == "https" or preset.is_keyless


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_can_be_opened(preset: Preset) -> None:
    assert preset.variables or preset.is_keyless or preset.base_url is None
    assert not preset.is_automatic or (preset.variables and preset.base_url is not None)
    assert preset.base_url is not None or preset.url_hint or preset.kind == "demo"


def test_no_name_can_mean_models_of_two_vendors() -> None:
    patterns = [(name, pattern) for name, preset in PRESETS.items() for pattern in preset.models]

    shared = [
        (first, second)
        for (owner, first), (other, second) in combinations(patterns, 2)
        if owner != other and globs_meet(first, second)
    ]

    assert shared == []


def test_no_variable_opens_two_vendors() -> None:
    owners: dict[str, set[str | None]] = {}
    for preset in PRESETS.values():
        for variable in preset.variables:
            owners.setdefault(variable, set()).add(preset.base_url)

    assert {variable: urls for variable, urls in owners.items() if len(urls) > 1} == {}
