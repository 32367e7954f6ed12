"""How Prometheus finds the pods, with model and version as labels of every series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.manifests.base import new_object
from slipway.serving.serve_config.plan import METRICS_PATH, REST_PORT

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.spec.model import ModelSpec


def scrape_annotations() -> dict[str, str]:
    """For Prometheus' usual job that discovers pods by annotation."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(REST_PORT),
        "prometheus.io/path": METRICS_PATH,
    }


def pod_monitor(spec: ModelSpec) -> Object:
    """For Prometheus' operator, which makes the pods' labels `slipway_dev_model` and so on."""
    selected = {names.MODEL_LABEL: spec.model, names.COMPONENT_LABEL: names.SERVER}
    content: dict[str, Any] = {
        "selector": {"matchLabels": selected},
        "podTargetLabels": [names.MODEL_LABEL, names.VERSION_LABEL],
        "podMetricsEndpoints": [{"port": "rest", "path": METRICS_PATH}],
    }
    return new_object(
        ("monitoring.coreos.com/v1", "PodMonitor"),
        names.service(spec.model),
        spec,
        {"spec": content},
    )
