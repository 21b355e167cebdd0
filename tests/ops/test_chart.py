"""The chart: rendered for every way of running, as Helm does it, and held against Kubernetes' schemas."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import Sources, load
from tests.ops import values_schema
from tests.ops.chart import CHART, KUBERNETES, NAMES, VALUE_SETS, Manifest, helm, notes, one, problems, render

SET_NAMES = list(VALUE_SETS)


def pod_specs(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """The specification of every pod that these objects make."""
    pods = [item["spec"] for item in manifests if item["kind"] == "Pod"]
    return pods + [item["spec"]["template"]["spec"] for item in manifests if item["kind"] == "Deployment"]


# --- every set of values


@pytest.mark.parametrize("name", SET_NAMES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_for_kubernetes(name: str, version: str) -> None:
    values = {"kubeVersionOverride": version, **VALUE_SETS[name]}

    manifests = render(values)

    assert [found for item in manifests if (found := problems(item, version))] == []


@pytest.mark.parametrize("name", SET_NAMES)
def test_lint_has_nothing_to_say(name: str) -> None:
    report = helm.lint(str(CHART), VALUE_SETS[name], strict=True, kube_version=f"v{KUBERNETES[0]}")

    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("name", SET_NAMES)
def test_the_proxy_takes_the_rendered_configuration(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in NAMES.items():
        monkeypatch.setenv(variable, value)
        (tmp_path / variable).write_text(value)
    text = one(render(VALUE_SETS[name]), "ConfigMap", "llm-stream-proxy")["data"]["proxy.yaml"]
    file = tmp_path / "proxy.yaml"
    file.write_text(text.replace("/etc/llm-stream-proxy/secrets", str(tmp_path)))

    config = load(Sources(file)).config

    assert config.admin is not None
    assert config.listen.startswith("127.0.0.1:") == (name == "sidecar")


@pytest.mark.parametrize("name", SET_NAMES)
def test_pods_keep_the_restricted_security_standard(name: str) -> None:
    for spec in pod_specs(render(VALUE_SETS[name])):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert {next(iter(set(volume) - {"name"})) for volume in spec.get("volumes", ())} <= {"configMap", "secret"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] and "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", SET_NAMES)
def test_selectors_find_the_pods_and_only_those(name: str) -> None:
    manifests = render(VALUE_SETS[name])
    deployments = [item for item in manifests if item["kind"] == "Deployment"]
    tests = [item["metadata"]["labels"] for item in manifests if item["kind"] == "Pod"]

    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selectors = [item["spec"]["selector"] for item in manifests if item["kind"] == "Service"]
        selectors += [deployment["spec"]["selector"]["matchLabels"]]
        selectors += [
            item["spec"]["podSelector"]["matchLabels"] for item in manifests if item["kind"] == "NetworkPolicy"
        ]
        for selector in selectors:
            assert selector.items() <= labels.items()
            assert not any(selector.items() <= test.items() for test in tests)


# --- how a pod stops


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 5 + 10 + 300 + 5),
        ({"preStopSeconds": 0, "config": {"drain": {"lame_duck_s": 0, "deadline_s": 0}}}, 5),
        ({"config": {"drain": {"lame_duck_s": 2.5, "deadline_s": 899.2}}}, 5 + 3 + 900 + 5),
        ({"config": {"drain": None}}, 5 + 5 + 60 + 5),
        ({"terminationGracePeriodSeconds": 1000}, 1000),
    ],
)
def test_grace_period_covers_the_whole_drain(values: dict[str, Any], seconds: int) -> None:
    spec = one(render(values), "Deployment")["spec"]["template"]["spec"]

    assert spec["terminationGracePeriodSeconds"] == seconds


def test_grace_period_that_would_cut_streams_is_refused() -> None:
    with pytest.raises(helm.HelmError, match=r"terminationGracePeriodSeconds: 30 is too small.* = 320"):
        render({"terminationGracePeriodSeconds": 30})


@pytest.mark.parametrize(("version", "hook"), [("1.29.9", "exec"), ("1.30.0", "sleep"), ("", "sleep")])
def test_waiting_before_the_signal_is_native_where_it_exists(version: str, hook: str) -> None:
    container = one(render({"kubeVersionOverride": version}), "Deployment")["spec"]["template"]["spec"]["containers"][0]

    assert list(container["lifecycle"]["preStop"]) == [hook]


# --- configuration, secrets, reloads


def annotations(values: dict[str, Any]) -> dict[str, str]:
    return one(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]


def test_changed_configuration_restarts_no_pod_in_hot_mode() -> None:
    first, second = ({"config": {"heartbeat_s": seconds}} for seconds in (5, 6))

    assert annotations(first) == annotations(second)


def test_changed_configuration_or_secret_rolls_the_pods_in_restart_mode() -> None:
    sets = [{"config": {"auth": {"anonymous": True}, "heartbeat_s": beat}, "secrets": {"values": {"A": text}}}
            for beat, text in ((5, "x"), (6, "x"), (5, "y"))]  # fmt: skip

    assert len({json.dumps(annotations({"reload": {"mode": "restart"}, **values})) for values in sets}) == 3


def test_secret_in_the_environment_needs_a_restart_and_one_in_files_does_not() -> None:
    def of(kind: str, text: str) -> dict[str, str]:
        return annotations({"config": {"auth": {"anonymous": True}}, "secrets": {"as": kind, "values": {"A": text}}})

    assert of("env", "x") != of("env", "y")
    assert of("files", "x") == of("files", "y")


def test_configuration_is_a_directory_that_the_kubelet_can_update() -> None:
    container = one(render({}), "Deployment")["spec"]["template"]["spec"]["containers"][0]

    assert [mount for mount in container["volumeMounts"] if "subPath" in mount] == []


def test_providers_without_a_decision_who_may_call_are_refused() -> None:
    for values in (
        {"config": {"providers": [{"name": "openai"}]}},
        {"secrets": {"existingSecret": "llm-keys"}},
        {"extraEnv": [{"name": "OPENAI_API_KEY", "value": "x"}]},
    ):
        with pytest.raises(helm.HelmError, match=r"config\.auth: who may call"):
            render(values)


# --- bad values are refused by name


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 3}, "replicas"),
        ({"image": {"digest": "latest"}}, "image/digest"),
        ({"mode": "daemon"}, "mode"),
        ({"reload": {"mode": "warm"}}, "reload/mode"),
        ({"metrics": {"serviceMonitor": {"intervall": "5s"}}}, "intervall"),
        ({"config": {"listen": "0.0.0.0:1"}}, "listen"),
        ({"config": {"time_outs": {}}}, "time_outs"),
        ({"config": {"timeouts": {"idle_s": "30s"}}}, "config/timeouts/idle_s"),
        ({"config": {"providers": [{"name": "openai", "api_key": "sk-plain"}]}}, "config/providers/0/api_key"),
        ({"containerPorts": {"http": 0}}, "containerPorts/http"),
        ({"ingress": {"streaming": "yes"}}, "ingress/streaming"),
        ({"autoscaling": {"enabled": True}, "keda": {"enabled": True}}, "autoscaling.enabled and keda.enabled"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"secrets": {"existingSecret": "a", "values": {"A": "b"}}, "config": {"auth": {"anonymous": True}}},
         "secrets.values"),
    ],
)  # fmt: skip
def test_bad_value_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(helm.HelmError) as refused:
        render(values)

    assert named in str(refused.value).replace(".", "/") or named in str(refused.value)


def test_chart_knows_the_proxys_own_schema() -> None:
    assert json.loads(values_schema.CHART_SCHEMA.read_text()) == values_schema.fresh(), (
        "config/schema.json has changed: python -m tests.ops.values_schema"
    )


def test_schema_of_the_values_is_a_schema() -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema: pip install -e '.[dev]'")
    command = [sys.executable, "-m", "check_jsonschema"]

    for arguments in (
        ["--check-metaschema", str(values_schema.CHART_SCHEMA)],
        ["--schemafile", str(values_schema.CHART_SCHEMA), str(CHART / "values.yaml")],
    ):
        ran = subprocess.run([*command, *arguments], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_value_is_in_the_schema_and_every_key_of_the_schema_has_a_value() -> None:
    schema = json.loads(values_schema.CHART_SCHEMA.read_text())["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert set(schema) - {"global", "enabled"} == set(values)


# --- the ways in


def test_routes_of_the_gateway_have_no_deadline_of_their_own() -> None:
    route = one(render(VALUE_SETS["gateway"]), "HTTPRoute")

    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s", "backendRequest": "0s"}


@pytest.mark.parametrize(
    ("ingress", "config", "expected"),
    [
        ({"className": "nginx"}, {}, {"nginx.ingress.kubernetes.io/proxy-buffering": "off",
                                      "nginx.ingress.kubernetes.io/proxy-read-timeout": "86400",
                                      "nginx.ingress.kubernetes.io/proxy-next-upstream": "off",
                                      "nginx.ingress.kubernetes.io/proxy-body-size": "33554432"}),
        ({"className": "internal-nginx", "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "60"}},
         {"limits": {"max_body_bytes": 67108864}},
         {"nginx.ingress.kubernetes.io/proxy-read-timeout": "60",
          "nginx.ingress.kubernetes.io/proxy-body-size": "67108864"}),
        ({"className": "haproxy"}, {}, {"haproxy.org/timeout-server": "24h"}),
    ],
)  # fmt: skip
def test_controllers_that_are_known_are_told_of_streams(
    ingress: dict[str, Any], config: dict[str, Any], expected: dict[str, str]
) -> None:
    values = {"ingress": {"enabled": True, "hosts": [{"host": "a.example"}], **ingress}, "config": config}

    assert expected.items() <= one(render(values), "Ingress")["metadata"]["annotations"].items()


@pytest.mark.parametrize("ingress", [{"className": "traefik"}, {"className": "nginx", "streaming": False}])
def test_other_controllers_are_told_nothing(ingress: dict[str, Any]) -> None:
    rendered = one(render({"ingress": {"enabled": True, "hosts": [{"host": "a.example"}], **ingress}}), "Ingress")

    assert "annotations" not in rendered["metadata"]


def test_notes_print_base_urls() -> None:
    assert "http://demo-llm-stream-proxy.llm.svc/v1" in notes({})
    assert "https://llm.example.com/v1" in notes(VALUE_SETS["gateway"])
    assert "https://llm.example.com/chat" in notes(VALUE_SETS["ingress"])
    assert "http://127.0.0.1:8080/v1" in notes(VALUE_SETS["sidecar"])
    assert "Everybody" not in notes(VALUE_SETS["fleet"]) and "everybody" in notes({})


def test_autoscaler_owns_the_number_of_replicas() -> None:
    for name in ("hpa", "keda"):
        assert "replicas" not in one(render(VALUE_SETS[name]), "Deployment")["spec"]


def test_disabled_alerts_are_left_out() -> None:
    rules = one(render(VALUE_SETS["monitoring"]), "PrometheusRule")

    alerts = [rule.get("alert") for group in rules["spec"]["groups"] for rule in group["rules"]]

    assert "LlmProxyReloadFailed" in alerts and "LlmProxyUsageMissing" not in alerts


# --- sidecar

PARENT = """\
apiVersion: v1
kind: Pod
metadata:
  name: app
spec:
  terminationGracePeriodSeconds: 60
  initContainers:
    {{- include "llm-stream-proxy.sidecar" (index .Subcharts "llm-stream-proxy") | nindent 4 }}
  containers:
    - name: app
      image: app:1
  volumes:
    {{- include "llm-stream-proxy.volumes" (index .Subcharts "llm-stream-proxy") | nindent 4 }}
"""


def parent_chart(folder: Path) -> Path:
    """A chart with the proxy as its sidecar."""
    (folder / "templates").mkdir(parents=True)
    shutil.copytree(CHART, folder / "charts/llm-stream-proxy")
    (folder / "templates/pod.yaml").write_text(PARENT)
    dependency = {"name": "llm-stream-proxy", "version": "0.1.0"}
    chart = {"apiVersion": "v2", "name": "app", "version": "1.0.0", "dependencies": [dependency]}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))
    return folder


def test_another_chart_can_have_the_proxy_as_its_sidecar(tmp_path: Path) -> None:
    values = {"llm-stream-proxy": {**VALUE_SETS["sidecar"], "secrets": {"existingSecret": "llm-keys", "as": "files"}}}

    manifests = render(values, parent_chart(tmp_path / "app"))

    pod = one(manifests, "Pod")
    sidecar = pod["spec"]["initContainers"][0]
    names = {item["metadata"]["name"] for item in manifests if item["kind"] == "ConfigMap"}
    assert {item["kind"] for item in manifests} == {"Pod", "ConfigMap"}
    assert sidecar["restartPolicy"] == "Always" and sidecar["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["spec"]["volumes"][0]["configMap"]["name"] in names
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == {m["name"] for m in sidecar["volumeMounts"]}
    assert [found for item in manifests for version in KUBERNETES if (found := problems(item, version))] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_plain_sidecar_example_is_valid(version: str, tmp_path: Path) -> None:
    manifests = list(yaml.safe_load_all((CHART / "examples/sidecar-pod.yaml").read_text()))
    file = tmp_path / "proxy.yaml"
    file.write_text(one(manifests, "ConfigMap")["data"]["proxy.yaml"])

    assert [found for item in manifests if (found := problems(item, version))] == []
    assert load(Sources(file)).config.listen == "127.0.0.1:8080"
