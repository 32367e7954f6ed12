"""How Prometheus finds the pods, with model and version as labels of every series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.manifests import triton
from slipway.kubernetes.manifests.base import new_object
from slipway.serving.serve_config.plan import METRICS_PATH, REST_PORT

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.spec.model import ModelSpec


def scrape_annotations(spec: ModelSpec) -> dict[str, str]:
    """For Prometheus' usual job that discovers pods by annotation."""
    _, port, path = metrics_page(spec)
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": path,
    }


def metrics_page(spec: ModelSpec) -> tuple[str, int, str]:
    """Where the metrics are: name and number of the port, and the path."""
    if spec.serve.server == "triton":
        return "metrics", triton.METRICS_PORT, triton.METRICS_PATH
    return "rest", REST_PORT, METRICS_PATH


def pod_monitor(spec: ModelSpec) -> Object:
    """For Prometheus' operator, which makes the pods' labels `slipway_dev_model` and so on."""
    port, _, path = metrics_page(spec)
    selected = {names.MODEL_LABEL: spec.model, names.COMPONENT_LABEL: names.SERVER}
    content: dict[str, Any] = {
        "selector": {"matchLabels": selected},
        "podTargetLabels": [names.MODEL_LABEL, names.VERSION_LABEL],
        "podMetricsEndpoints": [{"port": port, "path": path}],
    }
    return new_object(
        ("monitoring.coreos.com/v1", "PodMonitor"),
        names.service(spec.model),
        spec,
        {"spec": content},
    )
