"""What every object has: names, labels, a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.spec import kubernetes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.spec.model import ModelSpec

Object = dict[str, Any]


def labels_of(model: str, version: int | None = None) -> dict[str, str]:
    """The labels of everything that belongs to a model, or to one version of it."""
    labels = {
        names.NAME_LABEL: names.service(model),
        names.MANAGED_BY_LABEL: names.MANAGER,
        names.MODEL_LABEL: model,
    }
    return labels if version is None else {**labels, names.VERSION_LABEL: str(version)}


def new_object(
    kind: tuple[str, str],
    name: str,
    spec: ModelSpec,
    content: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
) -> Object:
    """An object in the model's namespace.

    Args:
        kind: API version and kind.
        name: Its name.
        spec: The model's spec.
        content: Everything beside the metadata.
        labels: Default: those of the model.
    """
    metadata = {
        "name": name,
        "namespace": kubernetes_of(spec).namespace,
        "labels": dict(labels or labels_of(spec.model)),
    }
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **content}
