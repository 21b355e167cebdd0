"""`schema`: the JSON Schema on standard output."""

import shlex
import subprocess
import sys

import msgspec
import pytest

from proxy.__main__ import main


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0

    schema = msgspec.json.decode(capsys.readouterr().out)
    assert "listen" in schema["properties"]


def test_a_reader_that_has_seen_enough_leaves_no_traceback() -> None:
    command = f"{shlex.quote(sys.executable)} -m proxy schema | head -c 10"

    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=False)

    assert done.stdout == b'{\n  "$sche'
    assert done.stderr == b""
