"""Room for the pods is looked for before anything is touched, and again before stable moves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.local.prometheus import Prometheus
from slipway.rollout.preflight import preflight
from slipway.serving.channels import read_channel
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.kubernetes.rollouts import ClusterStack

_REQUESTS = 2000
_STEPS = {"canary": {"steps": [{"share": 0.3}]}}
_REPLICAS = 2


def _limit_pods(stack: ClusterStack, namespace: str, pods: int) -> None:
    from kubernetes import client

    core = client.CoreV1Api(stack.cluster.api)
    body = {"metadata": {"name": "room"}, "spec": {"hard": {"pods": str(pods)}}}
    if core.list_namespaced_resource_quota(namespace).items:
        core.patch_namespaced_resource_quota("room", namespace, body)
    else:
        core.create_namespaced_resource_quota(namespace, body)
    until(
        lambda: (
            core.read_namespaced_resource_quota("room", namespace).status.hard
            == {"pods": str(pods)}
        ),
        "the quota is in force",
    )


def _selected(stack: ClusterStack, namespace: str, name: str) -> str:
    found = stack.api.get("Service", namespace, name)
    assert found is not None
    return str(found["spec"]["selector"].get("slipway.dev/version"))


def test_preflight_counts_the_pods_of_a_rollout_at_its_largest(stack: ClusterStack) -> None:
    namespace = stack.namespace("room")
    config = stack.config(namespace, **_STEPS)
    stack.make_stable("needs", "times1", 1.0, config)
    published = stack.publish("needs", "times2", answers_as=2.0)
    _limit_pods(stack, namespace, 2 * _REPLICAS - 1)
    with pytest.raises(TerminalError, match=r"leaves 1 of pods.* 1 for each of 2 more pods"):
        preflight(stack.rollout("needs", published, config))
    _limit_pods(stack, namespace, 2 * _REPLICAS)
    preflight(stack.rollout("needs", published, config))


def test_room_that_is_taken_meanwhile_leaves_stable_as_it_was(
    stack: ClusterStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace, model = stack.namespace("taken"), "taken"
    limits = {"available_within_seconds": 20}
    config = stack.config(namespace, **_STEPS, kubernetes=limits)
    first = stack.make_stable(model, "times1", 1.0, config)
    published = stack.publish(model, "times2", answers_as=2.0)
    # As if others had used up the quota between preflight and promotion.
    monkeypatch.setattr("slipway.kubernetes.versions.check_room", lambda *_, **__: None)
    _limit_pods(stack, namespace, 2 * _REPLICAS - 1)
    with stack.load(namespace, model) as load:
        report = stack.roll_out(model, published, config, "cramped")
        assert not report.promoted
        assert "exceeded quota: room" in " ".join(report.reasons)
        stable = read_channel(stack.store, model, "stable")
        assert stable is not None
        assert stable.version == first.version
        assert _selected(stack, namespace, model) == "1"
        until(
            lambda: (
                [each["metadata"]["name"] for each in stack.api.list("Deployment", namespace)]
                == ["taken-v1"]
            ),
            "the canary's pods are gone",
        )
        _limit_pods(stack, namespace, 2 * _REPLICAS)
        report = stack.roll_out(model, published, config, "roomy")
        assert report.promoted, report.reasons
        load.until(lambda so_far: so_far.requests > _REQUESTS)
    assert load.failures == []
    assert _selected(stack, namespace, model) == "2"


def test_a_model_that_nobody_asks_is_updated_too(stack: ClusterStack) -> None:
    namespace = stack.namespace("quiet")
    config = stack.config(namespace, **_STEPS)
    stack.make_stable("quiet", "times1", 1.0, config)
    published = stack.publish("quiet", "times2", answers_as=2.0)
    report = stack.roll_out("quiet", published, config)
    assert report.promoted, report.reasons


def test_pods_that_prometheus_does_not_scrape_are_named(
    stack: ClusterStack, tmp_path: Path
) -> None:
    namespace, model = stack.namespace("unseen"), "unseen"
    config = stack.config(namespace, **_STEPS, health={"timeout_seconds": 8})
    stack.make_stable(model, "times1", 1.0, config)
    published = stack.publish(model, "times2", answers_as=2.0)
    with Prometheus(tmp_path / "empty", targets=()) as prometheus:
        blind = {**stack.environment, "SLIPWAY_PROMETHEUS_URL": prometheus.url}
        with stack.load(namespace, model) as load:
            report = replace(stack, environment=blind).roll_out(model, published, config)
            load.until(lambda so_far: so_far.requests > _REQUESTS)
    assert not report.promoted
    assert report.decision is not None
    assert report.decision.verdict == "inconclusive"
    assert "it does not scrape these servers" in " ".join(report.decision.reasons)
    assert f'namespace="{namespace}"' in " ".join(report.decision.reasons)
    assert (load.failures, set(load.factors)) == ([], {1.0})
