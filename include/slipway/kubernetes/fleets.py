"""One model on one cluster, a Deployment a version: what is there, and changes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes import manifests, names
from slipway.kubernetes.changes import Apply, Autoscale, Retire, Scale, Select, Weigh
from slipway.kubernetes.objects import annotated, owned
from slipway.kubernetes.observed import SERVED_STABLE, Observer
from slipway.kubernetes.rendered import APPLIED, Rendered
from slipway.kubernetes.routes import with_weights
from slipway.kubernetes.spec import kubernetes_of
from slipway.kubernetes.trouble import version_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.kubernetes.changes import Change
    from slipway.kubernetes.client import Cluster
    from slipway.kubernetes.diagnosis import Trouble
    from slipway.kubernetes.goal import Selection
    from slipway.kubernetes.observed import Observed, Order
    from slipway.spec.model import ModelSpec


class Fleets:
    """The Deployments, the entry Service and the route of one model.

    Args:
        cluster: Where.
        spec: The model's spec.
    """

    def __init__(self, cluster: Cluster, spec: ModelSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._rendered = Rendered(spec)
        self._observer = Observer(cluster, spec, self._rendered)
        self.model = spec.model
        self.namespace = kubernetes_of(spec).namespace

    def look(self, order: Order) -> Observed:
        """See what is there; as `Observer.look`."""
        return self._observer.look(order)

    def make(self, change: Change, order: Order, observed: Observed) -> None:
        """Make a change; `OutdatedError` if what it rests on has changed meanwhile."""
        match change:
            case Apply(version):
                self._apply(version, order)
            case Scale(version, replicas):
                self._scale(observed.deployments[version], replicas)
            case Select(selection):
                self._select(selection, order, observed)
            case Weigh(weights) if observed.route is not None:
                self._cluster.patch(
                    observed.route["kind"],
                    self.namespace,
                    observed.route["metadata"]["name"],
                    with_weights(observed.route, self._spec.model, weights),
                )
            case Autoscale(version):
                self._autoscale(version, observed.deployments[version], order)
            case Retire(version):
                found = observed.deployments[version]["metadata"]
                self._cluster.delete(
                    "Deployment",
                    self.namespace,
                    found["name"],
                    resource_version=found["resourceVersion"],
                )
            case _:
                raise AssertionError(change)

    def trouble(self, version: int, observed: Observed, *, last: bool = False) -> Trouble | None:
        """What keeps the pods of a version from being ready; None if nothing is known.

        Args:
            version: The version.
            observed: What was seen.
            last: Whether to read events too, as nobody waits any longer.
        """
        deployment = observed.deployments.get(version)
        return version_trouble(
            self._cluster,
            self.namespace,
            self.model,
            version,
            deployment=deployment,
            pods=observed.pods,
            last=last,
        )

    def objects(self, version: int, digest: str) -> list[dict[str, Any]]:
        """What a version consists of on the cluster, its Deployment first; without its scale."""
        return self._rendered.objects(version, digest)

    def _apply(self, version: int, order: Order) -> None:
        for found in manifests.shared_objects(self._spec):
            self._cluster.apply(self._placed(found))
        applied, (deployment, *others) = self._rendered.of(version, order)
        stamp, placed = self._stamp(order), self._placed(deployment)
        made = self._cluster.apply(annotated(placed, stamp))
        # The garbage collector then takes them with the Deployment, however this process ends.
        for found in others:
            self._cluster.apply(owned(self._placed(found), made))
        # Last: only then nothing is left to apply.
        self._cluster.apply(annotated(placed, {**stamp, APPLIED: applied}))

    def _scale(self, deployment: dict[str, Any], replicas: int) -> None:
        metadata = deployment["metadata"]
        # Not by apply: a field that was applied and is then left out falls back to its default,
        # so an autoscaler could never take it over.
        self._cluster.patch(
            "Deployment",
            self.namespace,
            metadata["name"],
            {
                "metadata": {"resourceVersion": metadata["resourceVersion"]},
                "spec": {"replicas": replicas},
            },
            subresource="scale",
        )

    def _select(self, selection: Selection, order: Order, observed: Observed) -> None:
        selector = {names.MODEL_LABEL: self._spec.model}
        if selection != "all":
            selector[names.VERSION_LABEL] = str(selection)
        wanted = annotated(
            self._placed(manifests.entry_service(self._spec, selector)),
            {
                **self._stamp(order),
                SERVED_STABLE: str(order.goal.stable),
                names.SHARE: f"{order.goal.share:g}",
            },
        )
        known = observed.entry["metadata"]["resourceVersion"] if observed.entry else ""
        self._cluster.apply(wanted, expect=known)

    def _autoscale(self, version: int, deployment: dict[str, Any], order: Order) -> None:
        made = manifests.version_objects(
            self._spec,
            version,
            order.digests.get(version, ""),
            replicas=deployment["spec"]["replicas"],
            with_autoscaler=True,
        )
        for found in made:
            if found["kind"] == "HorizontalPodAutoscaler":
                self._cluster.apply(owned(self._placed(found), deployment))

    def _stamp(self, order: Order) -> dict[str, str]:
        return {names.GENERATION: order.stamp, names.ROLLOUT: order.rollout_id}

    def _placed(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {**found, "metadata": {"namespace": self.namespace, **found["metadata"]}}
