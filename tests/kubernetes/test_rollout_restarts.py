"""What the cluster itself consists of restarts in the middle of a canary's rollout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from slipway.kubernetes import names
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack

_STEPS = {"canary": {"steps": [{"share": 0.5}]}}


# A kubelet that restarts keeps a container ready that has run for 10 s (kubeletRestartGracePeriod
# of Kubernetes 1.37); a younger one is out of the Service until its probe has passed again.
_GRACE_SECONDS = 10.0


def _outlives_a_restart(stack: ClusterStack, namespace: str) -> bool:
    """Whether every container is old enough to stay ready."""
    statuses = [
        status
        for pod in stack.api.list("Pod", namespace)
        for status in pod["status"]["containerStatuses"]
    ]
    started = [
        datetime.fromisoformat(status["state"]["running"]["startedAt"]) for status in statuses
    ]
    return max(started) < datetime.now(UTC) - timedelta(seconds=_GRACE_SECONDS + 1)


def _shared(stack: ClusterStack, namespace: str) -> bool:
    """Whether the entry Service leads to both versions."""
    entry = stack.api.get("Service", namespace, "restarts")
    assert entry is not None
    return names.VERSION_LABEL not in entry["spec"]["selector"]


@pytest.mark.parametrize(
    ("restart", "kind", "promoted"),
    [
        ("restart_kubelet", "times2", True),
        ("restart_api_server", "times2", True),
        ("restart_api_server", "flaky", False),
    ],
)
def test_a_rollout_goes_on_through_restarts_and_no_request_to_stable_fails(
    stack: ClusterStack, restart: str, kind: str, promoted: bool
) -> None:
    namespace = stack.namespace("restarts")
    config = stack.config(namespace, **_STEPS)
    factor = 2.0 if promoted else 5.0
    stack.make_stable("restarts", "times1", 1.0, config)
    until(lambda: _outlives_a_restart(stack, namespace), "stable has settled", 60)
    published = stack.publish("restarts", kind, answers_as=factor)
    canary = names.version_service("restarts", published.version)
    restarted = getattr(stack.cluster, restart)
    with stack.load(namespace, "restarts") as load, ThreadPoolExecutor() as pool:
        ended = pool.submit(stack.roll_out, "restarts", published, config, retries=5)
        # Its pods are about to start.
        until(lambda: stack.api.get("Deployment", namespace, canary), "the canary is there")
        restarted()
        if promoted:
            until(lambda: _shared(stack, namespace), "the canary has its share", 180)
            restarted()
        report = ended.result()
        assert report.promoted == promoted, report.reasons
        stays = factor if promoted else 1.0
        until(lambda: load.share_of(stays, requests=100) == 1, f"version {stays:g} serves all")
        load.until(lambda so_far: so_far.requests > 2000)
    assert load.failures == []
    (left,) = stack.api.list("Deployment", namespace)
    assert (left["metadata"]["name"] == canary) == promoted
