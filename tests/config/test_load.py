"""Loading as a whole: secrets, where each value comes from, the example files, reloading."""

import contextlib
import hashlib
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proxy.config import Loaded, Sources, load
from proxy.config.json_schema import config_schema
from proxy.hub.errors import ConfigError
from tests.config.support import CANARY, ENVIRON, KINDS, load_text, problems_of

CONFIG_FOLDER = Path(__file__).parents[2] / "config"

EXAMPLE_ENVIRON = {
    "TEAM_A_KEY": f"{CANARY}-team",
    "OPENAI_API_KEY": f"{CANARY}-openai",
    "OPENAI_ORGANIZATION": f"{CANARY}-organization",
    "AZURE_KEY": f"{CANARY}-azure",
}

WITH_SECRETS = """\
auth:
  keys:
    - {name: a, key: env:GOOD_KEY}
    - {name: b, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}
providers:
  - name: openai
    api_key: file:key
    headers: {x-secret: env:OTHER_KEY, x-team: platform}
    proxy: env:PROXY
resume: {store: env:STORE}
"""


SECRETS_ENVIRON = {**ENVIRON, "PROXY": f"http://me:{CANARY}@proxy:3128", "STORE": f"redis://:{CANARY}@redis:6379"}


def load_with_secrets(folder: Path) -> Loaded:
    (folder / "key").write_text(f"{CANARY}-file\r\n")
    return load_text(WITH_SECRETS, folder, SECRETS_ENVIRON)


def test_secrets_come_from_variables_and_files_beside_the_configuration(tmp_path: Path) -> None:
    config = load_with_secrets(tmp_path).config

    assert config.providers[0].api_key is not None
    assert config.providers[0].api_key.reveal() == f"{CANARY}-file"
    assert config.providers[0].headers["x-secret"].reveal() == ENVIRON["OTHER_KEY"]
    assert config.providers[0].headers["x-team"].reveal() == "platform"
    assert config.auth.keys[0].digest() == hashlib.sha256(ENVIRON["GOOD_KEY"].encode()).digest()
    assert config.auth.keys[1].digest().hex().startswith("2bb80d53")
    assert config.resume.store_url() == f"redis://:{CANARY}@redis:6379"


def test_no_form_of_a_configuration_shows_a_secret(tmp_path: Path) -> None:
    loaded = load_with_secrets(tmp_path)

    assert CANARY not in repr(loaded.config)
    assert CANARY not in str(loaded.config)
    assert CANARY not in str(loaded.config.providers[0].api_key)
    assert CANARY not in loaded.digest


def test_every_secret_is_known_to_who_masks_them(tmp_path: Path) -> None:
    secrets = load_with_secrets(tmp_path).secrets

    assert set(secrets) == {
        ENVIRON["GOOD_KEY"],
        ENVIRON["OTHER_KEY"],
        f"{CANARY}-file",
        f"http://me:{CANARY}@proxy:3128",
        f"redis://:{CANARY}@redis:6379",
        CANARY,
    }


def test_the_files_to_watch_are_the_configuration_and_its_secrets(tmp_path: Path) -> None:
    assert load_with_secrets(tmp_path).files == (tmp_path / "f.yaml", tmp_path / "key")


def test_loading_again_reads_secrets_again(tmp_path: Path) -> None:
    first = load_with_secrets(tmp_path)
    again = load_with_secrets(tmp_path)
    (tmp_path / "key").write_text("another-secret")

    changed = load(
        Sources(tmp_path / "f.yaml", environ={**ENVIRON, "PROXY": "http://p:1", "STORE": "memory"}), kinds=KINDS
    )

    assert first.digest == again.digest
    assert changed.digest != first.digest
    assert changed.config.providers[0].api_key is not None
    assert changed.config.providers[0].api_key.reveal() == "another-secret"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file 'key' is empty"),
        (b"\n", "the file 'key' is empty"),
        (b"two\nlines", "the file 'key' holds line breaks or other characters that no header can carry"),
        (b"\xff\xfe", "the file 'key' is not UTF-8 text"),
        (b"x" * 70_000, "the file 'key' is larger than 65536 bytes"),
    ],
)
def test_a_secret_file_that_no_header_can_carry_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)

    assert problems_of("providers: [{name: openai, api_key: file:key}]\n", tmp_path) == [
        f"1:37: providers[0].api_key: {problem}"
    ]


def test_tls_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")

    tls = load_text("providers: [{name: openai, tls: {ca_file: ca.pem}}]\n", tmp_path).config.providers[0].tls

    assert tls is not None
    assert tls.ca_file == str(tmp_path / "ca.pem")


def test_a_file_that_cannot_be_read_is_the_only_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Sources(tmp_path / "none.yaml", environ={"LLM_STREAM_PROXY_NONSENSE": "1"}))

    assert caught.value.problems == [f"{tmp_path}/none.yaml: the file cannot be read: No such file or directory"]


@pytest.mark.parametrize("file", ["example.yaml", "minimal.yaml"])
def test_the_files_of_the_repository_load_without_a_warning(file: str) -> None:
    loaded = load(Sources(CONFIG_FOLDER / file, environ=EXAMPLE_ENVIRON), kinds=KINDS)

    assert loaded.warnings == ()
    assert loaded.config.default_model == "fast"


def test_the_example_documents_every_key() -> None:
    text = (CONFIG_FOLDER / "example.yaml").read_text()
    definitions = config_schema()["$defs"]
    assert isinstance(definitions, dict)
    keys = set(config_schema()["properties"])  # type: ignore[call-overload]
    for definition in definitions.values():
        keys |= set(definition.get("properties", {}))

    missing = {key for key in keys if re.search(rf"(?m)(^[ #-]*|[{{,] ?){key}:", text) is None}

    assert missing == set(), "document these keys in config/example.yaml"


def test_the_example_shows_defaults_where_it_does_not_say_otherwise() -> None:
    example = load(Sources(CONFIG_FOLDER / "example.yaml", environ=EXAMPLE_ENVIRON), kinds=KINDS).config
    default = load(Sources(environ={})).config

    for section in ("timeouts", "retry", "breaker", "on_cut", "heartbeat_s", "coalesce", "limits", "usage", "cors"):
        assert getattr(example, section) == getattr(default, section), section
    for section in ("log", "metrics", "drain", "workers", "listen"):
        assert getattr(example, section) == getattr(default, section), section


# --- anything may be in a file

LEAVES: list[object] = [
    *(None, True, 0, -1, 1e9, math.nan, 10**25, "", "x", "x" * 300, "*", "a/b", "env:A", "file:b", "none", "\x7f", "é"),
    *([], [1], ["a"], [[]], [None], [{}], {}, {"a": None}, {"name": "a"}, "http://x", "demo", "openai", "12:30"),
]

NOISE = ("[", "{", "- ", ": ", "\n", "\t", "&a ", "*a", "!x ", "'", '"', "|", "<<: ", "---\n", "%", "@", "\0", "\ufeff")


def places_in(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places_in(inner, (*path, key))


def put(value: object, path: tuple[object, ...], leaf: object) -> None:
    for key in path[:-1]:
        value = value[key]  # type: ignore[index]
    value[path[-1]] = leaf  # type: ignore[index]


@pytest.mark.parametrize("seed", range(40))
def test_wrong_values_anywhere_end_in_problems_or_in_a_configuration(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    value = yaml.safe_load(WITH_SECRETS)
    for place in chance.sample(list(places_in(value)), 2):
        with contextlib.suppress(LookupError, TypeError):
            put(value, place, chance.choice(LEAVES))

    (tmp_path / "key").write_text(f"{CANARY}-file")
    problems_of(yaml.safe_dump(value, allow_unicode=True), tmp_path, SECRETS_ENVIRON)


@pytest.mark.parametrize("seed", range(40))
def test_broken_text_ends_in_problems_or_in_a_configuration(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    text = WITH_SECRETS
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(NOISE) + text[at + chance.randint(0, 8) :]

    (tmp_path / "key").write_text(f"{CANARY}-file")
    problems_of(text, tmp_path, SECRETS_ENVIRON)


@pytest.mark.parametrize("seed", range(40))
def test_any_variable_ends_in_problems_or_in_a_configuration(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    words = (
        "PROVIDERS",
        "MODELS",
        "0",
        "1",
        "OPENAI",
        "NAME",
        "HEADERS",
        "X_A",
        "TIMEOUTS",
        "IDLE_S",
        "AUTH",
        "KEYS",
        "",
        "TARGETS",
    )
    values = ("", "1", "[", "[]", "{}", "a: b", "[{name: a}]", "*a", "yes", "env:GOOD_KEY", "\0", "a,b")
    environ = {
        "LLM_STREAM_PROXY_" + "__".join(chance.choices(words, k=chance.randint(1, 4))): chance.choice(values)
        for _ in range(3)
    }

    (tmp_path / "key").write_text(f"{CANARY}-file")
    problems_of(WITH_SECRETS, tmp_path, {**SECRETS_ENVIRON, **environ})
