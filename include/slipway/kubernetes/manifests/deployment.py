"""The Deployment: pods with a model server that come, work and go without a lost request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.manifests import bucket, triton
from slipway.kubernetes.manifests.base import new_object
from slipway.kubernetes.manifests.monitoring import scrape_annotations
from slipway.kubernetes.manifests.resources import GPU, container_resources
from slipway.kubernetes.manifests.security import confined, unprivileged
from slipway.serving.serve_config.plan import CONFIG_FOLDER, GRPC_PORT, METRICS_PATH, REST_PORT

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.kubernetes.manifests.fleet import ServedFleet

# From the end of the drain until kubelet kills: for requests that still run.
_LAST_REQUESTS_SECONDS = 20
_CONFIG_MOUNT = {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True}
_DOMAINS = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def deployment(fleet: ServedFleet, replicas: int | None) -> Object:
    """The Deployment of a fleet.

    Args:
        fleet: What its servers do.
        replicas: Pods; None: whoever scales it says.
    """
    content: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    content |= {
        "selector": {"matchLabels": fleet.selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "progressDeadlineSeconds": fleet.kubernetes.available_within_seconds,
        "revisionHistoryLimit": 2,
        "template": {
            "metadata": {
                "labels": fleet.pod_labels,
                "annotations": {**scrape_annotations(fleet.spec), **_digest(fleet)},
            },
            "spec": _pod(fleet),
        },
    }
    kind = ("apps/v1", "Deployment")
    made = new_object(kind, fleet.name, fleet.spec, {"spec": content}, fleet.labels)
    if fleet.digest:
        made["metadata"]["annotations"] = _digest(fleet)
    return made


def _digest(fleet: ServedFleet) -> dict[str, str]:
    return {names.DIGEST: fleet.digest} if fleet.digest else {}


def _pod(fleet: ServedFleet) -> dict[str, Any]:
    kubernetes = fleet.kubernetes
    found: dict[str, Any] = {
        "serviceAccountName": kubernetes.service_account or names.service(fleet.spec.model),
        # Neither server nor sync talks to the API server; clouds' identities come another way.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": unprivileged(),
        "terminationGracePeriodSeconds": kubernetes.drain_seconds + _LAST_REQUESTS_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": domain,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": fleet.selector},
            }
            for domain in _DOMAINS
        ],
        "initContainers": bucket.init_containers(fleet),
        "containers": [_server(fleet)],
        "volumes": [
            *([] if fleet.is_triton else [_config(fleet)]),
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            *bucket.volumes(fleet),
        ],
    }
    if kubernetes.node_selector:
        found["nodeSelector"] = dict(kubernetes.node_selector)
    if kubernetes.resources.gpus:
        # Nodes with GPUs are commonly kept free of pods that need none.
        found["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    return {name: value for name, value in found.items() if value != []}


def _config(fleet: ServedFleet) -> dict[str, Any]:
    return {"name": "config", "configMap": {"name": names.config_map(fleet.name)}}


def _server(fleet: ServedFleet) -> dict[str, Any]:
    kubernetes = fleet.kubernetes
    program, flags = "tensorflow_model_server", list(fleet.plan.flags)
    # A server answers this page however its models do; it listens once they are loaded.
    alive = METRICS_PATH
    if fleet.is_triton:
        program, flags = triton.command(fleet)
        alive = triton.LIVE_PATH
    found: dict[str, Any] = {
        "name": "server",
        "image": kubernetes.image,
        "command": [program],
        "args": flags,
        "env": bucket.server_environment(fleet),
        "ports": [
            {"name": "rest", "containerPort": REST_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
            *([triton.metrics_port()] if fleet.is_triton else []),
        ],
        "resources": container_resources(kubernetes.resources),
        "securityContext": confined(),
        "startupProbe": _probe(alive, 1, kubernetes.available_within_seconds),
        "livenessProbe": _probe(alive, 10, 6),
        "readinessProbe": _probe(fleet.status_path, 2, 3),
        # The server ends at SIGTERM: by then no Service must lead here any more.
        "lifecycle": {"preStop": {"sleep": {"seconds": kubernetes.drain_seconds}}},
        "volumeMounts": [
            *([] if fleet.is_triton else [_CONFIG_MOUNT]),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container, an emptyDir
            *bucket.server_mounts(fleet),
        ],
    }
    return {name: value for name, value in found.items() if value != []}


def _probe(path: str, every_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "rest"},
        "periodSeconds": every_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
