"""The gate's promise that nothing is skipped in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.corpus import ABSENT, ROOT

CASES = f"""
import pytest

def test_runs(): pass
def test_skips(): pytest.skip("no tool")
def test_lacks_recordings(): pytest.skip({ABSENT!r})
@pytest.mark.xfail(strict=True, reason="known")
def test_known(): raise AssertionError
"""


@pytest.mark.parametrize(("forbid", "summary"), [("1", "1 failed, 1 passed, 1 skipped, 1 xfailed"), ("", "2 skipped")])
def test_skips_are_failures_in_the_gate_but_for_absent_recordings(forbid: str, summary: str, tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FORBID_SKIPS": forbid, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )

    assert summary in ran.stdout
    assert (ran.returncode == 1) == bool(forbid)
