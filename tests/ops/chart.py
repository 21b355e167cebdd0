"""The chart, rendered by Helm's own code, and what Kubernetes would say of it."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "helm/llm-stream-proxy"
CRDS = Path(__file__).parent / "crds/schemas.yaml"
KUBERNETES = ("1.29.0", "1.33.0")
RELEASE, NAMESPACE = "demo", "llm"

helm = pytest.importorskip("helm_python", reason="the chart needs helm-python-sdk: pip install -e '.[dev]'")
kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="needs kubernetes-validate: pip install -e '.[dev]'"
)
jsonschema = pytest.importorskip("jsonschema", reason="comes with kubernetes-validate: pip install -e '.[dev]'")

Manifest = dict[str, Any]

KEYS = {"auth": {"keys": [{"name": "team-a", "key": "env:TEAM_A_KEY"}]}}
PROVIDERS = {
    **KEYS,
    "default_model": "fast",
    "providers": [{"name": "openai", "api_key": "env:OPENAI_API_KEY"}, {"name": "anthropic"}],
    "models": [{"name": "fast", "targets": [{"provider": "openai", "model": "gpt-5-mini"}, {"provider": "anthropic"}]}],
    "limits": {"max_body_bytes": 67108864},
}
FILES = {
    "auth": {"keys": [{"name": "team-a", "key": "file:/etc/llm-stream-proxy/secrets/TEAM_A_KEY"}]},
    "providers": [{"name": "openai", "api_key": "file:/etc/llm-stream-proxy/secrets/OPENAI_API_KEY"}],
}
MONITORING = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "prometheusRule": {"enabled": True, "disabled": ["LlmProxyUsageMissing"]},
    "dashboard": {"enabled": True, "annotations": {"grafana_folder": "LLM"}},
}
STORE = {
    "enabled": True,
    "secretStoreRef": {"name": "vault", "kind": "ClusterSecretStore"},
    "data": [{"secretKey": "OPENAI_API_KEY", "remoteRef": {"key": "llm/openai", "property": "api_key"}}],
}
NAMES = {"TEAM_A_KEY": "k" * 24, "OPENAI_API_KEY": "o" * 24, "ANTHROPIC_API_KEY": "a" * 24}

VALUE_SETS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "fleet": {"config": PROVIDERS, "secrets": {"existingSecret": "llm-keys"}, "replicaCount": 5},
    "own secret": {"config": PROVIDERS, "secrets": {"values": NAMES}},
    "files": {"config": FILES, "secrets": {"as": "files", "existingSecret": "llm-keys"}},
    "external secret": {"config": PROVIDERS, "externalSecret": STORE},
    "restart": {"config": PROVIDERS, "secrets": {"values": NAMES}, "reload": {"mode": "restart"}},
    "sidecar": {"mode": "sidecar", "config": {"providers": [{"name": "openai", "api_key": "caller"}]}},
    "gateway": {
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
            "hostnames": ["llm.example.com"],
        },
    },
    "ingress": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
            "hosts": [{"host": "llm.example.com"}, {"host": "b.example.com", "paths": [{"path": "/v1"}]}],
            "tls": [{"secretName": "llm-tls", "hosts": ["llm.example.com"]}],
        },
    },
    "hpa": {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 80}},
    "keda": {"keda": {"enabled": True}},
    "monitoring": {"metrics": MONITORING},
    "pod monitor": {"metrics": {"podMonitor": {"enabled": True}, "service": {"enabled": False}}},
    "network policy": {
        "networkPolicy": {
            "enabled": True,
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"llm": "yes"}}}],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "extraEgress": [{"to": [{"podSelector": {"matchLabels": {"app": "vllm"}}}], "ports": [{"port": 8000}]}],
        },
    },
    "everything else": {
        "kubeVersionOverride": "1.29.4",
        "image": {"repository": "registry.example/llm", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "commonLabels": {"team": "platform"},
        "podAnnotations": {"a.example/b": "c"},
        "podLabels": {"tier": "edge"},
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "llm", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "topologySpreadConstraints": [],
        "bindAddress": "[::]",
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.internal:3128"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"a": "b"}},
            'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-text"}',
        ],
        "config": {"auth": {"anonymous": True}, "drain": {"lame_duck_s": 2.5, "deadline_s": 30}},
    },
}


def render(values: dict[str, Any], chart: Path = CHART) -> list[Manifest]:
    """Every object of the release; raises HelmError."""
    return list(_objects(_rendered(values, chart)))


def notes(values: dict[str, Any]) -> str:
    """What `helm install` prints."""
    return next(text for name, text in _rendered(values, CHART).items() if name.endswith("NOTES.txt"))


def _rendered(values: dict[str, Any], chart: Path) -> dict[str, str]:
    with helm.Chart.load(str(chart)) as loaded:
        return loaded.render(values, name=RELEASE, namespace=NAMESPACE)


def _objects(rendered: dict[str, str]) -> Iterator[Manifest]:
    for name, text in rendered.items():
        if name.endswith(".yaml"):
            yield from (document for document in yaml.safe_load_all(text) if document)


def one(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    """The only object of `kind` whose name ends so."""
    found = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, [(item["kind"], item["metadata"]["name"]) for item in manifests]
    return found[0]


@functools.cache
def crd_schemas() -> dict[str, Any]:
    return yaml.safe_load(CRDS.read_text())


def problems(manifest: Manifest, version: str) -> str:
    """What Kubernetes `version` (or the schema of the custom resource) has against it; empty when nothing."""
    return _problems(json.dumps(manifest, sort_keys=True), version)


@functools.cache
def _problems(text: str, version: str) -> str:
    # Most objects are the same for most values, and reading Kubernetes' schemas takes half a second each time.
    manifest = json.loads(text)
    schema = crd_schemas().get(manifest["kind"])
    try:
        if schema is not None:
            jsonschema.validate(manifest["spec"], schema, cls=jsonschema.Draft202012Validator)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as fault:
        return f"{manifest['kind']} {manifest['metadata']['name']}: {fault.message}"
    return ""
