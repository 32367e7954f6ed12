"""What a container is given and what is reserved for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway.spec.kubernetes import ResourcesSpec

GPU = "nvidia.com/gpu"


def container_resources(wanted: ResourcesSpec) -> dict[str, Any]:
    """Limits, and requests that are as large unless the spec says less; GPUs are never shared."""
    gpus = {GPU: str(wanted.gpus)} if wanted.gpus else {}
    return {
        "requests": {
            "cpu": wanted.cpu_request or wanted.cpu,
            "memory": wanted.memory_request or wanted.memory,
            **gpus,
        },
        "limits": {"cpu": wanted.cpu, "memory": wanted.memory, **gpus},
    }
