"""Rollouts by a real Airflow on a real cluster: tasks are killed and cleared in every state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.kubernetes import names
from slipway.serving.channels import read_channel
from support.kubernetes.airflow import Killer, Run, Watch, kill, rollout_airflow
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.kubernetes.airflow import RolloutAirflow
    from support.kubernetes.rollouts import ClusterStack

# The probe's requests are still in the window when a gate is tried again.
_HEALTH = {"window_seconds": 90, "timeout_seconds": 40}
_GATES = {"canary": {"steps": [{"share": 0.5}]}, "health": _HEALTH}
_SLOTS = 16
_BEFORE = ("preflight", "deploy", "probe", "health")
_AFTER = ("step_1.shift", "step_1.health", "promote", "gc", "stable")
_PROMOTED = {**dict.fromkeys((*_BEFORE, *_AFTER), "success"), "rollback": "skipped"}
_WITHDRAWN = {
    **dict.fromkeys(("preflight", "deploy", "probe", "rollback"), "success"),
    "health": "failed",
    **dict.fromkeys(_AFTER, "upstream_failed"),
}


@pytest.fixture(scope="module")
def airflow(
    stack: ClusterStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RolloutAirflow]:
    with rollout_airflow(stack, tmp_path_factory.mktemp("airflow")) as running:
        yield running


def _stable(stack: ClusterStack, model: str) -> int | None:
    channel = read_channel(stack.store, model, "stable")
    return channel.version if channel else None


def _deployments(stack: ClusterStack, namespace: str) -> list[str]:
    return [each["metadata"]["name"] for each in stack.api.list("Deployment", namespace)]


def test_a_worker_dies_in_every_task_and_the_rollout_ends_as_it_should(
    stack: ClusterStack, airflow: RolloutAirflow
) -> None:
    namespace, model = stack.namespace("dies"), "dies"
    config = stack.config(namespace, **_GATES)
    stack.make_stable(model, "times1", 1.0, config)
    airflow.add(model, config)
    good = stack.publish(model, "times2", answers_as=2.0)
    with stack.load(namespace, model) as load:
        run = airflow.start(model, good.version)
        with Watch(stack, namespace, model, stable=1) as watch, Killer(run) as killer:
            assert run.end() == "success", run.states()
        assert run.states() == _PROMOTED
        assert killer.killed == {*_PROMOTED} - {"stable", "rollback"}
        assert (watch.problems, watch.looks > 0) == ([], True)
        assert _deployments(stack, namespace) == [names.version_service(model, good.version)]
        assert load.failures == []

        bad = stack.publish(model, "flaky", answers_as=5.0)
        run = airflow.start(model, bad.version)
        with Watch(stack, namespace, model, stable=good.version) as watch:
            with Killer(run) as killer:
                assert run.end() == "failed"
            assert run.states() == _WITHDRAWN
            assert killer.killed == {*_BEFORE, "rollback"}
            # What failed is cleared: its canary is gone, so it fails again and changes nothing.
            run.clear("health", downstream=True)
            assert run.end() == "failed"
            assert run.states() == _WITHDRAWN
            # From its deployment on the canary comes back, is judged again, and goes again.
            run.clear("deploy", downstream=True)
            assert run.end() == "failed"
            assert run.states() == _WITHDRAWN
        assert (watch.problems, watch.looks > 0) == ([], True)
        load.until(lambda so_far: so_far.requests > 2000)
    # At share 0 no client's request reached the bad one.
    assert (load.failures, set(load.factors)) == ([], {1.0, 2.0})
    assert _stable(stack, model) == good.version
    assert _deployments(stack, namespace) == [names.version_service(model, good.version)]


def _cordon(stack: ClusterStack, *, on: bool) -> None:
    """No new pods, as while a node is being added for them."""
    from kubernetes import client

    core = client.CoreV1Api(stack.cluster.api)
    for node in core.list_node().items:
        core.patch_node(node.metadata.name, {"spec": {"unschedulable": on}})


@pytest.fixture
def _schedulable(stack: ClusterStack, airflow: RolloutAirflow) -> Iterator[None]:
    yield
    _cordon(stack, on=False)
    airflow.resize_pool(_SLOTS)


def _awaits_pods(run: Run) -> Any:
    deferred = run.until("deploy", "deferred")
    assert deferred["trigger"]["classpath"].endswith("VersionPodsTrigger")
    return deferred


@pytest.mark.usefixtures("_schedulable")
def test_a_task_that_is_cleared_in_any_state_ends_as_it_should(
    stack: ClusterStack, airflow: RolloutAirflow
) -> None:
    namespace, model = stack.namespace("clears"), "clears"
    config = stack.config(namespace, **_GATES)
    stack.make_stable(model, "times1", 1.0, config)
    # Long enough to be found waiting for another try.
    airflow.add(model, config, retry_delay_seconds=60)
    published = stack.publish(model, "times2", answers_as=2.0)
    with stack.load(namespace, model) as load:
        with Watch(stack, namespace, model, stable=1) as watch:
            _cordon(stack, on=True)
            airflow.resize_pool(0)
            run = airflow.start(model, published.version)
            run.until("preflight", "scheduled")
            run.clear("preflight")  # scheduled, for want of a slot
            airflow.resize_pool(_SLOTS)
            run.until("deploy", "running")
            run.clear("deploy")  # running
            first = _awaits_pods(run)
            run.clear("deploy")  # deferred
            run.until("deploy", "running")
            again = _awaits_pods(run)
            assert again["trigger"]["created_date"] > first["trigger"]["created_date"]
            _cordon(stack, on=False)
            kill(run.until("probe", "running"))
            run.until("probe", "up_for_retry")
            run.clear("probe")  # up_for_retry
            run.until("health", "deferred")
            run.clear("health")  # deferred, judging
            assert run.end() == "success", run.states()
            assert run.states() == _PROMOTED
        # Success, with what failed to come after it, and skipped.
        for cleared, downstream in (("promote", False), ("deploy", True), ("rollback", False)):
            run.clear(cleared, downstream=downstream)
            assert run.end() == "success", run.states()
            assert run.states() == _PROMOTED
        load.until(lambda so_far: so_far.requests > 2000)
    assert (watch.problems, watch.looks > 0) == ([], True)
    assert (load.failures, set(load.factors)) == ([], {1.0, 2.0})
    assert _stable(stack, model) == published.version
    assert _deployments(stack, namespace) == [names.version_service(model, published.version)]


def test_a_person_approves_a_step_and_rejects_the_promotion(
    stack: ClusterStack, airflow: RolloutAirflow
) -> None:
    namespace, model = stack.namespace("asked"), "asked"
    steps = {"steps": [{"share": 0.5, "approval": True}]}
    config = stack.config(namespace, canary=steps, health=_HEALTH, approval=True)
    stack.make_stable(model, "times1", 1.0, config)
    airflow.add(model, config)
    published = stack.publish(model, "times2", answers_as=2.0)
    with stack.load(namespace, model) as load:
        run = airflow.start(model, published.version)
        shown = run.asked("step_1.approve")
        assert published.digest in shown["body"]
        assert load.factors[2.0] == 0
        run.answer("step_1.approve", "Approve")
        run.asked("approve")
        assert load.share_of(2.0) > 0
        assert _stable(stack, model) == 1
        run.answer("approve", "Reject")
        assert run.end() == "failed"
        assert run.states()["rollback"] == "success"
        until(lambda: load.share_of(1.0, requests=100) == 1, "all requests are back at version 1")
        run = airflow.start(model, published.version)
        for task_id in ("step_1.approve", "approve"):
            run.asked(task_id)
            run.answer(task_id, "Approve")
        assert run.end() == "success", run.states()
        until(lambda: load.share_of(2.0, requests=100) == 1, "all requests reach version 2")
        load.until(lambda so_far: so_far.requests > 2000)
    assert load.failures == []
    assert _stable(stack, model) == published.version
