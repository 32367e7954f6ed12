"""How versions come into a pod: by `slipway sync`, unless the server itself reads gs://."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes.manifests.security import confined
from slipway.serving.serve_config.plan import FOLLOWED_FOLDER, REST_PORT

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.fleet import ServedFleet

SYNC_PORT = 9180
KEY_FILE = "service-account.json"

_KEY_FOLDER = "/etc/slipway/credentials"
_MODELS = {"name": "models", "mountPath": FOLLOWED_FOLDER}
_TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - of the container, an emptyDir
# docs/sync.md: below 100 MB, whatever the size of the model.
_RESOURCES = {
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"cpu": "1", "memory": "256Mi"},
}


def init_containers(fleet: ServedFleet) -> list[dict[str, Any]]:
    """What fills the folder before the server starts, and keeps it in step where that is needed."""
    if fleet.is_direct:
        return []
    folder = f"{FOLLOWED_FOLDER}/{fleet.spec.model}"
    follow = ["slipway", "sync", fleet.plan.bucket, folder]
    if fleet.version is not None:
        once = [*follow, "--once", "--version", str(fleet.version)]
        return [_sync(fleet, "sync", [*once, "--triton"] if fleet.is_triton else once)]
    status = f"http://127.0.0.1:{REST_PORT}/v1/models/{fleet.spec.model}"
    pages = ["--host", "0.0.0.0", "--port", str(SYNC_PORT)]  # noqa: S104 - in a pod
    sidecar = {
        **_sync(fleet, "sync", [*follow, *pages, "--status-url", status]),
        "restartPolicy": "Always",
        "ports": [{"name": "sync", "containerPort": SYNC_PORT, "protocol": "TCP"}],
        "startupProbe": {**_healthy(), "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**_healthy(), "periodSeconds": 10, "failureThreshold": 3},
    }
    return [_sync(fleet, "fill", [*follow, "--once"]), sidecar]


def server_environment(fleet: ServedFleet) -> list[dict[str, str]]:
    """Variables of the server: of interest only to one that reads the bucket itself."""
    if not fleet.is_direct:
        return []
    return _variables({**fleet.kubernetes.environment, **_key(fleet)})


def server_mounts(fleet: ServedFleet) -> list[dict[str, Any]]:
    """What the server reads of the bucket, or needs to read it."""
    if not fleet.is_direct:
        return [{**_MODELS, "readOnly": True}]
    return _key_mounts(fleet)


def volumes(fleet: ServedFleet) -> list[dict[str, Any]]:
    """The folder of versions, or the key that opens the bucket."""
    found: list[dict[str, Any]] = [] if fleet.is_direct else [{"name": "models", "emptyDir": {}}]
    if _key(fleet):
        secret = fleet.kubernetes.credentials_secret
        key = {"secretName": secret, "items": [{"key": KEY_FILE, "path": KEY_FILE}]}
        found.append({"name": "credentials", "secret": {**key, "defaultMode": 0o440}})
    return found


def _sync(fleet: ServedFleet, name: str, command: list[str]) -> dict[str, Any]:
    kubernetes = fleet.kubernetes
    secret = kubernetes.credentials_secret
    found: dict[str, Any] = {
        "name": name,
        "image": kubernetes.sync_image,
        "command": command,
        "resources": _RESOURCES,
        "securityContext": confined(),
        "volumeMounts": [_MODELS, _TMP, *_key_mounts(fleet)],
    }
    environment = {**kubernetes.environment, **_key(fleet)}
    if environment:
        found["env"] = _variables(environment)
    if secret is not None and not _key(fleet):
        found["envFrom"] = [{"secretRef": {"name": secret}}]
    return found


def _key(fleet: ServedFleet) -> dict[str, str]:
    """The variable that names the file with Google's key, where the secret holds one."""
    if fleet.kubernetes.credentials_secret is None or fleet.plan.reading.scheme != "gs":
        return {}
    return {"GOOGLE_APPLICATION_CREDENTIALS": f"{_KEY_FOLDER}/{KEY_FILE}"}


def _key_mounts(fleet: ServedFleet) -> list[dict[str, Any]]:
    if not _key(fleet):
        return []
    return [{"name": "credentials", "mountPath": _KEY_FOLDER, "readOnly": True}]


def _healthy() -> dict[str, Any]:
    return {"httpGet": {"path": "/healthz", "port": "sync"}, "timeoutSeconds": 5}


def _variables(given: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(given.items())]
