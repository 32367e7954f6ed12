"""What goes wrong on a cluster is named, withdrawn, and never reaches a client of stable."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.kubernetes import names
from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.rollback import rollback
from support.kubernetes.rollouts import documented_role, gcs_stack

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack

_WITHIN_SECONDS = 60
_REQUESTS = 2000
_SMALL = {
    "resources": {"cpu": "1", "cpu_request": "10m", "memory": "60Mi", "memory_request": "9Mi"}
}
_FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "image": ("times2", {"image": "slipway.test/no-such-image:1"}, "cannot be pulled"),
    "memory": ("times2", _SMALL, "more memory|status 137"),
    "load": ("broken", {}, "could not load"),
    "init": ("times2", {"credentials_secret": "wrong"}, "container .* ended with status"),
}


def _write_broken_model(stack: ClusterStack) -> None:
    folder = stack.models / "broken"
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(b"this is no SavedModel")


def _refused(
    stack: ClusterStack, namespace: str, model: str, kind: str, config: Any, message: str
) -> None:
    """Deploys beside stable, under load, what never becomes ready, and takes it back."""
    stable = names.version_service(model, 1)
    with stack.load(namespace, model) as load:
        rollout = stack.rollout(model, stack.publish(model, kind, answers_as=2.0), config)
        began = time.monotonic()
        with pytest.raises(TerminalError, match=message) as caught:
            deploy(rollout)
        assert time.monotonic() - began < _WITHIN_SECONDS + 15
        assert caught.value.hint
        rollback(rollout)
        found = [each["metadata"]["name"] for each in stack.api.list("Deployment", namespace)]
        assert found == [stable]
        load.until(lambda so_far: so_far.requests > _REQUESTS)
    assert (load.failures, set(load.factors)) == ([], {1.0})


@pytest.mark.parametrize("fault", _FAULTS)
def test_pods_that_never_become_ready_are_explained_and_withdrawn(
    stack: ClusterStack, fault: str
) -> None:
    from kubernetes import client

    namespace, model = stack.namespace("faults"), f"faulty_{fault}"
    wrong = dict.fromkeys(stack.secrets, "wrong")
    secret = {"metadata": {"name": "wrong"}, "stringData": wrong}
    client.CoreV1Api(stack.cluster.api).create_namespaced_secret(namespace, secret)
    _write_broken_model(stack)
    stack.make_stable(model, "times1", 1.0, stack.config(namespace))
    kind, kubernetes, message = _FAULTS[fault]
    limits = {"available_within_seconds": _WITHIN_SECONDS, **kubernetes}
    _refused(stack, namespace, model, kind, stack.config(namespace, kubernetes=limits), message)


def test_a_server_that_ends_again_and_again_is_explained_and_withdrawn(
    stack: ClusterStack,
) -> None:
    with gcs_stack(stack) as there:
        namespace, model = there.namespace("crashes"), "crashes"
        own = {"credentials_secret": None}
        there.make_stable(model, "times1", 1.0, there.config(namespace, kubernetes=own))
        # The server's own process fails on it; where it reads GCS there is no other container.
        ends = {"environment": {**there.pod_environment, "PYTHONHOME": "/nowhere"}}
        limits = {"available_within_seconds": _WITHIN_SECONDS, **own, **ends}
        config = there.config(namespace, kubernetes=limits)
        _refused(there, namespace, model, "times2", config, "server .*ended with status 1")


def test_an_unschedulable_pod_is_explained_and_withdrawn(stack: ClusterStack) -> None:
    namespace, model = stack.namespace("nowhere"), "unplaced"
    stack.make_stable(model, "times1", 1.0, stack.config(namespace))
    limits = {"available_within_seconds": 20, "node_selector": {"no.such/label": "here"}}
    config = stack.config(namespace, kubernetes=limits)
    _refused(stack, namespace, model, "times2", config, "didn't match Pod's node affinity/selector")


def test_a_strategy_whose_clients_ask_by_other_paths_is_not_changed_to(
    stack: ClusterStack,
) -> None:
    namespace, model = stack.namespace("other"), "other"
    stack.make_stable(model, "times1", 1.0, stack.config(namespace))
    published = stack.publish(model, "times2", answers_as=2.0)
    config = stack.config(namespace, strategy="in_place")
    with pytest.raises(TerminalError, match="other-v1 serves the model by strategy canary"):
        preflight(stack.rollout(model, published, config))


def test_preflight_names_all_that_is_missing_and_touches_nothing(stack: ClusterStack) -> None:
    namespace = stack.namespace("missing")
    published = stack.publish("refused", "times1", answers_as=1.0)

    def refused(**kubernetes: Any) -> str:
        config = stack.config(namespace, kubernetes=kubernetes)
        with pytest.raises(TerminalError) as caught:
            preflight(stack.rollout("refused", published, config))
        return caught.value.message

    assert "there is no namespace nowhere" in refused(namespace="nowhere")
    assert "there is no secret absent" in refused(credentials_secret="absent")
    assert stack.api.list("Deployment", namespace) == []


def test_a_service_of_somebody_else_is_left_alone(stack: ClusterStack) -> None:
    from kubernetes import client

    namespace = stack.namespace("foreign")
    core = client.CoreV1Api(stack.cluster.api)
    spec = {"ports": [{"port": 8501}], "selector": {"app": "theirs"}}
    core.create_namespaced_service(namespace, {"metadata": {"name": "theirs"}, "spec": spec})
    published = stack.publish("theirs", "times1", answers_as=1.0)
    rollout = stack.rollout("theirs", published, stack.config(namespace))
    for step in (preflight, deploy):
        with pytest.raises(TerminalError, match="is not Slipway's"):
            step(rollout)
    found = stack.api.get("Service", namespace, "theirs")
    assert found is not None
    assert found["spec"]["selector"] == {"app": "theirs"}
    assert stack.api.list("Deployment", namespace) == []


def test_every_right_that_is_missing_is_named(stack: ClusterStack) -> None:
    namespace = stack.namespace("rights")
    kubeconfig = stack.restricted_kubeconfig(namespace)
    published = stack.publish("forbidden", "times1", answers_as=1.0)
    rollout = stack.rollout(
        "forbidden", published, stack.config(namespace), SLIPWAY_KUBECONFIG=str(kubeconfig)
    )
    with pytest.raises(TerminalError) as caught:
        preflight(rollout)
    missing = caught.value.details["problems"]
    assert {"may not create deployments.apps", "may not list events"} <= set(missing)
    assert "may not list pods" not in missing


def test_the_documented_role_is_enough_for_a_rollout(stack: ClusterStack) -> None:
    namespace = stack.namespace("role")
    kubeconfig = stack.restricted_kubeconfig(namespace, documented_role()["rules"])
    allowed = {**stack.environment, "SLIPWAY_KUBECONFIG": str(kubeconfig)}
    restricted = replace(stack, environment=allowed)
    config = stack.config(namespace)
    for kind, factor in (("times1", 1.0), ("times2", 2.0)):
        published = stack.publish("allowed", kind, answers_as=factor)
        report = restricted.roll_out("allowed", published, config, kind)
        assert report.promoted, report.reasons
    bad = stack.publish("allowed", "flaky", answers_as=5.0)
    assert not restricted.roll_out("allowed", bad, config, "bad").promoted


def test_a_cluster_that_is_not_there_is_named(stack: ClusterStack) -> None:
    published = stack.publish("nowhere", "times1", answers_as=1.0)
    config = stack.config("anywhere")
    rollout = stack.rollout("nowhere", published, config, SLIPWAY_KUBECONFIG="/no/such/file")
    with pytest.raises(TerminalError, match="kubeconfig /no/such/file cannot be used"):
        preflight(rollout)
