"""The ConfigMap that a server reads: models, monitoring, batching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.kubernetes import names
from slipway.kubernetes.manifests.base import new_object
from slipway.serving.serve_config.render import (
    batching_config,
    monitoring_config,
    specific_versions,
)

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.kubernetes.manifests.fleet import ServedFleet


def config_map(fleet: ServedFleet) -> Object:
    """The text protos that the server's flags name."""
    plan, serving = fleet.plan, fleet.serving
    data = {
        "models.config": specific_versions(
            plan.model, plan.base_path, serving.versions, serving.labels
        ),
        "monitoring.config": monitoring_config(),
    }
    if plan.options.batching:
        data["batching.config"] = batching_config(plan)
    name = names.config_map(fleet.name)
    return new_object(("v1", "ConfigMap"), name, fleet.spec, {"data": data}, fleet.labels)
