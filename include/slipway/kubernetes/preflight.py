"""What can be known to be wrong with a cluster before anything is touched there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.kubernetes import names
from slipway.kubernetes.errors import OutdatedError
from slipway.kubernetes.kinds import KINDS
from slipway.kubernetes.objects import lives, version_of
from slipway.kubernetes.spec import kubernetes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from slipway.kubernetes.client import Cluster
    from slipway.spec.model import ModelSpec

_WRITE = ("create", "patch")
_SERVICE_ACCOUNT_KEY = "service-account.json"


def permissions(spec: ModelSpec) -> list[tuple[str, str, str]]:
    """Verb, kind and subresource of everything that a rollout does in the namespace."""
    kubernetes = kubernetes_of(spec)
    rights = [
        *_each("Deployment", "get", "list", *_WRITE, "delete"),
        ("patch", "Deployment", "scale"),
        *_each("Service", "get", *_WRITE),
        *_each("ConfigMap", "get", *_WRITE),
        *_each("PodDisruptionBudget", *_WRITE),
        *_each("Pod", "list"),
        ("get", "Pod", "log"),
        ("get", "Pod", "proxy"),
        *_each("Event", "list"),
        *_each("EndpointSlice", "list"),
        ("get", "Service", "proxy"),
        ("create", "Service", "proxy"),
    ]
    if kubernetes.service_account is None:
        rights += _each("ServiceAccount", *_WRITE)
    if kubernetes.network_policy:
        rights += _each("NetworkPolicy", *_WRITE)
    if kubernetes.autoscaling is not None:
        rights += _each("HorizontalPodAutoscaler", "list", *_WRITE)
    if kubernetes.pod_monitor:
        rights += _each("PodMonitor", *_WRITE)
    if spec.rollout.strategy == "in_place":
        rights += _each("Pod", "patch")
    routes = {"gateway": "HTTPRoute", "istio": "VirtualService"}
    kind = routes.get(spec.rollout.canary.routing)
    if spec.rollout.strategy == "canary" and kind is not None:
        rights += _each(kind, "get", "patch")
    return rights


def check_cluster(
    cluster: Cluster, spec: ModelSpec, objects: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Check the cluster, and name all that is wrong in one message.

    Args:
        cluster: Where.
        spec: The model's spec.
        objects: What is going to be applied; the API server is asked whether it would take it.

    Returns:
        Facts for the details of preflight.

    Raises:
        TerminalError: The namespace, a permission or a secret is missing, another strategy's pods
            serve the model, or the API server refuses an object.
        TransientError: The API server does not answer.
    """
    kubernetes = kubernetes_of(spec)
    namespace = kubernetes.namespace
    problems = list(_namespace_problems(cluster, namespace))
    if not problems:
        denied = [
            f"may not {verb} {_resource(kind, sub)}"
            for verb, kind, sub in permissions(spec)
            if not cluster.may(verb, kind, namespace, sub)
        ]
        problems += denied or [
            *_secret_problems(cluster, spec),
            *_other_strategy(cluster, spec),
            *_refusals(cluster, namespace, objects),
        ]
    _refuse(spec, problems)
    return {"namespace": namespace, "image": kubernetes.image, "strategy": spec.rollout.strategy}


def check_room(cluster: Cluster, spec: ModelSpec, *, pods: int) -> None:
    """Check that the namespace's quotas have room for a rollout at its largest.

    Args:
        cluster: Where.
        spec: The model's spec.
        pods: How many more there will be.

    Raises:
        TerminalError: A quota has not.
    """
    _refuse(spec, list(_quota_problems(cluster, spec, pods)) if pods else [])


def _refuse(spec: ModelSpec, problems: Sequence[str]) -> None:
    if not problems:
        return
    namespace = kubernetes_of(spec).namespace
    raise TerminalError(
        f"{spec.model} cannot be rolled out in namespace {namespace}: {'; '.join(problems)}",
        hint="correct this on the cluster or in the spec's serve.kubernetes; nothing was changed",
        subject=namespace,
        details={"problems": list(problems)},
    )


def _namespace_problems(cluster: Cluster, namespace: str) -> Iterator[str]:
    try:
        found = cluster.get("Namespace", namespace, namespace)
    except TransientError:
        raise
    except SlipwayError:
        # Whoever may work in one namespace only need not be allowed to look at it.
        return
    if found is None:
        yield f"there is no namespace {namespace}"
    elif found.get("status", {}).get("phase") == "Terminating":
        yield f"the namespace {namespace} is being deleted"


def _secret_problems(cluster: Cluster, spec: ModelSpec) -> Iterator[str]:
    kubernetes = kubernetes_of(spec)
    name = kubernetes.credentials_secret
    if kubernetes.service_account is not None:
        account = _visible(
            cluster, "ServiceAccount", kubernetes.namespace, kubernetes.service_account
        )
        if account == {}:
            yield f"there is no service account {kubernetes.service_account}"
    if name is None:
        return
    found = _visible(cluster, "Secret", kubernetes.namespace, name)
    if found == {}:
        yield f"there is no secret {name} (serve.kubernetes.credentials_secret)"
    elif (
        found
        and spec.publish.base_uri.startswith("gs://")
        and _SERVICE_ACCOUNT_KEY not in (found.get("data") or {})
    ):
        yield f"the secret {name} has no key {_SERVICE_ACCOUNT_KEY}"


def _visible(cluster: Cluster, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    """The object, {} if there is none, None if we may not know."""
    if not cluster.may("get", kind, namespace):
        return None
    return cluster.get(kind, namespace, name) or {}


def _other_strategy(cluster: Cluster, spec: ModelSpec) -> Iterator[str]:
    """Clients of in_place name a label, which pods of one version do not have."""
    ours = {names.MODEL_LABEL: spec.model, names.MANAGED_BY_LABEL: names.MANAGER}
    in_place = spec.rollout.strategy == "in_place"
    found = [
        each["metadata"]["name"]
        for each in cluster.list("Deployment", kubernetes_of(spec).namespace, labels=ours)
        if bool(version_of(each)) == in_place
    ]
    if found:
        other = "canary or blue_green" if in_place else "in_place"
        yield (
            f"{', '.join(sorted(found))} serves the model by strategy {other}, whose clients ask "
            f"by other paths than those of {spec.rollout.strategy}: keep the strategy, move to "
            "another namespace, or delete that Deployment first"
        )


def _quota_problems(cluster: Cluster, spec: ModelSpec, pods: int) -> Iterator[str]:
    from kubernetes.utils.quantity import parse_quantity

    kubernetes = kubernetes_of(spec)
    if not cluster.may("list", "ResourceQuota", kubernetes.namespace):
        return
    resources = kubernetes.resources
    needed = {
        "pods": "1",
        "requests.cpu": resources.cpu_request or resources.cpu,
        "limits.cpu": resources.cpu,
        "requests.memory": resources.memory_request or resources.memory,
        "limits.memory": resources.memory,
        "requests.nvidia.com/gpu": str(resources.gpus),
    }
    found = cluster.list("Pod", kubernetes.namespace, labels={names.MODEL_LABEL: spec.model})
    # Those of the version before still count until they have drained.
    leaving = sum(not lives(pod) for pod in found)
    aliases = {"cpu": "requests.cpu", "memory": "requests.memory"}
    for quota in cluster.list("ResourceQuota", kubernetes.namespace):
        status = quota.get("status", {})
        for name, hard in (status.get("hard") or {}).items():
            wanted = needed.get(aliases.get(name, name))
            left = parse_quantity(hard) - parse_quantity(status.get("used", {}).get(name, "0"))
            if wanted is not None and (pods - leaving) * parse_quantity(wanted) > left:
                yield (
                    f"the quota {quota['metadata']['name']} leaves {left} of {name}, and the "
                    f"rollout needs {wanted} for each of {pods} more pods"
                )


def _refusals(cluster: Cluster, namespace: str, objects: Iterable[dict[str, Any]]) -> Iterator[str]:
    for wanted in objects:
        placed = {**wanted, "metadata": {"namespace": namespace, **wanted["metadata"]}}
        try:
            cluster.apply(placed, dry_run=True)
        except OutdatedError:
            continue
        except TerminalError as error:
            yield error.message


def _each(kind: str, *verbs: str) -> list[tuple[str, str, str]]:
    return [(verb, kind, "") for verb in verbs]


def _resource(kind: str, subresource: str) -> str:
    entry = KINDS[kind]
    name = f"{entry.plural}/{subresource}" if subresource else entry.plural
    return f"{name}.{entry.group}" if entry.group else name
