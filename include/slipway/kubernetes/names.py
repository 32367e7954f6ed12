"""Names, labels and annotations of everything that Slipway makes on a cluster."""

from __future__ import annotations

MODEL_LABEL = "slipway.dev/model"
VERSION_LABEL = "slipway.dev/version"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
NAME_LABEL = "app.kubernetes.io/name"
MANAGER = "slipway"

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
