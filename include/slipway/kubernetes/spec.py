"""The part of a spec that the manifests are made from, as the steps of a rollout get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.spec.model import ModelSpec
from slipway.spec.rollout import PublishSpec

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout
    from slipway.spec.kubernetes import KubernetesSpec


def served_spec(rollout: Rollout) -> ModelSpec:
    """A spec with what concerns serving; how the model is built is not in a rollout's options."""
    known: dict[str, Any] = {
        "model": rollout.model,
        "publish": PublishSpec(base_uri=rollout.config.base_uri),
        "serve": rollout.config.serve,
        "rollout": rollout.config.rollout,
    }
    return ModelSpec.model_construct(**known)


def kubernetes_of(spec: ModelSpec) -> KubernetesSpec:
    """Where and how the model server runs.

    Raises:
        TerminalError: The spec does not put it on a cluster.
    """
    if spec.serve.kubernetes is None:
        raise TerminalError(
            f"{spec.model} is not served on Kubernetes",
            hint="add serve.kubernetes to the spec",
            subject="serve.kubernetes",
        )
    return spec.serve.kubernetes
