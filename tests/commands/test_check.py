"""`check`: what is good, what is wrong, and what a configuration amounts to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.__main__ import main

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


def write(folder: Path, text: str) -> str:
    file = folder / "proxy.yaml"
    file.write_text(text)
    return str(file)


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


def test_checking_does_not_load_the_server() -> None:
    code = "import sys, proxy.__main__ as m; m.main(['check']); print('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout.splitlines()[-1] == "False", done.stderr
