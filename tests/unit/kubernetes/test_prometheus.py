"""The Prometheus for a cluster without one finds what a rollout makes, and keeps its rules."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from slipway.kubernetes import manifests
from support.kubernetes_prometheus import prometheus_objects
from support.kubernetes_specs import served_model
from support.pod_policy import violations
from support.specs import PROJECT

_META = "__meta_kubernetes_pod_"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    [config] = [each for each in prometheus_objects("serving") if each["kind"] == "ConfigMap"]
    [found] = yaml.safe_load(config["data"]["prometheus.yml"])["scrape_configs"]
    return dict(found)


def discovered() -> dict[str, str]:
    """What Prometheus' discovery says of a pod of a rollout, under the names that it gives it."""
    spec = served_model("canary", base_uri="s3://models", namespace="serving")
    [deployment] = [each for each in manifests.render(spec, 3) if each["kind"] == "Deployment"]
    metadata = deployment["spec"]["template"]["metadata"]
    pairs = [("annotation", metadata["annotations"]), ("label", metadata["labels"])]
    found = {f"{_META}name": "one", f"{_META}ip": "10.0.0.7", "__meta_kubernetes_namespace": "n"}
    for kind, values in pairs:
        for name, value in values.items():
            found[f"{_META}{kind}_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}"] = value
    return found


def relabelled(job: dict[str, Any], labels: dict[str, str]) -> dict[str, str] | None:
    """Prometheus' relabelling, as far as the job uses it; None if the target is dropped."""
    for rule in job["relabel_configs"]:
        given = rule.get("separator", ";").join(labels[n] for n in rule.get("source_labels", ()))
        match rule.get("action", "replace"):
            case "keep":
                if not re.fullmatch(rule["regex"], given):
                    return None
            case "labelmap":
                found = {n: re.fullmatch(rule["regex"], n) for n in labels}
                labels |= {m[1]: labels[n] for n, m in found.items() if m}
            case "replace":
                labels |= {rule["target_label"]: given}
    return labels


def test_a_pod_of_a_rollout_is_scraped_with_the_labels_that_the_gate_asks_for(
    job: dict[str, Any],
) -> None:
    found = relabelled(job, discovered())
    assert found is not None
    assert found["__address__"] == "10.0.0.7:8501"
    assert found["__metrics_path__"] == "/monitoring/prometheus/metrics"
    assert found["slipway_dev_version"] == "3"
    assert (found["pod"], found["namespace"]) == ("one", "n")


def test_a_pod_that_does_not_ask_for_it_is_not_scraped(job: dict[str, Any]) -> None:
    other = discovered() | {f"{_META}annotation_prometheus_io_scrape": "false"}
    assert relabelled(job, other) is None


def test_it_keeps_the_rules_for_pods_but_for_the_token_with_which_it_looks_for_them() -> None:
    token = "Deployment prometheus: a service account's token is mounted"
    assert violations(prometheus_objects("serving")) == [token]


def test_its_release_is_that_of_compose() -> None:
    services = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text("utf-8"))["services"]
    [deployment] = [e for e in prometheus_objects("serving") if e["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == services["prometheus"]["image"]
