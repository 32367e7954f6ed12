"""What a version consists of on the cluster, rendered once and told from what was applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.content import bytes_digest
from slipway.kubernetes import manifests, names
from slipway.kubernetes.objects import annotation

if TYPE_CHECKING:
    from slipway.kubernetes.observed import Order
    from slipway.spec.model import ModelSpec

APPLIED = "slipway.dev/applied"


class Rendered:
    """The objects of the versions of one model.

    Args:
        spec: The model's spec.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._known: dict[int, tuple[str, list[dict[str, Any]]]] = {}

    def objects(self, version: int, digest: str) -> list[dict[str, Any]]:
        """What a version consists of on the cluster, its Deployment first; without its scale."""
        made = manifests.version_objects(self._spec, version, digest, replicas=1)
        made = [found for found in made if found["kind"] != "HorizontalPodAutoscaler"]
        for found in made:
            if found["kind"] == "Deployment":
                found["spec"].pop("replicas", None)
        return sorted(made, key=lambda found: found["kind"] != "Deployment")

    def of(self, version: int, order: Order) -> tuple[str, list[dict[str, Any]]]:
        """The digest of a version's objects, and these."""
        if version not in self._known:
            made = self.objects(version, order.digests.get(version, ""))
            text = json.dumps(made, sort_keys=True).encode()
            self._known[version] = (bytes_digest(text), made)
        return self._known[version]

    def is_current(self, version: int, found: dict[str, Any], order: Order) -> bool:
        """Whether a version's Deployment is what would be applied now."""
        return (
            annotation(found, APPLIED) == self.of(version, order)[0]
            and annotation(found, names.GENERATION) == order.stamp
        )
