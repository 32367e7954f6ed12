"""As whom pods run, and who may reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.manifests.base import new_object
from slipway.kubernetes.manifests.bucket import SYNC_PORT
from slipway.kubernetes.manifests.triton import METRICS_PORT
from slipway.kubernetes.spec import kubernetes_of
from slipway.serving.serve_config.plan import GRPC_PORT, REST_PORT

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.base import Object
    from slipway.spec.model import ModelSpec


def service_account(spec: ModelSpec) -> Object:
    """The identity of the model's pods; what it may read, the cloud says, not Kubernetes."""
    made = new_object(
        ("v1", "ServiceAccount"),
        names.service(spec.model),
        spec,
        {"automountServiceAccountToken": False},
    )
    annotations = kubernetes_of(spec).service_account_annotations
    if annotations:
        made["metadata"]["annotations"] = dict(annotations)
    return made


def network_policy(spec: ModelSpec) -> Object:
    """Nothing but the ports that something listens on; the way out stays open, to the bucket."""
    ports = [REST_PORT, GRPC_PORT]
    if spec.serve.server == "triton":
        ports.append(METRICS_PORT)
    if _has_sidecar(spec):
        ports.append(SYNC_PORT)
    content: dict[str, Any] = {
        "podSelector": {
            "matchLabels": {
                names.MODEL_LABEL: spec.model,
                names.COMPONENT_LABEL: names.SERVER,
            }
        },
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
    }
    return new_object(
        ("networking.k8s.io/v1", "NetworkPolicy"),
        names.service(spec.model),
        spec,
        {"spec": content},
    )


def _has_sidecar(spec: ModelSpec) -> bool:
    return spec.rollout.strategy == "in_place" and spec.publish.base_uri.startswith("s3://")
