"""The command line, as a user meets it: help, exit codes, messages without tracebacks, secrets never printed."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from proxy import __version__
from proxy.__main__ import main
from proxy.commands import serve
from proxy.commands.options import ServeOptions
from proxy.config import Config

CANARY = "canary-0123456789"

GOOD = """\
listen: 127.0.0.1:1234
auth: {keys: [{name: a, key: env:PROXY_KEY}]}
providers:
  - {name: demo}
models:
  - {name: fast, targets: [{provider: demo, model: demo}]}
"""

BAD = "listn: 1\non_cut: contine\n"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("LLM_STREAM_PROXY_") or variable.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("PROXY_KEY", f"{CANARY}-proxy-key")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, ServeOptions]]:
    """What `serve` was called with; it returns 7."""
    calls: list[tuple[Config, ServeOptions]] = []

    def run(config: Config, options: ServeOptions) -> int:
        calls.append((config, options))
        return 7

    monkeypatch.setattr(serve, "run", run)
    return calls


def write(folder: Path, text: str) -> str:
    file = folder / "proxy.yaml"
    file.write_text(text)
    return str(file)


def test_serve_is_the_usual_command(served: list[tuple[Config, ServeOptions]]) -> None:
    assert main([]) == 7
    assert main(["serve"]) == 7
    assert main(["--listen", "127.0.0.1:99"]) == 7

    assert [config.listen for config, _ in served] == ["127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:99"]
    assert [provider.name for provider in served[0][0].providers] == ["demo"]


def test_serve_gets_the_file_and_the_flags_over_it(served: list[tuple[Config, ServeOptions]], tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)

    assert main(["serve", "--config", file, "--listen", "127.0.0.1:99", "--workers", "3"]) == 7

    config, options = served[0]
    assert (config.listen, config.workers, config.models[0].name) == ("127.0.0.1:99", 3, "fast")
    assert options.sources.file == Path(file)
    assert f"{CANARY}-proxy-key" in options.loaded.secrets


def test_the_file_can_be_named_by_the_environment(
    served: list[tuple[Config, ServeOptions]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_STREAM_PROXY_CONFIG", write(tmp_path, GOOD))
    monkeypatch.setenv("LLM_STREAM_PROXY_LOG__LEVEL", "debug")

    assert main([]) == 7
    assert main(["check"]) == 0

    assert (served[0][0].listen, served[0][0].log.level) == ("127.0.0.1:1234", "debug")


@pytest.mark.usefixtures("served")
def test_serve_refuses_a_configuration_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, BAD)

    assert main(["--config", file]) == 2

    assert capsys.readouterr().err.splitlines() == [
        f"{file}:1:1: listn: unknown key 'listn'; did you mean 'listen'?",
        f"{file}:2:9: on_cut: expected one of error, continue, restart, got 'contine'; did you mean 'continue'?",
        "llm-stream-proxy: the configuration cannot be used",
    ]


def test_check_says_what_a_good_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, GOOD)

    assert main(["check", file]) == 0

    assert capsys.readouterr() == (f"{file}: good (1 provider, 1 model, 1 key)\n", "")


def test_check_reports_every_problem_and_their_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, BAD)

    assert main(["check", file]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 3
    assert err.endswith(f"{file}: 2 problems\n")


def test_check_of_a_missing_file_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.yaml")]) == 2

    assert "none.yaml: the file cannot be read: No such file or directory\n" in capsys.readouterr().err


def test_check_without_a_file_checks_the_embedded_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0

    assert capsys.readouterr().out == "the embedded default: good (1 provider, 2 models, 0 keys)\n"


def test_check_shows_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(tmp_path, "on_cut: continue\n")]) == 0

    assert capsys.readouterr().err.startswith("warning: ")


def test_check_prints_the_effective_configuration_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, GOOD)

    assert main(["check", "--print", file]) == 0

    out, err = capsys.readouterr()
    assert CANARY not in out + err
    assert f"{file}:1:9" in out
    assert "key: env:PROXY_KEY" in out


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0

    schema = msgspec.json.decode(capsys.readouterr().out)
    assert "listen" in schema["properties"]


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["serve", "--conf", "x"], ["--workers", "many"], ["check", "a", "b"], ["--listen"]],
)
def test_bad_usage_exits_with_2_and_names_the_fault(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"], ["check", "-h"], ["schema", "-h"]])
def test_help_is_there_for_everything(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 0
    assert "usage: llm-stream-proxy" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"llm-stream-proxy {__version__}\n"


def test_an_interrupt_before_the_proxy_runs_leaves_no_traceback(
    served: list[tuple[Config, ServeOptions]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(config: Config, options: ServeOptions) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "run", interrupted)

    assert main([]) == 130
    assert served == []


def test_a_reader_that_has_seen_enough_leaves_no_traceback() -> None:
    command = f"{sys.executable} -m proxy schema | head -c 10"

    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=False)

    assert done.stdout == b'{\n  "$sche'
    assert done.stderr == b""


def test_checking_does_not_load_the_server() -> None:
    code = "import sys, proxy.__main__ as m; m.main(['check']); print('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout.splitlines()[-1] == "False", done.stderr
