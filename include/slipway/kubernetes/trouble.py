"""What keeps the pods of a version from being ready, as far as the cluster tells."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from slipway.errors import TransientError
from slipway.kubernetes.diagnosis import (
    Trouble,
    deployment_trouble,
    event_trouble,
    pod_trouble,
    worst,
)
from slipway.kubernetes.objects import is_ready, lives, version_of
from slipway.serving.serve_config.plan import REST_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.kubernetes.client import Cluster


def version_trouble(
    cluster: Cluster,
    namespace: str,
    model: str,
    version: int,
    *,
    deployment: Mapping[str, Any] | None,
    pods: Iterable[dict[str, Any]],
    last: bool = False,
) -> Trouble | None:
    """What keeps the pods of a version from being ready; None if nothing is known.

    Args:
        cluster: Where.
        namespace: Where.
        model: The model.
        version: The version.
        deployment: Of the version.
        pods: Of the model.
        last: Whether to read events too, as nobody waits any longer.
    """

    def log(pod: str, container: str, previous: bool) -> str:  # as it is called
        return cluster.pod_logs(namespace, pod, container, previous=previous)

    def load_failure(pod: str) -> str:
        # DAGs are parsed with this module; only whoever looks needs an HTTP client.
        from slipway.rollout.server import ModelServer

        endpoint = cluster.http(namespace, f"pods/{pod}", REST_PORT)
        with ModelServer(endpoint) as server, suppress(TransientError):
            return server.look(model).failures.get(version, "")
        return ""

    waiting = [
        pod for pod in pods if version_of(pod) == version and not is_ready(pod) and lives(pod)
    ]
    found = [pod_trouble(pod, log, load_failure) for pod in waiting]
    found.append(deployment_trouble(deployment) if deployment else None)
    if last and not any(found):
        named = [pod["metadata"]["name"] for pod in waiting]
        found += [event_trouble(name, cluster.events_of(namespace, name)) for name in named]
    return worst(found)
