"""The chart's values.schema.json holds the proxy's own schema, so that Helm refuses a bad `config` before any pod does.

python -m tests.ops.values_schema        writes it again, after config/schema.json has changed
"""

import json
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
CHART_SCHEMA = PROJECT / "helm/llm-stream-proxy/values.schema.json"
PROXY_SCHEMA = PROJECT / "config/schema.json"

SET_BY_THE_CHART = ("listen", "admin")


def with_proxy_schema(chart: dict[str, Any], proxy: dict[str, Any]) -> dict[str, Any]:
    """`chart` with `config` and `$defs` taken from `proxy`."""
    config = {key: proxy[key] for key in ("type", "properties", "additionalProperties")}
    config["description"] = "As config/example.yaml; `listen` and `admin` are set by the chart."
    config["properties"] = {key: value for key, value in proxy["properties"].items() if key not in SET_BY_THE_CHART}
    return {**chart, "properties": {**chart["properties"], "config": config}, "$defs": proxy["$defs"]}


def fresh() -> dict[str, Any]:
    """What the file should hold."""
    return with_proxy_schema(json.loads(CHART_SCHEMA.read_text()), json.loads(PROXY_SCHEMA.read_text()))


if __name__ == "__main__":
    CHART_SCHEMA.write_text(json.dumps(fresh(), indent=2, ensure_ascii=False) + "\n")
