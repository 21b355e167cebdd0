"""The recording rules and alerts, held against promtool: they parse, and each fires when it should and only then."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
RULES = PROJECT / "helm/llm-stream-proxy/rules/llm-stream-proxy.yaml"
TESTS = Path(__file__).parent / "rules_test.yaml"

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")


def promtool(*arguments: str, timeout_s: float = 50) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=timeout_s)


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_rules_are_valid() -> None:
    ran = promtool("check", "rules", "--lint-fatal", str(RULES))

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    ran = promtool("test", "rules", str(TESTS))

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_scenario_in_which_it_fires() -> None:
    fired = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))

    assert fired == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_says_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    assert len(alert["annotations"]["runbook"]) > 60
