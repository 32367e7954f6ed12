"""How many pods there are at least and at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.kubernetes.manifests.base import new_object

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.kubernetes.manifests.fleet import ServedFleet
    from slipway.spec.kubernetes import AutoscalingSpec


def disruption_budget(fleet: ServedFleet) -> Object:
    """One pod at a time may be evicted; one that does not work is no reason to keep a node."""
    content = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": fleet.selector},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    kind = ("policy/v1", "PodDisruptionBudget")
    return new_object(kind, fleet.name, fleet.spec, {"spec": content}, fleet.labels)


def autoscaler(fleet: ServedFleet, wanted: AutoscalingSpec) -> Object:
    """Pods by the CPU that the model servers use; what brings their files does not count."""
    target = {"type": "Utilization", "averageUtilization": wanted.cpu_percent}
    measured = {"name": "cpu", "container": "server", "target": target}
    content = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": fleet.name},
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": [{"type": "ContainerResource", "containerResource": measured}],
    }
    kind = ("autoscaling/v2", "HorizontalPodAutoscaler")
    return new_object(kind, fleet.name, fleet.spec, {"spec": content}, fleet.labels)
