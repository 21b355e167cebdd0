"""What the dashboard and the alerts ask, asked of a real Prometheus that scrapes a proxy under load."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from proxy.demo import DemoServer
from proxy.record import Outcome
from tests.ops import load
from tests.support.ports import free_port
from tests.support.proxy import proxy_process

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "helm/llm-stream-proxy"
RULES = CHART / "rules/llm-stream-proxy.yaml"
DASHBOARD = json.loads((CHART / "dashboards/llm-stream-proxy.json").read_text())

START_S = 20.0
ROUNDS = (0.6, 0.6, 1.2)
"""Pauses after each round of calls: a counter that appears with the first call needs two scrapes to have a rate."""

VARIABLES = {
    "$__rate_interval": "30s",
    "$__range": "30s",
    "$namespace": ".*",
    "$job": ".*",
    "$provider": ".*",
    "$model": ".*",
    "$price_input": "2",
    "$price_output": "8",
}

WITHOUT_DATA = {
    "llm_proxy_upstream_attempts_total": "only after a target has failed",
    "llm_proxy_limit_store": "only where limits are shared through a store",
    "llm_proxy_draining{": "annotation: only while a replica drains",
    "llm_proxy_breaker_opened_total": "only while targets keep failing",
    "llm_proxy_label_overflow_total": "only where a metric has no room",
    "changes(llm_proxy_config": "annotation: only after a reload",
    "llm_proxy_conversion_notes_total{kind=": "only after a vendor has changed its format",
}
"""Beginnings of queries that may find nothing here, and why."""


WITH_EXEMPLARS = (
    "gen_ai_server_request_duration_seconds",
    "gen_ai_server_time_to_first_token_seconds",
    "gen_ai_client_operation_time_to_first_chunk_seconds",
)


class Query(NamedTuple):
    """A query of the dashboard, and where it is."""

    place: str
    text: str


def dashboard_queries() -> list[Query]:
    panels = [
        Query(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    ]
    annotations = [Query(item["name"], item["expr"]) for item in DASHBOARD["annotations"]["list"] if "expr" in item]
    return panels + annotations


def filled_in(query: str) -> str:
    """`query` with the dashboard's variables replaced, longest names first."""
    for name in sorted(VARIABLES, key=len, reverse=True):
        query = query.replace(name, VARIABLES[name])
    return query


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


METRIC = re.compile(r"\b((?:llm_proxy|gen_ai|process_|namespace_job:)[a-zA-Z0-9_:]*)(\{[^}]*\})?")
NO_METRICS = {"gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type", "gen_ai_operation_name"}


def selectors(query: str) -> list[str]:
    """Every metric with its matchers in `query`."""
    found = METRIC.finditer(query)
    return [match[0] for match in found if match[1] not in NO_METRICS]


def left_side(expression: str) -> str:
    """An alert's expression without its threshold."""
    return re.sub(r"\s*(?:>|<|==)\s*[0-9.]+\s*$", "", expression.strip())


def base_names(query: str) -> set[str]:
    return {selector.partition("{")[0] for selector in selectors(query)}


class Observed(NamedTuple):
    """What was seen while the load ran."""

    exposition: str
    results: dict[str, int | str]
    """Of each query the number of series, or the error."""
    exemplars: dict[str, set[str]]
    """Trace ids of a histogram's exemplars, as Prometheus keeps them."""


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    return asyncio.run(observe(tmp_path_factory.mktemp("prometheus")))


async def observe(folder: Path) -> Observed:
    demo = DemoServer(None, None)
    upstream = await demo.start("127.0.0.1", 0)
    try:
        return await observe_proxy(folder, f"{upstream}/v1")
    finally:
        await demo.stop()


async def observe_proxy(folder: Path, upstream: str) -> Observed:
    config = load.config(upstream, free_port())
    async with proxy_process(config, folder, environ={"NARROW_KEY": load.KEY}) as proxy:
        process, url = start_prometheus(folder, proxy.url)
        try:
            async with aiohttp.ClientSession() as session:
                await until_scraping(session, url)
                await load.drive(proxy.url, rounds=ROUNDS)
                async with session.get(f"{proxy.url}/metrics") as response:
                    exposition = await response.text()
                texts = {filled_in(query.text) for query in dashboard_queries()}
                texts |= {rule["expr"] for rule in rules()}
                texts |= {selector for rule in rules() for selector in selectors(rule["expr"])}
                texts |= {left_side(rule["expr"]) for rule in rules() if "alert" in rule}
                results = {text: await ask(session, url, text) for text in sorted(texts)}
                exemplars = {name: await ask_exemplars(session, url, name) for name in WITH_EXEMPLARS}
        finally:
            process.kill()
            process.wait()
    return Observed(exposition, results, exemplars)


def start_prometheus(folder: Path, target: str) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    job = {
        "job_name": "llm-stream-proxy",
        "static_configs": [{"targets": [target.removeprefix("http://")], "labels": {"namespace": "llm"}}],
    }
    times = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config = {"global": times, "rule_files": [str(RULES)], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=log,
        )
    return process, f"http://127.0.0.1:{port}"


async def until_scraping(session: aiohttp.ClientSession, url: str) -> None:
    """Until the proxy has been scraped; Prometheus takes five seconds to begin."""
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                if await ask(session, url, "up == 1"):
                    return
            await asyncio.sleep(0.1)


async def ask(session: aiohttp.ClientSession, url: str, query: str) -> int | str:
    async with session.post(f"{url}/api/v1/query", data={"query": query}) as response:
        answer = await response.json()
    return len(answer["data"]["result"]) if answer["status"] == "success" else str(answer["error"])


async def ask_exemplars(session: aiohttp.ClientSession, url: str, name: str) -> set[str]:
    asked = {"query": f"{name}_bucket", "start": "0", "end": "99999999999"}
    async with session.get(f"{url}/api/v1/query_exemplars", params=asked) as response:
        answer = await response.json()
    return {one["labels"]["trace_id"] for series in answer["data"] for one in series["exemplars"]}


def excuse(query: str) -> str | None:
    return next((reason for part, reason in WITHOUT_DATA.items() if part in query), None)


# --- over a running proxy


def test_exposition_keeps_the_rules_of_prometheus(observed: Observed) -> None:
    ran = subprocess.run(["promtool", "check", "metrics"], input=observed.exposition, capture_output=True, text=True)

    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_every_metric_asked_for_is_one_that_the_proxy_has(observed: Observed) -> None:
    exposed = {family.name for family in text_string_to_metric_families(observed.exposition)}
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    queries = [query.text for query in dashboard_queries()] + [rule["expr"] for rule in rules()]
    asked = {name for query in queries for name in base_names(query)}

    suffixes = re.compile(r"_(total|bucket|sum|count)$")
    assert {name for name in asked - recorded if suffixes.sub("", name) not in exposed and name not in exposed} == set()


OUTCOMES_WITHOUT_CALLS = {
    "drained": "only while a replica stops",
    "internal_error": "a fault of the proxy",
}


def test_load_ends_calls_in_every_way_that_can_be_asked_for(observed: Observed) -> None:
    counted = {
        sample.labels["outcome"]
        for family in text_string_to_metric_families(observed.exposition)
        for sample in family.samples
        if sample.name == "llm_proxy_streams_total" and sample.value > 0
    }

    assert {outcome.value for outcome in Outcome} - counted == set(OUTCOMES_WITHOUT_CALLS)


def test_prometheus_leads_from_the_latency_histograms_to_traces_that_are_kept(observed: Observed) -> None:
    assert {name: load.TRACE_ID in found for name, found in observed.exemplars.items()} == dict.fromkeys(
        WITH_EXEMPLARS, True
    )
    assert all(load.UNKEPT_TRACE_ID not in found for found in observed.exemplars.values())
    assert "trace_id" not in observed.exposition, "the text format has no exemplars"


# One test for all queries, because each process that runs a test of these would start a Prometheus of its own.


def test_every_query_of_the_dashboard_shows_something(observed: Observed) -> None:
    results = {query: observed.results[filled_in(query.text)] for query in dashboard_queries()}

    assert {query: result for query, result in results.items() if isinstance(result, str)} == {}
    assert [query for query, result in results.items() if result == 0 and not excuse(query.text)] == []


def test_every_rule_can_be_evaluated_and_its_series_exist(observed: Observed) -> None:
    results = {rule["expr"]: observed.results[rule["expr"]] for rule in rules()}
    series = {selector: observed.results[selector] for expression in results for selector in selectors(expression)}

    assert {expression: result for expression, result in results.items() if isinstance(result, str)} == {}
    assert [selector for selector, result in series.items() if not result and not excuse(selector)] == []


LEFT_WITHOUT_DATA = {
    "limit_store_up": "only where limits are shared through a store",
    "up == 0": "only while a replica is away",
    "absent(": "only where there is no replica",
    "> 50)": "only after fifty calls were completed",
    "ratio_rate": "recorded at the next evaluation",
    "breaker_opened_total": "only while targets keep failing",
}
"""Parts of alerts whose left side may find nothing here, and why; each fires in `rules_test.yaml`."""


def test_every_alert_compares_something_that_is_there(observed: Observed) -> None:
    results = {rule["alert"]: (rule["expr"], observed.results[left_side(rule["expr"])]) for rule in rules()
               if "alert" in rule}  # fmt: skip

    assert [
        alert
        for alert, (expression, result) in results.items()
        if not isinstance(result, int) or (result == 0 and not any(part in expression for part in LEFT_WITHOUT_DATA))
    ] == []


# --- the dashboard as a file


def test_dashboard_can_be_provisioned() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert DASHBOARD["uid"] == "llm-stream-proxy" and DASHBOARD["schemaVersion"] >= 39
    assert "__inputs" not in DASHBOARD and "id" not in DASHBOARD
    assert len(ids) == len(set(ids))


def sources() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for holder in (panel, *panel.get("targets", ())):
            if holder.get("type") != "row":
                yield holder["datasource"]["uid"]


def test_every_panel_asks_the_chosen_datasource() -> None:
    assert set(sources()) == {"${datasource}"}


def test_every_variable_in_a_query_exists() -> None:
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval", "__range"}

    used = {name for query in dashboard_queries() for name in re.findall(r"\$(\w+)", query.text)}

    assert used <= known
    assert {f"${name}" for name in used} <= set(VARIABLES)


def test_no_two_panels_have_the_same_title() -> None:
    titles = [panel["title"] for panel in DASHBOARD["panels"]]

    assert sorted(titles) == sorted(set(titles))


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24 and taken.setdefault((x, y), panel["title"]) == panel["title"]
