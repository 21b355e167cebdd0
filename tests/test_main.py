"""The command line, as a user meets it: help, exit codes, messages without tracebacks, secrets never printed."""

import os
from pathlib import Path

import pytest

from proxy import __version__
from proxy.__main__ import main
from proxy.commands import ServeOptions, serve
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
