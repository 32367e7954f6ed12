"""A rollout with pods of its own for every version: the strategies canary and blue_green."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slipway.kubernetes import names
from slipway.kubernetes.converge import converge
from slipway.kubernetes.fleets import Fleets
from slipway.kubernetes.goal import Goal, Seen, Sizes, wanted_replicas
from slipway.kubernetes.manifests.monitoring import metrics_page
from slipway.kubernetes.objects import lives
from slipway.kubernetes.observed import Order
from slipway.kubernetes.preflight import check_cluster, check_room
from slipway.kubernetes.routes import route_of, weights_in
from slipway.kubernetes.servers import ClusterServers
from slipway.rollout import kserve
from slipway.rollout.config_file import Serving
from slipway.rollout.counters import counted_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.rollout.endpoint import Endpoint
    from slipway.spec.kubernetes import KubernetesSpec
    from slipway.spec.rollout import RolloutSpec


_LAST_SECONDS = 15.0


class VersionServers(ClusterServers):
    """One model on one cluster, a Deployment a version."""

    def check(self) -> dict[str, Any]:
        """Reachable, allowed, and all that the pods refer to is there; see `check_cluster`."""
        fleets = Fleets(self.cluster, self.spec)
        objects = fleets.objects(self.rollout.version, self.rollout.parameters.digest)
        facts = check_cluster(self.cluster, self.spec, objects)
        order = self._order(None)
        seen = fleets.look(order).seen
        sizes = sizes_of(self.kubernetes, self.spec.rollout)
        check_room(self.cluster, self.spec, pods=self._more_pods(seen, order.goal, sizes))
        return facts

    def converge(self, share: float | None = None) -> Serving:
        """Bring the cluster to where the channels point; see `slipway.kubernetes.converge`."""
        goal = self._converge(lambda: self._order(share)).goal
        labels = {"stable": goal.stable, "canary": goal.canary}
        return Serving(
            frozenset(goal.versions),
            {label: version for label, version in labels.items() if version is not None},
        )

    def make_room(self) -> None:
        """As many pods for the canary as stable has, and no fewer than the spec says."""

        def order() -> Order:
            found = self._order(None)
            return replace(found, goal=replace(found.goal, full=True))

        self._converge(order)

    def reached_share(self) -> float | None:
        """By the ready endpoints of the entry Service, or the route's weights."""
        seen = Fleets(self.cluster, self.spec).look(self._order(None)).seen
        counted = seen.weights or seen.endpoints
        total = sum(counted.values())
        return counted.get(self.rollout.version, 0) / total if total else 0.0

    def counted_requests(self) -> float | None:
        """Of the version's pods, each asked through the API server."""
        rollout, namespace = self.rollout, self.kubernetes.namespace
        own = {names.MODEL_LABEL: rollout.model, names.VERSION_LABEL: str(rollout.version)}
        _, port, path = metrics_page(self.spec)
        counted = []
        for pod in filter(lives, self.cluster.list("Pod", namespace, labels=own)):
            endpoint = self.cluster.http(namespace, f"pods/{pod['metadata']['name']}", port)
            counted.append(counted_requests(endpoint, path, rollout.model))
        known = [each for each in counted if each is not None]
        return sum(known) if counted and len(known) == len(counted) else None

    def _converge(self, ordered: Callable[[], Order]) -> Order:
        within_seconds, patience_seconds = self._limits()
        return converge(
            Fleets(self.cluster, self.spec),
            ordered,
            sizes_of(self.kubernetes, self.spec.rollout),
            within_seconds=within_seconds,
            patience_seconds=patience_seconds,
            say=self.rollout.say,
        )

    def canary_endpoint(self) -> Endpoint:
        """The Service of the version's own pods, through the API server."""
        service = names.version_service(self.rollout.model, self.rollout.version)
        return self.service_endpoint(service)

    def predict_path(self, label: str) -> str:  # noqa: ARG002  # its pods have no labels
        """By version."""
        model, version = self.rollout.model, self.rollout.version
        if self.spec.serve.server == "triton":
            return kserve.infer_path(model, version)
        return f"/v1/models/{model}/versions/{version}:predict"

    def _limits(self) -> tuple[float, float | None]:
        """Seconds until it is too late, and until the pods are left to be waited for elsewhere."""
        within = float(self.kubernetes.available_within_seconds)
        parameters = self.rollout.parameters
        patience, until = parameters.patience_seconds, parameters.wait_until
        if patience is None or until is None:
            return within, patience
        left = min(within, until - time.time())
        # What may come after the pods, or what is to be said of them, takes a moment too.
        return (left, patience) if left > patience else (max(left, _LAST_SECONDS), None)

    def _order(self, share: float | None) -> Order:
        rollout = self.rollout
        stable, canary = rollout.channel("stable"), rollout.channel("canary")
        if canary is None or canary.version is None:
            share = 0.0
        elif share is None or not rollout.holds(canary):
            # What another rollout has given its canary is not ours to change.
            share = self._given_share()
        return Order(
            goal=Goal(
                stable.version if stable else None, canary.version if canary else None, share
            ),
            generations=(
                stable.generation if stable else 0,
                canary.generation if canary else 0,
            ),
            own=rollout.version,
            digests={
                channel.version: channel.digest
                for channel in (stable, canary)
                if channel and channel.version is not None and channel.digest is not None
            },
            rollout_id=rollout.parameters.rollout_id,
        )

    def _more_pods(self, seen: Seen, goal: Goal, sizes: Sizes) -> int:
        """How many more pods there are when this version's rollout is at its largest."""
        version = self.rollout.version
        there = seen.fleets.get(version)
        wanted = wanted_replicas(replace(goal, canary=version, full=True), seen, sizes, version)
        return max(0, wanted - (there.replicas if there else 0))

    def _given_share(self) -> float:
        route = route_of(self.cluster, self.spec)
        if route is not None:
            weights = weights_in(route, self.rollout.model)
            canary = self.rollout.channel("canary")
            given = weights.get((canary.version if canary else None) or 0, 0)
            return given / max(sum(weights.values()), 1)
        name = names.service(self.rollout.model)
        entry = self.cluster.get("Service", self.kubernetes.namespace, name)
        annotations = (entry["metadata"].get("annotations") or {}) if entry else {}
        try:
            return float(annotations.get(names.SHARE, 0))
        except ValueError:
            return 0.0


def sizes_of(kubernetes: KubernetesSpec, rollout: RolloutSpec) -> Sizes:
    """How many pods the spec asks for."""
    scaling = kubernetes.autoscaling
    full = kubernetes.replicas
    if scaling is not None:
        full = min(max(full, scaling.min_replicas), scaling.max_replicas)
    return Sizes(
        full=full,
        autoscaled=scaling is not None,
        canary_full=rollout.strategy == "blue_green",
        weighted=rollout.strategy == "canary" and rollout.canary.routing != "replicas",
    )
