"""Objects of Kubernetes from a spec, as plain data: no cluster is asked, nothing is read.

Every object is complete, so that server-side apply by the manager `slipway` owns just what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.kubernetes import names
from slipway.kubernetes.manifests.access import network_policy, service_account
from slipway.kubernetes.manifests.availability import autoscaler, disruption_budget
from slipway.kubernetes.manifests.config import config_map
from slipway.kubernetes.manifests.deployment import deployment
from slipway.kubernetes.manifests.fleet import in_place_fleet, version_fleet
from slipway.kubernetes.manifests.monitoring import pod_monitor
from slipway.kubernetes.manifests.services import entry_service, version_service
from slipway.kubernetes.spec import kubernetes_of
from slipway.rollout.config_file import Serving

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.kubernetes.manifests.fleet import ServedFleet
    from slipway.spec.model import ModelSpec

__all__ = ["entry_service", "in_place_objects", "render", "shared_objects", "version_objects"]

_FIRST_VERSION = 1


def shared_objects(spec: ModelSpec) -> list[Object]:
    """What there is once a model, whatever versions are served.

    Raises:
        TerminalError: The spec has no serve.kubernetes.
    """
    kubernetes = kubernetes_of(spec)
    made = []
    if kubernetes.service_account is None:
        made.append(service_account(spec))
    if kubernetes.network_policy:
        made.append(network_policy(spec))
    if kubernetes.pod_monitor:
        made.append(pod_monitor(spec))
    return made


def version_objects(
    spec: ModelSpec,
    version: int,
    digest: str,
    *,
    replicas: int,
    with_autoscaler: bool = False,
) -> list[Object]:
    """What serves one version, for as long as there is the version.

    Args:
        spec: The model's spec.
        version: Which version; its pods never serve another one.
        digest: Of the version's content; empty if it is not known.
        replicas: Pods to start with.
        with_autoscaler: Whether an autoscaler may change that, if the spec wants one at all.

    Raises:
        TerminalError: The spec has no serve.kubernetes, or publishes where pods cannot read.
    """
    fleet = version_fleet(spec, version, digest)
    return [
        *([] if fleet.is_triton else [config_map(fleet)]),
        deployment(fleet, replicas),
        version_service(spec, version),
        *_availability(fleet, with_autoscaler=with_autoscaler),
    ]


def in_place_objects(spec: ModelSpec, serving: Serving) -> list[Object]:
    """The server that is deployed once and loads one version after the other.

    Only the ConfigMap depends on what is served: a rollout restarts no pod.

    Args:
        spec: The model's spec.
        serving: Versions to serve, and the labels that lead to them.

    Raises:
        TerminalError: As `version_objects`.
    """
    fleet = in_place_fleet(spec, serving)
    # A field that is not applied is the autoscaler's alone.
    replicas = None if fleet.kubernetes.autoscaling else fleet.kubernetes.replicas
    return [
        config_map(fleet),
        deployment(fleet, replicas),
        *_availability(fleet, with_autoscaler=True),
    ]


def render(spec: ModelSpec, version: int | None = None) -> list[Object]:
    """Everything that a cluster holds once a version is stable, in the order to apply it.

    Args:
        spec: The model's spec.
        version: Which version; default: the first.

    Raises:
        TerminalError: As `version_objects`.
    """
    served = version or _FIRST_VERSION
    selector = {names.MODEL_LABEL: spec.model}
    kubernetes = kubernetes_of(spec)
    if spec.rollout.strategy == "in_place":
        serving = Serving(frozenset({served}), {"stable": served})
        made = in_place_objects(spec, serving)
        selector[names.INSTANCE_LABEL] = names.service(spec.model)
    else:
        selector[names.VERSION_LABEL] = str(served)
        made = version_objects(spec, served, "", replicas=kubernetes.replicas, with_autoscaler=True)
        if kubernetes.autoscaling:
            for each in made:
                if each["kind"] == "Deployment":
                    del each["spec"]["replicas"]
    return [*shared_objects(spec), *made, entry_service(spec, selector)]


def _availability(fleet: ServedFleet, *, with_autoscaler: bool) -> list[Object]:
    made = [disruption_budget(fleet)]
    if with_autoscaler and fleet.kubernetes.autoscaling is not None:
        made.append(autoscaler(fleet, fleet.kubernetes.autoscaling))
    return made
