"""What can be known to be wrong with a cluster before anything is touched there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.kubernetes.errors import OutdatedError
from slipway.kubernetes.kinds import KINDS
from slipway.kubernetes.spec import kubernetes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from slipway.kubernetes.client import Cluster
    from slipway.spec.kubernetes import KubernetesSpec
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
        TerminalError: The namespace, a permission, a secret or room in a quota is missing, or the
            API server refuses an object.
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
            *_quota_problems(cluster, kubernetes),
            *_refusals(cluster, namespace, objects),
        ]
    if problems:
        raise TerminalError(
            f"{spec.model} cannot be rolled out in namespace {namespace}: {'; '.join(problems)}",
            hint="correct this on the cluster or in the spec's serve.kubernetes; nothing was "
            "changed",
            subject=namespace,
            details={"problems": problems},
        )
    return {"namespace": namespace, "image": kubernetes.image, "strategy": spec.rollout.strategy}


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


def _quota_problems(cluster: Cluster, kubernetes: KubernetesSpec) -> Iterator[str]:
    from kubernetes.utils.quantity import parse_quantity

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
    aliases = {"cpu": "requests.cpu", "memory": "requests.memory"}
    for quota in cluster.list("ResourceQuota", kubernetes.namespace):
        status = quota.get("status", {})
        for name, hard in (status.get("hard") or {}).items():
            wanted = needed.get(aliases.get(name, name))
            left = parse_quantity(hard) - parse_quantity(status.get("used", {}).get(name, "0"))
            if wanted is not None and parse_quantity(wanted) > left:
                yield (
                    f"the quota {quota['metadata']['name']} leaves {left} of {name}, and one pod "
                    f"needs {wanted}"
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
