"""The operations guide, held against the code that it speaks of."""

import re
from pathlib import Path

import pytest
import yaml

from proxy.record import Outcome

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "helm/llm-stream-proxy/README.md").read_text()
SECTIONS = [
    "Install",
    "Fleet or sidecar",
    "How a pod stops",
    "Change and upgrade",
    "Secrets",
    "Sizing",
    "Scaling",
    "In front of it",
    "What to watch",
    "Troubleshooting, by outcome",
    "Checking the chart yourself",
]


def section(title: str) -> str:
    return re.split(r"^## ", GUIDE[GUIDE.index(f"\n## {title}\n") + 4 :], maxsplit=1, flags=re.MULTILINE)[0]


def test_guide_has_its_sections() -> None:
    assert re.findall(r"^## (.*)$", GUIDE, re.MULTILINE) == SECTIONS


def outcome_rows() -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section("Troubleshooting, by outcome"), re.MULTILINE)
    return {name: (cause, action) for name, cause, action in rows}


def test_every_outcome_has_a_line_and_no_line_is_of_another() -> None:
    assert list(outcome_rows()) == [outcome.value for outcome in Outcome]


@pytest.mark.parametrize("outcome", Outcome)
def test_line_of_an_outcome_says_what_happened_and_what_to_do(outcome: Outcome) -> None:
    cause, action = outcome_rows()[outcome.value]

    assert len(cause) > 10 and len(action) > 10


def test_metrics_and_alerts_that_the_guide_names_exist() -> None:
    rules = yaml.safe_load((PROJECT / "helm/llm-stream-proxy/rules/llm-stream-proxy.yaml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    source = "".join(path.read_text() for path in (PROJECT / "proxy").glob("*.py"))

    named = set(re.findall(r"\bllm_proxy_\w+", GUIDE))

    assert set(re.findall(r"\bLlmProxy\w+", GUIDE)) <= alerts
    assert {metric for metric in named if metric.removesuffix("_total") not in source} == set()


def test_panels_and_rows_that_the_guide_names_exist() -> None:
    dashboard = (PROJECT / "helm/llm-stream-proxy/dashboards/llm-stream-proxy.json").read_text()

    named = re.findall(r'(?:row|panel) "([^"]+)"', GUIDE)

    assert named and [title for title in named if f'"title": "{title}"' not in dashboard] == []
