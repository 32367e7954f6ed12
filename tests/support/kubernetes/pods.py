"""The smallest things that tests put on a cluster, and what they wait for."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.kubernetes.cluster import Cluster

WEB_PORT = 8080
REST_PORT = 8501
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


def node_port_service(name: str, *, port: int = 80, target: int = WEB_PORT) -> dict[str, Any]:
    """A Service for the pods of that label."""
    ports = [{"port": port, "targetPort": target}]
    spec = {"type": "NodePort", "selector": {"app": name}, "ports": ports}
    return {"metadata": {"name": name}, "spec": spec}


def model_server(image: str, name: str, model: dict[str, Any]) -> dict[str, Any]:
    """A pod that serves one version of a model, and is ready when the server knows it.

    Args:
        image: Of the server.
        name: Of the pod and of the model.
        model: Volume with the version's files.
    """
    base = f"/models/{name}"
    command = ["tensorflow_model_server", f"--rest_api_port={REST_PORT}", f"--model_name={name}"]
    probe = {"httpGet": {"path": f"/v1/models/{name}", "port": REST_PORT}, "periodSeconds": 1}
    server = container(
        image,
        [*command, f"--model_base_path={base}"],
        readinessProbe=probe,
        resources={"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "100m"}},
        volumeMounts=[
            {"name": model["name"], "mountPath": f"{base}/1"},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    )
    volumes = [model, {"name": "scratch", "emptyDir": {}}]
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [server], "volumes": volumes},
    }


def write_doubling_model(folder: Path) -> Path:
    """Writes a SavedModel whose answer is twice its input, of two numbers."""
    import tensorflow as tf

    module = tf.Module()
    signature = tf.function(
        lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")]
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return folder


def config_map_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A folder of less than a megabyte as a ConfigMap, and a volume that shows it as it is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    data = {f"file-{n}": b64encode(path.read_bytes()).decode() for n, path in enumerate(files)}
    items = [
        {"key": f"file-{n}", "path": str(path.relative_to(folder))} for n, path in enumerate(files)
    ]
    config_map = {"metadata": {"name": "files"}, "binaryData": data}
    return config_map, {"name": "files", "configMap": {"name": "files", "items": items}}


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
