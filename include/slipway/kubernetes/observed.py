"""What is ordered of a cluster, and what it holds of a model with a Deployment a version."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.kubernetes import names
from slipway.kubernetes.goal import Fleet, Goal, Seen, Selection
from slipway.kubernetes.objects import (
    annotation,
    is_settled,
    number,
    ready_replicas,
    refuse_foreign,
    scaled_by_others,
    version_of,
)
from slipway.kubernetes.routes import route_of, weights_in
from slipway.kubernetes.spec import kubernetes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.kubernetes.client import Cluster
    from slipway.kubernetes.rendered import Rendered
    from slipway.spec.model import ModelSpec

SERVED_STABLE = "slipway.dev/stable"


@dataclass(frozen=True)
class Order:
    """What the channels say at one moment, and how new that is.

    Attributes:
        goal: What is to be served.
        generations: Of the channels stable and canary.
        own: The version that is being rolled out, whose objects are brought to the spec.
        digests: Of the versions' content.
        rollout_id: Whose order it is.
    """

    goal: Goal
    generations: tuple[int, int]
    own: int
    digests: Mapping[int, str]
    rollout_id: str

    @property
    def stamp(self) -> str:
        """The generations as the annotation that fences every write."""
        return ".".join(str(generation) for generation in self.generations)


@dataclass(frozen=True)
class Observed:
    """What a cluster held at one moment: the picture, and the objects behind it.

    Attributes:
        seen: For `next_change`.
        deployments: By version.
        entry: The entry Service, if there is one.
        route: The HTTPRoute or VirtualService, if the spec names one.
        pods: Of the model.
    """

    seen: Seen
    deployments: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    entry: dict[str, Any] | None = None
    route: dict[str, Any] | None = None
    pods: tuple[dict[str, Any], ...] = ()


class Observer:
    """Looks at one model on one cluster.

    Args:
        cluster: Where.
        spec: The model's spec.
        rendered: The versions' objects.
    """

    def __init__(self, cluster: Cluster, spec: ModelSpec, rendered: Rendered) -> None:
        self._cluster = cluster
        self._spec = spec
        self._kubernetes = kubernetes_of(spec)
        self._rendered = rendered
        self.namespace = self._kubernetes.namespace

    @cached_property
    def _labels(self) -> dict[str, str]:
        return {names.MODEL_LABEL: self._spec.model, names.MANAGED_BY_LABEL: names.MANAGER}

    def look(self, order: Order) -> Observed:
        """See what is there.

        Raises:
            TerminalError: The entry Service is somebody else's, or a newer rollout has written it.
            SlipwayError: As the API answers.
        """
        entry = self._cluster.get("Service", self.namespace, names.service(self._spec.model))
        refuse_foreign(entry)
        _refuse_newer(self._spec, entry, order)
        route = route_of(self._cluster, self._spec)
        listed = self._cluster.list("Deployment", self.namespace, labels=self._labels)
        deployments = {version_of(found): found for found in listed if version_of(found)}
        pods = self._cluster.list(
            "Pod", self.namespace, labels={names.MODEL_LABEL: self._spec.model}
        )
        scalers = self._scalers()
        seen = Seen(
            fleets={
                version: self._fleet(version, found, scalers, order)
                for version, found in deployments.items()
            },
            selection=_selection(entry),
            served_stable=number(annotation(entry, SERVED_STABLE)),
            endpoints=self._endpoints(pods) if entry else {},
            weights=weights_in(route, self._spec.model) if route else {},
        )
        return Observed(seen, deployments, entry, route, tuple(pods))

    def _fleet(
        self,
        version: int,
        found: dict[str, Any],
        scalers: frozenset[str],
        order: Order,
    ) -> Fleet:
        return Fleet(
            replicas=int(found["spec"].get("replicas", 1)),
            ready=ready_replicas(found),
            settled=is_settled(found),
            current=version != order.own or self._rendered.is_current(version, found, order),
            autoscaler=found["metadata"]["name"] in scalers,
            foreign_scale=scaled_by_others(found),
        )

    def _scalers(self) -> frozenset[str]:
        if self._kubernetes.autoscaling is None:
            return frozenset()
        found = self._cluster.list("HorizontalPodAutoscaler", self.namespace, labels=self._labels)
        return frozenset(each["spec"]["scaleTargetRef"]["name"] for each in found)

    def _endpoints(self, pods: list[dict[str, Any]]) -> dict[int, int]:
        versions = {pod["metadata"]["name"]: version_of(pod) for pod in pods}
        counted: dict[int, int] = {}
        slices = self._cluster.list(
            "EndpointSlice",
            self.namespace,
            labels={"kubernetes.io/service-name": names.service(self._spec.model)},
        )
        for endpoint in (each for found in slices for each in found.get("endpoints") or ()):
            version = versions.get((endpoint.get("targetRef") or {}).get("name", ""))
            if version and (endpoint.get("conditions") or {}).get("ready"):
                counted[version] = counted.get(version, 0) + 1
        return counted


def _refuse_newer(spec: ModelSpec, entry: dict[str, Any] | None, order: Order) -> None:
    written = _generations(annotation(entry, names.GENERATION))
    if any(theirs > ours for theirs, ours in zip(written, order.generations, strict=True)):
        raise TerminalError(
            f"{spec.model}: a newer rollout ({annotation(entry, names.ROLLOUT)}) has "
            f"written the Service {names.service(spec.model)} since",
            hint="nothing was changed; start a new rollout if this version should still go out",
            subject=names.service(spec.model),
            details={"written": written, "own": order.generations},
        )


def _generations(text: str) -> tuple[int, int]:
    stable, _, canary = text.partition(".")
    return number(stable) or 0, number(canary) or 0


def _selection(entry: dict[str, Any] | None) -> Selection:
    if entry is None:
        return None
    selector = entry["spec"].get("selector") or {}
    return number(selector.get(names.VERSION_LABEL)) or "all"
