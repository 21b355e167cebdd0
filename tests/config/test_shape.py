"""Wrong shapes: each is reported where it stands, with what was expected, what came, and what to write."""

from pathlib import Path

import pytest

from proxy.config import Sources, load
from proxy.config.printing import print_config
from tests.config.support import CANARY, load_text, problems_of

CASES: dict[str, tuple[str, list[str]]] = {
    "unknown_key": (
        "listn: 127.0.0.1:8080\n",
        [
            "1:1: listn: unknown key 'listn'; did you mean 'listen'?",
        ],
    ),
    "unknown_key_nowhere_near": (
        "colour: red\n",
        [
            "1:1: colour: unknown key 'colour'; known here: listen, workers, reuse_port, event_loop, admin, default_model, auth,"
            " providers, models, timeouts, retry, breaker, on_cut, heartbeat_s, coalesce, limits, resume,"
            " usage, cors, log, metrics, traces, drain",
        ],
    ),
    "unknown_nested_key": (
        "timeouts:\n  idel_s: 3\n",
        [
            "2:3: timeouts.idel_s: unknown key 'idel_s'; did you mean 'idle_s'?",
        ],
    ),
    "key_of_another_section": (
        "idle_s: 3\n",
        [
            "1:1: idle_s: unknown key 'idle_s'; did you mean 'timeouts.idle_s'?",
        ],
    ),
    "unknown_key_in_a_list_item": (
        "providers:\n  - name: openai\n    baseurl: https://a.example/v1\n",
        [
            "3:5: providers[0].baseurl: unknown key 'baseurl'; did you mean 'base_url'?",
        ],
    ),
    "unknown_quirk": (
        "providers:\n  - name: openai\n    quirks: {think_tag: true}\n",
        [
            "3:14: providers[0].quirks.think_tag: unknown key 'think_tag'; did you mean 'think_tags'?",
        ],
    ),
    "unknown_target_key": (
        "providers: [{name: openai}]\nmodels:\n  - name: a\n    targets: [{provider: openai, modle: b}]\n",
        [
            "4:34: models[0].targets[0].modle: unknown key 'modle'; did you mean 'model'?",
        ],
    ),
    "missing_name": (
        "providers:\n  - kind: openai_chat\n    base_url: https://a.example/v1\n",
        [
            "2:5: providers[0]: 'name' is missing",
        ],
    ),
    "missing_targets": (
        "providers: [{name: openai}]\nmodels:\n  - name: a\n",
        [
            "3:5: models[0]: 'targets' is missing",
        ],
    ),
    "no_targets": (
        "providers: [{name: openai}]\nmodels:\n  - name: a\n    targets: []\n",
        [
            "4:14: models[0].targets: expected at least 1 item, got none",
        ],
    ),
    "text_for_number": (
        "timeouts:\n  idle_s: soon\n",
        [
            "2:11: timeouts.idle_s: expected a number above 0 and at most 86400, got 'soon'",
        ],
    ),
    "duration_with_unit": (
        "timeouts:\n  idle_s: 5m\n",
        [
            "2:11: timeouts.idle_s: expected a number above 0 and at most 86400, got '5m'; write 300",
        ],
    ),
    "milliseconds": (
        "timeouts: {connect_s: 250ms}\n",
        [
            "1:23: timeouts.connect_s: expected a number above 0 and at most 86400, got '250ms'; write 0.25",
        ],
    ),
    "size_with_unit": (
        "limits:\n  max_body_bytes: 32MB\n",
        [
            "2:19: limits.max_body_bytes: expected a whole number from 1024 to 1099511627776, got '32MB'; write"
            " 33554432",
        ],
    ),
    "quoted_number": (
        'heartbeat_s: "15"\n',
        [
            "1:14: heartbeat_s: expected a number from 0 to 86400, got '15'; write 15 without quotes",
        ],
    ),
    "number_too_large": (
        "retry: {attempts: 99}\n",
        [
            "1:19: retry.attempts: expected a whole number from 1 to 10, got 99",
        ],
    ),
    "number_too_small": (
        "timeouts: {total_s: 0}\n",
        [
            "1:21: timeouts.total_s: expected a number above 0 and at most 86400, got 0",
        ],
    ),
    "fraction_for_whole_number": (
        "workers: 1.5\n",
        [
            "1:10: workers: expected a whole number from 0 to 256, got 1.5",
        ],
    ),
    "infinite": (
        "timeouts: {total_s: .inf}\n",
        [
            "1:21: timeouts.total_s: expected a number above 0 and at most 86400, got inf",
        ],
    ),
    "not_a_number": (
        "heartbeat_s: .nan\n",
        [
            "1:14: heartbeat_s: expected a number from 0 to 86400, got nan",
        ],
    ),
    "number_for_text": (
        "default_model: 4\n",
        [
            '1:16: default_model: expected text, got 4; quote it: "4"',
        ],
    ),
    "list_for_text": (
        "default_model: [a]\n",
        [
            "1:16: default_model: expected text, got a list",
        ],
    ),
    "text_for_list": (
        "cors:\n  origins: https://a.example\n",
        [
            "2:12: cors.origins: expected a list, got 'https://a.example'; write [https://a.example]",
        ],
    ),
    "section_for_list": (
        "providers:\n  openai: {kind: openai_chat}\n",
        [
            "2:3: providers: expected a list, got keys and values; write each as an item, `- name: …`",
        ],
    ),
    "text_for_section": (
        "log: json\n",
        [
            "1:6: log: expected keys and values (format, level, access), got 'json'",
        ],
    ),
    "list_for_section": (
        "auth: [a]\n",
        [
            "1:7: auth: expected keys and values (keys, anonymous), got a list",
        ],
    ),
    "text_for_truth": (
        "log: {access: maybe}\n",
        [
            "1:15: log.access: expected true or false, got 'maybe'",
        ],
    ),
    "quoted_truth": (
        'log: {access: "on"}\n',
        [
            "1:15: log.access: expected true or false, got 'on'; write true",
        ],
    ),
    "wrong_choice": (
        "on_cut: contine\n",
        [
            "1:9: on_cut: expected one of error, continue, restart, got 'contine'; did you mean 'continue'?",
        ],
    ),
    "wrong_case": (
        "log: {level: INFO}\n",
        [
            "1:14: log.level: expected one of debug, info, warning, error, got 'INFO'; did you mean 'info'?",
        ],
    ),
    "bad_provider_name": (
        'providers:\n  - {name: open ai, kind: openai_chat, base_url: "https://a.example/v1"}\n',
        [
            "2:12: providers[0].name: expected a name of at most 64 letters, digits, '.', '_' and '-', got 'open ai'",
        ],
    ),
    "newline_in_text": (
        'default_model: "a\\nb"\n',
        [
            "1:16: default_model: expected text without line breaks and control characters, got 'a\\nb'",
        ],
    ),
    "empty_model_name": (
        'models: [{name: "", targets: [{provider: openai}]}]\nproviders: [{name: openai}]\n',
        [
            "1:17: models[0].name: expected text, not empty, got ''",
        ],
    ),
    "foreign_reference": (
        "providers:\n  - name: openai\n    api_key: ${OPENAI_KEY}\n",
        [
            "3:14: providers[0].api_key: expected env:NAME or file:PATH; did you mean 'env:OPENAI_KEY'?",
        ],
    ),
    "litellm_reference": (
        "providers:\n  - name: openai\n    api_key: os.environ/OPENAI_KEY\n",
        [
            "3:14: providers[0].api_key: expected env:NAME or file:PATH; did you mean 'env:OPENAI_KEY'?",
        ],
    ),
    "unset_variable": (
        "providers:\n  - name: openai\n    api_key: env:NOT_SET\n",
        [
            "3:14: providers[0].api_key: the environment variable NOT_SET is not set",
        ],
    ),
    "empty_variable": (
        "providers:\n  - name: openai\n    api_key: env:EMPTY\n",
        [
            "3:14: providers[0].api_key: the environment variable EMPTY is empty",
        ],
    ),
    "variable_with_newline": (
        "providers:\n  - name: openai\n    api_key: env:TWO_LINES\n",
        [
            "3:14: providers[0].api_key: the environment variable TWO_LINES holds line breaks or other"
            " characters that no header can carry",
        ],
    ),
    "key_in_place_of_variable": (
        "providers:\n  - name: openai\n    api_key: env:sk-canary-0123456789abcdef\n",
        [
            "3:14: providers[0].api_key: expected the name of an environment variable after 'env:' (what came"
            " is not shown)",
        ],
    ),
    "missing_secret_file": (
        "providers:\n  - name: openai\n    api_key: file:no-such-file\n",
        [
            "3:14: providers[0].api_key: the file 'no-such-file' cannot be read: No such file or directory",
        ],
    ),
}


@pytest.mark.parametrize(("text", "problems"), CASES.values(), ids=CASES)
def test_a_wrong_shape_is_reported_where_it_stands(text: str, problems: list[str], tmp_path: Path) -> None:
    assert problems_of(text, tmp_path) == problems


def test_all_problems_of_a_file_are_reported_at_once_and_in_its_order(tmp_path: Path) -> None:
    text = """\
on_cut: contine
timeouts:
  idle_s: 5m
  conect_s: 3
providers:
  - name: openai
    kind: openai_chatt
models:
  - {name: a, targets: [{provider: opnai}]}
listen: 0.0.0.0:8080
"""

    found = problems_of(text, tmp_path)

    assert [problem.split(": ")[:2] for problem in found] == [
        ["1:9", "on_cut"],
        ["3:11", "timeouts.idle_s"],
        ["4:3", "timeouts.conect_s"],
        ["7:11", "providers[0].kind"],
        ["9:36", "models[0].targets[0].provider"],
        ["10:9", "listen"],
    ]


def test_what_is_wrong_in_one_item_makes_no_problems_elsewhere(tmp_path: Path) -> None:
    text = """\
providers:
  - {nmae: openai, kind: openai_chat, base_url: "https://a.example/v1"}
models:
  - {name: fast, targets: [{provider: openai}]}
default_model: fast
"""

    assert problems_of(text, tmp_path) == [
        "2:5: providers[0]: 'name' is missing",
        "2:6: providers[0].nmae: unknown key 'nmae'; did you mean 'name'?",
    ]


def test_a_section_whose_lines_are_all_commented_out_counts_as_absent(tmp_path: Path) -> None:
    loaded = load_text("timeouts:\n#  idle_s: 3\nauth:\nproviders:\nadmin: ~\n", tmp_path)

    assert loaded.config.timeouts.idle_s == 30
    assert loaded.config.admin is None
    assert [provider.name for provider in loaded.config.providers] == ["demo"]


def test_a_foreign_value_is_cut_and_loses_what_looks_like_a_key(tmp_path: Path) -> None:
    long = problems_of(f"on_cut: {'x' * 500}\n", tmp_path)
    key = problems_of("on_cut: sk-abcdefghijklmnopqrstuvwxyz\n", tmp_path)

    assert len(long[0]) < 200
    assert "got '***'" in key[0]


def test_a_literal_secret_is_taken_with_a_warning_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        f"auth: {{keys: [{{name: a, key: {CANARY}-caller-literal}}]}}\n"
        f"providers: [{{name: openai, api_key: {CANARY}-literal}}]\n"
    )

    loaded = load(Sources(file, environ={}))

    assert loaded.config.providers[0].api_key.reveal() == f"{CANARY}-literal"  # type: ignore[union-attr]
    assert [warning.partition("proxy.yaml:")[2] for warning in loaded.warnings] == [
        "1:30: auth.keys[0].key: the key itself stands here; better env:NAME or file:PATH",
        "2:37: providers[0].api_key: the key itself stands here; better env:NAME or file:PATH",
    ]
    assert CANARY not in print_config(loaded) + repr(loaded.config)
    assert set(loaded.secrets) == {f"{CANARY}-literal", f"{CANARY}-caller-literal"}


def test_more_problems_than_a_person_reads_are_counted(tmp_path: Path) -> None:
    text = "".join(f"unknown{number}: 1\n" for number in range(150))

    problems = problems_of(text, tmp_path)

    assert len(problems) == 101
    assert problems[-1] == "and 50 more problems"
