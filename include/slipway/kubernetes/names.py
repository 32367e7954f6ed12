"""Names, labels and annotations of everything that Slipway makes on a cluster."""

from __future__ import annotations

MODEL_LABEL = "slipway.dev/model"
VERSION_LABEL = "slipway.dev/version"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGER = "slipway"
SERVER = "model-server"

DIGEST = "slipway.dev/digest"
ROLLOUT = "slipway.dev/rollout"
GENERATION = "slipway.dev/generation"
SHARE = "slipway.dev/share"


def service(model: str) -> str:
    """The entry Service, and everything that there is once a model."""
    return model.replace("_", "-")


def version_service(model: str, version: int) -> str:
    """The Deployment of a version and the Service of its pods."""
    return f"{service(model)}-v{version}"


def config_map(deployment: str) -> str:
    """The ConfigMap that the servers of a Deployment read."""
    return f"{deployment}-config"
