"""Overrides from the environment, and the order of strength: flag, environment, file, preset, default."""

from pathlib import Path

import pytest

from proxy.config import Flag, LogLevel
from proxy.config.environment import find_overrides
from tests.config.support import ENVIRON, load_text, problems_of

P = "LLM_STREAM_PROXY_"

FILE = """\
timeouts: {idle_s: 7}
providers:
  - name: openai
  - {name: llama.cpp, base_url: "http://10.0.0.7:8080/v1"}
models:
  - {name: fast, targets: [{provider: openai, model: gpt-5-mini}]}
"""


def test_a_variable_wins_over_the_file_and_a_flag_over_both(tmp_path: Path) -> None:
    text = "listen: 127.0.0.1:1\n"
    environ = {f"{P}LISTEN": "127.0.0.1:2"}
    flags = (Flag("--listen", "listen", "127.0.0.1:3"),)

    assert load_text("", tmp_path).config.listen == "127.0.0.1:8080"
    assert load_text(text, tmp_path).config.listen == "127.0.0.1:1"
    assert load_text(text, tmp_path, environ).config.listen == "127.0.0.1:2"
    assert load_text(text, tmp_path, environ, flags).config.listen == "127.0.0.1:3"


def test_the_file_wins_over_a_preset(tmp_path: Path) -> None:
    text = "providers: [{name: deepseek, quirks: {string_content: false}}]\n"

    quirks = load_text(text, tmp_path).config.providers[0].quirks

    assert not quirks.string_content
    assert quirks.max_tokens_field == "max_tokens"


def test_two_underscores_go_one_level_deeper(tmp_path: Path) -> None:
    environ = {
        f"{P}TIMEOUTS__IDLE_S": "5",
        f"{P}LOG__LEVEL": "debug",
        f"{P}LOG__ACCESS": "false",
        f"{P}PROVIDERS__OPENAI__BASE_URL": "https://eu.example/v1",
        f"{P}PROVIDERS__LLAMA_CPP__TIMEOUTS__IDLE_S": "99",
        f"{P}PROVIDERS__0__HEADERS__X_TEAM": "a",
        f"{P}MODELS__FAST__TARGETS__0__MODEL": "gpt-5",
        f"{P}ADMIN__LISTEN": "127.0.0.1:9999",
    }

    config = load_text(FILE, tmp_path, environ).config

    assert config.timeouts.idle_s == 5
    assert config.log.level is LogLevel.DEBUG
    assert not config.log.access
    assert config.providers[0].base_url == "https://eu.example/v1"
    assert config.providers[1].timeouts.idle_s == 99
    assert config.providers[0].headers["x-team"].reveal() == "a"
    assert config.models[0].targets[0].model == "gpt-5"
    assert config.admin is not None
    assert config.admin.listen == "127.0.0.1:9999"


def test_lists_and_sections_can_be_given_whole(tmp_path: Path) -> None:
    environ = {
        f"{P}CORS__ORIGINS": "https://a.example, https://b.example",
        f"{P}PROVIDERS": "[{name: groq}, {name: demo}]",
        f"{P}MODELS": "[{name: a, targets: [{provider: groq, model: b}]}]",
        f"{P}RETRY": "{attempts: 3}",
    }

    config = load_text("", tmp_path, environ).config

    assert config.cors.origins == ("https://a.example", "https://b.example")
    assert [provider.name for provider in config.providers] == ["groq", "demo"]
    assert config.models[0].targets[0].model == "b"
    assert config.retry.attempts == 3


def test_an_item_can_be_added_behind_the_last(tmp_path: Path) -> None:
    config = load_text(FILE, tmp_path, {f"{P}PROVIDERS__2__NAME": "groq"}).config

    assert [provider.name for provider in config.providers] == ["openai", "llama.cpp", "groq"]


def test_text_stays_text_whatever_it_looks_like(tmp_path: Path) -> None:
    environ = {
        f"{P}DEFAULT_MODEL": "4",
        f"{P}MODELS": '[{name: "4", targets: [{provider: demo}]}]',
        f"{P}PROVIDERS": "[{name: demo}]",
    }

    assert load_text("", tmp_path, environ).config.default_model == "4"


def test_the_embedded_default_can_be_overridden_in_its_parts(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "k" * 20, f"{P}PROVIDERS__OPENAI__BASE_URL": "https://eu.example/v1"}

    config = load_text("", tmp_path, environ).config

    assert [provider.base_url for provider in config.providers] == [None, "https://eu.example/v1"]


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("LISTN", "x", "unknown key 'listn'; did you mean 'LLM_STREAM_PROXY_LISTEN'?"),
        ("TIMEOUTS__IDEL_S", "5", "unknown key 'idel_s'; did you mean 'LLM_STREAM_PROXY_TIMEOUTS__IDLE_S'?"),
        ("TIMEOUTS__IDLE_S", "5m", "timeouts.idle_s: expected a number above 0 and at most 86400, got '5m'; write 300"),
        ("LOG__ACCESS", "yes", "log.access: expected true or false, got 'yes'; write true"),
        ("LISTEN", "0.0.0.0", "listen: expected HOST:PORT, such as 127.0.0.1:8080, got '0.0.0.0'; the port is missing"),
        ("LISTEN__PORT", "5", "'listen' is no section, so there is nothing below it"),
        ("CORS__ORIGINS__0__X", "5", "items of this list have nothing below them"),
        ("PROVIDERS__OPNAI__BASE_URL", "https://a.example/v1", "no item 'OPNAI' there; did you mean 'OPENAI'?"),
        ("PROVIDERS__²__NAME", "a", "no item '²' there; known: OPENAI, LLAMA_CPP"),
        ("PROVIDERS__7__NAME", "a", "the list has 2 items, so the next is number 2"),
        ("RETRY", "{attempts: [}", "1:13: not valid YAML: expected the node content, but found '}' (while parsing a flow node)"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(variable: str, text: str, problem: str, tmp_path: Path) -> None:
    found = problems_of(FILE, tmp_path, {f"{P}{variable}": text})

    separator = ":" if problem.startswith("1:") else ": "
    assert found == [f"${P}{variable}{separator}{problem}"]


def test_a_section_in_the_way_of_a_variable_is_named(tmp_path: Path) -> None:
    found = problems_of("log: json\n", tmp_path, {f"{P}LOG__LEVEL": "debug"})

    assert found == [
        "$LLM_STREAM_PROXY_LOG__LEVEL: the file has something else than a section there",
        "1:6: log: expected keys and values (format, level, access), got 'json'",
    ]


def test_what_kubernetes_sets_beside_a_service_of_our_name_is_ignored() -> None:
    environ = {
        f"{P}SERVICE_HOST": "10.0.0.1",
        f"{P}SERVICE_PORT": "80",
        f"{P}SERVICE_PORT_HTTP": "80",
        f"{P}PORT": "tcp://10.0.0.1:80",
        f"{P}PORT_80_TCP": "tcp://10.0.0.1:80",
        f"{P}PORT_80_TCP_PROTO": "tcp",
        f"{P}PORT_80_TCP_PORT": "80",
        f"{P}PORT_80_TCP_ADDR": "10.0.0.1",
        f"{P}METRICS_SERVICE_HOST": "10.0.0.2",
        f"{P}METRICS_PORT_9090_TCP": "tcp://10.0.0.2:9090",
        f"{P}CONFIG": "/etc/proxy.yaml",
        f"{P}LISTEN": "",
        "OTHER": "x",
    }

    assert find_overrides(environ) == []


def test_no_key_of_the_configuration_looks_like_what_kubernetes_sets() -> None:
    keys = ["LISTEN", "ADMIN__LISTEN", "LIMITS__MAX_STREAMS", "PROVIDERS__0__PROXY", "TIMEOUTS__TOTAL_S"]

    found = find_overrides({f"{P}{key}": "x" for key in keys})

    assert len(found) == len(keys)


def test_a_wrong_flag_is_named(tmp_path: Path) -> None:
    flags = (Flag("--listen", "listen", "8080"), Flag("--workers", "workers", "999"))

    assert problems_of("", tmp_path, ENVIRON, (Flag("--listen", "listen", "²"),)) == [
        "--listen: listen: expected HOST:PORT, such as 127.0.0.1:8080, got '²'; the port is missing"
    ]
    assert problems_of("", tmp_path, ENVIRON, flags) == [
        "--listen: listen: expected HOST:PORT, such as 127.0.0.1:8080, got '8080'; did you mean '127.0.0.1:8080'?",
        "--workers: workers: expected a whole number from 0 to 256, got 999",
    ]
