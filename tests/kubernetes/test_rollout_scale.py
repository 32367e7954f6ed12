"""Replicas: what an autoscaler or a person set stays, and the rest follows the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.rollout.deploy import deploy
from slipway.rollout.promote import promote
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack


def test_scaled_by_others_up_and_down_without_a_failed_request(stack: ClusterStack) -> None:
    from kubernetes import client

    namespace = stack.namespace("scale")
    scaling = {"autoscaling": {"min_replicas": 1, "max_replicas": 4}, "replicas": 1}
    config = stack.config(namespace, kubernetes=scaling)
    stack.make_stable("scaled", "times1", 1.0, config)
    apps = client.AppsV1Api(stack.cluster.api)

    def deployment(version: int) -> dict[str, Any]:
        found = stack.api.get("Deployment", namespace, f"scaled-v{version}")
        assert found is not None
        return found

    def ready(version: int, replicas: int) -> bool:
        return bool(deployment(version)["status"].get("readyReplicas") == replicas)

    def scale(version: int, replicas: int) -> None:
        # As the autoscaler does it: by the scale subresource, as another manager.
        body = {"spec": {"replicas": replicas}}
        apps.patch_namespaced_deployment_scale(
            f"scaled-v{version}", namespace, body, field_manager="horizontal-pod-autoscaler"
        )
        until(lambda: ready(version, replicas), f"version {version} has {replicas} pods", 120)

    with stack.load(namespace, "scaled") as load:
        load.until(lambda so_far: so_far.requests > 100)
        scale(1, 3)
        rollout = stack.rollout("scaled", stack.publish("scaled", "times2", answers_as=2.0), config)
        deploy(rollout)
        assert deployment(1)["spec"]["replicas"] == 3
        promote(rollout)
        assert deployment(2)["spec"]["replicas"] == 3
        assert stack.api.get("HorizontalPodAutoscaler", namespace, "scaled-v2") is not None
        scale(2, 1)
        rollout.converge()
        assert deployment(2)["spec"]["replicas"] == 1
        load.until(lambda so_far: so_far.requests > 2000)
    assert load.failures == []
    assert stack.api.get("HorizontalPodAutoscaler", namespace, "scaled-v1") is None
