"""One model on one cluster, a Deployment a version: what is there, and changes to it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slipway.content import bytes_digest
from slipway.errors import TerminalError, TransientError
from slipway.kubernetes import manifests, names
from slipway.kubernetes.diagnosis import (
    Trouble,
    deployment_trouble,
    event_trouble,
    pod_trouble,
    worst,
)
from slipway.kubernetes.goal import (
    Apply,
    Autoscale,
    Fleet,
    Goal,
    Retire,
    Scale,
    Seen,
    Select,
    Selection,
    Weigh,
)
from slipway.kubernetes.routes import route_of, weights_in, with_weights
from slipway.kubernetes.spec import kubernetes_of
from slipway.rollout.server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.kubernetes.client import Cluster
    from slipway.kubernetes.goal import Change
    from slipway.spec.model import ModelSpec

APPLIED = "slipway.dev/applied"
SERVED_STABLE = "slipway.dev/stable"
REST_PORT = 8501


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


class Fleets:
    """The Deployments, the entry Service and the route of one model.

    Args:
        cluster: Where.
        spec: The model's spec.
    """

    def __init__(self, cluster: Cluster, spec: ModelSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._kubernetes = kubernetes_of(spec)
        self.model = spec.model
        self.namespace = self._kubernetes.namespace
        self._rendered: dict[int, tuple[str, list[dict[str, Any]]]] = {}

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
        self._refuse_newer(entry, order)
        route = route_of(self._cluster, self._spec)
        listed = self._cluster.list("Deployment", self.namespace, labels=self._labels)
        deployments = {_version(found): found for found in listed if _version(found)}
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
            served_stable=_number(_annotation(entry, SERVED_STABLE)),
            endpoints=self._endpoints(pods) if entry else {},
            weights=weights_in(route, self._spec.model) if route else {},
        )
        return Observed(seen, deployments, entry, route, tuple(pods))

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
        waiting = [
            pod
            for pod in observed.pods
            if _version(pod) == version and not _is_ready(pod) and lives(pod)
        ]
        found = [
            pod_trouble(pod, self._log, lambda name: self._load_failure(name, version))
            for pod in waiting
        ]
        deployment = observed.deployments.get(version)
        found.append(deployment_trouble(deployment) if deployment else None)
        if last and not any(found):
            names_of = [pod["metadata"]["name"] for pod in waiting]
            found += [
                event_trouble(name, self._cluster.events_of(self.namespace, name))
                for name in names_of
            ]
        return worst(found)

    def objects(self, version: int, digest: str) -> list[dict[str, Any]]:
        """What a version consists of on the cluster, its Deployment first; without its scale."""
        made = manifests.version_objects(self._spec, version, digest, replicas=1)
        made = [found for found in made if found["kind"] != "HorizontalPodAutoscaler"]
        for found in made:
            if found["kind"] == "Deployment":
                found["spec"].pop("replicas", None)
        return sorted(made, key=lambda found: found["kind"] != "Deployment")

    def _fleet(
        self,
        version: int,
        found: dict[str, Any],
        scalers: frozenset[str],
        order: Order,
    ) -> Fleet:
        spec, status = found["spec"], found.get("status", {})
        replicas = int(spec.get("replicas", 1))
        ready = int(status.get("readyReplicas") or 0)
        followed = int(status.get("observedGeneration") or 0) >= found["metadata"]["generation"]
        updated = int(status.get("updatedReplicas") or 0)
        settled = followed and updated == replicas == ready == int(status.get("replicas") or 0)
        return Fleet(
            replicas=replicas,
            # While the template changes, pods of the old one are ready too, but not what is meant.
            ready=min(ready, updated) if followed else 0,
            settled=settled,
            current=version != order.own or self._is_current(version, found, order),
            autoscaler=found["metadata"]["name"] in scalers,
            foreign_scale=scaled_by_others(found),
        )

    def _is_current(self, version: int, found: dict[str, Any], order: Order) -> bool:
        return (
            _annotation(found, APPLIED) == self._render(version, order)[0]
            and _annotation(found, names.GENERATION) == order.stamp
        )

    def _render(self, version: int, order: Order) -> tuple[str, list[dict[str, Any]]]:
        if version not in self._rendered:
            made = self.objects(version, order.digests.get(version, ""))
            text = json.dumps(made, sort_keys=True).encode()
            self._rendered[version] = (bytes_digest(text), made)
        return self._rendered[version]

    def _apply(self, version: int, order: Order) -> None:
        for found in manifests.shared_objects(self._spec):
            self._cluster.apply(self._placed(found))
        applied, (deployment, *others) = self._render(version, order)
        stamp, placed = self._stamp(order), self._placed(deployment)
        made = self._cluster.apply(_annotated(placed, stamp))
        # The garbage collector then takes them with the Deployment, however this process ends.
        for found in others:
            self._cluster.apply(_owned(self._placed(found), made))
        # Last: only then nothing is left to apply.
        self._cluster.apply(_annotated(placed, {**stamp, APPLIED: applied}))

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
        wanted = _annotated(
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
                self._cluster.apply(_owned(self._placed(found), deployment))

    def _scalers(self) -> frozenset[str]:
        if self._kubernetes.autoscaling is None:
            return frozenset()
        found = self._cluster.list("HorizontalPodAutoscaler", self.namespace, labels=self._labels)
        return frozenset(each["spec"]["scaleTargetRef"]["name"] for each in found)

    def _endpoints(self, pods: list[dict[str, Any]]) -> dict[int, int]:
        versions = {pod["metadata"]["name"]: _version(pod) for pod in pods}
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

    def _refuse_newer(self, entry: dict[str, Any] | None, order: Order) -> None:
        written = _generations(_annotation(entry, names.GENERATION))
        if any(theirs > ours for theirs, ours in zip(written, order.generations, strict=True)):
            raise TerminalError(
                f"{self._spec.model}: a newer rollout ({_annotation(entry, names.ROLLOUT)}) has "
                f"written the Service {names.service(self._spec.model)} since",
                hint="nothing was changed; start a new rollout if this version should still go out",
                subject=names.service(self._spec.model),
                details={"written": written, "own": order.generations},
            )

    def _stamp(self, order: Order) -> dict[str, str]:
        return {names.GENERATION: order.stamp, names.ROLLOUT: order.rollout_id}

    def _placed(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {**found, "metadata": {"namespace": self.namespace, **found["metadata"]}}

    def _log(self, pod: str, container: str, previous: bool) -> str:  # as Kubernetes names it
        return self._cluster.pod_logs(self.namespace, pod, container, previous=previous)

    def _load_failure(self, pod: str, version: int) -> str:
        endpoint = self._cluster.http(self.namespace, f"pods/{pod}", REST_PORT)
        with ModelServer(endpoint) as server, suppress(TransientError):
            return server.look(self._spec.model).failures.get(version, "")
        return ""


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


def _annotated(found: dict[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    metadata = found["metadata"]
    merged = {**metadata.get("annotations", {}), **annotations}
    return {**found, "metadata": {**metadata, "annotations": merged}}


def _owned(found: dict[str, Any], owner: Mapping[str, Any]) -> dict[str, Any]:
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**found, "metadata": {**found["metadata"], "ownerReferences": [reference]}}


def _version(found: Mapping[str, Any]) -> int:
    return _number((found["metadata"].get("labels") or {}).get(names.VERSION_LABEL)) or 0


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _annotation(found: Mapping[str, Any] | None, name: str) -> str:
    annotations = found["metadata"].get("annotations") if found else None
    return str((annotations or {}).get(name, ""))


def _generations(text: str) -> tuple[int, int]:
    stable, _, canary = text.partition(".")
    return _number(stable) or 0, _number(canary) or 0


def _selection(entry: dict[str, Any] | None) -> Selection:
    if entry is None:
        return None
    selector = entry["spec"].get("selector") or {}
    return _number(selector.get(names.VERSION_LABEL)) or "all"


def _is_ready(pod: Mapping[str, Any]) -> bool:
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
