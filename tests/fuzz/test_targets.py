"""The inputs that fuzzing starts from, and those that it once found, break no promise; every codec takes part."""

import random

import pytest

from proxy.dialects import DIALECTS
from proxy.hub.errors import ProxyError
from proxy.providers import PROVIDERS
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import FINDS, SEEDS, seeds
from tests.fuzz.targets import params_for, targets

TARGETS = targets()
MUTATIONS = 60


@pytest.mark.parametrize("target", TARGETS)
def test_no_committed_input_breaks_a_promise(target: str) -> None:
    for folder in (SEEDS, FINDS):
        for file in sorted(folder.glob(f"{target.replace(':', '-')}/*")):
            TARGETS[target](file.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_break_no_promise(target: str) -> None:
    chance = random.Random(target)
    for seed in seeds(target)[:4]:
        for _ in range(MUTATIONS):
            TARGETS[target](mutated(seed, chance))


@pytest.mark.parametrize("name", DIALECTS)
def test_a_seed_of_each_dialect_is_a_good_request(name: str) -> None:
    files = sorted((SEEDS / f"request-{name}").glob("*.json"))
    refused: list[str] = []
    for file in files:
        body = file.read_bytes()
        try:
            DIALECTS[name].decode_request(body, params_for(DIALECTS[name], body))
        except ProxyError as error:
            refused.append(f"{file.name}: {error}")

    assert files
    assert refused == []


def test_every_kind_and_every_dialect_is_fuzzed() -> None:
    assert set(TARGETS) == {
        *(f"{what}:{kind}" for kind in PROVIDERS for what in ("stream", "answer")),
        *(f"request:{name}" for name in DIALECTS),
    }
    folders = {folder.name for root in (SEEDS, FINDS) if root.exists() for folder in root.iterdir()}
    assert folders <= {name.replace(":", "-") for name in TARGETS}
