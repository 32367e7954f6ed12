"""The smallest things that tests put on a cluster, and what they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.kubernetes.cluster import Cluster

WEB_PORT = 8080
# The strictest that Kubernetes' own "restricted" policy asks for.
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 50001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(image: str, command: Sequence[str], **more: Any) -> dict[str, Any]:
    """A container that may do nothing that it need not."""
    return {
        "name": "main",
        "image": image,
        "command": list(command),
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}},
        "securityContext": RESTRICTED,
        **more,
    }


def web_server(image: str, name: str, folder: str = "/opt/slipway") -> dict[str, Any]:
    """A pod that serves a folder of its image and is ready when it answers."""
    command = ["python3", "-m", "http.server", str(WEB_PORT), "--directory", folder]
    probe = {"httpGet": {"path": "/", "port": WEB_PORT}, "periodSeconds": 1}
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [container(image, command, readinessProbe=probe)],
        },
    }


def node_port_service(name: str, port: int = 80) -> dict[str, Any]:
    """A Service for the pods of that label."""
    ports = [{"port": port, "targetPort": WEB_PORT}]
    spec = {"type": "NodePort", "selector": {"app": name}, "ports": ports}
    return {"metadata": {"name": name}, "spec": spec}


def until_ready(cluster: Cluster, namespace: str, name: str, seconds: float = 60) -> Any:
    """Waits until a pod is ready.

    Returns:
        The pod.
    """
    from kubernetes import client

    core = client.CoreV1Api(cluster.api)

    def ready() -> Any:
        pod = core.read_namespaced_pod(name, namespace)
        conditions = pod.status.conditions or []
        return pod if any(c.type == "Ready" and c.status == "True" for c in conditions) else None

    return until(ready, f"pod {namespace}/{name} is ready", seconds)


def pod_log(cluster: Cluster, namespace: str, name: str) -> str:
    """What a pod has printed so far."""
    from kubernetes import client

    # What the client makes of the answer by itself is the text of a bytes object.
    answer = client.CoreV1Api(cluster.api).read_namespaced_pod_log(
        name, namespace, _preload_content=False
    )
    return str(answer.data.decode())


def until_ended(cluster: Cluster, namespace: str, name: str, seconds: float = 60) -> Any:
    """Waits until all containers of a pod have ended.

    Returns:
        The pod, whose phase is Succeeded or Failed.
    """
    from kubernetes import client

    core = client.CoreV1Api(cluster.api)

    def ended() -> Any:
        pod = core.read_namespaced_pod(name, namespace)
        return pod if pod.status.phase in {"Succeeded", "Failed"} else None

    return until(ended, f"pod {namespace}/{name} has ended", seconds)
