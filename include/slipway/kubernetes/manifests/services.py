"""Under which address clients find a model, and a rollout one version of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.manifests.base import labels_of, new_object
from slipway.kubernetes.spec import kubernetes_of
from slipway.serving.serve_config.plan import GRPC_PORT, REST_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.kubernetes.manifests.base import Object
    from slipway.spec.model import ModelSpec

_SERVICE = ("v1", "Service")


def entry_service(spec: ModelSpec, selector: Mapping[str, str]) -> Object:
    """The Service that clients use.

    Args:
        spec: The model's spec.
        selector: Which of the model's servers get requests; never a Job of the model.

    Raises:
        TerminalError: The spec has no serve.kubernetes.
    """
    wanted = kubernetes_of(spec).service
    content = _service(selector, wanted.type)
    if wanted.node_port is not None:
        content["ports"][0]["nodePort"] = wanted.node_port
    return new_object(_SERVICE, names.service(spec.model), spec, {"spec": content})


def version_service(spec: ModelSpec, version: int) -> Object:
    """The Service of one version's pods: for probes, and for the weights of a route."""
    selector = {names.MODEL_LABEL: spec.model, names.VERSION_LABEL: str(version)}
    return new_object(
        _SERVICE,
        names.version_service(spec.model, version),
        spec,
        {"spec": _service(selector, "ClusterIP")},
        labels_of(spec.model, version),
    )


def _service(selector: Mapping[str, str], kind: str) -> dict[str, Any]:
    ports = [
        {"name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": speaks}
        for name, port, speaks in (
            ("rest", REST_PORT, "http"),
            ("grpc", GRPC_PORT, "kubernetes.io/h2c"),
        )
    ]
    return {
        "type": kind,
        "selector": {**selector, names.COMPONENT_LABEL: names.SERVER},
        "ports": ports,
    }
