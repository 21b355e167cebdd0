"""Configurations of the right shape that make no sense."""

from pathlib import Path

import pytest

from tests.config.support import ENVIRON, load_text, problems_of

CASES: dict[str, tuple[str, list[str]]] = {
    "kind_missing": (
        "providers:\n  - name: opnai\n",
        [
            "2:5: providers[0]: 'kind' is missing: 'opnai' is not the name of a preset; did you mean 'openai'?",
        ],
    ),
    "kind_missing_far": (
        "providers:\n  - name: zzzzzzzz\n",
        [
            "2:5: providers[0]: 'kind' is missing: 'zzzzzzzz' is not the name of a preset",
        ],
    ),
    "unknown_preset": (
        "providers:\n  - {name: a, preset: grok}\n",
        [
            "2:23: providers[0].preset: unknown preset 'grok'; did you mean 'groq'?",
        ],
    ),
    "provider_twice": (
        "providers:\n  - name: openai\n  - name: openai\n",
        [
            "3:11: providers[1].name: 'openai' is taken by providers[0]",
        ],
    ),
    "model_twice": (
        "providers: [{name: openai}]\n"
        "models:\n"
        "  - {name: a, targets: [{provider: openai}]}\n"
        "  - {name: a, targets: [{provider: openai}]}\n",
        [
            "4:12: models[1].name: 'a' is taken by models[0]",
        ],
    ),
    "unknown_provider": (
        "providers: [{name: openai}]\nmodels:\n  - {name: a, targets: [{provider: opnai}]}\n",
        [
            "3:36: models[0].targets[0].provider: unknown provider 'opnai'; did you mean 'openai'?",
        ],
    ),
    "target_is_pattern": (
        'providers: [{name: openai}]\nmodels:\n  - {name: a, targets: [{provider: openai, model: "gpt-*"}]}\n',
        [
            "3:51: models[0].targets[0].model: expected the name of one model, got the pattern 'gpt-*'; leave"
            " it out to pass on the caller's own",
        ],
    ),
    "rival_patterns": (
        "providers: [{name: openai}]\n"
        "models:\n"
        '  - {name: "gpt-*", targets: [{provider: openai}]}\n'
        '  - {name: "*-pro", targets: [{provider: openai}]}\n',
        [
            "4:12: models[1].name: '*-pro' and 'gpt-*' are equally long and can match the same name; make one longer",
        ],
    ),
    "pattern_never_used": (
        'providers: [{name: openai}]\nmodels:\n  - {name: "openai/*", targets: [{provider: openai}]}\n',
        [
            "3:12: models[0].name: never used: 'openai/…' always means the provider 'openai'",
        ],
    ),
    "default_model_unknown": (
        "providers: [{name: openai}]\ndefault_model: fsat\nmodels:\n  - {name: fast, targets: [{provider: openai}]}\n",
        [
            "2:16: default_model: no model is called 'fsat'; did you mean 'fast'?",
        ],
    ),
    "default_model_pattern": (
        'providers: [{name: openai}]\ndefault_model: "gpt-*"\n',
        [
            "2:16: default_model: expected a name, got the pattern 'gpt-*'",
        ],
    ),
    "listen_open": (
        "listen: 0.0.0.0:8080\n",
        [
            "1:9: listen: expected a loopback address such as 127.0.0.1:8080, got '0.0.0.0:8080': without"
            " `auth.keys` everybody who can connect could spend your money; add keys, or set `auth.anonymous:"
            " true`",
        ],
    ),
    "listen_name": (
        "listen: proxy.internal:8080\n",
        [
            "1:9: listen: expected a loopback address such as 127.0.0.1:8080, got 'proxy.internal:8080':"
            " without `auth.keys` everybody who can connect could spend your money; add keys, or set"
            " `auth.anonymous: true`",
        ],
    ),
    "listen_port_only": (
        "listen: 8080\n",
        [
            "1:9: listen: expected HOST:PORT, such as 127.0.0.1:8080, got '8080'; did you mean '127.0.0.1:8080'?",
        ],
    ),
    "listen_port_range": (
        "listen: 127.0.0.1:80800\n",
        [
            "1:9: listen: expected a port from 0 to 65535, got 80800",
        ],
    ),
    "listen_without_port": (
        "listen: 127.0.0.1\n",
        [
            "1:9: listen: expected HOST:PORT, such as 127.0.0.1:8080, got '127.0.0.1'; the port is missing",
        ],
    ),
    "listen_six": (
        'listen: "::1:8080"\n',
        [
            "1:9: listen: expected HOST:PORT, such as 127.0.0.1:8080, got '::1:8080'; did you mean '[::1]:8080'?",
        ],
    ),
    "listen_star": (
        'listen: "*:8080"\n',
        [
            "1:9: listen: expected HOST:PORT, such as 127.0.0.1:8080, got '*:8080'; did you mean '0.0.0.0:8080'?",
        ],
    ),
    "listen_url": (
        "listen: http://127.0.0.1:8080\n",
        [
            "1:9: listen: expected HOST:PORT, such as 127.0.0.1:8080, got 'http://127.0.0.1:8080'; leave the"
            " scheme out",
        ],
    ),
    "listen_free_port_of_workers": (
        "listen: 127.0.0.1:0\nworkers: 2\n",
        ["1:9: listen: expected a port, got 0: each of the workers would take another one"],
    ),
    "admin_clash": (
        "admin: {listen: 0.0.0.0:8080}\n",
        [
            "1:17: admin.listen: the same port as `listen` (127.0.0.1:8080); use another one",
        ],
    ),
    "key_both": (
        "auth:\n"
        "  keys:\n"
        "    - {name: a, key: env:GOOD_KEY, sha256:"
        " aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n",
        [
            "3:7: auth.keys[0]: expected either 'key' or 'sha256', got both",
        ],
    ),
    "key_neither": (
        "auth:\n  keys:\n    - {name: a}\n",
        [
            "3:7: auth.keys[0]: expected either 'key' or 'sha256', got neither",
        ],
    ),
    "key_short": (
        "auth:\n  keys:\n    - {name: a, key: env:SHORT}\n",
        [
            "3:22: auth.keys[0].key: expected a key of at least 8 characters, got 3",
        ],
    ),
    "key_twice": (
        "auth:\n  keys:\n    - {name: a, key: env:GOOD_KEY}\n    - {name: b, key: env:GOOD_KEY}\n",
        [
            "4:7: auth.keys[1]: the same key as that of 'a'; give every caller its own",
        ],
    ),
    "key_permissions": (
        "auth:\n  keys:\n    - {name: a, key: env:GOOD_KEY}\n    - {name: a, key: env:OTHER_KEY, max_streams: 3}\n",
        [
            "4:7: auth.keys[1]: keys of one name ('a') must have the same models and limits",
        ],
    ),
    "key_models": (
        "auth:\n"
        "  keys:\n"
        "    - {name: a, key: env:GOOD_KEY, models: [fsat]}\n"
        "providers: [{name: openai}]\n"
        "models:\n"
        "  - {name: fast, targets: [{provider: openai}]}\n",
        [
            "3:45: auth.keys[0].models[0]: 'fsat' allows no configured model; did you mean 'fast'?",
        ],
    ),
    "sha256": (
        "auth:\n  keys:\n    - {name: a, sha256: abc}\n",
        [
            "3:25: auth.keys[0].sha256: expected 64 hexadecimal digits, got 'abc'",
        ],
    ),
    "timeout_order": (
        "timeouts:\n  total_s: 10\n  idle_s: 20\n",
        [
            "3:11: timeouts.idle_s: expected at most total_s (10), which ends the call first, got 20",
        ],
    ),
    "provider_timeout_order": (
        "providers:\n  - name: openai\n    timeouts: {idle_s: 1000}\n",
        [
            "3:24: providers[0].timeouts.idle_s: expected at most total_s (900), which ends the call first, got 1000",
        ],
    ),
    "retry_order": (
        "retry: {base_s: 10, max_s: 5}\n",
        [
            "1:17: retry.base_s: expected at most retry.max_s (5), got 10",
        ],
    ),
    "resume_sizes": (
        "resume:\n  max_stream_bytes: 4096\n  max_total_bytes: 2048\n",
        [
            "2:21: resume.max_stream_bytes: expected at most resume.max_total_bytes (2048), got 4096",
        ],
    ),
    "resume_store": (
        "resume: {store: memroy}\n",
        [
            "1:17: resume.store: expected none, memory or a redis:// URL, got 'memroy'; did you mean 'memory'?",
        ],
    ),
    "resume_password": (
        'resume: {store: "redis://:canary-password@redis:6379/0"}\n',
        [
            "1:17: resume.store: the URL holds a password; keep it out of the file: env:NAME or file:PATH",
        ],
    ),
    "cors_host": (
        "cors: {origins: [app.example.com]}\n",
        [
            "1:18: cors.origins[0]: expected an origin such as https://app.example.com, got 'app.example.com';"
            " did you mean 'https://app.example.com'?",
        ],
    ),
    "cors_path": (
        'cors: {origins: ["https://app.example.com/"]}\n',
        [
            "1:18: cors.origins[0]: expected an origin without a path, got 'https://app.example.com/'; write"
            " https://app.example.com",
        ],
    ),
}


@pytest.mark.parametrize(("text", "problems"), CASES.values(), ids=CASES)
def test_what_makes_no_sense_is_reported_where_it_stands(text: str, problems: list[str], tmp_path: Path) -> None:
    (tmp_path / "there.pem").write_text("")

    assert problems_of(text, tmp_path) == problems


@pytest.mark.parametrize(
    "text",
    [
        "listen: 127.0.0.1:0\n",
        "listen: localhost:8080\n",
        'listen: "[::1]:8080"\n',
        "listen: 127.8.9.10:8080\n",
        "listen: 0.0.0.0:8080\nauth: {anonymous: true}\n",
        "listen: :8080\nauth: {keys: [{name: a, key: env:GOOD_KEY}]}\n",
        "admin: {listen: 127.0.0.1:0}\nlisten: 127.0.0.1:0\n",
        "admin: {listen: 127.0.0.2:8080}\n",
        "auth:\n  keys:\n    - {name: a, key: env:GOOD_KEY, models: [fast]}\n    - {name: a, key: env:OTHER_KEY, models: [fast]}\n"
        "providers: [{name: openai}]\nmodels: [{name: fast, targets: [{provider: openai}]}]\n",
        'providers: [{name: openai, base_url: "http://10.0.0.7:8000/v1"}]\n',
        "providers: [{name: vllm}]\n",
        "providers: [{name: openai}]\ndefault_model: openai/gpt-5\n",
        "providers: [{name: openai}]\ndefault_model: gpt-5\n",
        "timeouts: {total_s: 10}\n",
        'cors: {origins: ["*", "https://a.example:8443"]}\n',
        'resume: {store: "redis://redis:6379/0"}\n',
    ],
)
def test_what_makes_sense_is_accepted(text: str, tmp_path: Path) -> None:
    assert problems_of(text, tmp_path) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "auth: {keys: [{name: a, key: env:MEDIUM}]}\n",
            "1:30: auth.keys[0].key: a key of 12 characters can be guessed; use 20 or more",
        ),
        (
            "providers: [{name: openai, tls: {insecure_skip_verify: true}}]\n",
            "1:56: providers[0].tls.insecure_skip_verify: the certificate is not checked: anybody on the way can read"
            " keys and prompts",
        ),
        (
            'providers: [{name: openai, base_url: "http://api.example.com/v1"}]\n',
            "1:38: providers[0].base_url: keys and prompts travel unencrypted; use https",
        ),
        (
            'providers: [{name: lab, kind: openai_chat, base_url: "https://api.example.com"}]\n',
            "1:54: providers[0].base_url: base URLs of this kind usually end in a version;"
            " did you mean 'https://api.example.com/v1'?",
        ),
        ("on_cut: continue\n", "1:9: on_cut: no target has `prefill: true`, so nothing can be continued"),
        ("drain: {deadline_s: 0}\n", "1:21: drain.deadline_s: 0 cuts every running stream when the proxy stops"),
        ("heartbeat_s: 0.1\n", "1:14: heartbeat_s: more than one heartbeat a second serves nobody"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(text: str, warning: str, tmp_path: Path) -> None:
    loaded = load_text(text, tmp_path, {**ENVIRON, "MEDIUM": "a-short-key."})

    assert [line.replace(f"{tmp_path}/f.yaml:", "") for line in loaded.warnings] == [warning]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("resume: {store: memory}", "resume.store: streams cannot be resumed yet"),
        ("coalesce: {max_delay_ms: 5}", "coalesce: events are not coalesced yet"),
    ],
)
def test_keys_without_effect_are_warned_of(text: str, says: str, tmp_path: Path) -> None:
    (warning,) = load_text(text + "\n", tmp_path).warnings

    assert says in warning


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("collector:4318", "1:25: traces.otlp_endpoint: expected a URL such as http://collector:4318"),
        ("https://", "1:25: traces.otlp_endpoint: expected a URL such as http://collector:4318"),
        ("grpc://collector:4317", "1:25: traces.otlp_endpoint: expected a URL such as http://collector:4318"),
        ("http://name:word@collector:4318", "1:25: traces.otlp_endpoint: the URL holds a password"),
    ],
)
def test_spans_go_to_a_url_without_a_password_in_the_file(endpoint: str, says: str, tmp_path: Path) -> None:
    [problem] = problems_of(f"traces: {{otlp_endpoint: '{endpoint}'}}\n", tmp_path)

    assert says in problem and "word" not in problem.replace("password", "")


def test_content_without_a_collector_is_probably_not_meant(tmp_path: Path) -> None:
    (warning,) = load_text("traces: {content: true}\n", tmp_path).warnings

    assert "traces.content: without `traces.otlp_endpoint` this has no effect" in warning
