"""Objects as the API gives them: what stands in them, and marks of ours on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.kubernetes import names

if TYPE_CHECKING:
    from collections.abc import Mapping


def refuse_foreign(entry: Mapping[str, Any] | None) -> None:
    """What Slipway did not make it does not touch.

    Raises:
        TerminalError: The Service is somebody else's.
    """
    if entry is None:
        return
    metadata = entry["metadata"]
    if (metadata.get("labels") or {}).get(names.MANAGED_BY_LABEL) != names.MANAGER:
        raise TerminalError(
            f"the Service {metadata['namespace']}/{metadata['name']} is not Slipway's: it lacks "
            f"the label {names.MANAGED_BY_LABEL}={names.MANAGER}",
            hint="delete or rename it, or name another namespace in serve.kubernetes; nothing was "
            "changed",
            subject=f"Service/{metadata['name']}",
        )


def annotated(found: dict[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    """An object with more annotations."""
    metadata = found["metadata"]
    merged = {**metadata.get("annotations", {}), **annotations}
    return {**found, "metadata": {**metadata, "annotations": merged}}


def owned(found: dict[str, Any], owner: Mapping[str, Any]) -> dict[str, Any]:
    """An object that goes with a Deployment."""
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**found, "metadata": {**found["metadata"], "ownerReferences": [reference]}}


def version_of(found: Mapping[str, Any]) -> int:
    """The version that an object belongs to; 0 if none."""
    return number((found["metadata"].get("labels") or {}).get(names.VERSION_LABEL)) or 0


def number(text: str | None) -> int | None:
    """A whole number; None if it is none."""
    return int(text) if text and text.isdigit() else None


def annotation(found: Mapping[str, Any] | None, name: str) -> str:
    """An annotation; empty if there is none."""
    annotations = found["metadata"].get("annotations") if found else None
    return str((annotations or {}).get(name, ""))


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def lives(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is not on its way out."""
    return "deletionTimestamp" not in pod["metadata"]


def scaled_by_others(deployment: Mapping[str, Any]) -> bool:
    """Whether somebody else than Slipway set the replicas, as an autoscaler or a person does."""
    return any(
        entry.get("manager") != names.MANAGER
        and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in deployment["metadata"].get("managedFields") or ()
    )


def ready_replicas(deployment: Mapping[str, Any]) -> int:
    """The pods that are ready, of the template as it is now."""
    status = deployment.get("status", {})
    if not _is_followed(deployment):
        # While the template changes, pods of the old one are ready too, but not what is meant.
        return 0
    return min(int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0))


def is_settled(deployment: Mapping[str, Any]) -> bool:
    """Whether all pods of a Deployment are ready, and none of an older template is left."""
    status = deployment.get("status", {})
    counts = ("updatedReplicas", "readyReplicas", "replicas")
    wanted = int(deployment["spec"].get("replicas", 1))
    return _is_followed(deployment) and all(
        int(status.get(count) or 0) == wanted for count in counts
    )


def _is_followed(deployment: Mapping[str, Any]) -> bool:
    seen = int(deployment.get("status", {}).get("observedGeneration") or 0)
    return bool(seen >= deployment["metadata"]["generation"])
