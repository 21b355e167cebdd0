"""The effective configuration: it loads as the same one, says where values come from, and shows no secret."""

from pathlib import Path

from proxy.config import Flag
from proxy.config.printing import print_config
from tests.config.support import CANARY, ENVIRON, load_text

TEXT = """\
listen: 127.0.0.1:1
auth:
  keys:
    - {name: a, key: env:GOOD_KEY, models: ["gpt-*"]}
providers:
  - name: deepseek
    headers: {x-a: "on", x-b: env:OTHER_KEY}
    tls: {insecure_skip_verify: false}
  - {name: lab, kind: openai_chat, base_url: "http://10.0.0.7/v1", timeouts: {idle_s: 99}}
models:
  - {name: "gpt-*", targets: [{provider: lab}, {provider: deepseek, model: deepseek-chat}]}
cors: {origins: ["https://a.example", "https://b.example"]}
"""


def origins(printed: str) -> dict[str, str]:
    """The comment behind each line, by the line without it."""
    pairs = (line.rpartition("  # ") for line in printed.splitlines() if "  # " in line)
    return {line.strip(): origin for line, _, origin in pairs}


def test_each_value_bears_its_origin(tmp_path: Path) -> None:
    environ = {**ENVIRON, "DEEPSEEK_API_KEY": f"{CANARY}-deepseek", "LLM_STREAM_PROXY_TIMEOUTS__IDLE_S": "5"}
    flags = (Flag("--workers", "workers", "2"),)

    found = origins(print_config(load_text(TEXT, tmp_path, environ, flags)))

    file = f"{tmp_path}/f.yaml"
    assert found['listen: "127.0.0.1:1"'] == f"{file}:1:9"
    assert found["workers: 2"] == "--workers"
    assert found["idle_s: 5.0"] == "$LLM_STREAM_PROXY_TIMEOUTS__IDLE_S"
    assert found["total_s: 900.0"] == "default"
    assert found["kind: openai_chat"] in ("preset deepseek", f"{file}:9:23")
    assert found["api_key: env:DEEPSEEK_API_KEY"] == "preset deepseek"
    assert found["string_content: true"] == "preset deepseek"
    assert found["idle_s: 99.0"] == f"{file}:9:87"
    assert found['models: ["gpt-*"]'] == f"{file}:4:44"
    assert found['x-a: "on"'] == f"{file}:7:20"


def test_what_is_printed_loads_as_the_same_configuration(tmp_path: Path) -> None:
    environ = {**ENVIRON, "DEEPSEEK_API_KEY": f"{CANARY}-deepseek"}
    loaded = load_text(TEXT, tmp_path, environ)

    again = load_text(print_config(loaded), tmp_path, environ)

    assert again.config == loaded.config
    assert again.digest == loaded.digest


def test_the_embedded_default_can_be_printed_and_loaded(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": f"{CANARY}-openai", "MISTRAL_API_KEY": f"{CANARY}-mistral"}
    loaded = load_text("", tmp_path, environ)

    assert load_text(print_config(loaded), tmp_path, environ).config == loaded.config


def test_no_secret_is_printed(tmp_path: Path) -> None:
    text = TEXT + "resume: {store: env:STORE}\n"
    environ = {**ENVIRON, "STORE": f"redis://:{CANARY}@redis", "OPENAI_API_KEY": f"{CANARY}-openai"}

    printed = print_config(load_text(text, tmp_path, environ))

    assert CANARY not in printed
    assert "store: env:STORE" in printed
    assert "key: env:GOOD_KEY" in printed


def test_a_value_that_happens_to_be_a_secret_is_masked(tmp_path: Path) -> None:
    text = f"providers: [{{name: openai, api_key: env:GOOD_KEY, headers: {{x-a: {ENVIRON['GOOD_KEY']}}}}}]\n"

    printed = print_config(load_text(text, tmp_path))

    assert CANARY not in printed
    assert "***" in printed
