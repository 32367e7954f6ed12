"""What pods and containers may do: nothing that a model server does not need."""

from __future__ import annotations

from typing import Any

# Of docker/sync.Dockerfile; TensorFlow Serving's image runs as any user.
_USER = 50001


def unprivileged() -> dict[str, Any]:
    """Of a pod. Numeric, as kubelet cannot tell from a name that a user is not root."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def confined() -> dict[str, Any]:
    """Of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
