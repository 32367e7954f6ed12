"""The strategy in_place on a cluster: one Deployment follows the bucket, its labels move."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slipway.content import bytes_digest
from slipway.kubernetes import manifests, names
from slipway.kubernetes.diagnosis import deployment_trouble, pod_trouble, worst
from slipway.kubernetes.objects import lives, refuse_foreign, scaled_by_others
from slipway.kubernetes.preflight import check_cluster, check_room
from slipway.kubernetes.servers import ClusterServers
from slipway.kubernetes.spec import kubernetes_of
from slipway.rollout.config_file import Serving, read_serving
from slipway.rollout.converge import converge
from slipway.rollout.server import ModelServer, Seen
from slipway.serving.serve_config.plan import REST_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slipway.kubernetes.client import Cluster
    from slipway.rollout.endpoint import Endpoint
    from slipway.spec.model import ModelSpec

CONFIG_KEY = "models.config"
_SEEN_CONFIG = "slipway.dev/config"


class ConfigMapFile:
    """The model config file of the pods, as the ConfigMap that it is mounted from.

    Args:
        cluster: Where.
        spec: The model's spec.
    """

    def __init__(self, cluster: Cluster, spec: ModelSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._namespace = kubernetes_of(spec).namespace
        self._name = f"{names.service(spec.model)}-config"
        self._known: str = ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nothing to hold: a write is refused if somebody else has written since the read."""
        yield

    def read(self, model: str) -> Serving:
        """What the ConfigMap says; nothing if there is none."""
        found = self._cluster.get("ConfigMap", self._namespace, self._name)
        self._known = found["metadata"]["resourceVersion"] if found else ""
        return read_serving(found["data"][CONFIG_KEY], model) if found else Serving()

    def write(self, model: str, base_path: str, serving: Serving) -> None:  # noqa: ARG002  # known to the manifests
        """Apply all of the model's objects, and wake the kubelets, which else look each minute.

        Raises:
            TransientError: Somebody else wrote first.
        """
        made = manifests.in_place_objects(self._spec, serving)
        config = next(each for each in made if _is_config(each, self._name))
        self._cluster.apply(config, expect=self._known)
        for found in (*manifests.shared_objects(self._spec), *made):
            if found["kind"] == "Deployment":
                self._apply_deployment(found)
            elif not _is_config(found, self._name):
                self._cluster.apply(found)
        digest = bytes_digest(config["data"][CONFIG_KEY].encode())
        for pod in _pods(self._cluster, self._namespace, model):
            body = {"metadata": {"annotations": {_SEEN_CONFIG: digest[:16]}}}
            self._cluster.patch("Pod", self._namespace, pod["metadata"]["name"], body)

    def _apply_deployment(self, wanted: dict[str, Any]) -> None:
        """Its scale is set apart, as long as nobody else sets it: an autoscaler goes on with it."""
        replicas = wanted["spec"].pop("replicas", 1)
        made = self._cluster.apply(wanted)
        scaled = made["spec"].get("replicas", 1) == replicas
        if not scaled and not scaled_by_others(made):
            self._cluster.patch(
                "Deployment",
                self._namespace,
                made["metadata"]["name"],
                {"spec": {"replicas": replicas}},
                subresource="scale",
            )


class PodServers:
    """The servers of all pods, seen as one: what not every one of them serves is not served.

    Args:
        cluster: Where.
        spec: The model's spec.
    """

    def __init__(self, cluster: Cluster, spec: ModelSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._namespace = kubernetes_of(spec).namespace
        self.url = f"the pods of {spec.model} in namespace {self._namespace}"

    def look(self, model: str, labels: Iterable[str] = ()) -> Seen:
        """What all pods serve alike, and what any of them could not load.

        Raises:
            TerminalError: A pod cannot become ready, and why.
            TransientError: A pod gives no status, or the Deployment is not there as it should be.
        """
        pods = _pods(self._cluster, self._namespace, model)
        name = names.service(model)
        deployment = self._cluster.get("Deployment", self._namespace, name)
        if deployment is None:
            return Seen(up=False)
        trouble = worst(
            [*(pod_trouble(pod, self._log) for pod in pods), deployment_trouble(deployment)]
        )
        if trouble is not None and trouble.hopeless:
            raise trouble.error(model)
        replicas = int(deployment["spec"].get("replicas", 1))
        running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        if len(running) < replicas:
            return Seen(up=False)
        return _alike([self._look_at(pod["metadata"]["name"], model, labels) for pod in running])

    def _look_at(self, pod: str, model: str, labels: Iterable[str]) -> Seen:
        endpoint = self._cluster.http(self._namespace, f"pods/{pod}", REST_PORT)
        with ModelServer(endpoint) as server:
            return server.look(model, labels)

    def _log(self, pod: str, container: str, previous: bool) -> str:  # as Kubernetes names it
        return self._cluster.pod_logs(self._namespace, pod, container, previous=previous)


class InPlaceServers(ClusterServers):
    """One model on one cluster, all versions in the same pods."""

    def check(self) -> dict[str, Any]:
        """Reachable, allowed, and all that the pods refer to is there; see `check_cluster`."""
        objects = manifests.in_place_objects(self.spec, self.rollout.wanted())
        facts = check_cluster(self.cluster, self.spec, objects)
        self._refuse_foreign()
        name, namespace = names.service(self.spec.model), self.kubernetes.namespace
        there = self.cluster.get("Deployment", namespace, name)
        replicas = int(there["spec"].get("replicas", 1)) if there else 0
        pods = max(0, self.kubernetes.replicas - replicas)
        check_room(self.cluster, self.spec, pods=pods)
        return facts

    def converge(self, share: float | None = None) -> Serving:  # noqa: ARG002  # clients choose the label
        """Follow the channels with the ConfigMap and every pod; see `slipway.rollout.converge`."""
        self._refuse_foreign()
        rollout, kubernetes = self.rollout, self.kubernetes
        served = converge(
            rollout.model,
            "",
            rollout.wanted,
            file=ConfigMapFile(self.cluster, self.spec),
            server=PodServers(self.cluster, self.spec),
            within_seconds=kubernetes.available_within_seconds,
            say=rollout.say,
        )
        name = names.service(rollout.model)
        selector = {names.MODEL_LABEL: rollout.model, names.INSTANCE_LABEL: name}
        self.cluster.apply(manifests.entry_service(self.spec, selector))
        rollout.say(f"the Service {kubernetes.namespace}/{name} leads to its pods")
        return served

    def make_room(self) -> None:
        """Nothing: every pod has both versions in memory."""

    def reached_share(self) -> float | None:
        """None."""
        return None

    def counted_requests(self) -> float | None:
        """None: the servers' counters hold stable's requests too."""
        return None

    def canary_endpoint(self) -> Endpoint:
        """The Service of all pods, through the API server: every one of them has the version."""
        return self.service_endpoint(names.service(self.rollout.model))

    def predict_path(self, label: str) -> str:
        """By label."""
        return f"/v1/models/{self.rollout.model}/labels/{label}:predict"

    def _refuse_foreign(self) -> None:
        name = names.service(self.spec.model)
        refuse_foreign(self.cluster.get("Service", self.kubernetes.namespace, name))


def _alike(seen: list[Seen]) -> Seen:
    states: dict[int, str] = {}
    failures: dict[int, str] = {}
    for each in seen:
        failures |= each.failures
        for version, state in each.states.items():
            # What one pod still loads or unloads, the model as a whole does.
            if states.get(version, "AVAILABLE") == "AVAILABLE":
                states[version] = state
    everywhere = {version for version in states if all(version in each.states for each in seen)}
    for version in set(states) - everywhere:
        states[version] = "START"
    labels = dict(seen[0].labels) if seen else {}
    for each in seen[1:]:
        labels = {name: v for name, v in labels.items() if each.labels.get(name) == v}
    return Seen(states, failures, labels, up=bool(seen) and all(each.up for each in seen))


def _pods(cluster: Cluster, namespace: str, model: str) -> list[dict[str, Any]]:
    own = {names.MODEL_LABEL: model, names.INSTANCE_LABEL: names.service(model)}
    found = cluster.list("Pod", namespace, labels=own)
    return [pod for pod in found if lives(pod)]


def _is_config(found: dict[str, Any], name: str) -> bool:
    return (found["kind"], found["metadata"]["name"]) == ("ConfigMap", name)
