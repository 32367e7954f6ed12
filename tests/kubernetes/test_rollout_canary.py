"""A canary on a real cluster, from the first rollout on, under steady load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.probe import probe
from slipway.rollout.promote import promote
from support.kubernetes.rollouts import ClusterStack, cluster_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.kubernetes.cluster import Cluster


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterStack]:
    with cluster_stack(cluster, tmp_path_factory.mktemp("rollouts")) as running:
        yield running


def test_first_rollout(stack: ClusterStack) -> None:
    namespace = stack.namespace("first")
    published = stack.publish("first_model", "times1", answers_as=1.0)
    rollout = stack.rollout("first_model", published, stack.config(namespace))
    preflight(rollout)
    deploy(rollout)
    assert stack.api.get("Service", namespace, "first-model") is None
    figures, _ = probe(rollout)
    assert figures["probe_error_ratio"] == 0
    promote(rollout)
    with stack.load(namespace, "first_model") as load:
        load.until(lambda so_far: so_far.requests > 100)
    assert (load.failures, set(load.factors)) == ([], {1.0})
